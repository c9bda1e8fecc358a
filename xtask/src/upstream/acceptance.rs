//! The acceptance suite of the official storage server: `ferrobase dev` with the one bucket and
//! policy that its tests find there, and the suite's own settings in the environment.
//!
//! Its repository's lock file brings a whole server; what the tests themselves import is pinned in
//! `tests/clients/acceptance`. The suite is copied beside those packages, so nothing is written
//! where its sources are. Start at [`run`].

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::clients;
use crate::conformance::cluster::Cluster;
use crate::repo::Repo;
use crate::upstream::stack::{self, Server};

/// Where its tests look for a server unless told otherwise; they are told, but a port of its own
/// keeps two suites from meeting.
pub(super) const PORT: u16 = 55_421;

/// What its tests need to find: a bucket whose folder `authenticated` is for everybody signed in.
const FIXTURE: &str = "tests/clients/upstream/acceptance.sql";

/// The packages that it imports.
const PACKAGES: &str = "tests/clients/acceptance";

/// Starts the server, runs the suite, and returns where its results are.
pub(super) fn run(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<PathBuf> {
    let (folder, node) = prepare(repo, sources)?;
    let project = cluster.folder().join("project");
    let migrations = project.join("supabase/migrations");
    std::fs::create_dir_all(&migrations).context("could not make the project's folder")?;
    std::fs::copy(
        repo.path(FIXTURE),
        migrations.join("20240101000000_acceptance.sql"),
    )
    .context("could not add the suite's fixtures")?;
    let mut command = stack::ours(repo);
    command
        .args(["dev", "--port", &PORT.to_string()])
        .args(["--db-port", "0", "--dir"])
        .arg(&project)
        .env("FERROBASE__INBOX__PORT", "0");
    let _server = Server::start(command, PORT, cluster.folder())?;
    let results = cluster.folder().join("vitest.json");
    let mut vitest = Command::new(node);
    vitest
        .current_dir(&folder)
        .args(["node_modules/vitest/vitest.mjs", "run"])
        .args(["--config", "acceptance/acceptance.vitest.config.ts"])
        .args(["--reporter=json"])
        .arg(format!("--outputFile={}", results.display()))
        .envs(settings(&status(repo, &project)?)?)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // The exit code says only that something failed; the results say what.
    vitest.status().context("could not start vitest")?;
    Ok(results)
}

/// Installs the packages and copies the suite beside them; returns that folder and its Node.
fn prepare(repo: &Repo, sources: &Path) -> Result<(PathBuf, PathBuf)> {
    let folder = repo.target().join("clients-acceptance");
    let suite = folder.join("acceptance");
    if suite.is_dir() {
        std::fs::remove_dir_all(&suite).context("could not remove an older copy of the suite")?;
    }
    stack::copy(&sources.join("acceptance"), &suite)?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(repo.path(PACKAGES).join(file), folder.join(file))
            .with_context(|| format!("could not copy {file}"))?;
    }
    // What the suite's own `tsconfig.json` extends is its server's.
    std::fs::write(folder.join("tsconfig.json"), "{}\n")
        .context("could not write tsconfig.json")?;
    let older = clients::newer_node().is_some();
    let mut install = Command::new("npm");
    install
        .current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    if !older {
        install.arg("--omit=optional");
    }
    if !install.status().context("could not start npm")?.success() {
        bail!("npm failed; what it said is above");
    }
    let node = if older {
        clients::own_node(&folder)
    } else {
        PathBuf::from("node")
    };
    Ok((folder, node))
}

/// What `ferrobase status` says of the project: addresses and keys.
fn status(repo: &Repo, project: &Path) -> Result<Value> {
    let output = stack::ours(repo)
        .args(["status", "-o", "json", "--dir"])
        .arg(project)
        .output()
        .context("could not start the binary")?;
    serde_json::from_slice(&output.stdout).context("`ferrobase status -o json` is not JSON")
}

/// The suite's own names for them. What is not here stays off: networks of others, Iceberg,
/// vectors, tenants and their administration.
fn settings(status: &Value) -> Result<Vec<(&'static str, String)>> {
    let said = |name: &str| -> Result<String> {
        let text = status.get(name).and_then(Value::as_str);
        Ok(text
            .with_context(|| format!("`ferrobase status` does not say {name}"))?
            .to_owned())
    };
    let storage = format!("{}/storage/v1", said("API_URL")?);
    let anon = said("ANON_KEY")?;
    Ok(vec![
        ("ACCEPTANCE_TARGET", "local".to_owned()),
        ("ACCEPTANCE_PROFILE", "full".to_owned()),
        ("ACCEPTANCE_S3_ENDPOINT", format!("{storage}/s3")),
        (
            "ACCEPTANCE_TUS_ENDPOINT",
            format!("{storage}/upload/resumable"),
        ),
        ("ACCEPTANCE_BASE_URL", storage),
        ("ACCEPTANCE_SERVICE_KEY", said("SERVICE_ROLE_KEY")?),
        ("ACCEPTANCE_AUTHENTICATED_KEY", signed_in(&anon)?),
        ("ACCEPTANCE_ANON_KEY", anon),
        ("ACCEPTANCE_REGION", said("S3_PROTOCOL_REGION")?),
        (
            "ACCEPTANCE_S3_ACCESS_KEY_ID",
            said("S3_PROTOCOL_ACCESS_KEY_ID")?,
        ),
        (
            "ACCEPTANCE_S3_SECRET_ACCESS_KEY",
            said("S3_PROTOCOL_ACCESS_KEY_SECRET")?,
        ),
        ("ACCEPTANCE_ENABLE_RENDER", "true".to_owned()),
        ("ACCEPTANCE_ENABLE_RLS_SETUP", "true".to_owned()),
        ("ACCEPTANCE_ENABLE_WIRE", "true".to_owned()),
        ("ACCEPTANCE_ENABLE_TUS", "true".to_owned()),
    ])
}

/// The token of somebody who signs up.
fn signed_in(anon: &str) -> Result<String> {
    let body = r#"{"email":"acceptance@example.com","password":"correct-horse-battery"}"#;
    let mut stream =
        TcpStream::connect(("127.0.0.1", PORT)).context("the server does not answer")?;
    stream.set_read_timeout(Some(stack::ANSWER_TIME_MAX))?;
    write!(
        stream,
        "POST /auth/v1/signup HTTP/1.1\r\nhost: localhost\r\napikey: {anon}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let token = answer
        .split_once("\"access_token\":\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let Some((token, _)) = token else {
        bail!(
            "nobody can sign up: {}",
            answer.lines().next().unwrap_or_default()
        );
    };
    Ok(token.to_owned())
}
