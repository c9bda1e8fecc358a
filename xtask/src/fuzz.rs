//! Fuzzing with the stable compiler: libFuzzer's counters are put in by LLVM passes that `-C`
//! reaches, so neither nightly nor cargo-fuzz is needed. What is missing is the address
//! sanitizer, which has little to find where `unsafe` is forbidden.
//!
//! Start at [`run`]. `fuzz/README.md` says what to do with a finding.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::repo::Repo;

/// The fuzz targets, by the names of their programs.
const TARGETS: [&str; 5] = ["query", "headers", "body", "picture", "answer"];

/// How long a change to a parser is fuzzed before it is merged.
const SECONDS: u32 = 600;

/// The instrumentation that libFuzzer lives on.
const FLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // One counter's section for each codegen unit, and few of them.
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// Build scripts must not be instrumented, which they are not when a target is named.
const PLATFORM: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-gnu"
} else {
    "x86_64-unknown-linux-gnu"
};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    target: String,
    seconds: u32,
}

impl Options {
    /// Reads `<target> [--seconds N]`.
    pub(crate) fn parse<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Self> {
        let known = TARGETS.join(", ");
        let Some(target) = arguments.next().filter(|name| TARGETS.contains(name)) else {
            bail!("which target? {known}");
        };
        let seconds = match arguments.next() {
            None => SECONDS,
            Some("--seconds") => {
                let number = arguments.next().unwrap_or_default();
                number.parse().context("--seconds takes a number")?
            }
            Some(other) => bail!("unknown option {other}"),
        };
        Ok(Self {
            target: target.to_owned(),
            seconds,
        })
    }
}

/// Builds one target and lets it run; `Ok(false)` means that there is a finding.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<bool> {
    let Options { target, seconds } = options;
    let folder = repo.target().join("fuzz");
    let built = Command::new("cargo")
        .current_dir(repo.root())
        .args(["build", "--profile", "bench-fast", "--target", PLATFORM])
        .args([
            "--package",
            "fuzz",
            "--features",
            "libfuzzer",
            "--bin",
            target,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", FLAGS.join(" "))
        .status()?;
    if !built.success() {
        bail!("the target could not be built");
    }
    let (corpus, found) = (folder.join("corpus").join(target), folder.join("found"));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&found)?;
    let ran = Command::new(folder.join(PLATFORM).join("bench-fast").join(target))
        .args([&corpus, &repo.path("fuzz/seeds").join(target)])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{target}-", found.display()))
        // Larger inputs are more of the same; a second is an eternity for one.
        .args([
            "-max_len=512",
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
        ])
        .status()?;
    if !ran.success() {
        println!("a finding lies in {}", found.display());
    }
    Ok(ran.success())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn targets_and_times_are_read() {
        let read = |text: &'static str| Options::parse(text.split_whitespace());
        let of = |target: &str, seconds| Options {
            target: target.to_owned(),
            seconds,
        };
        assert_eq!(read("query").unwrap(), of("query", 600));
        assert_eq!(read("body --seconds 5").unwrap(), of("body", 5));
        for bad in ["", "all", "query --seconds", "query --seconds x", "query 5"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
