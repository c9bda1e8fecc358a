//! `supabase/migrations/<version>_<name>.sql`: found, compared with what the
//! database remembers, applied in order, each with its record in one
//! transaction. `plan` is the rule and pure; [`up`] and [`list`] do it.

use std::path::{Path, PathBuf};

use kernel::Clock;
use pg::Session;

use super::error::ProjectError;
use super::history::{self, Applied};
use super::run::{Runner, Source, check, read};
use super::split::split;

/// Any number no other program is likely to lock: the letters `FerroPrj`.
const LOCK: &str = "5072865913364197994";

/// How long another node may migrate before we give up waiting for it.
const LOCK_WAIT: &str = "SET lock_timeout = '60s'";

/// A migration of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationFile {
    /// The digits before the first underscore.
    pub version: String,
    /// What follows, without the ending.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl MigrationFile {
    /// The file's name.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}_{}.sql", self.version, self.name)
    }

    /// Its name for people, relative to the project.
    fn label(&self) -> String {
        format!("supabase/migrations/{}", self.file())
    }

    fn read(&self) -> Result<String, ProjectError> {
        read(&self.path)
    }
}

/// One line of `migration list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The version.
    pub version: String,
    /// The name.
    pub name: String,
    /// Whether the project has the file.
    pub local: bool,
    /// Whether the database has run it.
    pub applied: bool,
}

/// What [`up`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpReport {
    /// The files applied now, in order.
    pub applied: Vec<String>,
    /// What was passed over.
    pub warnings: Vec<String>,
}

/// The folder's migrations in order of version, and warnings for the files
/// that are none.
pub fn local(folder: &Path) -> Result<(Vec<MigrationFile>, Vec<String>), ProjectError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
        entries => entries.map_err(ProjectError::file("read", folder))?,
    };
    let (mut files, mut warnings) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry.map_err(ProjectError::file("read", folder))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match parse_name(&name) {
            Some((version, name)) => files.push(MigrationFile {
                version,
                name,
                path,
            }),
            None if name.starts_with('.') || path.is_dir() => {}
            None => warnings.push(format!(
                "{name} is skipped: a migration is called <timestamp>_<name>.sql"
            )),
        }
    }
    files.sort_by(|a, b| (&a.version, &a.name).cmp(&(&b.version, &b.name)));
    warnings.sort();
    let twice = files
        .iter()
        .zip(files.iter().skip(1))
        .find(|(a, b)| a.version == b.version);
    if let Some((first, second)) = twice {
        return Err(ProjectError::SameVersion {
            first: first.file(),
            second: second.file(),
        });
    }
    Ok((files, warnings))
}

fn parse_name(file: &str) -> Option<(String, String)> {
    let (version, name) = file.strip_suffix(".sql")?.split_once('_')?;
    let digits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| (version.to_owned(), name.to_owned()))
}

/// Which files are to be applied: those the database has not, provided that it
/// has no others and none after them (unless `include_all`).
fn plan<'f>(
    files: &'f [MigrationFile],
    applied: &[Applied],
    include_all: bool,
) -> Result<Vec<&'f MigrationFile>, ProjectError> {
    let missing: Vec<String> = applied
        .iter()
        .filter(|a| !files.iter().any(|f| f.version == a.version))
        .map(|a| {
            format!("{}_{}", a.version, a.name)
                .trim_end_matches('_')
                .to_owned()
        })
        .collect();
    if !missing.is_empty() {
        return Err(ProjectError::Missing { versions: missing });
    }
    let pending: Vec<&MigrationFile> = files
        .iter()
        .filter(|f| !applied.iter().any(|a| a.version == f.version))
        .collect();
    let Some(last) = applied.last() else {
        return Ok(pending);
    };
    let early: Vec<String> = pending
        .iter()
        .filter(|f| f.version < last.version)
        .map(|f| f.file())
        .collect();
    if early.is_empty() || include_all {
        return Ok(pending);
    }
    Err(ProjectError::OutOfOrder {
        files: early,
        last: last.version.clone(),
    })
}

/// Applies what is missing. `session` belongs to the role that migrations run
/// as, which is `postgres` on our own cluster.
pub async fn up(
    session: &mut Session,
    folder: &Path,
    include_all: bool,
) -> Result<UpReport, ProjectError> {
    let (files, warnings) = local(folder)?;
    let mut report = UpReport {
        applied: Vec::new(),
        warnings,
    };
    if pending(session, &files, include_all).await?.is_empty() {
        return Ok(report);
    }
    // Several nodes may start at once: the others wait and find it done.
    let locking = ProjectError::database("could not wait for another node's migrations");
    lock(session).await.map_err(locking)?;
    let outcome = apply_all(session, &files, include_all, &mut report).await;
    // The lock would otherwise last as long as the session.
    let unlock = session
        .query("SELECT pg_advisory_unlock($1::text::bigint)", &[Some(LOCK)])
        .await;
    outcome?;
    unlock.map_err(ProjectError::database(
        "could not release the migration lock",
    ))?;
    Ok(report)
}

async fn lock(session: &mut Session) -> Result<(), pg::Error> {
    session.script(LOCK_WAIT).await?;
    session
        .query("SELECT pg_advisory_lock($1::text::bigint)", &[Some(LOCK)])
        .await?;
    session.script("RESET lock_timeout").await?;
    Ok(())
}

/// Compares files and history, also the texts of what was applied.
async fn pending<'f>(
    session: &mut Session,
    files: &'f [MigrationFile],
    include_all: bool,
) -> Result<Vec<&'f MigrationFile>, ProjectError> {
    let applied = history::applied(session).await?;
    let pending = plan(files, &applied, include_all)?;
    for file in files {
        let recorded = applied.iter().find(|a| a.version == file.version);
        let Some(recorded) = recorded.and_then(|a| a.fingerprint.as_deref()) else {
            continue;
        };
        let (text, label) = (file.read()?, file.label());
        let statements = split(&label, &text)?;
        let texts: Vec<&str> = statements.iter().map(|s| s.text).collect();
        if history::fingerprint(&texts) != recorded {
            return Err(ProjectError::Changed { file: label });
        }
    }
    Ok(pending)
}

async fn apply_all(
    session: &mut Session,
    files: &[MigrationFile],
    include_all: bool,
    report: &mut UpReport,
) -> Result<(), ProjectError> {
    let pending = pending(session, files, include_all).await?;
    if pending.is_empty() {
        return Ok(());
    }
    history::prepare(session).await?;
    let mut runner = Runner::new(session);
    for file in pending {
        let label = file.label();
        let text = file.read()?;
        let statements = check(&label, &text)?;
        let source = Source {
            file: &label,
            statements: &statements,
        };
        let texts: Vec<&str> = statements.iter().map(|s| s.text).collect();
        let record = async |session: &mut Session| {
            history::record(session, &file.version, &file.name, &texts).await
        };
        runner.run(source, record).await?;
        tracing::info!(
            migration = file.version,
            "Applied migration {}",
            file.file()
        );
        report.applied.push(file.file());
    }
    report.warnings.append(&mut runner.warnings);
    Ok(())
}

/// Files and history side by side.
pub async fn list(session: &mut Session, folder: &Path) -> Result<Vec<Listed>, ProjectError> {
    Ok(compare(
        &local(folder)?.0,
        &history::applied(session).await?,
    ))
}

/// The same for a database that does not exist yet.
pub fn list_files(folder: &Path) -> Result<Vec<Listed>, ProjectError> {
    Ok(compare(&local(folder)?.0, &[]))
}

fn compare(files: &[MigrationFile], applied: &[Applied]) -> Vec<Listed> {
    let gone = applied
        .iter()
        .filter(|a| !files.iter().any(|f| f.version == a.version));
    let mut listed: Vec<Listed> = gone
        .map(|a| Listed {
            version: a.version.clone(),
            name: a.name.clone(),
            local: false,
            applied: true,
        })
        .collect();
    listed.extend(files.iter().map(|f| Listed {
        version: f.version.clone(),
        name: f.name.clone(),
        local: true,
        applied: applied.iter().any(|a| a.version == f.version),
    }));
    listed.sort_by(|a, b| a.version.cmp(&b.version));
    listed
}

/// Makes an empty migration, named for this moment in UTC, and says where.
pub fn new(folder: &Path, name: &str, clock: &Clock) -> Result<PathBuf, ProjectError> {
    let name = name.trim().replace(' ', "_");
    let valid = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    // Longer names reach the limit of common file systems.
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(valid) {
        return Err(ProjectError::Name { name });
    }
    std::fs::create_dir_all(folder).map_err(ProjectError::file("make", folder))?;
    // Two made within one second still get their order.
    let latest = local(folder)?
        .0
        .pop()
        .and_then(|file| file.version.parse::<u64>().ok());
    let now = clock.now().strftime("%Y%m%d%H%M%S").to_string();
    let version = match (now.parse::<u64>(), latest) {
        (Ok(now), Some(latest)) if latest == now => (now + 1).to_string(),
        _ => now,
    };
    let path = folder.join(format!("{version}_{name}.sql"));
    std::fs::File::create_new(&path).map_err(ProjectError::file("make", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn files(versions: &[&str]) -> Vec<MigrationFile> {
        let file = |v: &&str| MigrationFile {
            version: (*v).to_owned(),
            name: "x".to_owned(),
            path: PathBuf::new(),
        };
        versions.iter().map(file).collect()
    }

    fn applied(versions: &[&str]) -> Vec<Applied> {
        let one = |v: &&str| Applied {
            version: (*v).to_owned(),
            name: "x".to_owned(),
            fingerprint: None,
        };
        versions.iter().map(one).collect()
    }

    fn planned(local: &[&str], done: &[&str], all: bool) -> Result<Vec<String>, &'static str> {
        let files = files(local);
        let plan = plan(&files, &applied(done), all).map_err(|error| error.code())?;
        Ok(plan.into_iter().map(|f| f.version.clone()).collect())
    }

    #[test]
    fn only_what_follows_is_applied() {
        assert_eq!(
            planned(&["1", "2", "3"], &["1"], false).unwrap(),
            ["2", "3"]
        );
        assert_eq!(planned(&["1"], &["1"], false).unwrap(), [""; 0]);
        assert_eq!(planned(&["1", "2"], &["2"], false), Err("FB2013"));
        assert_eq!(planned(&["1", "2"], &["2"], true).unwrap(), ["1"]);
        assert_eq!(planned(&["2"], &["1", "2"], true), Err("FB2012"));
    }

    #[test]
    fn names_are_digits_and_the_rest() {
        assert_eq!(
            parse_name("20240101000000_a_b.sql"),
            Some(("20240101000000".into(), "a_b".into()))
        );
        for none in ["a.sql", "_a.sql", "1_a.txt", "1a_b.sql", "README.md"] {
            assert_eq!(parse_name(none), None, "{none}");
        }
    }

    #[test]
    fn new_files_carry_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("migrations");
        let clock = Clock::manual("2026-02-03T04:05:06Z".parse().unwrap());
        let first = new(&folder, "add users", &clock).unwrap();
        assert!(first.ends_with("20260203040506_add_users.sql"));
        let second = new(&folder, "more", &clock).unwrap();
        assert!(second.ends_with("20260203040507_more.sql"));
        for bad in ["", "../x", "a/b", ".x"] {
            assert_eq!(new(&folder, bad, &clock).unwrap_err().code(), "FB2005");
        }
        let (found, warnings) = local(&folder).unwrap();
        assert_eq!((found.len(), warnings.len()), (2, 0));
    }
}
