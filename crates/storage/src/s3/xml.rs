//! The documents of the protocol: a writer that cannot be talked into markup,
//! and readers for the two bodies that clients send.

pub(crate) mod read;

use quick_xml::escape::escape;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Writes one document, element after element.
#[derive(Debug)]
pub(crate) struct Writer {
    out: String,
    open: Vec<&'static str>,
}

impl Writer {
    /// A document whose root is in S3's namespace.
    pub(crate) fn new(root: &'static str) -> Self {
        let mut writer = Self {
            out: String::from(DECLARATION),
            open: vec![root],
        };
        writer.push(&["<", root, " xmlns=\"", NAMESPACE, "\">"]);
        writer
    }

    /// One without, as errors are.
    pub(crate) fn bare(root: &'static str) -> Self {
        let mut writer = Self {
            out: String::from(DECLARATION),
            open: vec![root],
        };
        writer.push(&["<", root, ">"]);
        writer
    }

    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.push_str(part);
        }
    }

    /// Text of the element that is open; what XML cannot hold at all becomes
    /// U+FFFD.
    pub(crate) fn plain(&mut self, text: &str) -> &mut Self {
        let storable = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        let clean: String = text
            .chars()
            .map(|c| if storable(c) { c } else { '\u{fffd}' })
            .collect();
        self.push(&[&escape(clean.as_str())]);
        self
    }

    /// `<name>text</name>`.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.push(&["<", name, ">"]);
        self.plain(text);
        self.push(&["</", name, ">"]);
        self
    }

    /// The same, where there is something.
    pub(crate) fn maybe(&mut self, name: &'static str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    pub(crate) fn number(&mut self, name: &'static str, number: u64) -> &mut Self {
        self.text(name, &number.to_string())
    }

    pub(crate) fn yes_no(&mut self, name: &'static str, yes: bool) -> &mut Self {
        self.text(name, if yes { "true" } else { "false" })
    }

    /// Opens an element; [`Writer::close`] ends it.
    pub(crate) fn open(&mut self, name: &'static str) -> &mut Self {
        self.open.push(name);
        self.push(&["<", name, ">"]);
        self
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.push(&["</", name, ">"]);
        }
        self
    }

    /// The document, all that is open closed.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_nest_and_end() {
        let mut xml = Writer::new("A");
        xml.open("B").number("N", 3).close().maybe("C", None);
        xml.yes_no("D", true).open("E");
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <A xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <B><N>3</N></B><D>true</D><E></E></A>"
        );
    }
}
