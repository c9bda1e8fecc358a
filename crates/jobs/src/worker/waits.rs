//! What a handler can wait for without being there: time, signals, people and
//! other jobs. Each wait has a key, as steps have; what came stays, so a
//! handler that is run again goes on from there.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::context::{Ctx, read};
use super::stop::Stop;
use crate::spec::{OnChildFailure, Spec};

/// What a person is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The question.
    pub prompt: String,
    /// A JSON Schema that the answer must satisfy.
    pub form: Option<Value>,
    /// Who may answer beside the owner.
    pub assignee: Option<String>,
    /// How long to wait for the answer.
    pub within: Option<Duration>,
}

/// What a person answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Answered<T> {
    /// As the form asks for it.
    pub answer: T,
    /// Who it was; none for whoever may answer for everybody.
    pub by: Option<String>,
}

/// What a child came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnd {
    /// The child.
    pub id: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// `completed`, `failed` or `cancelled`.
    pub state: String,
    /// What came out.
    pub output: Value,
    /// What went wrong.
    pub error: Value,
}

impl Ctx {
    /// Lets this much time pass, once.
    pub async fn sleep(&self, key: &str, length: Duration) -> Result<(), Stop> {
        let wait = json!({ "key": key, "kind": "timer", "due_ms": millis(length) });
        self.wait(key, wait).await.map(drop)
    }

    /// Waits for a signal, and returns what it brought; none if none came in
    /// time.
    pub async fn wait_signal<T: DeserializeOwned>(
        &self,
        key: &str,
        name: &str,
        within: Option<Duration>,
    ) -> Result<Option<T>, Stop> {
        let wait = json!({
            "key": key, "kind": "signal", "name": name, "due_ms": within.map(millis),
        });
        match self.wait(key, wait).await? {
            Came::Done(result) => read(result.as_deref()).map(Some),
            Came::Expired => Ok(None),
        }
    }

    /// Asks a person, and returns the answer; none if none came in time.
    pub async fn approval<T: DeserializeOwned>(
        &self,
        key: &str,
        ask: Ask,
    ) -> Result<Option<Answered<T>>, Stop> {
        let wait = json!({
            "key": key, "kind": "approval", "prompt": ask.prompt, "form": ask.form,
            "assignee": ask.assignee, "due_ms": ask.within.map(millis),
        });
        match self.wait(key, wait).await? {
            Came::Done(result) => read(result.as_deref()).map(Some),
            Came::Expired => Ok(None),
        }
    }

    /// Makes children. Those without a name get one from the key, so that a
    /// handler that comes here again finds the same ones.
    pub async fn spawn(&self, key: &str, mut specs: Vec<Spec>) -> Result<Vec<Uuid>, Stop> {
        for (n, spec) in specs.iter_mut().enumerate() {
            if spec.name.is_none() {
                spec.name = Some(format!("{key}:{n}"));
            }
            // The parent's, whatever was said.
            spec.owner = None;
        }
        let made = self.jobs.spawn(self.job.id, self.job.epoch, specs).await;
        let made = made.map_err(|error| Stop::of(&error))?;
        Ok(made.into_iter().map(|job| job.id).collect())
    }

    /// Waits until all children are over, and returns what they came to, in
    /// the order in which they were made.
    pub async fn children(&self, key: &str) -> Result<Vec<ChildEnd>, Stop> {
        let wait = json!({ "key": key, "kind": "children" });
        self.wait(key, wait).await?;
        self.ends_of(self.job.id).await
    }

    async fn ends_of(&self, parent: Uuid) -> Result<Vec<ChildEnd>, Stop> {
        let children = self.jobs.core.store.children(parent).await;
        let children = children.map_err(|error| Stop::of(&error))?;
        children
            .into_iter()
            .map(|child| {
                Ok(ChildEnd {
                    id: child.id,
                    name: child.name,
                    state: child.state,
                    output: read(child.output.as_deref())?,
                    error: read(child.error.as_deref())?,
                })
            })
            .collect()
    }

    /// One child for each input, at most `width` of them at once; returns when
    /// all are over. A failed one is in the answer and fails nothing else.
    pub async fn map<I: Serialize>(
        &self,
        key: &str,
        kind: &str,
        width: Option<i32>,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Vec<ChildEnd>, Stop> {
        let group = Spec {
            reference: Some("map".to_owned()),
            name: Some(key.to_owned()),
            group: true,
            width,
            on_child_failure: Some(OnChildFailure::Ignore),
            ..Spec::default()
        };
        let mut specs = vec![group];
        for (n, input) in inputs.into_iter().enumerate() {
            let spec = Spec::new(kind, &input).map_err(|error| Stop::of(&error))?;
            specs.push(Spec {
                parent_ref: Some("map".to_owned()),
                name: Some(format!("{n}")),
                ..spec
            });
        }
        if specs.len() == 1 {
            return Ok(Vec::new());
        }
        let made = self.spawn(key, specs).await?;
        let wait = json!({ "key": format!("{key}:done"), "kind": "children" });
        self.wait(&format!("{key}:done"), wait).await?;
        match made.first() {
            Some(group) => self.ends_of(*group).await,
            None => Ok(Vec::new()),
        }
    }

    /// Waits for one thing: it has come already, or the handler ends here and
    /// is run again when it has.
    async fn wait(&self, key: &str, wait: Value) -> Result<Came, Stop> {
        if let Some(done) = self.done.get(key) {
            return Ok(Came::of(done.state.as_deref(), done.result.clone()));
        }
        let waits = serde_json::value::to_raw_value(&[wait])?;
        let (id, epoch) = (self.job.id, self.job.epoch);
        let suspended = self.jobs.suspend(id, epoch, &waits, false).await;
        let suspended = suspended.map_err(|error| Stop::of(&error))?;
        if suspended.state != "ready" {
            return Err(Stop::Suspended);
        }
        let steps: std::collections::HashMap<String, super::context::Done> =
            read(suspended.steps.as_deref())?;
        let done = steps.get(key);
        Ok(done.map_or(Came::Expired, |done| {
            Came::of(done.state.as_deref(), done.result.clone())
        }))
    }
}

/// How a wait ended.
enum Came {
    Done(Option<Box<RawValue>>),
    Expired,
}

impl Came {
    fn of(state: Option<&str>, result: Option<Box<RawValue>>) -> Self {
        match state {
            Some("expired") => Self::Expired,
            _ => Self::Done(result),
        }
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
