//! `ferrobase serve`: production. It says what it does in log lines only.

use std::io;
use std::process::ExitCode;

use server::config::{Mode, Origin};
use server::dev::{self, Plan};
use server::logs;

use super::Scene;
use super::dev::{INTERRUPTED, serve_until_asked};
use super::postgres::with_postgres;
use crate::args::ServeArgs;
use crate::failure::{Failure, failure};
use crate::project::{Workspace, apps, flag};
use crate::signals::Signals;

/// Serves until a signal.
pub(super) async fn run(scene: &Scene<'_>, args: ServeArgs) -> Result<ExitCode, Failure> {
    let flags = [
        flag("api.port", "--port", args.port),
        flag("api.host", "--host", args.host),
        flag("db.data_dir", "--data-dir", args.data_dir),
        flag("apps.enabled", "--app", apps(&args.app)),
        args.database.flag(),
    ];
    let workspace = scene.workspace(Mode::Serve, flags)?;
    needs_a_database(&workspace)?;
    let output = scene.output;
    logs::start(&workspace.loaded.config.log, output.terminal, io::stderr());
    let mut signals = Signals::catch()?;
    for warning in workspace.warnings() {
        tracing::warn!("{warning}");
    }
    let progress = |text: &str| tracing::info!("{text}");
    let start = || dev::run(plan(&workspace), &scene.context, progress);
    let running = tokio::select! {
        started = with_postgres(&workspace, progress, start) => started?,
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    for exposed in &running.prepared.exposed {
        tracing::warn!("{exposed}");
    }
    for degradation in &running.prepared.degradations {
        tracing::warn!("{degradation}");
    }
    let took_ms = u64::try_from(running.took.as_millis()).unwrap_or(u64::MAX);
    let url = running.app.url();
    tracing::info!(url, took_ms, "Serving on {url}");
    if output.json {
        output.value(&serde_json::json!({
            "api_url": url,
            "pid": std::process::id(),
            "started_ms": took_ms,
            "cold": running.cold,
        }))?;
    }
    serve_until_asked(running, signals, output, std::future::pending()).await
}

/// A project's migrations are applied by `migration up`, never by a start:
/// several nodes may start at once, and one of them may be older.
fn plan(workspace: &Workspace) -> Plan<'_> {
    Plan {
        loaded: workspace.loaded.clone(),
        sources: workspace.sources.clone(),
        project: None,
        seed: false,
        search: workspace.search.clone(),
        root: workspace.root.clone(),
    }
}

/// In production a database is named, not made by accident.
fn needs_a_database(workspace: &Workspace) -> Result<(), Failure> {
    let said = |path| {
        let setting = workspace.loaded.settings.get(path);
        setting.is_some_and(|setting| setting.origin != Origin::Default)
    };
    if workspace.loaded.config.db.url.is_some() || said("db.data_dir") {
        return Ok(());
    }
    Err(failure(
        "FB4004",
        "`serve` was not told which database to use",
        "Give --database-url (or FERROBASE__DATABASE__URL, or PGRST_DB_URI), or --data-dir for \
         the managed PostgreSQL. On your own machine use `ferrobase dev`.",
    ))
}
