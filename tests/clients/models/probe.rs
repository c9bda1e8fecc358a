//! A client of one provider, for `suite.test.js`: asks by the wires of
//! `crates/models` and prints what it heard, one JSON object for each line.
//!
//! It tries again as often and as late as the error says that it may, which is
//! what the doubles' verdicts are about. Input: one JSON object, see [`Order`].

#![expect(clippy::print_stdout, reason = "its output")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kernel::{Clock, Secret, Tasks};
use models::structured::{self, Shape};
use models::wires::{self, Call, EmbedCall, Http, Wire};
use models::{ChatRequest, ModelError, Provider, WireKind};
use serde::Deserialize;
use serde_json::{Value, json};

/// Tries of one call, as the gateway has them.
const TRIES: u32 = 3;

/// The first wait where the provider names none; the next ones are longer.
const WAIT: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Order {
    kind: WireKind,
    url: String,
    model: String,
    /// A question, or texts to make vectors of.
    request: Option<ChatRequest>,
    embed: Option<Vec<String>>,
    /// Milliseconds of silence that are borne.
    #[serde(default)]
    idle: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let order: Order = serde_json::from_reader(io::stdin())?;
    let http = Http::new(&Tasks::new(), Clock::system())?;
    let mut provider = Provider::new("double", order.kind, Some(&order.url));
    provider.key = Some(Secret::new("sk-e2b-no-secret"));
    if let Some(idle) = order.idle {
        provider.timeouts.idle = Duration::from_millis(idle);
    }
    let Some(wire) = wires::connect(provider, &http) else {
        return Err(io::Error::other("no such wire"));
    };
    for attempt in 1..=TRIES {
        let Err(error) = ask(&*wire, &order).await else {
            break;
        };
        let again = error.same_again() && attempt < TRIES;
        let after = error.retry_after.map(|wait| wait.as_secs_f64());
        println!(
            "{}",
            json!({"error": error.kind.code(), "status": error.status, "retry_after": after, "again": again})
        );
        if !again {
            break;
        }
        let wait = error.retry_after.unwrap_or(WAIT * 3_u32.pow(attempt - 1));
        tokio::time::sleep(wait).await;
    }
    println!("{}", json!({"skipped": http.skipped()}));
    Ok(())
}

async fn ask(wire: &dyn Wire, order: &Order) -> Result<(), ModelError> {
    if let Some(texts) = &order.embed {
        let call = EmbedCall {
            model: order.model.clone(),
            texts: texts.clone(),
            dimensions: None,
            token: None,
        };
        let made = wire.embed(call).await?;
        println!("{}", json!({"vectors": made.vectors}));
        return Ok(());
    }
    let request = Arc::new(order.request.clone().unwrap_or_default());
    let call = Call {
        model: order.model.clone(),
        request: request.clone(),
        token: None,
    };
    let mut answer = wire.chat(call).await?;
    if let Some(wanted) = &request.schema {
        answer = structured::partials(answer, Shape::compile(wanted)?);
    }
    while let Some(event) = answer.next().await {
        let event = event?;
        let event: Value = serde_json::to_value(&event).unwrap_or_default();
        println!("{event}");
    }
    Ok(())
}
