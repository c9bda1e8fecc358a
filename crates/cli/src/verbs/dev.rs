//! `ferrobase dev`: everything for one developer, and the first screen.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;

use server::config::Mode;
use server::dev::{self, Plan, Running};
use server::logs;
use server::operate::ClusterError;

use super::Scene;
use super::gen_types;
use super::postgres::with_postgres;
use crate::args::DevArgs;
use crate::failure::Failure;
use crate::output::{Output, Tone, aligned};
use crate::project::{Workspace, apps, flag};
use crate::signals::Signals;

/// What a shell expects of a program that Ctrl-C has ended.
pub(super) const INTERRUPTED: u8 = 130;

/// Starts, prints the first screen, waits for a signal, stops.
pub(super) async fn run(scene: &Scene<'_>, args: DevArgs) -> Result<ExitCode, Failure> {
    let flags = [
        flag("api.port", "--port", args.port),
        flag("api.host", "--host", args.host),
        flag("db.port", "--db-port", args.db_port),
        flag("apps.enabled", "--app", apps(&args.app)),
        args.database.flag(),
    ];
    let workspace = scene.workspace(Mode::Dev, flags)?;
    let output = scene.output;
    logs::start(&workspace.loaded.config.log, output.terminal, io::stderr());
    let mut signals = Signals::catch()?;
    for warning in workspace.warnings() {
        output.warning(warning);
    }
    let progress = move |text: &str| output.note(&format!("  {text}"));
    let start = || dev::run(plan(&workspace, !args.no_seed), &scene.context, progress);
    let running = tokio::select! {
        started = with_postgres(&workspace, progress, start) => started?,
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    // A reader who looked at the first line only does not end the server.
    match first_screen(output, &running) {
        Ok(()) | Err(Failure::Quiet) => {}
        Err(failure) => output.warning(&format!("{failure:?}")),
    }
    let types = args.types.map(|file| {
        let types = running.watch_types(gen_types::of_workspace(&workspace, &[]));
        gen_types::keep(output, types, file)
    });
    let meanwhile = async {
        match types {
            Some(types) => types.await,
            None => std::future::pending().await,
        }
    };
    Box::pin(serve_until_asked(running, signals, output, meanwhile)).await
}

fn plan(workspace: &Workspace, seed: bool) -> Plan<'_> {
    Plan {
        loaded: workspace.loaded.clone(),
        sources: workspace.sources.clone(),
        project: workspace.project.as_ref(),
        seed,
        search: workspace.search.clone(),
        root: workspace.root.clone(),
    }
}

/// Does `meanwhile` and waits for a signal, or for the database to be lost for good, and stops
/// cleanly. A second signal does not wait for that.
pub(super) async fn serve_until_asked(
    running: Running,
    mut signals: Signals,
    output: Output,
    meanwhile: impl Future<Output = Infallible>,
) -> Result<ExitCode, Failure> {
    let lost = tokio::select! {
        () = signals.next() => None,
        why = running.database_failed() => Some(why),
        never = meanwhile => match never {},
    };
    if output.terminal {
        output.note("\nStopping; once more to force.");
    }
    let stopped = tokio::select! {
        () = running.shutdown() => true,
        () = signals.next() => false,
    };
    match lost {
        Some(why) => Err(Failure::from(ClusterError::StartFailed {
            exit: "it was started again too often".to_owned(),
            log: why,
        })),
        None if stopped => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::from(INTERRUPTED)),
    }
}

fn first_screen(output: Output, running: &Running) -> Result<(), Failure> {
    let report = Report::of(running);
    if output.json {
        return output.value(&report.json(running));
    }
    let took = running.took.as_millis();
    let new = if running.cold { ", new database" } else { "" };
    let head = format!("Ferrobase is ready ({took} ms{new})");
    output.line(&output.tone(&head, Tone::Good))?;
    output.line("")?;
    let mut lines = report.lines();
    let builder = running.app.builder_url();
    lines.extend(builder.map(|url| ("Builder".to_owned(), url)));
    output.text(&aligned(&lines))?;
    output.line("")?;
    for (what, files) in [
        ("migration", &running.prepared.applied.migrations),
        ("seed", &running.prepared.applied.seeds),
    ] {
        for file in files {
            output.line(&format!("  applied {what} {file}"))?;
        }
    }
    let prepared = &running.prepared;
    for warning in &prepared.applied.warnings {
        output.warning(warning);
    }
    for exposed in &prepared.exposed {
        output.warning(&exposed.to_string());
    }
    for degradation in &prepared.degradations {
        output.warning(degradation);
    }
    Ok(())
}

/// URLs and keys under both kinds of names.
struct Report(Vec<(&'static str, String)>);

/// Names of `supabase status -o env` with those of the screen and of `--json`.
const NAMES: [(&str, &str, &str); 12] = [
    ("API_URL", "API URL", "api_url"),
    ("DB_URL", "DB URL", "db_url"),
    ("MAILPIT_URL", "Mailpit URL", "mailpit_url"),
    ("ANON_KEY", "anon key", "anon_key"),
    ("SERVICE_ROLE_KEY", "service_role key", "service_role_key"),
    ("PUBLISHABLE_KEY", "publishable key", "publishable_key"),
    ("SECRET_KEY", "secret key", "secret_key"),
    ("JWT_SECRET", "JWT secret", "jwt_secret"),
    ("STORAGE_S3_URL", "S3 URL", "storage_s3_url"),
    (
        "S3_PROTOCOL_ACCESS_KEY_ID",
        "S3 access key",
        "s3_protocol_access_key_id",
    ),
    (
        "S3_PROTOCOL_ACCESS_KEY_SECRET",
        "S3 secret key",
        "s3_protocol_access_key_secret",
    ),
    ("S3_PROTOCOL_REGION", "S3 region", "s3_protocol_region"),
];

impl Report {
    fn of(running: &Running) -> Self {
        let db_url = running.db_url.as_ref().map(kernel::Secret::expose);
        let app = &running.app;
        let mut values = app.keys().environment(&app.url(), db_url);
        let inbox = app.inbox_url().map(|url| ("MAILPIT_URL", url.to_owned()));
        values.extend(inbox);
        Self(values)
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    fn lines(&self) -> Vec<(String, String)> {
        let line = |&(name, shown, _): &(&str, &str, &str)| {
            Some((shown.to_owned(), self.get(name)?.clone()))
        };
        NAMES.iter().filter_map(line).collect()
    }

    fn json(&self, running: &Running) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        for (name, _, field) in NAMES {
            object.insert(field.to_owned(), self.get(name).cloned().into());
        }
        let took = u64::try_from(running.took.as_millis()).unwrap_or(u64::MAX);
        if let Some(url) = running.app.builder_url() {
            object.insert("builder_url".to_owned(), url.into());
        }
        object.insert("pid".to_owned(), std::process::id().into());
        object.insert("started_ms".to_owned(), took.into());
        object.insert("cold".to_owned(), running.cold.into());
        let texts = |items: Vec<String>| serde_json::Value::from(items);
        let prepared = &running.prepared;
        object.insert(
            "migrations".to_owned(),
            texts(prepared.applied.migrations.clone()),
        );
        object.insert("seeds".to_owned(), texts(prepared.applied.seeds.clone()));
        let warnings = prepared
            .applied
            .warnings
            .iter()
            .cloned()
            .chain(prepared.exposed.iter().map(ToString::to_string))
            .chain(prepared.degradations.iter().cloned());
        object.insert("warnings".to_owned(), texts(warnings.collect()));
        object.into()
    }
}
