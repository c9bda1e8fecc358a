//! Writing: chunks are gathered, then written and hashed on two threads at once
//! while the next is gathered. What fits into one chunk is one piece of work
//! for one thread, from making the file to its name's being durable.

use std::io;
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::super::pool::{Answer, Kind};
use super::super::written::Hashes;
use super::super::{BlobError, BlobId, CHUNK, Written};
use super::Local;
use super::temporary::Temporary;

/// Pieces of a chunk: a client that sends single bytes must not make a chunk
/// of a quarter million of them.
const PIECES_MAX: usize = 256;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// A finished name, one of its own or a new one.
    Blob(Option<BlobId>),
    /// A part of an upload.
    Part(BlobId, u16),
    /// Bytes appended, with what is known of those before in so many bytes.
    Growing(BlobId, u64),
}

/// Bytes on their way into a folder.
#[derive(Debug)]
pub(in super::super) struct Writer {
    local: Local,
    goal: Goal,
    /// Made when the first chunk is full.
    file: Option<Arc<Temporary>>,
    /// Where the next chunk goes.
    at: u64,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    writing: Option<Answer<io::Result<()>>>,
    hashing: Hashing,
}

#[derive(Debug)]
enum Hashing {
    Idle(Box<Hashes>),
    Busy(Answer<Box<Hashes>>),
    /// Something failed; nothing more is written.
    Lost,
}

impl Writer {
    pub(super) fn of_blob(local: Local, id: Option<BlobId>) -> Self {
        Self::new(local, Goal::Blob(id), None, 0)
    }

    pub(super) fn new(local: Local, goal: Goal, file: Option<Arc<Temporary>>, at: u64) -> Self {
        Self {
            local,
            goal,
            file,
            at,
            gathered: Vec::new(),
            gathered_bytes: 0,
            writing: None,
            hashing: Hashing::Idle(Box::new(Hashes::new())),
        }
    }

    pub(in super::super) async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= CHUNK || self.gathered.len() >= PIECES_MAX {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Gives what was gathered to two threads, once they have the chunk before.
    async fn hand_over(&mut self) -> Result<(), BlobError> {
        let mut hashes = self.settle().await?;
        let file = self.file().await?;
        let chunk: Arc<[Bytes]> = mem::take(&mut self.gathered).into();
        let at = self.at;
        self.at += self.gathered_bytes as u64;
        self.gathered_bytes = 0;
        let pool = &self.local.0.pool;
        let pieces = Arc::clone(&chunk);
        let write = move || write_all(&file, at, &pieces);
        self.writing = Some(pool.begin(Kind::Quick, write).await);
        let hash = move || {
            hashes.update_all(&chunk);
            hashes
        };
        self.hashing = Hashing::Busy(pool.begin(Kind::Quick, hash).await);
        Ok(())
    }

    /// Waits for what was handed over.
    async fn settle(&mut self) -> Result<Box<Hashes>, BlobError> {
        if let Some(writing) = self.writing.take() {
            writing.get().await??;
        }
        match mem::replace(&mut self.hashing, Hashing::Lost) {
            Hashing::Idle(hashes) => Ok(hashes),
            Hashing::Busy(answer) => answer.get().await,
            Hashing::Lost => Err(BlobError::Io(io::Error::other("writing failed before"))),
        }
    }

    async fn file(&mut self) -> Result<Arc<Temporary>, BlobError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let make = maker(self.local.clone(), self.goal);
        let file = Arc::new(self.local.0.pool.run(Kind::Quick, make).await?);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    pub(in super::super) async fn finish(mut self) -> Result<(BlobId, Written), BlobError> {
        let mut hashes = self.settle().await?;
        let chunk = mem::take(&mut self.gathered);
        let (file, goal, at, local) = (self.file.take(), self.goal, self.at, self.local.clone());
        let publish = move || {
            let mut file = match file {
                Some(file) => Arc::into_inner(file)
                    .ok_or_else(|| BlobError::Io(io::Error::other("a file is still in use")))?,
                None => maker(local.clone(), goal)()?,
            };
            write_all(&file, at, &chunk)?;
            hashes.update_all(&chunk);
            let written = hashes.finish();
            let id = local.publish(goal, &mut file, &written)?;
            file.keep();
            Ok((id, written))
        };
        self.local.0.pool.run(Kind::Sync, publish).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Removing a long file takes the disk a while.
        if let Some(file) = self.file.take() {
            self.local.0.pool.dispose(file);
        }
    }
}

impl Local {
    /// Gives what was written its name, durably.
    fn publish(
        &self,
        goal: Goal,
        file: &mut Temporary,
        written: &Written,
    ) -> Result<BlobId, BlobError> {
        match goal {
            Goal::Blob(id) => {
                // A name's time is when its bytes were complete: the youngest
                // names are those that a row may still be about to name.
                let id = id.unwrap_or_else(|| self.new_id());
                self.0.folders.make(id)?;
                file.publish(&self.path(id))?;
                self.0.folders.sync_of(id)?;
                Ok(id)
            }
            Goal::Part(id, number) => {
                file.publish(&self.part(id, number, written)?)?;
                self.0.folders.sync(&self.parts(id))?;
                Ok(id)
            }
            Goal::Growing(id, known) => {
                file.file().sync_all()?;
                self.note(id, known, written)?;
                Ok(id)
            }
        }
    }
}

/// Makes the file that a goal needs.
fn maker(local: Local, goal: Goal) -> impl FnOnce() -> Result<Temporary, BlobError> + Send {
    move || match goal {
        Goal::Blob(_) => Ok(local.temporary()?),
        Goal::Part(id, _) => {
            // In the upload's own folder: without it there is no upload.
            let name = PathBuf::from(format!("tmp-{}", local.new_id()));
            Ok(Temporary::create(local.parts(id).join(name))?)
        }
        Goal::Growing(..) => Err(BlobError::NotFound),
    }
}

fn write_all(file: &Temporary, mut at: u64, pieces: &[Bytes]) -> io::Result<()> {
    for piece in pieces {
        file.file().write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}
