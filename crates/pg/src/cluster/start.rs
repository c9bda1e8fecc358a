//! One start of `postgres`: spawn, wait until it answers, and the stop that
//! belongs to it. Start with [`spawn`], then [`wait_ready`].

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use kernel::Tasks;
use rustix::process::Signal;

use super::child::Child;
use super::error::ClusterError;
use super::failure::{Program, classify};
use super::init::SUPERUSER;
use super::settings::Launch;
use crate::{Session, Target};

/// A healthy server answers in 30 ms; one that says nothing for this long will
/// not answer at all.
const SILENT_WAIT: Duration = Duration::from_secs(60);

/// A server that says "starting up" replays its log after a crash. Stopping it
/// would only make the next one begin anew, so it gets longer.
const RECOVERY_WAIT: Duration = Duration::from_secs(900);

/// Short enough not to be seen in the start time, long enough to be free.
const POLL: Duration = Duration::from_millis(4);

/// One connection attempt; a server under memory pressure can accept and stall.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// SQLSTATE `cannot_connect_now`.
const STARTING_UP: &str = "57P03";

/// Fast shutdown, then immediate, then the end of patience.
const STOP_STEPS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(10)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// Starts the server. It does not answer yet.
pub(super) async fn spawn(launch: &Launch, tasks: &Tasks) -> Result<Child, ClusterError> {
    if let Some(port) = launch.port {
        check_port(port)?;
    }
    let program = launch.binaries.program("postgres");
    Child::spawn(launch.command(), tasks)
        .await
        .map_err(ClusterError::io("run", &program))
}

/// Waits for the first successful connection.
pub(super) async fn wait_ready(launch: &Launch, child: &mut Child) -> Result<(), ClusterError> {
    let log = child.log.clone();
    tokio::select! {
        exit = child.exited() => Err(classify(Program::Postgres, launch, exit, log.text())),
        answered = answers(launch) => answered.map_err(|waited| ClusterError::NotReady {
            waited,
            log: log.text(),
        }),
    }
}

/// Stops the server and says how it ended.
pub(super) async fn stop(child: &mut Child) -> String {
    child.end(&STOP_STEPS).await
}

async fn answers(launch: &Launch) -> Result<(), Duration> {
    let port = launch.socket_port();
    let socket = launch.socket_dir.join(format!(".s.PGSQL.{port}"));
    let target = Target::socket(&launch.socket_dir, port, SUPERUSER, "postgres");
    let began = Instant::now();
    let mut limit = SILENT_WAIT;
    while began.elapsed() < limit {
        if socket.exists() {
            match tokio::time::timeout(CONNECT_WAIT, Session::connect(&target)).await {
                Ok(Ok(session)) => {
                    session.close().await;
                    return Ok(());
                }
                Ok(Err(error)) if error.sqlstate() == Some(STARTING_UP) => limit = RECOVERY_WAIT,
                // A socket that a killed server left refuses until ours is up.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Err(began.elapsed())
}

/// Asked before the start, because PostgreSQL's own message does not say which
/// setting the number came from.
fn check_port(port: u16) -> Result<(), ClusterError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(ClusterError::PortInUse { port })
        }
        // Whatever else it is, PostgreSQL will say it better.
        Ok(_) | Err(_) => Ok(()),
    }
}
