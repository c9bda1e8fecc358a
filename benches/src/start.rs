//! How long a start takes, from spawning the program to its ready line.

use anyhow::Result;

use crate::Options;
use crate::rest::folder;
use crate::server::Server;
use crate::table;

/// Measures cold and warm starts and prints a table.
pub(crate) fn run(options: Options) -> Result<()> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds.max(3) {
        let folder = folder()?;
        let server = Server::start(folder.path())?;
        cold.push(server.took.as_secs_f64() * 1000.0);
        server.stop()?;
        let server = Server::start(folder.path())?;
        warm.push(server.took.as_secs_f64() * 1000.0);
        server.stop()?;
    }
    let row = |name: &str, values: &mut Vec<f64>, goal: &str| {
        let median = table::median(values);
        let worst = values.last().copied().unwrap_or(0.0);
        vec![
            name.to_owned(),
            format!("{median:.0}"),
            format!("{worst:.0}"),
            goal.to_owned(),
        ]
    };
    let heading = ["start", "median ms", "worst ms", "goal ms"].map(str::to_owned);
    table::print(&[
        heading.to_vec(),
        row("from nothing", &mut cold, "2000"),
        row("warm", &mut warm, "500"),
    ]);
    Ok(())
}
