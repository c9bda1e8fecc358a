//! `OpenAI`'s chat completions as they are asked for. Pure.

use serde_json::{Value, json};

use super::error::Refused;
use super::{Asked, fields};
use crate::chat::{ChatRequest, Message, OutputSchema, Part, Role, Tool, ToolCall, ToolChoice};

type Result<T> = std::result::Result<T, Refused>;

/// Reads a request.
pub(super) fn read(body: &Value) -> Result<Asked> {
    if fields::count(body, "n")?.is_some_and(|n| n != 1) {
        return Err(Refused::invalid("`n` is 1 here", Some("n")));
    }
    let mut request = ChatRequest::to(fields::needed(body, "model")?);
    for message in fields::list(body, "messages")? {
        request.messages.push(read_message(message)?);
    }
    for tool in fields::list(body, "tools")? {
        let function = tool.get("function").unwrap_or(&Value::Null);
        request.tools.push(read_tool(function)?);
    }
    request.tool_choice = choice(fields::given(body, "tool_choice"))?;
    request.schema = match fields::given(body, "response_format") {
        None => None,
        Some(format) => shape(format, format.get("json_schema"))?,
    };
    let most = fields::count(body, "max_completion_tokens")?;
    request.max_tokens = most.or(fields::count(body, "max_tokens")?);
    request.temperature = fields::number(body, "temperature", 2.0)?;
    request.top_p = fields::number(body, "top_p", 1.0)?;
    request.seed = fields::given(body, "seed").and_then(Value::as_i64);
    request.stop = fields::texts(body, "stop")?;
    request.effort = fields::effort(body, "reasoning_effort")?;
    let options = fields::given(body, "stream_options").unwrap_or(&Value::Null);
    Ok(Asked {
        request,
        stream: fields::flag(body, "stream")?,
        include_usage: fields::flag(options, "include_usage")?,
    })
}

fn read_message(message: &Value) -> Result<Message> {
    let role = match fields::needed(message, "role")? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => {
            let id = fields::needed(message, "tool_call_id")?;
            let content = fields::content_text(message.get("content"))?;
            return Ok(Message::tool_result(id, content, false));
        }
        _ => {
            let expected = "`role` is system, developer, user, assistant or tool";
            return Err(Refused::invalid(expected, Some("role")));
        }
    };
    let mut parts = match fields::given(message, "content") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![Part::Text(text.clone())],
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Result<_>>()?,
        Some(_) => {
            let expected = "`content` is a text or an array of parts";
            return Err(Refused::invalid(expected, Some("content")));
        }
    };
    for call in fields::list(message, "tool_calls")? {
        let function = call.get("function").unwrap_or(&Value::Null);
        parts.push(Part::ToolCall(ToolCall {
            id: fields::needed(call, "id")?.to_owned(),
            name: fields::needed(function, "name")?.to_owned(),
            args: fields::arguments(fields::text(function, "arguments")?.unwrap_or_default())?,
            signature: None,
        }));
    }
    Ok(Message { role, parts })
}

fn part(part: &Value) -> Result<Part> {
    match fields::needed(part, "type")? {
        "text" => Ok(Part::Text(
            fields::text(part, "text")?.unwrap_or_default().to_owned(),
        )),
        "refusal" => Ok(Part::Text(
            fields::text(part, "refusal")?
                .unwrap_or_default()
                .to_owned(),
        )),
        "image_url" => {
            let image = part.get("image_url").unwrap_or(&Value::Null);
            Ok(Part::Image(fields::picture(fields::needed(image, "url")?)?))
        }
        other => {
            let message = format!("parts of type `{other}` are not taken here");
            Err(Refused::invalid(&message, Some("content")))
        }
    }
}

/// A function as both of `OpenAI`'s dialects describe it.
pub(super) fn read_tool(function: &Value) -> Result<Tool> {
    let parameters = fields::given(function, "parameters").cloned();
    Ok(Tool {
        name: fields::needed(function, "name")?.to_owned(),
        description: fields::text(function, "description")?
            .unwrap_or_default()
            .to_owned(),
        parameters: parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        strict: fields::flag(function, "strict")?,
    })
}

/// Which tool must be called.
pub(super) fn choice(choice: Option<&Value>) -> Result<ToolChoice> {
    let expected = || {
        Refused::invalid(
            "`tool_choice` is auto, none, required or a function",
            Some("tool_choice"),
        )
    };
    match choice {
        None => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(expected()),
        },
        Some(choice) => {
            let function = choice.get("function").unwrap_or(choice);
            let name = function.get("name").and_then(Value::as_str);
            name.map(|name| ToolChoice::Tool(name.to_owned()))
                .ok_or_else(expected)
        }
    }
}

/// The shape of an answer: what says which, and what describes it.
pub(super) fn shape(format: &Value, described: Option<&Value>) -> Result<Option<OutputSchema>> {
    match fields::needed(format, "type")? {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputSchema {
            name: "object".to_owned(),
            schema: json!({"type": "object"}),
            strict: false,
        })),
        "json_schema" => {
            let described = described.unwrap_or(&Value::Null);
            let schema = fields::given(described, "schema").cloned();
            let missing = || Refused::invalid("`schema` is needed", Some("response_format"));
            Ok(Some(OutputSchema {
                name: fields::text(described, "name")?
                    .unwrap_or("answer")
                    .to_owned(),
                schema: schema.ok_or_else(missing)?,
                strict: fields::flag(described, "strict")?,
            }))
        }
        _ => Err(Refused::invalid(
            "`type` of the format is text, json_object or json_schema",
            Some("response_format"),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_whole_request_is_understood() {
        let asked = read(&json!({
            "model": "coder", "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "a cat"}],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}},
            "max_completion_tokens": 7, "temperature": 0.5, "stop": "END", "reasoning_effort": "low",
        }))
        .unwrap();
        assert!(asked.stream && asked.include_usage);
        let request = asked.request;
        assert_eq!(
            (request.target.as_str(), request.max_tokens),
            ("coder", Some(7))
        );
        assert_eq!(request.messages.len(), 4);
        assert_eq!(request.messages[0].role, Role::System);
        assert!(matches!(request.messages[1].parts[1], Part::Image(_)));
        assert!(
            matches!(&request.messages[2].parts[0], Part::ToolCall(call) if call.args["at"] == 1)
        );
        assert_eq!(request.tool_choice, ToolChoice::Tool("look".to_owned()));
        assert_eq!(request.stop, ["END"]);
        assert!(request.schema.unwrap().strict);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
            body[name] = value;
            read(&body)
                .map(drop)
                .map_err(|refused| refused.body()["error"]["param"].clone())
        };
        for (name, value) in [
            ("model", json!(7)),
            ("messages", json!("x")),
            ("temperature", json!(3)),
            ("max_tokens", json!(-1)),
            ("n", json!(2)),
            ("stream", json!("yes")),
            ("tool_choice", json!("sometimes")),
            ("stop", json!([1])),
        ] {
            assert_eq!(with(name, value), Err(json!(name)), "{name}");
        }
        assert_eq!(
            with("response_format", json!({"type": "xml"})),
            Err(json!("response_format"))
        );
    }
}
