//! `ferrobase db reset`: the database from the files, whatever it was before.

use std::io;

use serde_json::json;
use server::config::Mode;
use server::instance;
use server::operate::{Database, read_instance};

use super::Scene;
use super::postgres::with_postgres;
use crate::args::DatabaseArgs;
use crate::failure::{Failure, failure, system};
use crate::output::Output;
use crate::project::Workspace;

/// What was asked for.
pub(super) struct Reset {
    pub(super) yes: bool,
    pub(super) seed: bool,
}

/// Drops, makes, migrates and seeds; a running instance goes on serving.
pub(super) async fn reset(
    scene: &Scene<'_>,
    asked: Reset,
    args: &DatabaseArgs,
) -> Result<(), Failure> {
    let output = scene.output;
    let workspace = scene.workspace(Mode::Dev, [args.flag()])?;
    if !asked.yes {
        confirm(output, &workspace)?;
    }
    let config = &workspace.loaded.config;
    let database = open(scene, &workspace).await?;
    let done = database
        .reset(workspace.project.as_ref(), asked.seed, &config.db.schemas)
        .await;
    database.close().await;
    let (applied, exposed) = done?;
    for warning in &applied.warnings {
        output.warning(warning);
    }
    for exposed in &exposed {
        output.warning(&exposed.to_string());
    }
    if output.json {
        return output.value(&json!({
            "migrations": applied.migrations,
            "seeds": applied.seeds,
        }));
    }
    output.line(&format!(
        "The database is new: {} and {} applied",
        counted(applied.migrations.len(), "migration"),
        counted(applied.seeds.len(), "seed file"),
    ))
}

/// `1 migration`, `2 migrations`.
fn counted(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// The project's database, wherever it is.
pub(super) async fn open(scene: &Scene<'_>, workspace: &Workspace) -> Result<Database, Failure> {
    not_somebody_elses(workspace)?;
    let output = scene.output;
    let progress = move |text: &str| output.note(&format!("  {text}"));
    let config = &workspace.loaded.config;
    let open = || Database::open(config, &workspace.search, &scene.context, progress);
    with_postgres(workspace, progress, open).await
}

/// The same, unless it would have to be made first.
pub(super) async fn open_existing(
    scene: &Scene<'_>,
    workspace: &Workspace,
) -> Result<Option<Database>, Failure> {
    not_somebody_elses(workspace)?;
    if !Database::exists(&workspace.loaded.config) {
        return Ok(None);
    }
    open(scene, workspace).await.map(Some)
}

/// An instance that runs here on a database given by URL: the managed cluster,
/// which would be opened instead, is not what anybody means.
fn not_somebody_elses(workspace: &Workspace) -> Result<(), Failure> {
    let folder = workspace.data_dir();
    let managed = read_instance(folder).is_some_and(|instance| instance.alive);
    if workspace.loaded.config.db.url.is_some() || managed {
        return Ok(());
    }
    match instance::read(folder) {
        Some(running) if running.ready => Err(failure(
            "FB4007",
            format!(
                "process {} serves this folder from a database given by URL",
                running.pid
            ),
            "Name that database with --database-url here, too.",
        )),
        _ => Ok(()),
    }
}

fn confirm(output: Output, workspace: &Workspace) -> Result<(), Failure> {
    let declined = |next: &str| {
        failure(
            "FB4006",
            "`db reset` deletes every row, and nobody has agreed to that",
            next,
        )
    };
    if output.json || !Output::can_ask() {
        return Err(declined("Add --yes."));
    }
    let whose = match workspace.loaded.config.db.url {
        Some(_) => "the database of the URL".to_owned(),
        None => format!("the database of {}", workspace.root.display()),
    };
    output.note(&format!(
        "This deletes every row of {whose}. Type `yes` to go on:"
    ));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| system("read the answer", &error))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(declined("Nothing was changed."))
    }
}
