//! Resumable uploads: the TUS protocol, version 1.0.0, as Supabase's clients
//! use it (`/storage/v1/upload/resumable`), with checksums and concatenation.
//!
//! Start at `routes`, which is the protocol; `upload` says what may happen to
//! an upload and is pure, `rows` keeps it, `receive` takes bytes in.
//!
//! Invariants: an offset is told to a client, and written to the row, after the
//! bytes before it are durable; an upload is touched by one request at a time;
//! only who began an upload sees it; policies and limits are asked before the
//! first byte and again when the object comes to be.

mod checksum;
mod error;
mod headers;
mod location;
mod metadata;
mod upload;

/// Where the room is mounted; the gateway has taken it off the path.
const ROOM_PREFIX: &str = "/storage/v1";
