//! An answer's growing value as events: what is new since the last time, per
//! file, in pieces that fit into an event. Pure.

use serde_json::{Value, json};

/// Characters of one event's text at most. A character takes at most six bytes
/// as JSON, and an event's data 16 KiB.
const CHARS_MAX: usize = 2500;

/// How much of each file was told.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    files: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    path: String,
    chars: usize,
    done: bool,
}

impl Deltas {
    /// The events of what is new in `partial`. A file is named once its
    /// content has begun: its path is whole then.
    pub(crate) fn grown(&mut self, partial: &Value, is_last: bool) -> Vec<Value> {
        let none = Vec::new();
        let files = partial
            .get("files")
            .and_then(Value::as_array)
            .unwrap_or(&none);
        let mut events = Vec::new();
        for (n, file) in files.iter().enumerate() {
            let text = |name| file.get(name).and_then(Value::as_str);
            let (Some(path), Some(content)) = (text("path"), text("content")) else {
                continue;
            };
            if self.files.len() == n {
                self.files.push(Told {
                    path: path.to_owned(),
                    chars: 0,
                    done: false,
                });
            }
            let is_done = is_last || n + 1 < files.len();
            if let Some(told) = self.files.get_mut(n) {
                told.grow(content, is_done, &mut events);
            }
        }
        events
    }
}

impl Told {
    fn grow(&mut self, content: &str, is_done: bool, events: &mut Vec<Value>) {
        if self.done {
            return;
        }
        let fresh: Vec<char> = content.chars().skip(self.chars).collect();
        for piece in fresh.chunks(CHARS_MAX) {
            let text: String = piece.iter().collect();
            events.push(json!({"file": self.path, "at": self.chars, "text": text}));
            self.chars += piece.len();
        }
        if is_done {
            self.done = true;
            events.push(json!({"file": self.path, "done": true, "chars": self.chars}));
        }
    }
}

/// A text in pieces that fit into an event.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(CHARS_MAX)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_put_together_are_the_files() {
        let content = "ü\u{1}\"\\".repeat(3000);
        let mut deltas = Deltas::default();
        let mut events = Vec::new();
        let chars: Vec<char> = content.chars().collect();
        for length in [1, 2, 2, 4999, chars.len()] {
            let part: String = chars.iter().take(length).collect();
            let partial = json!({"plan": "p", "files": [{"path": "a.ts", "content": part}]});
            events.extend(deltas.grown(&partial, false));
        }
        let whole = json!({"files": [{"path": "a.ts", "content": content}, {"path": "b.ts", "content": "b"}]});
        events.extend(deltas.grown(&whole, true));
        events.extend(deltas.grown(&whole, true));
        let text_of = |path: &str| -> String {
            let of_file = events.iter().filter(|event| event["file"] == path);
            of_file.filter_map(|event| event["text"].as_str()).collect()
        };
        assert_eq!(text_of("a.ts"), content);
        assert_eq!(text_of("b.ts"), "b");
        let ends = events.iter().filter(|event| event["done"] == true).count();
        assert_eq!(ends, 2);
        assert!(
            events
                .iter()
                .all(|event| event.to_string().len() < 16 << 10)
        );
    }

    #[test]
    fn a_file_without_content_is_not_named_yet() {
        let mut deltas = Deltas::default();
        assert!(
            deltas
                .grown(&json!({"files": [{"path": "src/A"}]}), false)
                .is_empty()
        );
        assert!(deltas.grown(&json!({"plan": "x"}), false).is_empty());
    }
}
