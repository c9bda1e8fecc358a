//! Anthropic's messages as they are asked for. Pure.

use serde_json::Value;

use super::error::Refused;
use super::{Asked, fields};
use crate::chat::{
    ChatRequest, Effort, Image, Message, OutputSchema, Part, Role, Tool, ToolCall, ToolChoice,
};

type Result<T> = std::result::Result<T, Refused>;

/// Budgets of thinking, in tokens, from which it counts as long and as usual.
const LONG: u64 = 16_000;
const USUAL: u64 = 4_000;

/// Reads a request.
pub(super) fn read(body: &Value) -> Result<Asked> {
    let mut request = ChatRequest::to(fields::needed(body, "model")?);
    request.max_tokens = fields::count(body, "max_tokens")?;
    if request.max_tokens.is_none() {
        return Err(Refused::invalid(
            "max_tokens: Field required",
            Some("max_tokens"),
        ));
    }
    let system = fields::content_text(body.get("system"))?;
    request.system = Some(system).filter(|text| !text.is_empty());
    request.prompt_cache = body.pointer("/system/0/cache_control").is_some();
    for message in fields::list(body, "messages")? {
        add(&mut request.messages, message)?;
    }
    for tool in fields::list(body, "tools")? {
        let missing = || Refused::invalid("a tool has a name and an input_schema", Some("tools"));
        request.tools.push(Tool {
            name: fields::needed(tool, "name")?.to_owned(),
            description: fields::text(tool, "description")?
                .unwrap_or_default()
                .to_owned(),
            parameters: fields::given(tool, "input_schema")
                .cloned()
                .ok_or_else(missing)?,
            strict: fields::flag(tool, "strict")?,
        });
    }
    request.tool_choice = choice(body)?;
    request.temperature = fields::number(body, "temperature", 1.0)?;
    request.top_p = fields::number(body, "top_p", 1.0)?;
    request.stop = fields::texts(body, "stop_sequences")?;
    let output = fields::given(body, "output_config").unwrap_or(&Value::Null);
    request.effort = match fields::effort(output, "effort")? {
        Some(effort) => Some(effort),
        None => thinking(body),
    };
    if let Some(schema) = output.pointer("/format/schema") {
        request.schema = Some(OutputSchema::strict("answer", schema.clone()));
    }
    Ok(Asked {
        request,
        stream: fields::flag(body, "stream")?,
        include_usage: true,
    })
}

fn thinking(body: &Value) -> Option<Effort> {
    let thinking = body.get("thinking")?;
    if thinking.get("type")?.as_str()? != "enabled" {
        return None;
    }
    Some(match thinking.get("budget_tokens")?.as_u64()? {
        LONG.. => Effort::High,
        USUAL.. => Effort::Medium,
        _ => Effort::Low,
    })
}

fn choice(body: &Value) -> Result<ToolChoice> {
    let Some(choice) = fields::given(body, "tool_choice") else {
        return Ok(ToolChoice::Auto);
    };
    Ok(match fields::needed(choice, "type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(fields::needed(choice, "name")?.to_owned()),
        _ => {
            let expected = "`type` of tool_choice is auto, any, tool or none";
            return Err(Refused::invalid(expected, Some("tool_choice")));
        }
    })
}

/// Results of tools stand in the user's turn here, and are turns of their own
/// to us; they come first.
fn add(messages: &mut Vec<Message>, message: &Value) -> Result<()> {
    let role = match fields::needed(message, "role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => {
            return Err(Refused::invalid(
                "`role` is user or assistant",
                Some("messages"),
            ));
        }
    };
    let mut parts = Vec::new();
    match fields::given(message, "content") {
        Some(Value::String(text)) => parts.push(Part::Text(text.clone())),
        Some(Value::Array(blocks)) => {
            for block in blocks {
                match block_of(block)? {
                    Some(result @ Part::ToolResult { .. }) => messages.push(Message {
                        role: Role::Tool,
                        parts: vec![result],
                    }),
                    Some(part) => parts.push(part),
                    None => {}
                }
            }
        }
        _ => {
            let expected = "`content` is a text or an array of blocks";
            return Err(Refused::invalid(expected, Some("messages")));
        }
    }
    if !parts.is_empty() {
        messages.push(Message { role, parts });
    }
    Ok(())
}

fn block_of(block: &Value) -> Result<Option<Part>> {
    Ok(Some(match fields::needed(block, "type")? {
        "text" => Part::Text(fields::text(block, "text")?.unwrap_or_default().to_owned()),
        "image" => Part::Image(image(block.get("source").unwrap_or(&Value::Null))?),
        "tool_use" => Part::ToolCall(ToolCall {
            id: fields::needed(block, "id")?.to_owned(),
            name: fields::needed(block, "name")?.to_owned(),
            args: fields::given(block, "input").cloned().unwrap_or_default(),
            signature: None,
        }),
        "tool_result" => Part::ToolResult {
            id: fields::needed(block, "tool_use_id")?.to_owned(),
            content: fields::content_text(block.get("content"))?,
            is_error: fields::flag(block, "is_error")?,
        },
        "thinking" => Part::Reasoning {
            text: fields::text(block, "thinking")?
                .unwrap_or_default()
                .to_owned(),
            signature: fields::text(block, "signature")?.map(str::to_owned),
        },
        // Nobody but the provider that made them can read them, and it makes
        // new ones.
        "redacted_thinking" => return Ok(None),
        other => {
            let message = format!("blocks of type `{other}` are not taken here");
            return Err(Refused::invalid(&message, Some("messages")));
        }
    }))
}

fn image(source: &Value) -> Result<Image> {
    match fields::needed(source, "type")? {
        "base64" => {
            let mime = fields::needed(source, "media_type")?;
            fields::picture_data(mime, fields::needed(source, "data")?)
        }
        "url" => fields::picture(fields::needed(source, "url")?),
        _ => Err(Refused::invalid(
            "`type` of a source is base64 or url",
            Some("messages"),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_request_is_understood() {
        let asked = read(&json!({
            "model": "coder", "max_tokens": 10, "system": [{"type": "text", "text": "be brief"}],
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a cat"}], "is_error": true},
                    {"type": "text", "text": "and now?"}]}],
            "tools": [{"name": "look", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any"}, "thinking": {"type": "enabled", "budget_tokens": 5000},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        }))
        .unwrap();
        let request = asked.request;
        let roles: Vec<_> = request.messages.iter().map(|m| m.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::User]);
        assert!(matches!(
            &request.messages[2].parts[0],
            Part::ToolResult { is_error: true, .. }
        ));
        assert_eq!(request.system.as_deref(), Some("be brief"));
        assert_eq!(request.effort, Some(Effort::Medium));
        assert_eq!(request.tool_choice, ToolChoice::Required);
        assert!(request.schema.is_some());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for body in [
            json!({"model": "m", "messages": []}),
            json!({"model": "m", "max_tokens": 0, "messages": []}),
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "robot", "content": "x"}]}),
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "video"}]}]}),
            json!({"model": "m", "max_tokens": 1, "messages": [], "tools": [{"name": "x"}]}),
        ] {
            assert!(read(&body).is_err(), "{body}");
        }
    }
}
