//! The only room that speaks Postgres.
//!
//! * [`Session`]: one dedicated connection, for migrations and listening.
//! * [`Pool`]: the connections that requests share; [`RequestTx`] is the only
//!   way to run a user's statement: as the caller's role, with the caller's
//!   claims, in one round trip.
//! * [`OpenTx`]: a transaction that holds several of them, or waits for a
//!   condition, before it ends.
//! * [`SqlBuf`]: the only way to build SQL.
//! * [`catalog`]: what the database looks like.
//! * [`cluster`]: the PostgreSQL that we start and look after.
//! * [`dump`]: a whole database in PostgreSQL's own archive format, and back.
//! * [`fence`]: who removes files waits while a backup copies them.
//! * [`migrate`]: our own schema.
//!
//! Invariants: no dialect is known here; nothing here reads the environment;
//! a pooled connection is never handed out while a transaction is open on it.

pub mod catalog;
pub mod cluster;
pub mod dump;
mod error;
pub mod fence;
pub mod migrate;
mod open_tx;
mod pool;
mod request_tx;
mod rows;
mod session;
mod sql_buf;
mod target;
/// A database for each test. Only tests use it.
pub mod testing;
mod wire;

pub use error::{DbError, Error};
pub use open_tx::{OpenTx, Opening};
pub use pool::{Pool, PoolConfig, PoolStats};
pub use request_tx::{Isolation, RequestTx};
pub use rows::{Column, Row, Rows, Values};
pub use session::{Notification, Session};
pub use sql_buf::{Param, SqlBuf, TypeName};
pub use target::{Host, Target, TargetError, Tls};
