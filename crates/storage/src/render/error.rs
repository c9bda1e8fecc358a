//! Why there is no picture, in upstream's words.

use http::StatusCode;

/// What went wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The bytes are not a picture that we read.
    #[error("The source image is invalid or unsupported for rendering")]
    Unsupported,
    /// More pixels than may be decoded.
    #[error("The source image resolution is too large to process")]
    Resolution,
    /// More bytes than are read.
    #[error("The source image file is too large to process")]
    Size,
    /// As many are being made, and are waiting, as may be.
    #[error("Too many requests")]
    Busy,
    /// It took longer than anybody waits.
    #[error("Image request timed out")]
    TimedOut,
    /// Ours: a picture that was read could not be written.
    #[error("Internal error")]
    Internal,
}

impl RenderError {
    /// The status that the body tells; the wire's is for the room to choose.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unsupported | Self::Resolution | Self::Size => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code in the body.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Internal => "InternalError",
            Self::Busy => "SlowDown",
            Self::Unsupported | Self::Resolution | Self::Size | Self::TimedOut => "InvalidRequest",
        }
    }
}
