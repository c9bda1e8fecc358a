//! Server-sent events, and turning a model's events into those of a dialect.

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;

use crate::answer::Answer;
use crate::error::ModelError;
use crate::event::{ChatEvent, ChatStream};

/// `data:` alone, as `OpenAI`'s chat has it.
pub(super) fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// With the event's name.
pub(super) fn event(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

/// Says in a dialect what a model says.
pub(super) trait Voice: Send + 'static {
    /// What comes before anything is said.
    fn begin(&mut self, out: &mut Vec<Bytes>);
    /// Says one event.
    fn say(&mut self, event: ChatEvent, out: &mut Vec<Bytes>);
    /// Says that it failed, which ends the answer.
    fn fail(&mut self, error: ModelError, out: &mut Vec<Bytes>);
}

struct Saying<V> {
    events: ChatStream,
    voice: V,
    over: bool,
    begun: bool,
}

/// The answer in this voice. Each event's frames leave at once and together.
pub(super) fn spoken<V: Voice>(answer: Answer, voice: V) -> impl Stream<Item = Bytes> + Send {
    let saying = Saying {
        events: answer.stream,
        voice,
        over: false,
        begun: false,
    };
    stream::unfold(saying, |mut saying| async move {
        loop {
            let mut out = Vec::new();
            if !saying.begun {
                saying.begun = true;
                saying.voice.begin(&mut out);
            } else if saying.over {
                return None;
            } else {
                match saying.events.next().await {
                    Some(Ok(event)) => saying.voice.say(event, &mut out),
                    Some(Err(error)) => {
                        saying.over = true;
                        saying.voice.fail(error, &mut out);
                    }
                    None => return None,
                }
            }
            match out.len() {
                0 => {}
                1 => return out.pop().map(|frame| (frame, saying)),
                _ => return Some((Bytes::from(out.concat()), saying)),
            }
        }
    })
}
