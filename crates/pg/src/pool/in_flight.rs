//! What a connection remembers of a job while its answer comes in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Reply;
use crate::error::Error;
use crate::rows::{Column, Rows};

/// A job whose answer has not come in full.
pub(super) struct InFlight {
    pub(super) kind: Kind,
    pub(super) timing: Option<u64>,
    pub(super) sent: Instant,
    /// Syncs still to be answered.
    pub(super) syncs: usize,
    pub(super) expected: VecDeque<Expected>,
    pub(super) results: Vec<Rows>,
    pub(super) error: Option<Error>,
    pub(super) chunks: Vec<Bytes>,
    pub(super) count: usize,
    pub(super) bytes: usize,
}

pub(super) enum Kind {
    /// A job of the pool.
    Job(Reply),
    /// A segment of a lease.
    Leased(Reply),
    /// Our own tidying up.
    Tidy,
    /// The last of a lease: the connection is free once it is answered.
    EndOfLease,
}

/// A statement whose result has not come.
pub(super) struct Expected {
    /// The cache entry that waits for the statement's description.
    pub(super) key: Option<u64>,
    pub(super) columns: Option<Arc<[Column]>>,
    /// Which Sync it stands before, counted down: an error skips the
    /// statements of its own segment only.
    pub(super) sync: usize,
}

impl InFlight {
    pub(super) fn new(
        kind: Kind,
        timing: Option<u64>,
        syncs: usize,
        expected: VecDeque<Expected>,
    ) -> Self {
        Self {
            kind,
            timing,
            sent: Instant::now(),
            syncs,
            expected,
            results: Vec::new(),
            error: None,
            chunks: Vec::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// Takes rows, or throws them away once there are too many: the answer
    /// must be read to its end, but need not be kept.
    pub(super) fn take_rows(&mut self, chunk: Bytes, count: usize, limit: usize) {
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > limit {
            self.too_large(limit);
        } else {
            self.chunks.push(chunk);
            self.count += count;
        }
    }

    pub(super) fn too_large(&mut self, limit: usize) {
        self.chunks.clear();
        self.count = 0;
        self.error.get_or_insert(Error::ResultTooLarge { limit });
    }

    /// The connection is gone: nobody shall wait for what cannot come. The
    /// statements were sent, so nobody knows what became of them either.
    pub(super) fn lost(mut self) {
        let error = self.error.take().unwrap_or_else(|| {
            Error::Io(std::io::Error::new(
                std::io::ErrorKind::ConnectionAborted,
                "the server went away before it had answered",
            ))
        });
        if let Kind::Job(reply) | Kind::Leased(reply) = self.kind {
            let _ = reply.send(Err(error));
        }
    }
}
