//! Asking models: language models by chat, embeddings, pictures and films.
//!
//! * [`chat`], [`event`], [`error`], [`usage`]: what is asked and answered, in
//!   one meaning for every provider. Start there.
//! * `ask`: one call from question to answer, over [`route`] (whom to ask),
//!   [`budget`] (what may be spent), the meter of `ledger` and the rows of
//!   `store`. [`Models`] is the room.
//! * `wires`: one file for each provider's protocol, on one HTTP client.
//! * `demo`: the provider that is a script and says so.
//! * [`structured`]: answers in the shape of a JSON Schema, also while they come.
//!
//! Invariants: a provider's key stands in a request's header and nowhere else;
//! an answer without its provider's last word is an error, whatever the socket
//! says; unknown events of a provider are skipped and counted.

mod answer;
mod ask;
pub mod asker;
pub mod budget;
mod cache;
pub mod chat;
pub mod config;
mod demo;
mod embed;
pub mod error;
pub mod event;
mod http;
mod ledger;
mod limits;
pub mod prices;
mod reply;
mod room;
pub mod route;
mod store;
pub mod structured;
pub mod usage;
pub mod wires;

pub use answer::{Answer, Head};
pub use asker::Asker;
pub use chat::{
    ChatRequest, Effort, Image, Message, OutputSchema, Part, Role, Tool, ToolCall, ToolChoice,
};
pub use config::{Config, Local, Raw, RawProvider, RawRole};
pub use embed::{EmbedRequest, Embedded};
pub use error::{ModelError, ModelErrorKind};
pub use event::{ChatEvent, ChatStream, StopReason};
pub use ledger::Receipt;
pub use reply::{Reply, gather};
pub use room::{Models, Parts};
pub use structured::Partial;
pub use usage::Usage;
pub use wires::provider::{Provider, SchemaSupport, Timeouts, WireKind};
