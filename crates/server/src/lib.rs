//! The composition root: settings, keys, the gateway, the listeners, and the
//! one function that puts the rooms together.
//!
//! * [`config`]: what was said becomes one checked [`config::Config`].
//! * [`keys`]: the project's keys and tokens.
//! * [`gateway`]: every request's way in, with identity, limits, CORS, logs.
//! * [`listen`]: the sockets it stands behind.
//! * [`app`]: start and stop; read `app::App::start` first.
//! * [`dev`]: `ferrobase dev` and `serve`: PostgreSQL, schema, project, then
//!   the app; [`operate`] is what the other verbs do.
//! * [`in_database`]: the settings that are kept there.
//! * [`instance`]: who runs in a folder.
//! * [`wire`]: which rooms there are and how they are built.
//!
//! Invariants: rooms meet only here; the environment is passed in by the
//! binary; nothing is printed.

pub mod app;
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
pub mod project;
pub mod wire;
