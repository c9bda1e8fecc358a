//! What a call used, in one meaning for every provider.
//!
//! Providers count differently: some leave cache reads out of the input, some
//! leave reasoning out of the output. Wires turn all of them into the sums
//! below and keep the provider's own object beside them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tokens and costs of one call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All input tokens, whether read from a cache, written to one, or neither.
    pub input: u64,
    /// The part of `input` that was read from the provider's prompt cache.
    pub cache_read: u64,
    /// The part of `input` that was written to the prompt cache (all lifetimes).
    pub cache_write: u64,
    /// The part of `cache_write` that is kept for an hour, which costs more.
    pub cache_write_1h: u64,
    /// All output tokens, with reasoning.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
    /// Searches that the provider did on its own.
    pub web_searches: u64,
    /// US dollars, where the provider itself says what the call cost.
    pub cost: Option<f64>,
    /// Seconds of machine time, where the provider bills by those.
    pub seconds: Option<f64>,
    /// Whether the counts are ours because the provider gave none.
    pub estimated: bool,
    /// The provider's own object, unchanged.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub raw: Value,
}

impl Usage {
    /// Input that was neither read from nor written to a prompt cache.
    #[must_use]
    pub fn plain_input(&self) -> u64 {
        self.input
            .saturating_sub(self.cache_read)
            .saturating_sub(self.cache_write)
    }

    /// Input and output together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
