//! Uploads in several requests: pieces, their notes, and the manifest that makes
//! one of them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use object_store::path::Path;
use uuid::Uuid;

use super::super::written::Hashes;
use super::super::{BlobError, BlobId, Written};
use super::writer::Writer;
use super::{S3, manifest};

/// Bytes under a name of their own, and what is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) name: Uuid,
    pub(super) size: u64,
    md5: [u8; 16],
    sha256: [u8; 32],
}

/// Name, size, MD5, SHA-256.
const PIECE_BYTES: usize = 16 + 8 + 16 + 32;

/// Pieces in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest(Vec<Piece>);

/// Where a piece's bytes are.
pub(super) fn data(of: BlobId, name: Uuid) -> Path {
    Path::from(format!("pieces/{of}/{name}"))
}

/// The name that says all about a piece of an unfinished upload.
pub(super) fn noted(of: BlobId, slot: u64, piece: &Piece) -> Path {
    Path::from(format!("open/{of}/{slot:016x}.{}", piece.to_text()))
}

fn begun(id: BlobId) -> Path {
    Path::from(format!("open/{id}/begun"))
}

impl Piece {
    pub(super) fn new(name: Uuid, written: &Written) -> Self {
        Self {
            name,
            size: written.size,
            md5: written.md5,
            sha256: written.sha256().unwrap_or_default(),
        }
    }

    pub(super) fn renamed(self, name: Uuid) -> Self {
        Self { name, ..self }
    }

    fn written(&self) -> Written {
        Written::of_piece(self.size, self.md5, self.sha256)
    }

    /// Short: there are servers that make file names of it.
    fn to_text(self) -> String {
        let mut bytes = [0; PIECE_BYTES];
        let fields = self.name.as_bytes().iter().copied();
        let fields = fields.chain(self.size.to_be_bytes());
        let fields = fields.chain(self.md5).chain(self.sha256);
        bytes
            .iter_mut()
            .zip(fields)
            .for_each(|(to, byte)| *to = byte);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn of_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (name, rest) = bytes.split_first_chunk::<16>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (md5, sha256) = rest.split_first_chunk::<16>()?;
        Some(Self {
            name: Uuid::from_bytes(*name),
            size: u64::from_be_bytes(*size),
            md5: *md5,
            sha256: sha256.try_into().ok()?,
        })
    }
}

impl Manifest {
    pub(super) fn of(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|piece| piece.size).sum()
    }

    /// A line for each piece.
    pub(super) fn to_bytes(&self) -> Bytes {
        let lines = self.0.iter().map(|piece| piece.to_text() + "\n");
        lines.collect::<String>().into()
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let lines = std::str::from_utf8(bytes).ok()?.lines();
        lines.map(Piece::of_text).collect::<Option<_>>().map(Self)
    }

    fn written(&self) -> Written {
        match self.0.as_slice() {
            [] => Hashes::new().finish(),
            [one] => one.written(),
            many => {
                let many: Vec<Written> = many.iter().map(Piece::written).collect();
                Written::composed(many.iter())
            }
        }
    }
}

/// What is known of an unfinished upload.
struct Open {
    pieces: Vec<(u64, Piece)>,
}

impl S3 {
    pub(in super::super) async fn begin(&self) -> Result<BlobId, BlobError> {
        let id = self.new_id();
        self.put(&begun(id), Bytes::new()).await?;
        Ok(id)
    }

    pub(in super::super) fn write_part(&self, id: BlobId, number: u16) -> Writer {
        Writer::of_piece(self.clone(), id, u64::from(number))
    }

    /// Names cannot say whether an upload was begun and has no piece yet: its
    /// mark does.
    async fn opened(&self, id: BlobId) -> Result<Option<Open>, BlobError> {
        let prefix = Path::from(format!("open/{id}"));
        let (mut pieces, mut marked) = (Vec::new(), false);
        let mut listed = self.store.list(Some(&prefix));
        while let Some(meta) = listed.try_next().await.map_err(super::failed)? {
            let name = meta.location.filename().unwrap_or_default();
            marked |= name == "begun";
            if let Some((slot, piece)) = name.split_once('.') {
                let slot = u64::from_str_radix(slot, 16).map_err(|_| BlobError::Corrupt)?;
                let piece = Piece::of_text(piece).ok_or(BlobError::Corrupt)?;
                pieces.push((slot, piece));
            }
        }
        pieces.sort_unstable_by_key(|(slot, piece)| (*slot, piece.size));
        Ok(marked.then_some(Open { pieces }))
    }

    pub(in super::super) async fn complete_multipart(
        &self,
        id: BlobId,
        parts: &[(u16, Written)],
    ) -> Result<Written, BlobError> {
        let whole = Written::composed(parts.iter().map(|(_, written)| written));
        let Some(open) = self.opened(id).await? else {
            let same = self.size(id).await? == whole.size;
            return if same {
                Ok(whole)
            } else {
                Err(BlobError::Corrupt)
            };
        };
        let mut wanted = Vec::new();
        for (number, written) in parts {
            let found = open
                .pieces
                .iter()
                .find(|(slot, piece)| *slot == u64::from(*number) && piece.written() == *written);
            let (_, piece) = found.ok_or(BlobError::Part(*number))?;
            wanted.push(*piece);
        }
        if wanted.is_empty() {
            return Err(BlobError::Part(0));
        }
        self.make_one(id, Manifest(wanted), &open).await?;
        Ok(whole)
    }

    /// The manifest is the end; what is left over goes after it.
    async fn make_one(&self, id: BlobId, made: Manifest, open: &Open) -> Result<(), BlobError> {
        self.put(&manifest(id), made.to_bytes()).await?;
        let unused = open
            .pieces
            .iter()
            .filter(|(_, piece)| !made.0.contains(piece));
        self.delete(unused.map(|(_, piece)| data(id, piece.name)).collect())
            .await?;
        self.delete_all(&Path::from(format!("open/{id}"))).await
    }

    pub(in super::super) async fn append(
        &self,
        id: BlobId,
        offset: u64,
    ) -> Result<Writer, BlobError> {
        let Some(open) = self.opened(id).await? else {
            return Err(BlobError::NotFound);
        };
        let (kept, has) = chain(&open, offset);
        let has = match straddling(&open, has, offset) {
            Some(piece) if has < offset => {
                self.shorten(id, has, piece, offset - has).await?;
                offset
            }
            _ => has,
        };
        if has < offset {
            let wants = offset;
            return Err(BlobError::Offset { has, wants });
        }
        let gone = open
            .pieces
            .iter()
            .filter(|(_, piece)| !kept.contains(piece));
        let gone: Vec<Path> = gone
            .flat_map(|(slot, piece)| [noted(id, *slot, piece), data(id, piece.name)])
            .collect();
        self.delete(gone).await?;
        Ok(Writer::of_piece(self.clone(), id, offset))
    }

    /// The beginning of a piece, as a piece of its own.
    async fn shorten(&self, id: BlobId, at: u64, piece: Piece, to: u64) -> Result<(), BlobError> {
        let mut writer = Writer::of_piece(self.clone(), id, at);
        let range = Some(0..to);
        let mut bytes = self.read_object(&data(id, piece.name), range).await?;
        while let Some(chunk) = bytes.try_next().await? {
            writer.write(chunk).await?;
        }
        writer.finish().await.map(drop)
    }

    pub(in super::super) async fn seal(&self, id: BlobId, size: u64) -> Result<Written, BlobError> {
        let Some(open) = self.opened(id).await? else {
            let sealed = self.manifest(id).await?;
            let (has, wants) = (sealed.size(), size);
            return if has == wants {
                Ok(sealed.written())
            } else {
                Err(BlobError::Offset { has, wants })
            };
        };
        let (pieces, has) = chain(&open, size);
        if has != size {
            let wants = size;
            return Err(BlobError::Offset { has, wants });
        }
        let made = Manifest(pieces.into_iter().filter(|piece| piece.size > 0).collect());
        let written = made.written();
        self.make_one(id, made, &open).await?;
        Ok(written)
    }
}

/// The pieces that follow one another from the start, up to `end`.
fn chain(open: &Open, end: u64) -> (Vec<Piece>, u64) {
    let (mut at, mut kept) = (0, Vec::new());
    loop {
        let fits =
            |(slot, piece): &&(u64, Piece)| *slot == at && piece.size > 0 && at + piece.size <= end;
        // Where two begin, the longer was there when the other was made of it,
        // or is what came after it.
        let Some((_, piece)) = open.pieces.iter().rfind(fits) else {
            return (kept, at);
        };
        at += piece.size;
        kept.push(*piece);
    }
}

/// The piece at `at` that goes beyond `end`.
fn straddling(open: &Open, at: u64, end: u64) -> Option<Piece> {
    let beyond = |(slot, piece): &&(u64, Piece)| *slot == at && at + piece.size > end;
    open.pieces.iter().find(beyond).map(|(_, piece)| *piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_others_do_not() {
        let written = Written::of_piece(5, [1; 16], [2; 32]);
        let piece = Piece::new(Uuid::from_u128(7), &written);
        let manifest = Manifest(vec![piece, piece.renamed(Uuid::nil())]);
        assert_eq!(Manifest::of_bytes(&manifest.to_bytes()), Some(manifest));
        assert_eq!(Manifest::of_bytes(b"x\n"), None);
        assert_eq!(Manifest::of_bytes(b""), Some(Manifest(vec![])));
    }
}
