//! Reads what jest and pytest say of each test.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::conformance::Case;

/// What became of a suite.
#[derive(Default)]
pub(super) struct Report {
    pub(super) cases: Vec<Case>,
    /// Tests that the suite itself passes over.
    skipped: usize,
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.cases.extend(other.cases);
        self.skipped += other.skipped;
    }

    pub(super) fn counts(&self) -> String {
        let passed = self.cases.iter().filter(|case| case.strict).count();
        let failed = self.cases.len() - passed;
        format!("{passed} passed, {failed} failed, {} skipped", self.skipped)
    }
}

/// The document that `jest --json` writes.
pub(super) fn jest(suite: &str, text: &str) -> Result<Report> {
    let document: Value = serde_json::from_str(text).context("jest's results are not JSON")?;
    let mut report = Report::default();
    for file in list(&document, "testResults") {
        let path = string(file, "name");
        let stem = Path::new(path)
            .file_name()
            .map_or(path.into(), |name| name.to_string_lossy());
        let stem = stem.split('.').next().unwrap_or_default();
        let tests = list(file, "assertionResults");
        if tests.is_empty() {
            bail!(
                "{path} did not run: {}",
                first_line(string(file, "message"))
            );
        }
        for test in tests {
            let title = string(test, "fullName");
            let strict = match string(test, "status") {
                "passed" => true,
                "failed" => false,
                _ => {
                    report.skipped += 1;
                    continue;
                }
            };
            let failures = list(test, "failureMessages");
            let reason = failures.first().and_then(Value::as_str).unwrap_or_default();
            report.cases.push(Case {
                id: format!("{suite}/{stem}:{}", slug(title)),
                title: title.to_owned(),
                strict,
                reason: first_line(reason),
            });
        }
    }
    if report.cases.is_empty() {
        bail!("jest ran no test");
    }
    Ok(report)
}

/// The short summary that `pytest -rA` prints.
pub(super) fn pytest(suite: &str, text: &str) -> Report {
    let mut report = Report::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        let strict = match word {
            "PASSED" | "XPASS" => true,
            "FAILED" | "ERROR" => false,
            "SKIPPED" | "XFAIL" => {
                report.skipped += 1;
                continue;
            }
            _ => continue,
        };
        let (name, reason) = rest.split_once(" - ").unwrap_or((rest, ""));
        // Captured output may begin with the same words.
        let Some((file, title)) = name.split_once(".py::") else {
            continue;
        };
        let file = file.strip_prefix("tests/").unwrap_or(file);
        report.cases.push(Case {
            id: format!("{suite}/{file}:{}", slug(title)),
            title: name.to_owned(),
            strict,
            reason: first_line(reason),
        });
    }
    report
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn string<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A title without what would end a word in a list.
fn slug(title: &str) -> String {
    title.split_whitespace().collect::<Vec<_>>().join("-")
}

/// Short enough for a list, and without terminal colours.
fn first_line(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    let line = text.lines().find(|line| !line.trim().is_empty());
    let plain: String = line
        .unwrap_or("no reason given")
        .split('\u{1b}')
        .enumerate()
        .map(|(index, part)| match part.split_once('m') {
            Some((_, rest)) if index > 0 => rest,
            _ => part,
        })
        .collect();
    plain.trim().chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(report: &Report) -> Vec<(&str, bool)> {
        let cases = report.cases.iter();
        cases.map(|case| (case.id.as_str(), case.strict)).collect()
    }

    #[test]
    fn jest_names_the_file_and_the_test() {
        let text = r#"{"testResults": [{"name": "/x/test/basic.test.ts", "assertionResults": [
            {"fullName": "reads  two rows", "status": "passed", "failureMessages": []},
            {"fullName": "writes", "status": "failed",
             "failureMessages": ["\n\u001b[31mError\u001b[39m: no\nat line 1"]},
            {"fullName": "later", "status": "pending", "failureMessages": []}]}]}"#;
        let report = jest("js", text).expect("valid results");
        assert_eq!(
            ids(&report),
            [
                ("js/basic:reads-two-rows", true),
                ("js/basic:writes", false)
            ]
        );
        assert_eq!(report.counts(), "1 passed, 1 failed, 1 skipped");
        let reason = report.cases.get(1).map(|case| case.reason.as_str());
        assert_eq!(reason, Some("Error: no"));
    }

    #[test]
    fn a_file_that_jest_cannot_run_is_no_success() {
        let text = r#"{"testResults": [{"name": "a.test.ts", "message": "no such module",
            "assertionResults": []}]}"#;
        assert!(jest("js", text).is_err());
        assert!(jest("js", r#"{"testResults": []}"#).is_err());
    }

    #[test]
    fn pytest_names_the_file_and_the_test() {
        let text = "PASSED tests/_sync/test_a.py::test_b[x y]\n\
            FAILED tests/test_c.py::test_d - AssertionError: no\n\
            SKIPPED [1] tests/test_c.py:3: later\n\
            ERROR of some other kind\n1 failed, 1 passed in 0.1s\n";
        let report = pytest("py", text);
        assert_eq!(
            ids(&report),
            [
                ("py/_sync/test_a:test_b[x-y]", true),
                ("py/test_c:test_d", false)
            ]
        );
        assert_eq!(report.counts(), "1 passed, 1 failed, 1 skipped");
    }
}
