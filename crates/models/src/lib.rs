//! Asking models: language models by chat, embeddings, pictures and films.
//!
//! * [`chat`], [`event`], [`error`], [`usage`]: what is asked and answered, in
//!   one meaning for every provider. Start there.
//! * `wires`: one file for each provider's protocol, on one HTTP client.
//! * [`structured`]: answers in the shape of a JSON Schema, also while they come.
//!
//! Invariants: a provider's key stands in a request's header and nowhere else;
//! an answer without its provider's last word is an error, whatever the socket
//! says; unknown events of a provider are skipped and counted.

pub mod asker;
pub mod chat;
pub mod error;
pub mod event;
pub mod structured;
pub mod usage;
pub mod wires;

pub use asker::Asker;
pub use chat::{
    ChatRequest, Effort, Image, Message, OutputSchema, Part, Role, Tool, ToolCall, ToolChoice,
};
pub use error::{ModelError, ModelErrorKind};
pub use event::{ChatEvent, ChatStream, StopReason};
pub use structured::Partial;
pub use usage::Usage;
pub use wires::provider::{Provider, SchemaSupport, Timeouts, WireKind};
