//! What commits, what does not, and what is told about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pg::{Isolation, RequestTx, SqlBuf};

use super::{Fixture, code, fixture, run, scalar, tx};

const INSERT: &str = "INSERT INTO notes VALUES (1, 'a') RETURNING id";
const COUNT: &str = "SELECT count(*) FROM notes";

/// Fails only when it commits.
const ORPHAN: &str = "INSERT INTO children VALUES (1, 99)";

fn insert() -> RequestTx {
    let mut tx = tx("authenticated");
    tx.push(SqlBuf::fixed(INSERT));
    tx
}

#[tokio::test]
async fn a_rollback_returns_rows_and_leaves_nothing() {
    let f = fixture(1).await;
    let mut tx = insert();
    tx.rollback();
    let results = tx.run(&f.pool).await.unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results.first().unwrap().scalar(), Some("1"));
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
    // Also when a statement failed before.
    let mut tx = insert();
    tx.rollback().push(SqlBuf::fixed("SELECT 1 / 0"));
    assert_eq!(code(&tx.run(&f.pool).await), Some("22012"));
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
}

#[tokio::test]
async fn read_only_refuses_writes() {
    let f = fixture(1).await;
    let mut tx = insert();
    tx.read_only();
    assert_eq!(code(&tx.run(&f.pool).await), Some("25006"));
    let mut tx = insert();
    tx.run(&f.pool).await.unwrap();
    tx = super::tx("authenticated");
    tx.read_only().push(SqlBuf::fixed(
        "SELECT set_config('transaction_read_only', 'off', true)",
    ));
    assert!(tx.run(&f.pool).await.is_err());
}

#[tokio::test]
async fn what_fails_at_commit_is_reported_and_undone() {
    let f = fixture(1).await;
    for isolation in [None, Some(Isolation::RepeatableRead)] {
        let mut tx = insert();
        tx.push(SqlBuf::fixed(ORPHAN));
        if let Some(isolation) = isolation {
            tx.isolation(isolation);
        }
        assert_eq!(code(&tx.run(&f.pool).await), Some("23503"));
        assert_eq!(scalar(&f.pool, COUNT).await, "0");
    }
    let (open, _) = insert().open(&f.pool).await.unwrap();
    open.query(&SqlBuf::fixed(ORPHAN)).await.unwrap();
    assert_eq!(code(&open.finish().await), Some("23503"));
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
}

#[tokio::test]
async fn a_failed_open_transaction_does_not_finish_as_if_committed() {
    let f = fixture(1).await;
    let (open, _) = insert().open(&f.pool).await.unwrap();
    let failed = open.query(&SqlBuf::fixed("SELECT 1 / 0")).await;
    assert_eq!(code(&failed), Some("22012"));
    assert_eq!(code(&open.finish().await), Some("25P02"));
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
}

#[tokio::test]
async fn an_open_transaction_ends_as_its_holder_says() {
    let f = fixture(1).await;
    let (open, results) = insert().open(&f.pool).await.unwrap();
    assert_eq!(results.first().unwrap().scalar(), Some("1"));
    drop(open);
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
    let (open, _) = insert().open(&f.pool).await.unwrap();
    open.rollback().await.unwrap();
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
    let mut tx = insert();
    tx.rollback();
    let (open, _) = tx.open(&f.pool).await.unwrap();
    open.finish().await.unwrap();
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
    let (open, _) = insert().open(&f.pool).await.unwrap();
    open.finish().await.unwrap();
    assert_eq!(scalar(&f.pool, COUNT).await, "1");
    // One that could not be opened leaves a connection that works.
    let failed = insert().open(&f.pool).await;
    assert_eq!(code(&failed), Some("23505"));
    assert_eq!(scalar(&f.pool, COUNT).await, "1");
    assert_eq!(f.pool.stats().open, 1);
}

#[tokio::test]
async fn a_holder_who_vanishes_in_a_slow_statement_delays_nobody() {
    let f = fixture(2).await;
    let (open, _) = insert().open(&f.pool).await.unwrap();
    let slow = SqlBuf::fixed("SELECT pg_sleep(1.5)");
    let wait = Duration::from_millis(50);
    let gone = tokio::time::timeout(wait, open.query(&slow)).await;
    assert!(gone.is_err());
    drop(open);
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(scalar(&f.pool, COUNT).await, "0");
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn serializable_is_serializable() {
    let f = fixture(2).await;
    for (level, name) in [
        (Isolation::Serializable, "serializable"),
        (Isolation::RepeatableRead, "repeatable read"),
    ] {
        let mut tx = tx("authenticated");
        tx.isolation(level)
            .push(SqlBuf::fixed("SHOW transaction_isolation"));
        let results = tx.run(&f.pool).await.unwrap();
        assert_eq!(results.first().unwrap().scalar(), Some(name));
    }
    // Write skew: each counts the rows and adds one that the other misses.
    let skew = |id: i64| {
        let mut sql = SqlBuf::new();
        sql.lit("INSERT INTO notes SELECT ").number(id);
        sql.lit(", count(*)::text FROM notes");
        let mut tx = tx("authenticated");
        tx.isolation(Isolation::Serializable).push(sql);
        tx
    };
    let (one, _) = skew(1).open(&f.pool).await.unwrap();
    let (two, _) = skew(2).open(&f.pool).await.unwrap();
    one.finish().await.unwrap();
    assert_eq!(code(&two.finish().await), Some("40001"));
    assert_eq!(scalar(&f.pool, COUNT).await, "1");
}

/// Prepares the statement on as many connections as there are.
async fn prepare_everywhere(f: &Fixture, sql: &'static str, connections: usize) {
    let mut jobs = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let pool = f.pool.clone();
        jobs.spawn(async move { run(&pool, sql).await.map(drop) });
    }
    while let Some(done) = jobs.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(f.pool.stats().open, connections);
}

#[tokio::test]
async fn a_changed_table_goes_unnoticed() {
    const ALL: &str = "SELECT notes.* FROM notes RIGHT JOIN pg_sleep(0.05) ON true";
    let f = fixture(3).await;
    let mut session = f.db.session().await;
    prepare_everywhere(&f, ALL, 3).await;
    for (change, columns) in [
        ("ALTER TABLE notes ADD COLUMN c int", 3),
        ("ALTER TABLE notes ALTER COLUMN c TYPE text", 3),
        ("ALTER TABLE notes DROP COLUMN c", 2),
    ] {
        session.script(change).await.unwrap();
        for _ in 0..6 {
            let rows = run(&f.pool, ALL).await.unwrap();
            assert_eq!(rows.columns().len(), columns, "{change}");
        }
        prepare_everywhere(&f, ALL, 3).await;
    }
    session
        .script("ALTER TABLE notes ADD COLUMN d int")
        .await
        .unwrap();
    for _ in 0..6 {
        let mut tx = RequestTx::new(&Arc::from("authenticated"), "{}", &[]);
        tx.push(SqlBuf::fixed(ALL));
        let (open, results) = tx.open(&f.pool).await.unwrap();
        assert_eq!(results.first().unwrap().columns().len(), 3);
        open.finish().await.unwrap();
    }
    session.close().await;
}
