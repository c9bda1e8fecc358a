//! Replicate's predictions: pictures, films and whatever else takes minutes.
//!
//! A prediction is begun and has a handle at once; who holds the handle can
//! look again after a restart. Replicate tells by webhook when it is over:
//! [`verify`] checks that it was Replicate, [`told`] reads what it said.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use http::Method;
use jiff::Timestamp;
use kernel::Secret;
use ring::hmac;
use serde_json::{Value, json};

use crate::error::{ModelError, ModelErrorKind};
use crate::event::ChatStream;
use crate::usage::Usage;
use crate::wires::http::{Ask, Http};
use crate::wires::provider::Provider;
use crate::wires::{Call, PredictCall, Prediction, PredictionStatus, Wire, in_path, set, text_of};

/// How long the first request waits for a quick prediction, in seconds. Longer
/// ones are looked at again or tell by webhook.
const WAIT_SECONDS: u32 = 10;

/// A webhook older or newer than this is not believed: it may be a repetition
/// by somebody who has read an old one.
const WEBHOOK_AGE_MAX: Duration = Duration::from_secs(300);

/// Signatures of one webhook that are tried; more than one comes only while
/// secrets are being replaced.
const SIGNATURES_MAX: usize = 8;

pub(crate) struct Replicate {
    provider: Arc<Provider>,
    http: Http,
}

impl Replicate {
    pub(crate) fn new(provider: Arc<Provider>, http: &Http) -> Self {
        let http = http.clone();
        Self { provider, http }
    }

    fn ask(
        &self,
        ask: Result<Ask, ModelError>,
    ) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        let (http, provider) = (self.http.clone(), self.provider.clone());
        Box::pin(async move {
            let ask = ask.map_err(|error| error.of(&provider.name))?;
            let answer = http.json(&provider, ask).await?;
            told(&answer).map_err(|error| error.of(&provider.name))
        })
    }
}

impl Wire for Replicate {
    fn chat(&self, _: Call) -> BoxFuture<'static, Result<ChatStream, ModelError>> {
        let provider = self.provider.name.clone();
        Box::pin(async move {
            let text = "this provider makes predictions and does not chat";
            Err(ModelError::new(ModelErrorKind::Unsupported, text).of(&provider))
        })
    }

    fn predict(&self, call: PredictCall) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        self.ask(begin(&call))
    }

    fn prediction(&self, handle: String) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        self.ask(again(&handle, Method::GET, ""))
    }

    fn cancel(&self, handle: String) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        self.ask(again(&handle, Method::POST, "/cancel"))
    }
}

/// Models of the house have an address of their own, all others go by version.
fn begin(call: &PredictCall) -> Result<Ask, ModelError> {
    let model = in_path(&call.model)?;
    let mut body = json!({"input": call.input});
    let path = match (model.rsplit_once(':'), model.contains('/')) {
        (None, true) => format!("/models/{model}/predictions"),
        (Some((_, version)), _) => {
            set(&mut body, "version", version.into());
            "/predictions".to_owned()
        }
        (None, false) => {
            set(&mut body, "version", model.into());
            "/predictions".to_owned()
        }
    };
    if let Some(webhook) = &call.webhook {
        set(&mut body, "webhook", webhook.as_str().into());
        set(&mut body, "webhook_events_filter", json!(["completed"]));
    }
    let mut ask = Ask::post(path, body, call.token);
    // A step of a job wants the handle at once: while it waits for the answer, a
    // crash would lose what is already paid.
    if call.token.is_none() {
        ask.headers.push(("prefer", format!("wait={WAIT_SECONDS}")));
    }
    Ok(ask)
}

fn again(handle: &str, method: Method, action: &str) -> Result<Ask, ModelError> {
    // A handle is the provider's, but it may come back from anywhere.
    if handle.is_empty() || !handle.chars().all(|c| c.is_ascii_alphanumeric()) {
        let text = "this is no handle of a prediction";
        return Err(ModelError::new(ModelErrorKind::NotFound, text));
    }
    Ok(Ask {
        method,
        path: format!("/predictions/{handle}{action}"),
        body: None,
        token: None,
        headers: Vec::new(),
    })
}

/// What the provider tells of a prediction, in an answer or a webhook's body.
pub fn told(answer: &Value) -> Result<Prediction, ModelError> {
    let status = match text_of(answer, "/status") {
        "starting" | "queued" => PredictionStatus::Starting,
        "processing" => PredictionStatus::Processing,
        "succeeded" | "successful" => PredictionStatus::Succeeded,
        "failed" => PredictionStatus::Failed,
        "canceled" | "aborted" => PredictionStatus::Canceled,
        other => {
            let text = format!("unknown state of a prediction: {other:.40}");
            return Err(ModelError::new(ModelErrorKind::Protocol, text));
        }
    };
    let handle = text_of(answer, "/id");
    if handle.is_empty() {
        let text = "a prediction without an id";
        return Err(ModelError::new(ModelErrorKind::Protocol, text));
    }
    let error = match answer.get("error") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.chars().take(500).collect()),
        Some(other) => Some(other.to_string().chars().take(500).collect()),
    };
    Ok(Prediction {
        handle: handle.to_owned(),
        status,
        output: answer.get("output").cloned().unwrap_or_default(),
        error,
        usage: usage_of(answer.get("metrics").cloned().unwrap_or_default()),
    })
}

fn usage_of(raw: Value) -> Usage {
    let number = |pointer| raw.pointer(pointer).and_then(Value::as_u64);
    Usage {
        input: number("/input_token_count").unwrap_or_default(),
        output: number("/output_token_count").unwrap_or_default(),
        seconds: raw.get("predict_time").and_then(Value::as_f64),
        raw,
        ..Usage::default()
    }
}

/// The headers of a webhook that its signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`, in seconds.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

/// Whether a webhook was signed with this secret, not long ago.
#[must_use]
pub fn verify(secret: &Secret, signed: Signed<'_>, body: &[u8], now: Timestamp) -> bool {
    let key = secret.expose();
    let key = key.strip_prefix("whsec_").unwrap_or(key);
    let Ok(key) = STANDARD.decode(key) else {
        return false;
    };
    let age = signed
        .timestamp
        .parse::<i64>()
        .ok()
        .map(|sent| now.as_second().abs_diff(sent));
    if age.is_none_or(|age| age > WEBHOOK_AGE_MAX.as_secs()) {
        return false;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut text = format!("{}.{}.", signed.id, signed.timestamp).into_bytes();
    text.extend_from_slice(body);
    let signatures = signed.signature.split(' ').take(SIGNATURES_MAX);
    let mut given = signatures.filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    given.any(|signature| hmac::verify(&key, &text, &signature).is_ok())
}
