//! Where in an HTML document a value stands, and what must be done to it there.
//!
//! [`Document`] reads the template's own text character by character, as a
//! browser would. Values never change where we are: they are escaped so that
//! they cannot. So [`check`] can walk the tree once without data and find every
//! value that stands where none can be made safe (in a script, a tag's name, an
//! event handler), and branches that end in different places.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Mistake;
use super::functions::UNRESERVED;
use super::parse::Node;

/// Stands in for an address that must not be followed.
const BLOCKED: &str = "#blocked";

/// Attributes that are addresses.
const ADDRESSES: [&str; 13] = [
    "href",
    "src",
    "action",
    "formaction",
    "cite",
    "background",
    "poster",
    "longdesc",
    "usemap",
    "xlink:href",
    "data",
    "manifest",
    "ping",
];

/// Elements whose text is not markup.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// What an address keeps as it is: everything that has a meaning in one.
const ADDRESS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'\\')
    .add(b'^')
    .add(b'(')
    .add(b')');

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// Behind `<`.
    Less,
    /// Behind `<!`, until it is clear what it is.
    Bang,
    Comment,
    Declaration,
    TagName,
    /// Inside a tag, between attributes.
    Tag,
    AttributeName,
    AfterName,
    BeforeValue,
    /// In a value, in these quotes.
    Value(Option<char>),
    /// In an element of [`RAW`].
    Raw,
}

/// A document in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    out: String,
    place: Place,
    closing: bool,
    tag: String,
    attribute: String,
    /// Where in `out` the present attribute's value begins.
    value_start: usize,
}

impl Document {
    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// The template's own text, as it is.
    pub(super) fn literal(&mut self, text: &str) {
        for c in text.chars() {
            self.read(c);
        }
    }

    /// A value, made harmless.
    pub(super) fn value(&mut self, text: &str) {
        if self.place == Place::BeforeValue {
            self.begin_value(None);
        }
        match (&self.place, self.attribute_kind()) {
            (Place::Text, _) => escape(&mut self.out, text, false),
            (Place::Raw, _) if self.tag != "script" && self.tag != "style" => {
                escape(&mut self.out, text, false);
            }
            (Place::Value(quote), kind) => {
                let bare = quote.is_none();
                match kind {
                    Attribute::Plain => escape(&mut self.out, text, bare),
                    Attribute::Address => {
                        let so_far = self.out.get(self.value_start..).unwrap_or_default();
                        let safe = address(so_far, text);
                        escape(&mut self.out, &safe, bare);
                    }
                    Attribute::Style => self.out.extend(text.chars().filter(|c| plain(*c))),
                    Attribute::Code => {}
                }
            }
            // `check` has refused the template.
            _ => {}
        }
    }

    /// Why no value may stand here.
    fn objection(&self) -> Option<String> {
        match &self.place {
            Place::Text | Place::BeforeValue | Place::Value(_) => match self.attribute_kind() {
                Attribute::Code if self.place != Place::Text => {
                    let attribute = &self.attribute;
                    Some(format!("no value may stand in the attribute `{attribute}`"))
                }
                _ => None,
            },
            Place::Raw if self.tag == "script" || self.tag == "style" => {
                Some(format!("no value may stand inside <{}>", self.tag))
            }
            Place::Raw => None,
            Place::Comment => Some("no value may stand in a comment".to_owned()),
            Place::Less | Place::Bang | Place::Declaration | Place::TagName => {
                Some("no value may be part of a tag's name".to_owned())
            }
            Place::Tag | Place::AttributeName | Place::AfterName => {
                Some("a value in a tag must be an attribute's value, in quotes".to_owned())
            }
        }
    }

    fn attribute_kind(&self) -> Attribute {
        let name = self.attribute.as_str();
        if ADDRESSES.contains(&name) {
            Attribute::Address
        } else if name == "style" {
            Attribute::Style
        } else if name.starts_with("on")
            || matches!(
                name,
                "srcdoc" | "srcset" | "imagesrcset" | "archive" | "codebase"
            )
            || (self.tag == "meta" && name == "content")
        {
            Attribute::Code
        } else {
            Attribute::Plain
        }
    }

    /// The same place in the document, whatever was written before.
    fn is_where(&self, other: &Self) -> bool {
        self.place == other.place
            && (self.place == Place::Text
                || (self.tag == other.tag && self.attribute == other.attribute))
    }

    fn read(&mut self, c: char) {
        self.out.push(c);
        match &self.place {
            Place::Text if c == '<' => self.place = Place::Less,
            Place::Less => match c {
                '!' => self.place = Place::Bang,
                '/' => self.begin_tag(true),
                '<' => {}
                c if c.is_ascii_alphabetic() => {
                    self.begin_tag(false);
                    self.tag.push(c.to_ascii_lowercase());
                }
                _ => self.place = Place::Text,
            },
            Place::Bang if self.out.ends_with("<!--") => self.place = Place::Comment,
            Place::Bang if self.out.ends_with("<!-") => {}
            Place::Bang | Place::Declaration => {
                self.place = if c == '>' {
                    Place::Text
                } else {
                    Place::Declaration
                };
            }
            Place::Comment if c == '>' && self.out.ends_with("-->") => self.place = Place::Text,
            Place::TagName => match c {
                '>' => self.end_tag(),
                '/' => self.place = Place::Tag,
                c if c.is_ascii_whitespace() => self.place = Place::Tag,
                c => self.tag.push(c.to_ascii_lowercase()),
            },
            Place::Tag | Place::AttributeName | Place::AfterName | Place::BeforeValue => {
                self.read_in_tag(c);
            }
            Place::Value(quote) => {
                let ended = match quote {
                    Some(quote) => c == *quote,
                    None => c.is_ascii_whitespace() || c == '>',
                };
                let close = quote.is_none() && c == '>';
                if ended {
                    self.attribute.clear();
                    self.place = Place::Tag;
                }
                if close {
                    self.end_tag();
                }
            }
            Place::Raw if matches!(c, '>' | '/') || c.is_ascii_whitespace() => self.end_raw(c),
            Place::Text | Place::Comment | Place::Raw => {}
        }
    }

    fn read_in_tag(&mut self, c: char) {
        match (&self.place, c) {
            (_, '>') => self.end_tag(),
            (Place::AttributeName | Place::AfterName, '=') => self.place = Place::BeforeValue,
            (Place::BeforeValue, c) if c.is_ascii_whitespace() => {}
            (Place::BeforeValue, '"' | '\'') => self.begin_value(Some(c)),
            (Place::BeforeValue, c) => {
                self.begin_value(None);
                self.value_start -= c.len_utf8();
            }
            (Place::AttributeName, c) if c.is_ascii_whitespace() => self.place = Place::AfterName,
            (_, '/') => self.place = Place::Tag,
            (Place::AttributeName, c) => self.attribute.push(c.to_ascii_lowercase()),
            (_, c) if c.is_ascii_whitespace() => {}
            (_, c) => {
                self.place = Place::AttributeName;
                self.attribute.clear();
                self.attribute.push(c.to_ascii_lowercase());
            }
        }
    }

    fn begin_tag(&mut self, closing: bool) {
        self.closing = closing;
        self.tag.clear();
        self.attribute.clear();
        self.place = Place::TagName;
    }

    fn begin_value(&mut self, quote: Option<char>) {
        self.place = Place::Value(quote);
        self.value_start = self.out.len();
    }

    fn end_tag(&mut self) {
        let raw = !self.closing && RAW.contains(&self.tag.as_str());
        self.place = if raw { Place::Raw } else { Place::Text };
        self.attribute.clear();
    }

    /// `</script` and its like, when `c` comes behind them.
    fn end_raw(&mut self, c: char) {
        let before = self.out.len() - c.len_utf8();
        let start = before.checked_sub(self.tag.len() + 2);
        let name = start.and_then(|start| self.out.get(start..before));
        let ends = name.is_some_and(|name| {
            name.strip_prefix("</")
                .is_some_and(|name| name.eq_ignore_ascii_case(&self.tag))
        });
        if ends {
            self.closing = true;
            self.place = Place::Tag;
            if c == '>' {
                self.end_tag();
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Plain,
    Address,
    Style,
    /// Runs, or is read as markup or several addresses.
    Code,
}

fn escape(out: &mut String, text: &str, bare: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => {}
            // Without quotes a blank would end the value.
            c if bare && (c.is_ascii_whitespace() || matches!(c, '=' | '`')) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "&#{};", c as u32);
            }
            c => out.push(c),
        }
    }
}

/// What may stand in a style: enough for colours, sizes and fonts.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || " #.,%-_".contains(c)
}

/// A value inside an address, of which `so_far` already stands there.
fn address(so_far: &str, value: &str) -> String {
    if so_far.contains(['?', '#']) {
        return utf8_percent_encode(value, UNRESERVED).to_string();
    }
    let value = value.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    if so_far.trim().is_empty() {
        if !may_follow(value) {
            return BLOCKED.to_owned();
        }
        return utf8_percent_encode(value, ADDRESS).to_string();
    }
    let encoded = utf8_percent_encode(value, ADDRESS).to_string();
    if so_far.contains(['/', ':']) {
        return encoded;
    }
    // `href="java{{ . }}"` must not become a scheme.
    encoded.replace(':', "%3A")
}

/// Addresses of the web and of mail, and those without a scheme. Go's
/// `html/template` allows the same.
fn may_follow(value: &str) -> bool {
    let Some((before, _)) = value.split_once(':') else {
        return true;
    };
    if before.contains(['/', '?', '#']) {
        return true;
    }
    ["http", "https", "mailto"]
        .iter()
        .any(|scheme| before.eq_ignore_ascii_case(scheme))
}

/// Looks for values in unsafe places and for branches that disagree.
pub(super) fn check(nodes: &[Node]) -> Result<(), Mistake> {
    let mut document = Document::default();
    walk(&mut document, nodes)?;
    if document.place == Place::Text {
        return Ok(());
    }
    let lines = document.out.matches('\n').count() + 1;
    Err(Mistake::new(lines, "the document ends inside of a tag"))
}

fn walk(document: &mut Document, nodes: &[Node]) -> Result<(), Mistake> {
    for node in nodes {
        match node {
            Node::Text(text) => document.literal(text),
            Node::Set(..) => {}
            Node::Show(_, line) => {
                if let Some(objection) = document.objection() {
                    return Err(Mistake::new(*line, objection));
                }
                document.value("x");
            }
            Node::If {
                then,
                otherwise,
                line,
                ..
            }
            | Node::With {
                then,
                otherwise,
                line,
                ..
            } => branches(document, then, otherwise, *line)?,
            Node::Range {
                body,
                otherwise,
                line,
                ..
            } => {
                let start = document.clone();
                branches(document, body, otherwise, *line)?;
                if !document.is_where(&start) {
                    let message = "the body of `range` ends in another place than it begins";
                    return Err(Mistake::new(*line, message));
                }
            }
        }
    }
    Ok(())
}

fn branches(
    document: &mut Document,
    then: &[Node],
    otherwise: &[Node],
    line: usize,
) -> Result<(), Mistake> {
    let mut other = document.clone();
    walk(document, then)?;
    walk(&mut other, otherwise)?;
    if document.is_where(&other) {
        return Ok(());
    }
    let message = "the branches end in different places of the document";
    Err(Mistake::new(line, message))
}
