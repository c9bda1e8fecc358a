//! Runs the replay program with our binary behind it and reads its results.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::conformance::Options;
use crate::conformance::cluster::Cluster;
use crate::repo::Repo;

/// One case of the specification and what became of it.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) title: String,
    /// Every check of the specification held: status, headers and body.
    pub(crate) strict: bool,
    /// The first thing that differed, on one line.
    pub(crate) reason: String,
}

/// Everything a replay needs.
pub(crate) struct Replay<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) data: &'a Path,
    pub(crate) cluster: &'a Cluster,
    pub(crate) options: &'a Options,
}

impl Replay<'_> {
    /// Replays the cases; the program prints its table as it ends.
    pub(crate) fn run(&self) -> Result<Vec<Case>> {
        let results = self.cluster.folder().join("results.jsonl");
        // Every configuration appends to it; a run starts with an empty one.
        std::fs::write(self.log(), "").context("could not empty the server's log")?;
        let mut command = self.command(&results)?;
        let status = command.status().context("could not start python3")?;
        if !status.success() {
            bail!("the replay program failed");
        }
        let text = std::fs::read_to_string(&results)
            .context("could not read the results of the replay")?;
        let cases: Vec<Case> = text.lines().map(read_case).collect::<Result<_>>()?;
        if cases.is_empty() {
            bail!(
                "no case was replayed; the server's log is {}",
                self.log().display()
            );
        }
        Ok(cases)
    }

    fn command(&self, results: &Path) -> Result<Command> {
        let version = self.options.version.name();
        let port = free_port()?;
        let mut command = Command::new("python3");
        command
            .arg(self.data.join("run_postgrest_cases.py"))
            .arg(format!("http://127.0.0.1:{port}/rest/v1"))
            .arg(self.data.join(format!("postgrest-{version}-cases.jsonl")))
            .args([
                "--config",
                &self.options.config,
                "--show",
                &self.options.show.to_string(),
            ])
            // Several groups commit; each configuration therefore starts from a fresh copy.
            .args(["--reset-cmd", &self.cluster.reset_command()])
            .arg("--out")
            .arg(results)
            .args(["--launch", &self.launch()])
            .env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(filter) = &self.options.filter {
            command.args(["--filter", filter]);
        }
        self.environment(&mut command, port);
        Ok(command)
    }

    /// `exec`, so that the program's signals reach the server and not a shell in between.
    fn launch(&self) -> String {
        format!(
            "export {ABSENT}; exec '{}' serve >>'{}' 2>&1",
            self.repo.binary().display(),
            self.log().display()
        )
    }

    fn log(&self) -> std::path::PathBuf {
        self.repo.target().join("conformance-server.log")
    }

    /// What all configurations share; the program adds each one's `PGRST_*` names.
    fn environment(&self, command: &mut Command, port: u16) {
        command
            .env("PGRST_DB_URI", self.cluster.uri())
            .env("PGRST_SERVER_HOST", "127.0.0.1")
            .env("PGRST_SERVER_PORT", port.to_string())
            .env("FERROBASE__DB__MIGRATE", "false")
            .env("FERROBASE__API__REQUIRE_APIKEY", "false")
            .env("FERROBASE__JOBS__ENABLED", "false")
            // What no configuration sets is absent, not our default.
            .env("PGRST_DB_MAX_ROWS", "")
            .env("NO_COLOR", "1");
    }
}

/// Two configurations unset these names. For us that means the project's own
/// values; an empty one means none.
const ABSENT: &str =
    "PGRST_JWT_SECRET=\"${PGRST_JWT_SECRET-}\" PGRST_DB_ANON_ROLE=\"${PGRST_DB_ANON_ROLE-}\"";

/// A port that nobody listens on right now; the server binds it a moment later.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("could not bind a port on loopback")?;
    Ok(listener
        .local_addr()
        .context("could not read the port")?
        .port())
}

/// One line of the program's results.
fn read_case(line: &str) -> Result<Case> {
    let value: Value = serde_json::from_str(line).context("a result line is not JSON")?;
    let text = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let strict = value.get("ok").and_then(Value::as_bool).unwrap_or(false);
    let reason = if strict {
        String::new()
    } else {
        first_reason(&value)
    };
    Ok(Case {
        id: text("it"),
        title: text("full"),
        strict,
        reason,
    })
}

/// The request and the kind of the first difference, without bodies: short enough for a list.
fn first_reason(value: &Value) -> String {
    const REASON_CHARS_MAX: usize = 160;
    let request = value
        .pointer("/requests/0")
        .and_then(Value::as_str)
        .unwrap_or("?");
    let kind = value
        .pointer("/problems/0/1")
        .and_then(Value::as_str)
        .unwrap_or("?");
    let message = value
        .pointer("/problems/0/2")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let what = match kind {
        "status" => message.split(';').next().unwrap_or_default().to_owned(),
        "body" => "body differs".to_owned(),
        "body-order" => "rows come in another order".to_owned(),
        other => format!("{other} differs"),
    };
    let line = format!("{what}: {request}").replace(['\n', '\r'], " ");
    line.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_becomes_a_case_with_a_short_reason() {
        let line = r#"{"it":"Query:1","full":"Query > reads","ok":false,"requests":["GET /items"],
            "problems":[[0,"status","status 404, expected 200; body: secret rows"]]}"#;
        let case = read_case(&line.replace('\n', "")).expect("a valid line");
        assert_eq!((case.id.as_str(), case.strict), ("Query:1", false));
        assert_eq!(case.reason, "status 404, expected 200: GET /items");
    }
}
