//! Reading pictures that strangers sent: what they would cost is known, and
//! refused, before a pixel is decoded.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::error::RenderError;
use super::geometry::Size;

/// A file that is read for rendering. Upstream's documented limit.
pub const SOURCE_BYTES_MAX: u64 = 25 << 20;

/// Pixels of a picture that is decoded: upstream's documented limit, and what
/// a good telephone makes.
pub(super) const SOURCE_PIXELS_MAX: u64 = 50_000_000;

/// A side; what is longer is no picture but a trap.
const SOURCE_SIDE_MAX: u32 = 65_535;

/// Memory of the decoded picture, and again of what its decoder needs besides:
/// 50 megapixels at four bytes.
const DECODED_BYTES_MAX: u64 = 4 * SOURCE_PIXELS_MAX;

/// A colour profile that is carried along. Larger ones are for printers.
const PROFILE_BYTES_MAX: usize = 64 << 10;

/// What kind of file it was, as far as the choice of the next matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Photographs: made to be smaller than the truth.
    Jpeg,
    /// Kept to the pixel.
    Png,
    /// The first picture of it.
    Gif,
    /// WebP that is kept to the pixel.
    WebpLossless,
    /// WebP that is not.
    WebpLossy,
    /// What no browser wants: BMP, TIFF, ICO.
    Other,
}

/// A decoded picture, upright only after its orientation is applied.
pub(super) struct Picture {
    pub(super) image: DynamicImage,
    pub(super) orientation: Orientation,
    pub(super) profile: Option<Vec<u8>>,
}

/// A picture of which the head was read.
pub(super) struct Source<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    kind: Kind,
    orientation: Orientation,
    profile: Option<Vec<u8>>,
    stop: &'a AtomicBool,
}

impl<'a> Source<'a> {
    /// Reads the head, and refuses what is too large.
    pub(super) fn open(bytes: &'a [u8], stop: &'a AtomicBool) -> Result<Self, RenderError> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SOURCE_BYTES_MAX {
            return Err(RenderError::Size);
        }
        // By what it is, never by what it calls itself.
        let format = image::guess_format(bytes).map_err(|_| RenderError::Unsupported)?;
        let kind = kind(format, bytes).ok_or(RenderError::Unsupported)?;
        let input = Patient {
            bytes: Cursor::new(bytes),
            stop,
        };
        let mut limits = Limits::no_limits();
        limits.max_image_width = Some(SOURCE_SIDE_MAX);
        limits.max_image_height = Some(SOURCE_SIDE_MAX);
        limits.max_alloc = Some(2 * DECODED_BYTES_MAX);
        let mut reader = ImageReader::with_format(input, format);
        reader.limits(limits);
        let fail = |error| refused(&error, stop);
        let mut decoder: Box<dyn ImageDecoder + 'a> =
            Box::new(reader.into_decoder().map_err(fail)?);
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > SOURCE_PIXELS_MAX || decoder.total_bytes() > 2 * DECODED_BYTES_MAX {
            return Err(RenderError::Resolution);
        }
        if pixels == 0 {
            return Err(RenderError::Unsupported);
        }
        // Broken metadata does not spoil a picture.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let profile = decoder.icc_profile().ok().flatten();
        let profile = profile.filter(|profile| profile.len() <= PROFILE_BYTES_MAX);
        Ok(Self {
            decoder,
            kind,
            orientation,
            profile,
            stop,
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// How large it is when it stands upright.
    pub(super) fn size(&self) -> Size {
        let (width, height) = self.decoder.dimensions();
        if turned(self.orientation) {
            Size {
                width: height,
                height: width,
            }
        } else {
            Size { width, height }
        }
    }

    /// Memory that decoding and resizing takes, at most and roughly: the
    /// pixels, once more in eight bits, and what a progressive JPEG keeps of
    /// itself until it is read to its end.
    pub(super) fn cost(&self) -> u64 {
        const JPEG_COEFFICIENTS: u64 = 6;
        let (width, height) = self.decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        let twice = self.decoder.total_bytes().saturating_mul(2);
        match self.kind {
            Kind::Jpeg => twice.saturating_add(JPEG_COEFFICIENTS * pixels),
            _ => twice,
        }
    }

    /// Reads the pixels.
    pub(super) fn decode(self) -> Result<Picture, RenderError> {
        let image =
            DynamicImage::from_decoder(self.decoder).map_err(|error| refused(&error, self.stop))?;
        Ok(Picture {
            image,
            orientation: self.orientation,
            profile: self.profile,
        })
    }
}

/// Whether width and height change places.
pub(super) fn turned(orientation: Orientation) -> bool {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => true,
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
    }
}

/// What is read at all.
fn kind(format: ImageFormat, bytes: &[u8]) -> Option<Kind> {
    match format {
        ImageFormat::Jpeg => Some(Kind::Jpeg),
        ImageFormat::Png => Some(Kind::Png),
        ImageFormat::Gif => Some(Kind::Gif),
        // The name of the first chunk; an extended file may hold either, and
        // then its pixels are looked for.
        ImageFormat::WebP => {
            const HEAD: usize = 4096;
            let head = bytes.get(12..bytes.len().min(HEAD)).unwrap_or_default();
            let lossy = head.windows(4).any(|name| name == b"VP8 ");
            Some(if lossy {
                Kind::WebpLossy
            } else {
                Kind::WebpLossless
            })
        }
        ImageFormat::Bmp | ImageFormat::Tiff | ImageFormat::Ico => Some(Kind::Other),
        _ => None,
    }
}

fn refused(error: &ImageError, stop: &AtomicBool) -> RenderError {
    if stop.load(Ordering::Relaxed) {
        return RenderError::TimedOut;
    }
    match error {
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::DimensionError | LimitErrorKind::InsufficientMemory => {
                RenderError::Resolution
            }
            _ => RenderError::Unsupported,
        },
        _ => RenderError::Unsupported,
    }
}

/// Bytes that come to an end when nobody waits for the picture any more.
struct Patient<'a> {
    bytes: Cursor<&'a [u8]>,
    stop: &'a AtomicBool,
}

impl Patient<'_> {
    fn look(&self) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        Ok(())
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.look()?;
        self.bytes.read(buffer)
    }
}

impl BufRead for Patient<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.look()?;
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Seek for Patient<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}
