//! The wires to model providers against doubles that others wrote.
//!
//! aimock (npm) answers for the protocols, llmock (`PyPI`) breaks answers and judges the client;
//! the client is a program of `tests/` on `crates/models`. Start at [`run`].

use std::process::Command;

use crate::clients;
use crate::repo::Repo;
use crate::step::Steps;
use crate::test::cargo;

/// Installs both doubles, builds the client and runs the suite.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/models");
    let Some(node) = clients::install(&folder, "models: install aimock", clients::omitted(), steps)
    else {
        return;
    };
    let Some(python) = clients::environment(repo, "models", "llmock", &folder, steps) else {
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
        .env("LLMOCK", python.with_file_name("llmock"))
        .env("MODELS_PROBE", repo.target().join("debug/models-probe"));
    steps.command("models: aimock and llmock", &mut tests);
}
