//! What the suites' own lock files ask for, at pinned versions of the tools that read them.
//!
//! The tools go below the build folder; packages go where each suite's repository has them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::clients;
use crate::repo::Repo;
use crate::setup;

/// The version that supabase-js names in its `package.json`.
const PNPM: &str = "pnpm@11.1.2";

/// Reads supabase-py's `uv.lock`.
const UV: &str = "uv==0.13.9";

/// Installs jest and what it needs; returns the `PATH` with a Node that is new enough.
pub(super) fn javascript(repo: &Repo, sources: &Path, package: &str) -> Result<OsString> {
    let tools = repo.target().join("clients-tools");
    std::fs::create_dir_all(&tools).context("could not make the folder for tools")?;
    let modules = tools.join("node_modules");
    let pnpm = modules.join("pnpm/bin/pnpm.mjs");
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    let mut packages = vec![PNPM.to_owned()];
    if let Some(node) = clients::newer_node() {
        packages.push(format!("{}@{}", node.package, node.version));
        let mut longer = modules.join(node.package).join("bin").into_os_string();
        longer.push(":");
        longer.push(path);
        path = longer;
    }
    let whole = packages.iter().all(|package| {
        let name = package.split('@').next().unwrap_or_default();
        modules.join(name).is_dir()
    });
    if !whole {
        let flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save"];
        run(Command::new("npm")
            .current_dir(&tools)
            .args(["install", "--loglevel=error", "--prefix", "."])
            .args(flags)
            .args(&packages))?;
    }
    if !sources.join("node_modules/.bin/jest").is_file() {
        let flags = ["--frozen-lockfile", "--ignore-scripts"];
        run(Command::new("node")
            .current_dir(sources)
            .arg(&pnpm)
            .arg("install")
            .args(flags)
            .args(["--filter", package])
            .env("PATH", &path))?;
    }
    Ok(path)
}

/// Makes the environment that the lock file describes; returns its Python.
///
/// Each package has one of its own: `uv` takes out of an environment what another one needs.
pub(super) fn python(repo: &Repo, sources: &Path, package: &str, group: &str) -> Result<PathBuf> {
    let tools = repo.target().join("clients-uv");
    let uv = tools.join("bin/uv");
    if !setup::works(&uv.to_string_lossy(), &["--version"]) {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&tools))?;
        run(Command::new(tools.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", UV]))?;
    }
    let environment = repo.target().join(format!("clients-{package}-venv"));
    run(Command::new(uv)
        .current_dir(sources)
        .args(["sync", "--quiet", "--frozen", "--no-default-groups"])
        .args(["--package", package, "--group", group])
        .env("UV_PROJECT_ENVIRONMENT", &environment))?;
    Ok(environment.join("bin/python"))
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("could not start {name}"))?;
    if !status.success() {
        bail!("{name} failed; what it said is above");
    }
    Ok(())
}
