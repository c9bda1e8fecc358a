//! What a program says as server-sent events: `start`, `stdout` and `stderr`
//! with text, `exit`.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::ports::Output;
use crate::sandboxes::{Execution, whole};

/// The beginnings of letters whose rest is still to come.
#[derive(Default)]
struct Halves {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Halves {
    /// An event for what came, or none when it was half a letter.
    fn frame(&mut self, output: Output) -> Option<Bytes> {
        let (name, half, bytes) = match output {
            Output::Stdout(bytes) => ("stdout", &mut self.stdout, bytes),
            Output::Stderr(bytes) => ("stderr", &mut self.stderr, bytes),
            Output::Exit(ended) => {
                let data = json!({"code": ended.code, "signal": ended.signal, "why": ended.why});
                return Some(event("exit", &data));
            }
        };
        half.extend_from_slice(&bytes);
        let rest = half.split_off(whole(half));
        let text = String::from_utf8_lossy(half).into_owned();
        *half = rest;
        (!text.is_empty()).then(|| event(name, &json!({"text": text})))
    }
}

fn event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

pub(super) fn events(execution: Execution) -> Response {
    let start = json!({"pid": execution.pid, "run": execution.run});
    let state = (Some(event("start", &start)), execution, Halves::default());
    let frames = unfold(state, |(first, mut execution, mut halves)| async move {
        if let Some(first) = first {
            return Some((first, (None, execution, halves)));
        }
        loop {
            let output = execution.output.recv().await?;
            if let Some(frame) = halves.frame(output) {
                return Some((frame, (None, execution, halves)));
            }
        }
    });
    let frames = futures_util::StreamExt::map(frames, Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let never = HeaderValue::from_static("no-cache, no-transform");
    headers.insert(CACHE_CONTROL, never);
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn letters_come_whole() {
        let mut halves = Halves::default();
        let bytes = Bytes::from("a€b");
        let first = halves.frame(Output::Stdout(bytes.slice(..2))).unwrap();
        assert_eq!(first, event("stdout", &json!({"text": "a"})));
        assert_eq!(halves.frame(Output::Stdout(bytes.slice(2..3))), None);
        let other = halves.frame(Output::Stderr(Bytes::from("x"))).unwrap();
        assert_eq!(other, event("stderr", &json!({"text": "x"})));
        let rest = halves.frame(Output::Stdout(bytes.slice(3..))).unwrap();
        assert_eq!(rest, event("stdout", &json!({"text": "€b"})));
    }
}
