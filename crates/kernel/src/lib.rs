//! Words that every room shares, and nothing that does I/O.
//!
//! * [`Caller`]: who asks — a database role and the raw claims — put into the
//!   request once by the gateway, read everywhere else.
//! * [`Clock`] and [`Rng`]: time and randomness as parameters.
//! * [`lane`]: threads that serve whole connections.
//! * [`Secret`]: a string that cannot be printed by accident.
//! * [`Tasks`]: the only way to spawn, so that shutdown can wait for everything.
//!
//! Invariant: this crate knows neither axum nor Postgres nor any room.

mod caller;
mod clock;
pub mod lane;
mod rng;
mod secret;
mod tasks;

pub use caller::{BadToken, Caller, ClientAddress};
pub use clock::Clock;
pub use rng::Rng;
pub use secret::Secret;
pub use tasks::Tasks;
