//! Durable work with the official client and workers in three languages, on the built binary.
//!
//! The workers are those of `sdk/`, held to their types first; the one in Rust is a program of
//! `tests/` that knows nothing but HTTP. Start at [`run`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients;
use crate::repo::Repo;
use crate::step::Steps;
use crate::test::cargo;

const PYTHON_WORKER: &str = "sdk/python/ferrobase_worker.py";

/// Installs, checks types and runs the suite, each as its own step.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/jobs");
    let Some(node) = clients::install(&folder, "jobs: install", clients::omitted(), steps) else {
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
    let python = clients::environment(repo, "jobs", "mypy", folder, steps)?;
    let mut types = Command::new(&python);
    types
        .current_dir(repo.root())
        .args(["-m", "mypy", "--strict", "--cache-dir"])
        .arg(repo.target().join("mypy"))
        .args([PYTHON_WORKER, "tests/clients/jobs/worker.py"]);
    steps.command("jobs: types of Python", &mut types);
    Some(python)
}
