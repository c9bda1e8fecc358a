//! What Postgres answered, and which HTTP status that is.
//!
//! Two SQLSTATEs are a door for functions: `PTxyz` sets the status, and
//! `PGRST` with `JSON` in message and detail sets everything. Start at
//! [`RestError::from_postgres`].

use std::collections::BTreeMap;

use http::StatusCode;
use kernel::Caller;
use serde::Deserialize;

use super::RestError;

/// An error of the database, with the fields that reach the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresError {
    /// The SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// DETAIL
    pub detail: Option<String>,
    /// HINT
    pub hint: Option<String>,
    /// Whether the caller had shown a token: 403 instead of 401.
    pub authenticated: bool,
}

/// An answer that a function has worded itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// `code` of the body.
    pub code: String,
    /// `message` of the body.
    pub message: String,
    /// `details` of the body.
    pub details: Option<String>,
    /// `hint` of the body.
    pub hint: Option<String>,
    /// The HTTP status.
    pub status: StatusCode,
    /// A reason phrase other than the usual one.
    pub status_text: Option<String>,
    /// Response headers.
    pub headers: BTreeMap<String, String>,
}

/// What is wrong with a RAISE that wanted to word the answer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RaiseFault {
    /// MESSAGE is not the `JSON` it should be.
    Message(String),
    /// DETAIL is not the `JSON` it should be.
    Detail(String),
    /// There is no DETAIL.
    NoDetail,
}

impl RaiseFault {
    pub(super) fn details(&self) -> String {
        match self {
            Self::Message(text) => format!("Invalid JSON value for MESSAGE: '{text}'"),
            Self::Detail(text) => format!("Invalid JSON value for DETAIL: '{text}'"),
            Self::NoDetail => "DETAIL is missing in the RAISE statement".to_owned(),
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Message(_) => {
                "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
            }
            Self::Detail(_) | Self::NoDetail => {
                "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
            }
        }
    }
}

#[derive(Deserialize)]
struct RaisedMessage {
    code: String,
    message: String,
    details: Option<String>,
    hint: Option<String>,
}

#[derive(Deserialize)]
struct RaisedDetail {
    status: u16,
    status_text: Option<String>,
    headers: BTreeMap<String, String>,
}

impl RestError {
    /// The answer to a failure of the connection or of the caller's statement.
    /// Addresses and protocol details stay in the log.
    #[must_use]
    pub fn from_pg(error: pg::Error, caller: &Caller) -> Self {
        let authenticated = caller.authenticated;
        match error {
            pg::Error::Connect { .. } => Self::Connection { details: None },
            pg::Error::Io(_) | pg::Error::Closed | pg::Error::Protocol(_) => {
                Self::Client { details: None }
            }
            pg::Error::Timeout | pg::Error::Busy => Self::PoolTimeout,
            pg::Error::ResultTooLarge { limit } => Self::from_postgres(PostgresError {
                code: "54000".to_owned(),
                message: format!("the result is larger than {limit} bytes"),
                detail: None,
                hint: None,
                authenticated,
            }),
            // A refused login is the operator's matter, not the caller's.
            pg::Error::Db(error) if error.severity == "FATAL" && error.code.starts_with("28") => {
                Self::Connection { details: None }
            }
            pg::Error::Db(error) => Self::from_postgres(PostgresError {
                hint: error
                    .hint
                    .or_else(|| row_security(&error.code, &error.message, &caller.role)),
                code: error.code,
                message: error.message,
                detail: error.detail,
                authenticated,
            }),
        }
    }

    /// The answer to an error of the database.
    #[must_use]
    pub fn from_postgres(error: PostgresError) -> Self {
        if error.code != "PGRST" {
            return Self::Postgres(Box::new(error));
        }
        match raised(error) {
            Ok(raised) => Self::Raised(Box::new(raised)),
            Err(fault) => Self::InvalidRaise(fault),
        }
    }
}

/// Postgres refuses a new row in the same words whether no policy lets it be
/// written or none lets it be read back, and gives no hint.
fn row_security(code: &str, message: &str, role: &str) -> Option<String> {
    const REFUSED: &str = "new row violates row-level security policy";
    let refused = code == "42501" && message.starts_with(REFUSED);
    let (_, table) = message.rsplit_once(" for table ").filter(|_| refused)?;
    Some(format!(
        "No policy of table {table} lets role \"{role}\" do this. The new row must pass WITH CHECK of a policy for the write and, when it is to be returned, USING of one for SELECT; without the latter send Prefer: return=minimal."
    ))
}

fn raised(error: PostgresError) -> Result<Raised, RaiseFault> {
    let message: RaisedMessage = match serde_json::from_str(&error.message) {
        Ok(message) => message,
        Err(_) => return Err(RaiseFault::Message(error.message)),
    };
    let text = error.detail.ok_or(RaiseFault::NoDetail)?;
    let detail: RaisedDetail = match serde_json::from_str(&text) {
        Ok(detail) => detail,
        Err(_) => return Err(RaiseFault::Detail(text)),
    };
    Ok(Raised {
        code: message.code,
        message: message.message,
        details: message.details,
        hint: message.hint,
        status: StatusCode::from_u16(detail.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        status_text: detail.status_text,
        headers: detail.headers,
    })
}

impl PostgresError {
    /// The HTTP status of a SQLSTATE. Single codes come first, then classes.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status_of_code()
            .or_else(|| self.chosen_status())
            .unwrap_or_else(|| self.status_of_class())
    }

    fn status_of_code(&self) -> Option<StatusCode> {
        let message = self.message.as_str();
        Some(match self.code.as_str() {
            "23503" | "23505" => StatusCode::CONFLICT,
            "25006" => StatusCode::METHOD_NOT_ALLOWED,
            // pg-safeupdate raises a cardinality violation for the client's
            // missing filter; elsewhere it is a fault of a view or function.
            "21000" if message.ends_with("requires a WHERE clause") => StatusCode::BAD_REQUEST,
            "21000" | "53400" | "42P17" => StatusCode::INTERNAL_SERVER_ERROR,
            // The role that the token names does not exist.
            "22023" if message.starts_with("role") && message.ends_with("does not exist") => {
                StatusCode::UNAUTHORIZED
            }
            "57P01" => StatusCode::SERVICE_UNAVAILABLE,
            "P0001" => StatusCode::BAD_REQUEST,
            // XML was asked for and the rows cannot become XML.
            "42883" if message.starts_with("function xmlagg(") => StatusCode::NOT_ACCEPTABLE,
            "42883" | "42P01" => StatusCode::NOT_FOUND,
            "42501" if self.authenticated => StatusCode::FORBIDDEN,
            "42501" => StatusCode::UNAUTHORIZED,
            _ => return None,
        })
    }

    /// `PT402` is 402.
    fn chosen_status(&self) -> Option<StatusCode> {
        let number = self.code.strip_prefix("PT")?;
        let status = number.parse().ok().map(StatusCode::from_u16);
        Some(match status {
            Some(Ok(status)) => status,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    fn status_of_class(&self) -> StatusCode {
        match self.code.get(..2).unwrap_or_default() {
            "08" | "53" => StatusCode::SERVICE_UNAVAILABLE,
            "0L" | "0P" | "28" => StatusCode::FORBIDDEN,
            "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0"
            | "HV" | "P0" | "XX" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
