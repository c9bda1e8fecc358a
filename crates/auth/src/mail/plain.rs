//! The plain text of an HTML mail: for programs that show no HTML, for spam
//! filters that distrust mails without it, and for tests that look for a code.

/// What a document says, its links in parentheses.
#[must_use]
pub fn plain_text(html: &str) -> String {
    let mut out = Out::default();
    let mut rest = html;
    while let Some((text, tag)) = rest.split_once('<') {
        out.text(text);
        let Some((tag, behind)) = end_of_tag(tag) else {
            rest = "";
            break;
        };
        rest = behind;
        let name: String = tag
            .chars()
            .take_while(|c| !c.is_whitespace() && *c != '>')
            .map(|c| c.to_ascii_lowercase())
            .collect();
        match name.as_str() {
            "style" | "script" | "head" | "title" => {
                let closing = format!("</{name}");
                // ASCII only, so positions are the same.
                let lower = rest.to_ascii_lowercase();
                rest = lower
                    .find(&closing)
                    .and_then(|at| rest.get(at..))
                    .unwrap_or("");
            }
            "a" => out.link = href(tag),
            "/a" => out.end_link(),
            "br" | "br/" | "tr" | "li" | "hr" => out.line(1),
            "p" | "/p" | "div" | "/div" | "table" | "ul" | "/ul" => out.line(2),
            heading if heading.trim_start_matches('/').starts_with(['h']) && heading.len() <= 3 => {
                out.line(2);
            }
            _ => {}
        }
    }
    out.text(rest);
    out.text.trim_end().to_owned()
}

#[derive(Default)]
struct Out {
    text: String,
    link: Option<String>,
    blank: bool,
}

impl Out {
    /// Blanks become one, as they are shown.
    fn text(&mut self, html: &str) {
        for c in unescape(html).chars() {
            if c.is_whitespace() {
                self.blank = true;
                continue;
            }
            if self.blank && !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.push(' ');
            }
            self.blank = false;
            self.text.push(c);
        }
    }

    fn line(&mut self, wanted: usize) {
        self.blank = false;
        let have = self.text.len() - self.text.trim_end_matches('\n').len();
        if !self.text.is_empty() {
            self.text
                .extend(std::iter::repeat_n('\n', wanted.saturating_sub(have)));
        }
    }

    fn end_link(&mut self) {
        if let Some(link) = self.link.take().filter(|link| !self.text.ends_with(link)) {
            self.text.push_str(" ( ");
            self.text.push_str(&link);
            self.text.push_str(" )");
        }
    }
}

/// Parts a tag from what is behind it; `>` in quotes does not end it.
fn end_of_tag(text: &str) -> Option<(&str, &str)> {
    if let Some(comment) = text.strip_prefix("!--") {
        return comment.split_once("-->").map(|(_, behind)| ("!", behind));
    }
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

fn href(tag: &str) -> Option<String> {
    let (_, value) = tag.split_once("href=")?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, _) = value.get(1..)?.split_once(quote)?;
    Some(unescape(value))
}

/// The entities that templates and our own escaping write.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let found = behind.split_once(';').filter(|(name, _)| name.len() <= 8);
        let decoded = found.and_then(|(name, behind)| Some((entity(name)?, behind)));
        if let Some((c, behind)) = decoded {
            out.push(c);
            rest = behind;
        } else {
            out.push('&');
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "copy" => Some('©'),
        "mdash" => Some('—'),
        "ndash" => Some('–'),
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_would_see() {
        let html = "<html><head><style>p { x }</style></head><body>\n<h2>Hi &amp; welcome</h2>\n\
            <p>Your  code:\n<b>123456</b></p><!-- > --><p><a title=\">\" href=\"https://x/?a=b&amp;c=d\">Go</a><br>bye</p></body></html>";
        assert_eq!(
            plain_text(html),
            "Hi & welcome\n\nYour code: 123456\n\nGo ( https://x/?a=b&c=d )\nbye"
        );
        assert_eq!(plain_text("a & b &unknown; <unclosed"), "a & b &unknown;");
    }

    proptest::proptest! {
        #[test]
        fn no_document_makes_it_panic(html in "(<|>|&|;|\"|[a-z/!#-]|İ|\\PC){0,60}") {
            let _ = plain_text(&html);
        }
    }
}
