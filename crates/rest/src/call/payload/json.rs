//! Reads a `JSON` body without building it: one pass that checks the grammar
//! and keeps the top-level keys.
//!
//! Iterative on purpose: what is open is a stack of bits, not of calls, so a
//! body of a million brackets is merely invalid. Start at [`top_level`].

use std::borrow::Cow;
use std::collections::BTreeSet;

use memchr::memchr2;

/// How deeply a body may nest. Postgres refuses a few thousand levels by its
/// own stack limit; nothing real comes near either.
const MAX_DEPTH: usize = 1024;

/// What stands at the top of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// An object with these keys.
    Object(BTreeSet<String>),
    /// An array of objects that all have these keys.
    Objects(BTreeSet<String>),
    /// A number, string, boolean or null.
    Other,
}

/// Why a text is no body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Invalid,
    KeysDiffer,
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

/// Checks the whole text; keys are compared only once it is known to be valid.
pub(super) fn top_level(text: &str) -> Result<Top, Fault> {
    let mut scanner = Scanner { text, at: 0 };
    let top = match scanner.next_byte() {
        Some(b'{') => Ok(Top::Object(set(&scanner.object()?))),
        Some(b'[') => scanner.objects()?,
        _ => {
            scanner.value()?;
            Ok(Top::Other)
        }
    };
    match scanner.next_byte() {
        None => top,
        Some(_) => Err(Fault::Invalid),
    }
}

type Keys<'t> = Vec<Cow<'t, str>>;

fn set(keys: &[Cow<'_, str>]) -> BTreeSet<String> {
    keys.iter().map(|key| key.as_ref().to_owned()).collect()
}

impl<'t> Scanner<'t> {
    /// The next byte that is not white space, without taking it.
    fn next_byte(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let skipped = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
            .unwrap_or(rest.len());
        self.at += skipped;
        rest.get(skipped).copied()
    }

    fn take(&mut self, wanted: u8) -> Result<(), Fault> {
        if self.next_byte() == Some(wanted) {
            self.at += 1;
            Ok(())
        } else {
            Err(Fault::Invalid)
        }
    }

    /// The elements of the outermost array. The outer error is a broken text,
    /// the inner one a valid text that is not a list of rows.
    fn objects(&mut self) -> Result<Result<Top, Fault>, Fault> {
        self.take(b'[')?;
        if self.next_byte() == Some(b']') {
            self.at += 1;
            return Ok(Ok(Top::Objects(BTreeSet::new())));
        }
        let mut first: Option<(Keys<'t>, BTreeSet<String>)> = None;
        let mut uniform = true;
        loop {
            if self.next_byte() == Some(b'{') {
                let keys = self.object()?;
                match &first {
                    None => {
                        let canonical = set(&keys);
                        first = Some((keys, canonical));
                    }
                    // Nearly always the same keys in the same order.
                    Some((same, canonical)) => {
                        uniform &= keys == *same || set(&keys) == *canonical;
                    }
                }
            } else {
                self.value()?;
                uniform = false;
            }
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(Fault::Invalid),
            }
        }
        self.at += 1;
        Ok(match first {
            Some((_, keys)) if uniform => Ok(Top::Objects(keys)),
            _ => Err(Fault::KeysDiffer),
        })
    }

    /// One object, keeping its own keys only.
    fn object(&mut self) -> Result<Keys<'t>, Fault> {
        let mut keys = Vec::new();
        self.take(b'{')?;
        if self.next_byte() == Some(b'}') {
            self.at += 1;
            return Ok(keys);
        }
        loop {
            self.next_byte();
            keys.push(self.key()?);
            self.take(b':')?;
            self.value()?;
            match self.next_byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(Fault::Invalid),
            }
        }
        self.at += 1;
        Ok(keys)
    }

    fn key(&mut self) -> Result<Cow<'t, str>, Fault> {
        let start = self.at;
        self.string()?;
        let quoted = self.text.get(start..self.at).ok_or(Fault::Invalid)?;
        if quoted.contains('\\') {
            let key: String = serde_json::from_str(quoted).map_err(|_| Fault::Invalid)?;
            return Ok(Cow::Owned(key));
        }
        let inner = quoted.get(1..quoted.len().saturating_sub(1));
        Ok(Cow::Borrowed(inner.ok_or(Fault::Invalid)?))
    }

    /// Any value. `open` remembers for each open bracket whether it is an
    /// object.
    fn value(&mut self) -> Result<(), Fault> {
        let mut open: Vec<bool> = Vec::new();
        loop {
            match self.next_byte().ok_or(Fault::Invalid)? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    let is_object = bracket == b'{';
                    let close = if is_object { b'}' } else { b']' };
                    if self.next_byte() == Some(close) {
                        self.at += 1;
                    } else {
                        if open.len() >= MAX_DEPTH {
                            return Err(Fault::Invalid);
                        }
                        open.push(is_object);
                        if is_object {
                            self.member()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                _ => self.word()?,
            }
            if !self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Closes what ends after a value; whether another value follows.
    fn after_value(&mut self, open: &mut Vec<bool>) -> Result<bool, Fault> {
        while let Some(&is_object) = open.last() {
            let close = if is_object { b'}' } else { b']' };
            match self.next_byte() {
                Some(b',') => {
                    self.at += 1;
                    if is_object {
                        self.next_byte();
                        self.member()?;
                    }
                    return Ok(true);
                }
                Some(byte) if byte == close => {
                    self.at += 1;
                    open.pop();
                }
                _ => return Err(Fault::Invalid),
            }
        }
        Ok(false)
    }

    /// `"key":` of a nested object.
    fn member(&mut self) -> Result<(), Fault> {
        self.string()?;
        self.take(b':')
    }

    /// A string, from quote to quote.
    fn string(&mut self) -> Result<(), Fault> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') {
            return Err(Fault::Invalid);
        }
        self.at += 1;
        loop {
            let rest = bytes.get(self.at..).ok_or(Fault::Invalid)?;
            let stop = memchr2(b'"', b'\\', rest).ok_or(Fault::Invalid)?;
            let plain = rest.get(..stop).ok_or(Fault::Invalid)?;
            if plain.iter().any(|byte| *byte < b' ') {
                return Err(Fault::Invalid);
            }
            self.at += stop + 1;
            if rest.get(stop) == Some(&b'"') {
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 1;
                Ok(())
            }
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) => {
                self.at += 5;
                Ok(())
            }
            _ => Err(Fault::Invalid),
        }
    }

    /// `true`, `false`, `null` or a number.
    fn word(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'E'))
            .unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if !(matches!(word, b"true" | b"false" | b"null") || is_number(word)) {
            return Err(Fault::Invalid);
        }
        self.at += end;
        Ok(())
    }
}

fn is_number(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let (whole, rest) = digits(word);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(rest) => match digits(rest) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    let [b'e' | b'E', rest @ ..] = rest else {
        return rest.is_empty();
    };
    let unsigned = match rest {
        [b'+' | b'-', unsigned @ ..] => unsigned,
        _ => rest,
    };
    matches!(digits(unsigned), ([_, ..], []))
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(top_level(&deep(1000)), Err(Fault::KeysDiffer));
        assert_eq!(top_level(&deep(2_000_000)), Err(Fault::Invalid));
        assert_eq!(top_level(&"{\"a\":".repeat(5000)), Err(Fault::Invalid));
    }

    #[test]
    fn keys_are_unescaped() {
        let keys = BTreeSet::from(["é".to_owned()]);
        assert_eq!(top_level(r#"{"\u00e9":1}"#), Ok(Top::Object(keys.clone())));
        assert_eq!(
            top_level(r#"[{"é":1},{"\u00e9":1}]"#),
            Ok(Top::Objects(keys))
        );
    }

    proptest! {
        /// A text is valid for the scanner exactly when it is for serde_json.
        #[test]
        fn agrees_with_serde(text in r#"[\[\]{},:"a\\ntrue0-9.e+ ]{0,12}"#) {
            let valid = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            let scanned = top_level(&text);
            prop_assert_eq!(valid, scanned != Err(Fault::Invalid), "{}", text);
        }
    }
}
