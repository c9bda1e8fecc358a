//! `.env` files, read for `env(NAME)` in `config.toml`. Pure, except for
//! [`Env::load`]. What the process's environment says outranks every file.

use std::collections::HashMap;
use std::path::Path;

use super::error::ProjectError;

/// The files, the strongest first.
const FILES: [&str; 4] = ["supabase/.env.local", "supabase/.env", ".env.local", ".env"];

/// Larger is no `.env` file but something else by that name.
const BYTES_MAX: u64 = 1 << 20;

/// Names and values of a project's `.env` files.
#[derive(Default)]
pub(super) struct Env(HashMap<String, String>);

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values are secrets more often than not.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Env {
    /// Reads the files that exist below `root`.
    pub(super) fn load(root: &Path) -> Result<Self, ProjectError> {
        let mut all = HashMap::new();
        for file in FILES {
            let path = root.join(file);
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() && meta.len() <= BYTES_MAX => {}
                _ => continue,
            }
            let text = std::fs::read_to_string(&path).map_err(ProjectError::file("read", &path))?;
            for (name, value) in parse(&text) {
                all.entry(name).or_insert(value);
            }
        }
        Ok(Self(all))
    }

    /// A value.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// `NAME=value` lines; `export`, quotes and comments as usual. A later line
/// outranks an earlier one. What is no such line is left out.
fn parse(text: &str) -> HashMap<String, String> {
    let lines = text.trim_start_matches('\u{feff}').lines();
    lines.filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(valid) {
        return None;
    }
    Some((name.to_owned(), value_of(value.trim())))
}

fn value_of(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split('\'').next().unwrap_or_default().to_owned();
    }
    let Some(inner) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        let bare = value.get(..end).unwrap_or_default();
        return if bare.starts_with('#') {
            String::new()
        } else {
            bare.trim_end().to_owned()
        };
    };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_everywhere() {
        let env = parse(
            "# c\nA=1\nexport B = two # c\nC='a # \\n b'\nD=\"x\\ny\\\"\" # c\nE=\nnot a line\nA=3\nF=a#b\n",
        );
        let want = [
            ("A", "3"),
            ("B", "two"),
            ("C", "a # \\n b"),
            ("D", "x\ny\""),
            ("E", ""),
            ("F", "a#b"),
        ];
        for (name, value) in want {
            assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(env.len(), want.len());
    }
}
