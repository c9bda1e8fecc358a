//! How strong the walls are on this machine, found out by trying.

use std::fmt;

use serde::{Deserialize, Serialize};

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
