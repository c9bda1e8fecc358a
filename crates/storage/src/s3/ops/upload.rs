//! Objects that come in one request: by PUT, or by a browser's form.

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderName, StatusCode};
use multer::{Constraints, Multipart, SizeLimit};

use super::{METADATA, Scene, document, set, status, user_metadata};
use crate::blobs::{BlobId, Written};
use crate::error::StorageError;
use crate::names::ObjectPath;
use crate::s3::body::{Incoming, too_large};
use crate::s3::conditions;
use crate::s3::error::{Result, S3Error};
use crate::s3::policy::Length;
use crate::s3::xml::Writer;
use crate::store::{NewObject, Object};

/// Fields of a form before its file.
const FIELDS_MAX: usize = 40;
/// One of them; policies are the longest.
const FIELD_BYTES_MAX: u64 = 64 * 1024;
/// What keeps a folder from vanishing.
const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// The object that headers describe.
pub(crate) fn described(scene: &Scene, path: ObjectPath) -> Result<NewObject> {
    let call = &scene.call;
    let fields = call.headers.iter();
    let fields = fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let hoisted = call
        .query
        .0
        .iter()
        .filter(|(name, _)| name.starts_with(METADATA));
    // Presigned addresses carry them in the query.
    let hoisted = hoisted.map(|(name, value)| (name.as_str(), value.as_str()));
    let metadata = user_metadata(fields.chain(hoisted))?;
    let mut object = new(scene, path, call.header(CONTENT_TYPE.as_str()));
    if let Some(kept) = call.header(CACHE_CONTROL.as_str()) {
        kept.clone_into(&mut object.cache_control);
    }
    object.user_metadata = metadata;
    Ok(object)
}

fn new(scene: &Scene, path: ObjectPath, mime: Option<&str>) -> NewObject {
    let mime = mime.filter(|mime| !mime.is_empty());
    let mut object = NewObject::new(path, mime.unwrap_or("application/octet-stream"));
    object.upsert = true;
    object.owner = scene.who.subject();
    object
}

pub(crate) async fn put(scene: &Scene, mut body: Incoming) -> Result<Response> {
    let call = &scene.call;
    let mut key = call.key.clone();
    if key.ends_with('/') && body.length() == 0 {
        key.push_str(PLACEHOLDER);
    }
    let mut object = described(scene, ObjectPath::new(&call.bucket, &key)?)?;
    expected(scene, &mut object).await?;
    let store = &scene.room.store;
    let may = store.may_upload(&scene.who, &object, Some(body.length()));
    may.await.map_err(|error| refused(&object, error))?;
    let mut writer = scene
        .room
        .blobs
        .create()
        .await
        .map_err(StorageError::from)?;
    while let Some(bytes) = body.next().await? {
        writer.write(bytes).await.map_err(StorageError::from)?;
    }
    let (blob, written) = writer.finish().await.map_err(StorageError::from)?;
    let object = name(scene, &object, blob, &written).await?;
    let mut response = status(StatusCode::OK);
    set(
        &mut response,
        ETAG,
        object.metadata.etag().unwrap_or_default(),
    );
    if let Some((algorithm, value)) = body.checked() {
        set(
            &mut response,
            HeaderName::from_static(algorithm.header()),
            value,
        );
    }
    Ok(response)
}

/// `If-Match` and `If-None-Match: *` of an upload. The second is settled by the
/// database when the row is made; the first is asked before.
async fn expected(scene: &Scene, object: &mut NewObject) -> Result<()> {
    let call = &scene.call;
    match call.header("if-none-match") {
        None => {}
        Some("*") => object.upsert = false,
        Some(_) => {
            let message = "If-None-Match of an upload can only be *";
            return Err(S3Error::new(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                message,
            ));
        }
    }
    if let Some(tags) = call.header("if-match") {
        let now = scene.room.store.object(&scene.who, &object.path).await?;
        let etag = now.metadata.etag().unwrap_or_default().trim_matches('"');
        if !conditions::matches(tags, etag) {
            return Err(conditions::failed());
        }
    }
    Ok(())
}

/// Gives bytes their row, or removes them.
pub(crate) async fn name(
    scene: &Scene,
    object: &NewObject,
    blob: BlobId,
    written: &Written,
) -> Result<Object> {
    let put = scene
        .room
        .store
        .put(&scene.who, object, blob, written)
        .await;
    match put {
        Ok(object) => Ok(object),
        Err(error) => {
            if let Err(error) = scene.room.blobs.remove(&[blob]).await {
                tracing::warn!(%error, "Bytes of a refused upload stay until the next sweep");
            }
            Err(refused(object, error))
        }
    }
}

/// An upload's refusal. Where nothing may be replaced, something that is there
/// is a condition that does not hold.
pub(crate) fn refused(object: &NewObject, error: StorageError) -> S3Error {
    match error.code() {
        "KeyAlreadyExists" if !object.upsert => conditions::failed(),
        _ => error.into(),
    }
}

/// A form whose fields are read, its file still to come.
pub(crate) struct Form {
    /// Names in lower case, in their order.
    pub(crate) fields: Vec<(String, String)>,
    file: multer::Field<'static>,
    /// Whose file it is.
    _rest: Multipart<'static>,
}

impl Form {
    /// Reads a form up to its file.
    pub(crate) async fn read(headers: &http::HeaderMap, body: Body) -> Result<Self> {
        let wrong = |_| S3Error::bad("MalformedPOSTRequest", "The body is not a well-formed form");
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(wrong)?;
        let limits = SizeLimit::new()
            .per_field(FIELD_BYTES_MAX)
            .for_field("file", u64::MAX);
        let limits = Constraints::new().size_limit(limits);
        let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, limits);
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let field = form.next_field().await.map_err(wrong)?;
            let field = field.ok_or_else(|| {
                S3Error::argument("POST requires exactly one file upload per request.")
            })?;
            let name = field.name().unwrap_or_default().to_lowercase();
            if name == "file" {
                let file = field;
                return Ok(Self {
                    fields: with_filename(fields, file.file_name()),
                    file,
                    _rest: form,
                });
            }
            let twice = fields.iter().any(|(known, _)| *known == name);
            if twice || fields.len() == FIELDS_MAX {
                return Err(S3Error::malformed_signature(
                    "Duplicate form field in POST policy request",
                ));
            }
            fields.push((name, field.text().await.map_err(wrong)?));
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `${filename}` in a key is what the browser calls the file.
fn with_filename(fields: Vec<(String, String)>, file: Option<&str>) -> Vec<(String, String)> {
    let file = file.unwrap_or_default();
    let replaced = fields.into_iter().map(|(name, value)| match name.as_str() {
        "key" => (name, value.replace("${filename}", file)),
        _ => (name, value),
    });
    replaced.collect()
}

/// The file of a form whose policy was held against its fields.
pub(crate) async fn post(
    scene: &Scene,
    mut form: Form,
    length: Option<Length>,
) -> Result<Response> {
    let key = form.get("key").unwrap_or_default();
    let path = ObjectPath::new(&scene.call.bucket, key)?;
    let mut object = new(scene, path, form.get("content-type"));
    if let Some(kept) = form.get("cache-control") {
        kept.clone_into(&mut object.cache_control);
    }
    let fields = form.fields.iter();
    object.user_metadata =
        user_metadata(fields.map(|(name, value)| (name.as_str(), value.as_str())))?;
    let store = &scene.room.store;
    let bucket = store.may_upload(&scene.who, &object, None).await?;
    let own = bucket.file_size_limit.unwrap_or(u64::MAX);
    let most = own
        .min(store.file_size_limit())
        .min(length.map_or(u64::MAX, |length| length.max));
    let mut writer = scene
        .room
        .blobs
        .create()
        .await
        .map_err(StorageError::from)?;
    let mut seen = 0;
    while let Some(bytes) = form.file.next().await {
        let bytes = bytes.map_err(|_| S3Error::bad("IncompleteBody", "The file did not arrive"))?;
        seen += bytes.len() as u64;
        if seen > most {
            return Err(too_large());
        }
        writer.write(bytes).await.map_err(StorageError::from)?;
    }
    if length.is_some_and(|length| seen < length.min) {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        return Err(S3Error::bad("EntityTooSmall", message));
    }
    let (blob, written) = writer.finish().await.map_err(StorageError::from)?;
    let put = name(scene, &object, blob, &written).await?;
    Ok(posted(&form, &put))
}

/// 200, or the status that the form asks for. Nobody is sent elsewhere.
fn posted(form: &Form, object: &Object) -> Response {
    let etag = object.metadata.etag().unwrap_or_default();
    let mut response = match form.get("success_action_status") {
        Some("201") => {
            let mut xml = Writer::bare("PostResponse");
            xml.text("Bucket", &object.path.bucket)
                .text("Key", &object.path.name)
                .text("ETag", etag);
            let mut response = document(xml);
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        Some("204") => status(StatusCode::NO_CONTENT),
        _ => status(StatusCode::OK),
    };
    set(&mut response, ETAG, etag);
    response
}
