//! Where things are: the checkout, its files, the build folder, and git's answers about it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The checkout that this chore works on.
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// Finds the workspace root from the manifest folder that cargo hands to us, or else from the
    /// current folder upwards.
    pub(crate) fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => std::env::current_dir().context("could not read the current folder")?,
        };
        for folder in start.ancestors() {
            if folder.join("xtask").is_dir() && folder.join("Cargo.lock").is_file() {
                return Ok(Self {
                    root: folder.to_path_buf(),
                });
            }
        }
        bail!(
            "{} is not inside a checkout of this repository",
            start.display()
        )
    }

    /// A repository made of the given folder, for the tests of tidy.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Cargo's build folder; honours `CARGO_TARGET_DIR`.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), PathBuf::from)
    }

    /// The binary under test: `FERROBASE_BIN`, or else the development build.
    pub(crate) fn binary(&self) -> PathBuf {
        std::env::var_os("FERROBASE_BIN")
            .map_or_else(|| self.target().join("debug/ferrobase"), PathBuf::from)
    }

    /// Whether the caller chose the binary, so that building one would be in vain.
    pub(crate) fn binary_is_given() -> bool {
        std::env::var_os("FERROBASE_BIN").is_some()
    }

    /// The folder with PostgREST's specification as data. It lives beside the checkout, because
    /// it is too large for it and is shared with other checkouts.
    pub(crate) fn conformance_data(&self) -> Option<PathBuf> {
        let folder = self.root.parent()?.join("shared/conformance");
        folder
            .join("run_postgrest_cases.py")
            .is_file()
            .then_some(folder)
    }

    /// The folder with the official clients' own sources, whose tests no registry carries:
    /// `FERROBASE_SUITES`, or else `suites` beside the checkout.
    pub(crate) fn client_suites(&self) -> Option<PathBuf> {
        let beside = || self.root.parent().map(|parent| parent.join("suites"));
        std::env::var_os("FERROBASE_SUITES")
            .map(PathBuf::from)
            .or_else(beside)
            .filter(|folder| folder.is_dir())
    }

    /// Every file that is tracked or would be, relative to the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let listed = self.git([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let mut files = match listed {
            Some(text) => text
                .split('\0')
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
                .collect(),
            None => walk(&self.root)?,
        };
        files.sort();
        files.dedup();
        files.retain(|file| self.path(file).is_file());
        Ok(files)
    }

    /// What git prints for these arguments, or nothing when it fails or is not installed.
    pub(crate) fn git<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.root)
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The files below a folder that is not a git checkout, for example an unpacked source archive.
fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    const SKIPPED: [&str; 5] = ["target", ".git", "node_modules", ".venv", "__pycache__"];
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("could not list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let skipped = path
                .file_name()
                .is_some_and(|name| SKIPPED.iter().any(|skip| name == *skip));
            if skipped || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(root) {
                found.push(relative.to_path_buf());
            }
        }
    }
    Ok(found)
}
