//! How providers are spoken to: one file for each protocol.
//!
//! Start with [`Wire`]: what routing asks of any provider. [`provider`] holds
//! the settings of one.

mod anthropic;
mod embeddings;
mod fault;
mod gemini;
mod http;
mod openai_chat;
mod openai_responses;
pub mod provider;
mod reasoning_details;
pub mod replicate;
mod sse;
mod tools;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::chat::{ChatRequest, Role};
use crate::error::{ModelError, ModelErrorKind};
use crate::event::ChatStream;
use crate::structured;
use crate::usage::Usage;
use crate::wires::provider::{Provider, SchemaSupport, WireKind};

pub use crate::wires::http::Http;

/// One try at one provider's model.
#[derive(Clone, Debug)]
pub struct Call {
    /// The provider's own name of the model.
    pub model: String,
    /// What is asked; its target plays no part any more.
    pub request: Arc<ChatRequest>,
    /// Sent as the idempotency key where the provider knows such keys.
    pub token: Option<Uuid>,
}

/// A provider that can be asked. Dropping an answer ends the call there.
pub trait Wire: Send + Sync {
    /// Asks for an answer. Fails when none begins; what fails later is the
    /// stream's last item. `Start` comes as soon as the provider has begun,
    /// which is before it has said anything: who falls back to another provider
    /// holds it until [`ChatEvent::is_content`](crate::ChatEvent::is_content).
    fn chat(&self, call: Call) -> BoxFuture<'static, Result<ChatStream, ModelError>>;

    /// Turns texts into vectors.
    fn embed(&self, call: EmbedCall) -> BoxFuture<'static, Result<Embeddings, ModelError>> {
        drop(call);
        Box::pin(async { Err(unsupported("makes no embeddings")) })
    }

    /// Begins a prediction that may take minutes: pictures, films.
    fn predict(&self, call: PredictCall) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        drop(call);
        Box::pin(async { Err(unsupported("makes no predictions")) })
    }

    /// Looks at a prediction that was begun before, perhaps by another process.
    fn prediction(&self, handle: String) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        drop(handle);
        Box::pin(async { Err(unsupported("makes no predictions")) })
    }

    /// Ends a prediction. One that is over stays as it is.
    fn cancel(&self, handle: String) -> BoxFuture<'static, Result<Prediction, ModelError>> {
        drop(handle);
        Box::pin(async { Err(unsupported("makes no predictions")) })
    }
}

/// The wire to this provider. The scripted one has none.
#[must_use]
pub fn connect(provider: Provider, http: &Http) -> Option<Arc<dyn Wire>> {
    use crate::wires::embeddings::Embedding;
    use crate::wires::http::HttpWire;
    let provider = Arc::new(provider);
    let kind = provider.kind;
    Some(match kind {
        WireKind::Anthropic => Arc::new(HttpWire::new(anthropic::Anthropic, provider, http)),
        WireKind::OpenaiChat | WireKind::Openrouter => Arc::new(Embedding(HttpWire::new(
            openai_chat::OpenaiChat,
            provider,
            http,
        ))),
        WireKind::OpenaiResponses => {
            let protocol = openai_responses::OpenaiResponses;
            Arc::new(Embedding(HttpWire::new(protocol, provider, http)))
        }
        WireKind::Gemini => Arc::new(Embedding(HttpWire::new(gemini::Gemini, provider, http))),
        WireKind::Replicate => Arc::new(replicate::Replicate::new(provider, http)),
        WireKind::Demo => return None,
    })
}

/// All instructions in one text: the request's own, those within the
/// conversation, and the schema where the provider does not take it.
fn instructions(request: &ChatRequest, provider: &Provider) -> String {
    let mut all: Vec<String> = request.system.iter().cloned().collect();
    let within = request.messages.iter().filter(|it| it.role == Role::System);
    all.extend(within.map(crate::chat::Message::text));
    if let Some(wanted) = &request.schema
        && support(provider, request) != SchemaSupport::Native
    {
        all.push(structured::prompt(wanted));
    }
    all.retain(|text| !text.is_empty());
    all.join("\n\n")
}

/// How this provider is held to this request's schema. Anthropic knows neither
/// open objects nor recursion.
fn support(provider: &Provider, request: &ChatRequest) -> SchemaSupport {
    let refused = request.schema.as_ref().is_some_and(|wanted| {
        structured::dialect::is_open(&wanted.schema)
            || structured::dialect::is_recursive(&wanted.schema)
    });
    match provider.kind {
        WireKind::Anthropic if refused => SchemaSupport::Prompt,
        _ => provider.schema,
    }
}

/// The body with the caller's own fields, which replace nothing.
fn with_extra(mut body: Map<String, Value>, request: &ChatRequest) -> Value {
    for (name, value) in &request.extra {
        if !body.contains_key(name) {
            body.insert(name.clone(), value.clone());
        }
    }
    Value::Object(body)
}

/// A provider's mark on its thoughts, with the name of its protocol: another
/// one would refuse it.
fn sealed(seal: &str, signature: &str) -> String {
    format!("{seal}:{signature}")
}

/// The mark, if it is of this protocol.
fn marked<'a>(seal: &str, signature: Option<&'a str>) -> Option<&'a str> {
    signature?.strip_prefix(seal)?.strip_prefix(':')
}

/// Sets a field of an object.
fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// The number at this JSON Pointer; 0 where there is none.
fn count(value: &Value, pointer: &str) -> u64 {
    let number = value.pointer(pointer);
    number.and_then(Value::as_u64).unwrap_or_default()
}

/// The text at this JSON Pointer; empty where there is none.
fn text_of<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let text = value.pointer(pointer);
    text.and_then(Value::as_str).unwrap_or_default()
}

/// A model's name as a part of a path.
fn in_path(model: &str) -> Result<&str, ModelError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    let plain = !model.is_empty() && model.chars().all(fits) && !model.contains("..");
    let wrong = || ModelError::new(ModelErrorKind::NotFound, "this is no name of a model");
    plain.then_some(model).ok_or_else(wrong)
}

fn unsupported(what: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Unsupported, format!("this provider {what}"))
}

/// Texts to be turned into vectors.
#[derive(Clone, Debug)]
pub struct EmbedCall {
    /// The provider's own name of the model.
    pub model: String,
    /// The texts.
    pub texts: Vec<String>,
    /// How long the vectors should be, where the model leaves a choice.
    pub dimensions: Option<u32>,
    /// Sent as the idempotency key where the provider knows such keys.
    pub token: Option<Uuid>,
}

/// Vectors for texts, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// One for each text.
    pub vectors: Vec<Vec<f32>>,
    /// What it took.
    pub usage: Usage,
    /// The model that the provider says it used.
    pub model: String,
}

/// What a prediction is made of.
#[derive(Clone, Debug)]
pub struct PredictCall {
    /// `owner/name`, `owner/name:version`, or a version.
    pub model: String,
    /// The model's own input.
    pub input: Value,
    /// Where the provider tells that it is over.
    pub webhook: Option<String>,
    /// Sent as the idempotency key where the provider knows such keys.
    pub token: Option<Uuid>,
}

/// A prediction as the provider last told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Its name at the provider: enough to look again after a restart.
    pub handle: String,
    /// How far it is.
    pub status: PredictionStatus,
    /// What it made: usually addresses that stop working within the hour.
    pub output: Value,
    /// Why it failed, in the provider's words.
    pub error: Option<String>,
    /// Seconds of machine time and whatever else the provider measured.
    pub usage: Usage,
}

/// How far a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionStatus {
    /// Waits for a machine.
    Starting,
    /// Is being made.
    Processing,
    /// Is made.
    Succeeded,
    /// Could not be made.
    Failed,
    /// Was ended by somebody.
    Canceled,
}

impl PredictionStatus {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}
