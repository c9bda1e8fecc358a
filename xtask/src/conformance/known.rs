//! A list of known failures: cases that fail today, one reason a line. There is one for PostgREST's
//! specification and one for the official clients' own tests.
//!
//! A line is `<case id> <reason>`; lines that open with `#` are for readers. The list may only
//! shrink: tidy compares it with the version before.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::conformance::replay::Case;
use crate::step::Tally;

/// The listed cases with their reasons.
#[derive(Debug, Default)]
pub(crate) struct Known {
    reasons: BTreeMap<String, String>,
}

impl Known {
    /// Reads the list; a missing file is an empty list.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("in {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut reasons = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((id, reason)) = line
                .split_once(' ')
                .filter(|(_, reason)| !reason.trim().is_empty())
            else {
                bail!(
                    "line {}: a known failure needs its reason after the case",
                    number + 1
                );
            };
            if reasons
                .insert(id.to_owned(), reason.trim().to_owned())
                .is_some()
            {
                bail!("line {}: {id} is listed twice", number + 1);
            }
        }
        Ok(Self { reasons })
    }

    pub(crate) fn lists(&self, id: &str) -> bool {
        self.reasons.contains_key(id)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.reasons.keys().map(String::as_str)
    }

    /// The list after this whole run: reasons already written stay.
    pub(crate) fn updated(&self, cases: &[Case]) -> Self {
        let failing = cases.iter().filter(|case| !case.strict);
        let reasons = failing.map(|case| {
            let reason = self.reasons.get(&case.id).unwrap_or(&case.reason);
            (case.id.clone(), reason.clone())
        });
        Self {
            reasons: reasons.collect(),
        }
    }

    /// Says what fails without being listed, and what is listed without failing. Passed and failed
    /// count neither kind of known failure. `shrink` is the command that rewrites the list.
    pub(crate) fn judge(&self, cases: &[Case], shrink: &str) -> Tally {
        let passed = cases.iter().filter(|case| case.strict).count();
        let failing = cases.iter().filter(|case| !case.strict);
        let (listed, new): (Vec<_>, Vec<_>) = failing.partition(|case| self.lists(&case.id));
        for case in &new {
            println!(
                "NEW FAILURE {} ({})\n    {}",
                case.id, case.title, case.reason
            );
        }
        let mended: Vec<&str> = cases
            .iter()
            .filter(|case| case.strict && self.lists(&case.id))
            .map(|case| case.id.as_str())
            .collect();
        if !mended.is_empty() {
            println!(
                "{} listed cases pass now; shrink the list with `{shrink}`:",
                mended.len()
            );
            for id in mended.iter().take(20) {
                println!("    {id}");
            }
        }
        println!(
            "strict {passed} of {}; {} known failures, {} new ones",
            cases.len(),
            listed.len(),
            new.len()
        );
        Tally {
            passed,
            failed: new.len(),
        }
    }

    /// Writes the list below what is said to its readers.
    pub(crate) fn save(&self, path: &Path, header: &str) -> Result<()> {
        let mut text = header.to_owned();
        for (id, reason) in &self.reasons {
            text.push_str(id);
            text.push(' ');
            text.push_str(reason);
            text.push('\n');
        }
        std::fs::write(path, text)
            .with_context(|| format!("could not write {}", path.display()))?;
        println!(
            "{} now lists {} known failures",
            path.display(),
            self.reasons.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, strict: bool) -> Case {
        Case {
            id: id.to_owned(),
            title: id.to_owned(),
            strict,
            reason: "body differs".to_owned(),
        }
    }

    #[test]
    fn every_line_needs_a_reason_and_stands_once() {
        assert!(
            Known::parse("# note\n\nQuery:1 no fts yet\n")
                .is_ok_and(|known| known.lists("Query:1"))
        );
        assert!(Known::parse("Query:1\n").is_err());
        assert!(Known::parse("Query:1 \n").is_err());
        assert!(Known::parse("Query:1 a\nQuery:1 b\n").is_err());
    }

    #[test]
    fn an_update_keeps_reasons_drops_what_passes_and_adds_what_fails() {
        let known = Known::parse("Query:1 no fts yet\nQuery:2 gone\n").expect("a valid list");
        let next = known.updated(&[
            case("Query:1", false),
            case("Query:2", true),
            case("Query:3", false),
        ]);
        assert_eq!(next.ids().collect::<Vec<_>>(), ["Query:1", "Query:3"]);
        assert_eq!(
            next.reasons.get("Query:1").map(String::as_str),
            Some("no fts yet")
        );
    }
}
