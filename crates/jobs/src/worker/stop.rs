//! Why a handler ends without an output.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::JobsError;

/// Why a handler ends without an output. Any error becomes a failure that may
/// be tried again, so handlers use `?` throughout.
#[derive(Clone, Debug)]
pub enum Stop {
    /// It waits; it will be run again when what it waits for has come.
    Suspended,
    /// The job is no longer this worker's: cancelled, paused, or given away.
    Lost,
    /// It did not work out.
    Failed {
        /// What went wrong, as the job keeps it.
        error: Value,
        /// Whether another try may help.
        retryable: bool,
        /// Before that try; the job's backoff otherwise.
        delay: Option<Duration>,
    },
}

impl Stop {
    /// A failure that no other try would change.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Failed {
            error: json!({ "message": message.into() }),
            retryable: false,
            delay: None,
        }
    }

    /// A failure to be tried again after a while, as a provider may ask for.
    pub fn retry_in(message: impl Into<String>, delay: Duration) -> Self {
        Self::Failed {
            error: json!({ "message": message.into() }),
            retryable: true,
            delay: Some(delay),
        }
    }

    /// What the engine refused.
    pub(crate) fn of(error: &JobsError) -> Self {
        match error.code() {
            "stale" => Self::Lost,
            code => Self::Failed {
                error: json!({ "code": code, "message": error.to_string() }),
                retryable: error.is_passing(),
                delay: None,
            },
        }
    }
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed {
            error: json!({ "message": error.to_string() }),
            retryable: true,
            delay: None,
        }
    }
}
