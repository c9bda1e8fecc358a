//! News of other nodes: what is said on `ferrobase_work` pokes the hub. Nothing
//! depends on it but speed, since the hub looks every second.

use std::sync::Arc;
use std::time::Duration;

use pg::{Session, Target};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Whoever wants to hear which streams have news.
pub trait Hear: Send + Sync {
    /// These have.
    fn streams(&self, streams: &[Uuid]);
    /// Perhaps any has.
    fn everything(&self);
}

/// A notification's payload at most; `PostgreSQL` takes 8000 bytes.
const PAYLOAD_BYTES_MAX: usize = 7000;
/// First and longest pause between attempts to listen.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// A connection that says nothing for so long is asked whether it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What is said on the channel; other fields are for others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    /// Streams with news.
    s: Vec<Uuid>,
    /// Too many to name.
    all: bool,
    /// The node that says so.
    n: Option<Uuid>,
}

/// Words a notification about these streams.
pub(super) fn payload(streams: &[Uuid], node: Uuid) -> String {
    let mut text = serde_json::json!({"s": streams, "n": node}).to_string();
    if text.len() > PAYLOAD_BYTES_MAX {
        text = serde_json::json!({"all": true, "n": node}).to_string();
    }
    text
}

/// Passes a notification on, unless it is our own.
pub fn hear(payload: &str, node: Uuid, to: &dyn Hear) {
    let said: Said = match serde_json::from_str(payload) {
        Ok(said) => said,
        // Somebody else's word; whatever it is, looking costs little.
        Err(_) => return to.everything(),
    };
    if said.n == Some(node) {
        return;
    }
    if said.all {
        to.everything();
    } else if !said.s.is_empty() {
        to.streams(&said.s);
    }
}

/// Listens until told to stop, on a connection of its own.
pub(super) async fn listen(target: Target, node: Uuid, to: Arc<dyn Hear>, stop: CancellationToken) {
    let mut pause = RETRY_FIRST;
    loop {
        let (heard, error) = tokio::select! {
            ended = listen_once(&target, node, &*to) => ended,
            () = stop.cancelled() => return,
        };
        if heard {
            pause = RETRY_FIRST;
        }
        tracing::debug!(%error, "Not listening for new events; looking every second");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Until the connection fails; whether it ever listened.
async fn listen_once(target: &Target, node: Uuid, to: &dyn Hear) -> (bool, pg::Error) {
    let mut heard = false;
    let error = async {
        let mut session = in_time(Session::connect(target)).await?;
        in_time(session.script("LISTEN ferrobase_work")).await?;
        heard = true;
        // What was said before we listened.
        to.everything();
        loop {
            match tokio::time::timeout(SILENCE_MAX, session.notification()).await {
                Ok(said) => hear(&said?.payload, node, to),
                Err(_) => drop(in_time(session.script("SELECT")).await?),
            }
        }
    };
    let outcome: Result<std::convert::Infallible, pg::Error> = error.await;
    match outcome {
        Ok(never) => match never {},
        Err(error) => (heard, error),
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, pg::Error>>) -> Result<T, pg::Error> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(pg::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Hear for Heard {
        fn streams(&self, streams: &[Uuid]) {
            self.note(format!("{}", streams.len()));
        }
        fn everything(&self) {
            self.note("all".to_owned());
        }
    }

    impl Heard {
        fn note(&self, what: String) {
            if let Ok(mut heard) = self.0.lock() {
                heard.push(what);
            }
        }
    }

    #[test]
    fn others_are_heard_and_we_are_not() {
        let (us, them) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let heard = Heard::default();
        hear(&payload(&[us, them], them), us, &heard);
        hear(&payload(&[us], us), us, &heard);
        hear(&payload(&vec![us; 500], them), us, &heard);
        hear(r#"{"q": ["default"]}"#, us, &heard);
        hear("hello", us, &heard);
        let heard = heard.0.lock().map(|heard| heard.clone());
        assert_eq!(heard.unwrap_or_default(), ["2", "all", "all"]);
    }
}
