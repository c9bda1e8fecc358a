//! Seed files: run once per database, remembered by path and hash in
//! `supabase_migrations.seed_files` as the official CLI does.
//!
//! A file that changed after it ran is not run again, because its rows are
//! already there; `db reset` starts over.

use std::path::{Path, PathBuf};

use pg::{Session, SqlBuf};
use sha2::{Digest as _, Sha256};

use super::error::ProjectError;
use super::history;
use super::run::{Runner, Source, check, read};

/// What [`seed`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedReport {
    /// The files run now, relative to the project.
    pub ran: Vec<String>,
    /// Patterns without files, changed files, skipped extensions.
    pub warnings: Vec<String>,
}

/// Runs the seed files that this database has not seen. `patterns` are
/// relative to the folder `supabase` of `root`.
pub async fn seed(
    session: &mut Session,
    root: &Path,
    patterns: &[String],
) -> Result<SeedReport, ProjectError> {
    let mut report = SeedReport::default();
    let mut files = Vec::new();
    for pattern in patterns {
        let found = glob(&root.join("supabase"), pattern)?;
        // A project without seeds still has the default setting.
        if found.is_empty() && pattern.trim_start_matches("./") != "seed.sql" {
            report
                .warnings
                .push(format!("no seed file matches {pattern}"));
        }
        for path in found {
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        return Ok(report);
    }
    let seen = seen(session).await?;
    for path in files {
        seed_file(session, root, &path, &seen, &mut report).await?;
    }
    Ok(report)
}

async fn seed_file(
    session: &mut Session,
    root: &Path,
    path: &Path,
    seen: &[(String, String)],
    report: &mut SeedReport,
) -> Result<(), ProjectError> {
    let label = path
        .strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string();
    let text = read(path)?;
    let hash = history::hex(&Sha256::digest(text.as_bytes()));
    if let Some((_, before)) = seen.iter().find(|(path, _)| *path == label) {
        if *before != hash {
            report.warnings.push(format!(
                "{label} was changed after it ran and is not run again; `ferrobase db reset` starts over"
            ));
        }
        return Ok(());
    }
    let statements = check(&label, &text)?;
    history::prepare(session).await?;
    let source = Source {
        file: &label,
        statements: &statements,
    };
    let mut runner = Runner::new(session);
    let record = async |session: &mut Session| {
        let sql = SqlBuf::fixed(
            "INSERT INTO supabase_migrations.seed_files (path, hash) VALUES ($1, $2) \
             ON CONFLICT (path) DO UPDATE SET hash = excluded.hash",
        )
        .bind(label.clone())
        .bind(hash.clone());
        session.query_buf(&sql).await.map(|_| ())
    };
    runner.run(source, record).await?;
    report.warnings.append(&mut runner.warnings);
    report.ran.push(label);
    Ok(())
}

/// Paths and hashes of the files that ran.
async fn seen(session: &mut Session) -> Result<Vec<(String, String)>, ProjectError> {
    let answer = session
        .query("SELECT path, hash FROM supabase_migrations.seed_files", &[])
        .await;
    let rows = match answer {
        Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => return Ok(Vec::new()),
        answer => answer.map_err(ProjectError::database("could not read the seed history"))?,
    };
    let pair = |row: pg::Row<'_>| Some((row.get(0)?.to_owned(), row.get(1)?.to_owned()));
    Ok(rows.iter().filter_map(pair).collect())
}

/// Runs `supabase/roles.sql` once, before the migrations. The official CLI
/// keeps no history of it; we do, beside the seeds, so that a start that failed
/// in between does not make the roles twice.
pub(super) async fn roles(session: &mut Session, root: &Path) -> Result<SeedReport, ProjectError> {
    let mut report = SeedReport::default();
    let path = root.join("supabase/roles.sql");
    if path.is_file() {
        let seen = seen(session).await?;
        seed_file(session, root, &path, &seen, &mut report).await?;
    }
    Ok(report)
}

/// Deeper patterns than this are a mistake.
const SEGMENTS_MAX: usize = 32;

/// The files that match, sorted. `*`, `?` and `[…]` match within one part of
/// the path, as in Go's `filepath.Glob`, which the official CLI uses.
fn glob(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, ProjectError> {
    let mut found = vec![if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        folder.to_owned()
    }];
    let parts = pattern
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    for part in parts.take(SEGMENTS_MAX) {
        let mut next = Vec::new();
        for base in &found {
            if !part.contains(['*', '?', '[']) {
                next.push(base.join(part));
            } else if base.is_dir() {
                for entry in std::fs::read_dir(base).map_err(ProjectError::file("read", base))? {
                    let name = entry.map_err(ProjectError::file("read", base))?.file_name();
                    if name.to_str().is_some_and(|name| matches(part, name)) {
                        next.push(base.join(name));
                    }
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}

/// Whether one part of a path matches one part of a pattern. Remembers the
/// last `*` only, so it takes no more than the product of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = name.get(n) {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => pattern.get(p + 1..).and_then(|rest| class(rest, c)),
            Some(&other) if other == c => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => (p, n) = (p + length, n + 1),
            (None, Some((after, at))) => {
                (p, n) = (after, at + 1);
                star = Some((after, at + 1));
            }
            (None, None) => return false,
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

/// `a-z]` or `^a-z]`: the length of the whole class when `c` is in it.
fn class(rest: &[char], c: char) -> Option<usize> {
    let end = rest.iter().skip(1).position(|c| *c == ']')? + 1;
    let negated = rest.first() == Some(&'^');
    let mut items = rest.get(usize::from(negated)..end)?;
    let mut inside = false;
    while let [first, tail @ ..] = items {
        if let ['-', last, more @ ..] = tail {
            inside |= (*first..=*last).contains(&c);
            items = more;
        } else {
            inside |= *first == c;
            items = tail;
        }
    }
    (inside != negated).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn parts_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*.sql", "a.sql"),
            ("*", ""),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[^a]*[0-9].sql", "bb1.sql"),
            ("*a*b*", "xaybz"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.sql", "a.sq"),
            ("a?c", "ac"),
            ("[a-c]x", "dx"),
            ("[^a]", "a"),
            ("[", "["),
            ("", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        let long = "a".repeat(3000);
        assert!(!matches(
            &"*a".repeat(100).replace("aa", "a*b"),
            &format!("{long}c")
        ));
    }

    #[test]
    fn globs_find_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["seeds/b.sql", "seeds/a.sql", "seeds/x.txt", "seed.sql"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |pattern| -> Vec<String> {
            let found = glob(folder.path(), pattern).unwrap();
            found
                .iter()
                .map(|p| p.strip_prefix(folder.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(names("./seeds/*.sql"), ["seeds/a.sql", "seeds/b.sql"]);
        assert_eq!(names("./seed.sql"), ["seed.sql"]);
        assert_eq!(names("*/?.sql"), ["seeds/a.sql", "seeds/b.sql"]);
        assert!(names("nope/*.sql").is_empty());
    }
}
