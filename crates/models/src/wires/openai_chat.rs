//! Chat completions: `POST /chat/completions`, as `OpenAI` speaks them and as
//! Ollama, llama.cpp, vLLM, Groq, `OpenRouter` and many more do.
//!
//! Start with [`OpenaiChat`]. Servers differ in small things: usage comes in a
//! chunk of its own or in any other, reasoning has two names, errors stand in
//! chunks, and some answer without streaming. All of it is accepted from all.

use serde_json::{Map, Value, json};

use crate::chat::{ChatRequest, Effort, Image, Message, Part, Role, ToolChoice};
use crate::error::ModelError;
use crate::event::{ChatEvent, StopReason};
use crate::structured::dialect;
use crate::usage::Usage;
use crate::wires::http::{Ask, Decoder, Out, Protocol};
use crate::wires::provider::{Provider, SchemaSupport, WireKind};
use crate::wires::reasoning_details::Details;
use crate::wires::sse::Event;
use crate::wires::tools::Tools;
use crate::wires::{Call, count, fault, instructions, marked, set, text_of, with_extra};

/// Marks `reasoning_details`, which `OpenRouter` wants back.
pub(crate) const SEAL: &str = "openrouter";

pub(crate) struct OpenaiChat;

impl Protocol for OpenaiChat {
    fn ask(&self, provider: &Provider, call: &Call) -> Result<Ask, ModelError> {
        let body = body(provider, call);
        Ok(Ask::post("/chat/completions", body, call.token))
    }

    fn decoder(&self, _: &Call) -> Box<dyn Decoder> {
        Box::new(Answer::default())
    }
}

fn body(provider: &Provider, call: &Call) -> Value {
    let request = &*call.request;
    let mut body = Map::new();
    body.insert("model".into(), call.model.clone().into());
    body.insert("messages".into(), messages(provider, request).into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({"include_usage": true}));
    if !request.tools.is_empty() {
        body.insert("tools".into(), tools(request).into());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice));
    }
    if let Some(max) = request.max_tokens {
        body.insert(max_tokens_field(provider).into(), max.into());
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(top_p) = request.top_p {
        body.insert("top_p".into(), json!(top_p));
    }
    if let Some(seed) = request.seed {
        body.insert("seed".into(), seed.into());
    }
    if !request.stop.is_empty() {
        body.insert("stop".into(), json!(request.stop));
    }
    if let Some(format) = response_format(provider, request) {
        body.insert("response_format".into(), format);
    }
    let router = provider.kind == WireKind::Openrouter;
    if let Some(effort) = request.effort {
        let effort = effort_word(effort);
        if router {
            body.insert("reasoning".into(), json!({"effort": effort}));
        } else {
            body.insert("reasoning_effort".into(), effort.into());
        }
    }
    if router {
        body.insert("usage".into(), json!({"include": true}));
    }
    with_extra(body, request)
}

/// `OpenAI`'s newer models refuse the old name, most other servers know only it.
fn max_tokens_field(provider: &Provider) -> &'static str {
    let openai = provider.base_url.starts_with("https://api.openai.com/");
    if openai {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
}

/// The longest thinking has no common name.
pub(crate) fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::Max => "high",
        other => other.as_str(),
    }
}

fn response_format(provider: &Provider, request: &ChatRequest) -> Option<Value> {
    let wanted = request.schema.as_ref()?;
    Some(match provider.schema {
        SchemaSupport::Prompt => return None,
        SchemaSupport::JsonMode => json!({"type": "json_object"}),
        SchemaSupport::Native => {
            let (schema, strict) = dialect::openai(wanted);
            json!({
                "type": "json_schema",
                "json_schema": {"name": wanted.name, "schema": schema, "strict": strict},
            })
        }
    })
}

fn tools(request: &ChatRequest) -> Vec<Value> {
    let tools = request.tools.iter().map(|tool| {
        let mut function = json!({
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        });
        // Arguments are not coerced as answers are, so only what is already
        // strict is declared so.
        if tool.strict && dialect::is_closed(&tool.parameters) {
            set(&mut function, "strict", true.into());
        }
        json!({"type": "function", "function": function})
    });
    tools.collect()
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn messages(provider: &Provider, request: &ChatRequest) -> Vec<Value> {
    let mut all = Vec::new();
    let system = instructions(request, provider);
    if !system.is_empty() {
        all.push(json!({"role": "system", "content": system}));
    }
    for message in &request.messages {
        match message.role {
            Role::System => {}
            Role::Tool => all.extend(message.parts.iter().filter_map(tool_result)),
            Role::Assistant => all.push(assistant(provider, message)),
            Role::User => {
                // Results may stand in a user's turn, as Anthropic has them.
                all.extend(message.parts.iter().filter_map(tool_result));
                if let Some(content) = content(message) {
                    all.push(json!({"role": "user", "content": content}));
                }
            }
        }
    }
    all
}

/// There is no field for failure here, so the text says it.
pub(crate) fn result_text(content: &str, is_error: bool) -> String {
    let mark = if is_error { "Error: " } else { "" };
    format!("{mark}{content}")
}

fn tool_result(part: &Part) -> Option<Value> {
    let Part::ToolResult {
        id,
        content,
        is_error,
    } = part
    else {
        return None;
    };
    let content = result_text(content, *is_error);
    Some(json!({"role": "tool", "tool_call_id": id, "content": content}))
}

/// Plain text where it is nothing else: small servers know no more.
fn content(message: &Message) -> Option<Value> {
    let plain = !message
        .parts
        .iter()
        .any(|part| matches!(part, Part::Image(_)));
    if plain {
        let text = message.text();
        let only_results = text.is_empty() && !message.parts.is_empty();
        return (!only_results).then(|| text.into());
    }
    let parts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        Part::Image(image) => {
            Some(json!({"type": "image_url", "image_url": {"url": image_url(image)}}))
        }
        _ => None,
    });
    Some(parts.collect())
}

pub(crate) fn image_url(image: &Image) -> String {
    match image {
        Image::Url(url) => url.clone(),
        Image::Data { mime, data } => format!("data:{mime};base64,{}", Image::base64(data)),
    }
}

fn assistant(provider: &Provider, message: &Message) -> Value {
    let mut calls = Vec::new();
    let mut value = json!({"role": "assistant"});
    for part in &message.parts {
        match part {
            Part::ToolCall(call) => calls.push(json!({
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.args.to_string()},
            })),
            // Others either ignore thoughts of the past or refuse them.
            Part::Reasoning { signature, .. } if provider.kind == WireKind::Openrouter => {
                let details = marked(SEAL, signature.as_deref());
                if let Some(details) = details.and_then(|text| serde_json::from_str(text).ok()) {
                    set(&mut value, "reasoning_details", details);
                }
            }
            _ => {}
        }
    }
    let text = message.text();
    let silent = text.is_empty() && !calls.is_empty();
    let content = if silent { Value::Null } else { text.into() };
    set(&mut value, "content", content);
    if !calls.is_empty() {
        set(&mut value, "tool_calls", calls.into());
    }
    value
}

/// An answer while it comes.
#[derive(Debug, Default)]
struct Answer {
    started: bool,
    tools: Tools,
    /// Index and id of each call so far.
    calls: Vec<(Option<u64>, String)>,
    details: Details,
    stop: Option<StopReason>,
    refused: bool,
    over: bool,
}

impl Decoder for Answer {
    fn event(&mut self, event: &Event, out: &mut Out) -> Result<(), ModelError> {
        let text = event.data.trim();
        if text.is_empty() || self.over {
            return Ok(());
        }
        if text == "[DONE]" {
            self.over = true;
            return self.eof(out);
        }
        let data = out.json(event)?;
        if data.get("error").is_some_and(|error| !error.is_null()) {
            return Err(fault::from_event(&out.provider, &data));
        }
        let choice = data.pointer("/choices/0");
        let usage = data.get("usage").filter(|usage| usage.is_object());
        if choice.is_none() && usage.is_none() && data.get("id").is_none() {
            out.skip(if event.name.is_empty() {
                "chunk"
            } else {
                &event.name
            });
            return Ok(());
        }
        self.start(&data, out);
        if let Some(choice) = choice {
            self.choice(choice, out)?;
        }
        // Groq has it beside its own things as well.
        let usage = usage.or_else(|| data.pointer("/x_groq/usage").filter(|it| it.is_object()));
        if let Some(usage) = usage {
            out.events.push(ChatEvent::Usage(usage_of(usage.clone())));
        }
        Ok(())
    }

    /// The last word is the finish reason: usage may follow it, and `[DONE]`
    /// is a habit that some servers do not have.
    fn eof(&mut self, out: &mut Out) -> Result<(), ModelError> {
        let Some(mut stop) = self.stop.take() else {
            return Ok(());
        };
        if stop == StopReason::End && self.tools.any() {
            stop = StopReason::ToolUse;
        } else if stop == StopReason::End && self.refused {
            stop = StopReason::Refusal;
        }
        if let Some(sealed) = self.details.sealed(SEAL) {
            out.events.push(ChatEvent::ReasoningSignature(sealed));
        }
        self.tools.finish(stop, &mut out.events)?;
        out.events.push(ChatEvent::End(stop));
        Ok(())
    }
}

impl Answer {
    fn start(&mut self, data: &Value, out: &mut Out) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        out.events.push(ChatEvent::Start {
            id: text_of(data, "/id").to_owned(),
            provider: out.provider.name.clone(),
            model: text_of(data, "/model").to_owned(),
        });
    }

    fn choice(&mut self, choice: &Value, out: &mut Out) -> Result<(), ModelError> {
        // A server that does not stream sends one `message`.
        let delta = choice.get("delta").or_else(|| choice.get("message"));
        let delta = delta.unwrap_or(&Value::Null);
        let reasoning = ["/reasoning_content", "/reasoning"];
        let reasoning = reasoning.map(|name| text_of(delta, name));
        if let Some(text) = reasoning.into_iter().find(|text| !text.is_empty()) {
            out.events.push(ChatEvent::Reasoning(text.to_owned()));
        }
        self.details.add(delta.get("reasoning_details"));
        // A refusal is what the model says.
        for name in ["/content", "/refusal"] {
            let text = text_of(delta, name);
            if !text.is_empty() {
                out.events.push(ChatEvent::Text(text.to_owned()));
            }
        }
        self.refused = self.refused || !text_of(delta, "/refusal").is_empty();
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for call in calls.into_iter().flatten() {
            self.call(call, out)?;
        }
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some("error") => return Err(fault::from_event(&out.provider, choice)),
            Some(reason) => self.stop = Some(stop(reason)),
            None => {}
        }
        Ok(())
    }

    fn call(&mut self, call: &Value, out: &mut Out) -> Result<(), ModelError> {
        let key = self.key(call) as u64;
        if !self.tools.has(key) {
            let id = match text_of(call, "/id") {
                "" => format!("call_{key}"),
                id => id.to_owned(),
            };
            let name = text_of(call, "/function/name");
            self.tools.start(key, (&id, name), None, &mut out.events)?;
        }
        let args = call.pointer("/function/arguments").unwrap_or(&Value::Null);
        match args {
            // Ollama's older versions send the object itself.
            Value::Object(_) => self.tools.args(key, &args.to_string(), &mut out.events),
            other => {
                let delta = other.as_str().unwrap_or_default();
                self.tools.args(key, delta, &mut out.events)
            }
        }
    }
}

impl Answer {
    /// Which call a piece belongs to. Its id comes only with the first piece.
    /// Some servers leave the index out, and some give all calls the same.
    fn key(&mut self, call: &Value) -> usize {
        let index = call.get("index").and_then(Value::as_u64);
        let id = text_of(call, "/id");
        let known = self
            .calls
            .iter()
            .rposition(|(one, name)| match (id, index) {
                ("", None) => true,
                ("", index) => *one == index,
                (id, _) => name == id,
            });
        known.unwrap_or_else(|| {
            self.calls.push((index, id.to_owned()));
            self.calls.len() - 1
        })
    }
}

fn usage_of(raw: Value) -> Usage {
    Usage {
        input: count(&raw, "/prompt_tokens"),
        cache_read: count(&raw, "/prompt_tokens_details/cached_tokens"),
        cache_write: count(&raw, "/prompt_tokens_details/cache_write_tokens"),
        output: count(&raw, "/completion_tokens"),
        reasoning: count(&raw, "/completion_tokens_details/reasoning_tokens"),
        // Only the router's cost is money: elsewhere the word means anything.
        cost: raw
            .get("cost")
            .and_then(Value::as_f64)
            .filter(|cost| *cost >= 0.0),
        raw,
        ..Usage::default()
    }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "stop" => StopReason::End,
        "length" => StopReason::Length,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::ContentFilter,
        _ => StopReason::Other,
    }
}
