//! What a model says, as one stream of events for every provider.
//!
//! A wire yields events as the provider sends them. `Start` is first, `End` is
//! last and comes exactly once: a stream that stops without it has been cut,
//! and its last item is an error of kind [`Truncated`](crate::ModelErrorKind::Truncated).

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ModelError;
use crate::structured::Partial;
use crate::usage::Usage;

/// A model's answer as it comes. Dropping it ends the call at the provider.
pub type ChatStream = BoxStream<'static, Result<ChatEvent, ModelError>>;

/// One thing that happened in an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ChatEvent {
    /// The provider has begun. This is not yet a sign that it will say anything.
    Start {
        /// The provider's name for the answer.
        id: String,
        /// The configured provider's name.
        provider: String,
        /// The model that the provider says it used.
        model: String,
    },
    /// More of the answer's text.
    Text(String),
    /// More of what the model thought.
    Reasoning(String),
    /// Ends a block of reasoning: to be sent back unchanged in the next turn.
    ReasoningSignature(String),
    /// A tool call begins.
    ToolStart {
        /// Which call of this answer.
        index: usize,
        /// The call's name for the result to refer to.
        id: String,
        /// The tool.
        name: String,
        /// What the provider wants back unchanged beside the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// More JSON text of a call's arguments; not valid JSON by itself.
    ToolArgs {
        /// Which call.
        index: usize,
        /// The next piece of text.
        delta: String,
    },
    /// A call's arguments are complete.
    ToolEnd {
        /// Which call.
        index: usize,
        /// The arguments, parsed.
        args: Value,
    },
    /// What the answer has of the wanted schema so far.
    Partial(Partial),
    /// What the call used so far. The last one counts.
    Usage(Usage),
    /// A try failed before anything was said, and another one follows.
    Attempt {
        /// Which try it was, from 1.
        n: u32,
        /// The provider that failed.
        provider: String,
        /// The code of its error.
        why: String,
    },
    /// The answer is over.
    End(StopReason),
}

impl ChatEvent {
    /// Whether the model has said something with it. Before the first such
    /// event, another provider may be asked without anybody noticing; after it,
    /// never.
    #[must_use]
    pub fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Text(_)
                | Self::Reasoning(_)
                | Self::ReasoningSignature(_)
                | Self::ToolStart { .. }
                | Self::ToolArgs { .. }
                | Self::ToolEnd { .. }
                | Self::Partial(_)
        )
    }
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model was done.
    End,
    /// A stop sequence came.
    StopSequence,
    /// The model waits for its tools.
    ToolUse,
    /// The allowed output is used up.
    Length,
    /// The model declined.
    Refusal,
    /// The provider took the answer away.
    ContentFilter,
    /// The provider paused a long turn: send the answer back to go on.
    Pause,
    /// The context is full.
    ContextFull,
    /// Something that we do not know.
    Other,
}

impl StopReason {
    /// As it is stored and sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::StopSequence => "stop_sequence",
            Self::ToolUse => "tool_use",
            Self::Length => "length",
            Self::Refusal => "refusal",
            Self::ContentFilter => "content_filter",
            Self::Pause => "pause",
            Self::ContextFull => "context_full",
            Self::Other => "other",
        }
    }
}
