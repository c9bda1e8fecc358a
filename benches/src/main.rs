//! Load programs: how fast the built binary is, as a ratio against pgbench
//! sending the same statements to the same server in the same run.
//!
//! `cargo run --release -p benches -- rest [--seconds N] [--rounds N]`
//! `cargo run --release -p benches -- start`
//! `cargo run --release -p benches -- plan`
//! `cargo run --release -p benches -- reload`
//! `cargo run --release -p benches -- streams`
//! `cargo run --release -p benches -- sign-ins`
//!
//! Ratios are what counts: both sides share the machine, so its speed cancels
//! out. `benches/README.md` says what each row means.

#![expect(
    clippy::print_stdout,
    reason = "the printed table is what this program is for"
)]

mod http;
mod memory;
mod pgbench;
mod plan;
mod reload;
mod rest;
mod schema;
mod server;
mod sign_ins;
mod start;
mod streams;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// The length of one measurement.
    seconds: u32,
    /// Measurements of each side; the median counts.
    rounds: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "all".to_owned());
    let mut options = Options {
        seconds: 3,
        rounds: 3,
    };
    while let Some(flag) = args.next() {
        let value: u32 = args.next().unwrap_or_default().parse()?;
        match flag.as_str() {
            "--seconds" => options.seconds = value.max(1),
            "--rounds" => options.rounds = value.max(1) as usize,
            other => bail!("unknown option {other}"),
        }
    }
    match what.as_str() {
        "rest" => rest::run(options),
        "start" => start::run(options),
        "plan" => plan::run(options),
        "reload" => reload::run(options),
        "streams" => streams::run(options),
        "sign-ins" => sign_ins::run(options),
        "all" => rest::run(options)
            .and_then(|()| start::run(options))
            .and_then(|()| plan::run(options))
            .and_then(|()| reload::run(options))
            .and_then(|()| streams::run(options))
            .and_then(|()| sign_ins::run(options)),
        other => {
            bail!("unknown bench {other}: rest, start, plan, reload, streams, sign-ins or all")
        }
    }
}
