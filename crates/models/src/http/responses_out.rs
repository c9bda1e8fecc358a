//! `OpenAI`'s responses as they are answered.

use axum::body::Bytes;
use futures_util::Stream;
use serde_json::{Value, json};

use super::error::{Dialect, Refused};
use super::frames::{self, Voice};
use super::{fields, model_of};
use crate::answer::Answer;
use crate::error::ModelError;
use crate::event::{ChatEvent, StopReason};
use crate::reply::Reply;
use crate::usage::Usage;

pub(super) fn whole(reply: &Reply, made: i64) -> Value {
    let mut output = Vec::new();
    let text = reply
        .value
        .as_ref()
        .map_or_else(|| reply.text.clone(), Value::to_string);
    if !text.is_empty() {
        output.push(message(
            &format!("msg_{}", reply.head.call),
            &text,
            "completed",
        ));
    }
    for (at, call) in reply.tool_calls.iter().enumerate() {
        let id = format!("fc_{}_{at}", reply.head.call);
        output.push(function_call(
            &id,
            &call.id,
            &call.name,
            &call.args.to_string(),
        ));
    }
    let id = format!("resp_{}", reply.head.call);
    response(
        &id,
        &reply.model(),
        made,
        Some(reply.stop),
        &output,
        Some(&reply.usage),
    )
}

fn message(id: &str, text: &str, status: &str) -> Value {
    json!({
        "type": "message", "id": id, "status": status, "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    })
}

fn function_call(id: &str, call: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call", "id": id, "call_id": call, "name": name, "arguments": arguments,
        "status": "completed",
    })
}

fn response(
    id: &str,
    model: &str,
    made: i64,
    stop: Option<StopReason>,
    output: &[Value],
    usage: Option<&Usage>,
) -> Value {
    let cut = match stop {
        Some(StopReason::Length | StopReason::ContextFull) => Some("max_output_tokens"),
        Some(StopReason::ContentFilter | StopReason::Refusal) => Some("content_filter"),
        _ => None,
    };
    let status = match (stop, cut) {
        (None, _) => "in_progress",
        (Some(_), Some(_)) => "incomplete",
        (Some(_), None) => "completed",
    };
    json!({
        "id": id, "object": "response", "created_at": made, "status": status, "error": null,
        "incomplete_details": cut.map(|reason| json!({"reason": reason})),
        "instructions": null, "metadata": {}, "model": model, "output": output,
        "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto", "tools": [],
        "top_p": null, "text": {"format": {"type": "text"}},
        "usage": usage.map(|usage| json!({
            "input_tokens": usage.input, "input_tokens_details": {"cached_tokens": usage.cache_read},
            "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.total(),
        })),
    })
}

/// The answer as it comes.
pub(super) fn stream(answer: Answer, made: i64) -> impl Stream<Item = Bytes> + Send {
    let voice = Events {
        call: answer.head.call.to_string(),
        model: model_of(&answer),
        made,
        number: 0,
        items: Vec::new(),
        text: None,
        usage: Usage::default(),
    };
    frames::spoken(answer, voice)
}

struct Events {
    call: String,
    model: String,
    made: i64,
    number: u64,
    /// What is complete; a call that is being made has its place already.
    items: Vec<Item>,
    /// The text that is being said: its place among the items.
    text: Option<usize>,
    usage: Usage,
}

enum Item {
    Text(String),
    Call {
        index: usize,
        id: String,
        name: String,
        arguments: String,
    },
}

impl Events {
    fn push(&mut self, out: &mut Vec<Bytes>, kind: &str, mut event: Value) {
        fields::set(&mut event, "type", kind);
        fields::set(&mut event, "sequence_number", self.number);
        self.number += 1;
        out.push(frames::event(kind, &event));
    }

    fn response(&self, stop: Option<StopReason>) -> Value {
        let items = (0..self.items.len()).filter_map(|at| self.item(at));
        let output: Vec<_> = items.filter(|_| stop.is_some()).collect();
        let usage = stop.map(|_| &self.usage);
        let id = format!("resp_{}", self.call);
        response(&id, &self.model, self.made, stop, &output, usage)
    }

    fn id(&self, at: usize) -> String {
        let kind = match self.items.get(at) {
            Some(Item::Call { .. }) => "fc",
            _ => "msg",
        };
        format!("{kind}_{}_{at}", self.call)
    }

    fn item(&self, at: usize) -> Option<Value> {
        let id = self.id(at);
        Some(match self.items.get(at)? {
            Item::Text(text) => message(&id, text, "completed"),
            Item::Call {
                id: call,
                name,
                arguments,
                ..
            } => function_call(&id, call, name, arguments),
        })
    }

    fn begin_text(&mut self, out: &mut Vec<Bytes>) -> usize {
        if let Some(at) = self.text {
            return at;
        }
        let at = self.items.len();
        self.items.push(Item::Text(String::new()));
        self.text = Some(at);
        let id = self.id(at);
        let item = json!({
            "type": "message", "id": id, "status": "in_progress", "role": "assistant", "content": [],
        });
        self.push(
            out,
            "response.output_item.added",
            json!({"output_index": at, "item": item}),
        );
        let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
        let added = json!({"item_id": id, "output_index": at, "content_index": 0, "part": part});
        self.push(out, "response.content_part.added", added);
        at
    }

    fn end_text(&mut self, out: &mut Vec<Bytes>) {
        let Some(at) = self.text.take() else {
            return;
        };
        let text = match self.items.get(at) {
            Some(Item::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let here = json!({"item_id": self.id(at), "output_index": at, "content_index": 0});
        let mut done = here.clone();
        fields::set(&mut done, "text", text.as_str());
        fields::set(&mut done, "logprobs", json!([]));
        self.push(out, "response.output_text.done", done);
        let mut part = here;
        fields::set(
            &mut part,
            "part",
            json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
        );
        self.push(out, "response.content_part.done", part);
        let item = json!({"output_index": at, "item": self.item(at)});
        self.push(out, "response.output_item.done", item);
    }

    fn call_at(&mut self, wanted: usize) -> Option<(usize, &mut String)> {
        let mut items = self.items.iter_mut().enumerate();
        items.find_map(|(at, item)| match item {
            Item::Call {
                index, arguments, ..
            } if *index == wanted => Some((at, arguments)),
            _ => None,
        })
    }

    fn end_call(&mut self, index: usize, args: &Value, out: &mut Vec<Bytes>) {
        let Some((at, arguments)) = self.call_at(index) else {
            return;
        };
        let came_whole = arguments.is_empty();
        if came_whole {
            *arguments = args.to_string();
        }
        let arguments = arguments.clone();
        let id = self.id(at);
        if came_whole {
            let delta = json!({"item_id": id, "output_index": at, "delta": arguments});
            self.push(out, "response.function_call_arguments.delta", delta);
        }
        let name = match self.items.get(at) {
            Some(Item::Call { name, .. }) => name.clone(),
            _ => String::new(),
        };
        let done = json!({"item_id": id, "output_index": at, "name": name, "arguments": arguments});
        self.push(out, "response.function_call_arguments.done", done);
        let item = json!({"output_index": at, "item": self.item(at)});
        self.push(out, "response.output_item.done", item);
    }
}

impl Voice for Events {
    fn begin(&mut self, out: &mut Vec<Bytes>) {
        for kind in ["response.created", "response.in_progress"] {
            let response = json!({"response": self.response(None)});
            self.push(out, kind, response);
        }
    }

    fn say(&mut self, event: ChatEvent, out: &mut Vec<Bytes>) {
        match event {
            ChatEvent::Text(delta) => {
                let at = self.begin_text(out);
                if let Some(Item::Text(text)) = self.items.get_mut(at) {
                    text.push_str(&delta);
                }
                let event = json!({
                    "item_id": self.id(at), "output_index": at, "content_index": 0, "delta": delta, "logprobs": [],
                });
                self.push(out, "response.output_text.delta", event);
            }
            ChatEvent::ToolStart {
                index, id, name, ..
            } => {
                self.end_text(out);
                let at = self.items.len();
                self.items.push(Item::Call {
                    index,
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                });
                let item = json!({
                    "type": "function_call", "id": self.id(at), "call_id": id, "name": name,
                    "arguments": "", "status": "in_progress",
                });
                self.push(
                    out,
                    "response.output_item.added",
                    json!({"output_index": at, "item": item}),
                );
            }
            ChatEvent::ToolArgs { index, delta } => {
                if let Some((at, arguments)) = self.call_at(index) {
                    arguments.push_str(&delta);
                    let event = json!({"item_id": self.id(at), "output_index": at, "delta": delta});
                    self.push(out, "response.function_call_arguments.delta", event);
                }
            }
            ChatEvent::ToolEnd { index, args } => self.end_call(index, &args, out),
            ChatEvent::Usage(usage) => self.usage = usage,
            ChatEvent::End(stop) => {
                self.end_text(out);
                let response = self.response(Some(stop));
                let complete = response
                    .get("status")
                    .is_some_and(|status| status == "completed");
                let kind = if complete {
                    "response.completed"
                } else {
                    "response.incomplete"
                };
                self.push(out, kind, json!({"response": response}));
            }
            ChatEvent::Start { .. }
            | ChatEvent::Reasoning(_)
            | ChatEvent::ReasoningSignature(_)
            | ChatEvent::Partial(_)
            | ChatEvent::Attempt { .. } => {}
        }
    }

    fn fail(&mut self, error: ModelError, out: &mut Vec<Bytes>) {
        let said = Refused::from(error).said_in(Dialect::Openai).body();
        let error = said.get("error").cloned().unwrap_or_default();
        let mut response = self.response(None);
        fields::set(&mut response, "status", "failed");
        fields::set(
            &mut response,
            "error",
            json!({"code": "server_error", "message": error.get("message")}),
        );
        self.push(out, "response.failed", json!({"response": response}));
    }
}
