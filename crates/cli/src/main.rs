//! The binary `ferrobase`: arguments in, one verb run, an exit code out.
//!
//! `args` says what can be typed, `project` turns a folder, the environment
//! and flags into settings, `output` is the only way to print, `failure` is
//! what people and scripts see when something goes wrong. Each verb has a file
//! of its own below `verbs`; start at [`verbs::run`].
//!
//! Exit codes: 0 done (also after SIGTERM), 1 failed or not running, 2 wrong
//! usage, 3 an objection of `access` or `storage fsck`, 130 interrupted before it was ready or by a second signal.

mod args;
mod failure;
mod output;
mod project;
mod signals;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::output::Output;
use crate::project::Environment;

/// A request makes about a hundred small allocations; the system's allocator
/// took a quarter of the time between reading one and answering it. Without
/// transparent huge pages, or each thread's first one costs two megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A sandbox's init is this program as well; it must have one thread.
    sandbox::init_main_if_asked();
    let environment = Environment::read();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help that nobody reads to its end is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(args.json, &environment);
    // One worker: requests have threads of their own (`server::lanes`), and
    // what runs here waits more than it works.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&failure::system("start the runtime", &error)),
    };
    let done = runtime.block_on(verbs::run(args, &output, environment));
    // After a second signal something may still hang; it is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(failure) => output.fail(&failure),
    }
}
