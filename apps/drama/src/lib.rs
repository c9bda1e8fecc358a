//! The drama generator's assets: a library of pictures, clips and texts of a
//! user's projects, with tags, in the addresses, shapes and words of the
//! original's `/asset-library`.
//!
//! A plain consumer of what every client may use: statements run as the
//! caller, files go through Storage as the caller ([`Files`]). Rows are in
//! schema `drama` ([`HISTORY`]); bytes lie in a bucket as they lay before
//! (`layout`), each with a document beside it for whoever reads the bucket
//! without the database. Start at [`Library`], which the rest of the app will
//! use as its routes do.
//!
//! What differs from the original, on purpose: a user is who the token says,
//! not who the request says; a list has a true total; what a client adds to
//! the document cannot replace what the library says in it.

mod error;
mod files;
mod form;
mod layout;
mod library;
mod room;
mod routes;
mod who;

pub use error::Refusal;
pub use files::{Asked, FileError, Files, Opened};
pub use layout::{BUCKET, Kind, Tag};
pub use library::{Library, NewAsset, Which};
pub use room::{Drama, Parts};

use pg::migrate::{AppHistory, Migration};

/// The app's tables.
pub const HISTORY: AppHistory = AppHistory {
    app: "drama",
    migrations: &[Migration {
        version: 1,
        name: "drama_assets",
        sql: include_str!("../migrations/0001_drama_assets.sql"),
    }],
};
