//! What disk and PostgreSQL can do without us: each thread writes a file, gives
//! it its name, syncs it and its folder, and inserts a row that says so.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pg::{Session, Target};

use crate::server::Server;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS public.bench_files \
    (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE, size bigint)";

/// Files and rows a second.
pub(super) fn run(server: &Server, threads: usize, seconds: u32, body: &[u8]) -> Result<f64> {
    let (socket, port) = server.socket()?;
    let target = Target::socket(&socket, port.parse()?, "postgres", "postgres");
    let folder = tempfile::Builder::new().prefix("bench-raw-").tempdir()?;
    for name in ["incoming", "files"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let length = Duration::from_secs(u64::from(seconds));
    block_on(async {
        let mut session = Session::connect(&target).await?;
        session.script(TABLE).await?;
        session.script("TRUNCATE public.bench_files").await?;
        Ok(())
    })?;
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let (target, folder) = (&target, folder.path());
                scope.spawn(move || work(target, folder, worker, (length, body)))
            })
            .collect();
        let counts = workers
            .into_iter()
            .map(|worker| worker.join().ok().context("a thread died")?);
        counts.sum::<Result<u32>>()
    })?;
    Ok(f64::from(done) / f64::from(seconds))
}

fn work(target: &Target, folder: &Path, worker: usize, of: (Duration, &[u8])) -> Result<u32> {
    let (length, body) = of;
    let directory = File::open(folder.join("files"))?;
    block_on(async {
        let mut session = Session::connect(target).await?;
        let (mut done, began) = (0, Instant::now());
        while began.elapsed() < length {
            let name = format!("{worker}-{done}");
            let path = folder.join("incoming").join(&name);
            fs::write(&path, body)?;
            let to = folder.join("files").join(&name);
            fs::rename(&path, &to)?;
            File::open(&to)?.sync_all()?;
            directory.sync_all()?;
            let sql = "INSERT INTO public.bench_files (name, size) VALUES ($1, 4096)";
            session.query(sql, &[Some(&name)]).await?;
            done += 1;
        }
        Ok(done)
    })
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(future)
}
