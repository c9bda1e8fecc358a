//! `cargo xtask tidy`: the house rules that neither rustc nor clippy knows, in under a second.
//!
//! Each rule is a function from the listed files to complaints. Rules about crates are in
//! `arrows`, rules about Rust and SQL text in `source`, rules about documents, lists and what
//! must not leak into the repository in `documents`. A new rule gets a test that trips it.

mod arrows;
mod documents;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::repo::Repo;
use crate::step::Tally;

/// One broken rule, at a place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    file: PathBuf,
    line: usize,
    text: String,
}

impl Complaint {
    fn new(file: &Path, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_path_buf(),
            line,
            text: text.into(),
        }
    }
}

/// A text file of the repository.
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        self.path
            .extension()
            .is_some_and(|found| found == extension)
    }

    fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    fn is_below(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Lines with their numbers, counted from one.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// Checks everything and prints what is wrong.
pub(crate) fn run(repo: &Repo) -> Result<bool> {
    Ok(tally(repo)?.failed == 0)
}

/// As [`run`], with one failed test for each complaint.
pub(crate) fn tally(repo: &Repo) -> Result<Tally> {
    let (files, complaints) = check(repo)?;
    for complaint in &complaints {
        println!(
            "{}:{}: {}",
            complaint.file.display(),
            complaint.line,
            complaint.text
        );
    }
    if complaints.is_empty() {
        println!("{files} files are tidy");
    }
    Ok(Tally {
        passed: 0,
        failed: complaints.len(),
    })
}

/// The number of files read, and what is wrong with them.
fn check(repo: &Repo) -> Result<(usize, Vec<Complaint>)> {
    let mut files = Vec::new();
    for path in repo.files()? {
        let bytes = std::fs::read(repo.path(&path))
            .with_context(|| format!("could not read {}", path.display()))?;
        // Pictures and other bytes have no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path, text });
        }
    }
    let mut complaints = Vec::new();
    complaints.extend(arrows::check(&files));
    complaints.extend(source::check(&files));
    complaints.extend(source::gone(&files));
    complaints.extend(documents::check(repo, &files));
    complaints.sort();
    Ok((files.len(), complaints))
}

#[cfg(test)]
mod tests;
