//! `ferrobase access explain` and `access report`: who may do what, and why.
//! `explain` and `listing` write for people; `--json` prints what was found
//! as it is.

mod explanation;
mod listing;

use std::path::Path;
use std::process::ExitCode;

use server::config::Mode;
use server::operate::Database;
use server::operate::access::{Asked, Report, Told};

use super::Scene;
use super::db::open_existing;
use crate::args::{DatabaseArgs, ExplainArgs, ReportArgs};
use crate::failure::{Failure, Said, failure, system};
use crate::project::Workspace;

/// Something stands in the way, or is not as it should be. Not 1, so that CI
/// can tell an objection from a failure.
const OBJECTION: u8 = 3;

/// Explains one request.
pub(super) async fn explain(scene: &Scene<'_>, args: ExplainArgs) -> Result<ExitCode, Failure> {
    let (workspace, database) = open(scene, &args.database).await?;
    let asked = Asked {
        subject: args.subject,
        method: args.method,
        path: args.path,
        body: args.data,
        prefer: args.prefer,
        schema: args.schema,
    };
    let told = Box::pin(database.explain(&workspace.loaded.config, &asked)).await;
    database.close().await;
    let document = match told? {
        Told::Explained(document) => document,
        Told::Refused(error) => return Err(refused(&error)),
        Told::Unreadable(why) => {
            let next =
                "Write it as GET '/notes?select=id', with the path encoded as in an address.";
            return Err(failure(
                "FB4009",
                format!("this is no request: {why}"),
                next,
            ));
        }
    };
    if scene.output.json {
        scene.output.value(&document)?;
    } else {
        let text = explanation::text(scene.output, &document);
        scene.output.text(&text)?;
    }
    let fine = document
        .get("outcome")
        .is_some_and(|outcome| outcome == "allowed" || outcome == "no_rows");
    Ok(code(fine))
}

/// Lists what roles may do.
pub(super) async fn report(scene: &Scene<'_>, args: ReportArgs) -> Result<ExitCode, Failure> {
    let expected = args.expect.as_deref().map(read).transpose()?;
    let (workspace, database) = open(scene, &args.database).await?;
    let schemas = if args.schema.is_empty() {
        &workspace.loaded.config.db.schemas
    } else {
        &args.schema
    };
    let report = database.access(schemas, &args.role).await;
    database.close().await;
    let report = report?;
    let objections: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| args.fail_on.contains(&finding.kind))
        .collect();
    let differences = expected.map(|expected| listing::differences(&expected, &report));
    let output = scene.output;
    if output.json {
        let value = serde_json::to_value(&report);
        output.value(&value.unwrap_or_default())?;
    } else if differences.is_none() {
        output.text(&listing::text(output, &report))?;
    }
    for objection in &objections {
        output.warning(&format!(
            "{}: {}: {}",
            objection.kind.word(),
            objection.on,
            objection.message
        ));
    }
    let differences = differences.unwrap_or_default();
    if !differences.is_empty() && !output.json {
        output.text(&differences.concat())?;
    }
    Ok(code(objections.is_empty() && differences.is_empty()))
}

fn code(fine: bool) -> ExitCode {
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(OBJECTION)
    }
}

async fn open(scene: &Scene<'_>, args: &DatabaseArgs) -> Result<(Workspace, Database), Failure> {
    let workspace = scene.workspace(Mode::Dev, [args.flag()])?;
    let database = open_existing(scene, &workspace).await?.ok_or_else(|| {
        failure(
            "FB4008",
            format!("there is no database yet in {}", workspace.root.display()),
            "Make it with `ferrobase dev`, or name one with --database-url.",
        )
    })?;
    Ok((workspace, database))
}

fn read(path: &Path) -> Result<Report, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| system(&format!("read {}", path.display()), &error))?;
    serde_json::from_str(&text).map_err(|error| {
        failure(
            "FB4010",
            format!("{} is no report: {error}", path.display()),
            "Make it with `ferrobase access report --json`.",
        )
    })
}

/// The dialect's error, as one of ours.
fn refused(error: &serde_json::Value) -> Failure {
    let text = |name: &str| error.get(name).and_then(|value| value.as_str());
    Failure::Said(Said {
        code: "FB4009",
        message: format!(
            "the request cannot be explained: {} ({})",
            text("message").unwrap_or("it was refused"),
            text("code").unwrap_or("no code")
        ),
        cause: text("details").map(str::to_owned),
        next_step: text("hint").map(str::to_owned),
    })
}
