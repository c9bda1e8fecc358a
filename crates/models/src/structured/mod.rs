//! Answers in the shape of a JSON Schema, from every provider.
//!
//! A provider is asked by its own means where it has any (`dialect`), and in
//! words where it has not. Either way the answer is read by `lenient`, which
//! takes JSON as models write it, brought into the schema's terms by `coerce`,
//! and validated: start with [`Shape::judge`]. While an answer comes,
//! [`partials`] adds what there is of it. One that does not satisfy its schema
//! goes back to the model once: [`repair`].
//!
//! Invariants: nothing is made up but the schema's own defaults, and then the
//! answer says so; a partial value only grows.

mod coerce;
mod cost;
pub(crate) mod dialect;
mod lenient;
mod scalars;
mod shape;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::{ChatRequest, Message, OutputSchema};
use crate::event::{ChatEvent, ChatStream, StopReason};

pub use shape::{Follower, Shape, Verdict};

/// What is repeated of a wrong answer: a model needs no more to see what it did.
const REPAIR_TEXT_MAX: usize = 200_000;

/// What an answer has of its schema so far. Later ones only add: a text grows
/// at its end, an array gets more items, an object more members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// What is there. Members that have not begun are missing.
    pub value: Value,
    /// JSON Pointers to the values that will not change any more and whose
    /// parents still may: `/plan`, `/files/0`. `""` stands for the whole.
    pub complete: Vec<String>,
    /// Whether this is the whole answer, checked against the schema.
    pub done: bool,
}

impl Partial {
    /// Whether the value at this JSON Pointer will not change any more.
    #[must_use]
    pub fn is_complete(&self, pointer: &str) -> bool {
        self.complete.iter().any(|done| {
            pointer
                .strip_prefix(done.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// An answer with what there is of its value between its events. Before `End`
/// comes the whole value, unless the answer does not satisfy the schema.
#[must_use]
pub fn partials(answer: ChatStream, shape: Arc<Shape>) -> ChatStream {
    let mut follower = Follower::new(shape);
    let events = answer.flat_map(move |item| {
        let mut all = Vec::with_capacity(2);
        match &item {
            Ok(ChatEvent::Text(text)) => {
                let partial = follower.push(text);
                all.push(item);
                all.extend(partial.map(|partial| Ok(ChatEvent::Partial(partial))));
            }
            Ok(ChatEvent::End(stop)) => {
                let whole = match stop {
                    StopReason::ToolUse | StopReason::Pause => None,
                    stop => follower.finish(is_cut(*stop)),
                };
                all.extend(whole.map(|partial| Ok(ChatEvent::Partial(partial))));
                all.push(item);
            }
            _ => all.push(item),
        }
        stream::iter(all)
    });
    Box::pin(events)
}

/// Whether an answer that ends so was ended from outside.
#[must_use]
pub fn is_cut(stop: StopReason) -> bool {
    !matches!(stop, StopReason::End | StopReason::ToolUse)
}

/// The question again, with the wrong answer and what is wrong with it.
#[must_use]
pub fn repair(request: &ChatRequest, answer: &str, problems: &[String]) -> ChatRequest {
    let answer: String = answer.chars().take(REPAIR_TEXT_MAX).collect();
    let mut again = request.clone();
    // Turns without words are refused.
    if !answer.trim().is_empty() {
        again = again.message(Message::assistant(answer));
    }
    again.user(format!(
        "That answer does not satisfy the JSON Schema:\n- {}\n\
         Answer again with the whole corrected JSON value and nothing else.",
        problems.join("\n- ")
    ))
}

/// The schema in words, for providers that do not take it.
pub(crate) fn prompt(wanted: &OutputSchema) -> String {
    format!(
        "Answer with one JSON value and nothing else: no prose, no code fence. \
         It must satisfy this JSON Schema ({}):\n{}",
        wanted.name, wanted.schema
    )
}

/// For fuzzing: reads any text by a schema, in pieces and as a whole.
///
/// # Panics
/// When a value that satisfies its schema is read as another one.
#[doc(hidden)]
pub fn fuzz(schema: &Value, text: &str) {
    let wanted = OutputSchema::strict("fuzz", schema.clone());
    let Ok(shape) = Shape::compile(&wanted) else {
        return;
    };
    let mut follower = Follower::new(shape.clone());
    for c in text.chars() {
        follower.push(c.encode_utf8(&mut [0; 4]));
    }
    if let Verdict::Valid { value, .. } = shape.judge(text, false) {
        let again = shape.judge(&value.to_string(), true);
        let fallback = false;
        assert_eq!(again, Verdict::Valid { value, fallback });
    }
}
