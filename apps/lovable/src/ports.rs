//! What the app needs of others, which `server` wires: somebody who plans and
//! writes code, and boxes in which what was written runs.
//!
//! Both are asked on behalf of an owner. Nothing of a provider or of a sandbox
//! shows here but what a turn does with it.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use kernel::Caller;
use serde_json::Value;
use uuid::Uuid;

/// Which of the two models is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Says what is to be done.
    Planner,
    /// Writes files.
    Coder,
}

impl Role {
    /// Its name in the gateway's routes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Coder => "coder",
        }
    }
}

/// Something that was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// By the model, or else by the user.
    pub by_model: bool,
    /// What.
    pub text: String,
}

/// A question to a model.
#[derive(Clone, Debug)]
pub struct Question {
    /// On whose behalf, and at whose cost.
    pub caller: Caller,
    /// The session that it is asked for.
    pub session: Uuid,
    /// The job that asks.
    pub job: Uuid,
    /// The step of that job.
    pub step: &'static str,
    /// The step's token: the same at every try, so that a provider which knows
    /// tokens answers a second try with the first one's answer.
    pub token: Uuid,
    /// Whom.
    pub role: Role,
    /// What holds for every answer.
    pub system: String,
    /// The conversation; the last is the question.
    pub said: Vec<Said>,
    /// Name and JSON Schema of the answer, if it is not plain text.
    pub schema: Option<(&'static str, Value)>,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Another provider or another try begins: what came before does not count.
    Again,
    /// More text.
    Text(String),
    /// The value as far as it is known. It only grows.
    Partial(Value),
    /// The end.
    End(Answer),
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// The value, where a schema was given.
    pub value: Option<Value>,
    /// The model that answered.
    pub model: String,
    /// US dollars.
    pub cost: f64,
    /// Tokens, as the provider counts them.
    pub usage: Value,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CoderError {
    /// The machine's word: `rate_limited`, `budget_exceeded`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Whether another try may help, and when.
    pub again: Option<Duration>,
}

/// An answer as it comes.
pub type Pieces = BoxStream<'static, Result<Piece, CoderError>>;

/// Models.
pub trait Coder: Send + Sync {
    /// Asks.
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Pieces, CoderError>>;

    /// Whether answers come from a script because there is no model; then why,
    /// in a sentence for people.
    fn demo(&self) -> Option<String>;
}

/// A file, or that there is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Relative to the project.
    pub path: String,
    /// None for a file that is to go.
    pub content: Option<Vec<u8>>,
}

/// Why a box did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BoxError {
    /// The machine's word.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Whether another try may help.
    pub passing: bool,
}

/// What comes while something runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A line that a program has printed.
    Line(String),
    /// It has ended, with this code.
    Exit(i32),
}

/// Lines of a program, then its end.
pub type Lines = BoxStream<'static, Result<Progress, BoxError>>;

/// A box for each session.
pub trait Boxes: Send + Sync {
    /// How strongly boxes are closed, for people; why there are none, otherwise.
    fn strength(&self) -> Result<String, String>;

    /// The session's box, made if there is none; whether it is new.
    fn ensure<'a>(
        &'a self,
        caller: &'a Caller,
        session: Uuid,
    ) -> BoxFuture<'a, Result<bool, BoxError>>;

    /// Changes files in the session's box.
    fn write<'a>(
        &'a self,
        caller: &'a Caller,
        session: Uuid,
        changes: Vec<FileChange>,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    /// Installs what `package.json` asks for.
    fn install<'a>(
        &'a self,
        caller: &'a Caller,
        session: Uuid,
    ) -> BoxFuture<'a, Result<Lines, BoxError>>;

    /// Has the development server run, and waits until it listens; the address
    /// at which the app is seen, on an origin of its own. `fresh`: what runs
    /// already is stopped first.
    fn serve<'a>(
        &'a self,
        caller: &'a Caller,
        session: Uuid,
        fresh: bool,
    ) -> BoxFuture<'a, Result<String, BoxError>>;

    /// The address, if the development server runs.
    fn address<'a>(&'a self, caller: &'a Caller, session: Uuid) -> BoxFuture<'a, Option<String>>;
}
