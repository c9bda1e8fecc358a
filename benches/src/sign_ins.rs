//! What a storm of sign-ins does to everybody else: the time of a quiet
//! reader's requests, alone and beside two hundred clients that sign in
//! without a pause. Both in turn, so that a drift of the machine meets both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Options;
use crate::http::{self, Load, complete};
use crate::rest::{folder, project, psql, reads, token};
use crate::server::Server;
use crate::table;

/// Who signs in at once.
const CLIENTS: usize = 200;
/// A hundred million in five minutes: what is measured is hashing, not refusing.
const LIMITS: &str =
    "\n[auth.rate_limit]\nsign_in_sign_ups = 100000000\ntoken_refresh = 100000000\n";
/// Until every client waits for its turn.
const SETTLE: Duration = Duration::from_millis(700);
const PERSON: &str = r#"{"email":"storm@example.com","password":"correct horse battery"}"#;

/// Measures in turn and prints a table.
pub(crate) fn run(options: Options) -> Result<()> {
    let folder = folder()?;
    project(folder.path())?;
    let config = folder.path().join("supabase/config.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text + LIMITS)?;
    let server = Server::start(folder.path())?;
    let (socket, port) = server.socket()?;
    psql(&socket, &port, "VACUUM ANALYZE; CHECKPOINT")?;
    let address = server.address()?;
    let token = token(&server, &socket, &port)?;
    let key = server.text("anon_key")?;
    let read = |n| reads(n, &address, &token);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(post(&address, &key, "/auth/v1/signup"))?;
    http::run(&address, 1, 1, read)?;
    let (mut quiet, mut beside, mut ratios, mut rates) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.rounds {
        let alone = http::run(&address, 1, options.seconds, read)?;
        let storm = Storm::start(&runtime, &address, &key);
        thread::sleep(SETTLE);
        let (before, began) = (storm.done.load(Ordering::Relaxed), Instant::now());
        let load = http::run(&address, 1, options.seconds, read);
        let signed_in = storm.done.load(Ordering::Relaxed) - before;
        #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
        rates.push(signed_in as f64 / began.elapsed().as_secs_f64());
        storm.end(&runtime)?;
        let load = load?;
        ratios.push(load.p99 / alone.p99);
        quiet.push(alone);
        beside.push(load);
    }
    let of = |loads: &[Load], read: fn(&Load) -> f64| {
        let mut values: Vec<f64> = loads.iter().map(read).collect();
        format!("{:.2}", table::median(&mut values))
    };
    let row = |name: &str, alone: String, beside: String, goal: &str| {
        vec![name.to_owned(), alone, beside, goal.to_owned()]
    };
    let ratio = format!("{:.2} times", table::median(&mut ratios));
    table::print(&[
        row(
            "one reader",
            "alone".to_owned(),
            "beside 200 sign-ins".to_owned(),
            "goal",
        ),
        row(
            "requests a second",
            of(&quiet, |l| l.rate),
            of(&beside, |l| l.rate),
            "-",
        ),
        row(
            "median ms",
            of(&quiet, |l| l.p50),
            of(&beside, |l| l.p50),
            "-",
        ),
        row("p99 ms", of(&quiet, |l| l.p99), of(&beside, |l| l.p99), "-"),
        row("p99, median of pairs", "1".to_owned(), ratio, "3 times"),
        row(
            "sign-ins a second",
            "0".to_owned(),
            format!("{:.1}", table::median(&mut rates)),
            "-",
        ),
    ]);
    server.stop()
}

/// Clients that sign in again and again.
struct Storm {
    over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Storm {
    fn start(runtime: &tokio::runtime::Runtime, address: &str, key: &str) -> Self {
        let (over, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = || {
            let (over, done) = (Arc::clone(&over), Arc::clone(&done));
            let (address, key) = (address.to_owned(), key.to_owned());
            runtime.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    post(&address, &key, "/auth/v1/token?grant_type=password").await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let clients = (0..CLIENTS).map(|_| client()).collect();
        Self {
            over,
            done,
            clients,
        }
    }

    fn end(self, runtime: &tokio::runtime::Runtime) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            runtime.block_on(client)??;
        }
        Ok(())
    }
}

/// The person's password to an address of the auth room.
async fn post(address: &str, key: &str, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\napikey: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{PERSON}",
        PERSON.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(4096);
    while !complete(&buffer)? {
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("the server closed the connection");
        }
    }
    Ok(())
}
