//! Everything that can go wrong with a model call, in one set for all
//! providers. Routing decides by [`ModelError::same_again`] and
//! [`ModelError::another_may`]; clients see [`ModelErrorKind::code`].
//!
//! Invariant: no key, no prompt and no answer stands in an error.

use std::fmt;
use std::time::Duration;

/// A call that did not end well.
#[derive(Clone, Debug)]
pub struct ModelError {
    /// What kind of failure.
    pub kind: ModelErrorKind,
    /// For people. From a provider's own words: shortened, without our key.
    pub message: String,
    /// The provider that failed.
    pub provider: Option<String>,
    /// Its HTTP status; a failure inside of an answer has none.
    pub status: Option<u16>,
    /// Its own code, such as `insufficient_quota`.
    pub provider_code: Option<String>,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// What it said itself about trying again.
    pub should_retry: Option<bool>,
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// The request is wrong, wherever it is sent.
    BadRequest,
    /// The provider does not know our key, or the key may not do this.
    Auth,
    /// The account at the provider has no money left.
    Payment,
    /// No such model or address.
    NotFound,
    /// Too many requests or tokens.
    RateLimited,
    /// The provider has no room now.
    Overloaded,
    /// The provider failed.
    Server,
    /// The provider answered with what is not its protocol.
    Protocol,
    /// No connection, or it broke before an answer began.
    Connect,
    /// The provider took too long.
    Timeout,
    /// The provider refuses this content.
    ContentFilter,
    /// The input does not fit into the model.
    ContextFull,
    /// The answer stopped in the middle.
    Truncated,
    /// The answer does not fit the wanted schema, even after repair.
    BadOutput,
    /// The caller may not spend more.
    BudgetExceeded,
    /// Nothing is configured that could answer.
    NoProvider,
    /// The provider cannot do what was asked.
    Unsupported,
    /// The caller ended the call.
    Canceled,
    /// We failed.
    Internal,
}

impl ModelErrorKind {
    /// As it is stored and sent.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Auth => "provider_auth",
            Self::Payment => "provider_payment",
            Self::NotFound => "model_not_found",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Server => "provider_error",
            Self::Protocol => "provider_protocol",
            Self::Connect => "provider_unreachable",
            Self::Timeout => "timeout",
            Self::ContentFilter => "content_filter",
            Self::ContextFull => "context_full",
            Self::Truncated => "truncated",
            Self::BadOutput => "bad_output",
            Self::BudgetExceeded => "budget_exceeded",
            Self::NoProvider => "no_provider",
            Self::Unsupported => "unsupported",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
        }
    }
}

impl ModelError {
    /// A failure of this kind, in these words.
    #[must_use]
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            provider: None,
            status: None,
            provider_code: None,
            retry_after: None,
            should_retry: None,
        }
    }

    /// The same, of this provider.
    #[must_use]
    pub fn of(mut self, provider: &str) -> Self {
        self.provider = Some(provider.to_owned());
        self
    }

    /// Whether the same provider may be asked again. What it says itself about
    /// that counts more than the kind.
    #[must_use]
    pub fn same_again(&self) -> bool {
        use ModelErrorKind as K;
        let by_kind = match self.kind {
            K::RateLimited
            | K::Overloaded
            | K::Server
            | K::Protocol
            | K::Connect
            | K::Timeout
            | K::Truncated => true,
            // A conflict is another try of the same request that still runs.
            K::BadRequest => matches!(self.status, Some(408 | 409)),
            _ => false,
        };
        self.should_retry.unwrap_or(by_kind)
    }

    /// Whether the provider had the input, and so bills it, although nothing
    /// came of it.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        matches!(
            self.kind,
            ModelErrorKind::Timeout | ModelErrorKind::Truncated
        )
    }

    /// Whether another provider may succeed where this one failed. A wrong
    /// request stays wrong; a key that this one does not know may be fine there.
    #[must_use]
    pub fn another_may(&self) -> bool {
        use ModelErrorKind as K;
        match self.kind {
            K::BadRequest => matches!(self.status, Some(408 | 409)),
            K::BadOutput
            | K::BudgetExceeded
            | K::Canceled
            | K::ContentFilter
            | K::ContextFull
            | K::Internal
            | K::NoProvider => false,
            _ => true,
        }
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = &self.provider {
            write!(f, "{provider}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ModelError {}
