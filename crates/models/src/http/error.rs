//! Refusals in the words of each dialect.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::error::{ModelError, ModelErrorKind};

/// Whose clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Openai,
    Anthropic,
}

/// A request that gets no answer of a model.
#[derive(Debug)]
pub(super) struct Refused {
    dialect: Dialect,
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<std::time::Duration>,
    /// It would be the same again.
    final_word: bool,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: &str) -> Self {
        Self {
            dialect: Dialect::Openai,
            status,
            kind,
            code,
            message: message.to_owned(),
            param: None,
            retry_after: None,
            final_word: status.is_client_error(),
        }
    }

    /// A body that means nothing.
    pub(super) fn invalid(message: &str, param: Option<&str>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self {
            param: param.map(str::to_owned),
            ..Self::new(status, "invalid_request_error", "invalid_request", message)
        }
    }

    pub(super) fn nobody(dialect: Dialect, message: &str) -> Self {
        let (kind, code) = match dialect {
            Dialect::Openai => ("invalid_request_error", "invalid_api_key"),
            Dialect::Anthropic => ("authentication_error", "invalid_api_key"),
        };
        Self::new(StatusCode::UNAUTHORIZED, kind, code, message).said_in(dialect)
    }

    pub(super) fn reads_only(dialect: Dialect) -> Self {
        let message = "this key may only read, and calls to models spend";
        Self::new(
            StatusCode::FORBIDDEN,
            "permission_error",
            "forbidden",
            message,
        )
        .said_in(dialect)
    }

    pub(super) fn too_large(dialect: Dialect) -> Self {
        let kind = match dialect {
            Dialect::Openai => "invalid_request_error",
            Dialect::Anthropic => "request_too_large",
        };
        let message = "the body of a request has at most 24 MiB";
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            kind,
            "request_too_large",
            message,
        )
        .said_in(dialect)
    }

    pub(super) fn route(dialect: Dialect) -> Self {
        let message = "there is no such address";
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "not_found",
            message,
        )
        .said_in(dialect)
    }

    pub(super) fn no_model(dialect: Dialect, name: &str) -> Self {
        let kind = ModelErrorKind::NotFound;
        let error = ModelError::new(kind, format!("there is no role and no model `{name}` here"));
        Self::from(error).said_in(dialect)
    }

    /// The same in another dialect.
    pub(super) fn said_in(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        if dialect == Dialect::Anthropic {
            self.kind = anthropic_kind(self.code, self.kind);
            if self.code == "overloaded" {
                self.status = StatusCode::from_u16(529).unwrap_or(self.status);
            }
        }
        self
    }

    /// As the body of an answer, or a frame within one.
    pub(super) fn body(&self) -> Value {
        match self.dialect {
            Dialect::Openai => json!({"error": {
                "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
            }}),
            Dialect::Anthropic => json!({"type": "error", "error": {
                "type": self.kind, "message": self.message,
            }}),
        }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs_f64().ceil();
            super::put(headers, "retry-after", &format!("{seconds:.0}"));
        }
        if self.final_word {
            // Libraries try a 429 again by themselves, which a budget does not change.
            super::put(headers, "x-should-retry", "false");
        }
        response
    }
}

fn anthropic_kind(code: &str, kind: &'static str) -> &'static str {
    match code {
        "insufficient_quota" => "billing_error",
        "model_not_found" | "not_found" => "not_found_error",
        "rate_limited" => "rate_limit_error",
        "overloaded" => "overloaded_error",
        "timeout" => "timeout_error",
        "forbidden" => "permission_error",
        "invalid_api_key" => "authentication_error",
        "request_too_large" => "request_too_large",
        _ if kind == "server_error" => "api_error",
        _ => kind,
    }
}

impl From<ModelError> for Refused {
    /// What went wrong at a provider is told in general words: its account and
    /// its key are the operator's business.
    fn from(error: ModelError) -> Self {
        use ModelErrorKind as K;
        const INVALID: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        let (status, kind, code) = match error.kind {
            K::BadRequest => (400, INVALID, "invalid_request"),
            K::Unsupported => (400, INVALID, "unsupported"),
            K::ContextFull => (400, INVALID, "context_length_exceeded"),
            K::ContentFilter => (400, INVALID, "content_filter"),
            K::NotFound => (404, INVALID, "model_not_found"),
            K::BudgetExceeded => (429, "insufficient_quota", "insufficient_quota"),
            K::RateLimited => (429, "rate_limit_error", "rate_limited"),
            K::Overloaded => (503, SERVER, "overloaded"),
            K::NoProvider => (503, SERVER, "no_provider"),
            K::Timeout => (504, SERVER, "timeout"),
            K::Internal => (500, SERVER, "internal"),
            K::Auth | K::Payment => (502, SERVER, "provider_account"),
            other => (502, SERVER, other.code()),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let message = match error.kind {
            K::Auth | K::Payment => {
                tracing::warn!(
                    provider = error.provider,
                    code = error.provider_code,
                    status = error.status,
                    "A provider refuses our key or account"
                );
                "the provider refuses the server's account".to_owned()
            }
            _ => error.message,
        };
        Self {
            retry_after: error.retry_after,
            final_word: !matches!(error.kind, K::RateLimited) && status.is_client_error(),
            ..Self::new(status, kind, code, &message)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn said(kind: ModelErrorKind, dialect: Dialect) -> (u16, Value) {
        let refused = Refused::from(ModelError::new(kind, "why")).said_in(dialect);
        (
            refused.status.as_u16(),
            refused.body()["error"]["type"].clone(),
        )
    }

    #[test]
    fn each_dialect_has_its_words() {
        use Dialect::{Anthropic, Openai};
        use ModelErrorKind as K;
        let text = |text: &str| Value::String(text.to_owned());
        assert_eq!(
            said(K::BudgetExceeded, Openai),
            (429, text("insufficient_quota"))
        );
        assert_eq!(
            said(K::BudgetExceeded, Anthropic),
            (429, text("billing_error"))
        );
        assert_eq!(said(K::Overloaded, Openai), (503, text("server_error")));
        assert_eq!(
            said(K::Overloaded, Anthropic),
            (529, text("overloaded_error"))
        );
        assert_eq!(said(K::NotFound, Anthropic), (404, text("not_found_error")));
        assert_eq!(said(K::Server, Anthropic), (502, text("api_error")));
        assert_eq!(
            said(K::BadRequest, Anthropic),
            (400, text("invalid_request_error"))
        );
    }

    #[test]
    fn a_providers_account_is_not_the_callers_business() {
        let error = ModelError::new(ModelErrorKind::Auth, "Incorrect API key provided: sk-abc");
        let body = Refused::from(error).body().to_string();
        assert!(!body.contains("sk-abc"), "{body}");
    }
}
