//! `OpenAI`'s responses: `POST /responses`.
//!
//! Start with [`OpenaiResponses`]. Nothing is stored at the provider; thoughts
//! travel sealed with the conversation.

use serde_json::{Map, Value, json};

use crate::chat::{ChatRequest, Message, Part, Role, ToolChoice};
use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, StopReason};
use crate::structured::dialect;
use crate::usage::Usage;
use crate::wires::http::{Ask, Decoder, Out, Protocol};
use crate::wires::openai_chat::{effort_word, image_url, result_text};
use crate::wires::provider::{Provider, SchemaSupport};
use crate::wires::sse::Event;
use crate::wires::tools::Tools;
use crate::wires::{Call, count, fault, instructions, marked, sealed, text_of, with_extra};

/// Marks sealed thoughts of this protocol.
const SEAL: &str = "openai";

pub(crate) struct OpenaiResponses;

impl Protocol for OpenaiResponses {
    fn ask(&self, provider: &Provider, call: &Call) -> Result<Ask, ModelError> {
        Ok(Ask::post("/responses", body(provider, call), call.token))
    }

    fn decoder(&self, _: &Call) -> Box<dyn Decoder> {
        Box::new(Answer::default())
    }
}

fn body(provider: &Provider, call: &Call) -> Value {
    let request = &*call.request;
    let mut body = Map::new();
    body.insert("model".into(), call.model.clone().into());
    body.insert("stream".into(), true.into());
    body.insert("store".into(), false.into());
    let system = instructions(request, provider);
    if !system.is_empty() {
        body.insert("instructions".into(), system.into());
    }
    let mut input = Vec::new();
    for message in request.messages.iter().filter(|it| it.role != Role::System) {
        items(message, &mut input);
    }
    let thoughts = input
        .iter()
        .any(|item| text_of(item, "/type") == "reasoning");
    body.insert("input".into(), input.into());
    if !request.tools.is_empty() {
        body.insert("tools".into(), tools(request).into());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice));
    }
    if let Some(max) = request.max_tokens {
        body.insert("max_output_tokens".into(), max.into());
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(top_p) = request.top_p {
        body.insert("top_p".into(), json!(top_p));
    }
    if let Some(effort) = request.effort {
        let effort = json!({"effort": effort_word(effort), "summary": "auto"});
        body.insert("reasoning".into(), effort);
    }
    // Models that do not think refuse this.
    if thoughts || request.effort.is_some() {
        body.insert("include".into(), json!(["reasoning.encrypted_content"]));
    }
    if let Some(format) = format(provider, request) {
        body.insert("text".into(), json!({"format": format}));
    }
    with_extra(body, request)
}

fn format(provider: &Provider, request: &ChatRequest) -> Option<Value> {
    let wanted = request.schema.as_ref()?;
    Some(match provider.schema {
        SchemaSupport::Prompt => return None,
        SchemaSupport::JsonMode => json!({"type": "json_object"}),
        SchemaSupport::Native => {
            let (schema, strict) = dialect::openai(wanted);
            json!({"type": "json_schema", "name": wanted.name, "schema": schema, "strict": strict})
        }
    })
}

fn tools(request: &ChatRequest) -> Vec<Value> {
    let tools = request.tools.iter().map(|tool| {
        json!({
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            // Here the default is strict, unlike in chat completions.
            "strict": tool.strict && dialect::is_closed(&tool.parameters),
        })
    });
    tools.collect()
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
    }
}

/// A message becomes one item for its words and one for each call, result and
/// thought, in their order.
fn items(message: &Message, all: &mut Vec<Value>) {
    let role = match message.role {
        Role::Assistant => "assistant",
        _ => "user",
    };
    let mut words: Vec<Value> = Vec::new();
    for part in &message.parts {
        let item = match part {
            Part::Text(text) if text.is_empty() => continue,
            Part::Text(text) => {
                let kind = if role == "user" {
                    "input_text"
                } else {
                    "output_text"
                };
                words.push(json!({"type": kind, "text": text}));
                continue;
            }
            Part::Image(image) => {
                words.push(json!({"type": "input_image", "image_url": image_url(image)}));
                continue;
            }
            Part::ToolCall(call) => json!({
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.args.to_string(),
            }),
            Part::ToolResult {
                id,
                content,
                is_error,
            } => json!({
                "type": "function_call_output",
                "call_id": id,
                "output": result_text(content, *is_error),
            }),
            Part::Reasoning { signature, .. } => {
                let sealed = marked(SEAL, signature.as_deref());
                let Some(item) = sealed.and_then(|text| serde_json::from_str(text).ok()) else {
                    continue;
                };
                item
            }
        };
        said(role, &mut words, all);
        all.push(item);
    }
    said(role, &mut words, all);
}

fn said(role: &str, words: &mut Vec<Value>, all: &mut Vec<Value>) {
    if !words.is_empty() {
        all.push(json!({"role": role, "content": std::mem::take(words)}));
    }
}

/// An answer while it comes.
#[derive(Debug, Default)]
struct Answer {
    tools: Tools,
    refused: bool,
}

impl Decoder for Answer {
    fn event(&mut self, event: &Event, out: &mut Out) -> Result<(), ModelError> {
        // Compatible servers end with it although the protocol does not.
        if event.data.trim() == "[DONE]" {
            return Ok(());
        }
        let data = out.json(event)?;
        let kind = match text_of(&data, "/type") {
            // Some servers name events only in their `event:` line, and an
            // answer that does not stream is the response itself.
            "" if data.get("object").is_some() => return self.whole(&data, out),
            "" if data.get("error").is_some() => "error",
            "" => event.name.as_str(),
            kind => kind,
        };
        match kind {
            "response.created" => out.events.push(ChatEvent::Start {
                id: text_of(&data, "/response/id").to_owned(),
                provider: out.provider.name.clone(),
                model: text_of(&data, "/response/model").to_owned(),
            }),
            "response.output_text.delta" => said_more(&data, out),
            "response.refusal.delta" => {
                self.refused = true;
                said_more(&data, out);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let delta = text_of(&data, "/delta").to_owned();
                out.events.push(ChatEvent::Reasoning(delta));
            }
            "response.output_item.added" => self.item(&data, false, out)?,
            "response.output_item.done" => self.item(&data, true, out)?,
            "response.function_call_arguments.delta" => {
                let delta = text_of(&data, "/delta");
                self.tools.args(index(&data), delta, &mut out.events)?;
            }
            "response.completed" | "response.incomplete" => {
                self.end(data.get("response").unwrap_or(&Value::Null), out)?;
            }
            "response.failed" | "error" => return Err(fault::from_event(&out.provider, &data)),
            known if is_silent(known) => {}
            other => out.skip(other),
        }
        Ok(())
    }
}

/// What tells nothing that other events do not.
fn is_silent(kind: &str) -> bool {
    matches!(
        kind,
        "response.queued"
            | "response.in_progress"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.output_text.done"
            | "response.output_text.annotation.added"
            | "response.refusal.done"
            | "response.reasoning_summary_part.added"
            | "response.reasoning_summary_part.done"
            | "response.reasoning_summary_text.done"
            | "response.reasoning_text.done"
            | "response.function_call_arguments.done"
    )
}

impl Answer {
    fn item(&mut self, data: &Value, done: bool, out: &mut Out) -> Result<(), ModelError> {
        let item = data.get("item").unwrap_or(&Value::Null);
        match (text_of(item, "/type"), done) {
            ("function_call", done) => {
                let key = index(data);
                if !self.tools.has(key) {
                    let call = (text_of(item, "/call_id"), text_of(item, "/name"));
                    self.tools.start(key, call, None, &mut out.events)?;
                }
                if done {
                    let args = text_of(item, "/arguments");
                    self.tools.end(key, Some(args), &mut out.events)?;
                }
            }
            ("reasoning", true) => {
                if !text_of(item, "/encrypted_content").is_empty() {
                    // Its own status is not taken back.
                    let mut item = item.clone();
                    item.as_object_mut().map(|item| item.shift_remove("status"));
                    let sealed = sealed(SEAL, &item.to_string());
                    out.events.push(ChatEvent::ReasoningSignature(sealed));
                }
            }
            ("message" | "reasoning", _) | (_, false) => {}
            (other, true) => out.skip(other),
        }
        Ok(())
    }

    fn end(&mut self, response: &Value, out: &mut Out) -> Result<(), ModelError> {
        if let Some(usage) = response.get("usage").filter(|usage| usage.is_object()) {
            out.events.push(ChatEvent::Usage(usage_of(usage.clone())));
        }
        let stop = match text_of(response, "/incomplete_details/reason") {
            "max_output_tokens" => StopReason::Length,
            "content_filter" => StopReason::ContentFilter,
            _ if text_of(response, "/status") == "incomplete" => StopReason::Other,
            _ if self.tools.any() => StopReason::ToolUse,
            _ if self.refused => StopReason::Refusal,
            _ => StopReason::End,
        };
        self.tools.finish(stop, &mut out.events)?;
        out.events.push(ChatEvent::End(stop));
        Ok(())
    }

    /// A server that did not stream.
    fn whole(&mut self, response: &Value, out: &mut Out) -> Result<(), ModelError> {
        if text_of(response, "/status") == "failed" {
            return Err(fault::from_event(&out.provider, response));
        }
        if !matches!(text_of(response, "/status"), "completed" | "incomplete") {
            let text = "the answer is neither a stream nor complete";
            return Err(ModelError::new(ModelErrorKind::Protocol, text));
        }
        out.events.push(ChatEvent::Start {
            id: text_of(response, "/id").to_owned(),
            provider: out.provider.name.clone(),
            model: text_of(response, "/model").to_owned(),
        });
        let items = response.get("output").and_then(Value::as_array);
        for (position, item) in items.into_iter().flatten().enumerate() {
            let parts = item.get("content").and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                let text = text_of(part, "/text");
                if !text.is_empty() {
                    out.events.push(ChatEvent::Text(text.to_owned()));
                }
            }
            let data = json!({"item": item, "output_index": position});
            self.item(&data, true, out)?;
        }
        self.end(response, out)
    }
}

fn said_more(data: &Value, out: &mut Out) {
    let delta = text_of(data, "/delta");
    if !delta.is_empty() {
        out.events.push(ChatEvent::Text(delta.to_owned()));
    }
}

fn index(data: &Value) -> u64 {
    count(data, "/output_index")
}

fn usage_of(raw: Value) -> Usage {
    Usage {
        input: count(&raw, "/input_tokens"),
        cache_read: count(&raw, "/input_tokens_details/cached_tokens"),
        cache_write: count(&raw, "/input_tokens_details/cache_write_tokens"),
        output: count(&raw, "/output_tokens"),
        reasoning: count(&raw, "/output_tokens_details/reasoning_tokens"),
        raw,
        ..Usage::default()
    }
}
