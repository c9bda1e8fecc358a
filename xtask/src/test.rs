//! `cargo xtask test`: everything CI runs, with its own set-up, in the order that fails soonest.
//!
//! A step that fails does not stop the others, so one run shows everything; only a binary that
//! does not build ends the run, because what follows would have nothing to test.
//! Start at [`run`]; `step` has the counting, `setup` the packages.

use std::process::Command;

use anyhow::{Result, bail};

use crate::repo::Repo;
use crate::s3_server;
use crate::setup::{self, Need};
use crate::step::Steps;
use crate::{
    clients, clients_jobs, clients_lovable, clients_models, conformance, tidy, types, upstream,
};

/// A part of the whole that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Lint,
    Unit,
    Clients,
    Types,
    Conformance,
}

/// What `cargo xtask test` was asked to do.
pub(crate) struct Options {
    only: Option<Part>,
}

impl Options {
    pub(crate) fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut only = None;
        while let Some(argument) = arguments.next() {
            let value = match argument {
                "--only" => arguments.next().unwrap_or_default(),
                other => match other.strip_prefix("--only=") {
                    Some(value) => value,
                    None => bail!(
                        "unknown option `{other}`; there is --only lint|unit|clients|types|conformance"
                    ),
                },
            };
            only = Some(match value {
                "lint" => Part::Lint,
                "unit" => Part::Unit,
                "clients" => Part::Clients,
                "types" => Part::Types,
                "conformance" => Part::Conformance,
                other => bail!(
                    "there is no part `{other}`; there are lint, unit, clients, types and conformance"
                ),
            });
        }
        Ok(Self { only })
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Runs the wanted parts; true when every step passed.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<bool> {
    prepare(repo, options)?;
    let mut steps = Steps::default();
    if options.wants(Part::Lint) {
        lint(repo, &mut steps);
    }
    // `tests/it` drives the built binary as well, so it comes before all of them.
    if options.only != Some(Part::Lint) && !Repo::binary_is_given() {
        let mut build = cargo(repo);
        build.args(["build", "--package", "ferrobase"]);
        if !steps.command("build the binary", &mut build) {
            return Ok(steps.summary());
        }
    }
    let buckets = options.wants(Part::Unit) || options.wants(Part::Clients);
    if buckets && !s3_server::ensure(repo, &mut steps) {
        return Ok(steps.summary());
    }
    if options.wants(Part::Unit) {
        unit(repo, &mut steps);
    }
    if options.wants(Part::Clients) {
        clients::run(repo, &mut steps);
        clients_jobs::run(repo, &mut steps);
        clients_models::run(repo, &mut steps);
        clients_lovable::run(repo, &mut steps);
        upstream::steps(repo, &mut steps);
    }
    if options.wants(Part::Types) {
        types::run(repo, &mut steps);
    }
    if options.wants(Part::Conformance) {
        replay(repo, &mut steps);
    }
    Ok(steps.summary())
}

/// Brings what the wanted parts need, all at once, before anything long starts.
fn prepare(repo: &Repo, options: &Options) -> Result<()> {
    let mut needs = Vec::new();
    if options.only != Some(Part::Lint) {
        needs.push(Need::Postgres);
    }
    if options.wants(Part::Unit) {
        // What runs in sandboxes.
        needs.push(Need::Python);
    }
    if options.wants(Part::Clients) {
        needs.extend([Need::Node, Need::Python, Need::Chromium, Need::Rclone]);
    }
    if options.wants(Part::Conformance) && repo.conformance_data().is_some() {
        needs.extend([Need::Postgis, Need::Python]);
    }
    needs.sort_unstable();
    needs.dedup();
    setup::ensure(&needs)?;
    if options.wants(Part::Lint) {
        setup::ensure_components()?;
    }
    Ok(())
}

fn lint(repo: &Repo, steps: &mut Steps) {
    steps.step("tidy", || tidy::tally(repo));
    steps.command("fmt", cargo(repo).args(["fmt", "--all", "--check"]));
    let clippy = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    steps.command("clippy", cargo(repo).args(clippy));
    let doc = [
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    steps.command(
        "doc",
        cargo(repo).args(doc).env("RUSTDOCFLAGS", "-D warnings"),
    );
    // Compiling these two takes minutes, so they run where they are installed.
    if setup::works("cargo", &["deny", "--version"]) {
        steps.command(
            "deny",
            cargo(repo).args([
                "deny",
                "--log-level",
                "error",
                "check",
                "bans",
                "licenses",
                "sources",
            ]),
        );
    } else {
        steps.skip("deny", "cargo-deny is not installed");
    }
    if setup::works("cargo", &["machete", "--version"]) {
        steps.command("machete", cargo(repo).arg("machete"));
    } else {
        steps.skip("machete", "cargo-machete is not installed");
    }
}

fn unit(repo: &Repo, steps: &mut Steps) {
    if setup::works("cargo", &["nextest", "--version"]) {
        let nextest = [
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--show-progress",
            "none",
        ];
        steps.command(
            "unit and integration",
            cargo(repo).args(nextest).args(["--status-level", "fail"]),
        );
        steps.command(
            "doc tests",
            cargo(repo).args(["test", "--quiet", "--workspace", "--doc"]),
        );
    } else {
        let test = ["test", "--quiet", "--workspace", "--no-fail-fast"];
        steps.command("unit, integration and doc", cargo(repo).args(test));
    }
}

fn replay(repo: &Repo, steps: &mut Steps) {
    if repo.conformance_data().is_none() {
        steps.skip(
            "conformance",
            "there is no ../shared/conformance beside the checkout",
        );
        return;
    }
    steps.step("conformance", || {
        conformance::run(repo, &conformance::Options::gate())
    });
}

/// The cargo that runs us, in the workspace root.
pub(crate) fn cargo(repo: &Repo) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(repo.root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(arguments.iter().copied())
    }

    #[test]
    fn without_options_every_part_runs() {
        let options = parse(&[]).expect("no options are fine");
        assert!(options.wants(Part::Lint) && options.wants(Part::Conformance));
    }

    #[test]
    fn one_part_may_be_named_in_both_spellings() {
        for arguments in [&["--only", "unit"][..], &["--only=unit"]] {
            let options = parse(arguments).expect("a known part");
            assert!(options.wants(Part::Unit) && !options.wants(Part::Clients));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse(&["--only", "everything"]).is_err());
        assert!(parse(&["--fast"]).is_err());
        assert!(parse(&["--only"]).is_err());
    }
}
