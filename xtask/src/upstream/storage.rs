//! The servers of the suites about files: `ferrobase dev` on a copy of each
//! suite's own Supabase folder, with its seeds and policies.

use std::path::Path;

use anyhow::Result;

use crate::conformance::cluster::Cluster;
use crate::repo::Repo;
use crate::upstream::stack::{self, Server};

/// Where storage3's tests look for their server.
pub(super) const PY_PORT: u16 = 55321;

/// As `supabase start` in `test` of storage-js.
pub(super) fn javascript(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Server> {
    start(
        repo,
        &sources.join("test/supabase"),
        stack::JS_PORT,
        cluster,
    )
}

/// As `supabase --workdir infra start` of storage3.
pub(super) fn python(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Server> {
    start(repo, &sources.join("infra/supabase"), PY_PORT, cluster)
}

fn start(repo: &Repo, folder: &Path, port: u16, cluster: &Cluster) -> Result<Server> {
    let project = cluster.folder().join("project");
    stack::copy(folder, &project.join("supabase"))?;
    let mut command = stack::ours(repo);
    command
        .args(["dev", "--port", &port.to_string()])
        .args(["--db-port", "0", "--dir"])
        .arg(&project)
        .env("FERROBASE__INBOX__PORT", "0");
    Server::start(command, port, cluster.folder())
}
