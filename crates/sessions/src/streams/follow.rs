//! Reading on: a cursor in a stream that waits for what comes behind it.
//!
//! Nothing is buffered for a watcher. It takes frames from the tail when it is
//! near the end, and pages from the database when it is not; either way its
//! cursor moves over every event once, in order.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::frame::Frame;
use super::hub::{Head, Hold};
use super::store::Store;

/// Events and bytes of a page: what a slow watcher holds while it is written to.
const PAGE_EVENTS: usize = 128;
const PAGE_BYTES: usize = 32 << 10;

/// A cursor in a stream.
pub(super) struct Follower {
    hold: Hold,
    head: watch::Receiver<Head>,
    /// The last event that was given.
    after: i64,
    /// The stream was at least here when watching began: the tail may not know
    /// that yet.
    begun_at: i64,
    store: Store,
    /// Pages that are read at once on this node.
    pages: Arc<Semaphore>,
}

/// What comes next.
pub(super) enum Next {
    /// Events behind the cursor, which stands behind them now.
    Frames(Vec<Frame>),
    /// Nothing any more: the stream is gone.
    Gone,
}

impl Follower {
    pub(super) fn new(
        hold: Hold,
        (after, last_seq): (i64, i64),
        store: Store,
        pages: Arc<Semaphore>,
    ) -> Self {
        let head = hold.tail.head();
        Self {
            hold,
            head,
            after,
            begun_at: last_seq,
            store,
            pages,
        }
    }

    /// Where the cursor is.
    pub(super) fn after(&self) -> i64 {
        self.after
    }

    /// Whether there is something behind it already.
    pub(super) fn is_behind(&self) -> bool {
        self.begun_at.max(self.head.borrow().seq) > self.after
    }

    /// What is behind the cursor, waiting for it. Dropped half way, it has
    /// given nothing and the cursor has not moved.
    pub(super) async fn next(&mut self) -> Result<Next, pg::Error> {
        loop {
            let head = *self.head.borrow_and_update();
            if head.gone {
                return Ok(Next::Gone);
            }
            if head.seq > self.after
                && let Some(frames) = self.read(head.seq).await?
            {
                return Ok(Next::Frames(frames));
            }
            if head.seq <= self.after && self.head.changed().await.is_err() {
                return Ok(Next::Gone);
            }
        }
    }

    /// Events behind the cursor, which has an end at `head` or later; none when
    /// there is nothing up to there any more.
    async fn read(&mut self, head: i64) -> Result<Option<Vec<Frame>>, pg::Error> {
        let frames = match self.hold.tail.after(self.after) {
            Some(frames) => frames,
            None => self.page().await?,
        };
        // Old events may have been deleted since, up to what was the head.
        self.after = frames.last().map_or(head, |frame| frame.seq);
        Ok(Some(frames).filter(|frames| !frames.is_empty()))
    }

    async fn page(&self) -> Result<Vec<Frame>, pg::Error> {
        let _turn = self.pages.acquire().await;
        let stream = self.hold.tail.stream;
        self.store
            .page(stream, self.after, PAGE_EVENTS, PAGE_BYTES)
            .await
    }
}
