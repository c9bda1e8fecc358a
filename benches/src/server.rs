//! The program under test: the release binary, started like a user starts it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running `ferrobase dev`.
pub(crate) struct Server {
    child: Child,
    /// What it printed when it was ready.
    pub(crate) ready: Value,
    /// From spawning to that line.
    pub(crate) took: Duration,
    folder: PathBuf,
}

impl Server {
    /// Starts it in a folder and waits until it is ready.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(binary()?)
            .args(["dev", "--json", "--port", "0", "--db-port", "0", "--dir"])
            .arg(folder)
            .env("FERROBASE__LOG__REQUESTS", "errors")
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start the binary")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let took = began.elapsed();
        let ready = serde_json::from_str(&line).context("the server did not become ready")?;
        Ok(Self {
            child,
            ready,
            took,
            folder: folder.to_owned(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn text(&self, key: &str) -> Result<String> {
        let value = self.ready.get(key).and_then(Value::as_str);
        Ok(value
            .with_context(|| format!("no {key} in the ready line"))?
            .to_owned())
    }

    /// `127.0.0.1:54321`
    pub(crate) fn address(&self) -> Result<String> {
        let url = self.text("api_url")?;
        Ok(url.trim_start_matches("http://").to_owned())
    }

    /// The folder of the private socket and its port.
    pub(crate) fn socket(&self) -> Result<(String, String)> {
        let text = std::fs::read_to_string(self.folder.join(".ferrobase/lock"))
            .context("could not read the instance's lock file")?;
        let lock: Value = serde_json::from_str(&text)?;
        let folder = lock.get("socket_dir").and_then(Value::as_str);
        let folder = folder.context("no socket_dir in the lock file")?.to_owned();
        let socket = std::fs::read_dir(&folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find_map(|name| {
                Some(
                    name.strip_prefix(".s.PGSQL.")?
                        .parse::<u16>()
                        .ok()?
                        .to_string(),
                )
            });
        let port = socket.context("no socket")?;
        Ok((folder, port))
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        let began = Instant::now();
        while began.elapsed() < STOP_LIMIT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server did not stop");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only left over when something failed before `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary beside this one.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.with_file_name("ferrobase");
    if !path.exists() {
        bail!("{} is not built: cargo build --release", path.display());
    }
    Ok(path)
}
