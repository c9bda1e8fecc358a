//! Anthropic's messages as they are answered.

use axum::body::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};

use super::error::{Dialect, Refused};
use super::frames::{self, Voice};
use super::model_of;
use crate::answer::Answer;
use crate::chat::Part;
use crate::error::ModelError;
use crate::event::{ChatEvent, StopReason};
use crate::reply::Reply;
use crate::usage::Usage;

pub(super) fn whole(reply: &Reply) -> Value {
    let content: Vec<Value> = match &reply.value {
        Some(value) => vec![json!({"type": "text", "text": value.to_string()})],
        None => reply.parts.iter().filter_map(block).collect(),
    };
    json!({
        "id": format!("msg_{}", reply.head.call), "type": "message", "role": "assistant",
        "model": reply.model(), "content": content, "stop_reason": stop_word(reply.stop),
        "stop_sequence": null, "usage": usage(&reply.usage),
    })
}

fn block(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::ToolCall(call) => {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.args})
        }
        Part::Reasoning { text, signature } => json!({
            "type": "thinking", "thinking": text, "signature": signature.clone().unwrap_or_default(),
        }),
        Part::Image(_) | Part::ToolResult { .. } => return None,
    })
}

fn stop_word(stop: StopReason) -> &'static str {
    match stop {
        StopReason::End | StopReason::Other => "end_turn",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolUse => "tool_use",
        StopReason::Length => "max_tokens",
        StopReason::Refusal | StopReason::ContentFilter => "refusal",
        StopReason::Pause => "pause_turn",
        StopReason::ContextFull => "model_context_window_exceeded",
    }
}

/// Input is counted without what a cache had a part in, as Anthropic does.
fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.plain_input(), "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read, "cache_creation_input_tokens": usage.cache_write,
    })
}

/// The answer as it comes. `input` is our own count: the provider's may come
/// later than the first frame must.
pub(super) fn stream(answer: Answer, input: u64) -> impl Stream<Item = Bytes> + Send {
    let voice = Blocks {
        id: format!("msg_{}", answer.head.call),
        model: model_of(&answer),
        usage: Usage {
            input,
            ..Usage::default()
        },
        open: None,
        next: 0,
    };
    frames::spoken(answer, voice)
}

struct Blocks {
    id: String,
    model: String,
    usage: Usage,
    /// The block that is being said.
    open: Option<Open>,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// The call's index, and whether its arguments came in pieces.
    Tool(usize, bool),
}

impl Blocks {
    fn begin_block(&mut self, kind: Open, block: &Value, out: &mut Vec<Bytes>) {
        self.end_block(out);
        let event =
            json!({"type": "content_block_start", "index": self.next, "content_block": block});
        out.push(frames::event("content_block_start", &event));
        self.open = Some(kind);
    }

    fn end_block(&mut self, out: &mut Vec<Bytes>) {
        if self.open.take().is_some() {
            let event = json!({"type": "content_block_stop", "index": self.next});
            out.push(frames::event("content_block_stop", &event));
            self.next += 1;
        }
    }

    fn delta(&self, delta: &Value, out: &mut Vec<Bytes>) {
        let event = json!({"type": "content_block_delta", "index": self.next, "delta": delta});
        out.push(frames::event("content_block_delta", &event));
    }

    fn think(&mut self, out: &mut Vec<Bytes>) {
        if self.open != Some(Open::Thinking) {
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.begin_block(Open::Thinking, &block, out);
        }
    }
}

impl Voice for Blocks {
    fn begin(&mut self, out: &mut Vec<Bytes>) {
        let message = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(&self.usage),
        });
        let event = json!({"type": "message_start", "message": message});
        out.push(frames::event("message_start", &event));
    }

    fn say(&mut self, event: ChatEvent, out: &mut Vec<Bytes>) {
        match event {
            ChatEvent::Text(text) => {
                if self.open != Some(Open::Text) {
                    self.begin_block(Open::Text, &json!({"type": "text", "text": ""}), out);
                }
                self.delta(&json!({"type": "text_delta", "text": text}), out);
            }
            ChatEvent::Reasoning(text) => {
                self.think(out);
                self.delta(&json!({"type": "thinking_delta", "thinking": text}), out);
            }
            ChatEvent::ReasoningSignature(mark) => {
                self.think(out);
                self.delta(&json!({"type": "signature_delta", "signature": mark}), out);
                self.end_block(out);
            }
            ChatEvent::ToolStart {
                index, id, name, ..
            } => {
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.begin_block(Open::Tool(index, false), &block, out);
            }
            ChatEvent::ToolArgs { index, delta } => {
                self.open = Some(Open::Tool(index, true));
                self.delta(
                    &json!({"type": "input_json_delta", "partial_json": delta}),
                    out,
                );
            }
            ChatEvent::ToolEnd { index, args } => {
                if self.open == Some(Open::Tool(index, false)) {
                    let whole = args.to_string();
                    self.delta(
                        &json!({"type": "input_json_delta", "partial_json": whole}),
                        out,
                    );
                }
                self.end_block(out);
            }
            ChatEvent::Usage(usage) => self.usage = usage,
            ChatEvent::End(stop) => {
                self.end_block(out);
                let event = json!({
                    "type": "message_delta",
                    "delta": {"stop_reason": stop_word(stop), "stop_sequence": null},
                    "usage": usage(&self.usage),
                });
                out.push(frames::event("message_delta", &event));
                out.push(frames::event(
                    "message_stop",
                    &json!({"type": "message_stop"}),
                ));
            }
            ChatEvent::Start { .. } | ChatEvent::Partial(_) | ChatEvent::Attempt { .. } => {}
        }
    }

    fn fail(&mut self, error: ModelError, out: &mut Vec<Bytes>) {
        let refused = Refused::from(error).said_in(Dialect::Anthropic);
        out.push(frames::event("error", &refused.body()));
    }
}
