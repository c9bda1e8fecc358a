//! Whether the server can do its work: each dependency is asked, at once, and
//! must answer in time.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

/// A balancer asks every few seconds; a dependency slower than this is down
/// for its purposes.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One thing the server needs.
pub struct Probe {
    name: &'static str,
    ask: Box<dyn Fn() -> Answer + Send + Sync>,
}

impl Probe {
    /// A dependency and the question to ask it. The error is shown to anyone
    /// who asks for readiness, so it names a kind of failure and no secrets.
    pub fn new<F, A>(name: &'static str, ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self {
            name,
            ask: Box::new(move || Box::pin(ask())),
        }
    }
}

/// Everything the server needs.
pub struct Health {
    probes: Vec<Probe>,
    limit: Duration,
}

/// Needs nothing.
impl Default for Health {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// What the dependencies said.
pub struct Report {
    /// All of them work.
    pub ready: bool,
    dependencies: Vec<Value>,
}

impl Health {
    /// These dependencies.
    #[must_use]
    pub fn new(probes: Vec<Probe>) -> Self {
        Self {
            probes,
            limit: PROBE_TIME_MAX,
        }
    }

    /// Asks all at once.
    pub async fn ask(&self) -> Report {
        let answers = join_all(self.probes.iter().map(|probe| ask(probe, self.limit))).await;
        Report {
            ready: answers.iter().all(|(good, _)| *good),
            dependencies: answers.into_iter().map(|(_, line)| line).collect(),
        }
    }
}

async fn ask(probe: &Probe, limit: Duration) -> (bool, Value) {
    let started = Instant::now();
    let answer = tokio::time::timeout(limit, (probe.ask)()).await;
    let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
    let error = match answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_late) => Some("no answer in time".to_owned()),
    };
    let mut line = json!({
        "name": probe.name,
        "status": if error.is_none() { "ok" } else { "down" },
        "latency_ms": (latency_ms * 1000.0).round() / 1000.0,
    });
    if let (Some(error), Some(line)) = (&error, line.as_object_mut()) {
        line.insert("error".to_owned(), error.as_str().into());
    }
    (error.is_none(), line)
}

impl Report {
    /// As JSON.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({
            "status": if self.ready { "ready" } else { "not ready" },
            "dependencies": self.dependencies,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn one_silent_dependency_is_enough_to_be_unready() {
        let good = || Probe::new("good", || async { Ok(()) });
        assert!(Health::new(vec![good()]).ask().await.ready);
        let silent = Probe::new("silent", std::future::pending);
        let mut health = Health::new(vec![good(), silent]);
        health.limit = Duration::from_millis(5);
        let report = health.ask().await;
        assert!(!report.ready);
        let body = report.body();
        assert_eq!(body["dependencies"][0]["status"], "ok");
        assert_eq!(body["dependencies"][1]["error"], "no answer in time");
    }
}
