//! One file for each verb; [`run`] chooses.

mod access;
mod api_keys;
mod backup;
mod completions;
mod config;
mod db;
mod dev;
mod doctor;
mod gen_types;
mod jobs;
mod keys;
mod migration;
mod postgres;
mod s3_keys;
mod sandbox;
mod serve;
mod status;
mod stop;
mod storage;

use std::process::ExitCode;

use server::app::Context;
use server::config::{Flag, Mode};

use crate::args::storage::StorageVerb;
use crate::args::{AccessVerb, Args, DbVerb, GenVerb, MigrationVerb, SandboxVerb, Verb};
use crate::failure::Failure;
use crate::output::Output;
use crate::project::{Environment, Workspace};

/// What every verb works with.
pub(crate) struct Scene<'a> {
    args_dir: std::path::PathBuf,
    output: Output,
    environment: &'a Environment,
    context: Context,
}

impl Scene<'_> {
    /// The project's folder, with these flags, as `dev` or `serve` sees it.
    fn workspace(
        &self,
        mode: Mode,
        flags: impl IntoIterator<Item = Option<Flag>>,
    ) -> Result<Workspace, Failure> {
        let flags = flags.into_iter().flatten().collect();
        Workspace::open(mode, &self.args_dir, self.environment, flags)
    }
}

/// The flag `--serve` of the verbs that only look.
fn mode(serve: bool) -> Mode {
    if serve { Mode::Serve } else { Mode::Dev }
}

/// Runs the verb that was typed.
pub(crate) async fn run(
    args: Args,
    output: &Output,
    environment: Environment,
) -> Result<ExitCode, Failure> {
    let scene = Scene {
        args_dir: args.dir,
        output: *output,
        environment: &environment,
        context: Context::system(),
    };
    let done = match args.verb {
        Verb::Dev(args) => return Box::pin(dev::run(&scene, args)).await,
        Verb::Serve(args) => return Box::pin(serve::run(&scene, args)).await,
        Verb::Doctor(args) => return Box::pin(doctor::run(&scene, args)).await,
        Verb::Access { verb } => {
            return match verb {
                AccessVerb::Explain(args) => Box::pin(access::explain(&scene, args)).await,
                AccessVerb::Report(args) => Box::pin(access::report(&scene, args)).await,
            };
        }
        Verb::Storage {
            verb: StorageVerb::Fsck(args),
        } => return Box::pin(storage::fsck(&scene, args)).await,
        Verb::Sandbox {
            verb: SandboxVerb::Doctor,
        } => return Box::pin(sandbox::doctor(&scene)).await,
        Verb::Status(args) => status::run(&scene, &args),
        Verb::Stop => stop::run(&scene).await,
        Verb::Db { verb } => match verb {
            DbVerb::Reset {
                yes,
                no_seed,
                database,
            } => {
                let asked = db::Reset {
                    yes,
                    seed: !no_seed,
                };
                Box::pin(db::reset(&scene, asked, &database)).await
            }
        },
        Verb::Migration { verb } => match verb {
            MigrationVerb::New { name } => migration::new(&scene, &name),
            MigrationVerb::Up {
                include_all,
                database,
            } => Box::pin(migration::up(&scene, include_all, &database)).await,
            MigrationVerb::List { database } => Box::pin(migration::list(&scene, &database)).await,
        },
        Verb::Gen {
            verb: GenVerb::Types(args),
        } => Box::pin(gen_types::run(&scene, &args)).await,
        Verb::Keys { serve, verb: None } => keys::run(&scene, mode(serve)),
        Verb::Keys {
            serve,
            verb: Some(verb),
        } => Box::pin(api_keys::run(&scene, mode(serve), verb)).await,
        Verb::Backup { place, verb } => Box::pin(backup::run(&scene, &place, verb)).await,
        Verb::Jobs { server, verb } => Box::pin(jobs::run(&scene, &server, verb)).await,
        Verb::Config { verb } => config::run(&scene, &verb),
        Verb::Completions { shell } => completions::run(&scene, shell),
    };
    done.map(|()| ExitCode::SUCCESS)
}
