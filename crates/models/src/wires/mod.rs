//! How providers are spoken to: one file for each protocol.
//!
//! Start with [`Wire`]: what routing asks of any provider. [`provider`] holds
//! the settings of one.

pub mod provider;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::chat::ChatRequest;
use crate::error::{ModelError, ModelErrorKind};
use crate::event::ChatStream;
use crate::usage::Usage;

/// One try at one provider's model.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The provider's own name of the model.
    pub model: String,
    /// What is asked; its target plays no part any more.
    pub request: Arc<ChatRequest>,
    /// Sent as the idempotency key where the provider knows such keys.
    pub token: Option<Uuid>,
}

/// A provider that can be asked. Dropping an answer ends the call there.
pub(crate) trait Wire: Send + Sync {
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

fn unsupported(what: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Unsupported,
        format!("this provider {what}"),
    )
}

/// Texts to be turned into vectors.
#[derive(Clone, Debug)]
pub(crate) struct EmbedCall {
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
pub(crate) struct PredictCall {
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
