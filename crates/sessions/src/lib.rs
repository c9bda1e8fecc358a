//! Sessions and what belongs to them, and the event log that everybody watches.
//!
//! * [`streams`]: appending to the log and following it, from any cursor, over
//!   server-sent events, web sockets and long polls.
//! * [`sandboxes`]: where the code of a session runs.
//! * `e2b`: the same sandboxes for E2B's clients.
//! * the rest: sessions, messages, the files of a session and its checkpoints.
//!   Start at `routes`. What they mean is in functions and policies of schema
//!   `work`, so that plain REST and this room cannot disagree; the room gives
//!   them addresses.
//!
//! Invariants: every statement about rows of somebody runs as the caller; what
//! is another's is answered like what does not exist.

mod call;
mod diff;
mod e2b;
mod error;
mod hex;
pub mod ports;
mod room;
mod routes;
pub mod sandboxes;
mod store;
pub mod streams;
mod sweep;

pub use error::SessionsError;
pub use ports::TellOthers;
pub use room::{Parts, Sessions};
pub use sweep::{purge_once, sweep_once};
