//! The same against a real S3 server, `s3s-fs`. `cargo xtask test` installs it;
//! by hand it is `cargo install s3s-fs@0.14.1 --features binary --locked --root
//! target/tools`. Without it this fails: what is not tried is not known to work.

use super::*;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/s3s-fs");

struct Server {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let program = std::env::var_os("FERROBASE_S3_SERVER").unwrap_or_else(|| SERVER.into());
        assert!(
            Path::new(&program).exists(),
            "there is no S3 server to test with; see the head of this file"
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("files")).expect("a bucket");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = port.local_addr().expect("bound").port();
        let process = Command::new(&program)
            .args(["--access-key", "us", "--secret-key", "ours", "--port"])
            .arg(port.to_string())
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "never answers");
            std::thread::yield_now();
        }
        Self {
            process,
            port,
            _folder: folder,
        }
    }

    fn config(&self, secret: &str) -> S3Config {
        S3Config {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            region: "us-east-1".to_owned(),
            bucket: "files".to_owned(),
            access_key_id: "us".to_owned(),
            secret_access_key: kernel::Secret::new(secret),
            path_style: true,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_bucket_does_what_every_store_does() {
    let server = Server::start();
    let blobs = Blobs::s3(&server.config("ours"), given()).expect("opens");
    suite::check(&blobs).await;
    long_uploads(&blobs).await;
    assert_eq!(blobs.unfinished().await.expect("a list"), []);
    let wrong = Blobs::s3(&server.config("wrong"), given()).expect("opens");
    let refused = write_some(&wrong).await;
    assert!(matches!(refused, Err(BlobError::Io(_))), "{refused:?}");
}

/// Longer than a part of S3's own.
async fn long_uploads(blobs: &Blobs) {
    let content = bytes(20 << 20, 21);
    let (id, written) = put(blobs, &content).await;
    agree(&written, &content);
    assert_eq!(written.md5, md5(&content));
    assert!(get(blobs, id, None).await == content);
    let copy = blobs.copy(id).await.expect("copied");
    blobs.remove(&[id]).await.expect("removed");
    blobs.verify(copy, &written.sums).await.expect("the same");
    // What comes in one piece longer than parts is cut into them.
    let mut writer = blobs.create().await.expect("a writer");
    writer.write(content.clone().into()).await.expect("taken");
    let (id, again) = writer.finish().await.expect("durable");
    assert_eq!(again, written);
    blobs.verify(id, &written.sums).await.expect("the same");
    let of_parts = blobs.begin_multipart().await.expect("begun");
    let writer = blobs.write_part(of_parts, 1).await.expect("a writer");
    let (_, part) = write(writer, &content).await;
    let whole = blobs
        .complete_multipart(of_parts, &[(1, part)])
        .await
        .expect("whole");
    let copy = blobs.copy(of_parts).await.expect("copied");
    blobs.remove(&[of_parts]).await.expect("removed");
    blobs.verify(copy, &whole.sums).await.expect("the same");
    let mut dropped = blobs.create().await.expect("a writer");
    dropped.write(content.into()).await.expect("taken");
}

async fn write_some(blobs: &Blobs) -> Result<BlobId, BlobError> {
    let mut writer = blobs.create().await?;
    writer.write(Bytes::from_static(b"x")).await?;
    writer.finish().await.map(|(id, _)| id)
}
