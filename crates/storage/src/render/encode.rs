//! Writing pictures: in which format, and how. Nothing of the source's
//! metadata goes along but its colour profile.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageResult};

use super::Rendered;
use super::accept::Accept;
use super::error::RenderError;
use super::params::{Format, Transform};
use super::source::{Kind, Picture};

/// A file that is made. Pictures that are kept to the pixel can become larger
/// than what they were made from; the answer is held in memory.
const RENDERED_BYTES_MAX: usize = 32 << 20;

/// A side of a WebP, says its format.
const WEBP_SIDE_MAX: u32 = 16_383;

/// imgproxy's.
const QUALITY: u8 = 80;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Jpeg,
    Png,
    Gif,
    Webp,
    /// JPEG, or PNG where something shines through.
    Fitting,
    /// JPEG, or WebP where something shines through.
    FittingWebp,
}

/// Which format. WebP here is kept to the pixel: for photographs that is
/// several times a JPEG, so they become WebP only for who wants nothing else.
pub(super) fn choose(kind: Kind, asked: &Transform, accept: Accept) -> Output {
    let origin = match kind {
        Kind::Jpeg => Output::Jpeg,
        Kind::Gif => Output::Gif,
        // What clients may not know becomes what all do.
        Kind::Png | Kind::WebpLossless => Output::Png,
        Kind::WebpLossy | Kind::Other => Output::Fitting,
    };
    match (asked.format, accept) {
        (Format::Webp, _) | (Format::Best, Accept::Only) => Output::Webp,
        (Format::Origin, _) | (Format::Best, Accept::Usual) => origin,
        (Format::Best, Accept::Also) => match kind {
            Kind::Jpeg => Output::Jpeg,
            Kind::Png | Kind::Gif | Kind::WebpLossless => Output::Webp,
            Kind::WebpLossy | Kind::Other => Output::FittingWebp,
        },
    }
}

/// Writes it.
pub(super) fn write(
    picture: Picture,
    output: Output,
    asked: &Transform,
    stop: &AtomicBool,
) -> Result<Rendered, RenderError> {
    let Picture { image, profile, .. } = picture;
    let clear = image.color().has_alpha();
    let wide = image.width().max(image.height()) > WEBP_SIDE_MAX;
    let output = match output {
        Output::Fitting | Output::FittingWebp if !clear => Output::Jpeg,
        Output::Fitting => Output::Png,
        Output::Webp | Output::FittingWebp if wide => Output::Png,
        Output::FittingWebp => Output::Webp,
        output => output,
    };
    let profile = profile.filter(|profile| fits(profile, &image));
    let mut out = Bounded {
        bytes: Vec::new(),
        full: false,
        stop,
    };
    let quality = asked.quality.unwrap_or(QUALITY);
    let (written, mime) = match output {
        Output::Jpeg => (jpeg(&mut out, image, profile, quality), "image/jpeg"),
        Output::Gif => (gif(&mut out, image), "image/gif"),
        Output::Webp => (webp(&mut out, &image, profile), "image/webp"),
        Output::Png | Output::Fitting | Output::FittingWebp => {
            (png(&mut out, &image, profile), "image/png")
        }
    };
    match written {
        Ok(()) => Ok(Rendered {
            bytes: out.bytes,
            mime,
        }),
        Err(_) if stop.load(Ordering::Relaxed) => Err(RenderError::TimedOut),
        Err(_) if out.full => Err(RenderError::Resolution),
        Err(_) => Err(RenderError::Internal),
    }
}

fn jpeg(
    out: &mut Bounded<'_>,
    image: DynamicImage,
    profile: Option<Vec<u8>>,
    quality: u8,
) -> ImageResult<()> {
    let mut encoder = JpegEncoder::new_with_quality(out, quality);
    carry(&mut encoder, profile);
    match image {
        DynamicImage::ImageLuma8(image) => encoder.encode_image(&image),
        DynamicImage::ImageRgb8(image) => encoder.encode_image(&image),
        DynamicImage::ImageLumaA8(_) => encoder.encode_image(&image.into_luma8()),
        image => encoder.encode_image(&image.into_rgb8()),
    }
}

fn png(out: &mut Bounded<'_>, image: &DynamicImage, profile: Option<Vec<u8>>) -> ImageResult<()> {
    let mut encoder = PngEncoder::new(out);
    carry(&mut encoder, profile);
    image.write_with_encoder(encoder)
}

fn webp(out: &mut Bounded<'_>, image: &DynamicImage, profile: Option<Vec<u8>>) -> ImageResult<()> {
    let mut encoder = WebPEncoder::new_lossless(out);
    carry(&mut encoder, profile);
    image.write_with_encoder(encoder)
}

fn gif(out: &mut Bounded<'_>, image: DynamicImage) -> ImageResult<()> {
    // The fastest that still looks for good colours.
    const SPEED: i32 = 10;
    let image = image.into_rgba8();
    let (width, height) = image.dimensions();
    GifEncoder::new_with_speed(out, SPEED).encode(
        image.as_raw(),
        width,
        height,
        ExtendedColorType::Rgba8,
    )
}

/// Takes the profile along where the format has a place for it.
fn carry(encoder: &mut impl ImageEncoder, profile: Option<Vec<u8>>) {
    if let Some(profile) = profile {
        // Without it the colours are a little off, no more.
        let _ = encoder.set_icc_profile(profile);
    }
}

/// Whether a profile is one, and speaks of colours as they are now: those of
/// four inks were mixed to three lights on reading.
fn fits(profile: &[u8], image: &DynamicImage) -> bool {
    let space: &[u8] = if image.color().has_color() {
        b"RGB "
    } else {
        b"GRAY"
    };
    profile.get(36..40) == Some(b"acsp") && profile.get(16..20) == Some(space)
}

/// A file that may not become too long, or take too long.
struct Bounded<'a> {
    bytes: Vec<u8>,
    full: bool,
    stop: &'a AtomicBool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        if self.bytes.len() + more.len() > RENDERED_BYTES_MAX {
            self.full = true;
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
