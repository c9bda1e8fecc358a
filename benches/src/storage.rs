//! Files: long ones against nginx on the same disk, short ones against what the
//! disk and PostgreSQL can do without us, and memory with a very long one.
//!
//! nginx (Debian's `nginx-light`) writes an upload to the disk's cache and says
//! so; we say so when the disk has it. Both numbers are there: nginx as it is,
//! and nginx with the file synced behind it.

mod ceiling;
mod nginx;
mod transfer;

use anyhow::{Context as _, Result, bail};

use crate::server::Server;
use crate::table::{median, print};
use crate::{Options, http, memory};
use nginx::Nginx;
use transfer::{Target, download, request, upload};

/// A long file: longer than any cache of the processor, shorter than memory.
const LONG: u64 = 1 << 30;
/// What must pass without being held.
const VERY_LONG: u64 = 5 << 30;
const SHORT: usize = 4096;
const CONNECTIONS: usize = 32;
/// Threads that write files and rows; the best of these counts.
const CEILING_THREADS: [usize; 2] = [8, 32];

pub(crate) fn run(options: Options) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
    open_to_postgres(folder.path())?;
    std::fs::write(
        folder.path().join("ferrobase.toml"),
        "[storage]\nfile_size_limit = \"unlimited\"\n",
    )?;
    let server = Server::start(folder.path())?;
    let ours = Target {
        address: server.address()?,
        key: Some(server.text("service_role_key")?),
    };
    let bucket = br#"{"id":"b","name":"b"}"#;
    let made = request(&ours, "POST", "/storage/v1/bucket", bucket)?;
    if !made.starts_with("HTTP/1.1 200") {
        bail!("no bucket: {made}");
    }
    long(options, &ours)?;
    short(options, &ours, &server)?;
    very_long(&ours, &server)?;
    server.stop()
}

/// As root, PostgreSQL is another user.
fn open_to_postgres(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, open).context("could not open the folder")
}

fn long(options: Options, ours: &Target) -> Result<()> {
    let nginx = Nginx::start()?;
    let theirs = Target {
        address: nginx.address(),
        key: None,
    };
    let (mut up, mut down) = ([vec![], vec![], vec![]], [vec![], vec![]]);
    for round in 0..options.rounds {
        let path = format!("/storage/v1/object/b/long{round}");
        up[0].push(upload(ours, "POST", &path, LONG)?);
        let name = format!("long{round}");
        let began = std::time::Instant::now();
        up[1].push(upload(&theirs, "PUT", &format!("/{name}"), LONG)?);
        nginx.sync(&name)?;
        up[2].push(transfer::rate(LONG, began.elapsed()));
        let path = format!("/storage/v1/object/authenticated/b/long{round}");
        down[0].push(download(ours, &path, LONG)?);
        down[1].push(download(&theirs, &format!("/{name}"), LONG)?);
    }
    let [ours_up, theirs_up, synced] = up.map(|mut rates| median(&mut rates));
    let [ours_down, theirs_down] = down.map(|mut rates| median(&mut rates));
    let row = |what: &str, ours: f64, theirs: f64| {
        let cells = [ours, theirs].map(|rate| format!("{rate:.0}"));
        let [ours, theirs, ratio] =
            [&cells[0], &cells[1], &format!("{:.2}", ours / theirs)].map(String::clone);
        vec![what.to_owned(), ours, theirs, ratio]
    };
    let head = ["1 GiB, MB/s", "ferrobase", "nginx", "ratio"];
    print(&[
        head.map(str::to_owned).to_vec(),
        row("upload, nginx without sync", ours_up, theirs_up),
        row("upload, nginx with sync", ours_up, synced),
        row("download", ours_down, theirs_down),
    ]);
    Ok(())
}

fn short(options: Options, ours: &Target, server: &Server) -> Result<()> {
    let (mut uploads, mut ceilings) = (Vec::new(), Vec::new());
    let body = vec![b'x'; SHORT];
    for round in 0..options.rounds {
        let load = http::run(&ours.address, CONNECTIONS, options.seconds, |number| {
            let path = format!("/storage/v1/object/b/short{round}/{number}");
            transfer::bytes(ours, "POST", &path, &body)
        })?;
        uploads.push(load.rate);
        let of_threads =
            CEILING_THREADS.map(|threads| ceiling::run(server, threads, options.seconds, &body));
        let best = of_threads.into_iter().collect::<Result<Vec<f64>>>()?;
        ceilings.push(best.into_iter().fold(0.0, f64::max));
    }
    let (uploads, ceiling) = (median(&mut uploads), median(&mut ceilings));
    print(&[
        ["4 KiB uploads", "a second", "ratio"]
            .map(str::to_owned)
            .to_vec(),
        vec![
            "ferrobase".to_owned(),
            format!("{uploads:.0}"),
            format!("{:.2}", uploads / ceiling),
        ],
        vec![
            "insert and synced file".to_owned(),
            format!("{ceiling:.0}"),
            "1.00".to_owned(),
        ],
    ]);
    Ok(())
}

fn very_long(ours: &Target, server: &Server) -> Result<()> {
    let before = memory::resident(server.pid());
    let up = upload(ours, "POST", "/storage/v1/object/b/very-long", VERY_LONG)?;
    let path = "/storage/v1/object/authenticated/b/very-long";
    let down = download(ours, path, VERY_LONG)?;
    let peak = memory::peak(server.pid());
    print(&[
        ["5 GiB", ""].map(str::to_owned).to_vec(),
        vec!["up, MB/s".to_owned(), format!("{up:.0}")],
        vec!["down, MB/s".to_owned(), format!("{down:.0}")],
        vec!["resident before, MiB".to_owned(), format!("{before:.0}")],
        vec![
            "most resident since the start, MiB".to_owned(),
            format!("{peak:.0}"),
        ],
    ]);
    Ok(())
}
