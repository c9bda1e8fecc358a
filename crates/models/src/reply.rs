//! Whole answers: [`Models::complete`] reads a stream to its end, and where a
//! schema is wanted judges the text, asks once more if it does not fit, and
//! says when a default stands in for what the model did not give.

use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::answer::{Answer, Head};
use crate::asker::Asker;
use crate::chat::{ChatRequest, Part, ToolCall};
use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, ChatStream, StopReason};
use crate::room::Models;
use crate::structured::{self, Shape, Verdict};
use crate::usage::Usage;

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Who answered.
    pub head: Head,
    /// All text.
    pub text: String,
    /// The calls of tools that the model wants.
    pub tool_calls: Vec<ToolCall>,
    /// The parts to send back in the next turn, thoughts included.
    pub parts: Vec<Part>,
    /// The value, where a schema was wanted.
    pub value: Option<Value>,
    /// Whether the value holds a default that the model did not give.
    pub fallback: bool,
    /// What the call used, repairs included.
    pub usage: Usage,
    /// What it cost in US dollars; none when nobody knows.
    pub cost: Option<f64>,
    /// Why it ended.
    pub stop: StopReason,
}

impl Reply {
    /// `provider/model`.
    #[must_use]
    pub fn model(&self) -> String {
        format!("{}/{}", self.head.provider, self.head.model)
    }
}

impl Models {
    /// Asks and streams the answer. With a schema, the stream also has what
    /// there is of the value so far.
    pub async fn stream(
        &self,
        asker: Asker,
        request: ChatRequest,
    ) -> Result<ChatStream, ModelError> {
        let shape = shape(&request)?;
        let answer = self.ask(asker, request).await?;
        Ok(match shape {
            Some(shape) => structured::partials(answer.stream, shape),
            None => answer.stream,
        })
    }

    /// Asks and waits for the whole answer.
    pub async fn complete(&self, asker: Asker, request: ChatRequest) -> Result<Reply, ModelError> {
        let Some(shape) = shape(&request)? else {
            return gather(self.ask(asker, request).await?).await;
        };
        let reply = gather(self.ask(asker.clone(), request.clone()).await?).await?;
        if !reply.tool_calls.is_empty() {
            return Ok(reply);
        }
        let problems = match shape.judge(&reply.text, structured::is_cut(reply.stop)) {
            Verdict::Valid { value, fallback } => return Ok(fitting(reply, value, fallback)),
            Verdict::Invalid { problems } => problems,
        };
        let again = structured::repair(&request, &reply.text, &problems);
        let repaired = gather(self.ask(asker, again).await?).await?;
        let repaired = together(&reply, repaired);
        match shape.judge(&repaired.text, structured::is_cut(repaired.stop)) {
            Verdict::Valid { value, fallback } => Ok(fitting(repaired, value, fallback)),
            Verdict::Invalid { .. } => Err(ModelError::new(
                ModelErrorKind::BadOutput,
                "the model's answer does not fit the schema, even after it was asked again",
            )
            .of(&repaired.head.provider)),
        }
    }
}

fn shape(request: &ChatRequest) -> Result<Option<Arc<Shape>>, ModelError> {
    request.schema.as_ref().map(Shape::compile).transpose()
}

fn fitting(reply: Reply, value: Value, fallback: bool) -> Reply {
    Reply {
        value: Some(value),
        fallback,
        ..reply
    }
}

/// The second answer, with what both cost.
fn together(first: &Reply, second: Reply) -> Reply {
    let mut usage = second.usage.clone();
    usage.input += first.usage.input;
    usage.output += first.usage.output;
    usage.cache_read += first.usage.cache_read;
    usage.cache_write += first.usage.cache_write;
    usage.reasoning += first.usage.reasoning;
    usage.estimated |= first.usage.estimated;
    Reply {
        usage,
        cost: first.cost.zip(second.cost).map(|(a, b)| a + b),
        ..second
    }
}

/// Reads an answer to its end.
pub async fn gather(mut answer: Answer) -> Result<Reply, ModelError> {
    let mut parts = Parts::default();
    let mut stop = None;
    while let Some(event) = answer.stream.next().await {
        match event? {
            ChatEvent::End(reason) => stop = Some(reason),
            event => parts.add(event),
        }
    }
    let stop = stop.ok_or_else(|| {
        ModelError::new(
            ModelErrorKind::Truncated,
            "the answer ended without its last word",
        )
    })?;
    let receipt = answer.receipt.get().cloned().unwrap_or_default();
    let calls = parts.done.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some(call.clone()),
        _ => None,
    });
    let texts = parts.done.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    Ok(Reply {
        text: texts.collect(),
        tool_calls: calls.collect(),
        parts: parts.done,
        head: answer.head,
        value: None,
        fallback: false,
        usage: receipt.usage,
        cost: receipt.cost,
        stop,
    })
}

/// Events put together again.
#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    /// Calls that have begun: index, id, name, signature.
    open: Vec<(usize, ToolCall)>,
}

impl Parts {
    fn add(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Text(more) => match self.done.last_mut() {
                Some(Part::Text(text)) => text.push_str(&more),
                _ => self.done.push(Part::Text(more)),
            },
            ChatEvent::Reasoning(more) => match self.done.last_mut() {
                Some(Part::Reasoning {
                    text,
                    signature: None,
                }) => text.push_str(&more),
                _ => self.done.push(Part::Reasoning {
                    text: more,
                    signature: None,
                }),
            },
            ChatEvent::ReasoningSignature(mark) => match self.done.last_mut() {
                Some(Part::Reasoning { signature, .. }) if signature.is_none() => {
                    *signature = Some(mark);
                }
                _ => self.done.push(Part::Reasoning {
                    text: String::new(),
                    signature: Some(mark),
                }),
            },
            ChatEvent::ToolStart {
                index,
                id,
                name,
                signature,
            } => {
                let call = ToolCall {
                    id,
                    name,
                    args: Value::Null,
                    signature,
                };
                self.open.push((index, call));
            }
            ChatEvent::ToolEnd { index, args } => {
                if let Some(at) = self.open.iter().position(|(open, _)| *open == index) {
                    let (_, call) = self.open.remove(at);
                    self.done.push(Part::ToolCall(ToolCall { args, ..call }));
                }
            }
            ChatEvent::Start { .. }
            | ChatEvent::ToolArgs { .. }
            | ChatEvent::Partial(_)
            | ChatEvent::Usage(_)
            | ChatEvent::Attempt { .. }
            | ChatEvent::End(_) => {}
        }
    }
}
