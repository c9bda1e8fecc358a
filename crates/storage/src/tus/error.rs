//! What a resumable upload is refused with: a real status and a line of plain
//! text. Clients decide by the status whether to try again, so a few of them
//! mean something exact: 409 is "ask where we are", 423 is "somebody else is
//! writing, come back", 460 is "that piece was damaged, send it again".

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};

use super::headers::{RESUMABLE, VERSION, VERSIONS};

/// Why a request about an upload failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TusError {
    /// Neither the header nor a version that we speak.
    #[error("Tus-Resumable Required\n")]
    Version,
    /// A header that is missing or means nothing.
    #[error("{0}\n")]
    Header(&'static str),
    /// A body of another kind.
    #[error("Invalid Content-Type\n")]
    ContentType,
    /// There is no such upload, or not for this caller.
    #[error("The file for this url was not found\n")]
    NotFound,
    /// There was one.
    #[error("The file for this url no longer exists\n")]
    Gone,
    /// Its bytes are not there.
    #[error("The bytes of this upload are lost; begin again\n")]
    Lost,
    /// The client believes to be elsewhere.
    #[error("Upload-Offset conflict\n")]
    Offset,
    /// Another request writes to this upload and did not stop in time.
    #[error("The upload is being written by another request\n")]
    Locked,
    /// Another request took this upload over.
    #[error("Another request continues this upload\n")]
    TakenOver,
    /// More than this bucket takes, or everybody.
    #[error("Maximum size exceeded\n")]
    TooLarge,
    /// Its owner has as many open uploads as there may be.
    #[error("Too many unfinished uploads; finish or end some of them\n")]
    TooMany,
    /// Its owner's open uploads would have more bytes than they may.
    #[error("Unfinished uploads have too many bytes together; finish or end some of them\n")]
    TooManyBytes,
    /// More than the upload was said to have.
    #[error("The upload has more bytes than were announced\n")]
    Overrun,
    /// The checksum does not fit the bytes.
    #[error("Checksum Mismatch\n")]
    Checksum,
    /// A finished upload cannot be taken back here.
    #[error("Cannot terminate an already completed upload\n")]
    Finished,
    /// What was put together from parts takes no bytes.
    #[error("A concatenated upload cannot be written to\n")]
    Concatenated,
    /// A part that does not exist, is no part, or lacks bytes.
    #[error("{0}\n")]
    Parts(&'static str),
    /// The body ended early, and nothing waits for this answer.
    #[error("The request ended early\n")]
    Cut,
    /// The caller may only read.
    #[error("This key may only read\n")]
    ReadOnly,
    /// Too much at once.
    #[error("The server has too much to do; try again\n")]
    Busy,
    /// Refused by policies, bucket or names, in the room's words.
    #[error("{message}")]
    Refused {
        /// As other routes have it in the body.
        status: StatusCode,
        /// For people.
        message: String,
    },
    /// Ours; logged where it happened.
    #[error("Something went wrong with that request\n")]
    Internal,
}

/// What handlers return.
pub(crate) type Result<T, E = TusError> = std::result::Result<T, E>;

impl TusError {
    /// What clients act upon.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::Header(_) | Self::Finished | Self::Parts(_) | Self::Cut => {
                StatusCode::BAD_REQUEST
            }
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone | Self::Lost => StatusCode::GONE,
            Self::Offset => StatusCode::CONFLICT,
            Self::Locked | Self::TakenOver => StatusCode::LOCKED,
            Self::TooLarge | Self::Overrun | Self::TooManyBytes => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            // The protocol's own number; `http` knows no name for it.
            Self::Checksum => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Concatenated | Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused { status, .. } => *status,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for TusError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, plain);
        headers.insert(HeaderName::from_static(RESUMABLE), VERSION);
        if self == Self::Version {
            headers.insert(HeaderName::from_static(VERSIONS), VERSION);
        }
        response
    }
}
