//! Resizing. The picture is turned upright afterwards, when it is small.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

use super::error::RenderError;
use super::geometry::{Plan, Size};
use super::source::{Picture, turned};

/// Does what the plan says, and stands the picture upright.
pub(super) fn resize(picture: Picture, plan: &Plan) -> Result<Picture, RenderError> {
    let Picture {
        image,
        orientation,
        profile,
    } = picture;
    let mut image = scaled(eight_bits(image), &lying(plan, orientation))?;
    image.apply_orientation(orientation);
    Ok(Picture {
        image,
        orientation: Orientation::NoTransforms,
        profile,
    })
}

/// The plan for the picture as it lies in the file.
fn lying(plan: &Plan, orientation: Orientation) -> Plan {
    let (full_width, full_height) = plan.full;
    let (left, top) = (plan.left, plan.top);
    let right = (full_width - plan.left - plan.width).max(0.0);
    let bottom = (full_height - plan.top - plan.height).max(0.0);
    // Which of the upright picture's edges is left, and which on top, in the
    // file.
    let (left, top) = match orientation {
        Orientation::NoTransforms => (left, top),
        Orientation::FlipHorizontal => (right, top),
        Orientation::FlipVertical => (left, bottom),
        Orientation::Rotate180 => (right, bottom),
        Orientation::Rotate90 => (top, right),
        Orientation::Rotate270 => (bottom, left),
        Orientation::Rotate90FlipH => (top, left),
        Orientation::Rotate270FlipH => (bottom, right),
    };
    if turned(orientation) {
        Plan {
            left,
            top,
            width: plan.height,
            height: plan.width,
            to: Size {
                width: plan.to.height,
                height: plan.to.width,
            },
            full: (full_height, full_width),
        }
    } else {
        Plan { left, top, ..*plan }
    }
}

/// What is sent has eight bits for a colour; so has what is resized.
fn eight_bits(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => image,
        DynamicImage::ImageLuma16(_) => image.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => image.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgb32F(_) => image.into_rgb8().into(),
        _ => image.into_rgba8().into(),
    }
}

fn scaled(image: DynamicImage, plan: &Plan) -> Result<DynamicImage, RenderError> {
    let (width, height) = (image.width(), image.height());
    let whole = (plan.width - f64::from(width)).abs() < 0.5
        && (plan.height - f64::from(height)).abs() < 0.5;
    if whole && (plan.to.width, plan.to.height) == (width, height) {
        return Ok(image);
    }
    let kind = match image {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageLumaA8(_) => PixelType::U8x2,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        _ => PixelType::U8x4,
    };
    let source =
        ImageRef::new(width, height, image.as_bytes(), kind).map_err(|_| RenderError::Internal)?;
    let mut out = Image::new(plan.to.width, plan.to.height, kind);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(plan.left, plan.top, plan.width, plan.height);
    Resizer::new()
        .resize(&source, &mut out, &options)
        .map_err(|_| RenderError::Internal)?;
    let (width, height) = (plan.to.width, plan.to.height);
    let bytes = out.into_vec();
    let image = match kind {
        PixelType::U8 => GrayImage::from_raw(width, height, bytes).map(Into::into),
        PixelType::U8x2 => GrayAlphaImage::from_raw(width, height, bytes).map(Into::into),
        PixelType::U8x3 => RgbImage::from_raw(width, height, bytes).map(Into::into),
        _ => RgbaImage::from_raw(width, height, bytes).map(Into::into),
    };
    image.ok_or(RenderError::Internal)
}
