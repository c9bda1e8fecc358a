//! `aws-chunked` bodies: pieces with their length in front, perhaps signed,
//! perhaps followed by fields.
//!
//! [`Decoder::feed`] is pure and takes bytes as they arrive, however they are
//! cut; data goes on without being collected. The bytes of a signed piece go on
//! before its signature is seen, so whoever takes them must throw them away
//! when an error follows or [`Decoder::finish`] refuses.

#[cfg(test)]
mod tests;

use bytes::{Buf as _, Bytes};
use ring::digest::{Context, SHA256};

use super::error::{Result, S3Error};
use super::sigv4::ChunkKey;

/// The longest line: a length, `;chunk-signature=` and its 64 digits, or a
/// field with the longest checksum. What is longer is an attack.
const LINE_MAX: usize = 256;
/// Fields after the last piece; clients send one and its signature.
const FIELDS_MAX: usize = 8;
/// The longest piece. Pieces are not collected, so this protects nothing but
/// arithmetic: S3's own limit for a body.
const PIECE_MAX: u64 = 5 * 1024 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// A line with a piece's length.
    Head,
    /// So many bytes of a piece are still to come.
    Data(u64),
    /// The line break after a piece; whether it was the last.
    Break(bool),
    /// Fields, until an empty line.
    Fields,
    Done,
}

/// Takes a body apart.
pub(crate) struct Decoder {
    state: State,
    /// The line that has begun.
    line: Vec<u8>,
    key: Option<ChunkKey>,
    hash: Context,
    /// The signature of the piece that is being read.
    signature: String,
    trailer: bool,
    fields: Vec<(String, String)>,
    /// How many bytes there must be in all.
    expected: u64,
    seen: u64,
}

impl Decoder {
    /// Without a key, pieces are not signed.
    pub(crate) fn new(key: Option<ChunkKey>, trailer: bool, expected: u64) -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            key,
            hash: Context::new(&SHA256),
            signature: String::new(),
            trailer,
            fields: Vec::new(),
            expected,
            seen: 0,
        }
    }

    /// The next data in these bytes, or none when they are used up.
    pub(crate) fn feed(&mut self, input: &mut Bytes) -> Result<Option<Bytes>> {
        while !input.is_empty() {
            match self.state {
                State::Data(left) => return self.data(input, left).map(Some),
                State::Head => {
                    if let Some(line) = self.line(input)? {
                        self.head(&line)?;
                    }
                }
                State::Break(last) => {
                    if let Some(line) = self.line(input)? {
                        if !line.is_empty() {
                            return Err(wrong("Missing CRLF after chunk data"));
                        }
                        self.state = if last { State::Done } else { State::Head };
                    }
                }
                State::Fields => {
                    if let Some(line) = self.line(input)? {
                        self.field(&line)?;
                    }
                }
                State::Done => return Err(wrong("Unexpected data after final chunk")),
            }
        }
        Ok(None)
    }

    /// The fields that followed, once the body is over.
    pub(crate) fn finish(self) -> Result<Vec<(String, String)>> {
        if self.state != State::Done {
            return Err(incomplete());
        }
        if self.seen != self.expected {
            return Err(incomplete());
        }
        Ok(self.fields)
    }

    fn data(&mut self, input: &mut Bytes, left: u64) -> Result<Bytes> {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let data = input.split_to(here);
        let taken = data.len() as u64;
        self.seen += taken;
        if self.key.is_some() {
            self.hash.update(&data);
        }
        let left = left - taken;
        self.state = State::Data(left);
        if left == 0 {
            self.check_piece()?;
            self.state = State::Break(false);
        }
        Ok(data)
    }

    /// A whole line without its break, or none if it goes on.
    fn line(&mut self, input: &mut Bytes) -> Result<Option<String>> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let here = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + here > LINE_MAX {
            return Err(S3Error::bad("InvalidRequest", "A chunk header is too long"));
        }
        self.line
            .extend_from_slice(input.get(..here).unwrap_or_default());
        input.advance(here);
        if end.is_none() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or_else(|| wrong("Invalid chunk header"))?;
        let line = std::str::from_utf8(line).map_err(|_| wrong("Invalid chunk header"))?;
        Ok(Some(line.to_owned()))
    }

    fn head(&mut self, line: &str) -> Result<()> {
        let (size, signature) = match line.split_once(";chunk-signature=") {
            Some((size, signature)) => (size, Some(signature)),
            None => (line, None),
        };
        let digits = (1..=16).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = digits.then(|| u64::from_str_radix(size, 16).ok()).flatten();
        let size = size.ok_or_else(|| wrong("Invalid chunk size"))?;
        match (&self.key, signature) {
            (Some(_), Some(signature)) => signature.clone_into(&mut self.signature),
            (Some(_), None) => {
                return Err(S3Error::malformed_signature("Missing chunk signature"));
            }
            // Nobody could check it, so nobody may believe in it.
            (None, Some(_)) => return Err(wrong("Invalid chunk header")),
            (None, None) => {}
        }
        if size > PIECE_MAX || size > self.expected - self.seen {
            return Err(S3Error::bad(
                "IncompleteBody",
                "The body is longer than x-amz-decoded-content-length says",
            ));
        }
        self.state = match (size, self.trailer) {
            (0, true) => State::Fields,
            (0, false) => State::Break(true),
            (size, _) => State::Data(size),
        };
        if size == 0 {
            self.check_piece()?;
        }
        Ok(())
    }

    fn check_piece(&mut self) -> Result<()> {
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256));
        match &mut self.key {
            Some(key) => key.piece(hash.finish().as_ref(), &self.signature),
            None => Ok(()),
        }
    }

    fn field(&mut self, line: &str) -> Result<()> {
        if line.is_empty() {
            // A signed body's fields end with their signature, which was seen
            // if this is reached: `state` is `Done` then.
            if self.key.is_some() {
                return Err(S3Error::malformed_signature("Missing trailer signature"));
            }
            self.state = State::Done;
            return Ok(());
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| wrong("Invalid trailer"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" {
            return self.check_fields(value);
        }
        if self.fields.len() == FIELDS_MAX {
            return Err(wrong("Too many trailers"));
        }
        self.fields.push((name, value.to_owned()));
        Ok(())
    }

    fn check_fields(&mut self, signature: &str) -> Result<()> {
        let mut lines = String::new();
        for (name, value) in &self.fields {
            for part in [name, ":", value, "\n"] {
                lines.push_str(part);
            }
        }
        match &mut self.key {
            Some(key) => key.trailer(&lines, signature)?,
            None => return Err(wrong("Invalid trailer")),
        }
        // Only the empty line that ends the body may follow.
        self.state = State::Break(true);
        Ok(())
    }
}

fn wrong(message: &'static str) -> S3Error {
    S3Error::invalid(message)
}

fn incomplete() -> S3Error {
    S3Error::bad(
        "IncompleteBody",
        "The body is shorter than it was said to be, or ends in the middle",
    )
}
