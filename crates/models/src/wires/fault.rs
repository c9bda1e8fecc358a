//! What providers say when something is wrong, as one set of kinds.
//!
//! The same failure comes as a status with headers or, once an answer has
//! begun, as an event within it: [`from_answer`] and [`from_event`].

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value;

use crate::error::{ModelError, ModelErrorKind as Kind};
use crate::wires::provider::Provider;

/// A provider that wants more quiet than this is as good as gone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is kept of a provider's words, in characters.
const MESSAGE_MAX: usize = 500;

/// The error of an answer that is none.
pub(crate) fn from_answer(
    provider: &Provider,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> ModelError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = Said::of(&body);
    let mut error = said.error(provider, Some(status.as_u16()));
    error.retry_after = retry_after(headers, now).or(said.retry_delay);
    error.should_retry = header(headers, "x-should-retry").and_then(|text| text.parse().ok());
    error
}

/// The error that stands in an event, if one does.
pub(crate) fn from_event(provider: &Provider, event: &Value) -> ModelError {
    let said = Said::of(event);
    let mut error = said.error(provider, None);
    error.retry_after = said.retry_delay;
    error
}

/// What a provider's error object says.
#[derive(Debug, Default)]
struct Said {
    code: Option<String>,
    /// A status within an error: `OpenRouter` and Gemini number theirs.
    number: Option<u16>,
    message: Option<String>,
    reason: Option<String>,
    retry_delay: Option<Duration>,
}

impl Said {
    fn of(body: &Value) -> Self {
        // Gemini wraps errors of streams into an array.
        let body = body.get(0).unwrap_or(body);
        let error = match body.get("error") {
            Some(error) if !error.is_null() => error,
            _ => body.pointer("/response/error").unwrap_or(body),
        };
        if let Some(message) = error.as_str() {
            return Self {
                message: Some(message.to_owned()),
                ..Self::default()
            };
        }
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = error.get("code").and_then(Value::as_u64);
        let details = error.get("details").and_then(Value::as_array);
        let details = details.map(Vec::as_slice).unwrap_or_default();
        let detail = |name: &str| details.iter().find_map(|detail| detail.get(name)?.as_str());
        Self {
            // The more exact word first: `code` where there is one.
            code: text("code")
                .or_else(|| text("status"))
                .or_else(|| text("type")),
            number: number.and_then(|number| u16::try_from(number).ok()),
            message: text("message").or_else(|| text("detail")),
            reason: detail("reason").map(str::to_owned),
            retry_delay: detail("retryDelay").and_then(|text| seconds(text.strip_suffix('s')?)),
        }
    }

    fn error(&self, provider: &Provider, status: Option<u16>) -> ModelError {
        let number = status.or(self.number);
        let kind = self.kind(number);
        let message = match (&self.message, number) {
            (Some(message), _) => redacted(provider, message),
            (None, Some(number)) => format!("the provider answered {number}"),
            (None, None) => "the provider failed".to_owned(),
        };
        ModelError {
            status,
            provider_code: self.code.as_deref().map(|code| redacted(provider, code)),
            ..ModelError::new(kind, message).of(&provider.name)
        }
    }

    fn kind(&self, number: Option<u16>) -> Kind {
        if self.reason.as_deref() == Some("API_KEY_INVALID") {
            return Kind::Auth;
        }
        let by_word = self.code.as_deref().and_then(by_word);
        match (by_word, number) {
            // `invalid_request_error` and the like say less than the text.
            (Some(Kind::BadRequest) | None, Some(400 | 413 | 422))
            | (Some(Kind::BadRequest), None) => self.by_message().unwrap_or(Kind::BadRequest),
            // A status that says more than a word that fits everything.
            (Some(Kind::BadRequest) | None, Some(number)) => by_status(number),
            (Some(kind), _) => kind,
            (None, None) => self.by_message().unwrap_or(Kind::Server),
        }
    }

    /// Some say that the input is too long in words only.
    fn by_message(&self) -> Option<Kind> {
        let message = self.message.as_deref()?.to_ascii_lowercase();
        let full = [
            "prompt is too long",
            "maximum context length",
            "context window",
            "context length",
            "context size",
            "exceeds the maximum number of tokens",
            "request_too_large",
        ];
        full.iter()
            .any(|words| message.contains(words))
            .then_some(Kind::ContextFull)
    }
}

fn by_word(code: &str) -> Option<Kind> {
    Some(match code.to_ascii_lowercase().as_str() {
        "overloaded_error" | "unavailable" | "server_overloaded" | "slow_down" => Kind::Overloaded,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "resource_exhausted"
        | "requests"
        | "tokens"
        | "too_many_requests" => Kind::RateLimited,
        "insufficient_quota"
        | "billing_error"
        | "billing_hard_limit_reached"
        | "billing_not_active" => Kind::Payment,
        "authentication_error"
        | "permission_error"
        | "invalid_api_key"
        | "unauthenticated"
        | "permission_denied"
        | "invalid_authentication" => Kind::Auth,
        "not_found_error" | "model_not_found" | "not_found" => Kind::NotFound,
        "context_length_exceeded" | "request_too_large" | "string_above_max_length" => {
            Kind::ContextFull
        }
        "content_filter" | "content_policy_violation" | "invalid_prompt" | "moderation_blocked" => {
            Kind::ContentFilter
        }
        "timeout_error" | "deadline_exceeded" | "timeout" => Kind::Timeout,
        "api_error" | "server_error" | "internal" | "internal_error" => Kind::Server,
        "invalid_request_error" | "invalid_argument" | "failed_precondition" => Kind::BadRequest,
        _ => return None,
    })
}

fn by_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Auth,
        402 => Kind::Payment,
        408 | 504 => Kind::Timeout,
        413 => Kind::ContextFull,
        429 => Kind::RateLimited,
        503 | 529 => Kind::Overloaded,
        // A redirect is not followed: the address is wrong.
        404 | 300..=399 => Kind::NotFound,
        400..=499 => Kind::BadRequest,
        _ => Kind::Server,
    }
}

/// How long to wait: in milliseconds, in seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(millis) = header(headers, "retry-after-ms").and_then(seconds) {
        return Some((millis / 1000).min(RETRY_AFTER_MAX));
    }
    let text = header(headers, "retry-after")?;
    if let Some(wait) = seconds(text) {
        return Some(wait.min(RETRY_AFTER_MAX));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Some(wait.min(RETRY_AFTER_MAX))
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.trim().parse().ok()?;
    // Negative ones and those that are no number mean nothing.
    Duration::try_from_secs_f64(number).ok()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A provider's words, without what it may have repeated of our secrets, and
/// not too many.
fn redacted(provider: &Provider, text: &str) -> String {
    let mut text = text.to_owned();
    let headers = provider.headers.iter().map(|(_, value)| value);
    for secret in provider.key.iter().chain(headers) {
        // Shorter ones would blank ordinary words.
        if secret.expose().len() >= 8 {
            text = text.replace(secret.expose(), "[redacted]");
        }
    }
    match text.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use kernel::Secret;

    use super::*;
    use crate::wires::provider::WireKind;

    fn fault(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> ModelError {
        let provider =
            Provider::new("p", WireKind::OpenaiChat, None).key(Secret::new("sk-very-secret-key"));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        from_answer(
            &provider,
            status,
            &map,
            body.as_bytes(),
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn every_providers_words_end_in_one_set() {
        let table = [
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Kind::Overloaded,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
                Kind::ContextFull,
            ),
            (
                400,
                r#"{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                Kind::ContextFull,
            ),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Kind::Payment,
            ),
            (
                429,
                r#"{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}"#,
                Kind::RateLimited,
            ),
            (429, "slow", Kind::RateLimited),
            (
                400,
                r#"{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
                Kind::Auth,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}]"#,
                Kind::ContextFull,
            ),
            (
                503,
                r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#,
                Kind::Overloaded,
            ),
            (
                402,
                r#"{"error":{"code":402,"message":"credits"}}"#,
                Kind::Payment,
            ),
            (404, r#"{"error":"model 'x' not found"}"#, Kind::NotFound),
            (
                422,
                r#"{"title":"Input validation failed","detail":"- input: prompt is required"}"#,
                Kind::BadRequest,
            ),
            (500, "<html>", Kind::Server),
            (302, "", Kind::NotFound),
        ];
        for (status, body, kind) in table {
            let error = fault(status, &[], body);
            assert_eq!(error.kind, kind, "{body}: {error:?}");
            assert_eq!(error.status, Some(status));
        }
    }

    #[test]
    fn waits_come_as_milliseconds_seconds_or_a_date() {
        let wait = |headers: &[_]| fault(429, headers, "").retry_after;
        let both = [("retry-after-ms", "1500"), ("retry-after", "9")];
        assert_eq!(wait(&both), Some(Duration::from_millis(1500)));
        assert_eq!(
            wait(&[("retry-after", "0.5")]),
            Some(Duration::from_millis(500))
        );
        let date = [("retry-after", "Thu, 01 Jan 1970 00:00:20 GMT")];
        assert_eq!(wait(&date), Some(Duration::from_secs(20)));
        let past = [("retry-after", "Wed, 31 Dec 1969 23:00:00 GMT")];
        assert_eq!(wait(&past), Some(Duration::ZERO));
        for nonsense in ["-5", "soon", "NaN", "1e999"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        let body = r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{"@type":"t","retryDelay":"17.5s"}]}}"#;
        assert_eq!(
            fault(429, &[], body).retry_after,
            Some(Duration::from_millis(17_500))
        );
    }

    #[test]
    fn a_provider_has_the_last_word_on_retries() {
        let again = |status, headers: &[_]| fault(status, headers, "").same_again();
        assert!(again(429, &[]) && again(529, &[]) && again(500, &[]) && again(409, &[]));
        assert!(!again(400, &[]) && !again(401, &[]) && !again(402, &[]) && !again(422, &[]));
        assert!(!again(529, &[("x-should-retry", "false")]));
        assert!(again(400, &[("x-should-retry", "true")]));
        assert!(fault(401, &[], "").another_may() && fault(402, &[], "").another_may());
        assert!(!fault(400, &[], "").another_may() && !fault(422, &[], "").another_may());
    }

    #[test]
    fn a_key_that_a_provider_repeats_does_not_come_through() {
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-very-secret-key.","code":"sk-very-secret-key"}}"#;
        let error = fault(401, &[], body);
        assert!(
            !format!("{error:?} {error}").contains("very-secret"),
            "{error:?}"
        );
        let long = format!(r#"{{"error":"{}"}}"#, "ä".repeat(5000));
        assert!(fault(500, &[], &long).message.chars().count() <= MESSAGE_MAX + 1);
    }
}
