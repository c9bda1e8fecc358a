//! Brings the distribution's PostgreSQL, where that can be done unattended.
//!
//! Only root on a system with apt-get is served; everybody else gets the
//! command to type from [`install_hint`].

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::ClusterError;

/// Package programs and the command that brings PostgreSQL with each.
const INSTALLERS: [(&str, &str); 6] = [
    ("/usr/bin/apt-get", "apt-get install -y postgresql"),
    (
        "/usr/bin/dnf",
        "dnf install -y postgresql-server postgresql-contrib",
    ),
    ("/sbin/apk", "apk add postgresql postgresql-contrib"),
    ("/usr/bin/pacman", "pacman -S --noconfirm postgresql"),
    (
        "/usr/bin/zypper",
        "zypper install -y postgresql-server postgresql-contrib",
    ),
    ("/opt/homebrew/bin/brew", "brew install postgresql@17"),
];

/// Debian makes and starts a cluster of its own when the package arrives. This
/// drop-in is there only while we install, so that it neither takes port 5432
/// and memory nor changes what a later installation by the operator does.
const DROP_IN: &str = "/etc/postgresql-common/createcluster.d/ferrobase.conf";

/// How many of the installer's last bytes an error shows.
const DETAIL_BYTES_MAX: usize = 2000;

/// The exact command that installs PostgreSQL here.
#[must_use]
pub fn install_hint() -> String {
    let command = INSTALLERS
        .iter()
        .find(|(program, _)| Path::new(program).exists())
        .map_or("apt-get install -y postgresql", |(_, command)| command);
    if rustix::process::geteuid().is_root() || command.starts_with("brew") {
        command.to_owned()
    } else {
        format!("sudo {command}")
    }
}

/// Whether [`install_distribution_package`] can do anything here.
#[must_use]
pub fn can_install() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// Installs the distribution's `postgresql`. Blocks until apt-get has ended.
///
/// `progress` hears about every command before it runs.
pub fn install_distribution_package(progress: &dyn Fn(&str)) -> Result<(), ClusterError> {
    if !can_install() {
        return Err(ClusterError::Install {
            command: install_hint(),
            detail: "only root on a system with apt-get can do this unattended".to_owned(),
        });
    }
    apt_get(&["update"], progress)?;
    // First only the package that owns the policy file, then the policy, then
    // the server: its installation script reads the policy.
    let install = ["install", "-y", "--no-install-recommends"];
    apt_get(&[&install[..], &["postgresql-common"]].concat(), progress)?;
    let policy = DropIn::write()?;
    let result = apt_get(&[&install[..], &["postgresql"]].concat(), progress);
    drop(policy);
    result
}

/// The policy file while it exists; removed again in any case.
struct DropIn;

impl DropIn {
    fn write() -> Result<Self, ClusterError> {
        let path = Path::new(DROP_IN);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ClusterError::io("create", parent))?;
        }
        fs::write(path, "create_main_cluster = false\n")
            .map_err(ClusterError::io("write", path))?;
        Ok(Self)
    }
}

impl Drop for DropIn {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(DROP_IN) {
            tracing::warn!(%error, "could not remove {DROP_IN}");
        }
        if let Some(parent) = Path::new(DROP_IN).parent() {
            // Fails, rightly, when the operator keeps files of their own there.
            let _ = fs::remove_dir(parent);
        }
    }
}

fn apt_get(arguments: &[&str], progress: &dyn Fn(&str)) -> Result<(), ClusterError> {
    let command = format!("apt-get {}", arguments.join(" "));
    progress(&format!("running `{command}`"));
    let output = Command::new("/usr/bin/apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(ClusterError::io("run", Path::new("/usr/bin/apt-get")))?;
    if output.status.success() {
        return Ok(());
    }
    let from = output.stderr.len().saturating_sub(DETAIL_BYTES_MAX);
    let text = String::from_utf8_lossy(output.stderr.get(from..).unwrap_or_default());
    Err(ClusterError::Install {
        command,
        detail: text.trim().to_owned(),
    })
}
