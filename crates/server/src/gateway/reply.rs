//! The gateway's own answers, each in the shape that the clients of the room
//! behind it understand.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Response, StatusCode};
use serde_json::{Value, json};

use super::grants::Withheld;
use super::identity::Refusal;

/// How a room's clients expect errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgREST: `code`, `details`, `hint`, `message`.
    Rest,
    /// Supabase's gateway: `message` and perhaps `hint`.
    Gateway,
    /// Apps whose every answer says whether it is a success: `success` and
    /// `error`.
    Success,
    /// Apps that say what is wrong in one field: `detail`.
    Detail,
    /// The Storage API's: `statusCode`, `error`, `message` and `code`.
    Storage,
    /// The gateway's, except for what GoTrue would have said itself: `code`,
    /// `error_code` and `msg`.
    Auth,
}

/// Something the gateway says instead of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    NoRoute,
    HeadTooLarge { limit: usize },
    BodyTooLarge { limit: u64 },
    BadRequest(&'static str),
    TooManyRequests { wait_seconds: u64 },
    Withheld(Withheld),
    Timeout,
    Internal,
}

impl Trouble {
    fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Withheld(_) => StatusCode::FORBIDDEN,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable codes of our own, beside PostgREST's.
    fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "FB404",
            Self::HeadTooLarge { .. } => "FB431",
            Self::BodyTooLarge { .. } => "FB413",
            Self::BadRequest(_) => "FB400",
            Self::TooManyRequests { .. } => "FB429",
            Self::Withheld(_) => "FB403",
            Self::Timeout => "FB504",
            Self::Internal => "FB500",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::NoRoute => "no Route matched with those values",
            Self::HeadTooLarge { .. } => "Request address and headers are too large",
            Self::BodyTooLarge { .. } => "Request body is too large",
            Self::BadRequest(message) => message,
            Self::TooManyRequests { .. } => "API rate limit exceeded",
            Self::Withheld(Withheld::Scope(_)) => "This API key lacks the scope for this request",
            Self::Withheld(Withheld::Write) => "This API key may only read",
            Self::Timeout => "The request took too long",
            Self::Internal => "An unexpected error occurred",
        }
    }

    fn hint(self) -> Option<String> {
        match self {
            Self::HeadTooLarge { limit } => Some(format!("The limit is {limit} bytes.")),
            Self::BodyTooLarge { limit } => {
                Some(format!("The limit is {limit} bytes; send less at once."))
            }
            Self::TooManyRequests { wait_seconds } => {
                Some(format!("Try again in {wait_seconds} s."))
            }
            Self::Withheld(Withheld::Scope(scope)) => {
                Some(format!("It needs the scope `{scope}`."))
            }
            _ => None,
        }
    }

    pub(crate) fn response(self, dialect: Dialect) -> Response<Body> {
        let hint = self.hint();
        let body = match dialect {
            Dialect::Rest => postgrest(self.code(), self.message(), None, hint.as_deref()),
            Dialect::Success => json!({"success": false, "error": self.message()}),
            Dialect::Detail => json!({"detail": self.message()}),
            Dialect::Storage => json!({
                "statusCode": self.status().as_str(),
                "error": self.code(),
                "message": self.message(),
                "code": self.code(),
            }),
            Dialect::Auth if matches!(self, Self::Withheld(_)) => {
                let code = StatusCode::FORBIDDEN.as_u16();
                json!({"code": code, "error_code": "no_authorization", "msg": self.message()})
            }
            Dialect::Gateway | Dialect::Auth => gateway(self.message(), hint.as_deref()),
        };
        let mut response = with_json(self.status(), &body);
        if let Self::TooManyRequests { wait_seconds } = self {
            response
                .headers_mut()
                .insert(RETRY_AFTER, wait_seconds.into());
        }
        response
    }
}

/// A refusal. Token errors are PostgREST's everywhere, since that is who said
/// them until now; key errors are the gateway's.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Body> {
    match refusal {
        Refusal::Jwt(error) => {
            let message = error.to_string();
            let body = postgrest(error.code(), &message, error.details(), None);
            if error.code() == "PGRST300" {
                let refused = with_json(StatusCode::INTERNAL_SERVER_ERROR, &body);
                return with_proxy_status(refused, "PGRST300");
            }
            let challenge =
                format!("Bearer error=\"invalid_token\", error_description=\"{message}\"");
            with_proxy_status(unauthorized(&body, &challenge), error.code())
        }
        Refusal::AnonymousDisabled => {
            let body = postgrest("PGRST302", "Anonymous access is disabled", None, None);
            with_proxy_status(unauthorized(&body, "Bearer"), "PGRST302")
        }
        Refusal::NoApiKey => unauthorized(
            &gateway(
                "No API key found in request",
                Some("No `apikey` request header or url param was found."),
            ),
            "Key",
        ),
        Refusal::InvalidApiKey => unauthorized(
            &gateway(
                "Invalid API key",
                Some("The `apikey` is none of this project's keys; `ferrobase keys` prints them."),
            ),
            "Key",
        ),
        Refusal::SecretKeyInBrowser => unauthorized(
            &gateway(
                "Forbidden use of secret API key in browser",
                Some(
                    "A secret key passes row-level security and belongs on servers only. Replace this one, and use the publishable key in browsers.",
                ),
            ),
            "Key",
        ),
    }
}

/// `Proxy-Status` (RFC 9209), as PostgREST sends it with every error.
fn with_proxy_status(mut response: Response<Body>, code: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::try_from(format!("PostgREST; error={code}")) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("proxy-status"), value);
    }
    response
}

fn unauthorized(body: &Value, challenge: &str) -> Response<Body> {
    let mut response = with_json(StatusCode::UNAUTHORIZED, body);
    if let Ok(challenge) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn postgrest(code: &str, message: &str, details: Option<&str>, hint: Option<&str>) -> Value {
    json!({"code": code, "details": details, "hint": hint, "message": message})
}

fn gateway(message: &str, hint: Option<&str>) -> Value {
    match hint {
        None => json!({"message": message}),
        Some(hint) => json!({"message": message, "hint": hint}),
    }
}

/// Any JSON answer.
pub(crate) fn with_json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_shape() {
        let trouble = Trouble::TooManyRequests { wait_seconds: 3 };
        assert_eq!(trouble.response(Dialect::Rest).headers()[RETRY_AFTER], "3");
        assert_eq!(
            postgrest(
                Trouble::Timeout.code(),
                Trouble::Timeout.message(),
                None,
                None
            )
            .to_string(),
            r#"{"code":"FB504","details":null,"hint":null,"message":"The request took too long"}"#
        );
        assert_eq!(
            gateway(Trouble::NoRoute.message(), None).to_string(),
            r#"{"message":"no Route matched with those values"}"#
        );
    }
}
