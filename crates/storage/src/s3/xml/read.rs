//! Bodies that clients send: what to delete, and which parts make an object.
//!
//! A body is read whole, at most [`XML_BYTES_MAX`] of it, and as a flat list
//! of elements: deeper nesting than the two documents have, a document type
//! or an entity beyond the five of XML is refused, so nothing expands.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use crate::s3::error::{Result, S3Error};

/// A list of 10,000 parts with their checksums, and room for a thousand of the
/// longest keys, each character of which may be an entity.
pub(crate) const XML_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many objects one request deletes: S3's own limit.
pub(crate) const DELETE_KEYS_MAX: usize = 1000;
/// How many parts an object has at most: S3's own limit.
const PARTS_MAX: usize = 10_000;
/// `Delete/Object/Key` is three; one more for elements that we do not read.
const DEPTH_MAX: usize = 4;

/// What to delete.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delete {
    /// In their order.
    pub(crate) keys: Vec<String>,
    /// Only failures are told.
    pub(crate) quiet: bool,
}

/// A part that its uploader names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CompletedPart {
    pub(crate) number: u16,
    /// Without quotes.
    pub(crate) etag: String,
}

/// `<Delete>`.
pub(crate) fn delete(body: &[u8]) -> Result<Delete> {
    let mut delete = Delete::default();
    let mut key: Option<String> = None;
    walk(body, "Delete", |path, event| {
        match (path, event) {
            (["Delete", "Object", "Key"], Leaf::Text(text)) => key = Some(text.to_owned()),
            (["Delete", "Object"], Leaf::End) => {
                delete
                    .keys
                    .push(key.take().ok_or_else(S3Error::malformed_xml)?);
                if delete.keys.len() > DELETE_KEYS_MAX {
                    return Err(S3Error::malformed_xml());
                }
            }
            (["Delete", "Quiet"], Leaf::Text(text)) => delete.quiet = text.trim() == "true",
            _ => {}
        }
        Ok(())
    })?;
    Ok(delete)
}

/// `<CompleteMultipartUpload>`; an empty body names no parts.
pub(crate) fn complete(body: &[u8]) -> Result<Vec<CompletedPart>> {
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    let (mut number, mut etag) = (None, None);
    walk(body, "CompleteMultipartUpload", |path, event| {
        match (path, event) {
            ([_, "Part", "PartNumber"], Leaf::Text(text)) => {
                let read = text.trim().parse::<u16>().ok();
                number = read.filter(|number| (1..=PARTS_MAX).contains(&usize::from(*number)));
            }
            ([_, "Part", "ETag"], Leaf::Text(text)) => {
                etag = Some(text.trim().trim_matches('"').to_owned());
            }
            ([_, "Part"], Leaf::End) => {
                let (Some(number), Some(etag)) = (number.take(), etag.take()) else {
                    return Err(S3Error::malformed_xml());
                };
                parts.push(CompletedPart { number, etag });
                if parts.len() > PARTS_MAX {
                    return Err(S3Error::malformed_xml());
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(parts)
}

enum Leaf<'a> {
    /// All the text of an element, when it ends.
    Text(&'a str),
    /// An element's end, after its text.
    End,
}

/// Says every element's text and end, with the local names that lead to it.
fn walk(
    body: &[u8],
    root: &str,
    mut visit: impl FnMut(&[&str], Leaf<'_>) -> Result<()>,
) -> Result<()> {
    let wrong = |_| S3Error::malformed_xml();
    let body = std::str::from_utf8(body).map_err(|_| S3Error::malformed_xml())?;
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut names: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut roots = 0;
    loop {
        match reader.read_event().map_err(wrong)? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                roots += usize::from(names.is_empty());
                let misplaced = names.is_empty() && (name != root || roots > 1);
                if misplaced || names.len() == DEPTH_MAX {
                    return Err(S3Error::malformed_xml());
                }
                names.push(name);
                text.clear();
            }
            Event::End(_) => {
                let path: Vec<&str> = names.iter().map(String::as_str).collect();
                visit(&path, Leaf::Text(&text))?;
                visit(&path, Leaf::End)?;
                names.pop();
                text.clear();
            }
            Event::Text(part) => {
                let part = part.xml10_content();
                text.push_str(&part.map_err(|_| S3Error::malformed_xml())?);
            }
            Event::CData(part) => {
                let part = part.xml10_content();
                text.push_str(&part.map_err(|_| S3Error::malformed_xml())?);
            }
            Event::GeneralRef(entity) => text.push(character(&entity)?),
            // Empty elements are expanded, so none is seen.
            Event::DocType(_) | Event::Empty(_) => return Err(S3Error::malformed_xml()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if names.is_empty() && roots == 1 {
        Ok(())
    } else {
        Err(S3Error::malformed_xml())
    }
}

/// `&amp;`, `&#38;` and their like.
fn character(entity: &BytesRef<'_>) -> Result<char> {
    let wrong = S3Error::malformed_xml;
    if let Some(c) = entity.resolve_char_ref().map_err(|_| wrong())? {
        return Ok(c);
    }
    match entity.as_ref() {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_meant() {
        let body =
            b"<?xml version=\"1.0\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Object><Key>a &amp; b&#x41;</Key><VersionId>null</VersionId></Object>\
            <Object><Key><![CDATA[<c>]]></Key></Object>\n<Quiet>true</Quiet></Delete>";
        let read = delete(body).expect("well-formed");
        assert_eq!(read.keys, ["a & bA", "<c>"]);
        assert!(read.quiet);
    }

    #[test]
    fn parts_are_read() {
        let body = b"<CompleteMultipartUpload><Part><ETag>\"ab\"</ETag><PartNumber>2</PartNumber>\
            <ChecksumCRC32>x</ChecksumCRC32></Part></CompleteMultipartUpload>";
        let part = CompletedPart {
            number: 2,
            etag: "ab".to_owned(),
        };
        assert_eq!(complete(body).expect("well-formed"), [part]);
        assert_eq!(complete(b" \n").expect("empty"), []);
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        let nested = format!("<Delete>{}", "<a>".repeat(50));
        let many = format!(
            "<Delete>{}</Delete>",
            "<Object><Key>k</Key></Object>".repeat(DELETE_KEYS_MAX + 1)
        );
        let wrong: [&str; 10] = [
            "",
            "<Delete>",
            "<Remove></Remove>",
            "<Delete></Delete><Delete></Delete>",
            "<Delete><Object></Object></Delete>",
            "<!DOCTYPE a [<!ENTITY b \"cc\">]><Delete><Object><Key>&b;</Key></Object></Delete>",
            "<Delete><Object><Key>&b;</Key></Object></Delete>",
            "<Delete><Object><Key>a</Object></Key></Delete>",
            &nested,
            &many,
        ];
        for body in wrong {
            assert!(delete(body.as_bytes()).is_err(), "{body:.80}");
        }
        assert!(delete(b"<Delete>\xff</Delete>").is_err());
        for number in ["0", "10001", "x", "99999"] {
            let body = format!(
                "<CompleteMultipartUpload><Part><PartNumber>{number}</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"
            );
            assert!(complete(body.as_bytes()).is_err(), "{number}");
        }
    }
}
