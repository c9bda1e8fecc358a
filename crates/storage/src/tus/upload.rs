//! An upload as its row has it, and what may happen to it. Pure: the caller
//! brings the time and writes down what comes out.
//!
//! An upload only grows: bytes are made durable first, then `offset` says so.
//! It is full when `offset` is `length`, and finished when its object is there
//! too (a part is finished when it is full).

use jiff::Timestamp;

use super::error::{Result, TusError};
use super::headers::Piece;
use super::metadata::Metadata;

/// One upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The last piece of its address.
    pub(crate) id: String,
    /// Where its bytes are, in the byte layer's words.
    pub(crate) blob: String,
    /// The bucket of the object to be.
    pub(crate) bucket: String,
    /// Its name.
    pub(crate) name: String,
    /// How many of them are durable.
    pub(crate) offset: u64,
    /// How many there will be, if that was said.
    pub(crate) length: Option<u64>,
    /// How many there may be.
    pub(crate) most: u64,
    /// Which kind it is.
    pub(crate) kind: Kind,
    /// What a final one was made of, as its client said it.
    pub(crate) concat: Option<String>,
    /// About the file.
    pub(crate) metadata: Metadata,
    /// Whether it may take another object's place.
    pub(crate) upsert: bool,
    /// Whose the object will be.
    pub(crate) owner: Option<String>,
    /// When it goes, unless it is finished before.
    pub(crate) expires_at: Timestamp,
    /// Nothing can change it any more.
    pub(crate) finished: bool,
}

/// Whole uploads become objects, parts wait, final ones are made of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Becomes an object.
    Whole,
    /// Waits to be a part.
    Partial,
    /// Made of parts; takes no bytes.
    Final,
}

impl Kind {
    /// As the row and `Upload-Concat` have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Final => "final",
        }
    }

    /// The word again.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Whole, Self::Partial, Self::Final]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// What a request may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Where its first byte goes.
    pub(crate) offset: u64,
    /// How many bytes there may be at most.
    pub(crate) bytes: u64,
    /// Why there may not be more.
    pub(crate) limited_by: Limit,
    /// The length, if this request said it.
    pub(crate) length: Option<u64>,
}

/// What ends a body that does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The announced length.
    Length,
    /// The bucket's limit, or everybody's.
    Bucket,
}

impl Limit {
    /// What a request is told that goes on past it.
    pub(crate) fn refusal(self) -> TusError {
        match self {
            Self::Length => TusError::Overrun,
            Self::Bucket => TusError::TooLarge,
        }
    }
}

impl Upload {
    /// Whether it is still there.
    pub(crate) fn check_alive(&self, now: Timestamp) -> Result<()> {
        if self.expires_at <= now && !self.finished {
            Err(TusError::Gone)
        } else {
            Ok(())
        }
    }

    /// Every byte is there.
    pub(crate) fn full(&self) -> bool {
        self.length == Some(self.offset)
    }

    /// What this piece may add, before any byte of it was read.
    pub(crate) fn room(&self, piece: &Piece) -> Result<Room> {
        if self.kind == Kind::Final {
            return Err(TusError::Concatenated);
        }
        if piece.offset != self.offset {
            return Err(TusError::Offset);
        }
        let length = match (self.length, piece.length) {
            (Some(known), Some(said)) if known != said => {
                return Err(TusError::Header("Upload-Length cannot be changed"));
            }
            (known, said) => known.or(said),
        };
        let (end, limited_by) = match length {
            Some(length) if length > self.most => return Err(TusError::TooLarge),
            Some(length) => (length, Limit::Length),
            None => (self.most, Limit::Bucket),
        };
        // A length that is less than what is there.
        let overrun = TusError::Header("Upload-Length is less than what was sent");
        let bytes = end.checked_sub(self.offset).ok_or(overrun)?;
        if piece.bytes.is_some_and(|announced| announced > bytes) {
            return Err(limited_by.refusal());
        }
        Ok(Room {
            offset: self.offset,
            bytes,
            limited_by,
            length: length.filter(|_| self.length.is_none()),
        })
    }

    /// Whether it may be taken back.
    pub(crate) fn check_ends(&self) -> Result<()> {
        // A part is nobody's object, full or not.
        if self.finished && self.kind != Kind::Partial {
            Err(TusError::Finished)
        } else {
            Ok(())
        }
    }
}

/// Whether these are parts of something, and how long that is.
pub(crate) fn joined(parts: &[Upload]) -> Result<u64> {
    let mut sum = 0_u64;
    for part in parts {
        if part.kind != Kind::Partial {
            return Err(TusError::Parts("Upload-Concat names what is no part"));
        }
        if !part.finished {
            return Err(TusError::Parts("Upload-Concat names an unfinished part"));
        }
        sum = sum.checked_add(part.offset).ok_or(TusError::TooLarge)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
