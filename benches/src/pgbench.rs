//! The ceiling: pgbench sends the same statements as one pipeline of prepared
//! statements over the same private socket.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A database to measure.
pub(crate) struct Pgbench {
    /// The folder of the socket.
    pub(crate) socket: String,
    /// Its port.
    pub(crate) port: String,
    /// The login role.
    pub(crate) user: &'static str,
}

impl Pgbench {
    /// Transactions per second of a script with this many clients.
    pub(crate) fn run(&self, script: &Path, clients: usize, seconds: u32) -> Result<f64> {
        let output = Command::new("pgbench")
            .args(["-h", &self.socket, "-p", &self.port, "-U", self.user])
            .args(["-n", "-M", "prepared", "-j", "2"])
            .args(["-c", &clients.to_string(), "-T", &seconds.to_string()])
            .arg("-f")
            .arg(script)
            .arg("postgres")
            .output()
            .context("could not start pgbench (package postgresql-contrib or postgresql)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("tps = "));
        let rate = line
            .and_then(|line| line.split_whitespace().nth(2))
            .and_then(|number| number.parse().ok());
        match rate {
            Some(rate) if output.status.success() => Ok(rate),
            _ => bail!("pgbench: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

/// The four statements as one pipeline: BEGIN, role and claims, the statement,
/// COMMIT.
pub(crate) fn script(set: &str, claims: &str, statement: &str) -> String {
    format!(
        "{set}\n\\startpipeline\nBEGIN;\nSELECT set_config('role', 'authenticated', true), \
         set_config('request.jwt.claims', '{claims}', true);\n{statement};\nCOMMIT;\n\\endpipeline\n"
    )
}
