//! Answers in the shape of a JSON Schema.

pub(crate) mod dialect;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// The schema in words, for providers that do not take it.
pub(crate) fn prompt(wanted: &crate::chat::OutputSchema) -> String {
    format!(
        "Answer with one JSON value and nothing else: no prose, no code fence. \
         It must satisfy this JSON Schema ({}):\n{}",
        wanted.name, wanted.schema
    )
}
