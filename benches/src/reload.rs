//! A schema change while requests go on: how soon the API serves it, and
//! whether anybody has to wait for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::Options;
use crate::http::{self, Load};
use crate::rest::{folder, psql};
use crate::schema;
use crate::server::Server;
use crate::table;

/// Connections that ask all the time.
const CONNECTIONS: usize = 8;

/// A change that is not served by then never will be.
const SERVED_MAX: Duration = Duration::from_secs(30);

/// What one round saw.
struct Round {
    /// The slowest request without a change, in milliseconds, and with one.
    calm: Load,
    changing: Load,
    /// From the end of the change's transaction to the first answer that knows
    /// the new column, in milliseconds.
    served: f64,
    /// The same while nobody asks for anything else.
    alone: f64,
}

/// Measures and prints a table.
pub(crate) fn run(options: Options) -> Result<()> {
    let folder = folder()?;
    project(folder.path())?;
    let server = Server::start(folder.path())?;
    let rounds: Result<Vec<Round>> = (0..options.rounds)
        .map(|number| round(&server, options.seconds, number))
        .collect();
    server.stop()?;
    let rounds = rounds?;
    let of = |read: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(read).collect();
        let median = table::median(&mut values);
        let least = values.first().copied().unwrap_or(0.0);
        (format!("{least:.1}"), format!("{median:.1}"))
    };
    let row = |name: &str, goal: &str, read: fn(&Round) -> f64| {
        let (least, median) = of(read);
        vec![name.to_owned(), least, median, goal.to_owned()]
    };
    let heading = [
        "schema change, 500 tables",
        "min ms",
        "median ms",
        "goal ms",
    ];
    table::print(&[
        heading.map(str::to_owned).to_vec(),
        row("from commit to served, no requests", "300", |round| {
            round.alone
        }),
        row("from commit to served, both cores busy", "300", |round| {
            round.served
        }),
        row("p99 of requests, no change", "-", |round| round.calm.p99),
        row("p99 of requests, with a change", "-", |round| {
            round.changing.p99
        }),
        row("slowest request, no change", "-", |round| round.calm.max),
        row("slowest request, with a change", "-", |round| {
            round.changing.max
        }),
    ]);
    Ok(())
}

fn round(server: &Server, seconds: u32, number: usize) -> Result<Round> {
    let address = server.address()?;
    let key = server.text("anon_key")?;
    let request = |_| {
        format!("GET /rest/v1/t1?limit=1 HTTP/1.1\r\nHost: x\r\napikey: {key}\r\n\r\n").into_bytes()
    };
    let alone = change(server, &address, &key, &format!("alone_{number}"))?;
    let calm = http::run(&address, CONNECTIONS, seconds, request)?;
    let (changing, took) = thread::scope(|scope| {
        let load = scope.spawn(|| http::run(&address, CONNECTIONS, seconds, request));
        thread::sleep(Duration::from_millis(300));
        let took = change(server, &address, &key, &format!("added_{number}"));
        let load = load.join().map_err(|_| anyhow::anyhow!("the load died"));
        (load, took)
    });
    Ok(Round {
        calm,
        changing: changing??,
        served: took?,
        alone,
    })
}

/// Adds a column and asks for it until it is there.
fn change(server: &Server, address: &str, key: &str, column: &str) -> Result<f64> {
    let (socket, port) = server.socket()?;
    // The server's clock says when the change was committed: the program that
    // sends it needs time to end.
    let sql = format!(
        "CREATE TABLE {column} (id int PRIMARY KEY); ALTER TABLE {column} ENABLE ROW LEVEL SECURITY; \
         SELECT (extract(epoch FROM clock_timestamp()) * 1000)::text"
    );
    let committed: f64 = psql(&socket, &port, &sql)?.trim().parse()?;
    let began = Instant::now();
    while began.elapsed() < SERVED_MAX {
        if status(address, &format!("/rest/v1/{column}"), key)? != 404 {
            return Ok(now()? - committed);
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("the change was never served")
}

#[expect(
    clippy::disallowed_methods,
    reason = "compared with the database's clock"
)]
fn now() -> Result<f64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.as_secs_f64() * 1000.0)
}

fn status(address: &str, path: &str, key: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\napikey: {key}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no answer")?;
    Ok(status.parse()?)
}

/// A project whose migration makes the five hundred tables.
fn project(folder: &Path) -> Result<()> {
    let supabase = folder.join("supabase");
    std::fs::create_dir_all(supabase.join("migrations"))?;
    std::fs::write(supabase.join("config.toml"), "project_id = \"bench\"\n")?;
    let file = supabase.join("migrations/20260101000000_bench.sql");
    std::fs::write(file, schema::ddl())?;
    Ok(())
}
