//! What can go wrong with what the dialect does not have: transactions of the
//! client and idempotency keys. In the dialect's shape, with codes of ours.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::RestError;

/// A transaction of the client that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxFault {
    /// FB5001: it is not an array of requests.
    Malformed(String),
    /// FB5002: a reference that cannot be resolved.
    Reference {
        /// The reference as written.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// FB5003: more requests than one transaction takes.
    TooManyRequests {
        /// The limit.
        max: usize,
    },
    /// FB5004: more bytes than one transaction takes.
    BodyTooLarge {
        /// The limit.
        max: usize,
    },
    /// FB5005: more bytes of answers than are held until the end.
    AnswerTooLarge {
        /// The limit.
        max: usize,
    },
    /// FB5006: it took too long.
    TooSlow {
        /// The limit.
        max: Duration,
    },
}

/// An idempotency key that cannot be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdempotencyFault {
    /// FB5101: not a key.
    Malformed,
    /// FB5102: the key came with another request before.
    Reused,
    /// FB5103: the first request with this key is still being carried out.
    InProgress,
    /// FB5104: the database has no place for answers.
    Unavailable,
    /// FB5105: it was carried out, and its answer was too large to be kept.
    NotKept,
    /// FB5106: it was carried out by a server with another secret.
    Unreadable,
}

/// Which request of a transaction failed, and why.
#[derive(Clone, Debug)]
pub struct InTransaction {
    /// Its place in the array; none when they could not be committed together.
    pub index: Option<usize>,
    /// Its name, if it has one.
    pub id: Option<String>,
    /// What it would have been answered alone.
    pub error: RestError,
}

impl TxFault {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "FB5001",
            Self::Reference { .. } => "FB5002",
            Self::TooManyRequests { .. } => "FB5003",
            Self::BodyTooLarge { .. } => "FB5004",
            Self::AnswerTooLarge { .. } => "FB5005",
            Self::TooSlow { .. } => "FB5006",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::Reference { .. } | Self::AnswerTooLarge { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::TooManyRequests { .. } | Self::BodyTooLarge { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(super) fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Malformed(text) => Cow::Borrowed(text),
            Self::Reference { reference, .. } => {
                Cow::Owned(format!("Could not resolve the reference '{reference}'"))
            }
            Self::TooManyRequests { max } => Cow::Owned(format!(
                "A transaction takes {max} requests at most; nothing was done"
            )),
            Self::BodyTooLarge { max } => Cow::Owned(format!(
                "A transaction takes {max} bytes at most; nothing was done"
            )),
            Self::AnswerTooLarge { max } => Cow::Owned(format!(
                "The answers of a transaction may have {max} bytes at most; everything was undone"
            )),
            Self::TooSlow { max } => Cow::Owned(format!(
                "The transaction took longer than {} ms; everything was undone",
                max.as_millis()
            )),
        }
    }

    pub(super) fn details(&self) -> Option<String> {
        match self {
            Self::Reference { reason, .. } => Some(reason.clone()),
            _ => None,
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Reference { .. } => {
                "References are '<index>.body.<path>' or '<id>.<path>' of a request that stands before. \
                 With \"refs\": false a request is taken as it is."
            }
            Self::AnswerTooLarge { .. } => {
                "Ask for fewer rows and columns, or write with Prefer: return=minimal."
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl IdempotencyFault {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Malformed => "FB5101",
            Self::Reused => "FB5102",
            Self::InProgress => "FB5103",
            Self::Unavailable => "FB5104",
            Self::NotKept => "FB5105",
            Self::Unreadable => "FB5106",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Reused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InProgress | Self::NotKept | Self::Unreadable => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::NOT_IMPLEMENTED,
        }
    }

    pub(super) fn message(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Malformed => {
                "An Idempotency-Key is one header of 1 to 255 visible ASCII characters"
            }
            Self::Reused => "This Idempotency-Key was used with another request; nothing was done",
            Self::InProgress => "A request with this Idempotency-Key is still being carried out",
            Self::Unavailable => "This server cannot honour an Idempotency-Key; nothing was done",
            Self::NotKept => {
                "This request was carried out before; its answer was too large to be kept"
            }
            Self::Unreadable => {
                "This request was carried out before; its answer was sealed by another server"
            }
        })
    }

    pub(super) fn hint(self) -> Option<String> {
        let text = match self {
            Self::Malformed => return None,
            Self::Reused => {
                "Make a new key for a new request. A repeated one must be equal in method, path, body, \
                 profile, Accept, Content-Type, Prefer and Range."
            }
            Self::InProgress => "Send it again, unchanged.",
            Self::Unavailable => {
                "The database lacks schema ferrobase of this version, or the right to use it."
            }
            Self::NotKept | Self::Unreadable => {
                "It was not carried out again. Read what you need with a new request."
            }
        };
        Some(text.to_owned())
    }
}

impl InTransaction {
    /// Whether it lost against another transaction and may just come again.
    fn is_conflict(&self) -> bool {
        matches!(&self.error, RestError::Postgres(error) if matches!(error.code.as_str(), "40001" | "40P01"))
    }

    pub(super) fn status(&self) -> StatusCode {
        // The dialect's 500 would not tell a client that it may try again.
        if self.is_conflict() {
            StatusCode::CONFLICT
        } else {
            self.error.status()
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        let retry = || {
            "Everything was undone. Send the whole transaction again; it may succeed.".to_owned()
        };
        if self.is_conflict() {
            return Some(retry());
        }
        self.error.hint()
    }
}
