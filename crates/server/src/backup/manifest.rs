//! What a backup consists of: a file of JSON lines, the first about the whole,
//! the last with the number and the SHA-256 of the lines before it.
//!
//! A manifest is read line by line: a backup may have millions of files.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::disk::{self, Sum};
use super::{BackupError, Id};

/// The form of this file; another number is another form.
pub const VERSION: u32 = 1;
/// Longest line believed; names of tables and versions are far shorter.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// The last line has about 200 bytes.
const END_BYTES_MAX: u64 = 4096;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first: about the whole.
    Backup(Header),
    /// A file in the backup's own folder.
    Part(Part),
    /// A table and what was in it.
    Table(Table),
    /// A file of storage.
    File(StoredFile),
    /// A file that a row names and that could not be read.
    Missing(Missing),
    /// The last.
    End(End),
}

/// About the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`]
    pub version: u32,
    /// The backup's name.
    pub id: String,
    /// When the snapshot was taken, RFC 3339.
    pub taken_at: String,
    /// Which Ferrobase made it.
    pub ferrobase: String,
    /// The last of our migrations in the database.
    pub migration: u32,
    /// The server's version, as `server_version_num` writes it.
    pub server_version: u32,
    /// The version of the program that wrote the archive.
    pub pg_dump: String,
    /// The database's name.
    pub database: String,
    /// Its size on the disk.
    pub database_bytes: u64,
    /// The names of all roles; the rest about them is secret.
    pub roles: Vec<String>,
    /// The extensions, with their versions.
    pub extensions: Vec<String>,
    /// What encrypts archive and secrets, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<super::seal::Seal>,
}

/// A file in the backup's own folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name there.
    pub name: String,
    /// Its size as it lies there.
    pub size: u64,
    /// Its SHA-256 as it lies there.
    pub sha256: String,
}

/// A table and what was in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// The sum of the rows' hashes, whatever their order.
    pub hash: String,
}

/// A file of storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// What the rows call it.
    pub version: String,
    /// Its size.
    pub size: u64,
    /// Its SHA-256, which is its name in the repository.
    pub sha256: String,
}

/// A file that a row names and that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What the rows call it.
    pub version: String,
    /// What went wrong.
    pub why: String,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many lines are before it.
    pub lines: u64,
    /// How many of them are files.
    pub files: u64,
    /// The sizes of these files together.
    pub file_bytes: u64,
    /// How many files could not be read.
    pub missing: u64,
    /// The SHA-256 of the lines before it.
    pub sha256: String,
}

impl Part {
    pub(super) fn new(name: &str, sum: Sum) -> Self {
        Self {
            name: name.to_owned(),
            size: sum.size,
            sha256: sum.sha256,
        }
    }
}

impl StoredFile {
    pub(super) fn sum(&self) -> Sum {
        Sum {
            size: self.size,
            sha256: self.sha256.clone(),
        }
    }
}

/// Writes a manifest.
pub(super) struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
    lines: u64,
    files: u64,
    file_bytes: u64,
    missing: u64,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        let file = disk::create_private(path).map_err(BackupError::file("make", path))?;
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
            hash: Sha256::new(),
            lines: 0,
            files: 0,
            file_bytes: 0,
            missing: 0,
        })
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<(), BackupError> {
        match line {
            Line::File(file) => {
                self.files += 1;
                self.file_bytes += file.size;
            }
            Line::Missing(_) => self.missing += 1,
            Line::Backup(_) | Line::Part(_) | Line::Table(_) | Line::End(_) => {}
        }
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        self.hash.update(&text);
        self.lines += 1;
        let written = self.out.write_all(&text);
        written.map_err(BackupError::file("write", &self.path))
    }

    /// Writes the last line.
    pub(super) fn finish(mut self) -> Result<End, BackupError> {
        let end = End {
            lines: self.lines,
            files: self.files,
            file_bytes: self.file_bytes,
            missing: self.missing,
            sha256: format!("{:x}", self.hash.clone().finalize()),
        };
        self.write(&Line::End(end.clone()))?;
        let flushed = self.out.flush();
        flushed.map_err(BackupError::file("write", &self.path))?;
        Ok(end)
    }
}

/// Reads a manifest, and believes its end only when its hash is right.
pub(super) struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    hash: Sha256,
    lines: u64,
    ended: bool,
    header: Header,
}

/// Whether this is a SHA-256 as we write it.
fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::file("open", path))?;
        let mut reader = Self {
            path: path.to_owned(),
            input: BufReader::new(file),
            hash: Sha256::new(),
            lines: 0,
            ended: false,
            header: Header::default(),
        };
        match reader.next()? {
            Some(Line::Backup(header)) if header.version == VERSION => reader.header = header,
            Some(Line::Backup(header)) => {
                return Err(BackupError::Foreign {
                    why: format!("its manifest has form {}", header.version),
                    id: header.id,
                });
            }
            _ => return Err(reader.damaged("its first line is not about a backup")),
        }
        Ok(reader)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The next line but the last; none once the whole was as written.
    pub(super) fn next(&mut self) -> Result<Option<Line>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let mut text = Vec::new();
        let read = (&mut self.input)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text);
        read.map_err(BackupError::file("read", &self.path))?;
        if text.last() != Some(&b'\n') {
            return Err(self.damaged("it ends in the middle"));
        }
        let line: Line = serde_json::from_slice(&text)
            .map_err(|_| self.damaged(format!("line {} is not as written", self.lines + 1)))?;
        // A hash becomes the name of a file: one that is none must not lead
        // anywhere, whoever wrote the manifest.
        let named = match &line {
            Line::File(file) => Some(&file.sha256),
            Line::Part(part) => Some(&part.sha256),
            _ => None,
        };
        if named.is_some_and(|hash| !is_hash(hash)) {
            return Err(self.damaged("it names a hash that is none"));
        }
        let Line::End(end) = line else {
            self.hash.update(&text);
            self.lines += 1;
            return Ok(Some(line));
        };
        let found = format!("{:x}", self.hash.clone().finalize());
        if found != end.sha256 || self.lines != end.lines {
            return Err(self.damaged("its lines do not have the hash that it names"));
        }
        self.ended = true;
        Ok(None)
    }

    fn damaged(&self, why: impl Into<String>) -> BackupError {
        BackupError::damaged(&self.path, why)
    }
}

/// The first and the last line alone, for lists: the hash is not checked.
pub(super) fn ends(path: &Path) -> Result<(Id, Header, End), BackupError> {
    let header = Reader::open(path)?.header;
    let failed = |_| BackupError::damaged(path, "it ends in the middle");
    let mut file = File::open(path).map_err(BackupError::file("open", path))?;
    let size = file.metadata().map_or(0, |meta| meta.len());
    let mut text = String::new();
    file.seek(SeekFrom::Start(size.saturating_sub(END_BYTES_MAX)))
        .and_then(|_| file.read_to_string(&mut text))
        .map_err(failed)?;
    let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
    let id = Id::parse(&header.id);
    match (id, serde_json::from_str(last)) {
        (Some(id), Ok(Line::End(end))) => Ok((id, header, end)),
        _ => Err(BackupError::damaged(path, "its last line is missing")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn written(path: &Path) -> Vec<Line> {
        let file = |n: u64| {
            Line::File(StoredFile {
                version: format!("v{n}"),
                size: n,
                sha256: "00".repeat(32),
            })
        };
        let header = Header {
            version: VERSION,
            id: "20260102T030405Z-abcdef".to_owned(),
            ..Header::default()
        };
        let lines = vec![Line::Backup(header), file(3), file(4)];
        let mut writer = Writer::create(path).unwrap();
        for line in &lines {
            writer.write(line).unwrap();
        }
        writer.finish().unwrap();
        lines
    }

    fn read(path: &Path) -> Result<Vec<Line>, BackupError> {
        let mut reader = Reader::open(path)?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next()? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn what_was_written_is_read_and_any_change_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.jsonl");
        let lines = written(&path);
        assert_eq!(read(&path).unwrap(), lines.get(1..).unwrap());
        let (id, _, end) = ends(&path).unwrap();
        assert_eq!(
            (id.as_str(), end.files, end.file_bytes),
            ("20260102T030405Z-abcdef", 2, 7)
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let cut = text.len() - 40;
        let mut kept: Vec<&str> = text.lines().collect();
        kept.remove(2);
        for changed in [
            text.replace("\"v3\"", "\"v5\""),
            text.get(..cut).unwrap().to_owned(),
            kept.join("\n") + "\n",
            String::new(),
        ] {
            std::fs::write(&path, changed).unwrap();
            assert_eq!(read(&path).unwrap_err().code(), "FB6008");
        }
    }

    /// The last line is right: whoever can write a bucket can count as well.
    #[test]
    fn a_hash_that_is_none_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.jsonl");
        for sha256 in ["../../outside", "/etc/x", "", &"0G".repeat(32)] {
            let header = Header {
                version: VERSION,
                ..Header::default()
            };
            let file = StoredFile {
                version: "v1".to_owned(),
                size: 1,
                sha256: sha256.to_owned(),
            };
            let _ = std::fs::remove_file(&path);
            let mut writer = Writer::create(&path).unwrap();
            writer.write(&Line::Backup(header)).unwrap();
            writer.write(&Line::File(file)).unwrap();
            writer.finish().unwrap();
            assert_eq!(read(&path).unwrap_err().code(), "FB6008", "{sha256}");
        }
    }
}
