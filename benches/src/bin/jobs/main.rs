//! How fast jobs go in this process, on a real database: one line of JSON for
//! each measure, so that other programs can put them beside those of others.
//!
//! `cargo run --release -p benches --bin jobs -- [--only=drain,enqueue64,batch,latency,cancel]
//!  [--url=URL] [--config=default|best] [--seconds=N] [--scale=N] [--jobs=N]
//!  [--clients=N] [--finished=N] [--events=true|false] [--folder=DIR]`
//!
//! Without a URL it makes a cluster of its own, with the settings that
//! `ferrobase dev` uses: `fsync` and `synchronous_commit` are on. `default` is
//! a worker as the builder makes it; `best` has room for more at once and tells
//! no events, as the queues that it is compared with. `--finished` puts so many
//! finished jobs into the tables before. `--only=retention --seconds=240` prints
//! sizes of tables under steady work and pruning.

#![expect(
    clippy::print_stdout,
    reason = "the printed lines are what this program is for"
)]

mod cancel;
mod retention;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jobs::{Config, Ctx, Jobs, Parts, Spec, Stop, Worker};
use kernel::{Clock, Rng, Tasks};
use pg::cluster::{Cluster, ClusterConfig};
use pg::migrate::{MigrateOptions, migrate};
use pg::{Pool, PoolConfig, Session, Target};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Jobs of one submission while the tables are filled.
const FILL: usize = 1000;
/// Jobs whose way is measured, and those before that find no plans yet.
const ROUNDS: usize = 200;
const WARM: usize = 20;
/// Longer than any wake-up: what is measured is the way of one job alone.
const CALM: Duration = Duration::from_millis(15);

/// What the command line asks for.
struct Options {
    only: Vec<String>,
    url: Option<String>,
    folder: Option<PathBuf>,
    best: bool,
    jobs: usize,
    clients: usize,
    seconds: f64,
    scale: f64,
    finished: usize,
    events: bool,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(run()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", json!({ "error": format!("{error:#}") }));
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        only: Vec::new(),
        url: None,
        folder: None,
        best: true,
        jobs: 100_000,
        clients: 64,
        seconds: 3.0,
        scale: 1.0,
        finished: 0,
        events: false,
    };
    let mut events = None;
    for flag in std::env::args()
        .skip(1)
        .filter(|word| word.starts_with("--"))
    {
        let (name, value) = flag.split_once('=').context("an option is --name=value")?;
        match name {
            "--url" | "--database-url" => options.url = Some(value.to_owned()),
            "--folder" => options.folder = Some(value.into()),
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            "--config" => options.best = value == "best",
            "--jobs" => options.jobs = value.parse()?,
            "--clients" => options.clients = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--scale" => options.scale = value.parse()?,
            "--finished" => options.finished = value.parse()?,
            "--events" => events = Some(value.parse()?),
            other => bail!("unknown option {other}"),
        }
    }
    options.events = events.unwrap_or(!options.best);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of a bench are small"
    )]
    let scaled = (options.jobs as f64 * options.scale) as usize;
    options.jobs = scaled.max(5);
    Ok(options)
}

/// A database and the room on it.
struct Bench {
    jobs: Arc<Jobs>,
    target: Target,
    options: Options,
}

async fn run() -> Result<()> {
    let options = options()?;
    let (tasks, database) = (Tasks::new(), Tasks::new());
    let temporary = tempfile::tempdir()?;
    let cluster = if options.url.is_some() {
        None
    } else {
        let folder = options.folder.clone();
        let folder = folder.unwrap_or_else(|| temporary.path().join(".ferrobase"));
        let config = ClusterConfig {
            port: None,
            ..ClusterConfig::new(folder, Clock::system())
        };
        Some(Cluster::start(config, &database, |_| ()).await?)
    };
    let target = match (&options.url, &cluster) {
        (Some(url), _) => Target::parse(url)?,
        (None, Some(cluster)) => cluster.target(Cluster::superuser(), "postgres"),
        (None, None) => bail!("there is no database"),
    };
    let mut session = Session::connect(&target).await?;
    migrate(&mut session, &MigrateOptions::default()).await?;
    for setting in ["fsync", "synchronous_commit"] {
        let rows = session
            .query("SELECT current_setting($1)", &[Some(setting)])
            .await?;
        if rows.scalar() != Some("on") {
            bail!("{setting} is off: such figures say nothing");
        }
    }
    session.close().await;
    let jobs = Jobs::new(Parts {
        pool: Pool::new(&target, &PoolConfig::default(), &tasks),
        role: "ferrobase_work".into(),
        config: Config::default(),
        tasks: tasks.clone(),
        rng: Rng::system(),
    });
    let bench = Bench {
        jobs,
        target,
        options,
    };
    let measured = bench.measure().await;
    bench.jobs.drain().await;
    tasks.stop().await;
    if let Some(cluster) = cluster {
        cluster.stop().await;
    }
    measured
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are small")]
fn rate(count: usize, took: Duration) -> f64 {
    (count as f64 / took.as_secs_f64()).round()
}

/// The value that this part of the values does not exceed, in milliseconds.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    let value = sorted.get(place).copied().unwrap_or_default();
    (value.as_secs_f64() * 1e5).round() / 100.0
}

impl Bench {
    async fn measure(&self) -> Result<()> {
        if self.options.finished > 0 {
            self.fill(self.options.finished).await?;
        }
        let wants = |measure: &str| {
            let only = &self.options.only;
            only.is_empty() || only.iter().any(|one| one == measure)
        };
        if wants("drain") {
            self.drain().await?;
        }
        if wants("enqueue64") {
            self.enqueue().await?;
        }
        if wants("batch") {
            self.batch().await?;
        }
        if wants("latency") {
            self.latency().await?;
        }
        if wants("cancel") {
            self.cancel().await?;
        }
        // Takes minutes, so it is asked for by name.
        if self.options.only.iter().any(|one| one == "retention") {
            self.retention().await?;
        }
        Ok(())
    }

    fn tell(&self, measure: &str, value: f64, unit: &str, times: &mut [Duration]) {
        times.sort_unstable();
        let config = if self.options.best { "best" } else { "default" };
        let mut line = json!({
            "engine": "Ferrobase", "config": config, "measure": measure, "value": value, "unit": unit,
            "events": self.options.events, "finished_before": self.options.finished,
        });
        if let Some(fields) = line.as_object_mut().filter(|_| !times.is_empty()) {
            for (name, percent) in [("p50", 50), ("p90", 90), ("p99", 99)] {
                fields.insert(name.to_owned(), quantile(times, percent).into());
            }
        }
        println!("{line}");
    }

    async fn clear(&self) -> Result<()> {
        let mut session = Session::connect(&self.target).await?;
        session
            .script("DELETE FROM work.jobs WHERE finished_at IS NULL")
            .await?;
        session.close().await;
        self.settle().await
    }

    async fn fill(&self, count: usize) -> Result<()> {
        let mut session = Session::connect(&self.target).await?;
        let count = count.to_string();
        session
            .query(
                "INSERT INTO work.jobs (id, root_id, type, queue, state, created_at, started_at, finished_at, progress) \
                 SELECT u.id, u.id, 'old', 'default', 'completed', now(), now(), now(), 1 \
                 FROM (SELECT work.uuid_v7() AS id FROM generate_series(1, $1::integer)) AS u",
                &[Some(&count)],
            )
            .await?;
        session.close().await;
        Ok(())
    }

    fn spec(&self, n: usize) -> Result<Spec> {
        let spec = Spec::new("noop", &json!({ "n": n }))?;
        Ok(Spec {
            events: (!self.options.events).then_some(false),
            ..spec
        })
    }

    /// Many clients, each with one job at a time.
    async fn enqueue(&self) -> Result<()> {
        self.clear().await?;
        let until = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        let began = Instant::now();
        let client = || async {
            let mut made = Vec::new();
            while Instant::now() < until {
                let asked = Instant::now();
                self.jobs.submit(vec![self.spec(0)?]).await?;
                made.push(asked.elapsed());
            }
            Ok::<_, anyhow::Error>(made)
        };
        let clients = (0..self.options.clients).map(|_| client());
        let mut times = Vec::new();
        for made in futures_util::future::join_all(clients).await {
            times.extend(made?);
        }
        let took = began.elapsed();
        self.tell("enqueue64", rate(times.len(), took), "jobs/s", &mut times);
        self.clear().await
    }

    /// Jobs that do nothing, all there already, until the last is over.
    async fn drain(&self) -> Result<()> {
        self.clear().await?;
        let count = self.options.jobs;
        self.submit_all(count).await?;
        self.settle().await?;
        let (done, last) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let began = Instant::now();
        let worker = {
            let (done, last) = (Arc::clone(&done), Arc::clone(&last));
            let worker = Worker::builder(&self.jobs);
            // As the builder makes it, or with room for more at once.
            let worker = if self.options.best {
                worker.slots(512, 2048)
            } else {
                worker
            };
            worker
                .handle("noop", move |_: Ctx, _: Value| {
                    let place = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if place == count as u64 {
                        last.notify_one();
                    }
                    std::future::ready(Ok::<_, Stop>(()))
                })
                .start()
        };
        last.notified().await;
        // Over means committed: the worker ends when the last end is.
        worker.shutdown().await;
        let took = began.elapsed();
        let left = self.open().await?;
        if left > 0 {
            bail!("{left} jobs were not over when the worker ended");
        }
        self.tell("drain", rate(count, took), "jobs/s", &mut []);
        Ok(())
    }

    async fn submit_all(&self, count: usize) -> Result<()> {
        for first in (0..count).step_by(FILL) {
            let specs = (first..count.min(first + FILL)).map(|n| self.spec(n));
            self.jobs.submit(specs.collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    /// A thousand in a submission, one after the other.
    async fn batch(&self) -> Result<()> {
        self.clear().await?;
        let count = (self.options.jobs / 2).max(5);
        let began = Instant::now();
        self.submit_all(count).await?;
        self.tell("batch", rate(count, began.elapsed()), "jobs/s", &mut []);
        self.clear().await
    }

    async fn settle(&self) -> Result<()> {
        let mut session = Session::connect(&self.target).await?;
        // One script each: several statements are one transaction.
        session.script("VACUUM ANALYZE work.jobs").await?;
        session.script("VACUUM ANALYZE work_engine.line").await?;
        session.script("CHECKPOINT").await?;
        session.close().await;
        Ok(())
    }

    async fn open(&self) -> Result<i64> {
        let mut session = Session::connect(&self.target).await?;
        let rows = session
            .query(
                "SELECT count(*) FROM work.jobs WHERE finished_at IS NULL",
                &[],
            )
            .await?;
        session.close().await;
        Ok(rows.scalar().unwrap_or("-1").parse()?)
    }

    /// One job at a time: from asking for it to the first line of its handler.
    async fn latency(&self) -> Result<()> {
        self.clear().await?;
        let started: Arc<std::sync::Mutex<Option<Instant>>> = Arc::default();
        let called = Arc::new(Notify::new());
        let worker = {
            let (started, called) = (Arc::clone(&started), Arc::clone(&called));
            Worker::builder(&self.jobs)
                .slots(4, 0)
                .handle("noop", move |_: Ctx, _: Value| {
                    if let Ok(mut started) = started.lock() {
                        *started = Some(Instant::now());
                    }
                    called.notify_one();
                    std::future::ready(Ok::<_, Stop>(()))
                })
                .start()
        };
        let rounds = ROUNDS + WARM;
        let mut times = Vec::new();
        for n in 0..rounds {
            tokio::time::sleep(CALM).await;
            let asked = Instant::now();
            self.jobs.submit(vec![self.spec(n)?]).await?;
            called.notified().await;
            let at = started.lock().ok().and_then(|started| *started);
            if n >= WARM {
                times.extend(at.map(|at| at.duration_since(asked)));
            }
        }
        worker.shutdown().await;
        times.sort_unstable();
        let value = quantile(&times, 50);
        self.tell("latency", value, "ms", &mut times);
        Ok(())
    }
}
