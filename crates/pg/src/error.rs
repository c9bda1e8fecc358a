//! What can go wrong between us and Postgres.

use std::io;

/// A failure of a connection or of a statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("could not connect to {address}: {source}")]
    Connect {
        /// Where to; never with a password.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke while in use; whether the statement took effect
    /// is unknown.
    #[error("connection to PostgreSQL lost: {0}")]
    Io(#[from] io::Error),
    /// Postgres refused the statement or the login.
    #[error("{0}")]
    Db(Box<DbError>),
    /// The connection was closed before the statement was sent.
    #[error("connection to PostgreSQL is closed")]
    Closed,
    /// No connection became free in time.
    #[error("timed out waiting for a free connection")]
    Timeout,
    /// Too many requests already wait for a connection.
    #[error("too many requests wait for a connection")]
    Busy,
    /// The result is larger than the configured limit.
    #[error("the result is larger than {limit} bytes")]
    ResultTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The server said something that the protocol does not allow here.
    #[error("unexpected answer from PostgreSQL: {0}")]
    Protocol(String),
}

impl Error {
    /// Postgres' own report, when there is one.
    #[must_use]
    pub fn db(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }

    /// The SQLSTATE, when Postgres gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.db().map(|error| error.code.as_str())
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }
}

/// An `ErrorResponse`, field by field (protocol documentation, "Error and
/// Notice Message Fields").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DbError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// The detail.
    pub detail: Option<String>,
    /// The hint.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
    /// The call stack (`CONTEXT`).
    pub context: Option<String>,
    /// The schema of the object concerned.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
}

impl std::fmt::Display for DbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.severity, self.message, self.code)
    }
}

impl DbError {
    /// Reads the body of an `ErrorResponse` or `NoticeResponse`.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, text)) = field.split_first() else {
                continue;
            };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'V' => error.severity = text,
                b'S' if error.severity.is_empty() => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'P' => error.position = text.parse().ok(),
                b'W' => error.context = Some(text),
                b's' => error.schema = Some(text),
                b't' => error.table = Some(text),
                b'c' => error.column = Some(text),
                b'n' => error.constraint = Some(text),
                _ => {}
            }
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_is_read_field_by_field() {
        let error = DbError::parse(
            b"SFEHLER\0VERROR\0C42703\0Mcolumn \"x\" does not exist\0P8\0HPerhaps y\0\0",
        );
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.code, "42703");
        assert_eq!(error.position, Some(8));
        assert_eq!(error.hint.as_deref(), Some("Perhaps y"));
    }
}
