//! Runs code that nobody trusts.
//!
//! [`Engine::create`] makes a [`Sandbox`]: an init process in namespaces of
//! its own that stays and starts programs on demand ([`Sandbox::start`]).
//! Start reading at `engine`, then `init` (what happens on the other side of
//! the wall), then ADR 31 for the reasons.
//!
//! * [`spec`]: what is asked, as data. [`strength`]: how strong the walls are.
//! * `init`: the launcher: [`init_main_if_asked`] is the first thing that the
//!   binary's `main` calls.
//! * [`files`]: the workspace, by `openat2`. [`runner`]: judging submissions.
//! * `sys`: everything unsafe; nothing else in the workspace is.

mod cgroup;
mod control;
mod egress;
mod engine;
mod error;
pub mod files;
mod init;
mod launch;
mod process;
pub mod runner;
mod sandbox;
pub mod spec;
pub mod strength;
mod sys;
mod tree;
mod uids;
mod watch;
mod wire;

pub use engine::Engine;
pub use error::SandboxError;
pub use files::Files;
pub use process::{Exit, Process, ProcessEvent, Why};
pub use sandbox::{Output, ProcessInfo, Sandbox, Stats};
pub use spec::{Ceiling, Command, Config, Egress, HOME, Layer, Limits, Network, Policy, Spec};
pub use strength::{Strength, Wall};

/// The argument that makes the binary a sandbox's init.
const INIT_ARGUMENT: &str = "sandbox-init";

/// Becomes a sandbox's init when the binary was started as one
/// (`<binary> sandbox-init`) and does not return then. To be called before
/// anything else: before a thread, a runtime, a look at the environment.
pub fn init_main_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == INIT_ARGUMENT) && args.next().is_none() {
        init::main();
    }
}
