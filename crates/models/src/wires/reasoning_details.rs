//! `OpenRouter`'s `reasoning_details`: pieces of thoughts in the shape of the
//! provider behind it, to be sent back as they were.

use serde_json::{Map, Value};

use crate::wires::sealed;

/// Blocks of one answer: more than any model makes.
const BLOCKS_MAX: usize = 64;

/// Fields that come in pieces; all others are told once.
const GROWING: [&str; 4] = ["text", "summary", "data", "signature"];

/// The blocks so far, by index and type.
#[derive(Debug, Default)]
pub(crate) struct Details(Vec<Map<String, Value>>);

impl Details {
    /// Takes the next pieces.
    pub(crate) fn add(&mut self, pieces: Option<&Value>) {
        let pieces = pieces.and_then(Value::as_array).into_iter().flatten();
        for piece in pieces.filter_map(Value::as_object) {
            let same = |block: &Map<String, Value>| {
                block.get("index") == piece.get("index") && block.get("type") == piece.get("type")
            };
            let known = self.0.iter().rposition(same);
            if let Some(block) = known.and_then(|at| self.0.get_mut(at)) {
                grow(block, piece);
            } else if self.0.len() < BLOCKS_MAX {
                self.0.push(piece.clone());
            }
        }
    }

    /// All blocks as one mark.
    pub(crate) fn sealed(&mut self, seal: &str) -> Option<String> {
        let blocks = std::mem::take(&mut self.0);
        if blocks.is_empty() {
            return None;
        }
        let blocks: Vec<Value> = blocks.into_iter().map(Value::Object).collect();
        Some(sealed(seal, &Value::Array(blocks).to_string()))
    }
}

fn grow(block: &mut Map<String, Value>, piece: &Map<String, Value>) {
    for (name, value) in piece {
        match (block.get_mut(name), value) {
            (Some(Value::String(all)), Value::String(more)) if GROWING.contains(&name.as_str()) => {
                all.push_str(more);
            }
            (_, Value::Null) => {}
            _ => {
                block.insert(name.clone(), value.clone());
            }
        }
    }
}
