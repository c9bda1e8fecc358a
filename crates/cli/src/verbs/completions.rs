//! `ferrobase completions <shell>`.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::Scene;
use crate::args::Args;
use crate::failure::Failure;

/// Prints the script. It is made in memory first, because the generator
/// panics when its output cannot be written.
pub(super) fn run(scene: &Scene<'_>, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "ferrobase", &mut script);
    scene.output.text(&String::from_utf8_lossy(&script))
}
