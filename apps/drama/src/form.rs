//! An upload's form: fields in any order, as the original takes them.
//!
//! Where the file comes last, which most clients do, its bytes go through as
//! they come. Where fields follow it, it waits for them in memory, so such a
//! file must be small.

use std::collections::HashMap;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use multer::{Field, Multipart};

use crate::error::{Refusal, Result};

/// Fields beside the file at most; there are five.
const FIELDS_MAX: usize = 16;
/// Bytes of one of them at most; the metadata is the longest.
const FIELD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a file that comes before its fields.
const EARLY_BYTES_MAX: usize = 8 << 20;
/// What has no type of its own.
const UNKNOWN: &str = "application/octet-stream";

/// A file in a form.
pub(crate) struct File {
    pub(crate) filename: String,
    pub(crate) content_type: String,
    pub(crate) bytes: Body,
}

/// Fields by their names, and the file.
pub(crate) struct Form {
    pub(crate) fields: HashMap<String, String>,
    pub(crate) file: Option<File>,
}

/// Reads a form up to its end, or to where the file's bytes begin when all of
/// `wanted` are there.
pub(crate) async fn read(headers: &HeaderMap, body: Body, wanted: &[&str]) -> Result<Form> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or_default())
        .map_err(|_| Refusal::bad("The request must be a form with a file"))?;
    let mut multipart = Multipart::new(body.into_data_stream(), boundary);
    let mut form = Form {
        fields: HashMap::new(),
        file: None,
    };
    for _ in 0..=FIELDS_MAX {
        let field = multipart.next_field().await.map_err(|error| of(&error))?;
        let Some(field) = field else {
            return Ok(form);
        };
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            let text = short(field, FIELD_BYTES_MAX).await?;
            let text = String::from_utf8(text.to_vec())
                .map_err(|_| Refusal::bad(format!("{name} is no text")))?;
            form.fields.insert(name, text);
            continue;
        }
        let filename = field.file_name().unwrap_or_default().to_owned();
        let content_type = field.content_type().map_or(UNKNOWN, |kind| kind.as_ref());
        let content_type = content_type.to_owned();
        let last = wanted.iter().all(|name| form.fields.contains_key(*name));
        let bytes = if last {
            let pieces = stream::try_unfold(field, |mut field| async move {
                Ok::<_, multer::Error>(field.chunk().await?.map(|piece| (piece, field)))
            });
            Body::from_stream(pieces)
        } else {
            Body::from(short(field, EARLY_BYTES_MAX).await?)
        };
        form.file = Some(File {
            filename,
            content_type,
            bytes,
        });
        if last {
            return Ok(form);
        }
    }
    Err(Refusal::bad("The form has too many fields"))
}

async fn short(mut field: Field<'static>, most: usize) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(piece) = field.chunk().await.map_err(|error| of(&error))? {
        if all.len() + piece.len() > most {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "A field is too long; a large file must be the form's last field",
            ));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

fn of(error: &multer::Error) -> Refusal {
    tracing::debug!(%error, "a form was not read");
    Refusal::bad("The form cannot be read")
}
