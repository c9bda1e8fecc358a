//! The settings of one provider, as the operator wrote them.

use std::time::Duration;

use kernel::Secret;
use serde::{Deserialize, Serialize};

/// One provider. Two of the same kind with different names are two providers.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The operator's name for it: the first half of `provider/model`.
    pub name: String,
    /// The protocol that it speaks.
    pub kind: WireKind,
    /// Where it is, with the version in the path where there is one:
    /// `https://api.openai.com/v1`, `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Its key; local servers need none.
    pub key: Option<Secret>,
    /// More headers for each request. Their values may be secret as well.
    pub headers: Vec<(String, Secret)>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// How it is held to a schema.
    pub schema: SchemaSupport,
    /// The secret by which its webhooks are signed.
    pub webhook_secret: Option<Secret>,
}

impl Provider {
    /// A provider of this kind at its public address, or at `base_url`.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: WireKind, base_url: Option<&str>) -> Self {
        Self {
            name: name.into(),
            kind,
            base_url: base_url
                .unwrap_or(kind.public_url())
                .trim_end_matches('/')
                .to_owned(),
            key: None,
            headers: Vec::new(),
            timeouts: Timeouts::default(),
            schema: SchemaSupport::default(),
            webhook_secret: None,
        }
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, key: Secret) -> Self {
        self.key = Some(key);
        self
    }
}

/// The protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireKind {
    /// Anthropic's messages.
    Anthropic,
    /// `OpenAI`'s chat completions, as most servers speak them.
    #[serde(alias = "openai-compatible", alias = "openai-chat")]
    OpenaiChat,
    /// `OpenAI`'s responses.
    #[serde(alias = "openai")]
    OpenaiResponses,
    /// Chat completions with `OpenRouter`'s additions.
    Openrouter,
    /// Google's `generateContent`.
    Gemini,
    /// Replicate's predictions.
    Replicate,
    /// The scripted provider: no model at all.
    Demo,
}

impl WireKind {
    /// Where its maker serves it.
    #[must_use]
    pub fn public_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::OpenaiChat | Self::OpenaiResponses => "https://api.openai.com/v1",
            Self::Openrouter => "https://openrouter.ai/api/v1",
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            Self::Replicate => "https://api.replicate.com/v1",
            Self::Demo => "",
        }
    }
}

/// How a provider is held to a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaSupport {
    /// By its own means.
    #[default]
    Native,
    /// It can only promise JSON: the schema stands in the prompt.
    JsonMode,
    /// It promises nothing: the schema stands in the prompt.
    Prompt,
}

/// How long a provider may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request to the first word.
    pub first: Duration,
    /// Between two pieces of an answer, pings included.
    pub idle: Duration,
    /// From the request to the last word.
    pub total: Duration,
}

impl Default for Timeouts {
    /// Large models may think for minutes before the first word; pings keep an
    /// answer alive, so a minute of silence means that nobody is there.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(900),
        }
    }
}
