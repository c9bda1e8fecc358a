//! Everything that can go wrong, in words for people, sorted for programs.

use std::io;

/// What the engine refuses or fails at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// This machine cannot isolate, and policy does not allow to go without.
    #[error("code that nobody vouches for is not run here: {0}")]
    NotIsolated(String),
    /// The strength in force has no way to do this (a preview without a
    /// network namespace).
    #[error("not possible with the isolation in force: {0}")]
    Unsupported(&'static str),
    /// No such sandbox, process or file.
    #[error("{0} not found")]
    NotFound(String),
    /// There is one of this name already.
    #[error("{0} already exists")]
    Exists(String),
    /// The path leaves the workspace, or what is there is not a plain file or
    /// folder of the sandbox.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// A limit of the engine.
    #[error("{what}: at most {most}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// The program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// What was asked for.
        program: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The sandbox is gone.
    #[error("the sandbox has ended")]
    Ended,
    /// The launcher did not come up.
    #[error("the sandbox could not be made: {0}")]
    Launch(String),
    /// The kernel's answer to something of our own.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn invalid(words: impl Into<String>) -> Self {
        Self::Invalid(words.into())
    }

    pub(crate) fn system(what: &'static str, source: impl Into<io::Error>) -> Self {
        Self::System {
            what,
            source: source.into(),
        }
    }
}
