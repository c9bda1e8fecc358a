//! What thinking costs: from bytes to a call, from the call to SQL, on a
//! catalog of five hundred tables; and what reading that catalog costs. All in
//! this process, without a server between.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use pg::catalog::{Catalog, LoadOptions, load};
use pg::testing::TestDb;
use rest::Config;
use rest::call::{Call, CallConfig};

use crate::Options;
use crate::schema::{self, TABLES};
use crate::table;

/// Calls of one measurement: long enough for the clock, short enough to find a
/// moment in which nobody else has the processor.
const BATCH: u32 = 200;

/// Measurements for each `--rounds`.
const BATCHES: usize = 100;

/// Loads for each `--rounds`.
const LOADS: usize = 5;

/// Measures and prints a table.
pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (catalog, mut loads) = runtime.block_on(loaded(options))?;
    let config = Config::default();
    let reading = CallConfig::of(&config, std::sync::Arc::default());
    let heading = ["on 500 tables", "min", "median", "goal"].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    for (name, target, goal) in [
        ("one row by key", "/t7?id=eq.5".to_owned(), "-"),
        ("5-level embed", schema::nested(), "100 µs"),
    ] {
        let (parts, ()) = Request::get(&target).body(())?.into_parts();
        let call = || Call::parse(black_box(&parts), Bytes::new(), &reading);
        let parsed = call().context("the request does not parse")?;
        let statements =
            || rest::dry_run::statements(black_box(&catalog), &config, black_box(&parsed));
        let sql = statements().context("the request cannot be planned")?;
        let joins = sql.iter().map(|sql| sql.text().matches("LATERAL").count());
        let joins: usize = joins.sum();
        rows.push(micros(&format!("{name}: parse"), "-", options, || {
            drop(black_box(call()));
        }));
        rows.push(micros(
            &format!("{name}: plan and SQL, {joins} joins"),
            goal,
            options,
            || drop(black_box(statements())),
        ));
    }
    let median = table::median(&mut loads);
    let least = loads.first().copied().unwrap_or(0.0);
    rows.push(vec![
        format!("catalog load, {} tables and views", catalog.tables.len()),
        format!("{least:.0} ms"),
        format!("{median:.0} ms"),
        "300 ms".to_owned(),
    ]);
    table::print(&rows);
    Ok(())
}

/// The catalog, and how long each load took in milliseconds.
async fn loaded(options: Options) -> Result<(Catalog, Vec<f64>)> {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    session.script(&schema::ddl()).await?;
    let load_options = LoadOptions::for_schemas(vec!["public".to_owned()]);
    let mut took = Vec::new();
    let mut catalog = load(&mut session, &load_options).await?;
    for _ in 0..options.rounds * LOADS {
        let began = Instant::now();
        catalog = load(&mut session, &load_options).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    anyhow::ensure!(catalog.tables.len() > TABLES, "the views are missing");
    session.close().await;
    Ok((catalog, took))
}

fn micros(name: &str, goal: &str, options: Options, run: impl Fn()) -> Vec<String> {
    let mut took: Vec<f64> = (0..options.rounds * BATCHES)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..BATCH {
                run();
            }
            began.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
        })
        .collect();
    let median = table::median(&mut took);
    let least = took.first().copied().unwrap_or(0.0);
    vec![
        name.to_owned(),
        format!("{least:.1} µs"),
        format!("{median:.1} µs"),
        goal.to_owned(),
    ]
}
