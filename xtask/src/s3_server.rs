//! The real S3 server that tests of buckets run against: `s3s-fs`, installed once below the build
//! folder. Start at [`ensure`].

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::repo::Repo;
use crate::step::Steps;
use crate::test::cargo;

/// Pinned: what it can and how strict it is decides what the tests say.
const VERSION: &str = "0.14.1";
const READY_WAIT: Duration = Duration::from_secs(30);
const KEY: &str = "us";
const SECRET: &str = "ours";
const BUCKET: &str = "files";

/// Where it is: `FERROBASE_S3_SERVER`, or else below the build folder.
fn path(repo: &Repo) -> PathBuf {
    std::env::var_os("FERROBASE_S3_SERVER")
        .map_or_else(|| repo.path("target/tools/bin/s3s-fs"), PathBuf::from)
}

/// Installs it where it is missing, as a step. Tests of buckets fail without it.
pub(crate) fn ensure(repo: &Repo, steps: &mut Steps) -> bool {
    if path(repo).is_file() {
        return true;
    }
    let root = repo.path("target/tools");
    let mut install = cargo(repo);
    install
        .args(["install", "s3s-fs", "--version", VERSION])
        .args(["--features", "binary", "--locked", "--debug", "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(root.join("build"));
    steps.command("s3s-fs: install", &mut install)
}

/// It, running on a folder of its own with one bucket; ends when dropped.
pub(crate) struct Running {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Running {
    pub(crate) fn start(repo: &Repo) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .context("no port is free")?
            .port();
        let folder = std::env::temp_dir().join(format!("ferrobase-s3-{port}"));
        std::fs::create_dir_all(folder.join(BUCKET)).context("could not make its folder")?;
        let process = Command::new(path(repo))
            .args(["--access-key", KEY, "--secret-key", SECRET, "--port"])
            .arg(port.to_string())
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start s3s-fs")?;
        let running = Self {
            process,
            folder,
            port,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > READY_WAIT {
                bail!("s3s-fs never answers");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// Settings of a project that keeps its files there.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("FERROBASE__STORAGE__URL", format!("s3://{BUCKET}")),
            ("FERROBASE__STORAGE__S3__ENDPOINT", endpoint),
            ("FERROBASE__STORAGE__S3__ACCESS_KEY_ID", KEY.to_owned()),
            (
                "FERROBASE__STORAGE__S3__SECRET_ACCESS_KEY",
                SECRET.to_owned(),
            ),
        ]
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
