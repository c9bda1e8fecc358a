//! A real S3 server that runs here, for tests with files or backups in a
//! bucket: `s3s-fs`, which keeps objects as files in a folder.
//!
//! `cargo xtask test` installs it; by hand it is
//! `cargo install s3s-fs@0.14.1 --features binary --locked --root target/tools`.
//! `FERROBASE_S3_SERVER` names another build of it. Without it these tests
//! fail: what is not tried is not known to work.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The bucket that is there from the beginning.
pub(crate) const BUCKET: &str = "files";
const KEY: &str = "us";
const SECRET: &str = "ours";
const READY_WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Bucket {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Bucket {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let process = Command::new(server())
            .args(["--access-key", KEY, "--secret-key", SECRET, "--port"])
            .arg(port.to_string())
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < READY_WAIT, "the S3 server never answers");
            thread::sleep(Duration::from_millis(5));
        }
        Self {
            process,
            port,
            folder,
        }
    }

    /// Settings with the bytes of files in the bucket.
    pub(crate) fn storage(&self) -> String {
        format!(
            "[storage]\nurl = \"s3://{BUCKET}\"\n{}",
            self.section("storage.s3")
        )
    }

    /// The table of settings that says where it is and who we are.
    pub(crate) fn section(&self, name: &str) -> String {
        format!(
            "[{name}]\nendpoint = \"http://127.0.0.1:{}\"\naccess_key_id = \"{KEY}\"\n\
             secret_access_key = \"{SECRET}\"\n",
            self.port
        )
    }

    /// Where the bucket's objects are as files.
    pub(crate) fn objects(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server() -> PathBuf {
    if let Some(given) = std::env::var_os("FERROBASE_S3_SERVER") {
        return given.into();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/s3s-fs");
    assert!(
        path.is_file(),
        "there is no S3 server to test with; `cargo xtask test` brings it, or: cargo install \
         s3s-fs@0.14.1 --features binary --locked --root target/tools"
    );
    path
}
