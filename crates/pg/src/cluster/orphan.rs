//! What an earlier run may have left behind: a server that still runs, or
//! lock files that stand in the way.
//!
//! A server that still runs is stopped, not adopted: it may have been started
//! with other settings and is nobody's child, so nobody would learn of its
//! end. A stale file is left to PostgreSQL, which uses it to make sure that no
//! backend of a killed server is still at work; it is removed only when its
//! number now belongs to an unrelated process, the one case in which
//! PostgreSQL refuses to start (usual after a container's restart, and when
//! the dead server is still a zombie). The socket's folder is ours alone, so
//! with no server left everything in it is stale.
//! Start with [`settle`].

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::error::ClusterError;
use super::settings::Launch;

/// A fast shutdown writes a checkpoint: on a slow disk with a full log that
/// takes seconds. An immediate one takes at most five.
const STOP_STEPS: [(Signal, Duration); 2] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(10)),
];

/// Backends of a killed server notice within milliseconds unless they are in
/// the middle of a long system call.
const LEFTOVERS_WAIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);

/// The file has about 100 bytes.
const PID_FILE_BYTES_MAX: u64 = 4096;

/// Makes the data folder free for a start. Holding the folder's lock, we know
/// that no living Ferrobase looks after the server found here.
pub(super) async fn settle(
    launch: &Launch,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), ClusterError> {
    let data_dir = launch.data_dir.as_path();
    free_data(data_dir, progress).await?;
    clear_sockets(&launch.socket_dir)
}

async fn free_data(
    data_dir: &Path,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), ClusterError> {
    let path = data_dir.join("postmaster.pid");
    let recorded = recorded_pid(&path);
    if let Some(pid) = recorded
        && works_in(pid, data_dir)
    {
        progress(&format!(
            "stopping PostgreSQL (process {}), which an earlier run left behind",
            pid.as_raw_nonzero()
        ));
        stop(pid, data_dir).await?;
    }
    wait_for_leftovers(data_dir).await?;
    if let Some(pid) = recorded
        && path.exists()
        && test_kill_process(pid).is_ok()
        && !works_in(pid, data_dir)
    {
        tracing::info!(
            pid = pid.as_raw_nonzero().get(),
            "removing a stale postmaster.pid whose number belongs to another program"
        );
        fs::remove_file(&path).map_err(ClusterError::io("remove", &path))?;
    }
    Ok(())
}

/// Waits until no process of a killed server works in the data folder.
async fn wait_for_leftovers(data_dir: &Path) -> Result<(), ClusterError> {
    let began = Instant::now();
    let mut asked = false;
    loop {
        let leftovers = leftovers(data_dir);
        let Some(pid) = leftovers.first() else {
            return Ok(());
        };
        if began.elapsed() > LEFTOVERS_WAIT {
            return Err(stuck(*pid, data_dir));
        }
        if !asked && began.elapsed() > LEFTOVERS_WAIT / 10 {
            // A backend ends its statement; a server whose data folder was
            // removed and made anew, and which no file names, shuts down.
            asked = true;
            for pid in &leftovers {
                let _ = kill_process(*pid, Signal::INT);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn clear_sockets(socket_dir: &Path) -> Result<(), ClusterError> {
    let entries = fs::read_dir(socket_dir).map_err(ClusterError::io("list", socket_dir))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            let path = entry.path();
            fs::remove_file(&path).map_err(ClusterError::io("remove", &path))?;
        }
    }
    Ok(())
}

async fn stop(pid: Pid, data_dir: &Path) -> Result<(), ClusterError> {
    for (signal, wait) in STOP_STEPS {
        // An error means that it has just ended, which the loop sees.
        let _ = kill_process(pid, signal);
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if !works_in(pid, data_dir) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Err(stuck(pid, data_dir))
}

fn stuck(pid: Pid, data_dir: &Path) -> ClusterError {
    ClusterError::OrphanStuck {
        pid: pid.as_raw_nonzero().get().unsigned_abs(),
        data_dir: data_dir.to_owned(),
    }
}

/// The first line of the file; a stand-alone backend writes it negative.
fn recorded_pid(path: &Path) -> Option<Pid> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(PID_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    let pid = text.lines().next()?.trim().parse::<i32>().ok()?;
    Pid::from_raw(pid.checked_abs()?)
}

/// Whether this process is a PostgreSQL that works in this data folder: every
/// one of them makes the folder its current one.
#[cfg(target_os = "linux")]
fn works_in(pid: Pid, data_dir: &Path) -> bool {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    // The name stays a prefix when an upgrade has replaced the program: the
    // kernel then appends " (deleted)". A zombie has no link at all.
    let is_postgres = fs::read_link(format!("{process}/exe")).is_ok_and(|program| {
        program
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("postgres"))
    });
    is_postgres
        && fs::read_link(format!("{process}/cwd")).is_ok_and(|folder| {
            let folder = folder.to_string_lossy();
            Path::new(folder.trim_end_matches(" (deleted)")) == data_dir
        })
}

/// Without /proc, the command line has to do.
#[cfg(not(target_os = "linux"))]
fn works_in(pid: Pid, data_dir: &Path) -> bool {
    let output = std::process::Command::new("/bin/ps")
        .args(["-o", "command=", "-p"])
        .arg(pid.as_raw_nonzero().to_string())
        .output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.contains("postgres") && text.contains(&*data_dir.to_string_lossy())
    })
}

#[cfg(target_os = "linux")]
fn leftovers(data_dir: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| works_in(*pid, data_dir))
        .collect()
}

/// Elsewhere PostgreSQL's own check of its shared memory must do.
#[cfg(not(target_os = "linux"))]
fn leftovers(_: &Path) -> Vec<Pid> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_file_of_an_unrelated_process_goes_and_a_dead_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postmaster.pid");
        fs::write(&path, format!("{}\n/data\n", std::process::id())).unwrap();
        free_data(dir.path(), &|_| ()).await.unwrap();
        assert!(!path.exists());
        // 4194304 is above the highest number that Linux gives.
        fs::write(&path, "4194304\n/data\n").unwrap();
        free_data(dir.path(), &|_| ()).await.unwrap();
        assert!(path.exists());
        fs::write(&path, "garbage").unwrap();
        free_data(dir.path(), &|_| ()).await.unwrap();
    }
}
