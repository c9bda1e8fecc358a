//! How strong the walls are on this machine, found out by trying.

use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::launch::Launched;
use crate::spec::Ceiling;
use crate::wire::{Mode, News, Order, Start};
use crate::{Engine, SandboxError};

/// The first version of Landlock that keeps signals and abstract sockets
/// inside. Under an older one a program could end the server, whose user it
/// shares.
const LANDLOCK_NEEDED: i64 = 6;

/// What stands between sandboxed code and the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// Own namespaces, own root, seccomp, no capabilities.
    Namespaces {
        /// The server is root: no user namespace is needed, and each sandbox
        /// has a host uid of its own.
        as_root: bool,
    },
    /// Landlock and seccomp: host files are denied, not hidden; no network
    /// and no preview.
    Landlock,
    /// Nothing: a child process with limits.
    Nothing,
}

/// What is in force, and what is missing, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strength {
    /// The kind of wall.
    pub wall: Wall,
    /// Memory, processes and CPU are counted by cgroups; else by process and
    /// by a watchdog.
    pub cgroups: bool,
    /// Why nothing stronger is in force, and what to do about it.
    pub notes: Vec<String>,
}

impl Strength {
    /// Whether code that nobody vouches for may run.
    #[must_use]
    pub fn isolated(&self) -> bool {
        self.wall != Wall::Nothing
    }

    /// Whether there is a network inside, so that the proxy and previews work.
    #[must_use]
    pub fn has_network(&self) -> bool {
        matches!(self.wall, Wall::Namespaces { .. })
    }

    /// One word for rows: `namespaces`, `namespaces_root`, `landlock`, `none`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.wall {
            Wall::Namespaces { as_root: true } => "namespaces_root",
            Wall::Namespaces { as_root: false } => "namespaces",
            Wall::Landlock => "landlock",
            Wall::Nothing => "none",
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.wall {
            Wall::Namespaces { as_root: true } => "namespaces, one host uid per sandbox",
            Wall::Namespaces { as_root: false } => "namespaces, in a user namespace",
            Wall::Landlock => "Landlock and seccomp, without network",
            Wall::Nothing => "NO ISOLATION",
        })?;
        f.write_str(if self.cgroups {
            "; limits by cgroup"
        } else {
            "; limits by process and watchdog"
        })
    }
}

/// Tries from the strongest on. A note says why each stronger one is not.
pub(crate) async fn probe(engine: &Engine) -> (Wall, Vec<String>) {
    let mut notes = Vec::new();
    let as_root = rustix::process::geteuid().is_root();
    let ceiling = engine.config.policy.at_most;
    if ceiling.is_none() {
        match engine.attempt(Mode::Namespaces { as_root }).await {
            Ok(()) => return (Wall::Namespaces { as_root }, notes),
            Err(error) => notes.push(format!("namespaces: {error}. {}", advice(as_root))),
        }
    } else {
        notes.push("namespaces are switched off by policy".to_owned());
    }
    if ceiling == Some(Ceiling::Nothing) {
        notes.push("Landlock is switched off by policy".to_owned());
        return (Wall::Nothing, notes);
    }
    let abi = crate::sys::landlock_abi();
    if abi < LANDLOCK_NEEDED {
        notes.push(format!(
            "Landlock: version {abi} of the kernel, {LANDLOCK_NEEDED} (Linux 6.12) is needed"
        ));
        return (Wall::Nothing, notes);
    }
    match engine.attempt(Mode::Landlock).await {
        Ok(()) => (Wall::Landlock, notes),
        Err(error) => {
            notes.push(format!("Landlock: {error}"));
            (Wall::Nothing, notes)
        }
    }
}

/// What usually helps where namespaces are refused.
fn advice(as_root: bool) -> &'static str {
    if as_root {
        "In a container, allow mounts and namespaces (CAP_SYS_ADMIN, an unmasked /proc)"
    } else {
        "Unprivileged user namespaces may be switched off (sysctl kernel.unprivileged_userns_clone, \
         user.max_user_namespaces), or by AppArmor (kernel.apparmor_restrict_unprivileged_userns); \
         allow them for this program, or run the server as root"
    }
}

/// A wall behind which nothing can be started is none.
pub(crate) async fn try_program(launched: &Launched) -> Result<(), SandboxError> {
    let control = &launched.control;
    let id = control.number();
    let nowhere: OwnedFd = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| SandboxError::system("open /dev/null", error))?
        .into();
    let start = Start {
        id,
        program: "/bin/true".to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: crate::HOME.to_owned(),
        cpu_seconds: None,
        pty: None,
    };
    let streams = [nowhere.as_fd(), nowhere.as_fd(), nowhere.as_fd()];
    control.send(&Order::Start(start), &streams).await?;
    loop {
        let news = control.receive().await;
        match news.map_err(|error| SandboxError::system("talk to init", error))? {
            Some((News::Exited { code: Some(0), .. }, _)) => return Ok(()),
            Some((News::Started { .. }, _)) => {}
            Some((News::NotStarted { errno, .. }, _)) => {
                return Err(SandboxError::Start {
                    program: "/bin/true".to_owned(),
                    source: std::io::Error::from_raw_os_error(errno),
                });
            }
            _ => return Err(SandboxError::Launch("a trial program failed".to_owned())),
        }
    }
}
