//! `cargo xtask clients-upstream`: the official clients' own tests, unmodified, against our binary.
//!
//! The clients publish no tests to a registry, so their sources are looked for
//! beside the checkout ([`Repo::client_suites`]) and are never copied into it. Each suite gets the
//! servers that it expects at the ports written into it (`stack`), its results are read from its
//! own runner (`results`), and what fails must be in `tests/clients/known-failures.txt`.
//! Start at [`run`].

mod acceptance;
mod auth;
mod compose;
mod gotrue;
mod install;
mod prefix;
mod results;
mod stack;
mod storage;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::conformance::cluster::Cluster;
use crate::conformance::{Case, Known};
use crate::repo::Repo;
use crate::setup::{self, Need};
use crate::step::{Steps, Tally};
use crate::test;
use crate::upstream::results::Report;

/// What fails of the clients' tests, and of the storage server's. They are two lists because they
/// ask for different things where a client meets a gateway and the server's own tests do not.
const LISTS: [(&str, &str); 2] = [
    (
        "tests/clients/known-failures.txt",
        "\
# Tests of the official clients that fail today: the test, then the reason.
# This list may only shrink. `cargo xtask clients-upstream --update` rewrites it and keeps the reasons.
",
    ),
    (
        "tests/clients/known-failures-server.txt",
        "\
# Tests of the official storage server that fail today: the test, then the reason.
# This list may only shrink. `cargo xtask clients-upstream --update` rewrites it and keeps the reasons.
",
    ),
];

/// One client with tests of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suite {
    PostgrestJs,
    PostgrestPy,
    AuthJs,
    /// The tests of auth-js that want four differently configured servers.
    AuthJsServers,
    AuthPy,
    StorageJs,
    StoragePy,
    /// The official storage server's own suite, which asks any server by its address.
    StorageAcceptance,
}

impl Suite {
    const ALL: [Self; 8] = [
        Self::PostgrestJs,
        Self::PostgrestPy,
        Self::AuthJs,
        Self::AuthJsServers,
        Self::AuthPy,
        Self::StorageJs,
        Self::StoragePy,
        Self::StorageAcceptance,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PostgrestJs => "postgrest-js",
            Self::PostgrestPy => "postgrest-py",
            Self::AuthJs => "auth-js",
            Self::AuthJsServers => "auth-js-servers",
            Self::AuthPy => "auth-py",
            Self::StorageJs => "storage-js",
            Self::StoragePy => "storage3",
            Self::StorageAcceptance => "storage-acceptance",
        }
    }

    /// Where it lies in its own repository, below the folder of all suites.
    fn place(self) -> &'static str {
        match self {
            Self::PostgrestJs => "supabase-js/packages/core/postgrest-js",
            Self::PostgrestPy => "supabase-py/src/postgrest",
            Self::AuthJs | Self::AuthJsServers => "supabase-js/packages/core/auth-js",
            Self::AuthPy => "supabase-py/src/auth",
            Self::StorageJs => "supabase-js/packages/core/storage-js",
            Self::StoragePy => "supabase-py/src/storage",
            Self::StorageAcceptance => "storage",
        }
    }

    /// The ports that its tests have written into them.
    fn ports(self) -> &'static [u16] {
        match self {
            Self::PostgrestJs => &[stack::JS_PORT, stack::JS_V12_PORT],
            Self::PostgrestPy => &[stack::PY_PORT],
            Self::AuthJs | Self::StorageJs => &[stack::JS_PORT],
            Self::AuthJsServers | Self::AuthPy => &auth::PORTS,
            Self::StoragePy => &[storage::PY_PORT],
            Self::StorageAcceptance => &[acceptance::PORT],
        }
    }

    /// Its sources, or why it cannot run here.
    fn find(self, folder: &Path) -> Result<PathBuf> {
        let sources = folder.join(self.place());
        if !sources.is_dir() {
            bail!("there is no {}", sources.display());
        }
        match self.ports().iter().find(|port| !stack::is_free(**port)) {
            Some(port) => bail!("its tests want port {port}, which is in use"),
            None => Ok(sources),
        }
    }
}

/// What `cargo xtask clients-upstream` was asked to do.
pub(crate) struct Options {
    only: Option<Suite>,
    update: bool,
}

impl Options {
    pub(crate) fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut options = Self {
            only: None,
            update: false,
        };
        while let Some(argument) = arguments.next() {
            match argument {
                "--update" => options.update = true,
                "--only" => {
                    let name = arguments.next().unwrap_or_default();
                    let suite = Suite::ALL.into_iter().find(|suite| suite.name() == name);
                    let names = Suite::ALL.map(Suite::name).join(", ");
                    options.only = Some(suite.with_context(|| {
                        format!("there is no suite `{name}`; there are {names}")
                    })?);
                }
                other => bail!("unknown option `{other}`"),
            }
        }
        if options.update && options.only.is_some() {
            bail!("--update needs every suite: no --only beside it");
        }
        Ok(options)
    }
}

/// Runs the wanted suites, with a build before them. Passed and failed count gated results: a
/// known failure is neither.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<Tally> {
    let Some(folder) = repo.client_suites() else {
        bail!("{NO_SOURCES}");
    };
    setup::ensure(&[Need::Postgres, Need::Node, Need::Python])?;
    if !Repo::binary_is_given() {
        let built = test::cargo(repo)
            .args(["build", "--package", "ferrobase"])
            .status();
        if !built.context("could not start cargo")?.success() {
            bail!("the binary does not build");
        }
    }
    let mut report = Report::default();
    for suite in Suite::ALL {
        if options.only.is_none_or(|only| only == suite) {
            report.add(drive(repo, suite, &suite.find(&folder)?)?);
        }
    }
    if !options.update {
        return judge(repo, report.cases);
    }
    let passed = report.cases.iter().filter(|case| case.strict).count();
    for ((list, header), cases) in LISTS.iter().zip(by_list(report.cases)) {
        let path = repo.path(list);
        Known::load(&path)?.updated(&cases).save(&path, header)?;
    }
    Ok(Tally { passed, failed: 0 })
}

/// What the steps of `cargo xtask test` say where there is nothing to run.
const NO_SOURCES: &str =
    "there is no ../suites beside the checkout, and FERROBASE_SUITES names none";

/// Every suite as a step of its own, with the binary that is built already.
pub(crate) fn steps(repo: &Repo, steps: &mut Steps) {
    for suite in Suite::ALL {
        let name = format!("{}'s own tests", suite.name());
        let Some(folder) = repo.client_suites() else {
            steps.skip(&name, NO_SOURCES);
            continue;
        };
        match suite.find(&folder) {
            Err(reason) => steps.skip(&name, &reason.to_string()),
            Ok(sources) => {
                steps.step(&name, || judge(repo, drive(repo, suite, &sources)?.cases));
            }
        }
    }
    if let Some(folder) = repo.client_suites() {
        gotrue::step(repo, steps, &folder);
    }
}

/// The cases that each list is about.
fn by_list(cases: Vec<Case>) -> [Vec<Case>; 2] {
    let servers = Suite::StorageAcceptance.name();
    let (server, clients) = cases.into_iter().partition(|case| {
        let (suite, _) = case.id.split_once('/').unwrap_or_default();
        suite == servers
    });
    [clients, server]
}

fn judge(repo: &Repo, cases: Vec<Case>) -> Result<Tally> {
    let mut tally = Tally::default();
    for ((list, _), cases) in LISTS.iter().zip(by_list(cases)) {
        if !cases.is_empty() {
            let known = Known::load(&repo.path(list))?;
            tally.add(known.judge(&cases, "cargo xtask clients-upstream --update"));
        }
    }
    Ok(tally)
}

/// Installs a suite, starts its servers, runs it and reads what came of it.
fn drive(repo: &Repo, suite: Suite, sources: &Path) -> Result<Report> {
    println!("{} from {}", suite.name(), sources.display());
    let cluster = Cluster::empty(suite.name())?;
    let report = match suite {
        Suite::PostgrestJs => {
            let path = install::javascript(repo, sources, "@supabase/postgrest-js")?;
            let _current = stack::javascript(repo, sources, &cluster)?;
            let _v12 = stack::javascript_v12(repo, sources, &cluster)?;
            jest(suite, sources, &cluster, &path, &[])
        }
        Suite::AuthJs => {
            let path = install::javascript(repo, sources, "@supabase/auth-js")?;
            auth::signing_keys(sources, &path)?;
            let _server = auth::command_line(repo, sources, &cluster)?;
            // Its configuration counts what its tests cover, which nobody here reads.
            let flags = ["--config", "jest.config.cli.js", "--coverage=false"];
            jest(suite, sources, &cluster, &path, &flags)
        }
        Suite::AuthJsServers => {
            let path = install::javascript(repo, sources, "@supabase/auth-js")?;
            auth::signing_keys(sources, &path)?;
            let _servers = auth::compose(repo, sources, &cluster)?;
            let flags = ["--config", "jest.config.docker.js"];
            jest(suite, sources, &cluster, &path, &flags)
        }
        Suite::PostgrestPy => {
            let python = install::python(repo, sources, "postgrest", "test")?;
            let _server = stack::python(repo, sources, &cluster)?;
            pytest(suite, sources, &python)
        }
        Suite::AuthPy => {
            let python = install::python(repo, sources, "supabase_auth", "tests")?;
            let _servers = auth::compose(repo, sources, &cluster)?;
            pytest(suite, sources, &python)
        }
        Suite::StorageJs => {
            let path = install::javascript(repo, sources, "@supabase/storage-js")?;
            let _server = storage::javascript(repo, sources, &cluster)?;
            jest(suite, sources, &cluster, &path, &["--coverage=false"])
        }
        Suite::StoragePy => {
            let python = install::python(repo, sources, "storage3", "tests")?;
            let _server = storage::python(repo, sources, &cluster)?;
            pytest(suite, sources, &python)
        }
        Suite::StorageAcceptance => {
            let results = acceptance::run(repo, sources, &cluster)?;
            let text = std::fs::read_to_string(&results).context("vitest left no results")?;
            // Its document is jest's.
            results::jest(suite.name(), &text)
        }
    }?;
    println!("{}: {}", suite.name(), report.counts());
    Ok(report)
}

fn jest(
    suite: Suite,
    sources: &Path,
    cluster: &Cluster,
    path: &OsStr,
    flags: &[&str],
) -> Result<Report> {
    let results = cluster.folder().join("jest.json");
    // `--ci` never writes a snapshot; the exit code says only that something failed.
    let mut jest = Command::new("node_modules/.bin/jest");
    jest.current_dir(sources)
        .args(["--runInBand", "--ci", "--json"])
        .arg(format!("--outputFile={}", results.display()))
        .args(flags)
        .env("PATH", path)
        .stdout(std::process::Stdio::null());
    jest.status().context("could not start jest")?;
    let text = std::fs::read_to_string(&results).context("jest left no results")?;
    results::jest(suite.name(), &text)
}

fn pytest(suite: Suite, sources: &Path, python: &Path) -> Result<Report> {
    let output = Command::new(python)
        .current_dir(sources)
        .args(["-m", "pytest", "-q", "-rA", "--tb=short", "--color=no"])
        .args(["-p", "no:cacheprovider"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .context("could not start pytest")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = results::pytest(suite.name(), &text);
    if report.cases.is_empty() {
        bail!(
            "pytest ran no test:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_only_rewritten_from_every_suite() {
        let parse = |arguments: &[&str]| Options::parse(arguments.iter().copied());
        assert!(parse(&["--update"]).is_ok());
        assert!(parse(&["--only", "postgrest-py"]).is_ok());
        assert!(parse(&["--only", "postgrest-py", "--update"]).is_err());
        assert!(parse(&["--only", "postgrest-rs"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }
}
