//! The wires to model providers against doubles that others wrote.
//!
//! aimock (npm) answers for the protocols, llmock (`PyPI`) breaks answers and judges the client;
//! the client is a program of `tests/` on `crates/models`. Start at [`run`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients;
use crate::repo::Repo;
use crate::setup;
use crate::step::Steps;
use crate::test::cargo;

/// Installs both doubles, builds the client and runs the suite.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/models");
    let omitted: &[&str] = if clients::newer_node().is_some() {
        &[]
    } else {
        &["--omit=optional"]
    };
    let Some(node) = clients::install(&folder, "models: install aimock", omitted, steps) else {
        return;
    };
    let Some(llmock) = llmock(repo, &folder, steps) else {
        return;
    };
    let mut build = cargo(repo);
    build.args([
        "build",
        "--quiet",
        "--package",
        "it",
        "--bin",
        "models-probe",
    ]);
    if !steps.command("models: build the client", &mut build) {
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
        .env("LLMOCK", llmock)
        .env("MODELS_PROBE", repo.target().join("debug/models-probe"));
    steps.command("models: aimock and llmock", &mut tests);
}

fn llmock(repo: &Repo, folder: &Path, steps: &mut Steps) -> Option<PathBuf> {
    let venv = repo.target().join("models-venv");
    let python = venv.join("bin/python");
    if !setup::works(&python.to_string_lossy(), &["-m", "pip", "--version"]) {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        if !steps.command("models: environment", &mut make) {
            return None;
        }
    }
    let mut install = Command::new(&python);
    install
        .current_dir(folder)
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "-r", "requirements.txt"]);
    steps
        .command("models: install llmock", &mut install)
        .then(|| venv.join("bin/llmock"))
}
