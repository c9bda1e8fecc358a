//! Encryption of a backup's archive and secrets.
//!
//! A key file (a passphrase, or random bytes) and a salt of the backup's own
//! make the backup's key; each part has a key of its own, made of that and its
//! name, so counting nonces are never used twice. Bytes are sealed in chunks,
//! each with its place and whether it is the last: nothing can be changed, cut
//! off or put in another order without being noticed. All of it is ring's.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Rng, Secret};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hmac, pbkdf2};
use serde::{Deserialize, Serialize};

use super::BackupError;
use super::disk::{self, Summing};
use super::manifest::{Header, Part};

const CIPHER: &str = "chacha20-poly1305";
/// A passphrase of a backup that was stolen can be guessed at leisure; this
/// many rounds take a third of a second once, and for each guess.
const ROUNDS: u32 = 600_000;
/// More would keep a reader busy for minutes because a file says so.
const ROUNDS_MAX: u32 = 10_000_000;
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
const KEY_BYTES_MIN: usize = 16;
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// What the operator's key file holds.
#[derive(Clone, Debug)]
pub struct Key(Secret);

impl Key {
    /// Reads a key file; the end of its last line is not part of the key.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let unfit = |why| BackupError::Key {
            path: path.to_owned(),
            why,
        };
        let meta = fs::metadata(path).map_err(BackupError::file("open", path))?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(unfit("others may read it"));
        }
        if meta.len() > KEY_BYTES_MAX {
            return Err(unfit("it is too long"));
        }
        let bytes = fs::read(path).map_err(BackupError::file("read", path))?;
        // Random bytes are a key as well as text is.
        let text = STANDARD.encode(bytes.trim_ascii_end());
        if bytes.trim_ascii_end().len() < KEY_BYTES_MIN {
            return Err(unfit("it has fewer than 16 bytes"));
        }
        Ok(Self(Secret::new(text)))
    }
}

/// How a backup is encrypted, as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    cipher: String,
    rounds: u32,
    salt: String,
    /// Tells a wrong key from a damaged part.
    check: String,
}

/// A backup's own key.
#[derive(Clone)]
pub(super) struct Sealed(hmac::Key);

impl Sealed {
    /// A new key, and what the manifest says about it.
    pub(super) fn make(key: &Key, rng: &Rng) -> (Self, Seal) {
        let salt = rng.bytes::<16>();
        let sealed = Self::derive(key, &salt, ROUNDS);
        let seal = Seal {
            cipher: CIPHER.to_owned(),
            rounds: ROUNDS,
            salt: STANDARD.encode(salt),
            check: sealed.check(),
        };
        (sealed, seal)
    }

    /// The key of a backup that is there; none when it is not encrypted.
    pub(super) fn open(header: &Header, key: Option<&Key>) -> Result<Option<Self>, BackupError> {
        let Some(seal) = &header.seal else {
            return Ok(None);
        };
        let locked = |why| BackupError::Locked {
            id: header.id.clone(),
            why,
        };
        let key = key.ok_or_else(|| locked("no key file was given"))?;
        let salt = STANDARD.decode(&seal.salt).unwrap_or_default();
        if seal.cipher != CIPHER || seal.rounds > ROUNDS_MAX || salt.len() != 16 {
            return Err(locked("this program does not know how"));
        }
        let sealed = Self::derive(key, &salt, seal.rounds);
        if sealed.check() != seal.check {
            return Err(locked("the key file is another one"));
        }
        Ok(Some(sealed))
    }

    fn derive(key: &Key, salt: &[u8], rounds: u32) -> Self {
        let mut out = [0; 32];
        let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
        let text = key.0.expose().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, text, &mut out);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &out))
    }

    fn check(&self) -> String {
        STANDARD.encode(hmac::sign(&self.0, b"ferrobase backup: check"))
    }

    fn of_part(&self, name: &str) -> LessSafeKey {
        let context = [b"ferrobase backup: part ", name.as_bytes()].concat();
        let bytes = hmac::sign(&self.0, &context);
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes.as_ref());
        LessSafeKey::new(key.expect("SHA-256 has the length of the key"))
    }
}

/// Seals or opens a part's chunks in their order.
struct Chunks {
    key: LessSafeKey,
    place: u64,
    buffer: Vec<u8>,
}

impl Chunks {
    fn nonce(&mut self, last: bool) -> Nonce {
        let mut bytes = [0; 12];
        for (to, from) in bytes.iter_mut().zip(self.place.to_be_bytes()) {
            *to = from;
        }
        bytes[11] = u8::from(last);
        self.place += 1;
        Nonce::assume_unique_for_key(bytes)
    }

    fn seal(&mut self, mut chunk: Vec<u8>, last: bool) -> Vec<u8> {
        let nonce = self.nonce(last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut chunk)
            .expect("a chunk is far below the cipher's limit");
        chunk
    }

    fn open(&mut self, mut chunk: Vec<u8>, last: bool) -> Option<Vec<u8>> {
        let nonce = self.nonce(last);
        let length = self
            .key
            .open_in_place(nonce, Aad::empty(), &mut chunk)
            .ok()?
            .len();
        chunk.truncate(length);
        Some(chunk)
    }

    /// The next chunk of this size, when more than that is there: what is left
    /// at the end is the last one.
    fn full(&mut self, size: usize) -> Option<Vec<u8>> {
        if self.buffer.len() <= size {
            return None;
        }
        let rest = self.buffer.split_off(size);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

fn chunks(key: Option<&Sealed>, name: &str) -> Option<Chunks> {
    key.map(|key| Chunks {
        key: key.of_part(name),
        place: 0,
        buffer: Vec::new(),
    })
}

/// Writes a part of a backup, sealed when there is a key.
pub(super) struct PartWriter {
    name: &'static str,
    path: PathBuf,
    file: File,
    summing: Summing,
    chunks: Option<Chunks>,
}

impl PartWriter {
    pub(super) fn create(
        folder: &Path,
        name: &'static str,
        key: Option<&Sealed>,
    ) -> Result<Self, BackupError> {
        let path = folder.join(name);
        let file = disk::create_private(&path).map_err(BackupError::file("make", &path))?;
        Ok(Self {
            name,
            file,
            path,
            summing: Summing::default(),
            chunks: chunks(key, name),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let Some(mut chunks) = self.chunks.take() else {
            return self.put(bytes);
        };
        chunks.buffer.extend_from_slice(bytes);
        while let Some(chunk) = chunks.full(CHUNK_BYTES) {
            let sealed = chunks.seal(chunk, false);
            self.put(&sealed)?;
        }
        self.chunks = Some(chunks);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.summing.add(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(BackupError::file("write", &self.path))
    }

    pub(super) fn finish(mut self) -> Result<Part, BackupError> {
        if let Some(mut chunks) = self.chunks.take() {
            let rest = std::mem::take(&mut chunks.buffer);
            let sealed = chunks.seal(rest, true);
            self.put(&sealed)?;
        }
        Ok(Part::new(self.name, self.summing.sum()))
    }
}

/// Reads a part of a backup, and believes its end only when its hash is right.
pub(super) struct PartReader {
    path: PathBuf,
    part: Part,
    file: File,
    summing: Option<Summing>,
    chunks: Option<Chunks>,
}

impl PartReader {
    pub(super) fn open(
        folder: &Path,
        part: Part,
        key: Option<&Sealed>,
    ) -> Result<Self, BackupError> {
        let path = folder.join(&part.name);
        let file = File::open(&path).map_err(BackupError::file("open", &path))?;
        Ok(Self {
            chunks: chunks(key, &part.name),
            summing: Some(Summing::default()),
            path,
            part,
            file,
        })
    }

    /// The next bytes; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let Some(summing) = &mut self.summing else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = (&mut self.file)
            .take(4 * CHUNK_BYTES as u64)
            .read_to_end(&mut bytes);
        read.map_err(BackupError::file("read", &self.path))?;
        summing.add(&bytes);
        if bytes.is_empty() {
            return self.end();
        }
        let Some(chunks) = &mut self.chunks else {
            return Ok(Some(bytes));
        };
        chunks.buffer.extend_from_slice(&bytes);
        let mut out = Vec::new();
        while let Some(chunk) = chunks.full(CHUNK_BYTES + TAG_BYTES) {
            let Some(opened) = chunks.open(chunk, false) else {
                return Err(self.damaged("it cannot be decrypted"));
            };
            out.extend(opened);
        }
        Ok(Some(out))
    }

    fn end(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let sum = self.summing.take().unwrap_or_default().sum();
        if sum.sha256 != self.part.sha256 || sum.size != self.part.size {
            return Err(self.damaged("its bytes do not have the hash that the manifest names"));
        }
        let Some(mut chunks) = self.chunks.take() else {
            return Ok(None);
        };
        let rest = std::mem::take(&mut chunks.buffer);
        let last = chunks.open(rest, true);
        let last = last.ok_or_else(|| self.damaged("it cannot be decrypted"))?;
        Ok(Some(last))
    }

    /// All that is left.
    pub(super) fn all(mut self) -> Result<Vec<u8>, BackupError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next()? {
            all.extend(bytes);
        }
        Ok(all)
    }

    fn damaged(&self, why: &str) -> BackupError {
        BackupError::damaged(&self.path, why)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(folder: &Path, text: &str) -> Key {
        let path = folder.join(format!("{}.key", text.len()));
        fs::write(&path, text).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert_eq!(Key::read(&path).unwrap_err().code(), "FB6012");
        mode(0o600);
        Key::read(&path).unwrap()
    }

    fn header(seal: Seal) -> Header {
        Header {
            seal: Some(seal),
            ..Header::default()
        }
    }

    #[test]
    fn sealed_parts_open_with_their_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let given = key(folder, "correct horse battery\n");
        let (sealed, seal) = Sealed::make(&given, &Rng::seeded(1));
        let header = header(seal);
        let other = key(folder, "another sixteen bytes");
        assert_eq!(Sealed::open(&header, None).err().unwrap().code(), "FB6011");
        let wrong = Sealed::open(&header, Some(&other));
        assert!(wrong.err().unwrap().to_string().contains("another one"));
        let opened = Sealed::open(&header, Some(&given)).unwrap();
        for size in [
            0,
            1,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            5 * CHUNK_BYTES,
        ] {
            let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let _ = fs::remove_file(folder.join("secrets.json"));
            let mut writer = PartWriter::create(folder, "secrets.json", Some(&sealed)).unwrap();
            for piece in bytes.chunks(70_000) {
                writer.write(piece).unwrap();
            }
            let part = writer.finish().unwrap();
            let read = |part: &Part| {
                PartReader::open(folder, part.clone(), opened.as_ref())
                    .unwrap()
                    .all()
            };
            assert_eq!(read(&part).unwrap(), bytes, "{size}");
            // Whoever can write the manifest can name another hash.
            let path = folder.join("secrets.json");
            let mut text = fs::read(&path).unwrap();
            text.truncate(text.len() - 1);
            fs::write(&path, &text).unwrap();
            assert_eq!(read(&part).unwrap_err().code(), "FB6008");
            let forged = Part::new("secrets.json", disk::sum(&path).unwrap());
            let error = read(&forged).unwrap_err().to_string();
            assert!(error.contains("cannot be decrypted"), "{error}");
        }
    }

    #[test]
    fn chunks_cannot_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (sealed, _) = Sealed::make(&key(folder, "sixteen bytes and more"), &Rng::seeded(2));
        let mut writer = PartWriter::create(folder, "database.dump", Some(&sealed)).unwrap();
        writer.write(&vec![7; 3 * CHUNK_BYTES]).unwrap();
        writer.finish().unwrap();
        let path = folder.join("database.dump");
        let whole = fs::read(&path).unwrap();
        let chunk = CHUNK_BYTES + TAG_BYTES;
        let cut = [&whole[..chunk], &whole[2 * chunk..]].concat();
        for changed in [&whole[..chunk], &whole[chunk..], &cut[..]] {
            fs::write(&path, changed).unwrap();
            let forged = Part::new("database.dump", disk::sum(&path).unwrap());
            let reader = PartReader::open(folder, forged, Some(&sealed)).unwrap();
            assert!(reader.all().is_err());
        }
    }
}
