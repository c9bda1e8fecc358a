//! Differences of files, as people read them.

use std::time::Duration;

use pg::{Row, Rows};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::hex;

/// Lines around a change.
const CONTEXT: usize = 3;
/// Comparing two unlike files takes quadratic time; after this the comparison
/// becomes coarse instead of late.
const FILE_TIME: Duration = Duration::from_millis(100);
/// Text of all differences in one answer at most. Files beyond it are named,
/// and can be fetched.
const BYTES_MAX: usize = 4 << 20;

/// Rows of `work.diff_files` as JSON, with a unified difference for texts.
pub(crate) fn files(rows: &Rows) -> Value {
    let mut left = BYTES_MAX;
    rows.iter().map(|row| file(&row, &mut left)).collect()
}

fn file(row: &Row<'_>, left: &mut usize) -> Value {
    let path = row.get(0).unwrap_or_default();
    let side = |hash: usize, size: usize, mode: usize| {
        row.get(hash).map(|hash| {
            let size: u64 = row.get(size).and_then(|n| n.parse().ok()).unwrap_or(0);
            json!({"sha256": hash, "size": size, "mode": row.get(mode)})
        })
    };
    let (before, after) = (side(2, 4, 6), side(3, 5, 7));
    let same_bytes = row.get(2) == row.get(3);
    let texts = (
        text(row, 8, before.is_some()),
        text(row, 9, after.is_some()),
    );
    let diff = match &texts {
        (Text::Is(old), Text::Is(new)) if !same_bytes => Some(unified(path, old, new)),
        _ => None,
    };
    let diff = diff.filter(|diff| diff.len() <= *left);
    *left -= diff.as_ref().map_or(0, String::len);
    let binary = matches!(texts.0, Text::Binary) || matches!(texts.1, Text::Binary);
    json!({
        "path": path, "change": row.get(1), "before": before, "after": after,
        "binary": binary, "diff": diff,
    })
}

/// One side of a difference.
enum Text {
    Is(String),
    Binary,
    /// Too large to come along.
    Unknown,
}

fn text(row: &Row<'_>, column: usize, exists: bool) -> Text {
    if !exists {
        return Text::Is(String::new());
    }
    let Some(bytes) = row.get(column).and_then(hex::decode) else {
        return Text::Unknown;
    };
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Text::Is(text),
        _ => Text::Binary,
    }
}

fn unified(path: &str, old: &str, new: &str) -> String {
    let mut names = (String::from("a/"), String::from("b/"));
    names.0.push_str(path);
    names.1.push_str(path);
    TextDiff::configure()
        .timeout(FILE_TIME)
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&names.0, &names.1)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reads_like_a_patch() {
        let old = "one\ntwo\nthree\n";
        assert_eq!(
            unified("src/a.txt", old, "one\n2\nthree\n"),
            "--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
        );
        let gone = unified("x", old, "");
        assert!(gone.contains("-one\n-two\n-three\n"), "{gone}");
    }
}
