//! What the room needs of others, which `server` wires.

use std::sync::Arc;

use uuid::Uuid;

/// Tells other nodes that these streams have news. No more than a hint: each
/// node looks every second. What others say comes back by
/// [`Streams::poke`](crate::streams::Streams::poke).
pub type TellOthers = Arc<dyn Fn(&[Uuid]) + Send + Sync>;
