//! A body on its way in: taken apart, counted, and believed only at its end.
//!
//! [`Incoming::next`] hands on bytes as they come and says `None` only when all
//! that was claimed of them holds: their length, the signature of each piece or
//! of the whole, the checksum in a header or behind them. Whoever stores them
//! drops what was written on any error.

use axum::body::{Body, BodyDataStream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode};
use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA256};

use super::checksum::{Algorithm, Checksum};
use super::chunked::Decoder;
use super::error::{Result, S3Error};
use super::sigv4::{ChunkKey, Payload};

/// What proves a body, besides its length.
pub(crate) struct Proof {
    pub(crate) payload: Payload,
    pub(crate) key: ChunkKey,
}

/// A body that is being read.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    /// Bytes that came and were not handed on yet.
    pending: Bytes,
    decoder: Option<Decoder>,
    sha256: Option<(Context, [u8; 32])>,
    md5: Option<(Md5, String)>,
    checksum: Option<(Checksum, Option<String>)>,
    /// How many bytes there will be.
    length: u64,
    seen: u64,
    /// What was found to hold, for the answer.
    checked: Option<(Algorithm, String)>,
    over: bool,
}

impl Incoming {
    /// Reads the headers that say what the body will be.
    pub(crate) fn new(body: Body, headers: &HeaderMap, proof: Proof) -> Result<Self> {
        let number = |name: &str| {
            let text = headers.get(name)?.to_str().ok()?;
            text.trim().parse::<u64>().ok()
        };
        let chunked = matches!(proof.payload, Payload::Chunked { .. });
        let length = if chunked {
            number("x-amz-decoded-content-length")
        } else {
            number("content-length")
        };
        let length = length.ok_or_else(|| {
            let message = "You must provide the Content-Length HTTP header.";
            S3Error::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message)
        })?;
        let (decoder, sha256) = match proof.payload {
            Payload::Unsigned => (None, None),
            Payload::Hash(hash) => (None, Some((Context::new(&SHA256), hash))),
            Payload::Chunked { signed, trailer } => {
                let key = signed.then_some(proof.key);
                (Some(Decoder::new(key, trailer, length)), None)
            }
        };
        let md5 = headers.get("content-md5").map(|said| {
            let said = said.to_str().unwrap_or_default().trim().to_owned();
            (Md5::new(), said)
        });
        Ok(Self {
            stream: body.into_data_stream(),
            pending: Bytes::new(),
            decoder,
            sha256,
            md5,
            checksum: Checksum::asked(headers)?,
            length,
            seen: 0,
            checked: None,
            over: false,
        })
    }

    /// How many bytes there will be.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The checksum that was found to hold, once the body is over.
    pub(crate) fn checked(&self) -> Option<&(Algorithm, String)> {
        self.checked.as_ref()
    }

    /// The next bytes; none when the body is over and all of it holds.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.decoded()? {
                self.count(&bytes)?;
                return Ok(Some(bytes));
            }
            if self.over {
                return Ok(None);
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.pending = bytes,
                Some(Err(_)) => {
                    return Err(S3Error::bad("IncompleteBody", "The body did not arrive"));
                }
                None => {
                    self.over = true;
                    self.settle()?;
                }
            }
        }
    }

    /// All of it, where it is short.
    pub(crate) async fn collect(mut self, most: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > most {
                return Err(too_large());
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    fn decoded(&mut self) -> Result<Option<Bytes>> {
        match &mut self.decoder {
            Some(decoder) => decoder.feed(&mut self.pending),
            None => Ok(Some(std::mem::take(&mut self.pending)).filter(|bytes| !bytes.is_empty())),
        }
    }

    fn count(&mut self, bytes: &Bytes) -> Result<()> {
        self.seen += bytes.len() as u64;
        if self.seen > self.length {
            return Err(S3Error::bad(
                "IncompleteBody",
                "The body is longer than it was said to be",
            ));
        }
        if let Some((hash, _)) = &mut self.sha256 {
            hash.update(bytes);
        }
        if let Some((hash, _)) = &mut self.md5 {
            hash.update(bytes);
        }
        if let Some((checksum, _)) = &mut self.checksum {
            checksum.update(bytes);
        }
        Ok(())
    }

    /// Holds what came against what was said of it.
    fn settle(&mut self) -> Result<()> {
        let fields = match self.decoder.take() {
            Some(decoder) => decoder.finish()?,
            None => Vec::new(),
        };
        if self.seen != self.length {
            let message = "You did not provide the number of bytes specified by the \
                           Content-Length HTTP header";
            return Err(S3Error::bad("IncompleteBody", message));
        }
        if let Some((hash, said)) = self.sha256.take()
            && hash.finish().as_ref() != said
        {
            return Err(S3Error::bad(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ));
        }
        if let Some((hash, said)) = self.md5.take()
            && STANDARD.encode(hash.finalize()) != said
        {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(S3Error::bad("BadDigest", message));
        }
        if let Some((checksum, said)) = self.checksum.take() {
            let name = checksum.header();
            let sent = fields.into_iter().find(|(field, _)| field == name);
            let said = said.or(sent.map(|(_, value)| value));
            let said = said.ok_or_else(|| {
                let message = "The trailer that x-amz-trailer announces did not come";
                S3Error::bad("MalformedTrailerError", message)
            })?;
            self.checked = Some(checksum.check(&said)?);
        }
        Ok(())
    }
}

/// More than fits.
pub(crate) fn too_large() -> S3Error {
    let message = "The object exceeded the maximum allowed size";
    S3Error::new(StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge", message)
}
