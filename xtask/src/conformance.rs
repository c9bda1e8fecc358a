//! `cargo xtask conformance`: PostgREST's specification, replayed against our binary.
//!
//! The cases, fixtures and the replay program live beside the checkout and are never copied into
//! it. One run makes a throw-away PostgreSQL 15 with the fixtures (`cluster`), lets the replay
//! start `ferrobase serve` once per server configuration (`replay`), and holds the strict result
//! against `tests/conformance/known-failures.txt` (`known`), a list that may only shrink.

pub(crate) mod cluster;
mod known;
mod replay;

use std::path::Path;

use anyhow::{Context, Result, bail};

pub(crate) use crate::conformance::cluster::Cluster;
pub(crate) use crate::conformance::known::Known;
use crate::conformance::replay::Replay;
pub(crate) use crate::conformance::replay::{Case, free_port};
use crate::repo::Repo;
use crate::setup::{self, Need};
use crate::step::Tally;
use crate::test;

/// Which specification; its fixtures, roles and cases belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// What Supabase ships today; our target, and the one with a list of known failures.
    V14,
    /// What comes next: reported, never gated.
    V16_2,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V14 => "14",
            Self::V16_2 => "16.2",
        }
    }
}

/// What `cargo xtask conformance` was asked to do.
pub(crate) struct Options {
    version: Version,
    config: String,
    filter: Option<String>,
    show: u32,
    keep: bool,
    update: bool,
    build: bool,
}

impl Options {
    /// What `cargo xtask test` runs: everything of the gated version, with the binary it has built.
    pub(crate) fn gate() -> Self {
        Self {
            version: Version::V14,
            config: "all".to_owned(),
            filter: None,
            show: 0,
            keep: false,
            update: false,
            build: false,
        }
    }

    pub(crate) fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut options = Self {
            build: true,
            ..Self::gate()
        };
        while let Some(argument) = arguments.next() {
            match argument {
                "--keep" => options.keep = true,
                "--update" => options.update = true,
                _ => {
                    let value = arguments
                        .next()
                        .with_context(|| format!("`{argument}` needs a value or is not known"))?;
                    options.set(argument, value)?;
                }
            }
        }
        if options.update && !options.is_whole() {
            bail!(
                "--update needs the whole of version 14: no --filter, --config or --version beside it"
            );
        }
        Ok(options)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<()> {
        match option {
            "--version" => {
                self.version = match value {
                    "14" => Version::V14,
                    "16.2" => Version::V16_2,
                    other => bail!(
                        "there is no specification for version {other}; there are 14 and 16.2"
                    ),
                }
            }
            "--config" => value.clone_into(&mut self.config),
            "--filter" => self.filter = Some(value.to_owned()),
            "--show" => self.show = value.parse().context("--show needs a number")?,
            other => bail!("unknown option `{other}`"),
        }
        Ok(())
    }

    /// Whether every gated case runs, so that a case that is missing no longer exists.
    fn is_whole(&self) -> bool {
        self.version == Version::V14 && self.config == "all" && self.filter.is_none()
    }
}

/// Runs the replay. Passed and failed count gated results: a known failure is neither.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<Tally> {
    let Some(data) = repo.conformance_data() else {
        bail!("there is no ../shared/conformance beside the checkout");
    };
    setup::ensure(&[Need::Postgres, Need::Postgis, Need::Python])?;
    if options.build && !Repo::binary_is_given() {
        let built = test::cargo(repo)
            .args(["build", "--package", "ferrobase"])
            .status();
        if !built.context("could not start cargo")?.success() {
            bail!("the binary does not build");
        }
    }
    let cluster = Cluster::start(&data, options.version)?;
    println!(
        "fixtures of PostgREST {} are at {}",
        options.version.name(),
        cluster.uri()
    );
    let replay = Replay {
        repo,
        data: &data,
        cluster: &cluster,
        options,
    };
    let cases = replay.run()?;
    if options.keep {
        println!(
            "the cluster stays until Enter is pressed: {}",
            cluster.uri()
        );
        std::io::stdin()
            .read_line(&mut String::new())
            .context("could not read from the terminal")?;
    }
    judge(
        &repo.path("tests/conformance/known-failures.txt"),
        options,
        &cases,
    )
}

/// Holds the results against the list of known failures.
fn judge(path: &Path, options: &Options, cases: &[Case]) -> Result<Tally> {
    let passed = cases.iter().filter(|case| case.strict).count();
    if options.version != Version::V14 {
        println!(
            "strict {passed} of {}; this version is reported, not gated",
            cases.len()
        );
        return Ok(Tally { passed, failed: 0 });
    }
    let known = Known::load(path)?;
    if options.update {
        known.updated(cases).save(path, HEADER)?;
        return Ok(Tally { passed, failed: 0 });
    }
    Ok(known.judge(cases, "cargo xtask conformance --update"))
}

/// What stands above the list.
const HEADER: &str = "\
# Cases of PostgREST 14's specification that fail strictly today: the case, then the reason.
# This list may only shrink. `cargo xtask conformance --update` rewrites it and keeps the reasons.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(arguments.iter().copied())
    }

    #[test]
    fn the_list_is_only_rewritten_from_a_whole_run() {
        assert!(parse(&["--update"]).is_ok());
        assert!(parse(&["--update", "--filter", "rpc"]).is_err());
        assert!(parse(&["--version", "16.2", "--update"]).is_err());
        assert!(parse(&["--config", "base", "--update"]).is_err());
    }

    #[test]
    fn options_without_a_value_or_a_meaning_are_refused() {
        assert!(parse(&["--version"]).is_err());
        assert!(parse(&["--version", "13"]).is_err());
        assert!(parse(&["--speed", "fast"]).is_err());
    }
}
