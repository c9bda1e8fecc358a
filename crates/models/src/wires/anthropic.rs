//! Anthropic's messages: `POST /messages`.
//!
//! Start with [`Anthropic`]. Input tokens come without those of the cache, and
//! output tokens are sums so far: both are added up here.

use serde_json::{Map, Value, json};

use crate::chat::{ChatRequest, Effort, Image, Message, Part, Role, ToolChoice};
use crate::error::ModelError;
use crate::event::{ChatEvent, StopReason};
use crate::structured::dialect;
use crate::usage::Usage;
use crate::wires::http::{Ask, Decoder, Out, Protocol};
use crate::wires::provider::{Provider, SchemaSupport};
use crate::wires::sse::Event;
use crate::wires::tools::Tools;
use crate::wires::{
    Call, count, fault, instructions, marked, sealed, set, support, text_of, with_extra,
};

/// The protocol wants a limit; this is below what every current model can do.
const MAX_TOKENS: u32 = 8192;

/// Marks signatures of this protocol.
const SEAL: &str = "anthropic";

/// Thoughts that the provider shows to nobody.
const REDACTED: &str = "redacted ";

pub(crate) struct Anthropic;

impl Protocol for Anthropic {
    fn ask(&self, provider: &Provider, call: &Call) -> Result<Ask, ModelError> {
        let body = body(provider, call);
        Ok(Ask::post("/messages", body, call.token))
    }

    fn decoder(&self, _: &Call) -> Box<dyn Decoder> {
        Box::new(Answer::default())
    }
}

fn body(provider: &Provider, call: &Call) -> Value {
    let request = &*call.request;
    let mut body = Map::new();
    body.insert("model".into(), call.model.clone().into());
    body.insert(
        "max_tokens".into(),
        request.max_tokens.unwrap_or(MAX_TOKENS).into(),
    );
    body.insert("stream".into(), true.into());
    let system = instructions(request, provider);
    if !system.is_empty() {
        let mut block = json!({"type": "text", "text": system});
        if request.prompt_cache {
            mark_cached(&mut block);
        }
        body.insert("system".into(), json!([block]));
    }
    body.insert("messages".into(), messages(request).into());
    if !request.tools.is_empty() {
        body.insert("tools".into(), tools(request).into());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice));
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(top_p) = request.top_p {
        body.insert("top_p".into(), json!(top_p));
    }
    if !request.stop.is_empty() {
        body.insert("stop_sequences".into(), json!(request.stop));
    }
    let output = output_config(request, support(provider, request));
    if !output.is_empty() {
        body.insert("output_config".into(), output.into());
    }
    with_extra(body, request)
}

fn output_config(request: &ChatRequest, support: SchemaSupport) -> Map<String, Value> {
    let mut output = Map::new();
    if let Some(effort) = request.effort {
        let effort = match effort {
            Effort::Minimal => Effort::Low,
            other => other,
        };
        output.insert("effort".into(), effort.as_str().into());
    }
    if let Some(wanted) = &request.schema
        && support == SchemaSupport::Native
    {
        let schema = dialect::anthropic(&wanted.schema);
        output.insert(
            "format".into(),
            json!({"type": "json_schema", "schema": schema}),
        );
    }
    output
}

fn tools(request: &ChatRequest) -> Vec<Value> {
    let tools = request.tools.iter().map(|tool| {
        let mut value = json!({
            "name": tool.name,
            "description": tool.description,
            "input_schema": tool.parameters,
        });
        if tool.strict {
            set(
                &mut value,
                "input_schema",
                dialect::anthropic(&tool.parameters),
            );
            set(&mut value, "strict", true.into());
        }
        value
    });
    tools.collect()
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Tool(name) => json!({"type": "tool", "name": name}),
    }
}

/// Turns must alternate, so neighbours of one side become one; results of tools
/// are the user's.
fn messages(request: &ChatRequest) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => continue,
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        };
        let blocks = blocks(message);
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    if request.prompt_cache
        && let Some(block) = turns.last_mut().and_then(|(_, blocks)| blocks.last_mut())
    {
        mark_cached(block);
    }
    let turns = turns.into_iter();
    turns
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect()
}

fn mark_cached(block: &mut Value) {
    set(block, "cache_control", json!({"type": "ephemeral"}));
}

fn blocks(message: &Message) -> Vec<Value> {
    message.parts.iter().filter_map(block).collect()
}

fn block(part: &Part) -> Option<Value> {
    Some(match part {
        // Empty texts are refused.
        Part::Text(text) if text.is_empty() => return None,
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(Image::Url(url)) => {
            json!({"type": "image", "source": {"type": "url", "url": url}})
        }
        Part::Image(Image::Data { mime, data }) => json!({
            "type": "image",
            "source": {"type": "base64", "media_type": mime, "data": Image::base64(data)},
        }),
        Part::ToolCall(call) => json!({
            "type": "tool_use", "id": call.id, "name": call.name, "input": call.args,
        }),
        Part::ToolResult {
            id,
            content,
            is_error,
        } => json!({
            "type": "tool_result", "tool_use_id": id, "content": content, "is_error": is_error,
        }),
        // Thoughts of another provider, or without a mark, are not taken back.
        Part::Reasoning { text, signature } => {
            let signature = marked(SEAL, signature.as_deref())?;
            match signature.strip_prefix(REDACTED) {
                Some(data) => json!({"type": "redacted_thinking", "data": data}),
                None => json!({"type": "thinking", "thinking": text, "signature": signature}),
            }
        }
    })
}

/// An answer while it comes.
#[derive(Debug, Default)]
struct Answer {
    tools: Tools,
    usage: Map<String, Value>,
    stop: Option<StopReason>,
}

impl Decoder for Answer {
    fn event(&mut self, event: &Event, out: &mut Out) -> Result<(), ModelError> {
        let data = out.json(event)?;
        match text_of(&data, "/type") {
            "ping" => {}
            "message_start" => {
                out.events.push(ChatEvent::Start {
                    id: text_of(&data, "/message/id").to_owned(),
                    provider: out.provider.name.clone(),
                    model: text_of(&data, "/message/model").to_owned(),
                });
                self.used(data.pointer("/message/usage"), out);
            }
            "content_block_start" => self.block_start(&data, out)?,
            "content_block_delta" => self.block_delta(&data, out)?,
            "content_block_stop" => self.tools.end(index(&data), None, &mut out.events)?,
            "message_delta" => {
                if let Some(reason) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    self.stop = Some(stop(reason));
                }
                self.used(data.get("usage"), out);
            }
            "message_stop" => {
                let stop = self.stop.unwrap_or(StopReason::Other);
                self.tools.finish(stop, &mut out.events)?;
                out.events.push(ChatEvent::End(stop));
            }
            "error" => return Err(fault::from_event(&out.provider, &data)),
            other => out.skip(other),
        }
        Ok(())
    }
}

impl Answer {
    fn block_start(&mut self, data: &Value, out: &mut Out) -> Result<(), ModelError> {
        let block = data.get("content_block").unwrap_or(&Value::Null);
        match text_of(block, "/type") {
            "text" => push_text(text_of(block, "/text"), out),
            "thinking" => push_reasoning(text_of(block, "/thinking"), out),
            "redacted_thinking" => {
                let data = format!("{REDACTED}{}", text_of(block, "/data"));
                let sealed = sealed(SEAL, &data);
                out.events.push(ChatEvent::ReasoningSignature(sealed));
            }
            "tool_use" => {
                let (id, name) = (text_of(block, "/id"), text_of(block, "/name"));
                self.tools
                    .start(index(data), (id, name), None, &mut out.events)?;
                // Usually `{}`, and the arguments follow in pieces.
                if let Some(input) = block.get("input").and_then(Value::as_object)
                    && !input.is_empty()
                {
                    let input = Value::Object(input.clone()).to_string();
                    self.tools.args(index(data), &input, &mut out.events)?;
                }
            }
            other => out.skip(other),
        }
        Ok(())
    }

    fn block_delta(&mut self, data: &Value, out: &mut Out) -> Result<(), ModelError> {
        let delta = data.get("delta").unwrap_or(&Value::Null);
        match text_of(delta, "/type") {
            "text_delta" => push_text(text_of(delta, "/text"), out),
            "thinking_delta" => push_reasoning(text_of(delta, "/thinking"), out),
            "signature_delta" => {
                let sealed = sealed(SEAL, text_of(delta, "/signature"));
                out.events.push(ChatEvent::ReasoningSignature(sealed));
            }
            // Also sent for the provider's own tools, which are not ours.
            "input_json_delta" if self.tools.has(index(data)) => {
                let json = text_of(delta, "/partial_json");
                self.tools.args(index(data), json, &mut out.events)?;
            }
            other => out.skip(other),
        }
        Ok(())
    }

    /// What comes later replaces what came before, field by field: the sums at
    /// the end cover what the provider's own tools read in between.
    fn used(&mut self, usage: Option<&Value>, out: &mut Out) {
        let Some(Value::Object(fields)) = usage else {
            return;
        };
        for (name, value) in fields {
            if !value.is_null() {
                self.usage.insert(name.clone(), value.clone());
            }
        }
        let usage = usage_of(Value::Object(self.usage.clone()));
        out.events.push(ChatEvent::Usage(usage));
    }
}

fn usage_of(raw: Value) -> Usage {
    let read = count(&raw, "/cache_read_input_tokens");
    let write = count(&raw, "/cache_creation_input_tokens");
    Usage {
        input: count(&raw, "/input_tokens") + read + write,
        cache_read: read,
        cache_write: write,
        cache_write_1h: count(&raw, "/cache_creation/ephemeral_1h_input_tokens"),
        output: count(&raw, "/output_tokens"),
        reasoning: count(&raw, "/output_tokens_details/thinking_tokens"),
        web_searches: count(&raw, "/server_tool_use/web_search_requests"),
        raw,
        ..Usage::default()
    }
}

fn push_text(text: &str, out: &mut Out) {
    if !text.is_empty() {
        out.events.push(ChatEvent::Text(text.to_owned()));
    }
}

fn push_reasoning(text: &str, out: &mut Out) {
    if !text.is_empty() {
        out.events.push(ChatEvent::Reasoning(text.to_owned()));
    }
}

fn index(data: &Value) -> u64 {
    count(data, "/index")
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "end_turn" => StopReason::End,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::Length,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        "model_context_window_exceeded" => StopReason::ContextFull,
        _ => StopReason::Other,
    }
}
