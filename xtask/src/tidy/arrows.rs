//! Which crate may use which: `cli → server → rooms → pg → kernel`, and who must not know whom.
//!
//! The tables below are the law; ARCHITECTURE.md explains it. A new crate gets a row here first.

use std::collections::BTreeMap;
use std::path::Path;

use crate::tidy::{Complaint, File};

/// What one crate may and must not use.
struct Rule {
    krate: &'static str,
    /// Crates of this workspace that it may depend on.
    may: &'static [&'static str],
    /// Crates from outside that would let knowledge in that belongs elsewhere.
    never: &'static [&'static str],
}

/// `clap` belongs to `cli` alone, the Postgres protocol to `pg` alone, HTTP to rooms and `server`.
const RULES: &[Rule] = &[
    Rule {
        krate: "kernel",
        may: &[],
        never: &[
            "anyhow",
            "axum",
            "clap",
            "deadpool-postgres",
            "hyper",
            "postgres-protocol",
            "tokio-postgres",
            "tower",
        ],
    },
    Rule {
        krate: "pg",
        may: &["kernel"],
        never: &["anyhow", "axum", "clap", "hyper", "tower"],
    },
    // What any room may need to speak HTTP to others with; it knows none of them.
    Rule {
        krate: "outbound",
        may: &["kernel"],
        never: &["anyhow", "clap", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "rest",
        may: &["kernel", "pg"],
        never: &["clap", "hyper", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "auth",
        may: &["kernel", "outbound", "pg"],
        never: &["clap", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "jobs",
        may: &["kernel", "pg"],
        never: &["clap", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "sessions",
        may: &["kernel", "pg"],
        never: &["clap", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "storage",
        may: &["kernel", "outbound", "pg"],
        never: &["clap", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "models",
        may: &["kernel", "outbound", "pg"],
        never: &["clap", "postgres-protocol", "tokio-postgres"],
    },
    // It runs what nobody trusts: nothing in it knows the database, HTTP or a room.
    Rule {
        krate: "sandbox",
        may: &["kernel"],
        never: &[
            "anyhow",
            "axum",
            "clap",
            "hyper",
            "postgres-protocol",
            "tower",
        ],
    },
    // An app is one more client that happens to live in the process: it stands on the rooms'
    // public API and on schema `work` as the caller, never on another app and never on `server`,
    // which mounts it. So an app that needs more than clients have does not build.
    Rule {
        krate: "open_lovable",
        may: &["jobs", "kernel", "pg", "sessions"],
        never: &["clap", "hyper", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "drama",
        may: &["kernel", "pg", "storage"],
        never: &["clap", "hyper", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "lovable",
        may: &["jobs", "kernel", "pg", "sessions"],
        never: &["clap", "hyper", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "omvee",
        may: &["kernel", "pg", "storage"],
        never: &["clap", "hyper", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "server",
        may: &[
            "auth",
            "drama",
            "jobs",
            "kernel",
            "lovable",
            "models",
            "omvee",
            "open_lovable",
            "outbound",
            "pg",
            "rest",
            "sandbox",
            "sessions",
            "storage",
        ],
        never: &["clap", "postgres-protocol", "tokio-postgres"],
    },
    Rule {
        krate: "ferrobase",
        // `sandbox` for its launcher alone, which must run before any thread.
        may: &["kernel", "sandbox", "server"],
        never: &[
            "axum",
            "hyper",
            "postgres-protocol",
            "tokio-postgres",
            "tower",
        ],
    },
    Rule {
        krate: "it",
        may: &[
            "auth",
            "ferrobase",
            "jobs",
            "kernel",
            "models",
            "pg",
            "rest",
            "server",
            "sessions",
        ],
        never: &["clap"],
    },
    Rule {
        krate: "benches",
        may: &[
            "jobs", "kernel", "pg", "rest", "sandbox", "server", "sessions",
        ],
        never: &["clap"],
    },
    Rule {
        krate: "fuzz",
        may: &["models", "pg", "rest", "storage"],
        never: &["axum", "clap", "hyper", "tower"],
    },
    Rule {
        krate: "xtask",
        may: &[],
        never: &["axum", "clap", "tokio"],
    },
];

/// One TLS provider (ring) and none that links to the system: builds need a C compiler only.
const NEVER_ANYWHERE: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "native-tls",
    "openssl",
    "openssl-sys",
    "lazy_static",
];

/// A crate with less code than this is a promise, not a room.
const CODE_LINES_MIN: usize = 10;

pub(super) fn check(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut members = BTreeMap::new();
    for file in files.iter().filter(|file| file.name() == "Cargo.toml") {
        match file.text.parse::<toml::Table>() {
            Ok(table) => {
                if let Some(name) = table
                    .get("package")
                    .and_then(|package| package.get("name"))
                    .and_then(|n| n.as_str())
                {
                    members.insert(name.to_owned(), (file, table));
                }
            }
            Err(error) => complaints.push(Complaint::new(
                &file.path,
                1,
                format!("not TOML: {}", error.message()),
            )),
        }
    }
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    for (name, (file, table)) in &members {
        let Some(rule) = RULES.iter().find(|rule| rule.krate == name) else {
            let text = format!("crate `{name}` has no row in xtask/src/tidy/arrows.rs");
            complaints.push(Complaint::new(&file.path, 1, text));
            continue;
        };
        let manifest = Manifest {
            path: &file.path,
            text: &file.text,
        };
        for (dependency, value) in dependencies(table) {
            complaints.extend(manifest.dependency(rule, &names, dependency, value));
        }
        if !takes_lints(files, name, table) {
            complaints.push(manifest.complaint(
                "[lints]",
                "the crate does not take the workspace's lints".to_owned(),
            ));
        }
        complaints.extend(empty(files, file));
    }
    complaints
}

/// The one crate with system calls that have no safe form. It has a copy of
/// the workspace's lints, since a `forbid` cannot be lifted for one file.
const UNSAFE_IN: &str = "sandbox";

/// The workspace's lints; in [`UNSAFE_IN`] the same, with `unsafe` denied
/// instead of forbidden and a reason demanded beside each.
fn takes_lints(files: &[File], name: &str, table: &toml::Table) -> bool {
    let Some(own) = table.get("lints") else {
        return false;
    };
    if name != UNSAFE_IN {
        return own.get("workspace").and_then(toml::Value::as_bool) == Some(true);
    }
    let root = files
        .iter()
        .find(|file| file.path == Path::new("Cargo.toml"));
    let root = root.and_then(|file| file.text.parse::<toml::Table>().ok());
    let Some(mut wanted) = root.and_then(|root| root.get("workspace")?.get("lints").cloned())
    else {
        return false;
    };
    for (tool, lint, level) in [
        ("rust", "unsafe_code", "deny"),
        ("clippy", "undocumented_unsafe_blocks", "warn"),
    ] {
        if let Some(lints) = wanted.get_mut(tool).and_then(toml::Value::as_table_mut) {
            lints.insert(lint.to_owned(), toml::Value::String(level.to_owned()));
        }
    }
    *own == wanted
}

/// All tables of dependencies, also those for one platform only.
fn dependencies(table: &toml::Table) -> Vec<(&String, &toml::Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut tables = vec![table];
    if let Some(targets) = table.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let kinds = tables
        .iter()
        .flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()));
    kinds.flat_map(toml::Table::iter).collect()
}

struct Manifest<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Manifest<'_> {
    fn complaint(&self, near: &str, text: String) -> Complaint {
        let line = self
            .text
            .lines()
            .position(|line| line.starts_with(near))
            .map_or(1, |index| index + 1);
        Complaint::new(self.path, line, text)
    }

    fn dependency(
        &self,
        rule: &Rule,
        members: &[&str],
        name: &str,
        value: &toml::Value,
    ) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        // A renamed dependency is known by the name it has where it comes from.
        let real = value
            .get("package")
            .and_then(toml::Value::as_str)
            .unwrap_or(name);
        let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        let features = value
            .as_table()
            .is_some_and(|table| table.contains_key("features"));
        if !inherited {
            let text =
                format!("`{name}`: versions live in the root, write `{name}.workspace = true`");
            complaints.push(self.complaint(name, text));
        } else if features && !members.contains(&real) {
            let text =
                format!("`{name}`: features live in the root, so that every build sees one set");
            complaints.push(self.complaint(name, text));
        }
        if members.contains(&real) && real != rule.krate && !rule.may.contains(&real) {
            let text = format!(
                "`{}` may not depend on `{real}`: arrows go cli, server, rooms, pg, kernel",
                rule.krate
            );
            complaints.push(self.complaint(name, text));
        }
        if rule.never.contains(&real) || NEVER_ANYWHERE.contains(&real) {
            let text = format!(
                "`{}` must not know `{real}`, see xtask/src/tidy/arrows.rs",
                rule.krate
            );
            complaints.push(self.complaint(name, text));
        }
        complaints
    }
}

/// A crate that exists must do something.
fn empty(files: &[File], manifest: &File) -> Option<Complaint> {
    let folder = manifest.path.parent()?;
    let sources = files
        .iter()
        .filter(|file| file.path.starts_with(folder) && file.has_extension("rs"));
    let code = sources.flat_map(File::lines).filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//")
    });
    let found = code.take(CODE_LINES_MIN).count();
    let text = format!("an empty crate: {found} lines of code; make it when it does something");
    (found < CODE_LINES_MIN).then(|| Complaint::new(&manifest.path, 1, text))
}
