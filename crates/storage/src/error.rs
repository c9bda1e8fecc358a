//! What a request is refused with, in the official server's words: clients
//! compare codes, and some of them sentences.
//!
//! One error has two statuses. What it means is [`StorageError::status`], which
//! S3 and resumable uploads answer with; the REST routes say it in the body as
//! `statusCode` and answer nearly everything with 400, because clients of the
//! official server count on that.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::blobs::BlobError;

/// What handlers return.
pub(crate) type Result<T, E = StorageError> = std::result::Result<T, E>;

/// A refusal, or a failure of ours.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    status: StatusCode,
    /// What REST answers with, where it is not the usual.
    wire: Option<StatusCode>,
    code: &'static str,
    /// What older clients read instead of the code.
    error: Cow<'static, str>,
    message: String,
    /// What really happened. Logged once, never sent.
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $status:ident, $code:literal, $error:literal, $message:literal;)*) => {
        $($(#[$doc])* pub(crate) fn $name() -> Self {
            Self::new(StatusCode::$status, $code, $error, $message)
        })*
    };
}

impl StorageError {
    /// A refusal with all its words.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        error: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            wire: None,
            code,
            error: error.into(),
            message: message.into(),
            cause: None,
        }
    }

    refusals! {
        no_such_bucket: NOT_FOUND, "NoSuchBucket", "Bucket not found", "Bucket not found";
        no_such_key: NOT_FOUND, "NoSuchKey", "not_found", "Object not found";
        bucket_not_empty: CONFLICT, "ResourceNotEmpty", "ResourceNotEmpty",
            "The bucket you tried to delete is not empty";
        key_exists: CONFLICT, "KeyAlreadyExists", "Duplicate", "The resource already exists";
        bucket_exists: CONFLICT, "BucketAlreadyExists", "Duplicate", "The resource already exists";
        already_exists: CONFLICT, "ResourceAlreadyExists", "Duplicate", "The resource already exists";
        invalid_bucket_name: BAD_REQUEST, "InvalidBucketName", "Invalid Input", "Bucket name invalid";
        invalid_file_size: BAD_REQUEST, "InvalidRequest", "InvalidRequest",
            "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B";
        no_content: BAD_REQUEST, "InvalidRequest", "InvalidRequest", "No content provided";
        locked: LOCKED, "ResourceLocked", "ResourceLocked", "The resource is locked";
        referenced: CONFLICT, "ResourceReferenced", "ResourceReferenced",
            "The resource could not be updated or removed due to a foreign key constraint";
        related_not_found: NOT_FOUND, "InvalidRequest", "InvalidRequest", "The related resource does not exist";
        bad_schema: SERVICE_UNAVAILABLE, "DatabaseInvalidObjectDefinition", "DatabaseInvalidObjectDefinition",
            "The database schema is invalid or incompatible.";
        read_only: SERVICE_UNAVAILABLE, "DatabaseReadOnly", "DatabaseReadOnly",
            "The database is currently in read-only mode. Please try again later.";
    }

    pub(crate) fn invalid_key(key: &str) -> Self {
        Self::plain(
            StatusCode::BAD_REQUEST,
            "InvalidKey",
            format!("Invalid key: {key}"),
        )
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    pub(crate) fn invalid_parameter(name: &str) -> Self {
        let message = format!("Invalid Parameter {name}");
        Self::plain(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    /// A body or a query that is not of the shape that it must have. The
    /// official server's validator words these, and calls them `Error`.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", "Error", message)
    }

    pub(crate) fn invalid_jwt(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "InvalidJWT", message)
    }

    pub(crate) fn invalid_signature(message: Option<&str>) -> Self {
        let message = message.unwrap_or("Invalid signature");
        Self::plain(StatusCode::BAD_REQUEST, "InvalidSignature", message)
    }

    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Unauthorized",
            message,
        )
    }

    pub(crate) fn invalid_mime_type(mime: &str) -> Self {
        let message = format!("mime type {mime} is not supported");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "InvalidMimeType", "invalid_mime_type", message)
    }

    pub(crate) fn invalid_range() -> Self {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let refused = Self::new(
            status,
            "InvalidRange",
            "invalid_range",
            "invalid range provided",
        );
        refused.answered_with(status)
    }

    /// `what` is `object` nearly always.
    pub(crate) fn too_large(what: &str) -> Self {
        let message = format!("The {what} exceeded the maximum allowed size");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "EntityTooLarge", "Payload too large", message)
    }

    /// Ours, not the caller's.
    pub(crate) fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let mut error = Self::plain(status, "InternalError", "Internal server error");
        error.cause = Some(cause.into());
        error
    }

    fn plain(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, code, code, message)
    }

    /// With this status in REST, too.
    pub(crate) fn answered_with(mut self, wire: StatusCode) -> Self {
        self.wire = Some(wire);
        self
    }

    /// What it means.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Says in the log what is not sent. Whoever answers calls it, once.
    pub(crate) fn log(&self) {
        if let Some(cause) = &self.cause {
            tracing::error!(error = %cause, code = self.code, "A request to storage failed");
        }
    }

    /// What the database said, as a refusal where it is one.
    pub(crate) fn of_database(error: pg::Error) -> Self {
        if matches!(error, pg::Error::Timeout | pg::Error::Busy) {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let message = "Too many connections issued to the database";
            return Self::new(status, "SlowDown", "too_many_connections", message)
                .answered_with(status);
        }
        let Some(said) = error.db() else {
            return Self::internal(error);
        };
        match said.code.as_str() {
            "42501" if said.message.contains("row-level security") => {
                Self::access_denied("new row violates row-level security policy")
            }
            "42501" => Self::access_denied(said.message.clone()),
            "23505" => Self::already_exists(),
            "23503" => match &said.detail {
                Some(detail) if detail.contains("is still referenced from table") => {
                    Self::referenced()
                }
                _ => Self::related_not_found(),
            },
            "55P03" => Self::locked(),
            "25006" => Self::read_only(),
            "42P17" => Self::bad_schema(),
            "FS404" => Self::no_such_bucket(),
            "FS413" => Self::too_large("object"),
            "FS415" => Self::invalid_mime_type(said.detail.as_deref().unwrap_or_default()),
            "22P02" => Self::plain(
                StatusCode::BAD_REQUEST,
                "InvalidParameter",
                said.message.clone(),
            ),
            "57014" => {
                // A number of its own, which no list of statuses has.
                let status = StatusCode::from_u16(544).unwrap_or(StatusCode::GATEWAY_TIMEOUT);
                let message = "The connection to the database timed out";
                Self::plain(status, "DatabaseTimeout", message).answered_with(status)
            }
            _ => {
                let message = format!("database error, code: {}", said.code);
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let mut refused = Self::plain(status, "DatabaseError", message);
                refused.cause = Some(Box::new(error));
                refused
            }
        }
    }

    fn body(&self) -> Value {
        json!({
            "statusCode": self.status.as_str(),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        })
    }
}

impl From<BlobError> for StorageError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound => Self::no_such_key(),
            BlobError::Full => {
                let status = StatusCode::INSUFFICIENT_STORAGE;
                let message = "There is no space left for files";
                Self::plain(status, "InsufficientStorage", message).answered_with(status)
            }
            other => Self::internal(other),
        }
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        self.log();
        let usual = match self.status {
            StatusCode::INTERNAL_SERVER_ERROR => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        (self.wire.unwrap_or(usual), Json(self.body())).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str, detail: Option<&str>) -> (u16, Value) {
        let said = pg::DbError {
            code: code.to_owned(),
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            ..pg::DbError::default()
        };
        let error = StorageError::of_database(pg::Error::Db(Box::new(said)));
        let body = error.body();
        (error.into_response().status().as_u16(), body)
    }

    #[test]
    fn the_database_is_worded_as_clients_know_it() {
        let denied = json!({
            "statusCode": "403",
            "error": "Unauthorized",
            "message": "new row violates row-level security policy",
            "code": "AccessDenied",
        });
        let said = "new row violates row-level security policy for table \"objects\"";
        assert_eq!(of("42501", said, None), (400, denied));
        assert_eq!(
            of("23505", "", None)
                .1
                .get("error")
                .cloned()
                .unwrap_or_default(),
            "Duplicate"
        );
        assert_eq!(
            of("23503", "", None)
                .1
                .get("statusCode")
                .cloned()
                .unwrap_or_default(),
            "404"
        );
        let kept = Some("Key (id)=(a) is still referenced from table \"objects\".");
        assert_eq!(
            of("23503", "", kept)
                .1
                .get("code")
                .cloned()
                .unwrap_or_default(),
            "ResourceReferenced"
        );
        assert_eq!(
            of("FS415", "", Some("a/b"))
                .1
                .get("message")
                .cloned()
                .unwrap_or_default(),
            "mime type a/b is not supported"
        );
        assert_eq!(of("57014", "", None).0, 544);
        // What nobody expected says its code and nothing else.
        let (status, body) = of("P0001", "a secret", None);
        assert_eq!(
            (status, &body.get("message").cloned().unwrap_or_default()),
            (500, &json!("database error, code: P0001"))
        );
    }
}
