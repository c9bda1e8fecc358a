//! What is uploaded, as a form has it or as the body is.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use multer::{Field, Multipart};
use serde_json::Value;

use super::call::{Call, Incoming};
use super::robots;
use crate::content;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::store::NewObject;

/// Fields before the file, and bytes in one of them: metadata is the largest.
const FIELDS_MAX: usize = 10;
const FIELD_BYTES_MAX: usize = 1 << 20;

/// Bytes that are coming.
pub(super) enum Bytestream {
    Body(Incoming),
    Field(Box<Field<'static>>),
}

impl Bytestream {
    /// The next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Body(body) => body.next().await,
            Self::Field(field) => field.chunk().await.map_err(|error| of_form(&error)),
        }
    }
}

/// What an upload's head says.
pub(super) struct Upload {
    pub(super) object: NewObject,
    pub(super) bytes: Bytestream,
    /// How many bytes there will be, where that is known.
    pub(super) size: Option<u64>,
}

/// Reads a request up to where the bytes begin.
pub(super) async fn read(call: Call, path: ObjectPath) -> Result<Upload> {
    let robots = call.header("x-robots-tag").map(str::to_owned);
    if let Some(robots) = &robots {
        robots::check(robots)?;
    }
    let kind = call.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let mut upload = if kind.starts_with("multipart/form-data") {
        let boundary = multer::parse_boundary(kind);
        let boundary = boundary.map_err(|_| StorageError::no_content())?;
        of_fields(call.body, boundary, path).await?
    } else {
        of_headers(call, path)
    };
    upload.object.robots = robots;
    Ok(upload)
}

fn of_headers(call: Call, path: ObjectPath) -> Upload {
    let mime = call.header(CONTENT_TYPE.as_str());
    let mut object = NewObject::new(
        path,
        mime.filter(|mime| !mime.is_empty()).map_or_else(
            || content::UNKNOWN.to_owned(),
            |mime| content::upload_type(Some(mime), ""),
        ),
    );
    if let Some(cache) = call.header(CACHE_CONTROL.as_str()) {
        cache.clone_into(&mut object.cache_control);
    }
    object.user_metadata = call.header("x-metadata").and_then(user_metadata);
    Upload {
        object,
        size: call.body.length,
        bytes: Bytestream::Body(call.body),
    }
}

/// What clients send of their own beside an upload, in base64; what cannot be
/// read is nothing.
pub(super) fn user_metadata(header: &str) -> Option<Value> {
    let text = header.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD
        .decode(text)
        .or_else(|_| STANDARD.decode(header));
    serde_json::from_slice(&bytes.ok()?).ok()
}

/// Fields that come before the file count; those behind it would come too late.
async fn of_fields(body: Incoming, boundary: String, path: ObjectPath) -> Result<Upload> {
    let pieces = stream::try_unfold(body, |mut body| async move {
        let piece = body.next().await?;
        Ok::<_, StorageError>(piece.map(|piece| (piece, body)))
    });
    let mut form = Multipart::new(pieces, boundary);
    let (mut cache, mut kind, mut metadata) = (None, None, None);
    for _ in 0..=FIELDS_MAX {
        let field = form.next_field().await.map_err(|error| of_form(&error))?;
        let Some(field) = field else {
            break;
        };
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some()
            || field
                .content_type()
                .is_some_and(|kind| kind.essence_str() == content::UNKNOWN);
        if is_file {
            let own = field.content_type().map(ToString::to_string);
            let said = kind.filter(|kind: &String| !kind.is_empty()).or(own);
            let mut object = NewObject::new(
                path,
                match said {
                    Some(said) => content::upload_type(Some(&said), ""),
                    None => content::UNKNOWN.to_owned(),
                },
            );
            if let Some(cache) = cache.filter(|cache: &String| is_plain(cache)) {
                object.cache_control = format!("max-age={cache}");
            }
            object.user_metadata = metadata;
            return Ok(Upload {
                object,
                bytes: Bytestream::Field(Box::new(field)),
                size: None,
            });
        }
        let text = short(field).await?;
        match name.as_str() {
            "cacheControl" => cache = Some(text),
            "contentType" => kind = Some(text),
            "metadata" => metadata = serde_json::from_str(&text).ok(),
            "userMetadata" if metadata.is_none() => metadata = serde_json::from_str(&text).ok(),
            _ => {}
        }
    }
    Err(StorageError::no_content())
}

/// What may stand in a header.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (b' '..0x7f).contains(&byte))
}

async fn short(mut field: Field<'static>) -> Result<String> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| of_form(&error))? {
        if text.len() + piece.len() > FIELD_BYTES_MAX {
            return Err(StorageError::too_large("user_metadata"));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).map_err(|_| StorageError::no_content())
}

/// Whatever is wrong with a form; its insides do not help a client.
fn of_form(error: &multer::Error) -> StorageError {
    match error {
        multer::Error::StreamReadFailed(_) => StorageError::invalid_request("the body ended early"),
        _ => StorageError::no_content(),
    }
}
