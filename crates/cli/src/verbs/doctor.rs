//! `ferrobase doctor`: looks at machine, folder and database and says for each
//! thing whether it is fine and, if not, what to do. It changes nothing.

mod backups;
mod ports;

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use server::config::Mode;
use server::instance;
use server::operate::{self, Database, Examined};

use super::Scene;
use crate::args::DatabaseArgs;
use crate::failure::{Failure, Said};
use crate::output::{Output, Tone};
use crate::project::Workspace;

/// Below this PostgreSQL's own log files soon have no room.
const FREE_BYTES_WARN: u64 = 1 << 30;
/// A new cluster does not fit into less.
const FREE_BYTES_MIN: u64 = 96 << 20;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer.
struct Finding {
    grade: Grade,
    what: &'static str,
    found: String,
    next_step: Option<String>,
}

fn fine(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        grade: Grade::Ok,
        what,
        found: found.into(),
        next_step: None,
    }
}

fn finding(
    grade: Grade,
    what: &'static str,
    found: impl Into<String>,
    next_step: impl Into<String>,
) -> Finding {
    Finding {
        grade,
        what,
        found: found.into(),
        next_step: Some(next_step.into()),
    }
}

/// Checks everything, prints a line each, fails when a check failed.
pub(super) async fn run(scene: &Scene<'_>, args: DatabaseArgs) -> Result<ExitCode, Failure> {
    let workspace = scene.workspace(Mode::Dev, [args.flag()])?;
    let mut findings = vec![settings(&workspace)];
    if workspace.loaded.config.db.url.is_none() {
        findings.push(programs(&workspace));
        findings.push(folder(&workspace));
        findings.push(disk(workspace.data_dir()));
    }
    findings.extend(backups::look(&workspace, &scene.context));
    findings.extend(ports(&workspace));
    findings.extend(database(&workspace).await);
    print(scene.output, &findings)?;
    let failed = findings.iter().any(|one| one.grade == Grade::Fail);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(output: Output, findings: &[Finding]) -> Result<(), Failure> {
    if output.json {
        let checks: Vec<_> = findings
            .iter()
            .map(|one| {
                json!({
                    "check": one.what,
                    "result": word(one.grade).0,
                    "found": one.found,
                    "next_step": one.next_step,
                })
            })
            .collect();
        return output.value(&json!({"checks": checks}));
    }
    for one in findings {
        let (word, tone) = word(one.grade);
        let word = output.tone(&format!("{word:<4}"), tone);
        output.line(&format!("{word}  {}: {}", one.what, one.found))?;
        if let Some(next) = &one.next_step {
            output.line(&format!("      {next}"))?;
        }
    }
    Ok(())
}

fn word(grade: Grade) -> (&'static str, Tone) {
    match grade {
        Grade::Ok => ("ok", Tone::Good),
        Grade::Warn => ("warn", Tone::Warning),
        Grade::Fail => ("fail", Tone::Bad),
    }
}

fn settings(workspace: &Workspace) -> Finding {
    let warnings: Vec<&str> = workspace.warnings().map(String::as_str).collect();
    if !warnings.is_empty() {
        let next = "`ferrobase config explain` lists every setting.";
        return finding(Grade::Warn, "settings", warnings.join("; "), next);
    }
    let kind = if workspace.project.is_some() {
        "a Supabase project"
    } else {
        "no Supabase project, which is fine"
    };
    fine(
        "settings",
        format!("valid; {} is {kind}", workspace.root.display()),
    )
}

fn programs(workspace: &Workspace) -> Finding {
    const WHAT: &str = "PostgreSQL programs";
    let found = operate::find(&workspace.search);
    let shown: Vec<String> = found
        .usable
        .iter()
        .map(|one| format!("{}.{} in {}", one.major, one.minor, one.dir.display()))
        .collect();
    if shown.is_empty() {
        let next = format!("Run `{}`.", operate::install_hint());
        return finding(Grade::Fail, WHAT, "none of version 14 to 18", next);
    }
    fine(WHAT, shown.join(", "))
}

fn folder(workspace: &Workspace) -> Finding {
    const WHAT: &str = "data folder";
    let folder = workspace.data_dir();
    if let Some(running) = instance::read(folder) {
        return fine(
            WHAT,
            format!(
                "{}, in use by process {} at {}",
                folder.display(),
                running.pid,
                running.api_url
            ),
        );
    }
    let next = "Start as the user that owns it, or correct its mode.";
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fine(
            WHAT,
            format!("{} will be made by the first start", folder.display()),
        ),
        Err(error) => finding(Grade::Fail, WHAT, error.to_string(), next),
        Ok(meta) if !meta.is_dir() => finding(
            Grade::Fail,
            WHAT,
            format!("{} is not a folder", folder.display()),
            "Move it away.",
        ),
        Ok(_) if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() => finding(
            Grade::Fail,
            WHAT,
            format!("{} cannot be written", folder.display()),
            next,
        ),
        Ok(_) => fine(WHAT, format!("{}, not in use", folder.display())),
    }
}

fn disk(folder: &Path) -> Finding {
    const WHAT: &str = "disk space";
    let next = "Free some space: a full disk stops the database.";
    let existing = folder.ancestors().find(|path| path.exists());
    let Ok(stat) = rustix::fs::statvfs(existing.unwrap_or(Path::new("/"))) else {
        return finding(Grade::Warn, WHAT, "cannot be told", next);
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let shown = format!("{} MiB free", free >> 20);
    match free {
        ..FREE_BYTES_MIN => finding(Grade::Fail, WHAT, shown, next),
        FREE_BYTES_MIN..FREE_BYTES_WARN => finding(Grade::Warn, WHAT, shown, next),
        FREE_BYTES_WARN.. => fine(WHAT, shown),
    }
}

/// Whether the two ports are free, or ours already, or whose.
fn ports(workspace: &Workspace) -> Vec<Finding> {
    let config = &workspace.loaded.config;
    let running = instance::read(workspace.data_dir());
    let mut ports = vec![("API port", config.api.port, "--port")];
    if config.db.url.is_none() {
        ports.push(("database port", config.db.port, "--db-port"));
    }
    let ours = running.is_some();
    let judge = |(what, port, flag): (&'static str, u16, &str)| match ports::holder(port) {
        None => fine(what, format!("{port} is free")),
        Some(_) if ours => fine(what, format!("{port} is in use, as it should be")),
        Some(who) => finding(
            Grade::Warn,
            what,
            format!("{port} is in use by {who}"),
            format!("Stop that program, or start with {flag} and another port."),
        ),
    };
    ports.into_iter().map(judge).collect()
}

async fn database(workspace: &Workspace) -> Vec<Finding> {
    const WHAT: &str = "database";
    let config = &workspace.loaded.config;
    let opened = match Database::open_running(config) {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            let next = "Start it with `ferrobase dev` and ask again for the rest of the checks.";
            return vec![Finding {
                next_step: Some(next.to_owned()),
                ..fine(WHAT, "not running")
            }];
        }
        Err(error) => return vec![unreachable(Failure::from(error))],
    };
    let examined = opened.examine(&config.db.schemas).await;
    opened.close().await;
    match examined {
        Ok(examined) => of_database(&examined),
        Err(error) => vec![unreachable(Failure::from(error))],
    }
}

fn unreachable(failure: Failure) -> Finding {
    match failure {
        Failure::Said(Said {
            message,
            cause,
            next_step,
            ..
        }) => {
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            Finding {
                grade: Grade::Fail,
                what: "database",
                found: format!("{message}{cause}"),
                next_step,
            }
        }
        Failure::Quiet => finding(Grade::Fail, "database", "not reachable", "Check db.url."),
    }
}

fn of_database(examined: &Examined) -> Vec<Finding> {
    vec![
        version(examined),
        rights(examined),
        if examined.wal_level == "logical" {
            fine("wal_level", "logical")
        } else {
            finding(
                Grade::Warn,
                "wal_level",
                &examined.wal_level,
                "Set wal_level = logical and restart PostgreSQL; changes cannot be streamed before.",
            )
        },
        if examined.missing_extensions.is_empty() {
            fine("extensions", "all that projects usually want are available")
        } else {
            finding(
                Grade::Warn,
                "extensions",
                format!("not available: {}", examined.missing_extensions),
                "Install the packages if your migrations need them; CREATE EXTENSION is skipped otherwise.",
            )
        },
        if examined.unprotected.is_empty() {
            fine("row level security", "on for every exposed table")
        } else {
            finding(
                Grade::Warn,
                "row level security",
                format!("off for {}", examined.unprotected.join(", ")),
                "ALTER TABLE … ENABLE ROW LEVEL SECURITY, and write policies; until then anon is kept out, unless a table is declared public.",
            )
        },
    ]
}

fn version(examined: &Examined) -> Finding {
    let supported = (140_000..190_000).contains(&examined.version_number);
    if supported {
        return fine("database", format!("PostgreSQL {}", examined.version));
    }
    finding(
        Grade::Fail,
        "database",
        format!("PostgreSQL {}", examined.version),
        "Use version 14 to 18.",
    )
}

fn rights(examined: &Examined) -> Finding {
    const WHAT: &str = "rights";
    if examined.superuser {
        return fine(WHAT, "superuser");
    }
    if examined.prepared || (examined.may_create_roles && examined.may_create_schemas) {
        return fine(WHAT, "enough, without superuser");
    }
    finding(
        Grade::Fail,
        WHAT,
        "this role may not make roles and schemas",
        "Connect once as a role that may, so that Ferrobase's schema can be made.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lack_is_named_with_a_step() {
        let poor = Examined {
            version: "13.9".to_owned(),
            version_number: 130_009,
            wal_level: "replica".to_owned(),
            missing_extensions: "vector".to_owned(),
            unprotected: vec!["public.todos".to_owned()],
            ..Examined::default()
        };
        let findings = of_database(&poor);
        let grades: Vec<Grade> = findings.iter().map(|one| one.grade).collect();
        let (warn, fail) = (Grade::Warn, Grade::Fail);
        assert_eq!(grades, [fail, fail, warn, warn, warn]);
        assert!(findings.iter().all(|one| one.next_step.is_some()));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_its_parent() {
        let found = disk(Path::new("/none/such")).found;
        assert!(found.ends_with(" MiB free"), "{found}");
    }
}
