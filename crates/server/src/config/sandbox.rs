//! Settings of sandboxes: their rows of the table, their form, their check.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;

use super::ConfigError;
use super::key::{Key, Kind, key};
use super::sources::Merged;

/// The rows of section `sandbox`.
pub(super) const KEYS: [Key; 17] = [
    key(
        "sandbox.enabled",
        Kind::Flag,
        "true",
        "Run code of sessions in sandboxes.",
    ),
    key(
        "sandbox.insecure",
        Kind::Flag,
        "false",
        "Run code even where nothing can keep it in. Only for code that you trust like your own.",
    ),
    key(
        "sandbox.preview_domain",
        Kind::Text,
        "localhost",
        "Below which name sandboxes show their pages: a domain of its own with a wildcard, as `preview.example.net`; `http://name:port` where it is not https.",
    ),
    key(
        "sandbox.lives",
        Kind::Span,
        "30m",
        "How long a sandbox lives after its last use, when nobody says.",
    ),
    key(
        "sandbox.lives_max",
        Kind::Span,
        "24h",
        "How long a sandbox may be asked to live.",
    ),
    key(
        "sandbox.per_owner",
        Kind::Number,
        "5",
        "Sandboxes of one owner at a time.",
    ),
    key(
        "sandbox.per_node",
        Kind::Number,
        "20",
        "Sandboxes of this server at a time.",
    ),
    key("sandbox.cpu", Kind::Number, "2", "Cores of one sandbox."),
    key(
        "sandbox.memory",
        Kind::Size,
        "2GiB",
        "Memory of one sandbox.",
    ),
    key(
        "sandbox.processes",
        Kind::Number,
        "512",
        "Processes and threads of one sandbox.",
    ),
    key("sandbox.disk", Kind::Size, "4GiB", "Files of one sandbox."),
    key(
        "sandbox.output",
        Kind::Size,
        "64MiB",
        "Output of one command before it is ended.",
    ),
    key(
        "sandbox.command_time",
        Kind::Span,
        "24h",
        "Time of one command, dev servers included.",
    ),
    key(
        "sandbox.registries",
        Kind::List,
        "",
        "Hosts that sandboxes may fetch packages from; empty means the public registries of npm, PyPI and crates.io.",
    ),
    key(
        "sandbox.mirrors",
        Kind::List,
        "",
        "Package mirrors of your own, `host` or `host:port`, which may have private addresses.",
    ),
    key(
        "sandbox.env",
        Kind::List,
        "",
        "Variables that point package managers to the mirrors, `NAME=value` each.",
    ),
    key(
        "sandbox.ca_file",
        Kind::Text,
        "",
        "Certificates (PEM) that programs inside trust beside the usual ones.",
    ),
];

/// Sandboxes.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// At all.
    pub enabled: bool,
    /// Even where nothing can keep code in.
    pub insecure: bool,
    /// Where their pages are.
    pub preview: PreviewDomain,
    /// How long one lives when nobody says.
    pub lives: Duration,
    /// How long one may be asked to live.
    pub lives_max: Duration,
    /// Of one owner at a time.
    pub per_owner: u32,
    /// Of this server at a time.
    pub per_node: usize,
    /// What one may use.
    pub limits: sandbox::Limits,
    /// Whom they may reach.
    pub egress: sandbox::Egress,
}

/// Below which name pages of sandboxes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewDomain {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The name, in small letters.
    pub name: String,
    /// The port, where it is said.
    pub port: Option<u16>,
    /// It is `localhost`: our own port, without certificates.
    pub local: bool,
}

pub(super) fn check(merged: &Merged) -> Result<SandboxConfig, ConfigError> {
    let lives = merged.span("sandbox.lives")?;
    let lives_max = merged.span("sandbox.lives_max")?;
    if lives > lives_max {
        return Err(merged.invalid("sandbox.lives", "expected no more than sandbox.lives_max"));
    }
    Ok(SandboxConfig {
        enabled: merged.flag("sandbox.enabled")?,
        insecure: merged.flag("sandbox.insecure")?,
        preview: preview(merged.text("sandbox.preview_domain")).ok_or_else(|| {
            merged.invalid("sandbox.preview_domain", "expected the name of a domain")
        })?,
        lives,
        lives_max,
        per_owner: merged.number("sandbox.per_owner")?,
        per_node: merged.number("sandbox.per_node")?,
        limits: sandbox::Limits {
            cpu: cpu(merged)?,
            memory_bytes: merged.size("sandbox.memory")?,
            pids: merged.number("sandbox.processes")?,
            disk_bytes: merged.size("sandbox.disk")?,
            output_bytes: merged.size("sandbox.output")?,
            wall: merged.span("sandbox.command_time")?,
        },
        egress: egress(merged)?,
    })
}

fn cpu(merged: &Merged) -> Result<f64, ConfigError> {
    let cores: f64 = merged.number("sandbox.cpu")?;
    if cores.is_finite() && cores >= 0.1 {
        Ok(cores)
    } else {
        Err(merged.invalid("sandbox.cpu", "expected a number of cores"))
    }
}

fn preview(text: &str) -> Option<PreviewDomain> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        Some(_) => return None,
        None => ("https", text),
    };
    let authority: Authority = rest.trim_end_matches('/').parse().ok()?;
    let name = authority.host().to_ascii_lowercase();
    // An address has no names below it.
    if name.parse::<std::net::IpAddr>().is_ok() || name.starts_with(['[', '.', '*']) {
        return None;
    }
    let local = name == "localhost";
    Some(PreviewDomain {
        scheme: if local { "http" } else { scheme },
        port: authority.port_u16(),
        name,
        local,
    })
}

fn egress(merged: &Merged) -> Result<sandbox::Egress, ConfigError> {
    let usual = sandbox::Egress::default();
    let registries = merged.list("sandbox.registries");
    let env = merged.list("sandbox.env").into_iter().map(|pair| {
        let pair = pair.split_once('=').filter(|(name, _)| !name.is_empty());
        pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .ok_or_else(|| merged.invalid("sandbox.env", "expected NAME=value"))
    });
    Ok(sandbox::Egress {
        registries: if registries.is_empty() {
            usual.registries
        } else {
            registries
        },
        mirrors: merged.list("sandbox.mirrors"),
        env: env.collect::<Result<_, _>>()?,
        ca_file: merged.optional("sandbox.ca_file").map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_of_previews() {
        let of = |text| preview(text).map(|d| (d.scheme, d.name, d.port, d.local));
        assert_eq!(
            of("localhost"),
            Some(("http", "localhost".into(), None, true))
        );
        assert_eq!(
            of("Preview.example.net"),
            Some(("https", "preview.example.net".into(), None, false))
        );
        assert_eq!(
            of("http://p.test:8080/"),
            Some(("http", "p.test".into(), Some(8080), false))
        );
        for bad in ["", "127.0.0.1", "[::1]", "*.x.y", "ftp://x", "a b"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
