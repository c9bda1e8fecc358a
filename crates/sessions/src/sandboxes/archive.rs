//! A session's files as a zip, made while it is sent: of the archive, no more
//! is in memory than one batch of files and a few pieces.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use kernel::Caller;
use tokio::sync::mpsc;
use uuid::Uuid;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::Sandboxes;
use crate::error::Result;

/// Pieces that wait for the client.
const PIECES: usize = 16;
/// Bytes of one piece.
const PIECE_BYTES: usize = 64 << 10;
/// Paths of one page, whose bytes are read together: a workspace's files are
/// small, and each has 8 MiB at most.
const PAGE: usize = 16;

/// A file on its way into the archive.
type File = (String, String, Bytes);

/// Pieces of the archive, or why it ended early.
pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

impl Sandboxes {
    /// The workspace of a session as a zip. A live sandbox's files are those of
    /// its last snapshot.
    pub async fn zip(self: &Arc<Self>, caller: &Caller, session: Uuid) -> Result<Pieces> {
        let sql = pg::SqlBuf::fixed(include_str!("../../sql/session.sql"));
        let rows = self
            .rows
            .store
            .read(caller, sql.bind(session.to_string()))
            .await?;
        if rows.is_empty() {
            return Err(crate::SessionsError::not_found("session"));
        }
        let first = self.page(caller, session, String::new()).await?;
        let (to_client, pieces) = mpsc::channel(PIECES);
        let (to_zip, files) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            let done = write(files, &to_client);
            if let Err(error) = done {
                // The client sees a body that ends early, not a small archive.
                let _ = to_client.blocking_send(Err(error));
            }
        });
        let (this, caller) = (Arc::clone(self), caller.clone());
        self.tasks.spawn("zip", async move {
            let mut page = first;
            loop {
                let Some(last) = page.last().cloned() else {
                    // The end, which is no error.
                    let _ = to_zip.send(None).await;
                    return;
                };
                let Ok(files) = this.workspace_bytes(&caller, session, &page).await else {
                    return;
                };
                for file in files {
                    if to_zip.send(Some(file)).await.is_err() {
                        return;
                    }
                }
                let Ok(next) = this.page(&caller, session, last).await else {
                    return;
                };
                page = next;
            }
        });
        Ok(pieces)
    }

    async fn page(&self, caller: &Caller, session: Uuid, after: String) -> Result<Vec<String>> {
        let sql = pg::SqlBuf::fixed(include_str!("../../sql/workspace_hashes.sql"));
        let sql = sql
            .bind(session.to_string())
            .bind(after)
            .bind(PAGE.to_string());
        let rows = self.rows.store.read(caller, sql).await?;
        let paths = rows.iter().filter_map(|row| row.get(0).map(str::to_owned));
        Ok(paths.collect())
    }
}

fn write(
    mut files: mpsc::Receiver<Option<File>>,
    to_client: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut zip: ZipWriter<StreamWriter<Pipe>> = ZipWriter::new_stream(Pipe {
        to_client: to_client.clone(),
        piece: Vec::with_capacity(PIECE_BYTES),
    });
    while let Some(next) = files.blocking_recv() {
        let Some((path, mode, bytes)) = next else {
            zip.finish()?.into_inner().flush()?;
            return Ok(());
        };
        let permissions = if mode == "755" { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(permissions);
        zip.start_file(path, options)?;
        zip.write_all(&bytes)?;
    }
    Err(io::Error::other("the files could not be read"))
}

/// Sends what is written, in pieces.
struct Pipe {
    to_client: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        if piece.is_empty() {
            return Ok(());
        }
        let left = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.to_client.blocking_send(Ok(piece)).map_err(left)
    }
}
