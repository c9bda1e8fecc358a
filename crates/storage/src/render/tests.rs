//! The whole way, from bytes to bytes, with pictures made here.

use std::io::Cursor;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, GenericImageView as _, ImageEncoder as _, ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;

use super::*;

/// Four coloured quarters, so that it shows where which has gone.
fn quarters(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        match (x < width / 2, y < height / 2) {
            (true, true) => Rgb([250, 0, 0]),
            (false, true) => Rgb([0, 250, 0]),
            (true, false) => Rgb([0, 0, 250]),
            (false, false) => Rgb([250, 250, 250]),
        }
    })
    .into()
}

fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).expect("writes");
    out.into_inner()
}

fn render(bytes: &[u8], query: &str, accept: Accept) -> Result<Rendered, RenderError> {
    let asked = Transform::from_query(query).expect("valid");
    transform(bytes, &asked, accept, &AtomicBool::new(false))
}

fn opened(rendered: &Rendered) -> DynamicImage {
    image::load_from_memory(&rendered.bytes).expect("is a picture")
}

#[test]
fn every_format_is_read_and_becomes_what_it_should() {
    let picture = quarters(40, 20);
    let clear = DynamicImage::ImageRgba8(picture.to_rgba8());
    let cases = [
        (ImageFormat::Jpeg, &picture, "image/jpeg", "image/jpeg"),
        (ImageFormat::Png, &picture, "image/png", "image/webp"),
        (ImageFormat::Gif, &clear, "image/gif", "image/webp"),
        (ImageFormat::WebP, &clear, "image/png", "image/webp"),
        (ImageFormat::Bmp, &picture, "image/jpeg", "image/jpeg"),
        (ImageFormat::Tiff, &clear, "image/png", "image/webp"),
        (ImageFormat::Ico, &clear, "image/png", "image/webp"),
    ];
    for (format, picture, usual, also) in cases {
        let bytes = written(picture, format);
        for (query, accept, expected) in [
            ("width=10", Accept::Usual, usual),
            ("width=10&format=origin", Accept::Also, usual),
            ("width=10", Accept::Also, also),
            ("width=10", Accept::Only, "image/webp"),
            ("width=10&format=webp", Accept::Usual, "image/webp"),
            ("width=10&format=avif", Accept::Usual, usual),
        ] {
            let made = render(&bytes, query, accept).expect("renders");
            assert_eq!(made.mime, expected, "{format:?} {query} {accept:?}");
            assert_eq!(opened(&made).dimensions(), (10, 5), "{format:?}");
            let kind = image::guess_format(&made.bytes).expect("known");
            assert_eq!(kind.to_mime_type(), made.mime);
        }
    }
}

/// A JPEG with this orientation in its EXIF, and a secret.
fn with_exif(image: &DynamicImage, orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif.extend(b"GPS-SECRET");
    let mut plain = Vec::new();
    JpegEncoder::new_with_quality(&mut plain, 95)
        .encode_image(image)
        .expect("writes");
    let mut bytes = plain.get(..2).expect("begins").to_vec();
    let length = u16::try_from(exif.len() + 2).expect("short");
    bytes.extend([0xff, 0xe1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(exif);
    bytes.extend(plain.get(2..).expect("goes on"));
    bytes
}

fn close(a: &DynamicImage, b: &DynamicImage) -> bool {
    let far = |(a, b): (&u8, &u8)| a.abs_diff(*b) > 24;
    a.dimensions() == b.dimensions()
        && a.as_bytes()
            .iter()
            .zip(b.as_bytes())
            .filter(|pair| far(*pair))
            .count()
            * 20
            < a.as_bytes().len()
}

#[test]
fn pictures_stand_upright_and_tell_nothing_of_where_they_were_taken() {
    let picture = quarters(64, 32);
    for orientation in 1..=8 {
        let bytes = with_exif(&picture, orientation);
        for query in [
            "",
            "width=16",
            "width=8&height=16",
            "width=8&height=16&gravity=noea",
            "width=20&height=4&gravity=fp&x_offset=0.1&y_offset=0.9",
        ] {
            let query = format!("{query}&format=webp");
            let made = render(&bytes, &query, Accept::Usual).expect("renders");
            // The same picture, turned before anything else.
            let mut upright = image::load_from_memory(&bytes).expect("reads");
            let turn = image::metadata::Orientation::from_exif(orientation).expect("known");
            upright.apply_orientation(turn);
            let upright = written(&upright, ImageFormat::Png);
            let other = render(&upright, &query, Accept::Usual).expect("renders");
            assert!(
                close(&opened(&made), &opened(&other)),
                "{orientation} {query}"
            );
            let secret = made.bytes.windows(10).any(|part| part == b"GPS-SECRET");
            assert!(!secret, "{orientation}");
        }
    }
}

#[test]
fn a_profile_of_its_colours_goes_along_and_no_other() {
    let mut profile = vec![0_u8; 200];
    profile.splice(36..40, *b"acsp");
    profile.splice(16..20, *b"RGB ");
    let picture = quarters(20, 20);
    let bytes = |profile: &[u8]| {
        let mut out = Vec::new();
        let mut encoder = PngEncoder::new(&mut out);
        encoder.set_icc_profile(profile.to_vec()).expect("takes it");
        picture.write_with_encoder(encoder).expect("writes");
        out
    };
    let kept = |bytes: &[u8], query: &str| {
        let made = render(bytes, query, Accept::Usual).expect("renders");
        let reader = image::ImageReader::new(Cursor::new(made.bytes));
        let reader = reader.with_guessed_format().expect("known");
        let mut decoder = reader.into_decoder().expect("reads");
        image::ImageDecoder::icc_profile(&mut decoder).expect("reads")
    };
    assert_eq!(kept(&bytes(&profile), "width=10"), Some(profile.clone()));
    assert_eq!(kept(&bytes(&profile), "format=webp"), Some(profile.clone()));
    profile.splice(16..20, *b"CMYK");
    assert_eq!(kept(&bytes(&profile), "width=10"), None);
    assert_eq!(kept(&bytes(b"no profile"), "width=10"), None);
}

/// The head of a PNG of this size, and nothing to it.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len()).expect("short");
        out.extend(length.to_be_bytes());
        let named = [name.as_slice(), content].concat();
        out.extend(&named);
        let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &named);
        out.extend(u32::try_from(sum).expect("32 bits").to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[size.as_slice(), &[8, 6, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0, 0]);
    out
}

#[test]
fn bombs_are_refused_by_their_head() {
    for (width, height) in [
        (60_000, 60_000),
        (100_000, 1),
        (7_100, 7_100),
        (u32::MAX >> 1, 1),
    ] {
        let refused = render(&bomb(width, height), "width=10", Accept::Usual);
        assert_eq!(refused, Err(RenderError::Resolution), "{width} x {height}");
    }
    // What is allowed is looked at, and found to be nothing.
    let refused = render(&bomb(7_000, 7_000), "width=10", Accept::Usual);
    assert_eq!(refused, Err(RenderError::Unsupported));
    let long = vec![0; usize::try_from(SOURCE_BYTES_MAX).expect("fits") + 1];
    assert_eq!(render(&long, "", Accept::Usual), Err(RenderError::Size));
}

#[test]
fn what_is_no_picture_is_refused() {
    let heif = b"\0\0\0\x10ftypmif1\0\0\0\0";
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    for bytes in [
        &heif[..],
        svg,
        b"",
        b"not an image",
        b"\xff\xd8\xff",
        b"GIF89a",
    ] {
        assert_eq!(
            render(bytes, "", Accept::Also),
            Err(RenderError::Unsupported)
        );
    }
}

#[test]
fn nobody_waits_so_nothing_is_made() {
    let bytes = written(&quarters(64, 64), ImageFormat::Png);
    let asked = Transform::from_query("width=10").expect("valid");
    let made = transform(&bytes, &asked, Accept::Usual, &AtomicBool::new(true));
    assert_eq!(made, Err(RenderError::TimedOut));
}

#[tokio::test]
async fn a_full_studio_says_so_and_waiting_ends() {
    let config = StudioConfig {
        at_once: 1,
        waiting: 1,
        time: Duration::from_secs(3600),
    };
    let studio = Studio::new(config);
    let asked = Transform::default();
    let never = || std::future::pending::<Result<Bytes, RenderError>>();
    let mut first = Box::pin(studio.make(&asked, Accept::Usual, never()));
    let mut second = Box::pin(studio.make(&asked, Accept::Usual, never()));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    let third = studio.make(&asked, Accept::Usual, never()).await;
    assert_eq!(third, Err(RenderError::Busy));
    // Who leaves gives back what he had.
    drop(first);
    drop(second);
    let png = Bytes::from(written(&quarters(8, 8), ImageFormat::Png));
    let made = studio
        .make(&asked, Accept::Usual, async { Ok::<_, RenderError>(png) })
        .await
        .expect("made");
    assert_eq!(made.mime, "image/png");

    let hurried = Studio::new(StudioConfig {
        time: Duration::ZERO,
        ..config
    });
    let late = hurried.make(&asked, Accept::Usual, never()).await;
    assert_eq!(late, Err(RenderError::TimedOut));
}

#[test]
fn refusals_are_in_upstreams_words() {
    for (query, expected) in [
        ("width=-1", "querystring/width must be >= 0"),
        ("width=abc", "querystring/width must be integer"),
        ("width=1.5", "querystring/width must be integer"),
        ("width=1&width=2", "querystring/width must be integer"),
        ("quality=19", "querystring/quality must be >= 20"),
        ("quality=101", "querystring/quality must be <= 100"),
        ("x_offset=1e999", "querystring/x_offset must be number"),
        (
            "resize=stretch",
            "querystring/resize must be equal to one of the allowed values",
        ),
        (
            "gravity=fp&x_offset=1",
            "querystring must have required property 'y_offset', querystring must match \"then\" schema",
        ),
        (
            "gravity=fp&x_offset=2&y_offset=0",
            "querystring/x_offset must be <= 1, querystring must match \"then\" schema",
        ),
    ] {
        assert_eq!(Transform::from_query(query), Err(expected.to_owned()));
    }
    let body = serde_json::json!({"width": "x"});
    let refused = Transform::from_json(&body).expect_err("refused");
    assert_eq!(refused, "body/transform/width must be integer");
}

#[test]
fn what_was_asked_is_told_in_upstreams_words() {
    let asked = Transform::from_query("width=200&height=200&quality=60").expect("valid");
    assert_eq!(
        asked.applied(),
        "height:200,width:200,resizing_type:fill,quality:60"
    );
    assert_eq!(
        asked.to_signed(),
        "height:200,width:200,resize:cover,quality:60"
    );
    let focus = "gravity=fp&x_offset=0&y_offset=1&width=1&height=1";
    let focus = Transform::from_query(focus).expect("valid");
    assert!(
        focus.applied().contains("gravity:fp:0:1"),
        "{}",
        focus.applied()
    );
    assert_eq!(
        Transform::from_query("width=0").expect("valid").to_signed(),
        ""
    );
}

proptest! {
    #[test]
    fn a_signed_transform_comes_back(
        width in 0_u32..9999, height in 0_u32..9999, quality in 20_u8..=100,
        resize in prop::sample::select(vec!["cover", "contain", "fill"]),
        format in prop::sample::select(vec!["origin", "webp", "avif"]),
        gravity in prop::sample::select(vec!["no", "sowe", "fp", "sm", "ce"]),
        x in 0.0_f64..=1.0, y in 0.0_f64..=1.0,
    ) {
        let query = format!(
            "width={width}&height={height}&quality={quality}&resize={resize}\
             &format={format}&gravity={gravity}&x_offset={x}&y_offset={y}"
        );
        let asked = Transform::from_query(&query).expect("valid");
        let back = Transform::from_signed(&asked.to_signed());
        // What changes nothing is not kept.
        prop_assert_eq!(back.applied(), asked.applied());
        prop_assert_eq!(back.to_signed(), asked.to_signed());
    }

    #[test]
    fn any_query_and_claim_is_read_or_refused(text in ".{0,200}") {
        let _ = Transform::from_query(&text);
        let _ = Transform::from_signed(&text);
        let _ = Accept::parse(&text);
    }

    #[test]
    fn damaged_files_are_pictures_or_refused(
        format in prop::sample::select(vec![
            ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP,
            ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Ico,
        ]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let image = DynamicImage::ImageRgba8(quarters(24, 16).to_rgba8());
        let image = if format == ImageFormat::Jpeg { image.to_rgb8().into() } else { image };
        let mut bytes = written(&image, format);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            if let Some(place) = bytes.get_mut(at) { *place = byte; }
        }
        if cut { bytes.truncate(end.index(bytes.len())); }
        if let Ok(made) = render(&bytes, "width=9&height=7", Accept::Also) {
            let (width, height) = opened(&made).dimensions();
            prop_assert!(width <= 9 && height <= 7);
        }
    }
}
