//! What goes to the database and comes back: one type for each of its answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// What became of a submitted job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// The job.
    pub id: Uuid,
    /// Whether this submission made it.
    pub is_new: bool,
    /// Its state.
    pub state: String,
}

/// Who asks for jobs, and which.
#[derive(Clone, Debug)]
pub struct Wants {
    /// The worker's name.
    pub worker: String,
    /// From which queues.
    pub queues: Vec<String>,
    /// Which types; all if none.
    pub types: Option<Vec<String>>,
    /// Whose jobs, unless anybody's.
    pub owner: Option<String>,
    /// Anybody's.
    pub any_owner: bool,
    /// For how long without a heartbeat.
    pub lease: Duration,
    /// The version of the handlers' code.
    pub code_version: Option<String>,
}

/// A job that was claimed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Claimed {
    /// The job.
    pub id: Uuid,
    /// The root of its tree.
    pub root_id: Uuid,
    /// Its parent.
    pub parent_id: Option<Uuid>,
    /// Its session.
    pub session_id: Option<Uuid>,
    /// The stream that tells of it.
    pub stream_id: Option<Uuid>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name among its siblings.
    pub name: Option<String>,
    /// The number of this claim: to be named by whatever it does.
    pub epoch: i32,
    /// How often it has failed before.
    pub failures: i32,
    /// What it is to do.
    pub input: Option<Box<RawValue>>,
    /// Where it came from.
    pub queue: String,
    /// How long the claim holds without a heartbeat.
    pub lease_ms: i64,
    /// What it did before: `{key: {result, version}}`.
    pub steps: Option<Box<RawValue>>,
}

/// One job's sign of life.
#[derive(Clone, Debug)]
pub struct Beat {
    /// The worker's name.
    pub worker: String,
    /// The job.
    pub id: Uuid,
    /// The claim.
    pub epoch: i32,
    /// How far it is.
    pub progress: Option<f32>,
    /// What it does just now, for people.
    pub message: Option<String>,
    /// For how long from now.
    pub lease: Duration,
}

/// What a worker must do about a job it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Directive {
    /// Stop: it was cancelled.
    Cancel,
    /// Stop: it was paused.
    Pause,
    /// Stop: somebody else has it, or it is over.
    Lost,
}

impl Directive {
    /// Reads the database's word; none for going on.
    #[must_use]
    pub fn parse(word: Option<&str>) -> Option<Self> {
        match word {
            Some("cancel") => Some(Self::Cancel),
            Some("pause") => Some(Self::Pause),
            Some("lost" | "stale") => Some(Self::Lost),
            _ => None,
        }
    }
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Completed,
    /// It is not.
    Failed,
    /// It was not tried to its end, and nobody is to blame.
    Released,
}

impl Outcome {
    /// The database's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Released => "released",
        }
    }
}

/// The end of a claim.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The job.
    pub id: Uuid,
    /// The claim.
    pub epoch: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// What came out.
    pub output: Option<Box<RawValue>>,
    /// What went wrong.
    pub error: Option<Box<RawValue>>,
    /// Whether another try may help.
    pub retryable: bool,
    /// Before that try; the job's backoff otherwise.
    pub delay: Option<Duration>,
}

impl Finish {
    /// Gives the job back as if it had not been claimed.
    #[must_use]
    pub fn released(id: Uuid, epoch: i32) -> Self {
        Self {
            id,
            epoch,
            outcome: Outcome::Released,
            output: None,
            error: None,
            retryable: true,
            delay: None,
        }
    }
}

/// One thing that happened, for a stream.
#[derive(Clone, Debug)]
pub struct Event {
    /// The stream.
    pub stream: Uuid,
    /// The job it is about.
    pub job: Option<Uuid>,
    /// What kind of thing.
    pub kind: String,
    /// More about it.
    pub data: Box<RawValue>,
}

/// A job whose state a verb changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The job.
    pub id: Uuid,
    /// Its state now.
    pub state: String,
}
