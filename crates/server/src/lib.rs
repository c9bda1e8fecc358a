//! The composition root: settings, keys, the gateway, the listeners, and the
//! one function that puts the rooms together.
//!
//! * `api_keys`: the platform's own keys, in memory.
//! * [`config`]: what was said becomes one checked [`config::Config`].
//! * [`keys`]: the project's keys and tokens.
//! * [`gateway`]: every request's way in, with identity, limits, CORS, logs.
//! * [`listen`]: the sockets it stands behind.
//! * [`app`]: start and stop; read `app::App::start` first.
//! * [`backup`]: database, files, keys and settings under one id, and back.
//! * [`dev`]: `ferrobase dev` and `serve`: PostgreSQL, schema, project, then
//!   the app; [`operate`] is what the other verbs do.
//! * [`in_database`]: the settings that are kept there.
//! * [`instance`]: who runs in a folder.
//! * [`preview`]: pages of sandboxes, at names of their own.
//! * [`typegen`]: the database as types for supabase-js.
//! * [`wire`]: which rooms there are and how they are built.
//!
//! Invariants: rooms meet only here; the environment is passed in by the
//! binary; nothing is printed.

mod api_keys;
pub mod app;
pub mod backup;
pub mod config;
pub mod dev;
pub mod gateway;
pub mod health;
pub mod in_database;
pub mod instance;
pub mod keys;
pub mod lanes;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod operate;
pub mod preview;
pub mod project;
mod prune;
pub mod typegen;
pub mod wire;
