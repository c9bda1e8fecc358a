//! Chores of this repository, run as `cargo xtask <chore>`.
//!
//! A plain program instead of shell scripts, so that a chore is typed, tested and works the same
//! on every developer's machine. Start at [`run`]; each chore is one module:
//! `tidy` (house rules, under a second), `test` (everything CI runs), `conformance` (the replay of
//! PostgREST's own specification), `clients-upstream` (the official clients' own tests) and `fuzz`
//! (bytes at the parsers).

#![expect(
    clippy::print_stdout,
    reason = "a chore talks to the person who runs it"
)]

mod clients;
mod clients_jobs;
mod clients_lovable;
mod clients_models;
mod conformance;
mod fuzz;
mod repo;
mod s3_server;
mod setup;
mod step;
mod test;
mod tidy;
mod types;
mod upstream;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::repo::Repo;

const USAGE: &str = "\
Usage: cargo xtask <chore>

  tidy                                the house rules: crate arrows, headers, sizes, SQL, lists that only shrink
  test [--only PART]                  everything CI runs; PART is lint, unit, clients, types or conformance
  conformance [options]               replays PostgREST's specification against the built binary
      --version 14|16.2               which specification (default 14, the one that is gated)
      --config all|base|ID            which server configurations (default all)
      --filter REGEX                  only cases whose title matches
      --show N                        print the first N failures in full
      --keep                          leave the fixture cluster running until Enter is pressed
      --update                        rewrite tests/conformance/known-failures.txt
  clients-upstream [options]          runs the official clients' own tests against the built binary
      --only SUITE                    postgrest-js or postgrest-py
      --update                        rewrite tests/clients/known-failures.txt
  fuzz TARGET [--seconds N]           fuzzes query, headers or body (default 600 s), see fuzz/README.md

FERROBASE_BIN names a binary to test instead of the development build.
FERROBASE_SUITES names the folder with the clients' sources; without it, ../suites is looked at.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one chore; `Ok(false)` means that it ran and found something wrong, and has said so.
fn run(arguments: &[String]) -> Result<bool> {
    let repo = Repo::find()?;
    let mut arguments = arguments.iter().map(String::as_str);
    match arguments.next() {
        Some("tidy") => tidy::run(&repo),
        Some("test") => test::run(&repo, &test::Options::parse(arguments)?),
        Some("conformance") => conformance::run(&repo, &conformance::Options::parse(arguments)?)
            .map(|tally| tally.failed == 0),
        Some("clients-upstream") => upstream::run(&repo, &upstream::Options::parse(arguments)?)
            .map(|tally| tally.failed == 0),
        Some("fuzz") => fuzz::run(&repo, &fuzz::Options::parse(arguments)?),
        Some("help" | "--help" | "-h") | None => {
            print!("{USAGE}");
            Ok(true)
        }
        Some(other) => bail!("there is no chore `{other}`\n\n{USAGE}"),
    }
}
