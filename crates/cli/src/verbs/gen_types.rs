//! `ferrobase gen types`: the database as types for supabase-js.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use server::config::{Mode, Origin};
use server::operate::Database;
use server::typegen::{Request, TypegenError, Watch};

use super::Scene;
use super::db::open_existing;
use crate::args::{Language, TypesArgs};
use crate::failure::{Failure, failure, system};
use crate::output::Output;
use crate::project::{Workspace, flag};
use crate::signals::Signals;

/// The schema that is printed in any case.
const DEFAULT_SCHEMA: &str = "public";

/// Prints them, writes them, or goes on writing them.
pub(super) async fn run(scene: &Scene<'_>, args: &TypesArgs) -> Result<(), Failure> {
    // There is one language, which both ways of naming it know.
    let Language::Typescript = args.lang.unwrap_or(args.language);
    let url = flag("db.url", "--database-url", args.database_url.as_ref());
    let workspace = scene.workspace(Mode::Dev, [url])?;
    let database = open_existing(scene, &workspace).await?.ok_or_else(|| {
        failure(
            "FB4008",
            "there is no database in this folder yet",
            "Make it with `ferrobase dev` or `ferrobase migration up`, or name one with --database-url.",
        )
    })?;
    let request = Request {
        one_to_one: !args.postgrest_v9_compat,
        postgrest_version: args.postgrest_version.clone(),
        ..of_workspace(&workspace, &args.schema)
    };
    let done = match &args.output {
        Some(file) if args.watch => watch(scene.output, &database, request, file).await,
        Some(file) => match database.types(&request).await {
            Ok(text) => write(file, &text).and_then(|()| tell(scene.output, file)),
            Err(error) => Err(error.into()),
        },
        None => match database.types(&request).await {
            Ok(text) => print(scene.output, &text),
            Err(error) => Err(error.into()),
        },
    };
    database.close().await;
    done
}

/// These schemas, or those of the project.
pub(super) fn of_workspace(workspace: &Workspace, schemas: &[String]) -> Request {
    let config = &workspace.loaded.config;
    let mut schemas = schemas.to_vec();
    if schemas.is_empty() {
        schemas.push(DEFAULT_SCHEMA.to_owned());
        // Where nobody has said what the API shows, only `public` is sure.
        let said = workspace.loaded.settings.get("db.schemas");
        if workspace.project.is_some() || said.is_some_and(|one| one.origin != Origin::Default) {
            schemas.extend(config.db.schemas.iter().cloned());
        }
    }
    Request {
        schemas,
        extra_search_path: config.db.extra_search_path.clone(),
        one_to_one: true,
        postgrest_version: None,
    }
}

/// Writes for as long as it is let; what fails is told and tried again.
pub(super) async fn keep(output: Output, mut types: Watch, file: PathBuf) -> Infallible {
    loop {
        let text = types.next(|error| retrying(output, error)).await;
        if let Err(Failure::Said(said)) = write(&file, text) {
            output.warning(&said.message);
        }
    }
}

fn retrying(output: Output, error: &TypegenError) {
    output.warning(&format!("{error}; trying again"));
}

fn print(output: Output, text: &str) -> Result<(), Failure> {
    if output.json {
        return output.value(&json!({"types": text}));
    }
    output.text(text)
}

fn tell(output: Output, file: &Path) -> Result<(), Failure> {
    if output.json {
        return output.value(&json!({"file": file}));
    }
    output.note(&format!("wrote {}", file.display()));
    Ok(())
}

/// Writes until a signal comes.
async fn watch(
    output: Output,
    database: &Database,
    request: Request,
    file: &Path,
) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let mut types = database.watch_types(request);
    loop {
        let text = tokio::select! {
            text = types.next(|error| retrying(output, error)) => text,
            () = signals.next() => return Ok(()),
        };
        write(file, text)?;
        tell(output, file)?;
    }
}

/// Writes beside the file first: who reads it finds the old or the new one.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let what = format!("write {}", file.display());
    let failed = |error: io::Error| system(&what, &error);
    let name = file
        .file_name()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = file.with_file_name(beside);
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, file))
        .inspect_err(|_| drop(std::fs::remove_file(&beside)))
        .map_err(failed)
}
