//! The servers of the suites about sign-in: one as the Supabase CLI runs it, or the four that a
//! `docker-compose.yml` describes, each of them a GoTrue without a gateway before it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::conformance::cluster::Cluster;
use crate::conformance::free_port;
use crate::repo::Repo;
use crate::upstream::compose::{self, Service};
use crate::upstream::prefix::Prefix;
use crate::upstream::stack::{self, Server};

/// Where both clients look for the four: without confirmation, with keys of two kinds, closed to
/// new people, and with confirmation.
pub(super) const PORTS: [u16; 4] = [9996, 9997, 9998, 9999];

/// Where the room is in ours; a GoTrue alone is at the root.
const ROOM: &str = "/auth/v1";

/// The keys with which the tests of auth-js sign their API keys, made by their own script.
pub(super) fn signing_keys(sources: &Path, path: &OsStr) -> Result<()> {
    if sources.join("test/supabase/signing_keys.json").is_file() {
        return Ok(());
    }
    let made = Command::new("node")
        .current_dir(sources.join("test"))
        .arg("generate-signing-keys.js")
        .env("PATH", path)
        .output()
        .context("could not start node")?;
    if !made.status.success() {
        bail!("the suite's own script made no signing keys");
    }
    Ok(())
}

/// `ferrobase dev` on a copy of the suite's Supabase folder.
pub(super) fn command_line(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Server> {
    let project = cluster.folder().join("project");
    stack::copy(&sources.join("test/supabase"), &project.join("supabase"))?;
    let mut command = stack::ours(repo);
    command
        .args(["dev", "--port", &stack::JS_PORT.to_string()])
        .args(["--db-port", "0", "--dir"])
        .arg(&project)
        .env("FERROBASE__INBOX__PORT", "0");
    Server::start(command, stack::JS_PORT, cluster.folder())
}

/// One of the four: the server, and what puts it at the root of its port.
pub(super) struct Alone {
    // Dropped in this order: nobody is sent to a server that is gone.
    _root: Prefix,
    _server: Server,
}

/// `ferrobase serve` for each service of the suite's `infra/docker-compose.yml`, all on one
/// database as there: somebody signs up at one and is confirmed at another.
pub(super) fn compose(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Vec<Alone>> {
    let file = sources.join("infra/docker-compose.yml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("could not read {}", file.display()))?;
    let mut servers = Vec::new();
    for service in compose::services(&text) {
        let port = service.get("PORT").and_then(|port| port.parse().ok());
        let Some(port) = port.filter(|port| PORTS.contains(port)) else {
            continue;
        };
        servers.push(alone(repo, cluster, &service, port)?);
    }
    if servers.len() != PORTS.len() {
        bail!(
            "{} has {} of the four servers",
            file.display(),
            servers.len()
        );
    }
    Ok(servers)
}

fn alone(repo: &Repo, cluster: &Cluster, service: &Service, port: u16) -> Result<Alone> {
    let behind = free_port()?;
    let mut command = stack::ours(repo);
    command
        .arg("serve")
        .env("FERROBASE__DB__URL", cluster.superuser_uri("postgres"))
        .env("FERROBASE__API__HOST", "localhost")
        .env("FERROBASE__API__PORT", behind.to_string())
        .env("FERROBASE__API__REQUIRE_APIKEY", "false")
        .env("FERROBASE__INBOX__ENABLED", "true")
        .env("FERROBASE__INBOX__PORT", "0");
    for (name, value) in service {
        // Whose the service is and what it sends with is the stack's; a mail that goes nowhere is
        // in the inbox. `$` stands for secrets that its authors have and nobody needs.
        let stacks = name.starts_with("GOTRUE_SMTP_") || name == "GOTRUE_API_HOST";
        if name.starts_with("GOTRUE_") && !stacks && !value.contains('$') {
            command.env(name, value);
        }
        if name == "GOTRUE_JWT_SECRET" {
            command.env("JWT_SECRET", value);
        }
    }
    let folder = cluster.folder().join(format!("gotrue-{port}"));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not make {}", folder.display()))?;
    Ok(Alone {
        _server: Server::start(command, behind, &folder)?,
        _root: Prefix::start(port, behind, ROOM)?,
    })
}
