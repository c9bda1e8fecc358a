//! Uploads that grow: bytes are appended in several requests, and beside them is
//! written what each request brought (its size and digests), so that the whole
//! need not be read again to be known.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::super::pool::Kind;
use super::super::written::Hashes;
use super::super::{BlobError, BlobId, CHUNK, Written};
use super::multipart::Grown;
use super::temporary::Temporary;
use super::writer::Writer;
use super::{Local, absent_is_fine, new_file};

/// A record: size, MD5, SHA-256.
const RECORD: usize = 8 + 16 + 32;

/// More pieces than this become one: an upload byte by byte must not have a
/// list longer than itself.
const PIECES_MAX: usize = 4096;

impl Local {
    pub(super) fn growing(&self, id: BlobId) -> PathBuf {
        self.0.root.join("growing").join(id.to_string())
    }

    pub(super) fn growing_sums(&self, id: BlobId) -> PathBuf {
        self.0.root.join("growing").join(format!("{id}.sums"))
    }

    pub(in super::super) async fn begin_append(&self) -> Result<BlobId, BlobError> {
        let (this, id) = (self.clone(), self.new_id());
        let begin = move || {
            for path in [this.growing(id), this.growing_sums(id)] {
                new_file().create_new(true).open(path)?.sync_all()?;
            }
            this.0.folders.sync(&this.0.root.join("growing"))?;
            Ok(id)
        };
        self.0.pool.run(Kind::Sync, begin).await
    }

    pub(in super::super) async fn append(
        &self,
        id: BlobId,
        offset: u64,
    ) -> Result<Writer, BlobError> {
        let this = self.clone();
        let open = move || this.cut(id, offset);
        let (grown, known) = self.0.pool.run(Kind::Sync, open).await?;
        Ok(self.growing_writer(id, known, grown))
    }

    /// Cuts file and records off at `offset`.
    fn cut(&self, id: BlobId, offset: u64) -> Result<(Grown, u64), BlobError> {
        let path = self.growing(id);
        let file = new_file().open(&path)?;
        let has = file.metadata()?.len();
        if has < offset {
            let wants = offset;
            return Err(BlobError::Offset { has, wants });
        }
        let pieces = self.pieces(id, &file, offset)?;
        file.set_len(offset)?;
        let known = (pieces.len() * RECORD) as u64;
        let at = offset;
        Ok((Grown { file, path, at }, known))
    }

    /// What is known of the first `size` bytes. Bytes that no record tells of
    /// (a crash came between them and it) are read again.
    fn pieces(&self, id: BlobId, file: &File, size: u64) -> Result<Vec<Written>, BlobError> {
        let (mut pieces, mut covered) = (Vec::new(), 0);
        for record in fs::read(self.growing_sums(id))?.chunks_exact(RECORD) {
            let Some(piece) = of_record(record) else {
                break;
            };
            if covered + piece.size > size {
                break;
            }
            covered += piece.size;
            pieces.push(piece);
        }
        let complete = covered == size;
        if complete && pieces.len() < PIECES_MAX {
            return Ok(pieces);
        }
        if pieces.len() >= PIECES_MAX {
            pieces.clear();
            covered = 0;
        }
        pieces.push(hash(file, covered, size)?);
        let records: Vec<u8> = pieces.iter().flat_map(to_record).collect();
        let mut temporary = Temporary::create(self.growing_sums(id).with_extension("new"))?;
        temporary.file().write_all_at(&records, 0)?;
        temporary.publish(&self.growing_sums(id))?;
        temporary.keep();
        Ok(pieces)
    }

    /// Writes down what a request brought, after `known` bytes of records.
    pub(super) fn note(&self, id: BlobId, known: u64, piece: &Written) -> Result<(), BlobError> {
        let file = new_file().open(self.growing_sums(id))?;
        file.set_len(known)?;
        if piece.size > 0 {
            let record: Vec<u8> = to_record(piece).collect();
            file.write_all_at(&record, known)?;
        }
        Ok(file.sync_all()?)
    }

    pub(in super::super) async fn seal(&self, id: BlobId, size: u64) -> Result<Written, BlobError> {
        let this = self.clone();
        let seal = move || this.seal_now(id, size);
        self.0.pool.run(Kind::Long, seal).await
    }

    fn seal_now(&self, id: BlobId, size: u64) -> Result<Written, BlobError> {
        let (from, to) = (self.growing(id), self.path(id));
        // If it is not there, it was sealed, and who asks does not know.
        let Ok(file) = new_file().open(&from) else {
            return self.sealed(id, size);
        };
        let has = file.metadata()?.len();
        if has < size {
            let wants = size;
            return Err(BlobError::Offset { has, wants });
        }
        let pieces = self.pieces(id, &file, size)?;
        file.set_len(size)?;
        self.0.folders.make(id)?;
        Temporary::kept(file, from).publish(&to)?;
        self.0.folders.sync_of(id)?;
        absent_is_fine(fs::remove_file(self.growing_sums(id)))?;
        Ok(match pieces.as_slice() {
            [] => Hashes::new().finish(),
            [one] => one.clone(),
            many => Written::composed(many.iter()),
        })
    }

    fn sealed(&self, id: BlobId, size: u64) -> Result<Written, BlobError> {
        let file = File::open(self.path(id))?;
        let has = file.metadata()?.len();
        if has != size {
            let wants = size;
            return Err(BlobError::Offset { has, wants });
        }
        let pieces = match self.pieces(id, &file, size) {
            Ok(pieces) => pieces,
            Err(_) => vec![hash(&file, 0, size)?],
        };
        absent_is_fine(fs::remove_file(self.growing_sums(id)))?;
        Ok(match pieces.as_slice() {
            [one] => one.clone(),
            many => Written::composed(many.iter()),
        })
    }
}

/// Digests of bytes that are in a file.
fn hash(file: &File, mut at: u64, end: u64) -> Result<Written, BlobError> {
    let mut hashes = Hashes::new();
    while at < end {
        let chunk = super::read_chunk(file, at, end.min(at + CHUNK as u64))?;
        hashes.update(&chunk);
        at += chunk.len() as u64;
    }
    Ok(hashes.finish())
}

fn to_record(piece: &Written) -> impl Iterator<Item = u8> + use<> {
    let sum = piece.sha256().unwrap_or_default();
    let size = piece.size.to_be_bytes().into_iter();
    size.chain(piece.md5).chain(sum)
}

fn of_record(record: &[u8]) -> Option<Written> {
    let (size, rest) = record.split_first_chunk::<8>()?;
    let (md5, sum) = rest.split_first_chunk::<16>()?;
    let size = u64::from_be_bytes(*size);
    (size > 0).then(|| Some(Written::of_piece(size, *md5, sum.try_into().ok()?)))?
}
