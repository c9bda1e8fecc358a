//! Hooks that are HTTP services.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};

use super::signature::Signature;
use super::target::Service;
use super::{HookError, Hooks, PAYLOAD_BYTES_MAX};
use outbound::{Answer, Budget, CallError};

/// GoTrue's: for all tries together.
const TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: usize = 3;
/// GoTrue's, between tries that got no answer.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

impl Hooks {
    pub(super) async fn post(
        &self,
        service: &Service,
        input: String,
    ) -> Result<Option<String>, HookError> {
        tokio::time::timeout(TIMEOUT, self.tries(service, input.into()))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    async fn tries(&self, service: &Service, body: Bytes) -> Result<Option<String>, HookError> {
        let mut busy = false;
        for attempt in 1..=TRIES {
            let request = self.request(service, body.clone())?;
            let budget = Budget {
                time: TIMEOUT,
                body: PAYLOAD_BYTES_MAX,
            };
            match self.client.call(request, budget).await {
                Ok(answer) if is_busy(&answer) => busy = true,
                Ok(answer) => return read(&answer),
                Err(error) => {
                    busy = false;
                    tracing::warn!(%error, attempt, "an auth hook cannot be reached");
                    match error {
                        CallError::TooLarge(_) => return Err(too_large()),
                        CallError::Timeout(_) => return Err(timed_out()),
                        // It will be just as forbidden the next time.
                        CallError::Forbidden => break,
                        CallError::Failed(_) if attempt < TRIES => {
                            tokio::time::sleep(self.pause).await;
                        }
                        CallError::Failed(_) => {}
                    }
                }
            }
        }
        if busy {
            return Err(unavailable());
        }
        let message = "Failed to reach hook after maximum retries";
        Err(HookError::coded(422, "hook_timeout_after_retry", message))
    }

    /// Signed afresh for each try, with an id of its own.
    fn request(&self, service: &Service, body: Bytes) -> Result<Request<Bytes>, HookError> {
        let id = self.rng.uuid().to_string();
        let now = self.clock.now().as_second();
        let signature = Signature::new(&service.secrets, &id, now, &body);
        Request::post(service.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .header("webhook-id", signature.id)
            .header("webhook-timestamp", signature.timestamp)
            .header("webhook-signature", signature.signatures)
            .body(body)
            .map_err(|_| HookError::internal("Hook failed to make request object"))
    }
}

fn read(answer: &Answer) -> Result<Option<String>, HookError> {
    match answer.status {
        StatusCode::NO_CONTENT => Ok(None),
        StatusCode::OK | StatusCode::ACCEPTED => {
            check_type(&answer.headers)?;
            let body = std::str::from_utf8(&answer.body);
            let body = body.map_err(|_| HookError::internal("Error unmarshaling JSON output."))?;
            Ok(Some(body.to_owned()))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(unavailable()),
        StatusCode::BAD_REQUEST => Err(HookError::internal("Invalid payload sent to hook")),
        StatusCode::UNAUTHORIZED => Err(HookError::internal("Hook requires authorization token")),
        status => {
            let message = format!(
                "Unexpected status code returned from hook: {}",
                status.as_u16()
            );
            Err(HookError::internal(message))
        }
    }
}

/// Asks to be asked again.
fn is_busy(answer: &Answer) -> bool {
    let busy = matches!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let again = answer.headers.get(RETRY_AFTER);
    busy && again.is_some_and(|value| !value.is_empty())
}

fn check_type(headers: &HeaderMap) -> Result<(), HookError> {
    let wrong = |message: String| {
        Err(HookError::coded(
            400,
            "hook_payload_invalid_content_type",
            message,
        ))
    };
    let found = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        return wrong("Invalid Content-Type: Missing Content-Type header".to_owned());
    };
    let media = found.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    wrong(format!(
        "Invalid JSON response. Received content-type: {found}"
    ))
}

fn timed_out() -> HookError {
    let seconds = TIMEOUT.as_secs_f64();
    let message = format!("Failed to reach hook within maximum time of {seconds:.6} seconds");
    HookError::coded(422, "hook_timeout", message)
}

fn too_large() -> HookError {
    let message = format!("Payload size exceeded size limit of {PAYLOAD_BYTES_MAX} bytes");
    HookError::coded(422, "hook_payload_over_size_limit", message)
}

fn unavailable() -> HookError {
    HookError::internal("Service currently unavailable due to hook")
}
