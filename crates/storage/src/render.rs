//! Images in another size: what `/render/image/…` is asked for, and the doing.
//!
//! [`Transform`] is the request, [`Accept`] what the client can show,
//! [`transform`] the whole way from bytes to bytes: `source` reads a picture
//! within limits that are known before a pixel is decoded, `geometry` decides
//! sizes and is pure, `pixels` resizes, `encode` writes. [`Studio`] lets only
//! so many of them happen at once. Why these formats and this resizer: ADR 23.

mod accept;
mod encode;
mod error;
mod geometry;
mod params;
mod pixels;
mod source;
mod studio;

#[cfg(test)]
mod tests;

pub use accept::Accept;
pub use error::RenderError;
pub use params::Transform;
pub use source::SOURCE_BYTES_MAX;
pub use studio::{Studio, StudioConfig};

use std::sync::atomic::AtomicBool;

/// A picture as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub mime: &'static str,
}

/// Reads, resizes and writes a picture. It computes for as long as it takes:
/// on a thread where that is allowed, which is what [`Studio`] is for. Once
/// `stop` is set it ends soon.
pub fn transform(
    bytes: &[u8],
    asked: &Transform,
    accept: Accept,
    stop: &AtomicBool,
) -> Result<Rendered, RenderError> {
    within(bytes, asked, accept, stop, |_| ())
}

/// The same; `reserve` is told how much memory the rest will take, and keeps what
/// it returns until the end.
fn within<T>(
    bytes: &[u8],
    asked: &Transform,
    accept: Accept,
    stop: &AtomicBool,
    reserve: impl FnOnce(u64) -> T,
) -> Result<Rendered, RenderError> {
    let source = source::Source::open(bytes, stop)?;
    let plan = geometry::plan(source.size(), asked);
    let kind = source.kind();
    let held = reserve(source.cost());
    let picture = pixels::resize(source.decode()?, &plan)?;
    let rendered = encode::write(picture, encode::choose(kind, asked, accept), asked, stop);
    drop(held);
    rendered
}
