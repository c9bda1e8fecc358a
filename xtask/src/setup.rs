//! What the tests need besides Rust and a C compiler, and how it gets here.
//!
//! On Debian (and its kin) as root, missing packages are installed after saying which and why.
//! Anywhere else one line says what is missing and the command that brings it; nothing is ever
//! installed behind an unprivileged user's back. Start at [`ensure`].

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// One thing that has to be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The server, its tools and contrib; our own managed cluster and every test use it.
    Postgres,
    /// Some fixtures of PostgREST's specification have geometry columns.
    Postgis,
    /// Drives the official JavaScript client.
    Node,
    /// Drives the official Python client, in a virtual environment.
    Python,
    /// Shows the builder page.
    Chromium,
    /// Speaks the S3 protocol as people type it.
    Rclone,
}

impl Need {
    fn present(self) -> bool {
        match self {
            Self::Postgres => postgres_bin().is_some(),
            Self::Postgis => {
                postgres_15_bin().is_some_and(|bin| extension(&bin, "postgis.control").is_file())
            }
            Self::Node => works("node", &["--version"]) && works("npm", &["--version"]),
            Self::Python => works("python3", &["-c", "import ensurepip, venv"]),
            Self::Chromium => works("chromium", &["--version"]),
            Self::Rclone => works("rclone", &["version"]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL 15 or newer",
            Self::Postgis => "PostGIS",
            Self::Node => "Node.js with npm",
            Self::Python => "Python 3 with venv and pip",
            Self::Chromium => "Chromium",
            Self::Rclone => "rclone",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql-15"],
            Self::Postgis => &["postgresql-15-postgis-3"],
            Self::Node => &["nodejs", "npm"],
            Self::Python => &["python3", "python3-venv", "python3-pip"],
            Self::Chromium => &["chromium"],
            Self::Rclone => &["rclone"],
        }
    }
}

/// Makes sure that all needs are met, installing distribution packages when we may.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs
        .iter()
        .copied()
        .filter(|need| !need.present())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing
        .iter()
        .map(|need| need.name())
        .collect::<Vec<_>>()
        .join(", ");
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages())
        .copied()
        .collect();
    let install = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !(is_root() && works("apt-get", &["--version"])) {
        bail!("missing: {names}. On Debian 12 this brings it: sudo {install}");
    }
    println!("missing: {names}; installing distribution packages: {install}");
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&packages);
    apt(&arguments)?;
    match missing.iter().find(|need| !need.present()) {
        None => Ok(()),
        Some(need) => bail!("{} is still missing after `{install}`", need.name()),
    }
}

/// Makes sure of rustfmt and clippy, which rustup's minimal profile leaves out.
pub(crate) fn ensure_components() -> Result<()> {
    let present = works("cargo", &["fmt", "--version"]) && works("cargo", &["clippy", "--version"]);
    if present {
        return Ok(());
    }
    let install = ["component", "add", "rustfmt", "clippy"];
    println!(
        "missing: rustfmt or clippy; installing them: rustup {}",
        install.join(" ")
    );
    if works("rustup", &install) {
        return Ok(());
    }
    bail!(
        "missing: rustfmt or clippy. This brings them: rustup {}",
        install.join(" ")
    );
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("could not start apt-get")?;
    if !status.success() {
        bail!(
            "`apt-get {}` failed; its message is above",
            arguments.join(" ")
        );
    }
    Ok(())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Whether a command starts and succeeds, quietly.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The folder with `initdb` and `postgres`: `PG_BINDIR`, or Debian's newest from 15 on.
pub(crate) fn postgres_bin() -> Option<PathBuf> {
    let named = std::env::var_os("PG_BINDIR").map(PathBuf::from);
    named
        .filter(|bin| bin.join("postgres").is_file())
        .or_else(|| {
            [18, 17, 16, 15]
                .into_iter()
                .map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")))
                .find(|bin| bin.join("postgres").is_file())
        })
}

/// PostgreSQL 15's folder, whose row order and plans the specification's fixtures were taken from.
pub(crate) fn postgres_15_bin() -> Option<PathBuf> {
    let debian = PathBuf::from("/usr/lib/postgresql/15/bin");
    if debian.join("postgres").is_file() {
        Some(debian)
    } else {
        postgres_bin()
    }
}

/// Where an extension's control file lies for the server in `bin`.
fn extension(bin: &Path, control: &str) -> PathBuf {
    let output = Command::new(bin.join("pg_config"))
        .arg("--sharedir")
        .output();
    let share = output
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    Path::new(&share).join("extension").join(control)
}
