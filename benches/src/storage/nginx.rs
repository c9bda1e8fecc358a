//! A plain file server: nginx with uploads by PUT.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Nginx {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Nginx {
    /// With its files beside ours, so that it is the same disk.
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-nginx-").tempdir()?;
        for name in ["files", "body"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = folder.path().display();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error;
events {{}}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {at}/body; sendfile on;
  server {{ listen 127.0.0.1:{port}; root {at}/files; dav_methods PUT; }}
}}
"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config)?;
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .context("nginx is not installed: apt-get install nginx-light")?;
        let nginx = Self {
            process,
            port,
            folder,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(nginx.address()).is_err() {
            if began.elapsed() > START_LIMIT {
                bail!("nginx does not start");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(nginx)
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What we do before we say that an upload is there.
    pub(super) fn sync(&self, name: &str) -> Result<()> {
        let path = self.folder.path().join("files").join(name);
        Ok(File::open(path)?.sync_all()?)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
