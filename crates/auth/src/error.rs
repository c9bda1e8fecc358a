//! The dialect's errors. Every refusal is an [`AuthError`] with a status, one of
//! GoTrue's codes and a sentence; [`AuthError::render`] is the one place that
//! knows how each version of the API wants to hear it.
//!
//! Handlers return it with `?`. Its response carries the error itself, which
//! `request::finish` turns into a body once it knows the version that
//! the request asked for.

pub mod code;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};

pub use code::Code;

/// What a request is refused with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// A refusal with a status and a code.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// GoTrue's code.
        code: Code,
        /// For people.
        message: Cow<'static, str>,
    },
    /// A password that is too easy.
    #[error("{message}")]
    WeakPassword {
        /// For people.
        message: String,
        /// `length`, `characters`, `pwned`.
        reasons: Vec<&'static str>,
    },
    /// A refusal in OAuth's own shape (RFC 6749, 5.2).
    #[error("{error}: {description}")]
    OAuth {
        /// OAuth's code.
        error: &'static str,
        /// For people.
        description: Cow<'static, str>,
    },
    /// The database refused or did not answer. Logged, not sent: only what a
    /// trigger or a constraint of the project's own raised is told, as GoTrue
    /// does.
    #[error("{context}: {source}")]
    Database {
        /// What was tried, for people.
        context: &'static str,
        /// What the database said.
        source: Arc<pg::Error>,
    },
    /// Something inside went wrong that the client cannot help.
    #[error("{0}")]
    Internal(&'static str),
}

/// What handlers return.
pub type Result<T, E = AuthError> = std::result::Result<T, E>;

/// How a request wants its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// `code` is the status, `error_code` the code, `msg` the sentence.
    Initial,
    /// `code` is the code, `message` the sentence.
    V20240101,
}

/// The header that asks for a version, and is sent back.
pub static API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const V20240101: &str = "2024-01-01";

impl ApiVersion {
    /// The newest version not newer than the date that was asked for.
    #[must_use]
    pub fn asked(header: Option<&str>) -> Self {
        let date = header.and_then(|text| text.parse::<jiff::civil::Date>().ok());
        match date {
            Some(date) if date >= jiff::civil::date(2024, 1, 1) => Self::V20240101,
            _ => Self::Initial,
        }
    }
}

impl AuthError {
    /// A refusal.
    pub fn new(status: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400.
    pub fn bad_request(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400 `validation_failed`, the most common refusal.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request(code::VALIDATION_FAILED, message)
    }

    /// 403.
    pub fn forbidden(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404.
    pub fn not_found(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 422.
    pub fn unprocessable(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 429.
    pub fn too_many(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, message)
    }

    /// Turns a database's failure into ours: `.map_err(AuthError::database("…"))`.
    pub fn database(context: &'static str) -> impl FnOnce(pg::Error) -> Self {
        move |source| Self::Database {
            context,
            source: Arc::new(source),
        }
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused { status, .. } => *status,
            Self::WeakPassword { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::OAuth { .. } => StatusCode::BAD_REQUEST,
            Self::Database { source, .. } => match &**source {
                pg::Error::Timeout | pg::Error::Busy | pg::Error::Connect { .. } => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// GoTrue's code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::WeakPassword { .. } => code::WEAK_PASSWORD,
            Self::OAuth { error, .. } => Code::oauth(error),
            Self::Database { .. } | Self::Internal(_) => code::UNEXPECTED_FAILURE,
        }
    }

    /// The sentence that clients see.
    #[must_use]
    pub fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Refused { message, .. } => Cow::Borrowed(message),
            Self::WeakPassword { message, .. } => Cow::Borrowed(message),
            Self::OAuth { description, .. } => Cow::Borrowed(description),
            Self::Database { context, .. } => Cow::Borrowed(context),
            Self::Internal(message) => Cow::Borrowed(message),
        }
    }

    /// The answer as this version of the API words it.
    #[must_use]
    pub fn render(&self, version: ApiVersion) -> Response {
        if let Self::OAuth { error, description } = self {
            let body = json!({"error": error, "error_description": description});
            return json_response(self.status(), &body);
        }
        if let Some((status, body)) = self.raised(version) {
            return json_response(status, &body);
        }
        let (status, code, message) = (self.status(), self.code(), self.message());
        let mut body = match version {
            ApiVersion::V20240101 => json!({"code": code.as_str(), "message": message}),
            ApiVersion::Initial => {
                json!({"code": status.as_u16(), "error_code": code.as_str(), "msg": message})
            }
        };
        if let (Self::WeakPassword { reasons, .. }, Some(body)) = (self, body.as_object_mut()) {
            body.insert("weak_password".to_owned(), json!({"reasons": reasons}));
        }
        let mut response = json_response(status, &body);
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(code.as_str()) {
            headers.insert(HeaderName::from_static("x-sb-error-code"), value);
        }
        if version == ApiVersion::V20240101 {
            headers.insert(API_VERSION.clone(), HeaderValue::from_static(V20240101));
        }
        response
    }

    /// What a project's own trigger or constraint raised, which its developer
    /// wants to see. Told to the old version of the API only, as GoTrue does.
    fn raised(&self, version: ApiVersion) -> Option<(StatusCode, Value)> {
        let Self::Database { source, .. } = self else {
            return None;
        };
        let raised = source.db().filter(|_| version == ApiVersion::Initial)?;
        let status = match raised.code.as_str() {
            "P0001" | "23000" | "23001" | "23502" | "23503" | "23505" | "23514" | "23P01" => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            code => StatusCode::from_u16(code.strip_prefix("PT")?.parse().ok()?).ok()?,
        };
        let mut body = json!({"code": raised.code, "message": raised.message});
        for (name, text) in [("hint", &raised.hint), ("detail", &raised.detail)] {
            if let (Some(text), Some(body)) = (text, body.as_object_mut()) {
                body.insert(name.to_owned(), text.as_str().into());
            }
        }
        Some((status, body))
    }
}

/// Any JSON answer.
pub fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests;
