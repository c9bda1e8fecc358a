//! A request as an operation: its bucket, its key and what is asked of them.

use http::request::Parts;
use http::{HeaderMap, Method};

use super::encode;
use super::error::{Result, S3Error};
use crate::who::operations as named;

/// What S3 has and this server does not. Asking for one of these is answered
/// plainly instead of with something else.
const UNKNOWN: [&str; 24] = [
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "website",
];

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ListBuckets,
    HeadBucket,
    CreateBucket,
    DeleteBucket,
    BucketLocation,
    BucketVersioning,
    ListObjects,
    ListObjectsV2,
    ListUploads,
    DeleteObjects,
    PostForm,
    HeadObject,
    GetObject,
    ObjectTagging,
    PutObject,
    CopyObject,
    DeleteObject,
    CreateUpload,
    UploadPart,
    UploadPartCopy,
    CompleteUpload,
    AbortUpload,
    ListParts,
}

impl Operation {
    /// Its name for policies, as the official server calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => named::S3_LIST_BUCKETS,
            Self::HeadBucket => named::S3_HEAD_BUCKET,
            Self::CreateBucket => named::S3_CREATE_BUCKET,
            Self::DeleteBucket => named::S3_DELETE_BUCKET,
            Self::BucketLocation => named::S3_GET_BUCKET_LOCATION,
            Self::BucketVersioning => named::S3_GET_BUCKET_VERSIONING,
            Self::ListObjects | Self::ListObjectsV2 => named::S3_LIST_OBJECTS,
            Self::ListUploads => named::S3_LIST_MULTIPART,
            Self::DeleteObjects => named::S3_DELETE_OBJECTS,
            Self::PostForm | Self::PutObject => named::S3_UPLOAD,
            Self::HeadObject => named::S3_HEAD_OBJECT,
            Self::GetObject => named::S3_GET_OBJECT,
            Self::ObjectTagging => named::S3_GET_OBJECT_TAGGING,
            Self::CopyObject => named::S3_COPY_OBJECT,
            Self::DeleteObject => named::S3_DELETE_OBJECT,
            Self::CreateUpload => named::S3_CREATE_MULTIPART,
            Self::UploadPart => named::S3_UPLOAD_PART,
            Self::UploadPartCopy => named::S3_UPLOAD_PART_COPY,
            Self::CompleteUpload => named::S3_COMPLETE_MULTIPART,
            Self::AbortUpload => named::S3_ABORT_MULTIPART,
            Self::ListParts => named::S3_LIST_PARTS,
        }
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// Empty where it is about all buckets.
    pub(crate) bucket: String,
    /// Empty where it is about a bucket.
    pub(crate) key: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
}

/// The pairs of a query.
#[derive(Debug)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A number between these, where it is given.
    pub(crate) fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| S3Error::argument(format!("Provided {name} is not a number in range")))
    }

    /// Whether keys are to come percent-encoded.
    pub(crate) fn encodes(&self) -> Result<bool> {
        match self.get("encoding-type") {
            None | Some("") => Ok(false),
            Some("url") => Ok(true),
            Some(_) => Err(S3Error::argument(
                "Invalid Encoding Method specified in Request",
            )),
        }
    }
}

impl Call {
    /// Reads the address below `/s3`. It is decoded first and taken apart then,
    /// so that what was signed and what is meant cannot differ.
    pub(crate) fn parse(parts: &Parts, query: Vec<(String, String)>) -> Result<Self> {
        // PostgreSQL has no such character, so nothing is called so.
        let nul = |text: &str| text.contains('\0');
        if query.iter().any(|(name, value)| nul(name) || nul(value)) {
            return Err(S3Error::argument("Invalid character in request"));
        }
        let path = encode::decode(parts.uri.path()).filter(|path| !nul(path));
        let path =
            path.ok_or_else(|| S3Error::bad("InvalidURI", "Couldn't parse the specified URI."))?;
        let path = path.strip_prefix("/s3").unwrap_or(&path);
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = Query(query);
        let operation = match (bucket.is_empty(), key.is_empty()) {
            (true, true) if parts.method == Method::GET => Some(Operation::ListBuckets),
            (true, _) => None,
            (false, true) => of_bucket(&parts.method, &query, &parts.headers)?,
            (false, false) => of_object(&parts.method, &query, &parts.headers)?,
        };
        let operation = operation.ok_or_else(|| {
            let status = http::StatusCode::METHOD_NOT_ALLOWED;
            let message = "The specified method is not allowed against this resource.";
            S3Error::new(status, "MethodNotAllowed", message)
        })?;
        Ok(Self {
            operation,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query,
            headers: parts.headers.clone(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The id of the upload in parts that this is about.
    pub(crate) fn upload_id(&self) -> Result<&str> {
        let id = self.query.get("uploadId").filter(|id| !id.is_empty());
        id.ok_or_else(|| S3Error::bad("InvalidUploadId", "Invalid upload id"))
    }
}

fn of_bucket(method: &Method, query: &Query, headers: &HeaderMap) -> Result<Option<Operation>> {
    refuse_unknown(query)?;
    let has = |name| query.has(name);
    let versions = *method == Method::PUT && has("versioning");
    if versions || has("versions") || has("tagging") {
        return Err(not_implemented());
    }
    Ok(match *method {
        Method::GET if has("location") => Some(Operation::BucketLocation),
        Method::GET if has("versioning") => Some(Operation::BucketVersioning),
        Method::GET if has("uploads") => Some(Operation::ListUploads),
        Method::GET if query.get("list-type") == Some("2") => Some(Operation::ListObjectsV2),
        Method::GET => Some(Operation::ListObjects),
        Method::HEAD => Some(Operation::HeadBucket),
        Method::PUT => Some(Operation::CreateBucket),
        Method::DELETE => Some(Operation::DeleteBucket),
        Method::POST if has("delete") => Some(Operation::DeleteObjects),
        Method::POST if is_form(headers) => Some(Operation::PostForm),
        _ => None,
    })
}

fn of_object(method: &Method, query: &Query, headers: &HeaderMap) -> Result<Option<Operation>> {
    refuse_unknown(query)?;
    let has = |name| query.has(name);
    if has("tagging") && *method != Method::GET {
        return Err(not_implemented());
    }
    let copies = headers.contains_key("x-amz-copy-source");
    Ok(match *method {
        Method::GET if has("tagging") => Some(Operation::ObjectTagging),
        Method::GET if has("uploadId") => Some(Operation::ListParts),
        Method::GET => Some(Operation::GetObject),
        Method::HEAD => Some(Operation::HeadObject),
        Method::PUT if has("uploadId") || has("partNumber") => Some(if copies {
            Operation::UploadPartCopy
        } else {
            Operation::UploadPart
        }),
        Method::PUT if copies => Some(Operation::CopyObject),
        Method::PUT => Some(Operation::PutObject),
        Method::DELETE if has("uploadId") => Some(Operation::AbortUpload),
        Method::DELETE => Some(Operation::DeleteObject),
        Method::POST if has("uploads") => Some(Operation::CreateUpload),
        Method::POST if has("uploadId") => Some(Operation::CompleteUpload),
        _ => None,
    })
}

/// Whether the body is a form, as browsers send it.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("multipart/form-data")
}

fn refuse_unknown(query: &Query) -> Result<()> {
    if UNKNOWN.iter().any(|name| query.has(name)) {
        return Err(not_implemented());
    }
    // Nothing keeps old versions, so nobody can mean one.
    let version = query.get("versionId").unwrap_or("null");
    if version != "null" && !version.is_empty() {
        return Err(S3Error::argument("Invalid version id specified"));
    }
    Ok(())
}

fn not_implemented() -> S3Error {
    let message = "A header or query you provided requests a function that is not implemented.";
    S3Error::new(http::StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Result<Call> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let query = encode::pairs(parts.uri.query().unwrap_or_default()).unwrap_or_default();
        Call::parse(&parts, query)
    }

    #[test]
    fn an_address_is_one_operation() {
        use Operation as O;
        let copy: &[_] = &[("x-amz-copy-source", "/a/b")];
        let form: &[_] = &[("content-type", "Multipart/Form-Data; boundary=x")];
        for (method, uri, headers, expected) in [
            ("GET", "/s3", &[][..], O::ListBuckets),
            ("GET", "/s3/", &[], O::ListBuckets),
            ("PUT", "/s3/b", &[], O::CreateBucket),
            ("HEAD", "/s3/b/", &[], O::HeadBucket),
            ("DELETE", "/s3/b", &[], O::DeleteBucket),
            ("GET", "/s3/b?location", &[], O::BucketLocation),
            ("GET", "/s3/b?versioning=", &[], O::BucketVersioning),
            ("GET", "/s3/b?list-type=2", &[], O::ListObjectsV2),
            ("GET", "/s3/b?prefix=x", &[], O::ListObjects),
            ("GET", "/s3/b?uploads", &[], O::ListUploads),
            ("POST", "/s3/b?delete", &[], O::DeleteObjects),
            ("POST", "/s3/b", form, O::PostForm),
            ("GET", "/s3/b/k", &[], O::GetObject),
            ("GET", "/s3/b/k?tagging", &[], O::ObjectTagging),
            ("GET", "/s3/b/k?uploadId=1", &[], O::ListParts),
            ("PUT", "/s3/b/k", &[], O::PutObject),
            ("PUT", "/s3/b/k", copy, O::CopyObject),
            ("PUT", "/s3/b/k?uploadId=1&partNumber=1", &[], O::UploadPart),
            (
                "PUT",
                "/s3/b/k?uploadId=1&partNumber=1",
                copy,
                O::UploadPartCopy,
            ),
            ("POST", "/s3/b/k?uploads", &[], O::CreateUpload),
            ("POST", "/s3/b/k?uploadId=1", &[], O::CompleteUpload),
            ("DELETE", "/s3/b/k?uploadId=1", &[], O::AbortUpload),
            ("DELETE", "/s3/b/k?versionId=null", &[], O::DeleteObject),
        ] {
            let call = read(method, uri, headers).map(|call| call.operation);
            assert_eq!(call.ok(), Some(expected), "{method} {uri}");
        }
        for (method, uri, code) in [
            ("POST", "/s3", "MethodNotAllowed"),
            ("PATCH", "/s3/b/k", "MethodNotAllowed"),
            ("GET", "/s3/b?acl", "NotImplemented"),
            ("PUT", "/s3/b/k?tagging", "NotImplemented"),
            ("GET", "/s3/b/k?versionId=1", "InvalidArgument"),
            ("GET", "/s3/b/%ff", "InvalidURI"),
        ] {
            let code_said = read(method, uri, &[]).err().map(|error| error.code);
            assert_eq!(code_said, Some(code), "{method} {uri}");
        }
    }

    #[test]
    fn what_is_encoded_in_an_address_is_what_it_means() {
        let call = read("GET", "/s3/a%2Fb+c/d%20e%25", &[]).expect("an address");
        assert_eq!((call.bucket.as_str(), call.key.as_str()), ("a", "b+c/d e%"));
    }
}
