//! Tool calls as their pieces come, for all wires.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{ModelError, ModelErrorKind};
use crate::event::{ChatEvent, StopReason};

/// Calls of one answer: more than any model makes on purpose.
const CALLS_MAX: usize = 256;

/// The longest arguments of one call: a file or two.
const ARGS_MAX: usize = 8 << 20;

/// The calls of an answer that is still coming.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    /// By the provider's own key for a call: block, index or output item.
    open: BTreeMap<u64, Open>,
    count: usize,
}

#[derive(Debug)]
struct Open {
    index: usize,
    args: String,
}

impl Tools {
    /// Whether the answer has called anything.
    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    /// Whether this call has begun.
    pub(crate) fn has(&self, key: u64) -> bool {
        self.open.contains_key(&key)
    }

    /// A call begins.
    pub(crate) fn start(
        &mut self,
        key: u64,
        (id, name): (&str, &str),
        signature: Option<String>,
        out: &mut Vec<ChatEvent>,
    ) -> Result<(), ModelError> {
        if self.count >= CALLS_MAX {
            return Err(protocol(format!("more than {CALLS_MAX} tool calls")));
        }
        let index = self.count;
        self.count += 1;
        let args = String::new();
        self.open.insert(key, Open { index, args });
        out.push(ChatEvent::ToolStart {
            index,
            id: id.to_owned(),
            name: name.to_owned(),
            signature,
        });
        Ok(())
    }

    /// More of a call's arguments.
    pub(crate) fn args(
        &mut self,
        key: u64,
        delta: &str,
        out: &mut Vec<ChatEvent>,
    ) -> Result<(), ModelError> {
        let Some(open) = self.open.get_mut(&key) else {
            return Err(protocol("arguments of a tool call that has not begun"));
        };
        if open.args.len() + delta.len() > ARGS_MAX {
            return Err(protocol(format!(
                "arguments of a tool call are longer than {ARGS_MAX} bytes"
            )));
        }
        if !delta.is_empty() {
            open.args.push_str(delta);
            out.push(ChatEvent::ToolArgs {
                index: open.index,
                delta: delta.to_owned(),
            });
        }
        Ok(())
    }

    /// The provider says that a call's arguments are complete. `whole` is its
    /// own last word on them.
    pub(crate) fn end(
        &mut self,
        key: u64,
        whole: Option<&str>,
        out: &mut Vec<ChatEvent>,
    ) -> Result<(), ModelError> {
        if let Some(whole) = whole {
            let rest = match self.open.get(&key) {
                Some(open) => whole.strip_prefix(open.args.as_str()).map(str::to_owned),
                None => None,
            };
            if let Some(rest) = rest {
                self.args(key, &rest, out)?;
            }
        }
        // Whether broken ones are the model's fault or were cut by the allowed
        // length is known only at the end.
        if let Some(open) = self.open.get(&key)
            && let Some(args) = parsed(&open.args)
        {
            out.push(ChatEvent::ToolEnd {
                index: open.index,
                args,
            });
            self.open.remove(&key);
        }
        Ok(())
    }

    /// The answer is over: what is still open ends now.
    pub(crate) fn finish(
        &mut self,
        stop: StopReason,
        out: &mut Vec<ChatEvent>,
    ) -> Result<(), ModelError> {
        for open in std::mem::take(&mut self.open).into_values() {
            match parsed(&open.args) {
                Some(args) => out.push(ChatEvent::ToolEnd {
                    index: open.index,
                    args,
                }),
                None if stop == StopReason::ToolUse || stop == StopReason::End => {
                    return Err(protocol("the arguments of a tool call are not JSON"));
                }
                // Cut in the middle: the stop reason says why.
                None => {}
            }
        }
        Ok(())
    }
}

/// A call without arguments may come without any text.
fn parsed(args: &str) -> Option<Value> {
    if args.trim().is_empty() {
        return Some(Value::Object(Map::new()));
    }
    serde_json::from_str(args).ok()
}

fn protocol(message: impl Into<String>) -> ModelError {
    ModelError::new(ModelErrorKind::Protocol, message)
}
