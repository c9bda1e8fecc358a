//! `ferrobase migration new|up|list`.

use serde_json::json;
use server::config::Mode;
use server::operate::migrations_folder;
use server::project::migrations::{self, Listed};

use super::Scene;
use super::db::{open, open_existing};
use crate::args::DatabaseArgs;
use crate::failure::Failure;
use crate::output::Tone;
use crate::project::Workspace;

/// Makes an empty file.
pub(super) fn new(scene: &Scene<'_>, name: &str) -> Result<(), Failure> {
    let workspace = scene.workspace(Mode::Dev, [])?;
    let folder = migrations_folder(&workspace.root);
    let path = migrations::new(&folder, name, &scene.context.clock)?;
    let shown = path.strip_prefix(&workspace.root).unwrap_or(&path);
    let output = scene.output;
    if output.json {
        return output.value(&json!({"file": shown}));
    }
    output.line(&shown.display().to_string())
}

/// Applies what is missing.
pub(super) async fn up(
    scene: &Scene<'_>,
    include_all: bool,
    args: &DatabaseArgs,
) -> Result<(), Failure> {
    let workspace = scene.workspace(Mode::Dev, [args.flag()])?;
    let database = open(scene, &workspace).await?;
    let folder = migrations_folder(&workspace.root);
    let schemas = &workspace.loaded.config.db.schemas;
    let done = database.migrate(&folder, include_all, schemas).await;
    database.close().await;
    let (report, exposed) = done?;
    let output = scene.output;
    for warning in &report.warnings {
        output.warning(warning);
    }
    for exposed in &exposed {
        output.warning(&exposed.to_string());
    }
    if output.json {
        return output.value(&json!({"applied": report.applied}));
    }
    for file in &report.applied {
        output.line(&format!("applied {file}"))?;
    }
    if report.applied.is_empty() {
        output.line("The database is up to date")?;
    }
    Ok(())
}

/// Files and history side by side.
pub(super) async fn list(scene: &Scene<'_>, args: &DatabaseArgs) -> Result<(), Failure> {
    let workspace = scene.workspace(Mode::Dev, [args.flag()])?;
    let listed = listed(scene, &workspace).await?;
    let output = scene.output;
    if output.json {
        let all: Vec<_> = listed
            .iter()
            .map(|one| {
                json!({
                    "version": one.version,
                    "name": one.name,
                    "local": one.local,
                    "applied": one.applied,
                })
            })
            .collect();
        return output.value(&all.into());
    }
    if listed.is_empty() {
        return output.line("There are no migrations; `ferrobase migration new <name>` makes one");
    }
    for one in &listed {
        let (word, tone) = state(one);
        output.line(&format!(
            "{}  {}  {}",
            output.tone(&format!("{word:<8}"), tone),
            one.version,
            one.name
        ))?;
    }
    Ok(())
}

/// Looking makes no cluster: where there is none, nothing has been applied.
async fn listed(scene: &Scene<'_>, workspace: &Workspace) -> Result<Vec<Listed>, Failure> {
    let folder = migrations_folder(&workspace.root);
    let Some(database) = open_existing(scene, workspace).await? else {
        return Ok(migrations::list_files(&folder)?);
    };
    let done = database.list(&folder).await;
    database.close().await;
    Ok(done?)
}

fn state(one: &Listed) -> (&'static str, Tone) {
    match (one.local, one.applied) {
        (true, true) => ("applied", Tone::Good),
        (true, false) => ("pending", Tone::Warning),
        (false, _) => ("no file", Tone::Bad),
    }
}
