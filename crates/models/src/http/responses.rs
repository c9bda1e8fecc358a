//! `OpenAI`'s responses as they are asked for. Pure. Nothing is kept between
//! requests, so a conversation comes whole each time.

use serde_json::Value;

use super::error::Refused;
use super::{Asked, chat_in, fields};
use crate::chat::{ChatRequest, Message, Part, Role, ToolCall};

type Result<T> = std::result::Result<T, Refused>;

/// Reads a request.
pub(super) fn read(body: &Value) -> Result<Asked> {
    for name in ["previous_response_id", "conversation"] {
        if fields::given(body, name).is_some() {
            let message =
                format!("`{name}` is not known here: send the whole conversation in `input`");
            return Err(Refused::invalid(&message, Some(name)));
        }
    }
    if fields::flag(body, "background")? {
        return Err(Refused::invalid(
            "there are no background responses here",
            Some("background"),
        ));
    }
    let mut request = ChatRequest::to(fields::needed(body, "model")?);
    request.system = fields::text(body, "instructions")?.map(str::to_owned);
    match fields::given(body, "input") {
        Some(Value::String(text)) => request.messages.push(Message::user(text)),
        Some(Value::Array(items)) => {
            for item in items {
                add(&mut request.messages, item)?;
            }
        }
        _ => {
            return Err(Refused::invalid(
                "`input` is a text or an array",
                Some("input"),
            ));
        }
    }
    for tool in fields::list(body, "tools")? {
        match fields::needed(tool, "type")? {
            "function" => request.tools.push(chat_in::read_tool(tool)?),
            other => {
                let message = format!("tools of type `{other}` are not offered here");
                return Err(Refused::invalid(&message, Some("tools")));
            }
        }
    }
    request.tool_choice = chat_in::choice(fields::given(body, "tool_choice"))?;
    if let Some(format) = body
        .pointer("/text/format")
        .filter(|format| !format.is_null())
    {
        request.schema = chat_in::shape(format, Some(format))?;
    }
    request.max_tokens = fields::count(body, "max_output_tokens")?;
    request.temperature = fields::number(body, "temperature", 2.0)?;
    request.top_p = fields::number(body, "top_p", 1.0)?;
    let reasoning = fields::given(body, "reasoning").unwrap_or(&Value::Null);
    request.effort = fields::effort(reasoning, "effort")?;
    Ok(Asked {
        request,
        stream: fields::flag(body, "stream")?,
        include_usage: true,
    })
}

/// Items of one turn stand beside each other here; a call of a tool belongs to
/// the model's turn before it.
fn add(messages: &mut Vec<Message>, item: &Value) -> Result<()> {
    match fields::text(item, "type")?.unwrap_or("message") {
        "message" => messages.push(message(item)?),
        "function_call" => {
            let call = Part::ToolCall(ToolCall {
                id: fields::needed(item, "call_id")?.to_owned(),
                name: fields::needed(item, "name")?.to_owned(),
                args: fields::arguments(fields::text(item, "arguments")?.unwrap_or_default())?,
                signature: None,
            });
            match messages.last_mut() {
                Some(last) if last.role == Role::Assistant => last.parts.push(call),
                _ => messages.push(Message {
                    role: Role::Assistant,
                    parts: vec![call],
                }),
            }
        }
        "function_call_output" => {
            let id = fields::needed(item, "call_id")?;
            let output = fields::content_text(item.get("output"))?;
            messages.push(Message::tool_result(id, output, false));
        }
        // Thoughts are the provider's own and come without what it would know
        // them by.
        "reasoning" => {}
        other => {
            let message = format!("items of type `{other}` are not taken here");
            return Err(Refused::invalid(&message, Some("input")));
        }
    }
    Ok(())
}

fn message(item: &Value) -> Result<Message> {
    let role = match fields::needed(item, "role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        _ => {
            let expected = "`role` is user, assistant, system or developer";
            return Err(Refused::invalid(expected, Some("input")));
        }
    };
    let parts = match fields::given(item, "content") {
        Some(Value::String(text)) => vec![Part::Text(text.clone())],
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Result<_>>()?,
        _ => {
            return Err(Refused::invalid(
                "`content` is a text or an array",
                Some("input"),
            ));
        }
    };
    Ok(Message { role, parts })
}

fn part(part: &Value) -> Result<Part> {
    match fields::needed(part, "type")? {
        "input_text" | "output_text" | "text" => Ok(Part::Text(
            fields::text(part, "text")?.unwrap_or_default().to_owned(),
        )),
        "refusal" => Ok(Part::Text(
            fields::text(part, "refusal")?
                .unwrap_or_default()
                .to_owned(),
        )),
        "input_image" => Ok(Part::Image(fields::picture(fields::needed(
            part,
            "image_url",
        )?)?)),
        other => {
            let message = format!("parts of type `{other}` are not taken here");
            Err(Refused::invalid(&message, Some("input")))
        }
    }
}
