//! Uploads in parts: a folder with a file for each part, which the kernel puts
//! together.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::pool::Kind;
use super::super::written::hex;
use super::super::{BlobError, BlobId, Written};
use super::temporary::Temporary;
use super::writer::{Goal, Writer};
use super::{Local, absent_is_fine, new_file, private_folder};

impl Local {
    pub(super) fn parts(&self, id: BlobId) -> PathBuf {
        self.0.root.join("parts").join(id.to_string())
    }

    /// A part's file has its sum in its name: of two uploads of one number,
    /// the caller's row says which one counts.
    pub(super) fn part(
        &self,
        id: BlobId,
        number: u16,
        written: &Written,
    ) -> Result<PathBuf, BlobError> {
        let sum = written.sha256().ok_or(BlobError::Part(number))?;
        let name = format!("{number:05}-{}", hex(&sum));
        Ok(self.parts(id).join(name))
    }

    pub(in super::super) async fn begin_multipart(&self) -> Result<BlobId, BlobError> {
        let (this, id) = (self.clone(), self.new_id());
        let begin = move || {
            private_folder().create(this.parts(id))?;
            this.0.folders.sync(&this.0.root.join("parts"))?;
            Ok(id)
        };
        self.0.pool.run(Kind::Sync, begin).await
    }

    pub(in super::super) fn write_part(&self, id: BlobId, number: u16) -> Writer {
        Writer::new(self.clone(), Goal::Part(id, number), None, 0)
    }

    pub(in super::super) async fn complete_multipart(
        &self,
        id: BlobId,
        parts: &[(u16, Written)],
    ) -> Result<Written, BlobError> {
        let whole = Written::composed(parts.iter().map(|(_, written)| written));
        let (this, parts, size) = (self.clone(), parts.to_vec(), whole.size);
        let complete = move || this.compose(id, &parts, size);
        self.0.pool.run(Kind::Long, complete).await?;
        Ok(whole)
    }

    /// The rest is appended to the first part's file. Bytes of parts are never
    /// changed by that, so after a crash it begins again.
    fn compose(&self, id: BlobId, parts: &[(u16, Written)], size: u64) -> Result<(), BlobError> {
        let to = self.path(id);
        if let Ok(done) = fs::metadata(&to) {
            let same = done.len() == size;
            absent_is_fine(fs::remove_dir_all(self.parts(id)))?;
            return if same {
                Ok(())
            } else {
                Err(BlobError::Corrupt)
            };
        }
        let Some(((number, first), rest)) = parts.split_first() else {
            return Err(BlobError::Part(0));
        };
        let path = self.part(id, *number, first)?;
        let file = new_file().open(&path);
        let file = file.map_err(|error| missing(*number, error))?;
        if file.metadata()?.len() < first.size {
            return Err(BlobError::Part(*number));
        }
        file.set_len(first.size)?;
        (&file).seek(io::SeekFrom::Start(first.size))?;
        for (number, written) in rest {
            let from = File::open(self.part(id, *number, written)?);
            let from = from.map_err(|error| missing(*number, error))?;
            // On Linux this stays in the kernel, and shares blocks where the
            // file system can.
            if io::copy(&mut (&from).take(written.size), &mut &file)? != written.size {
                return Err(BlobError::Part(*number));
            }
        }
        self.0.folders.make(id)?;
        Temporary::kept(file, path).publish(&to)?;
        self.0.folders.sync_of(id)?;
        absent_is_fine(fs::remove_dir_all(self.parts(id)))?;
        Ok(())
    }
}

fn missing(number: u16, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::NotFound => BlobError::Part(number),
        _ => error.into(),
    }
}

impl Local {
    /// A writer at the end of a file that stays.
    pub(super) fn growing_writer(&self, id: BlobId, known: u64, grown: Grown) -> Writer {
        let file = Temporary::kept(grown.file, grown.path);
        let goal = Goal::Growing(id, known);
        Writer::new(self.clone(), goal, Some(Arc::new(file)), grown.at)
    }
}

/// A file that is appended to, and where.
pub(super) struct Grown {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) at: u64,
}
