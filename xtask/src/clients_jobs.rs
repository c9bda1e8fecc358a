//! Durable work with the official client and workers in three languages, on the built binary.
//!
//! The workers are those of `sdk/`, held to their types first; the one in Rust is a program of
//! `tests/` that knows nothing but HTTP. Start at [`run`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients;
use crate::repo::Repo;
use crate::setup;
use crate::step::Steps;
use crate::test::cargo;

const PYTHON_WORKER: &str = "sdk/python/ferrobase_worker.py";

/// Installs, checks types and runs the suite, each as its own step.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/jobs");
    let omitted: &[&str] = if clients::newer_node().is_some() {
        &[]
    } else {
        &["--omit=optional"]
    };
    let Some(node) = clients::install(&folder, "jobs: install", omitted, steps) else {
        return;
    };
    let mut types = Command::new(&node);
    types
        .current_dir(&folder)
        .args(["node_modules/typescript/bin/tsc", "--project", "."]);
    steps.command("jobs: types of TypeScript", &mut types);
    let Some(python) = python(repo, &folder, steps) else {
        return;
    };
    let mut build = cargo(repo);
    build.args([
        "build",
        "--quiet",
        "--package",
        "it",
        "--bin",
        "http-worker",
    ]);
    if !steps.command("jobs: build the worker in Rust", &mut build) {
        return;
    }
    let mut tests = Command::new(node);
    tests
        .current_dir(&folder)
        .args([
            "--test",
            "--test-concurrency=1",
            "--test-timeout=180000",
            "--test-reporter=spec",
            "suite.test.js",
        ])
        .env("FERROBASE_BIN", repo.binary())
        .env("PYTHON", python)
        .env("RUST_WORKER", repo.target().join("debug/http-worker"));
    steps.command("jobs: three languages", &mut tests);
}

/// The environment with mypy, after it has looked at the worker.
fn python(repo: &Repo, folder: &Path, steps: &mut Steps) -> Option<PathBuf> {
    let venv = repo.target().join("jobs-venv");
    let python = venv.join("bin/python");
    if !setup::works(&python.to_string_lossy(), &["-m", "pip", "--version"]) {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        if !steps.command("jobs: environment", &mut make) {
            return None;
        }
    }
    let mut install = Command::new(&python);
    install
        .current_dir(folder)
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "-r", "requirements.txt"]);
    if !steps.command("jobs: install mypy", &mut install) {
        return None;
    }
    let mut types = Command::new(&python);
    types
        .current_dir(repo.root())
        .args(["-m", "mypy", "--strict", "--cache-dir"])
        .arg(repo.target().join("mypy"))
        .args([PYTHON_WORKER, "tests/clients/jobs/worker.py"]);
    steps.command("jobs: types of Python", &mut types);
    Some(python)
}
