//! `Upload-Metadata`: what the client says about the file, as pairs of a name
//! and a value in base64.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::error::{Result, TusError};

/// Kept in the row of the upload and sent back with HEAD: a page of text, not a
/// document.
const BYTES_MAX: usize = 16 << 10;
/// Names in one header.
const PAIRS_MAX: usize = 64;
/// Clients leave the padding out or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BAD: TusError = TusError::Header("Invalid Upload-Metadata header");
/// What an object says about caching when nobody asked for anything.
const NO_CACHE: &str = "no-cache";
/// What an object is when nobody says it.
const BYTES: &str = "application/octet-stream";

/// The header, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata(Vec<(String, Option<String>)>);

impl Metadata {
    /// Reads the header. Every pair must be well-formed and every name there
    /// once; values are text.
    pub(crate) fn parse(header: &str) -> Result<Self> {
        if header.len() > BYTES_MAX {
            return Err(BAD);
        }
        let mut pairs: Vec<(String, Option<String>)> = Vec::new();
        for pair in header.split(',').map(str::trim) {
            let (name, value) = match pair.split_once(' ') {
                Some((name, value)) => (name, Some(value.trim())),
                None => (pair, None),
            };
            let unusable = name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_graphic())
                || pairs.iter().any(|(known, _)| known == name);
            if unusable || pairs.len() == PAIRS_MAX {
                return Err(BAD);
            }
            let value = value.filter(|value| !value.is_empty()).map(text);
            pairs.push((name.to_owned(), value.transpose()?));
        }
        Ok(Self(pairs))
    }

    /// The header again, as HEAD sends it.
    pub(crate) fn render(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| match value {
            Some(value) => format!("{name} {}", BASE64.encode(value)),
            None => name.clone(),
        });
        pairs.collect::<Vec<_>>().join(",")
    }

    /// The value of a name, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(known, _)| known == name)?;
        pair.1.as_deref().filter(|value| !value.is_empty())
    }

    /// Bucket and name of the object to be.
    pub(crate) fn target(&self) -> Result<(&str, &str)> {
        let missing = TusError::Header("Upload-Metadata must have bucketName and objectName");
        self.get("bucketName")
            .zip(self.get("objectName"))
            .ok_or(missing)
    }

    /// The type of the object.
    pub(crate) fn mime(&self) -> &str {
        self.get("contentType").unwrap_or(BYTES)
    }

    /// Seconds become `max-age`; anything else is not believed.
    pub(crate) fn cache_control(&self) -> String {
        let seconds = self.get("cacheControl").filter(|text| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        seconds.map_or_else(|| NO_CACHE.to_owned(), |n| format!("max-age={n}"))
    }

    /// The user's own metadata. What is no object is no metadata.
    pub(crate) fn user(&self) -> Option<Value> {
        let value = serde_json::from_str::<Value>(self.get("metadata")?).ok()?;
        value.is_object().then_some(value)
    }
}

/// A value. PostgreSQL's text cannot have a zero byte, nor can a name.
fn text(base64: &str) -> Result<String> {
    let bytes = BASE64.decode(base64).map_err(|_| BAD)?;
    let text = String::from_utf8(bytes).map_err(|_| BAD)?;
    if text.contains('\0') {
        Err(BAD)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        let header = "bucketName cGhvdG9z,objectName YS9jYXQucG5n, cacheControl MzYwMA==,flag,\
                      metadata eyJhIjoxfQ,empty ";
        let read = Metadata::parse(header).unwrap();
        assert_eq!(read.target().unwrap(), ("photos", "a/cat.png"));
        assert_eq!(read.cache_control(), "max-age=3600");
        assert_eq!(read.mime(), "application/octet-stream");
        assert_eq!(read.user().unwrap().to_string(), r#"{"a":1}"#);
        assert_eq!(read.get("flag"), None);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for bad in [
            "",
            ",",
            "a b c",
            "a !!!!",
            "a AA==,a AA==",
            "a \u{e9}",
            "\u{e9} YQ==",
            // A zero byte, and what is no UTF-8.
            "a AA==",
            "a /w==",
        ] {
            assert_eq!(Metadata::parse(bad), Err(BAD), "{bad}");
        }
        assert_eq!(Metadata::parse(&"a".repeat(BYTES_MAX + 1)), Err(BAD));
        let many = (0..=PAIRS_MAX).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert_eq!(Metadata::parse(&many.join(",")), Err(BAD));
        assert!(Metadata::parse(&many.split_last().unwrap().1.join(",")).is_ok());
    }

    #[test]
    fn caching_is_seconds_or_nothing() {
        let of = |text: &str| {
            let header = format!("cacheControl {}", BASE64.encode(text));
            Metadata::parse(&header).unwrap().cache_control()
        };
        assert_eq!(of("60"), "max-age=60");
        assert_eq!(of("-1"), "max-age=-1");
        for other in ["", "-", "public, max-age=9", "6\r\nSet-Cookie: a=b"] {
            assert_eq!(of(other), "no-cache", "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_header_is_written_as_it_was_read(
            pairs in proptest::collection::btree_map("[!-+.-~]{1,12}", "[^\0]{1,40}", 1..8),
        ) {
            let pairs = pairs.into_iter().map(|(name, value)| (name, Some(value)));
            let metadata = Metadata(pairs.collect());
            prop_assert_eq!(Metadata::parse(&metadata.render()), Ok(metadata));
        }

        #[test]
        fn nothing_makes_it_panic(header in ".*") {
            let _ = Metadata::parse(&header);
        }
    }
}
