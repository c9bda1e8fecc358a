//! Bytes from a request's body to the disk. What arrived is kept however the
//! body ends; what has a checksum counts all at once or not at all.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::BodyExt as _;
use tokio::time::{sleep, sleep_until};

use super::checksum::Checksum;
use super::error::{Result, TusError};
use super::headers::Piece;
use super::hold::Hold;
use super::{Tus, bytes_failed};
use crate::blobs::Writer;

/// So many bytes are made durable and counted at once. A server that dies loses
/// no more of an upload; smaller, and a disk does little else than flush.
const FLUSH_BYTES: u64 = 16 << 20;
/// A body that says nothing for so long has ended, told or not.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// How a body goes on.
enum Next {
    Bytes(Bytes),
    /// It is over, as it should be.
    End,
    /// It is over, as it should not be.
    Cut,
    /// Somebody else wants the upload.
    Wanted,
}

/// What was written and does not count yet.
struct Uncounted {
    writer: Writer,
    bytes: u64,
}

/// Takes a piece in. The upload is completed when it is full then.
pub(super) async fn receive(
    tus: &Tus,
    hold: &mut Hold<'_>,
    piece: &Piece,
    mut checksum: Option<Checksum>,
    mut body: Body,
) -> Result<()> {
    let room = hold.upload.room(piece)?;
    hold.upload.length = hold.upload.length.or(room.length);
    let mut left = room.bytes;
    let mut uncounted: Option<Uncounted> = None;
    let next = loop {
        let bytes = match next(hold, &mut body).await? {
            Next::Bytes(bytes) => bytes,
            other => break other,
        };
        let len = bytes.len() as u64;
        left = match left.checked_sub(len) {
            Some(left) => left,
            None => return Err(room.limited_by.refusal()),
        };
        if let Some(checksum) = &mut checksum {
            checksum.update(&bytes);
        }
        let mut into = match uncounted.take() {
            Some(into) => into,
            None => open(tus, hold).await?,
        };
        let written = hold.during(into.writer.write(bytes)).await?;
        written.map_err(|error| bytes_failed(&error))?;
        into.bytes += len;
        if into.bytes >= FLUSH_BYTES && checksum.is_none() {
            count(hold, into).await?;
        } else {
            uncounted = Some(into);
        }
    };
    match (&next, checksum) {
        (Next::End | Next::Bytes(_), Some(checksum)) => checksum.holds()?,
        // Nobody knows whether these are the bytes that were meant.
        (Next::Cut | Next::Wanted, Some(_)) => uncounted = None,
        (_, None) => {}
    }
    match uncounted {
        Some(into) => count(hold, into).await?,
        // The length may be new.
        None => hold.advance(0).await?,
    }
    match next {
        Next::End | Next::Bytes(_) => hold.complete().await,
        Next::Cut => Err(TusError::Cut),
        Next::Wanted => Err(TusError::TakenOver),
    }
}

/// What comes next.
async fn next(hold: &mut Hold<'_>, body: &mut Body) -> Result<Next> {
    let silent = sleep(SILENT_MAX);
    tokio::pin!(silent);
    loop {
        // Not beside the body: a fast one would never let it come to an end.
        if hold.keep().await? {
            return Ok(Next::Wanted);
        }
        let frame = tokio::select! {
            biased;
            () = hold.turn.wanted() => return Ok(Next::Wanted),
            () = sleep_until(hold.again) => continue,
            frame = body.frame() => frame,
            () = &mut silent => return Ok(Next::Cut),
        };
        match frame {
            None => return Ok(Next::End),
            Some(Err(_)) => return Ok(Next::Cut),
            Some(Ok(frame)) => {
                // Otherwise trailers, or nothing.
                if let Some(bytes) = frame.into_data().ok().filter(|bytes| !bytes.is_empty()) {
                    return Ok(Next::Bytes(bytes));
                }
            }
        }
    }
}

async fn open(tus: &Tus, hold: &mut Hold<'_>) -> Result<Uncounted> {
    let (blob, offset) = (hold.blob()?, hold.upload.offset);
    let writer = hold.during(tus.room.blobs.append(blob, offset)).await?;
    let writer = writer.map_err(|error| bytes_failed(&error))?;
    Ok(Uncounted { writer, bytes: 0 })
}

/// Makes it durable, then counts it.
async fn count(hold: &mut Hold<'_>, from: Uncounted) -> Result<()> {
    let finished = hold.during(from.writer.finish()).await?;
    finished.map_err(|error| bytes_failed(&error))?;
    hold.advance(from.bytes).await
}

/// The bytes of parts, one after the other.
pub(super) async fn join(tus: &Tus, hold: &mut Hold<'_>, parts: &[String]) -> Result<()> {
    let mut into = open(tus, hold).await?;
    for part in parts {
        let blob = part.parse().map_err(|_| TusError::Internal)?;
        let from = hold.during(tus.room.blobs.read(blob, None)).await?;
        let mut from = from.map_err(|error| bytes_failed(&error))?;
        while let Some(bytes) = hold.during(from.try_next()).await?.transpose() {
            let bytes = bytes.map_err(|error| bytes_failed(&error))?;
            into.bytes += bytes.len() as u64;
            let written = hold.during(into.writer.write(bytes)).await?;
            written.map_err(|error| bytes_failed(&error))?;
        }
    }
    count(hold, into).await?;
    if !hold.upload.full() {
        return Err(TusError::Parts("Upload-Concat names parts that changed"));
    }
    hold.complete().await
}
