//! Objects made of others, which their caller must be able to see.

use axum::response::Response;

use super::object::Found;
use super::{Scene, document, upload};
use crate::names::ObjectPath;
use crate::s3::conditions::{self, Unmet};
use crate::s3::encode;
use crate::s3::error::{Result, S3Error};
use crate::s3::xml::Writer;
use crate::store::{Copy, Other, iso};

/// What is copied.
pub(crate) struct Source {
    pub(crate) found: Found,
}

impl Source {
    /// `x-amz-copy-source` is `/bucket/key`, encoded.
    pub(crate) async fn of(scene: &Scene) -> Result<Self> {
        let said = scene.call.header("x-amz-copy-source").unwrap_or_default();
        let wrong = || {
            S3Error::argument(
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            )
        };
        let (path, version) = said.split_once("?versionId=").unwrap_or((said, "null"));
        if version != "null" && !version.is_empty() {
            return Err(S3Error::argument("Invalid version id specified"));
        }
        let path = encode::decode(path).ok_or_else(wrong)?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').ok_or_else(wrong)?;
        let found = Found::at(scene, &ObjectPath::new(bucket, key)?).await?;
        let headers = &scene.call.headers;
        match conditions::check(headers, "x-amz-copy-source-", found.now()) {
            Ok(()) => Ok(Self { found }),
            Err(Unmet::Failed | Unmet::NotModified) => Err(conditions::failed()),
        }
    }
}

pub(crate) async fn copy(scene: &Scene) -> Result<Response> {
    let (room, call) = (&scene.room, &scene.call);
    let to = ObjectPath::new(&call.bucket, &call.key)?;
    let source = Source::of(scene).await?;
    let from = source.found.object.path;
    let replaces = call.header("x-amz-metadata-directive") == Some("REPLACE");
    if from == to && !replaces {
        let message = "This copy request is illegal because it is trying to copy an object to \
                       itself without changing the object's metadata.";
        return Err(S3Error::invalid(message));
    }
    let other = if replaces {
        let own = upload::described(scene, to.clone())?;
        let text = |name| call.header(name).map(str::to_owned);
        Some(Other {
            mime: text("content-type"),
            cache_control: text("cache-control"),
            user_metadata: own.user_metadata,
        })
    } else {
        None
    };
    let copy = Copy {
        from,
        to,
        owner: scene.who.subject(),
        upsert: true,
        other,
    };
    let made = room.store.copy(&scene.who, &room.blobs, &copy).await?;
    let mut xml = Writer::new("CopyObjectResult");
    xml.maybe("ETag", made.metadata.etag())
        .text("LastModified", &iso(room.clock.now()));
    Ok(document(xml))
}
