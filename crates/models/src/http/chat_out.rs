//! `OpenAI`'s chat completions as they are answered. Pure but for the stream.

use axum::body::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};

use super::error::{Dialect, Refused};
use super::frames::{self, Voice};
use super::{fields, model_of};
use crate::answer::Answer;
use crate::chat::Part;
use crate::error::ModelError;
use crate::event::{ChatEvent, StopReason};
use crate::reply::Reply;
use crate::usage::Usage;

pub(super) fn whole(reply: &Reply, made: i64) -> Value {
    let calls: Vec<Value> = reply
        .tool_calls
        .iter()
        .map(|call| {
            json!({
                "id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.args.to_string()},
            })
        })
        .collect();
    // A value that was repaired or filled up outranks the text it came from.
    let text = reply
        .value
        .as_ref()
        .map_or_else(|| reply.text.clone(), Value::to_string);
    let mut message = json!({
        "role": "assistant",
        "content": if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() },
        "refusal": null,
    });
    if !calls.is_empty() {
        fields::set(&mut message, "tool_calls", calls);
    }
    let thoughts = reply.parts.iter().filter_map(|part| match part {
        Part::Reasoning { text, .. } => Some(text.as_str()),
        _ => None,
    });
    let thoughts: String = thoughts.collect();
    if !thoughts.is_empty() {
        fields::set(&mut message, "reasoning_content", thoughts);
    }
    json!({
        "id": format!("chatcmpl-{}", reply.head.call), "object": "chat.completion", "created": made,
        "model": reply.model(),
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(reply.stop)}],
        "usage": usage(&reply.usage),
    })
}

fn finish(stop: StopReason) -> &'static str {
    match stop {
        StopReason::ToolUse => "tool_calls",
        StopReason::Length | StopReason::ContextFull => "length",
        StopReason::Refusal | StopReason::ContentFilter => "content_filter",
        StopReason::End | StopReason::StopSequence | StopReason::Pause | StopReason::Other => {
            "stop"
        }
    }
}

fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

/// The answer as it comes.
pub(super) fn stream(
    answer: Answer,
    made: i64,
    with_usage: bool,
) -> impl Stream<Item = Bytes> + Send {
    let voice = Chunks {
        id: format!("chatcmpl-{}", answer.head.call),
        model: model_of(&answer),
        made,
        with_usage,
        usage: Usage::default(),
        calls: Vec::new(),
    };
    frames::spoken(answer, voice)
}

struct Chunks {
    id: String,
    model: String,
    made: i64,
    with_usage: bool,
    usage: Usage,
    /// The index of each call of a tool, and whether its arguments came in pieces.
    calls: Vec<(usize, bool)>,
}

impl Chunks {
    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Bytes {
        let mut chunk = self.empty();
        fields::set(
            &mut chunk,
            "choices",
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]),
        );
        if self.with_usage {
            fields::set(&mut chunk, "usage", Value::Null);
        }
        frames::data(&chunk)
    }

    fn empty(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.made,
            "model": self.model, "choices": [],
        })
    }

    /// Calls are counted from 0 here, whatever else the answer has.
    fn place(&self, index: usize) -> usize {
        self.calls
            .iter()
            .position(|(known, _)| *known == index)
            .unwrap_or(0)
    }

    fn arguments(&self, index: usize, text: &str) -> Bytes {
        let call = json!({"index": self.place(index), "function": {"arguments": text}});
        self.chunk(&json!({"tool_calls": [call]}), None)
    }
}

impl Voice for Chunks {
    fn begin(&mut self, out: &mut Vec<Bytes>) {
        out.push(self.chunk(&json!({"role": "assistant", "content": ""}), None));
    }

    fn say(&mut self, event: ChatEvent, out: &mut Vec<Bytes>) {
        match event {
            ChatEvent::Text(text) => out.push(self.chunk(&json!({"content": text}), None)),
            ChatEvent::Reasoning(text) => {
                out.push(self.chunk(&json!({"reasoning_content": text}), None));
            }
            ChatEvent::ToolStart {
                index, id, name, ..
            } => {
                self.calls.push((index, false));
                let call = json!({
                    "index": self.place(index), "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""},
                });
                out.push(self.chunk(&json!({"tool_calls": [call]}), None));
            }
            ChatEvent::ToolArgs { index, delta } => {
                let place = self.place(index);
                if let Some((_, pieces)) = self.calls.get_mut(place) {
                    *pieces = true;
                }
                out.push(self.arguments(index, &delta));
            }
            ChatEvent::ToolEnd { index, args } => {
                if self
                    .calls
                    .iter()
                    .any(|(known, pieces)| *known == index && !pieces)
                {
                    out.push(self.arguments(index, &args.to_string()));
                }
            }
            ChatEvent::Usage(usage) => self.usage = usage,
            ChatEvent::End(stop) => {
                out.push(self.chunk(&json!({}), Some(finish(stop))));
                if self.with_usage {
                    let mut last = self.empty();
                    fields::set(&mut last, "usage", usage(&self.usage));
                    out.push(frames::data(&last));
                }
                out.push(Bytes::from_static(b"data: [DONE]\n\n"));
            }
            ChatEvent::Start { .. }
            | ChatEvent::ReasoningSignature(_)
            | ChatEvent::Partial(_)
            | ChatEvent::Attempt { .. } => {}
        }
    }

    fn fail(&mut self, error: ModelError, out: &mut Vec<Bytes>) {
        let refused = Refused::from(error).said_in(Dialect::Openai);
        out.push(frames::data(&refused.body()));
    }
}
