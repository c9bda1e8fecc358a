//! An engine in a temporary folder, and short ways to run things in it.
#![expect(dead_code, reason = "each test binary uses a part")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use kernel::Tasks;
use sandbox::{Command, Config, Engine, Limits, Network, Output, Sandbox, Spec};

/// Where the normal user's run finds its copy of the launcher.
pub(crate) const LAUNCHER: &str = "SANDBOX_TEST_LAUNCHER";

/// An engine that goes with its folder.
pub(crate) struct Bed {
    pub(crate) engine: Arc<Engine>,
    pub(crate) folder: PathBuf,
    pub(crate) tasks: Tasks,
    _dir: tempfile::TempDir,
}

pub(crate) fn launcher() -> PathBuf {
    std::env::var_os(LAUNCHER).map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_sandbox-launcher")),
        PathBuf::from,
    )
}

pub(crate) async fn bed_with(change: impl FnOnce(&mut Config)) -> Bed {
    let dir = tempfile::tempdir().expect("a folder");
    // Users of sandboxes pass through where there is no namespace.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).expect("a mode");
    let folder = dir.path().join("boxes");
    let mut config = Config::new(folder.clone(), launcher());
    change(&mut config);
    let tasks = Tasks::new();
    let engine = Engine::start(config, tasks.clone())
        .await
        .expect("an engine");
    Bed {
        engine,
        folder,
        tasks,
        _dir: dir,
    }
}

/// `None`, said loudly, where the machine cannot isolate at all.
pub(crate) async fn bed() -> Option<Bed> {
    let bed = bed_with(|_| {}).await;
    let strength = bed.engine.strength();
    if strength.has_network() {
        return Some(bed);
    }
    eprintln!(
        "SKIPPED: no namespaces here: {strength}; {}",
        strength.notes.join("; ")
    );
    None
}

impl Bed {
    pub(crate) async fn sandbox(&self) -> Arc<Sandbox> {
        self.sandbox_with(|_| {}).await
    }

    pub(crate) async fn sandbox_with(&self, change: impl FnOnce(&mut Spec)) -> Arc<Sandbox> {
        let mut spec = Spec::new("box-1");
        change(&mut spec);
        self.engine.create(spec).await.expect("a sandbox")
    }
}

pub(crate) fn small() -> Limits {
    Limits {
        memory_bytes: 256 << 20,
        pids: 64,
        disk_bytes: 64 << 20,
        output_bytes: 1 << 20,
        ..Limits::default()
    }
}

pub(crate) fn registries(spec: &mut Spec) {
    spec.network = Network::Registries;
}

pub(crate) async fn sh(sandbox: &Arc<Sandbox>, line: &str) -> Output {
    sandbox.run(Command::shell(line)).await.expect("a run")
}

pub(crate) async fn python(sandbox: &Arc<Sandbox>, code: &str) -> Output {
    sandbox
        .run(Command::new("python3").arg("-c").arg(code))
        .await
        .expect("a run")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// What `probe` prints per line: a name and `open` or why not.
pub(crate) fn assert_all_closed(output: &Output) {
    let words = both(output);
    assert!(output.exit.success(), "the probe itself failed: {words}");
    let open: Vec<_> = words
        .lines()
        .filter(|line| line.ends_with(" open"))
        .collect();
    assert!(open.is_empty(), "open: {open:?}\n{words}");
    assert!(words.lines().count() > 1, "nothing was tried: {words}");
}

const PROBE: &str = r"
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    got = libc.syscall(*args)
    print(name, 'open' if got >= 0 else errno.errorcode.get(ctypes.get_errno(), '?'))
def attempt(name, what):
    try:
        what()
        print(name, 'open')
    except Exception as error:
        print(name, type(error).__name__, str(error)[:60])
";

pub(crate) async fn probe(sandbox: &Arc<Sandbox>, code: &str) -> Output {
    python(sandbox, &format!("{PROBE}{code}")).await
}

/// All tests of this binary once more, without root's rights.
pub(crate) fn as_a_normal_user() {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if !root {
        eprintln!("SKIPPED: this is a normal user already");
        return;
    }
    // Copies, since a normal user may not pass through our folders.
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    let copy = |from: std::path::PathBuf, name: &str| {
        let to = dir.path().join(name);
        std::fs::copy(from, &to).expect("a copy");
        to
    };
    let exe = copy(std::env::current_exe().expect("a path"), "escape");
    let launcher = copy(launcher(), "launcher");
    let done = std::process::Command::new("setpriv")
        .args([
            "--reuid=65432",
            "--regid=65432",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
        ])
        .arg(exe)
        .args(["--test-threads=2"])
        .env(LAUNCHER, launcher)
        .env("TMPDIR", dir.path())
        .current_dir(dir.path())
        .output()
        .expect("setpriv");
    let words = format!("{}{}", text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{words}");
    if words.contains("SKIPPED: no") {
        eprintln!("SKIPPED: a normal user has no namespaces here\n{words}");
    }
}
