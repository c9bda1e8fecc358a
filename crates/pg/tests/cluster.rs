//! The managed PostgreSQL against the real one: made, started, killed, found
//! again, refused. Runs as root and as anybody else.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kernel::{Clock, Secret, Tasks};
use pg::Session;
use pg::cluster::{Cluster, ClusterConfig, ClusterError, ClusterState, Search, read_instance};
use tempfile::TempDir;

/// A project folder that PostgreSQL's user may pass through.
fn project() -> TempDir {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn config(project: &Path) -> ClusterConfig {
    let mut config = ClusterConfig::new(project.join(".ferrobase"), Clock::system());
    config.state_folder = project.join("state");
    "http://127.0.0.1:54321".clone_into(&mut config.url);
    config.port = None;
    config.shared_buffers_mib = 16;
    config
}

async fn start(project: &Path, tasks: &Tasks) -> Result<Cluster, ClusterError> {
    Cluster::start(config(project), tasks, |_| ()).await
}

async fn sql(cluster: &Cluster, text: &str) -> String {
    let target = cluster.target(Cluster::superuser(), "postgres");
    let mut session = Session::connect(&target).await.unwrap();
    let rows = session.script(text).await.unwrap();
    let value = rows.last().and_then(|rows| {
        rows.iter()
            .next()
            .and_then(|row| row.get(0).map(str::to_owned))
    });
    session.close().await;
    value.unwrap_or_default()
}

fn postmaster(data_dir: &Path) -> i32 {
    let text = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok()
}

fn kill(signal: &str, pid: i32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn cold_then_warm_then_nothing_left() {
    let project = project();
    let tasks = Tasks::new();
    let mut cold = config(project.path());
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    cold.port = Some(port);
    let warm = cold.clone();

    let cluster = Cluster::start(cold, &tasks, |_| ()).await.unwrap();
    assert!(cluster.info().cold);
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("wal_level", "logical"),
        ("compute_query_id", "on"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("server_encoding", "UTF8"),
        ("max_slot_wal_keep_size", "1GB"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_permissions", "0700"),
        ("shared_buffers", "16MB"),
    ] {
        assert_eq!(
            sql(&cluster, &format!("SHOW {setting}")).await,
            value,
            "{setting}"
        );
    }
    // TCP asks for a password, the socket does not.
    sql(&cluster, "CREATE ROLE guest LOGIN PASSWORD 'pa/ss@word'; CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await;
    let right = cluster
        .tcp_url("guest", &Secret::new("pa/ss@word"), "postgres")
        .unwrap();
    let target = pg::Target::parse(right.expose()).unwrap();
    Session::connect(&target).await.unwrap().close().await;
    let wrong = cluster
        .tcp_url("guest", &Secret::new("guess"), "postgres")
        .unwrap();
    let target = pg::Target::parse(wrong.expose()).unwrap();
    let error = Session::connect(&target).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"));

    let first = cluster.info().clone();
    let pid = postmaster(&first.data_dir);
    let state = cluster.state();
    cluster.stop().await;
    assert_eq!(*state.borrow(), ClusterState::Stopped);
    assert!(!alive(pid));
    assert!(!first.socket_dir.exists());
    assert_eq!(read_instance(&project.path().join(".ferrobase")), None);

    let cluster = Cluster::start(warm, &tasks, |_| ()).await.unwrap();
    assert!(!cluster.info().cold);
    assert_eq!(sql(&cluster, "SELECT n FROM t").await, "7");
    cluster.stop().await;
    tasks.stop().await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_every_commit() {
    let project = project();
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    let mut state = cluster.state();
    sql(&cluster, "CREATE TABLE t (n int)").await;
    for n in 1..=3 {
        sql(&cluster, &format!("INSERT INTO t VALUES ({n})")).await;
        let pid = postmaster(&cluster.info().data_dir);
        kill("-KILL", pid);
        let restarting = |state: &ClusterState| matches!(state, ClusterState::Restarting { .. });
        let seen = tokio::time::timeout(Duration::from_secs(20), async {
            state.wait_for(restarting).await.unwrap();
            state
                .wait_for(|state| *state == ClusterState::Ready)
                .await
                .unwrap();
        });
        seen.await.unwrap();
        assert!(!alive(pid));
        assert_eq!(sql(&cluster, "SELECT max(n) FROM t").await, n.to_string());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_server_that_keeps_dying_is_given_up() {
    let project = project();
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    let mut state = cluster.state();
    let data_dir = cluster.info().data_dir.clone();
    fs::rename(data_dir.join("global"), data_dir.join("gone")).unwrap();
    kill("-KILL", postmaster(&data_dir));
    let failed = |state: &ClusterState| matches!(state, ClusterState::Failed(_));
    let seen = tokio::time::timeout(Duration::from_secs(60), state.wait_for(failed));
    let state = seen.await.unwrap().unwrap().clone();
    let ClusterState::Failed(reason) = state else {
        panic!("{state:?}");
    };
    assert!(!reason.is_empty());
    // The folder is as it was: putting the files back makes it whole.
    cluster.stop().await;
    fs::rename(data_dir.join("gone"), data_dir.join("global")).unwrap();
    start(project.path(), &tasks).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_second_instance_is_told_about_the_first() {
    let project = project();
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    let error = start(project.path(), &tasks).await.unwrap_err();
    assert_eq!(error.code(), "FB1003");
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains("http://127.0.0.1:54321"), "{text}");
    let instance = read_instance(&project.path().join(".ferrobase")).unwrap();
    assert!(instance.alive);
    assert_eq!(instance.data_dir, cluster.info().data_dir);
    assert_eq!(sql(&cluster, "SELECT 1").await, "1");
    cluster.stop().await;
}

#[tokio::test]
async fn an_orphaned_server_is_stopped_and_replaced() {
    let project = project();
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    sql(&cluster, "CREATE TABLE t AS SELECT 5 AS n").await;
    let info = cluster.info().clone();
    cluster.stop().await;

    // A server on this folder that is nobody's child of ours.
    let mut command = Command::new(info.binaries.dir.join("postgres"));
    command
        .arg("-D")
        .arg(&info.data_dir)
        .args(["-k", "", "-c", "listen_addresses=127.0.0.1"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    command.args(["-p", &port]);
    run_as_owner(&mut command, &info.data_dir);
    let mut orphan = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    // The test is its parent and reaps it, as init would.
    let reaper = std::thread::spawn(move || orphan.wait().unwrap());
    let pid_file = info.data_dir.join("postmaster.pid");
    let ready = async {
        while !fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready)
        .await
        .unwrap();

    let said = std::sync::Mutex::new(Vec::new());
    let cluster = Cluster::start(config(project.path()), &tasks, |line| {
        said.lock().unwrap().push(line.to_owned());
    })
    .await
    .unwrap();
    let said = said.into_inner().unwrap().join("\n");
    assert!(said.contains("which an earlier run left behind"), "{said}");
    assert!(reaper.join().unwrap().success());
    assert_eq!(sql(&cluster, "SELECT n FROM t").await, "5");
    cluster.stop().await;
}

fn run_as_owner(command: &mut Command, data_dir: &Path) {
    use std::os::unix::process::CommandExt as _;
    let meta = fs::metadata(data_dir).unwrap();
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(meta.uid()).gid(meta.gid());
    }
    command.current_dir("/");
}

/// Tells a copy of this test program which project to hold until it is killed.
const HOLD: &str = "FERROBASE_TEST_HOLD";

/// Not a test of its own: the process that the next two tests kill.
#[tokio::test]
async fn held_for_the_tests_that_kill() {
    let Some(project) = std::env::var_os(HOLD) else {
        return;
    };
    let cluster = start(Path::new(&project), &Tasks::new()).await.unwrap();
    sql(
        &cluster,
        "DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT 6 AS n",
    )
    .await;
    fs::write(Path::new(&project).join("holding"), "").unwrap();
    std::future::pending::<()>().await;
}

fn hold(project: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "held_for_the_tests_that_kill"])
        .env(HOLD, project)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen within 30 s");
}

#[tokio::test]
async fn a_killed_ferrobase_strands_no_server() {
    let project = project();
    let mut holder = hold(project.path());
    until("the start", || project.path().join("holding").exists()).await;
    let folder = project.path().join(".ferrobase");
    let instance = read_instance(&folder).unwrap();
    let pid = postmaster(&instance.data_dir);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(!read_instance(&folder).unwrap().alive);
    // Where the kernel tells it about its parent's death the server is on its
    // way out; elsewhere it still runs. The next start copes with both.
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    assert!(!alive(pid));
    assert_eq!(sql(&cluster, "SELECT n FROM t").await, "6");
    let told = cluster.info().ends_with_us;
    cluster.stop().await;
    if !told {
        return;
    }
    fs::remove_file(project.path().join("holding")).unwrap();
    let mut holder = hold(project.path());
    until("the start", || project.path().join("holding").exists()).await;
    let pid = postmaster(&instance.data_dir);
    holder.kill().unwrap();
    holder.wait().unwrap();
    until("the end of the server", || !alive(pid)).await;
    // Only a killed Ferrobase leaves the socket's folder.
    fs::remove_dir(&instance.socket_dir).unwrap();
    // It shut down cleanly, which removes the file.
    assert!(!instance.data_dir.join("postmaster.pid").exists());
}

#[tokio::test]
async fn killing_initdb_anywhere_leaves_nothing_to_be_mistaken() {
    let project = project();
    for millis in [60, 150, 300] {
        let mut holder = hold(project.path());
        tokio::time::sleep(Duration::from_millis(millis)).await;
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    assert_eq!(sql(&cluster, "SELECT 1").await, "1");
    cluster.stop().await;
}

#[tokio::test]
async fn a_stale_pid_file_does_not_matter() {
    let project = project();
    let tasks = Tasks::new();
    let cluster = start(project.path(), &tasks).await.unwrap();
    let data_dir = cluster.info().data_dir.clone();
    cluster.stop().await;
    // A process of PostgreSQL's own user that is no PostgreSQL: the case in
    // which PostgreSQL alone refuses to start.
    let mut command = Command::new("sleep");
    command.arg("60");
    run_as_owner(&mut command, &data_dir);
    let mut sleeper = command.spawn().unwrap();
    let text = format!("{}\n{}\n1\n5432\n\n\n", sleeper.id(), data_dir.display());
    fs::write(data_dir.join("postmaster.pid"), text).unwrap();
    let cluster = start(project.path(), &tasks).await.unwrap();
    assert!(sleeper.try_wait().unwrap().is_none());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn an_interrupted_initdb_is_begun_anew() {
    let project = project();
    let folder = project.path().join(".ferrobase");
    let tasks = Tasks::new();
    {
        // Given up in the middle, as by a Ctrl-C.
        let starting = start(project.path(), &tasks);
        let early = tokio::time::timeout(Duration::from_millis(150), starting).await;
        assert!(early.is_err());
    }
    assert!(!folder.join("pg15").join("PG_VERSION").exists());
    // And what a kill -9 leaves.
    fs::create_dir_all(folder.join("pg15.tmp-1/base")).unwrap();
    fs::write(folder.join("pg15.tmp-1/PG_VERSION"), "15\n").unwrap();
    let cluster = start(project.path(), &tasks).await.unwrap();
    assert!(cluster.info().cold);
    let left = fs::read_dir(&folder)
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("tmp")
        })
        .count();
    assert_eq!(left, 0);
    cluster.stop().await;
}

#[tokio::test]
async fn a_data_folder_of_another_version_is_not_touched() {
    let project = project();
    let tasks = Tasks::new();
    let data_dir = project.path().join(".ferrobase/pg99");
    fs::create_dir_all(&data_dir).unwrap();
    fs::write(data_dir.join("PG_VERSION"), "99\n").unwrap();
    let error = start(project.path(), &tasks).await.unwrap_err();
    assert_eq!(error.code(), "FB1002");
    assert!(
        error
            .to_string()
            .contains("belongs to PostgreSQL 99, but installed is")
    );
    assert!(error.next_step().contains("Install PostgreSQL 99"));
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let project = project();
    let tasks = Tasks::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(project.path());
    let port = taken.local_addr().unwrap().port();
    config.port = Some(port);
    let error = Cluster::start(config, &tasks, |_| ()).await.unwrap_err();
    assert_eq!(error.code(), "FB1004");
    assert!(error.to_string().contains(&port.to_string()));
    assert!(error.next_step().contains("[db] port"));
}

#[tokio::test]
async fn no_programs_says_what_to_install() {
    let project = project();
    let tasks = Tasks::new();
    let mut config = config(project.path());
    config.search = Search {
        bindir: Some("/nowhere".into()),
        path: None,
    };
    let error = Cluster::start(config, &tasks, |_| ()).await.unwrap_err();
    assert_eq!(error.code(), "FB1001");
    assert!(
        error.next_step().contains("install"),
        "{}",
        error.next_step()
    );
    // The folder is free again.
    assert_eq!(read_instance(&project.path().join(".ferrobase")), None);
}

#[tokio::test]
async fn a_closed_parent_moves_the_data_elsewhere() {
    let outer = project();
    let closed = outer.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let tasks = Tasks::new();
    let mut config = config(&closed);
    config.state_folder = outer.path().join("state");
    let again = config.clone();
    let cluster = Cluster::start(config, &tasks, |_| ()).await.unwrap();
    let info = cluster.info().clone();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert_eq!(info.note.is_some(), is_root);
    assert_eq!(
        info.data_dir.starts_with(outer.path().join("state")),
        is_root
    );
    cluster.stop().await;
    let cluster = Cluster::start(again, &tasks, |_| ()).await.unwrap();
    assert!(!cluster.info().cold);
    assert_eq!(cluster.info().data_dir, info.data_dir);
    cluster.stop().await;
}
