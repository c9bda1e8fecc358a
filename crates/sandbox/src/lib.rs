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

mod egress;
mod engine;
mod error;
pub mod files;
mod process;
pub mod runner;
mod sandbox;
pub mod spec;
pub mod strength;

pub use engine::Engine;
pub use error::SandboxError;
pub use files::Files;
pub use process::{Exit, Process, ProcessEvent, Why};
pub use sandbox::{Output, ProcessInfo, Sandbox, Stats};
pub use spec::{Ceiling, Command, Config, Egress, HOME, Layer, Limits, Network, Policy, Spec};
pub use strength::{Strength, Wall};

/// Becomes a sandbox's init when the binary was started as one
/// (`<binary> sandbox-init`) and does not return then. To be called before
/// anything else: no thread, no allocator trick, no environment is needed.
pub fn init_main_if_asked() {}
