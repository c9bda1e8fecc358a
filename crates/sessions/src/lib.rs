//! Sessions and what belongs to them, and the event log that everybody watches.
//!
//! * [`streams`]: appending to the log and following it, from any cursor, over
//!   server-sent events, web sockets and long polls.
//! * the rest: sessions, messages, the files of a session and its checkpoints.

mod room;
pub mod streams;

pub use room::{Parts, Sessions};
