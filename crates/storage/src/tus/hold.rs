//! One request's hold on one upload: a turn in this process, a lease in the
//! row. While it lasts nobody else writes, and the row says what is durable.

use std::future::Future;

use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::error::{Result, TusError};
use super::objects::Asker;
use super::rows::{HOLD_AGAIN, Holder};
use super::turns::{Turn, WAIT_MAX};
use super::upload::{Kind, Upload};
use super::{Tus, bytes_failed};
use crate::blobs::BlobId;
use crate::who::operations::TUS_PART;

/// Between two looks whether another node has let go.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(200);

/// The hold. Dropped, it ends with its lease.
pub(super) struct Hold<'t> {
    tus: &'t Tus,
    pub(super) asker: &'t Asker,
    pub(super) upload: Upload,
    pub(super) turn: Turn,
    holder: Uuid,
    /// When to say again that we hold it.
    pub(super) again: Instant,
    /// Somebody waits at another node.
    wanted: bool,
    /// Every byte was there already: an earlier request may have got further
    /// than its row says.
    was_full: bool,
}

impl<'t> Hold<'t> {
    /// Takes the upload; whoever else writes to it stops.
    pub(super) async fn take(tus: &'t Tus, asker: &'t Asker, id: &str) -> Result<Self> {
        // Nobody takes turns at uploads that are not theirs.
        tus.table.find(&asker.subject, id).await?;
        let turn = tus.turns.take(id, WAIT_MAX).await?;
        // Named by time, so that a node can tell those who died before it began.
        let holder = BlobId::new(&tus.room.clock, &tus.room.rng).uuid();
        let late = Instant::now() + WAIT_MAX;
        let upload = loop {
            let (upload, held) = tus.table.hold(&asker.subject, id, holder).await?;
            match held {
                Holder::Mine => break upload,
                Holder::Nobody | Holder::Other if Instant::now() > late => {
                    return Err(TusError::Locked);
                }
                Holder::Nobody | Holder::Other => sleep(LOOK_AGAIN).await,
            }
        };
        let hold = Self {
            tus,
            asker,
            was_full: upload.full(),
            upload,
            turn,
            holder,
            again: Instant::now() + HOLD_AGAIN,
            wanted: false,
        };
        match hold.upload.check_alive(tus.room.clock.now()) {
            Ok(()) => Ok(hold),
            Err(error) => hold.ended(Err(error)).await,
        }
    }

    /// Where the bytes are.
    pub(super) fn blob(&self) -> Result<BlobId> {
        self.upload.blob.parse().map_err(|_| {
            tracing::error!("An upload's row names no bytes");
            TusError::Internal
        })
    }

    /// Lets go, whatever came of it.
    pub(super) async fn ended<T>(self, outcome: Result<T>) -> Result<T> {
        let (table, subject, id) = (&self.tus.table, &self.asker.subject, &self.upload.id);
        let released = match &outcome {
            Err(TusError::Lost) => table.end(subject, self.holder, id).await,
            _ => table.release(subject, self.holder, id).await,
        };
        if let Err(error) = released {
            // It ends with its lease.
            tracing::debug!(%error, "An upload could not be let go of");
        }
        outcome
    }

    /// Does something that takes a while, and holds on meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep_until(self.again) => self.say_again().await?,
            }
        }
    }

    /// Holds on when it is time to. Says whether somebody waits elsewhere.
    pub(super) async fn keep(&mut self) -> Result<bool> {
        if Instant::now() >= self.again {
            self.say_again().await?;
        }
        Ok(self.wanted)
    }

    async fn say_again(&mut self) -> Result<()> {
        let (table, subject) = (&self.tus.table, &self.asker.subject);
        self.wanted |= table.advance(subject, self.holder, &self.upload).await?;
        self.again = Instant::now() + HOLD_AGAIN;
        Ok(())
    }

    /// Counts bytes that are durable now.
    pub(super) async fn advance(&mut self, bytes: u64) -> Result<()> {
        let before = (self.upload.offset, self.upload.expires_at);
        self.upload.offset += bytes;
        self.upload.expires_at = self.tus.expires_at();
        if let Err(error) = self.say_again().await {
            (self.upload.offset, self.upload.expires_at) = before;
            return Err(error);
        }
        Ok(())
    }

    /// Makes an object of an upload that is full; a part is then ready.
    pub(super) async fn complete(&mut self) -> Result<()> {
        if self.upload.finished || !self.upload.full() {
            return Ok(());
        }
        let (tus, asker, blob) = (self.tus, self.asker, self.blob()?);
        let landed = self.was_full
            && self.upload.kind != Kind::Partial
            && tus.table.landed(&asker.subject, &self.upload.blob).await?;
        if !landed {
            let size = self.upload.offset;
            let written = self.during(tus.room.blobs.seal(blob, size)).await?;
            let written = written.map_err(|error| bytes_failed(&error))?;
            if self.upload.kind != Kind::Partial {
                let upload = self.upload.clone();
                let put = tus.put(asker, &upload, blob, &written, TUS_PART);
                self.during(put).await??;
            }
        }
        let (subject, id) = (&asker.subject, &self.upload.id);
        tus.table.finish(subject, self.holder, id).await?;
        self.upload.finished = true;
        Ok(())
    }

    /// Takes it back. Its bytes go now, or with the tombstone that is left.
    pub(super) async fn end(self) -> Result<()> {
        if let Err(error) = self.upload.check_ends() {
            return self.ended(Err(error)).await;
        }
        let (subject, id) = (&self.asker.subject, &self.upload.id);
        self.tus.table.end(subject, self.holder, id).await?;
        self.tus.discard(&self.upload.blob).await;
        Ok(())
    }
}
