//! Google's `generateContent`: `POST /models/{model}:streamGenerateContent`.
//!
//! Start with [`Gemini`]. Each chunk is a whole response, tool calls come in
//! one piece, and `thoughtSignature` has to go back with the part it came on.

use serde_json::{Map, Value, json};

use crate::chat::{ChatRequest, Effort, Image, Message, Part, Role, ToolChoice};
use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, StopReason};
use crate::structured::dialect;
use crate::usage::Usage;
use crate::wires::http::{Ask, Decoder, Out, Protocol};
use crate::wires::openai_chat::effort_word;
use crate::wires::provider::{Provider, SchemaSupport};
use crate::wires::sse::Event;
use crate::wires::tools::Tools;
use crate::wires::{
    Call, count, fault, in_path, instructions, marked, sealed, set, text_of, with_extra,
};

/// Marks signatures of this protocol.
const SEAL: &str = "gemini";

pub(crate) struct Gemini;

impl Protocol for Gemini {
    fn ask(&self, provider: &Provider, call: &Call) -> Result<Ask, ModelError> {
        let path = format!("{}:streamGenerateContent?alt=sse", path(&call.model)?);
        Ok(Ask::post(path, body(provider, call), call.token))
    }

    fn decoder(&self, _: &Call) -> Box<dyn Decoder> {
        Box::new(Answer::default())
    }
}

/// Tuned models have a folder of their own.
pub(crate) fn path(model: &str) -> Result<String, ModelError> {
    let model = in_path(model)?;
    let own = model.contains('/');
    Ok(if own {
        format!("/{model}")
    } else {
        format!("/models/{model}")
    })
}

fn body(provider: &Provider, call: &Call) -> Value {
    let request = &*call.request;
    let mut body = Map::new();
    let system = instructions(request, provider);
    if !system.is_empty() {
        body.insert(
            "systemInstruction".into(),
            json!({"parts": [{"text": system}]}),
        );
    }
    body.insert("contents".into(), contents(request).into());
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request.tools.iter().map(declaration).collect();
        body.insert("tools".into(), json!([{"functionDeclarations": tools}]));
        let config = json!({"functionCallingConfig": calling(&request.tool_choice)});
        body.insert("toolConfig".into(), config);
    }
    let config = config(provider, call);
    if !config.is_empty() {
        body.insert("generationConfig".into(), config.into());
    }
    with_extra(body, request)
}

fn config(provider: &Provider, call: &Call) -> Map<String, Value> {
    let request = &*call.request;
    let mut config = Map::new();
    if let Some(max) = request.max_tokens {
        config.insert("maxOutputTokens".into(), max.into());
    }
    if let Some(temperature) = request.temperature {
        config.insert("temperature".into(), json!(temperature));
    }
    if let Some(top_p) = request.top_p {
        config.insert("topP".into(), json!(top_p));
    }
    if let Some(seed) = request.seed {
        config.insert("seed".into(), seed.into());
    }
    if !request.stop.is_empty() {
        config.insert("stopSequences".into(), json!(request.stop));
    }
    if let Some(effort) = request.effort {
        config.insert("thinkingConfig".into(), thinking(&call.model, effort));
    }
    if let Some(wanted) = &request.schema
        && provider.schema != SchemaSupport::Prompt
    {
        config.insert("responseMimeType".into(), "application/json".into());
        if provider.schema == SchemaSupport::Native {
            let schema = dialect::gemini(&wanted.schema);
            config.insert("responseJsonSchema".into(), schema);
        }
    }
    config
}

/// Before version 3 thinking was measured in tokens, -1 meaning as many as the
/// model likes; the steps are those of the provider's own compatible endpoint.
fn thinking(model: &str, effort: Effort) -> Value {
    if !model.contains("gemini-2") {
        return json!({"includeThoughts": true, "thinkingLevel": effort_word(effort)});
    }
    let budget = match effort {
        Effort::Minimal => 512,
        Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::Max => -1,
    };
    json!({"includeThoughts": true, "thinkingBudget": budget})
}

fn declaration(tool: &crate::chat::Tool) -> Value {
    json!({
        "name": tool.name,
        "description": tool.description,
        "parametersJsonSchema": dialect::gemini(&tool.parameters),
    })
}

fn calling(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    }
}

fn contents(request: &ChatRequest) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => continue,
            Role::Assistant => "model",
            Role::User | Role::Tool => "user",
        };
        let parts = parts(message, request);
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some((last, all)) if *last == role => all.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    let turns = turns.into_iter();
    turns
        .map(|(role, parts)| json!({"role": role, "parts": parts}))
        .collect()
}

fn parts(message: &Message, request: &ChatRequest) -> Vec<Value> {
    let parts = message.parts.iter();
    parts.filter_map(|part| one(part, request)).collect()
}

fn one(part: &Part, request: &ChatRequest) -> Option<Value> {
    Some(match part {
        Part::Text(text) if text.is_empty() => return None,
        Part::Text(text) => json!({"text": text}),
        Part::Image(Image::Data { mime, data }) => {
            json!({"inlineData": {"mimeType": mime, "data": Image::base64(data)}})
        }
        Part::Image(Image::Url(url)) => json!({"fileData": {"fileUri": url}}),
        Part::ToolCall(call) => {
            let mut value = json!({"functionCall": {"name": call.name, "args": call.args}});
            if let Some(signature) = marked(SEAL, call.signature.as_deref()) {
                set(&mut value, "thoughtSignature", signature.into());
            }
            value
        }
        Part::ToolResult {
            id,
            content,
            is_error,
        } => {
            let key = if *is_error { "error" } else { "result" };
            // Results go by the function's name here.
            let name = name_of(id, request);
            json!({"functionResponse": {"name": name, "response": {key: content}}})
        }
        Part::Reasoning { signature, .. } => {
            let signature = marked(SEAL, signature.as_deref())?;
            json!({"text": "", "thoughtSignature": signature})
        }
    })
}

fn name_of<'a>(id: &'a str, request: &'a ChatRequest) -> &'a str {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let mut calls = parts.filter_map(|part| match part {
        Part::ToolCall(call) if call.id == id => Some(call.name.as_str()),
        _ => None,
    });
    calls.next().unwrap_or(id)
}

/// An answer while it comes.
#[derive(Debug, Default)]
struct Answer {
    id: String,
    started: bool,
    tools: Tools,
    calls: u64,
    stop: Option<StopReason>,
}

impl Decoder for Answer {
    fn event(&mut self, event: &Event, out: &mut Out) -> Result<(), ModelError> {
        if event.data.trim().is_empty() {
            return Ok(());
        }
        let data = out.json(event)?;
        if let Some(chunks) = data.as_array() {
            // Without `alt=sse` the answer is an array of chunks; errors too.
            for chunk in chunks {
                self.chunk(chunk, out)?;
            }
            return Ok(());
        }
        self.chunk(&data, out)
    }

    fn eof(&mut self, out: &mut Out) -> Result<(), ModelError> {
        let Some(mut stop) = self.stop.take() else {
            return Ok(());
        };
        // Whatever word the server has for it.
        if matches!(stop, StopReason::End | StopReason::Other) && self.tools.any() {
            stop = StopReason::ToolUse;
        }
        self.tools.finish(stop, &mut out.events)?;
        out.events.push(ChatEvent::End(stop));
        Ok(())
    }
}

impl Answer {
    fn chunk(&mut self, data: &Value, out: &mut Out) -> Result<(), ModelError> {
        if data.get("error").is_some_and(|error| !error.is_null()) {
            return Err(fault::from_event(&out.provider, data));
        }
        if !std::mem::replace(&mut self.started, true) {
            text_of(data, "/responseId").clone_into(&mut self.id);
            out.events.push(ChatEvent::Start {
                id: self.id.clone(),
                provider: out.provider.name.clone(),
                model: text_of(data, "/modelVersion").to_owned(),
            });
        }
        let used = data.get("usageMetadata").filter(|usage| usage.is_object());
        if let Some(usage) = used {
            out.events.push(ChatEvent::Usage(usage_of(usage.clone())));
        }
        let blocked = text_of(data, "/promptFeedback/blockReason");
        if !blocked.is_empty() {
            let text = format!("the prompt was blocked: {blocked}");
            let mut error = ModelError::new(ModelErrorKind::ContentFilter, text);
            error.provider_code = Some(blocked.to_owned());
            return Err(error);
        }
        let Some(candidate) = data.pointer("/candidates/0") else {
            return Ok(());
        };
        let parts = candidate
            .pointer("/content/parts")
            .and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            self.part(part, out)?;
        }
        self.stop = match text_of(candidate, "/finishReason") {
            "" => return Ok(()),
            reason => Some(stop(reason)?),
        };
        Ok(())
    }

    fn part(&mut self, part: &Value, out: &mut Out) -> Result<(), ModelError> {
        let signature = match text_of(part, "/thoughtSignature") {
            "" => None,
            signature => Some(sealed(SEAL, signature)),
        };
        if let Some(call) = part.get("functionCall") {
            return self.call(call, signature, out);
        }
        let text = text_of(part, "/text");
        let thought = part.get("thought").and_then(Value::as_bool) == Some(true);
        if !text.is_empty() {
            let text = text.to_owned();
            let event = if thought {
                ChatEvent::Reasoning(text)
            } else {
                ChatEvent::Text(text)
            };
            out.events.push(event);
        } else if signature.is_none() && part.get("text").is_none() {
            let kind = part.as_object().and_then(|part| part.keys().next());
            out.skip(kind.map_or("part", String::as_str));
        }
        if let Some(signature) = signature {
            out.events.push(ChatEvent::ReasoningSignature(signature));
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: &Value,
        signature: Option<String>,
        out: &mut Out,
    ) -> Result<(), ModelError> {
        let key = self.calls;
        self.calls += 1;
        // Usually there is none, and results go by name; ours must differ
        // between the turns of a conversation.
        let id = match text_of(call, "/id") {
            "" => format!("call_{}_{key}", self.id),
            id => id.to_owned(),
        };
        let name = text_of(call, "/name");
        self.tools
            .start(key, (&id, name), signature, &mut out.events)?;
        let args = call.get("args").filter(|args| args.is_object());
        let args = args.map_or_else(|| "{}".to_owned(), Value::to_string);
        self.tools.args(key, &args, &mut out.events)?;
        self.tools.end(key, None, &mut out.events)
    }
}

fn usage_of(raw: Value) -> Usage {
    let thoughts = count(&raw, "/thoughtsTokenCount");
    Usage {
        input: count(&raw, "/promptTokenCount") + count(&raw, "/toolUsePromptTokenCount"),
        cache_read: count(&raw, "/cachedContentTokenCount"),
        output: count(&raw, "/candidatesTokenCount") + thoughts,
        reasoning: thoughts,
        raw,
        ..Usage::default()
    }
}

fn stop(reason: &str) -> Result<StopReason, ModelError> {
    Ok(match reason {
        "STOP" => StopReason::End,
        "MAX_TOKENS" => StopReason::Length,
        "CONTINUATION" => StopReason::Pause,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "LANGUAGE" => StopReason::ContentFilter,
        // The model has tried to call a tool and failed at it: asking again helps.
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "MALFORMED_RESPONSE" => {
            let text = format!("the model gave up: {reason}");
            let mut error = ModelError::new(ModelErrorKind::Server, text);
            error.provider_code = Some(reason.to_owned());
            return Err(error);
        }
        _ => StopReason::Other,
    })
}
