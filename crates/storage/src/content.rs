//! Media types and file names of what strangers stored: what is taken of an
//! upload's word, and what may be sent from the API's own origin. Pure.
//!
//! A stored page must not become a page of this origin. HTML goes out as text,
//! as upstream does it; what else could run goes out in a sandbox, where it
//! has no origin, and `nosniff` keeps clients from guessing something better.

use std::fmt::Write as _;

use http::HeaderValue;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS,
};

/// What nobody said anything about.
pub const UNKNOWN: &str = "application/octet-stream";

/// A media type with its parameters that is kept. Longer ones are no types.
const MIME_BYTES_MAX: usize = 255;

/// Bytes of a file name in a header; browsers cut off earlier.
const NAME_BYTES_MAX: usize = 1024;

/// For what could run in a browser: nothing is loaded, nothing runs, and the
/// document has no origin.
const SANDBOX: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// Types that browsers render without running anything, whatever is in them.
/// What is not among them is shown in the sandbox.
const PASSIVE: [&str; 5] = ["image/", "audio/", "video/", "font/", "text/"];

/// Those of them that can run after all.
const ACTIVE: [&str; 12] = [
    "image/svg",
    "text/xml",
    "text/xsl",
    "text/html",
    "text/javascript",
    "text/ecmascript",
    "text/jscript",
    "text/livescript",
    "text/vbscript",
    "text/x-javascript",
    "text/x-ecmascript",
    "text/cache-manifest",
];

/// Types that are shown without running either. Browsers open PDF in a viewer
/// that has no origin, and not at all in a sandbox.
const HARMLESS: [&str; 3] = [UNKNOWN, "application/json", "application/pdf"];

/// Types of files by the end of their names, for uploads that say none.
const EXTENSIONS: [(&str, &str); 34] = [
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("heic", "image/heic"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("md", "text/markdown"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The type that an upload gets: what its header says when that is a type,
/// else what the name's end tells, else nothing in particular.
#[must_use]
pub fn upload_type(header: Option<&str>, name: &str) -> String {
    let said = header.map(str::trim).filter(|mime| is_type(mime));
    if let Some(said) = said {
        return said.to_owned();
    }
    let end = name
        .rsplit(['.', '/'])
        .next()
        .filter(|_| name.contains('.'));
    let known = end.and_then(|end| {
        let mut known = EXTENSIONS.iter();
        known.find(|(extension, _)| extension.eq_ignore_ascii_case(end))
    });
    known.map_or(UNKNOWN, |(_, mime)| mime).to_owned()
}

/// `type/subtype` of token characters, and parameters that a header can hold.
#[must_use]
pub fn is_type(mime: &str) -> bool {
    let token = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(allowed)
    };
    let (essence, parameters) = mime.split_once(';').unwrap_or((mime, ""));
    let Some((kind, subtype)) = essence.trim_end().split_once('/') else {
        return false;
    };
    mime.len() <= MIME_BYTES_MAX
        && token(kind)
        && token(subtype)
        && parameters.bytes().all(|byte| (b' '..0x7f).contains(&byte))
}

/// How stored bytes of a type go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// `Content-Security-Policy`, where something could run.
    pub policy: Option<HeaderValue>,
}

/// Decides how stored bytes go out.
#[must_use]
pub fn serve_as(mime: &str) -> Served {
    let essence = mime.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    let starts = |known: &str| essence.starts_with(known);
    // Wherever it stands in it, as upstream: parameters too.
    if mime.to_ascii_lowercase().contains("text/html") {
        return Served {
            content_type: HeaderValue::from_static("text/plain"),
            policy: None,
        };
    }
    let shown = if is_type(mime) { mime } else { UNKNOWN };
    let content_type = HeaderValue::from_str(shown);
    let xml = essence.ends_with("+xml");
    let passive =
        PASSIVE.iter().any(|known| starts(known)) && !ACTIVE.iter().any(|known| starts(known));
    let plain = passive || HARMLESS.contains(&essence.as_str());
    let runs = xml || !plain;
    Served {
        content_type: content_type.unwrap_or(HeaderValue::from_static(UNKNOWN)),
        policy: runs.then(|| HeaderValue::from_static(SANDBOX)),
    }
}

/// Sets everything about type and name that an answer with stored bytes has.
/// `download` is the parameter of that name, if it was there at all.
pub fn headers(into: &mut HeaderMap, mime: &str, download: Option<&str>) {
    let served = serve_as(mime);
    into.insert(CONTENT_TYPE, served.content_type);
    into.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(policy) = served.policy {
        into.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(disposition) = download.and_then(disposition) {
        into.insert(CONTENT_DISPOSITION, disposition);
    }
}

/// `Content-Disposition` of a download, byte for byte upstream's; `name` is
/// empty when none was asked for.
#[must_use]
pub fn disposition(name: &str) -> Option<HeaderValue> {
    if name.is_empty() {
        return Some(HeaderValue::from_static("attachment;"));
    }
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let name = escaped(name.get(..end)?);
    let text = format!("attachment; filename={name}; filename*=UTF-8''{name}");
    HeaderValue::try_from(text).ok()
}

/// As `encodeURIComponent`: quotes, line ends, semicolons and all that is not
/// ASCII are escaped, so no name ends the header or begins another parameter.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_upload_is_what_it_says_if_it_says_something() {
        let kind = upload_type;
        assert_eq!(kind(Some("image/png"), "a.txt"), "image/png");
        let parameters = "text/plain;charset=UTF-8";
        assert_eq!(kind(Some(parameters), "a"), parameters);
        assert_eq!(kind(None, "folder/cat.JPG"), "image/jpeg");
        assert_eq!(kind(None, "folder.png/cat"), UNKNOWN);
        assert_eq!(kind(None, "png"), UNKNOWN);
        assert_eq!(kind(Some(""), "a.css"), "text/css");
        for broken in [
            "text",
            "text/",
            "/html",
            "a b/c",
            "a/b\r\nx: y",
            "ä/b",
            "a/b;\u{0}",
        ] {
            assert_eq!(kind(Some(broken), "a"), UNKNOWN, "{broken:?}");
        }
    }

    #[test]
    fn pages_are_text_and_what_could_run_is_in_a_sandbox() {
        for page in ["text/html", "Text/HTML; charset=utf-8", "x/y;text/html"] {
            assert_eq!(serve_as(page).content_type, "text/plain", "{page}");
        }
        for active in [
            "image/svg+xml",
            "IMAGE/SVG+XML; charset=utf-8",
            "application/xhtml+xml",
            "application/xml",
            "text/xml",
            "application/rss+xml",
            "text/javascript",
            "application/javascript",
            "multipart/x-mixed-replace",
            "model/x3d+xml",
            "chemical/x-unknown",
        ] {
            let served = serve_as(active);
            assert_eq!(served.content_type, active);
            let policy = served.policy.expect(active);
            assert!(policy.to_str().expect("text").ends_with("sandbox"));
        }
        for passive in [
            "image/png",
            "video/mp4",
            "text/plain",
            "application/json",
            "application/pdf",
            UNKNOWN,
        ] {
            let served = serve_as(passive);
            assert_eq!(
                (served.content_type, served.policy),
                (HeaderValue::from_static(passive), None)
            );
        }
        // What is no type is nothing in particular, and still cannot run.
        for broken in ["", "html", "\u{0}", "text/x\r\nset-cookie: a"] {
            assert_eq!(serve_as(broken).content_type, UNKNOWN, "{broken:?}");
        }
    }

    #[test]
    fn names_of_downloads_are_upstreams() {
        let text = |name: &str| {
            let header = disposition(name).expect("a header");
            header.to_str().expect("text").to_owned()
        };
        assert_eq!(text(""), "attachment;");
        assert_eq!(
            text("a.png"),
            "attachment; filename=a.png; filename*=UTF-8''a.png"
        );
        assert_eq!(
            text("ü \"x\"\r\n;"),
            "attachment; filename=%C3%BC%20%22x%22%0D%0A%3B; \
             filename*=UTF-8''%C3%BC%20%22x%22%0D%0A%3B"
        );
        assert!(text(&"ü".repeat(5000)).len() < 8 << 10);
    }

    proptest! {
        #[test]
        fn whatever_is_stored_nothing_runs(mime in "(text|image|application|x)/[a-z+.;= /\"-]{0,24}|.{0,40}", name in ".{0,60}") {
            let mut out = HeaderMap::new();
            headers(&mut out, &mime, Some(&name));
            prop_assert_eq!(out.get(X_CONTENT_TYPE_OPTIONS).expect("set"), "nosniff");
            let kind = out.get(CONTENT_TYPE).expect("set").to_str().expect("text");
            let kind = kind.to_ascii_lowercase();
            prop_assert!(!kind.contains("text/html"));
            let runs = ["xml", "svg", "script", "xhtml"].iter().any(|word| {
                kind.split(';').next().unwrap_or_default().contains(word)
            });
            prop_assert!(!runs || out.contains_key(CONTENT_SECURITY_POLICY), "{}", kind);
            let name = out.get(CONTENT_DISPOSITION).expect("set").to_str().expect("text");
            prop_assert!(name.matches(';').count() <= 2 && !name.contains('"'));
            prop_assert!(is_type(&upload_type(Some(&mime), name)));
        }
    }
}
