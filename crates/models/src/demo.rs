//! The provider that is a script and says so: `demo/scripted-1`. With it the
//! whole way from a prompt to a running page can be tried without a key, and
//! offline. Whatever it says begins with what it is; its tokens are our own
//! count and cost nothing; no chain can name it, and where somebody set up a
//! model it never stands in for one that fails.

mod hash;
mod script;

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use serde_json::{Map, Value};

use crate::budget;
use crate::chat::{ChatRequest, OutputSchema, Role};
use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, ChatStream, StopReason};
use crate::route::{DEMO, DEMO_MODEL};
use crate::usage::Usage;
use crate::wires::{Call, EmbedCall, Embeddings, Wire};
use script::Changes;
pub(crate) use script::LABEL;

/// Its only way to make vectors.
pub(crate) const EMBED_MODEL: &str = "hash-384";
/// Pieces of an answer at most, so that long ones do not take long.
const PIECES_MAX: usize = 120;
/// Characters of a piece at least.
const PIECE: usize = 24;
/// Between two pieces: as fast as a quick model.
const PACE: Duration = Duration::from_millis(12);

/// The script as a provider.
pub(crate) struct Script;

impl Wire for Script {
    fn chat(&self, call: Call) -> BoxFuture<'static, Result<ChatStream, ModelError>> {
        Box::pin(async move {
            if call.model != DEMO_MODEL {
                let message = format!("the demo has `{DEMO_MODEL}` only");
                return Err(ModelError::new(ModelErrorKind::NotFound, message).of(DEMO));
            }
            Ok(told(&call.request))
        })
    }

    fn embed(&self, call: EmbedCall) -> BoxFuture<'static, Result<Embeddings, ModelError>> {
        Box::pin(async move {
            if call.model != EMBED_MODEL {
                let message = format!("the demo makes vectors by `{EMBED_MODEL}` only");
                return Err(ModelError::new(ModelErrorKind::NotFound, message).of(DEMO));
            }
            if call
                .dimensions
                .is_some_and(|many| many as usize != hash::DIMENSIONS)
            {
                let message = "its vectors have 384 dimensions";
                return Err(ModelError::new(ModelErrorKind::BadRequest, message).of(DEMO));
            }
            let bytes = call.texts.iter().map(String::len).sum();
            Ok(Embeddings {
                vectors: call.texts.iter().map(|text| hash::embed(text)).collect(),
                usage: Usage {
                    input: budget::text_tokens(bytes),
                    estimated: true,
                    ..Usage::default()
                },
                model: EMBED_MODEL.to_owned(),
            })
        })
    }
}

/// The answer in pieces.
fn told(request: &ChatRequest) -> ChatStream {
    let text = text_for(request);
    let usage = Usage {
        input: budget::input_tokens(request),
        output: budget::text_tokens(text.len()),
        estimated: true,
        ..Usage::default()
    };
    let start = ChatEvent::Start {
        id: "scripted".to_owned(),
        provider: DEMO.to_owned(),
        model: DEMO_MODEL.to_owned(),
    };
    let chars: Vec<char> = text.chars().collect();
    let size = chars.len().div_ceil(PIECES_MAX).max(PIECE);
    let pieces: Vec<ChatEvent> = chars
        .chunks(size)
        .map(|piece| ChatEvent::Text(piece.iter().collect()))
        .collect();
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::time::sleep(PACE).await;
        piece
    });
    let end = [ChatEvent::Usage(usage), ChatEvent::End(StopReason::End)];
    let all = stream::iter([start]).chain(pieces).chain(stream::iter(end));
    all.map(Ok).boxed()
}

fn text_for(request: &ChatRequest) -> String {
    let asked = request.messages.iter().rev().find(|m| m.role == Role::User);
    let prompt = asked.map(crate::chat::Message::text).unwrap_or_default();
    if let Some(schema) = &request.schema {
        return match in_shape(schema, &script::answer(&prompt)) {
            Some(value) => value.to_string(),
            None => format!(
                "{LABEL} I am a script and cannot answer in the shape `{}`.",
                schema.name
            ),
        };
    }
    let wants_files = request
        .system
        .as_deref()
        .is_some_and(|text| text.contains("<file path="));
    if wants_files {
        return in_blocks(&script::answer(&prompt));
    }
    let before: Vec<String> = request
        .messages
        .iter()
        .filter(|message| message.role == Role::Assistant)
        .map(crate::chat::Message::text)
        .collect();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    script::words_for(&prompt, &before)
}

/// The members that the schema has, as far as they are known here.
fn in_shape(schema: &OutputSchema, changes: &Changes) -> Option<Value> {
    let wanted = schema.schema.get("properties")?.as_object()?;
    wanted.get("files")?;
    let mut value = Map::new();
    for name in wanted.keys() {
        let member = match name.as_str() {
            "plan" => Value::String(changes.plan.clone()),
            "files" => changes
                .files
                .iter()
                .map(|file| serde_json::json!({"path": file.path, "content": file.content}))
                .collect(),
            "deleted_files" => Value::Array(Vec::new()),
            // Unchanged.
            "package_json" => Value::String(String::new()),
            _ => continue,
        };
        value.insert(name.clone(), member);
    }
    Some(Value::Object(value))
}

fn in_blocks(changes: &Changes) -> String {
    let mut text = changes.plan.clone();
    for file in &changes.files {
        text.push_str("\n\n<file path=\"");
        text.push_str(&file.path);
        text.push_str("\">\n");
        text.push_str(&file.content);
        text.push_str("</file>");
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn schema(members: &[&str]) -> OutputSchema {
        let members = members.iter().map(|name| ((*name).to_owned(), json!({})));
        let members: Map<_, _> = members.collect();
        OutputSchema::strict(
            "code_changes",
            json!({"type": "object", "properties": members}),
        )
    }

    #[test]
    fn a_schema_of_files_is_filled_and_no_other() {
        let all = ["plan", "files", "deleted_files", "package_json"];
        let request = ChatRequest::to("coder")
            .user("a todo app")
            .schema(schema(&all));
        let value: Value = serde_json::from_str(&text_for(&request)).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 4);
        assert_eq!(value["files"][0]["path"], "src/App.tsx");
        let other = ChatRequest::to("coder")
            .user("a todo app")
            .schema(schema(&["name"]));
        assert!(text_for(&other).starts_with(LABEL));
    }

    #[test]
    fn text_says_what_it_is_and_has_blocks_where_they_are_wanted() {
        let plain = ChatRequest::to("planner").user("a todo app");
        assert!(text_for(&plain).starts_with(LABEL));
        assert!(!text_for(&plain).contains("<file"));
        let blocks = plain.system("Answer in <file path=\"…\">…</file> blocks.");
        let text = text_for(&blocks);
        assert!(text.starts_with(LABEL));
        assert!(text.contains("\n<file path=\"src/index.css\">\n"));
    }
}
