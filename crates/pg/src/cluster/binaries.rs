//! Finds PostgreSQL's programs on this machine.
//!
//! Nothing here reads the environment: the caller passes the values it read.
//! Start with [`find`], then [`choose`].

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::ClusterError;
use super::install::install_hint;

/// The major versions Ferrobase is tested with, oldest first.
pub const MAJORS: std::ops::RangeInclusive<u16> = 14..=18;

/// Folders whose children `<child>/bin` hold one version each, where packages
/// of Debian, the PostgreSQL project, Homebrew and Postgres.app put them.
const VERSIONED: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Where to look, as the caller knows it.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// `FERROBASE_PG_BINDIR`: when given, nothing else is looked at.
    pub bindir: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
}

/// One installed PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The folder that holds `postgres` and `initdb`.
    pub dir: PathBuf,
    /// 15 of 15.18.
    pub major: u16,
    /// 18 of 15.18.
    pub minor: u16,
}

impl Binaries {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// What [`find`] saw.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Every usable installation of a supported version, oldest first.
    pub usable: Vec<Binaries>,
    /// Every folder looked into.
    pub searched: Vec<PathBuf>,
    wanted: Wanted,
}

/// The program that tells the version, and one that must lie beside it.
#[derive(Clone, Copy, Debug)]
struct Wanted(&'static str, &'static str);

const SERVER: Wanted = Wanted("postgres", "initdb");
const CLIENTS: Wanted = Wanted("pg_dump", "pg_restore");

impl Default for Wanted {
    fn default() -> Self {
        SERVER
    }
}

/// Looks through all known places and asks each `postgres` for its version.
#[must_use]
pub fn find(search: &Search) -> Found {
    look_for(search, SERVER)
}

/// The same for programs that copy databases: they may be installed without
/// a server.
#[must_use]
pub(crate) fn find_clients(search: &Search) -> Found {
    look_for(search, CLIENTS)
}

fn look_for(search: &Search, wanted: Wanted) -> Found {
    let mut found = Found {
        wanted,
        ..Found::default()
    };
    if let Some(dir) = &search.bindir {
        found.look(dir);
        return found;
    }
    let mut on_path: Vec<PathBuf> = search
        .path
        .as_deref()
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    // A relative entry would let the folder we are started in choose what
    // root runs.
    on_path.retain(|dir| dir.is_absolute());
    for dir in on_path.iter().filter(|dir| dir.join(wanted.0).exists()) {
        found.look(dir);
    }
    for (parent, prefix) in VERSIONED {
        found.look_below(Path::new(parent), prefix);
    }
    found.look(Path::new("/usr/local/pgsql/bin"));
    // pg_config is a slow wrapper on Debian, so it is asked only when the
    // places above have nothing.
    if found.usable.is_empty()
        && let Some(dir) = pg_config_bindir(&on_path)
    {
        found.look(&dir);
    }
    found.usable.sort_by_key(|one| (one.major, one.minor));
    found
}

/// Takes the version of the data folder when there is one, else the newest.
pub(super) fn choose(
    found: &Found,
    data_dir: &Path,
    data_version: Option<&str>,
) -> Result<Binaries, ClusterError> {
    let chosen = match data_version {
        Some(version) => found
            .usable
            .iter()
            .rfind(|one| version == one.major.to_string()),
        None => found.usable.last(),
    };
    if let Some(chosen) = chosen {
        return Ok(chosen.clone());
    }
    match data_version {
        Some(version) if !found.usable.is_empty() => {
            let mut installed: Vec<u16> = found.usable.iter().map(|one| one.major).collect();
            installed.dedup();
            Err(ClusterError::VersionMismatch {
                data_dir: data_dir.to_owned(),
                data_version: version.to_owned(),
                installed,
            })
        }
        Some(_) | None => Err(ClusterError::NoBinaries {
            searched: found.searched.clone(),
            hint: install_hint(),
        }),
    }
}

impl Found {
    fn look_below(&mut self, parent: &Path, prefix: &str) {
        self.searched.push(parent.join(format!("{prefix}*/bin")));
        let Ok(entries) = fs::read_dir(parent) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                self.consider(&entry.path().join("bin"));
            }
        }
    }

    fn look(&mut self, dir: &Path) {
        self.searched.push(dir.to_owned());
        self.consider(dir);
    }

    fn consider(&mut self, dir: &Path) {
        // The file is resolved, not the folder: /usr/local/bin/postgres may be
        // a lone link into the folder that also holds initdb.
        let Wanted(program, beside) = self.wanted;
        let Ok(program) = fs::canonicalize(dir.join(program)) else {
            return;
        };
        let Some(dir) = program.parent() else {
            return;
        };
        if !dir.join(beside).exists() || self.usable.iter().any(|one| one.dir == dir) {
            return;
        }
        let Some((major, minor)) = output(&program, "--version").and_then(|text| version(&text))
        else {
            return;
        };
        if MAJORS.contains(&major) {
            self.usable.push(Binaries {
                dir: dir.to_owned(),
                major,
                minor,
            });
        }
    }
}

fn pg_config_bindir(path: &[PathBuf]) -> Option<PathBuf> {
    let program = path
        .iter()
        .map(|dir| dir.join("pg_config"))
        .find(|program| program.exists())?;
    output(&program, "--bindir").map(|text| PathBuf::from(text.trim()))
}

fn output(program: &Path, argument: impl AsRef<OsStr>) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`, also `18beta1`.
fn version(text: &str) -> Option<(u16, u16)> {
    let number = text.split_whitespace().nth(2)?;
    let major: String = number.chars().take_while(char::is_ascii_digit).collect();
    let minor: String = number
        .get(major.len()..)?
        .strip_prefix('.')
        .unwrap_or_default()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Some((major.parse().ok()?, minor.parse().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some((15, 18))
        );
        assert_eq!(version("postgres (PostgreSQL) 18beta1"), Some((18, 0)));
        assert_eq!(version("postgres (PostgreSQL) 9.6.24"), Some((9, 6)));
        assert_eq!(version("something else"), None);
    }

    fn installed(majors: &[u16]) -> Found {
        Found {
            usable: majors
                .iter()
                .map(|&major| Binaries {
                    dir: PathBuf::from(format!("/pg/{major}")),
                    major,
                    minor: 1,
                })
                .collect(),
            searched: vec![PathBuf::from("/pg")],
            ..Found::default()
        }
    }

    #[test]
    fn the_data_folder_decides_and_nothing_else_is_tried() {
        let found = installed(&[15, 17]);
        let dir = Path::new("/data");
        assert_eq!(choose(&found, dir, None).map(|b| b.major).ok(), Some(17));
        assert_eq!(
            choose(&found, dir, Some("15")).map(|b| b.major).ok(),
            Some(15)
        );
        let error = choose(&found, dir, Some("16")).err().map(|e| e.to_string());
        assert_eq!(
            error.as_deref(),
            Some("the data folder /data belongs to PostgreSQL 16, but installed is 15, 17")
        );
        let none = choose(&installed(&[]), dir, Some("16")).err();
        assert_eq!(none.map(|e| e.code()), Some("FB1001"));
    }

    #[test]
    fn an_explicit_folder_is_the_only_one() {
        let found = find(&Search {
            bindir: Some(PathBuf::from("/nowhere")),
            path: None,
        });
        assert!(found.usable.is_empty());
        assert_eq!(found.searched, [PathBuf::from("/nowhere")]);
    }
}
