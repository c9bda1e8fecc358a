//! The lovable clone: a person says what an app should do, and it is planned,
//! written, installed and shown.
//!
//! * A *turn* is a tree of jobs (`work/`): plan, generate, apply, install,
//!   preview, checkpoint. It goes on whoever watches, and after the server was
//!   killed; a call that was paid for is not paid for again.
//! * `ws` is the original's web socket, `routes` what the builder page asks.
//!   Both only watch: they begin turns and read the session's log.
//! * [`ports`] is what the app needs of models and sandboxes.
//!
//! A plain consumer of what every client may use: statements run as the caller,
//! a turn's as its owner. Its tables are views on schema `work` ([`HISTORY`]).
//! Start at `room`, then `work`.
//!
//! What differs from the original, on purpose: the newest messages are the
//! model's history, not the oldest; what the user said is kept at once; a file
//! can be deleted; no path leaves the project; sessions share nothing; the
//! plan is really the planner's.

mod answer;
mod call;
mod delta;
mod error;
mod files;
mod page;
pub mod ports;
mod prompt;
mod room;
mod routes;
mod store;
mod turns;
mod work;
mod ws;
mod zip;

pub use room::{About, Lovable, Parts, QUEUE};

use pg::migrate::{AppHistory, Migration};

/// The app's schema.
pub const HISTORY: AppHistory = AppHistory {
    app: "lovable",
    migrations: &[
        Migration {
            version: 1,
            name: "lovable",
            sql: include_str!("../migrations/0001_lovable.sql"),
        },
        Migration {
            version: 2,
            name: "lovable_turns",
            sql: include_str!("../migrations/0002_lovable_turns.sql"),
        },
    ],
};
