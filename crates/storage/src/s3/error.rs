//! What an S3 request is refused with: a real status, S3's code, a sentence.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::xml::Writer;
use crate::error::StorageError;

/// Why a request failed, as its XML says it.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct S3Error {
    pub(crate) status: StatusCode,
    /// S3's word where it has one.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

pub(crate) type Result<T, E = S3Error> = std::result::Result<T, E>;

impl S3Error {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    /// A request that cannot be what its signer sent, or is badly put together.
    pub(crate) fn malformed_signature(message: impl Into<String>) -> Self {
        Self::bad("InvalidSignature", message)
    }

    pub(crate) fn mismatch() -> Self {
        let message = "The request signature we calculated does not match the signature you \
                       provided. Check your key and signing method.";
        Self::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message)
    }

    pub(crate) fn expired() -> Self {
        Self::bad("ExpiredToken", "The provided token has expired.")
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::bad("InvalidRequest", message)
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::bad("InvalidArgument", message)
    }

    pub(crate) fn malformed_xml() -> Self {
        Self::bad(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our schema",
        )
    }

    /// The document for a client, about this resource. An answer to HEAD has
    /// the status alone, which the caller sees to.
    pub(crate) fn render(&self, resource: &str) -> Response {
        let mut xml = Writer::bare("Error");
        xml.text("Resource", resource)
            .text("Code", self.code)
            .text("Message", &self.message);
        let mut response = Response::new(Body::from(xml.finish()));
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("application/xml; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

impl From<StorageError> for S3Error {
    /// Codes are the official server's, which took most of them from S3.
    fn from(error: StorageError) -> Self {
        error.log();
        let code = match error.code() {
            "ResourceNotEmpty" => "BucketNotEmpty",
            "ResourceAlreadyExists" => "BucketAlreadyExists",
            code => code,
        };
        Self::new(error.status(), code, error.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_is_a_document_that_quotes_what_it_names() {
        let response = S3Error::denied("no <b> & no \u{1}").render("a/\"b\"<c>");
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body = axum::body::to_bytes(response.into_body(), 4096).await;
        let body = String::from_utf8(body.unwrap_or_default().to_vec()).unwrap_or_default();
        assert_eq!(
            body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\
             <Resource>a/&quot;b&quot;&lt;c&gt;</Resource><Code>AccessDenied</Code>\
             <Message>no &lt;b&gt; &amp; no \u{fffd}</Message></Error>"
        );
    }
}
