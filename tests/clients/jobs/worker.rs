//! The worker in Rust: plain HTTP by hand, to hold the wire to what its
//! documents say. No library of ours is in it.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, told by its environment whom to work for"
)]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than the wait that is asked for.
const ANSWER_WAIT: Duration = Duration::from_secs(40);

fn main() -> Result<(), Box<dyn Error>> {
    let (url, key) = (std::env::var("URL")?, std::env::var("KEY")?);
    let address = url
        .strip_prefix("http://")
        .ok_or("URL is no http address")?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut finished = Vec::new();
    loop {
        // One request does everything: ends what is done, takes what is next.
        let exchange = json!({
            "queues": ["default"], "types": ["voice", "cut"], "slots": 4, "wait_ms": 5000,
            "lease_ms": 3000, "code_version": "rs-1", "heartbeat": [], "finish": finished,
        });
        let answer = post(address, &key, "/jobs/v1/workers/rust/exchange", &exchange)?;
        let jobs = answer.get("jobs").and_then(Value::as_array).cloned();
        finished = Vec::new();
        for job in jobs.unwrap_or_default() {
            finished.push(perform(address, &key, &job)?);
        }
    }
}

/// Runs a job: the work is a step, so that a second run finds it done.
fn perform(address: &str, key: &str, job: &Value) -> Result<Value, Box<dyn Error>> {
    let field = |name: &str| job.get(name).cloned().unwrap_or_default();
    let (id, epoch) = (field("id"), field("epoch"));
    let path = format!(
        "/jobs/v1/jobs/{}/steps/work",
        id.as_str().unwrap_or_default()
    );
    let begun = post(
        address,
        key,
        &format!("{path}/begin"),
        &json!({"epoch": epoch, "version": "1"}),
    )?;
    let mut result = begun.get("result").cloned().unwrap_or_default();
    if begun.get("verdict") == Some(&json!("run")) {
        result = json!({"by": "rust", "type": field("type")});
        post(
            address,
            key,
            &format!("{path}/end"),
            &json!({"epoch": epoch, "result": result}),
        )?;
    }
    Ok(json!({"id": id, "epoch": epoch, "outcome": "completed", "output": result}))
}

fn post(address: &str, key: &str, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\napikey: {key}\r\n\
         authorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    if !head.starts_with("HTTP/1.1 2") {
        return Err(format!("{path}: {head}\n{body}").into());
    }
    Ok(serde_json::from_str(body)?)
}
