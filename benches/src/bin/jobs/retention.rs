//! Whether tables stay as small as what they keep: jobs are submitted and done
//! at a steady rate, and what ended a few seconds ago is pruned, for as long as
//! `--seconds` says. Sizes over time must level off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jobs::{Ctx, Stop, Worker};
use pg::Session;
use serde_json::{Value, json};

use crate::Bench;

/// Of each second.
const JOBS: usize = 1000;
const TREES: usize = 5;
const CHILDREN: usize = 20;
/// How long what is over is kept, as PostgreSQL says it.
const KEPT: &str = "10 seconds";
/// As the duty does, so often and so many at once.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
const PRUNED_AT_ONCE: &str = "50";
/// Lines of the table.
const LOOKS: u32 = 12;

const SIZES: &str = "SELECT jsonb_build_object(
    'jobs', (SELECT count(*) FROM work.jobs),
    'jobs_mb', pg_relation_size('work.jobs') / 1048576.0,
    'jobs_indexes_mb', pg_indexes_size('work.jobs') / 1048576.0,
    'streams_mb', pg_total_relation_size('work.streams') / 1048576.0,
    'events_mb', pg_total_relation_size('work.events') / 1048576.0,
    'rest_mb', (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c
        WHERE c.relkind = 'r' AND c.relnamespace IN ('work'::regnamespace, 'work_engine'::regnamespace)
          AND c.oid NOT IN ('work.jobs'::regclass, 'work.streams'::regclass, 'work.events'::regclass)) / 1048576.0)";

impl Bench {
    pub(crate) async fn retention(&self) -> Result<()> {
        self.clear().await?;
        let worker = Worker::builder(&self.jobs)
            .slots(64, 256)
            .handle("noop", |_: Ctx, _: Value| {
                std::future::ready(Ok::<_, Stop>(()))
            })
            .start();
        let over = Arc::new(AtomicBool::new(false));
        let pruned = self.pruned(Arc::clone(&over));
        let ((), pruned) = futures_util::future::try_join(self.busy(&over), pruned).await?;
        worker.shutdown().await;
        println!("{}", json!({"measure": "retention", "pruned": pruned}));
        Ok(())
    }

    /// Submits, and looks at the sizes from time to time.
    async fn busy(&self, over: &AtomicBool) -> Result<()> {
        let mut session = Session::connect(&self.target).await?;
        let (began, span) = (
            Instant::now(),
            Duration::from_secs_f64(self.options.seconds),
        );
        let mut looked = 0;
        for second in 1.. {
            self.submit_all(JOBS).await?;
            for _ in 0..TREES {
                self.tree_of(CHILDREN).await?;
            }
            if began.elapsed() >= span * (looked + 1) / LOOKS {
                looked += 1;
                let rows = session.query(SIZES, &[]).await?;
                let mut line: Value = serde_json::from_str(rows.scalar().unwrap_or("{}"))?;
                let fields = line.as_object_mut().context("no sizes")?;
                for value in fields.values_mut() {
                    let rounded = value.as_f64().map(|mb| (mb * 10.0).round() / 10.0);
                    *value = rounded.into();
                }
                fields.insert("second".to_owned(), second.into());
                println!("{line}");
            }
            if looked >= LOOKS {
                break;
            }
            let next = Duration::from_secs(second);
            tokio::time::sleep(next.saturating_sub(began.elapsed())).await;
        }
        over.store(true, Ordering::Relaxed);
        session.close().await;
        Ok(())
    }

    /// What the duty does, with less patience.
    async fn pruned(&self, over: Arc<AtomicBool>) -> Result<u64> {
        let mut session = Session::connect(&self.target).await?;
        let mut sum = 0;
        while !over.load(Ordering::Relaxed) {
            loop {
                let sql = "SELECT work_engine.prune($1::integer, $2::interval)";
                let params = [Some(PRUNED_AT_ONCE), Some(KEPT)];
                let rows = session.query(sql, &params).await?;
                let gone = rows.scalar().unwrap_or("0").parse::<u64>()?;
                sum += gone;
                if gone.to_string() != PRUNED_AT_ONCE {
                    break;
                }
            }
            tokio::time::sleep(PRUNE_EVERY).await;
        }
        session.close().await;
        Ok(sum)
    }
}
