//! Tokens of many models at once: what ten thousand small appends a second from
//! a hundred streams cost PostgreSQL, and how soon each is acknowledged and
//! seen.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kernel::{Caller, Clock, Rng, Tasks};
use pg::{Pool, PoolConfig, Target};
use serde_json::value::RawValue;
use sessions::streams::{ASK_EVERY, Given, NewEvent, Piece, Producer, Step, Streams};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::rest::{folder, psql};
use crate::server::Server;
use crate::table;

/// Of each stream: together ten thousand a second.
const TOKENS_A_SECOND: u32 = 100;
const ROLE: &str = "ferrobase_work";

/// What one measurement saw.
struct Seen {
    events: f64,
    writes: f64,
    transactions: f64,
    idle_transactions: f64,
    database_cpu: f64,
    acknowledged_ms: Vec<f64>,
    watched: f64,
}

/// Measures once and prints a table.
pub(crate) fn run(options: Options) -> Result<()> {
    let folder = folder()?;
    let server = Server::start(folder.path())?;
    let (socket, port) = server.socket()?;
    let seen = measure(&socket, &port, options.seconds);
    server.stop()?;
    let mut seen = seen?;
    let p50 = table::median(&mut seen.acknowledged_ms);
    let last = seen.acknowledged_ms.len() * 99 / 100;
    let p99 = seen.acknowledged_ms.get(last).copied().unwrap_or(0.0);
    let row = |name: &str, value: f64, goal: &str| {
        vec![name.to_owned(), format!("{value:.1}"), goal.to_owned()]
    };
    table::print(&[
        ["100 streams, 100 tokens a second each", "measured", "goal"]
            .map(str::to_owned)
            .to_vec(),
        row("appended a second", seen.events, "10000"),
        row("transactions that write, a second", seen.writes, "20"),
        row("all transactions a second", seen.transactions, "-"),
        row("of which without us", seen.idle_transactions, "-"),
        row("PostgreSQL, % of one core", seen.database_cpu, "-"),
        row("acknowledged, median ms", p50, "-"),
        row("acknowledged, p99 ms", p99, "-"),
        row("seen by 100 watchers a second", seen.watched, "10000"),
    ]);
    Ok(())
}

fn measure(socket: &str, port: &str, seconds: u32) -> Result<Seen> {
    let ids = psql(
        socket,
        port,
        "insert into work.sessions (owner) select 'bench' from generate_series(1, 100) returning id",
    )?;
    let ids: Vec<uuid::Uuid> = ids.lines().filter_map(|id| id.parse().ok()).collect();
    let postmaster = postmaster(socket, port)?;
    let span = Duration::from_secs(seconds.into());
    let before = transactions(socket, port)?;
    thread::sleep(span);
    let idle = transactions(socket, port)? - before;
    let runtime = tokio::runtime::Runtime::new()?;
    let number: u16 = port.parse()?;
    let target = Target::socket(socket, number, "supabase_admin", "postgres");
    let (streams, tasks) = runtime.block_on(async { start(&target) });
    let watched = Arc::new(AtomicU64::new(0));
    for id in &ids {
        tasks.spawn_on(
            "watcher",
            watch(Arc::clone(&streams), *id, Arc::clone(&watched)),
            runtime.handle(),
        );
    }
    // Connections are made and plans are there.
    runtime.block_on(write(&streams, &ids, "warm", Duration::from_millis(500)));
    let (before, cpu) = (transactions(socket, port)?, ticks(postmaster));
    let writes = written(socket, port)?;
    let (seen_before, began) = (watched.load(Ordering::Relaxed), Instant::now());
    let acknowledged_ms = runtime.block_on(write(&streams, &ids, "model", span));
    let took = began.elapsed().as_secs_f64();
    let writes = written(socket, port)? - writes;
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    let seen = Seen {
        events: acknowledged_ms.len() as f64 / took,
        writes: writes as f64 / took,
        transactions: (transactions(socket, port)? - before) as f64 / took,
        idle_transactions: idle as f64 / f64::from(seconds),
        // The kernel counts in hundredths of a second.
        database_cpu: (ticks(postmaster) - cpu) as f64 / took,
        acknowledged_ms,
        watched: (watched.load(Ordering::Relaxed) - seen_before) as f64 / took,
    };
    runtime.block_on(tasks.stop());
    Ok(seen)
}

fn start(target: &Target) -> (Arc<Streams>, Tasks) {
    let tasks = Tasks::new();
    let few = PoolConfig {
        connections_max: 4,
        ..PoolConfig::default()
    };
    let pool = Pool::new(target, &few, &tasks);
    let streams = Streams::start(Given {
        pool: pool.clone(),
        role: ROLE.into(),
        requests: pool,
        tasks: tasks.clone(),
        leaving: CancellationToken::new(),
        clock: Clock::system(),
        rng: Rng::system(),
        tell_others: Arc::new(|_| ()),
        ask_every: ASK_EVERY,
        chunks_kept: None,
    });
    (streams, tasks)
}

async fn watch(streams: Arc<Streams>, id: uuid::Uuid, seen: Arc<AtomicU64>) {
    let caller = Caller {
        authenticated: true,
        ..Caller::anonymous("service_role")
    };
    let Ok(mut watching) = streams.watch(&caller, id, 0).await else {
        return;
    };
    let stop = async {
        while let Step::Frames(frames) = watching.next().await {
            seen.fetch_add(frames.len() as u64, Ordering::Relaxed);
        }
    };
    // Ends when the pool does.
    stop.await;
}

/// Every stream hands a token in each hundredth of a second, without waiting for
/// the one before; how long each took to be acknowledged.
async fn write(
    streams: &Arc<Streams>,
    ids: &[uuid::Uuid],
    name: &'static str,
    span: Duration,
) -> Vec<f64> {
    let writers = ids.iter().map(|id| async move {
        let (handed, mut verdicts) = mpsc::unbounded_channel();
        let hand_in = async {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / TOKENS_A_SECOND);
            let began = Instant::now();
            let mut n = 0;
            while began.elapsed() < span {
                tick.tick().await;
                let at = Instant::now();
                if let Ok(verdict) = streams.appender().hand_in(token(*id, name, n)).await {
                    let _ = handed.send((at, verdict));
                }
                n += 1;
            }
            drop(handed);
        };
        let take = async {
            let mut took = Vec::new();
            while let Some((at, verdict)) = verdicts.recv().await {
                if matches!(verdict.await, Ok(Ok(_))) {
                    took.push(at.elapsed().as_secs_f64() * 1000.0);
                }
            }
            took
        };
        tokio::join!(hand_in, take).1
    });
    let took = futures_util::future::join_all(writers).await;
    took.into_iter().flatten().collect()
}

fn token(stream: uuid::Uuid, name: &str, n: i64) -> Piece {
    let data = RawValue::from_string(r#"{"text": " token"}"#.to_owned()).unwrap_or_default();
    Piece {
        stream,
        owner: None,
        producer: Some(Producer {
            name: name.to_owned(),
            first_n: n,
        }),
        job: None,
        events: vec![NewEvent {
            kind: "job.chunk".to_owned(),
            data,
        }],
    }
}

fn transactions(socket: &str, port: &str) -> Result<i64> {
    // A backend tells what it did when it is idle for a moment.
    thread::sleep(Duration::from_millis(1100));
    let count = psql(
        socket,
        port,
        "select xact_commit from pg_stat_database where datname = 'postgres'",
    )?;
    Ok(count.parse()?)
}

/// Numbers that transactions got for writing.
fn written(socket: &str, port: &str) -> Result<i64> {
    let count = "select pg_snapshot_xmax(pg_current_snapshot())";
    Ok(psql(socket, port, count)?.parse()?)
}

fn postmaster(socket: &str, port: &str) -> Result<u32> {
    let folder = psql(socket, port, "show data_directory")?;
    let text = fs::read_to_string(format!("{folder}/postmaster.pid"))?;
    Ok(text.lines().next().context("no pid")?.trim().parse()?)
}

/// Processor time of the server and all its processes, in the kernel's ticks.
fn ticks(postmaster: u32) -> u64 {
    let mut sum = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which may hold anything: state, parent, …, and the
        // two times as the twelfth and thirteenth.
        let Some((pid, rest)) = stat.split_once(' ') else {
            continue;
        };
        let rest: Vec<&str> = rest
            .rsplit_once(") ")
            .map(|(_, rest)| rest.split(' ').collect())
            .unwrap_or_default();
        let field = |index: usize| rest.get(index).and_then(|text| text.parse::<u64>().ok());
        let ours = pid.parse() == Ok(postmaster) || field(1) == Some(postmaster.into());
        if ours {
            sum.insert(
                pid.to_owned(),
                field(11).unwrap_or(0) + field(12).unwrap_or(0),
            );
        }
    }
    sum.values().sum()
}
