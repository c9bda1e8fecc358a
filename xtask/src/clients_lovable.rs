//! The builder page in Chromium: a person's way through it, on the built binary, with a provider
//! that is imitated at its wire and counts what it is paid for. Start at [`run`].

use std::process::Command;

use crate::repo::Repo;
use crate::step::Steps;

/// Installs and runs the suite, each as its own step.
pub(crate) fn run(repo: &Repo, steps: &mut Steps) {
    let folder = repo.path("tests/clients/lovable");
    let mut install = Command::new("npm");
    install
        .current_dir(&folder)
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    if !steps.command("lovable: install", &mut install) {
        return;
    }
    let mut tests = Command::new("node");
    tests
        .current_dir(&folder)
        .args([
            "--test",
            "--test-concurrency=1",
            "--test-timeout=900000",
            "--test-reporter=spec",
            "suite.test.js",
        ])
        .env("FERROBASE_BIN", repo.binary());
    steps.command("lovable: the builder in a browser", &mut tests);
}
