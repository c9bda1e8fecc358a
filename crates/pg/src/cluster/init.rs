//! Makes a new cluster.
//!
//! `initdb` works in `pg15.tmp-<pid>-<n>`, and only a finished, flushed folder gets
//! the name `pg15`. So whatever interrupts it, the next start finds either no
//! cluster or a whole one. Start with [`create`].

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kernel::Tasks;
use rustix::process::Signal;

use super::child::Child;
use super::error::ClusterError;
use super::failure::{Program, classify, free_bytes};
use super::settings::Launch;

/// The superuser, named as on Supabase, so that dumps move both ways.
pub(super) const SUPERUSER: &str = "supabase_admin";

/// A new cluster takes 39 MiB, and one more log file soon after.
const FREE_BYTES_MIN: u64 = 96 * 1024 * 1024;

/// It takes half a second on a quiet machine and has taken eight on a busy
/// one; after this long the disk does not answer.
const INITDB_WAIT: Duration = Duration::from_secs(180);

/// How long an `initdb` that is given up may take to clean up after itself.
const GIVE_UP: [(Signal, Duration); 2] = [
    (Signal::INT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// How often and how patiently a folder is removed that somebody still fills.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(100);

/// Makes the name of every attempt of this process its own: an `initdb` that
/// was given up may still be ending in the folder of the last one.
static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

/// UTF-8 with byte order, so that indexes do not depend on the C library's
/// version; where the system lacks it, the same order without character
/// classes beyond ASCII.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Makes the cluster of `launch` below `base`. The caller holds the folder's
/// lock, so every half-made folder in `base` belongs to nobody.
pub(super) async fn create(
    launch: &Launch,
    base: &Path,
    tasks: &Tasks,
) -> Result<(), ClusterError> {
    remove_half_made(base).await?;
    let free_bytes = free_bytes(base);
    if free_bytes < FREE_BYTES_MIN {
        return Err(ClusterError::DiskFull {
            path: base.to_owned(),
            free_bytes,
        });
    }
    let new = launch.data_dir.with_extension(format!(
        "tmp-{}-{}",
        std::process::id(),
        ATTEMPTS.fetch_add(1, Ordering::Relaxed)
    ));
    let result = fill(launch, &new, tasks).await;
    if result.is_err() {
        // A full disk is the likely reason; leave nothing on it.
        let _ = fs::remove_dir_all(&new);
        return result;
    }
    flush(&new)?;
    fs::rename(&new, &launch.data_dir).map_err(ClusterError::io("name", &launch.data_dir))?;
    File::open(base)
        .and_then(|folder| folder.sync_all())
        .map_err(ClusterError::io("flush", base))
}

async fn fill(launch: &Launch, new: &Path, tasks: &Tasks) -> Result<(), ClusterError> {
    let mut last = None;
    for locale in LOCALES {
        if new.exists() {
            fs::remove_dir_all(new).map_err(ClusterError::io("remove", new))?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(new)
            .map_err(ClusterError::io("create", new))?;
        launch
            .owner
            .give(new)
            .map_err(ClusterError::io("give to PostgreSQL's user", new))?;
        match initdb(launch, new, locale, tasks).await {
            Ok(()) => return Ok(()),
            Err(ClusterError::Locale { detail }) => last = Some(ClusterError::Locale { detail }),
            Err(error) => return Err(error),
        }
    }
    last.map_or(Ok(()), Err)
}

async fn initdb(
    launch: &Launch,
    new: &Path,
    locale: &str,
    tasks: &Tasks,
) -> Result<(), ClusterError> {
    let mut command = launch.program("initdb");
    command
        .arg("-D")
        .arg(new)
        .args(["-U", SUPERUSER, "--encoding=UTF8"])
        .arg(format!("--locale={locale}"))
        .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
        .arg("--no-instructions");
    if cfg!(target_os = "linux") {
        command.arg("--no-sync"); // flush() does it
    }
    let program = launch.binaries.program("initdb");
    let mut child = Child::spawn(command, tasks)
        .await
        .map_err(ClusterError::io("run", &program))?;
    let exit = match tokio::time::timeout(INITDB_WAIT, child.exited()).await {
        Ok(exit) => exit,
        Err(_) => child.end(&GIVE_UP).await,
    };
    if exit == "exit status: 0" {
        return Ok(());
    }
    Err(classify(Program::Initdb, launch, exit, child.log.text()))
}

/// Puts the new cluster on the disk before it gets its name: a power cut must
/// not leave a whole-looking cluster of empty files.
///
/// One syncfs(2) instead of the 1,000 fsync calls of `initdb`: measured 50 to
/// 65 ms against 135 ms on a quiet disk and 400 to 1,450 ms on a busy one. It
/// also flushes what others wrote on the same disk, once per new project.
#[cfg(target_os = "linux")]
fn flush(new: &Path) -> Result<(), ClusterError> {
    File::open(new)
        .and_then(|folder| rustix::fs::syncfs(&folder).map_err(Into::into))
        .map_err(ClusterError::io("flush", new))
}

/// Elsewhere `initdb` has flushed its files itself.
#[cfg(not(target_os = "linux"))]
fn flush(_: &Path) -> Result<(), ClusterError> {
    Ok(())
}

async fn remove_half_made(base: &Path) -> Result<(), ClusterError> {
    let entries = fs::read_dir(base).map_err(ClusterError::io("list", base))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("pg") && name.contains(".tmp-") {
            let path = entry.path();
            tracing::info!(path = %path.display(), "removing a half-made cluster");
            remove_busy(&path).await?;
        }
    }
    Ok(())
}

/// An `initdb` whose Ferrobase was killed is told to end at the same moment,
/// and may still make files while we remove them.
async fn remove_busy(path: &Path) -> Result<(), ClusterError> {
    for _ in 0..REMOVE_TRIES {
        if fs::remove_dir_all(path).is_ok() {
            return Ok(());
        }
        tokio::time::sleep(REMOVE_PAUSE).await;
    }
    fs::remove_dir_all(path).map_err(ClusterError::io("remove", path))
}
