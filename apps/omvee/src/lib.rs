//! OMVEE's projects and uploads: the addresses, shapes and words of its own
//! routers, for now as far as a song has to come.
//!
//! A plain consumer of what every client may use: statements run as the
//! caller, files go through Storage as the caller ([`Files`]). Its tables are
//! in schema `omvee`, see [`HISTORY`]. Start at `routes`.
//!
//! What differs from the original, on purpose: a project is its owner's alone,
//! and so are totals and files; a file's name cannot leave its folder; an audio
//! file is confirmed by asking Storage, nothing is fetched from an address that
//! a client names.

mod call;
mod error;
mod files;
mod room;
mod routes;
mod store;

pub use files::{Asked, FileError, Files, Stored};
pub use room::{Omvee, Parts};

use pg::migrate::{AppHistory, Migration};

/// The app's tables.
pub const HISTORY: AppHistory = AppHistory {
    app: "omvee",
    migrations: &[
        Migration {
            version: 1,
            name: "omvee_projects",
            sql: include_str!("../migrations/0001_omvee_projects.sql"),
        },
        Migration {
            version: 2,
            name: "omvee_files",
            sql: include_str!("../migrations/0002_omvee_files.sql"),
        },
    ],
};
