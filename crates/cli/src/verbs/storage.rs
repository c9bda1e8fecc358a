//! `ferrobase storage fsck`: files and rows held against each other.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use server::operate::storage::{Fsck, FsckError, KeepingError, Problem, Report};

use super::db::open;
use super::{Scene, mode};
use crate::args::storage::FsckArgs;
use crate::failure::{Failure, Said, failure};

/// Something is not as it should be. Not 1, so that scripts can tell it from a
/// failure.
const OBJECTION: u8 = 3;

/// Problems that `--json` lists; more are only counted.
const LISTED_MAX: usize = 10_000;

/// Looks, tells, and repairs what it may.
pub(super) async fn fsck(scene: &Scene<'_>, args: FsckArgs) -> Result<ExitCode, Failure> {
    let output = scene.output;
    let workspace = scene.workspace(mode(args.serve), [args.database.flag()])?;
    let database = open(scene, &workspace).await?;
    let fsck = Fsck {
        verify: args.verify,
        repair: args.repair,
        forget: args.forget_missing,
    };
    let mut problems = Vec::new();
    let tell = |problem: Problem| {
        if !output.json {
            // A reader that has gone does not stop a repair.
            let _ = output.line(&told(&problem));
        } else if problems.len() < LISTED_MAX {
            problems.push(document(&problem));
        }
    };
    let config = &workspace.loaded.config;
    let report = Box::pin(database.fsck(config, &scene.context, fsck, tell)).await;
    database.close().await;
    let report = report?;
    if output.json {
        output.value(&json!({
            "clean": report.is_clean(),
            "problems": problems,
            "report": counts(&report),
        }))?;
    } else {
        output.text(&summary(&report))?;
    }
    let objection = ExitCode::from(OBJECTION);
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        objection
    })
}

fn told(problem: &Problem) -> String {
    match problem {
        Problem::Missing {
            bucket,
            name,
            version,
        } => format!("missing     {bucket}/{name}  (file {version})"),
        Problem::Size {
            bucket,
            name,
            row,
            bytes,
        } => format!("size        {bucket}/{name}  ({bytes} bytes, {row} in its row)"),
        Problem::Corrupt {
            bucket,
            name,
            version,
        } => format!("damaged     {bucket}/{name}  (file {version})"),
        Problem::Orphan { id, size } => format!("without row {id}  ({size} bytes)"),
        Problem::Unfinished { id } => format!("unfinished  {id}"),
    }
}

fn document(problem: &Problem) -> Value {
    match problem {
        Problem::Missing {
            bucket,
            name,
            version,
        } => json!({"kind": "missing", "bucket": bucket, "name": name, "version": version}),
        Problem::Size {
            bucket,
            name,
            row,
            bytes,
        } => {
            json!({"kind": "size", "bucket": bucket, "name": name, "row": row, "bytes": bytes})
        }
        Problem::Corrupt {
            bucket,
            name,
            version,
        } => json!({"kind": "damaged", "bucket": bucket, "name": name, "version": version}),
        Problem::Orphan { id, size } => {
            json!({"kind": "without_row", "version": id.to_string(), "bytes": size})
        }
        Problem::Unfinished { id } => json!({"kind": "unfinished", "version": id.to_string()}),
    }
}

fn counts(report: &Report) -> Value {
    json!({
        "rows": report.rows,
        "files": report.files,
        "bytes": report.bytes,
        "verified": report.verified,
        "without_sum": report.unverified,
        "young": report.young,
        "waiting": report.waiting,
        "problems": report.problems,
        "repaired": report.repaired,
    })
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "{} rows, {} files, {} bytes",
        report.rows, report.files, report.bytes
    );
    for (count, what) in [
        (report.verified, "files verified"),
        (report.unverified, "files without a sum"),
        (report.young, "too young to judge"),
        (report.waiting, "waiting for removal"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    match (report.problems, report.repaired) {
        (0, _) => text + "\nEverything is as it should be.\n",
        (problems, 0) => text + &format!("\n{problems} problems.\n"),
        (problems, repaired) => text + &format!("\n{problems} problems, {repaired} repaired.\n"),
    }
}

impl From<FsckError> for Failure {
    fn from(error: FsckError) -> Self {
        match error {
            FsckError::Open(error) => error.into(),
            FsckError::Keeping(KeepingError::Foreign) => failure(
                "FB4030",
                "these files belong to another database; nothing was looked at",
                "Point `storage.url` at the files of this database.",
            ),
            FsckError::Keeping(error) => Self::Said(Said {
                code: "FB4031",
                message: "files and rows could not be held against each other".to_owned(),
                cause: Some(error.to_string()),
                next_step: Some("`ferrobase doctor` looks at folder and database.".to_owned()),
            }),
        }
    }
}
