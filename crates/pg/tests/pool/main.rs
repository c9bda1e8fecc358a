//! The pool and `RequestTx` against a real server, as an adversary would use
//! them. [`leaks`]: does a caller ever see another one? [`failures`]: does an
//! error, a vanished caller or a dead server touch anybody else? [`queueing`]:
//! does anybody wait who need not, or longer than the limit?
//! [`together`]: are the parts of one transaction apart but for their end?

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod failures;
mod leaks;
mod queueing;
mod together;
mod transactions;

use std::sync::Arc;

use kernel::Tasks;
use pg::testing::TestDb;
use pg::{Error, Pool, PoolConfig, RequestTx, Rows, SqlBuf};

/// A transaction without claims.
fn tx(role: &str) -> RequestTx {
    RequestTx::new(&Arc::from(role), "{}", &[])
}

async fn run(pool: &Pool, sql: &'static str) -> Result<Rows, Error> {
    run_buf(pool, SqlBuf::fixed(sql)).await
}

async fn run_buf(pool: &Pool, sql: SqlBuf) -> Result<Rows, Error> {
    let mut tx = tx("authenticated");
    // Reads share connections sooner than writes.
    if !sql.text().starts_with("INSERT") {
        tx.read_only();
    }
    tx.push(sql);
    Ok(tx.run(pool).await?.pop().unwrap())
}

async fn scalar(pool: &Pool, sql: &'static str) -> String {
    let rows = run(pool, sql).await.unwrap();
    rows.scalar().unwrap_or_default().to_owned()
}

/// Runs a statement often enough for it to count as quick.
async fn make_quick(pool: &Pool, sql: &SqlBuf) {
    for _ in 0..8 {
        let _ = run_buf(pool, sql.clone()).await;
    }
}

fn code<T>(result: &Result<T, Error>) -> Option<&str> {
    result.as_ref().err().and_then(Error::sqlstate)
}

/// A pool of this many connections, which quick jobs share from the start.
fn small(connections: usize) -> PoolConfig {
    PoolConfig {
        connections_max: connections,
        quick_connections: 1,
        ..PoolConfig::default()
    }
}

struct Fixture {
    tasks: Tasks,
    pool: Pool,
    db: TestDb,
}

/// A database with some tables, and a pool of this many connections.
async fn fixture(connections: usize) -> Fixture {
    with(small(connections)).await
}

async fn with(config: PoolConfig) -> Fixture {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    session
        .script(
            "CREATE TABLE public.notes (id int PRIMARY KEY, body text);
             CREATE TABLE public.children (
                 id int PRIMARY KEY,
                 note int REFERENCES public.notes DEFERRABLE INITIALLY DEFERRED);
             GRANT ALL ON public.notes, public.children TO authenticated;",
        )
        .await
        .unwrap();
    session.close().await;
    let tasks = Tasks::new();
    let pool = db.pool_with(&config, &tasks);
    Fixture { tasks, pool, db }
}
