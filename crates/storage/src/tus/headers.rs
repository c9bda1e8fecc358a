//! The protocol's headers: their names, and a request's head read once.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use super::error::{Result, TusError};
use super::metadata::Metadata;

/// The one version there is.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
/// Which version this message is.
pub(crate) const RESUMABLE: &str = "tus-resumable";
/// Which versions the server speaks.
pub(crate) const VERSIONS: &str = "tus-version";
/// What it can beyond the core.
pub(crate) const EXTENSION: &str = "tus-extension";
/// The largest upload.
pub(crate) const MAX_SIZE: &str = "tus-max-size";
/// The digests it knows.
pub(crate) const CHECKSUM_ALGORITHM: &str = "tus-checksum-algorithm";
/// Where the next byte goes.
pub(crate) const OFFSET: &str = "upload-offset";
/// How many bytes there will be.
pub(crate) const LENGTH: &str = "upload-length";
/// The length comes later.
pub(crate) const DEFER_LENGTH: &str = "upload-defer-length";
/// About the file.
pub(crate) const METADATA: &str = "upload-metadata";
/// When an unfinished upload goes.
pub(crate) const EXPIRES: &str = "upload-expires";
/// A digest of this request's bytes.
pub(crate) const CHECKSUM: &str = "upload-checksum";
/// A part, or what is put together from parts.
pub(crate) const CONCAT: &str = "upload-concat";
/// The method that a proxy would not let pass.
pub(crate) const METHOD_OVERRIDE: &str = "x-http-method-override";
/// The token of a signed upload.
pub(crate) const SIGNATURE: &str = "x-signature";
/// Whether an object of that name may be replaced.
pub(crate) const UPSERT: &str = "x-upsert";
/// The type of a body with an upload's bytes.
pub(crate) const OCTETS: &str = "application/offset+octet-stream";
/// What OPTIONS says we can.
pub(crate) const EXTENSIONS: HeaderValue = HeaderValue::from_static(
    "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum,\
     concatenation",
);
/// What pages of other origins may read.
pub(crate) const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Location, Tus-Checksum-Algorithm, Tus-Complete, Tus-Extension, \
     Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Concat, Upload-Defer-Length, \
     Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, X-Forwarded-Host, \
     X-HTTP-Method-Override, X-Requested-With, X-Request-Id",
);
/// Parts of one upload: a browser opens a handful of connections, a program a
/// few dozen.
pub(crate) const PARTS_MAX: usize = 128;
/// Past this, PostgreSQL's numbers end.
const BYTES_MAX: u64 = i64::MAX as u64;

/// What kind of upload a POST asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Concat {
    /// One that becomes an object by itself.
    Whole,
    /// One that waits to be a part of another.
    Partial,
    /// One of these parts, by their addresses' last pieces.
    Final {
        /// The last pieces.
        parts: Vec<String>,
        /// The header itself.
        said: String,
    },
}

/// The head of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Creation {
    /// The length; none if it comes later.
    pub(crate) length: Option<u64>,
    /// About the file.
    pub(crate) metadata: Metadata,
    /// What kind of upload.
    pub(crate) concat: Concat,
    /// Whether the body has its first bytes.
    pub(crate) with_bytes: bool,
}

/// The head of a PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where the client believes to be.
    pub(crate) offset: u64,
    /// The length, if it is said now.
    pub(crate) length: Option<u64>,
    /// The size of the body, where it is known.
    pub(crate) bytes: Option<u64>,
}

/// The method that is meant. Only a POST may mean another one.
pub(crate) fn method(method: &Method, headers: &HeaderMap) -> Result<Method> {
    match text(headers, METHOD_OVERRIDE)? {
        Some(other) if *method == Method::POST => Method::from_bytes(other.as_bytes())
            .map_err(|_| TusError::Header("Invalid X-HTTP-Method-Override")),
        _ => Ok(method.clone()),
    }
}

/// Refuses what is not our version.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<()> {
    if headers.get(RESUMABLE) == Some(&VERSION) {
        Ok(())
    } else {
        Err(TusError::Version)
    }
}

impl Creation {
    /// Reads a POST's head.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self> {
        let length = number(headers, LENGTH, "Invalid Upload-Length")?;
        let deferred = text(headers, DEFER_LENGTH)?;
        let concat = match text(headers, CONCAT)? {
            None => Concat::Whole,
            Some("partial") => Concat::Partial,
            Some(said) => Concat::Final {
                parts: parts(said)?,
                said: said.to_owned(),
            },
        };
        match (&concat, length, deferred) {
            (Concat::Final { .. }, None, None)
            | (_, Some(_), None)
            | (Concat::Whole | Concat::Partial, None, Some("1")) => {}
            _ => {
                let words = "Upload-Length or Upload-Defer-Length header required";
                return Err(TusError::Header(words));
            }
        }
        if matches!(concat, Concat::Final { .. }) && length.is_some() {
            return Err(TusError::Header("A final upload has no Upload-Length"));
        }
        let metadata = match text(headers, METADATA)? {
            Some(header) => Metadata::parse(header)?,
            None => Metadata::default(),
        };
        Ok(Self {
            length,
            metadata,
            concat,
            with_bytes: octets(headers),
        })
    }
}

impl Piece {
    /// Reads a PATCH's head.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self> {
        if !octets(headers) {
            return Err(TusError::ContentType);
        }
        let offset = number(headers, OFFSET, "Invalid Upload-Offset")?;
        let offset = offset.ok_or(TusError::Header("Upload-Offset header required"))?;
        Ok(Self {
            offset,
            ..Self::first(headers)?
        })
    }

    /// The bytes in the body of a POST.
    pub(crate) fn first(headers: &HeaderMap) -> Result<Self> {
        Ok(Self {
            offset: 0,
            length: number(headers, LENGTH, "Invalid Upload-Length")?,
            bytes: number(headers, CONTENT_LENGTH.as_str(), "Invalid Content-Length")?,
        })
    }
}

/// A header as text, if it is there once.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(TusError::Header("A header is there twice"));
    }
    let text = value.to_str();
    text.map(Some)
        .map_err(|_| TusError::Header("A header is no text"))
}

/// A number that is not negative. Signs, spaces and separators are none.
fn number(headers: &HeaderMap, name: &str, refusal: &'static str) -> Result<Option<u64>> {
    let Some(text) = text(headers, name)? else {
        return Ok(None);
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && *n <= BYTES_MAX);
    number.map(Some).ok_or(TusError::Header(refusal))
}

fn octets(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(OCTETS.as_bytes()))
}

/// `final;` and addresses, of which the last piece is what counts: a proxy may
/// have changed the rest.
fn parts(concat: &str) -> Result<Vec<String>> {
    let refused = TusError::Header("Invalid Upload-Concat header");
    let Some(list) = concat.strip_prefix("final;") else {
        return Err(refused);
    };
    let ids = list.split_ascii_whitespace().map(|address| {
        let path = address.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    });
    let ids: Vec<String> = ids.take(PARTS_MAX + 1).collect();
    if ids.is_empty() || ids.len() > PARTS_MAX || ids.iter().any(String::is_empty) {
        return Err(refused);
    }
    Ok(ids)
}

/// A header of ours with a number.
pub(crate) fn set_number(headers: &mut HeaderMap, name: &'static str, number: u64) {
    headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
}

#[cfg(test)]
mod tests;
