//! Who waits, for how long, and who need not.

use std::time::{Duration, Instant};

use pg::{Error, PoolConfig, SqlBuf};

use super::{fixture, make_quick, run, run_buf, scalar, small, with};

#[tokio::test]
async fn waiting_for_a_connection_ends() {
    let mut config = small(1);
    config.acquire_limit = Duration::from_millis(150);
    let f = with(config).await;
    let pool = f.pool.clone();
    let busy = f.tasks.spawn("slow", async move {
        run(&pool, "SELECT pg_sleep(1)").await.map(drop)
    });
    while f.pool.stats().busy == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    let error = run(&f.pool, "SELECT 1").await.unwrap_err();
    assert!(matches!(error, Error::Timeout), "{error}");
    assert!(start.elapsed() < Duration::from_millis(800));
    busy.await.unwrap().unwrap();
    assert_eq!(scalar(&f.pool, "SELECT 7").await, "7");
}

#[tokio::test]
async fn the_queue_has_an_end() {
    let f = fixture(1).await;
    let mut jobs = tokio::task::JoinSet::new();
    for n in 0..5000 {
        let pool = f.pool.clone();
        jobs.spawn(async move {
            let sql = if n == 0 {
                "SELECT pg_sleep(0.5)"
            } else {
                "SELECT 1"
            };
            run(&pool, sql).await.map(drop)
        });
    }
    let (mut busy, mut done) = (0, 0);
    while let Some(job) = jobs.join_next().await {
        match job.unwrap() {
            Ok(()) => done += 1,
            Err(Error::Busy) => busy += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((done, busy), (4096, 5000 - 4096));
}

#[tokio::test]
async fn callers_who_left_the_queue_are_skipped() {
    let f = fixture(1).await;
    let pool = f.pool.clone();
    let slow = f.tasks.spawn("slow", async move {
        scalar(&pool, "SELECT 1 FROM pg_sleep(0.3)").await
    });
    while f.pool.stats().busy == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..20 {
        let wait = Duration::from_millis(5);
        let insert = run(&f.pool, "INSERT INTO notes VALUES (1)");
        assert!(tokio::time::timeout(wait, insert).await.is_err());
    }
    assert_eq!(slow.await.unwrap(), "1");
    assert_eq!(scalar(&f.pool, "SELECT count(*) FROM notes").await, "0");
    assert_eq!(f.pool.stats().waiting, 0);
}

#[tokio::test]
async fn a_slow_statement_delays_no_quick_one() {
    let f = fixture(3).await;
    let quick = SqlBuf::fixed("SELECT 'quick'");
    // Quick as far as anybody knows, until its parameter is large.
    let nap = |seconds: &str| {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT pg_sleep(").param(seconds.to_owned());
        sql.lit("::float8)");
        sql
    };
    make_quick(&f.pool, &quick).await;
    make_quick(&f.pool, &nap("0")).await;
    let pool = f.pool.clone();
    let sleeper = nap("2");
    let slow = f.tasks.spawn(
        "slow",
        async move { run_buf(&pool, sleeper).await.map(drop) },
    );
    while f.pool.stats().busy == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let start = Instant::now();
    let mut jobs = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (pool, quick) = (f.pool.clone(), quick.clone());
        jobs.spawn(async move { run_buf(&pool, quick).await.map(drop) });
    }
    while let Some(job) = jobs.join_next().await {
        job.unwrap().unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
    slow.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_write_that_waits_for_a_lock_delays_no_other_table() {
    let mut config = small(2);
    config.write_connections = 1;
    let f = with(config).await;
    let insert = |text: &'static str, id: i32| {
        let mut sql = SqlBuf::new();
        sql.lit(text).param(id.to_string()).lit(")");
        sql
    };
    let note = |id| insert("INSERT INTO notes VALUES (", id);
    let child = |id| insert("INSERT INTO children VALUES (", id);
    for id in 0..8 {
        run_buf(&f.pool, note(id)).await.unwrap();
        run_buf(&f.pool, child(id)).await.unwrap();
    }
    let mut holder = f.db.session().await;
    holder
        .script("BEGIN; LOCK TABLE notes IN SHARE ROW EXCLUSIVE MODE")
        .await
        .unwrap();
    let pool = f.pool.clone();
    let stuck = note(100);
    let stuck = f.tasks.spawn(
        "stuck",
        async move { run_buf(&pool, stuck).await.map(drop) },
    );
    while f.pool.stats().busy == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Longer than a connection may take without looking stuck.
    tokio::time::sleep(Duration::from_millis(60)).await;
    let mut jobs = tokio::task::JoinSet::new();
    for id in 100..120 {
        let (pool, child) = (f.pool.clone(), child(id));
        jobs.spawn(async move { run_buf(&pool, child).await.map(drop) });
    }
    while let Some(job) = jobs.join_next().await {
        job.unwrap().unwrap();
    }
    assert!(!stuck.is_finished(), "the lock is still held");
    holder.script("COMMIT").await.unwrap();
    stuck.await.unwrap().unwrap();
    let children = scalar(&f.pool, "SELECT count(*) FROM children").await;
    assert_eq!(children, "28");
}

#[tokio::test]
async fn an_error_among_writes_that_share_a_connection_is_its_own() {
    let mut config = small(1);
    config.write_connections = 1;
    let f = with(config).await;
    let note = |id: i32| {
        let mut sql = SqlBuf::new();
        sql.lit("INSERT INTO notes VALUES (").param(id.to_string());
        sql.lit(")");
        sql
    };
    for id in 0..8 {
        run_buf(&f.pool, note(id)).await.unwrap();
    }
    let mut jobs = tokio::task::JoinSet::new();
    for id in 8..208 {
        let pool = f.pool.clone();
        // Every fifth is there already.
        let note = note(if id % 5 == 0 { 0 } else { id });
        jobs.spawn(async move { (id % 5 == 0, run_buf(&pool, note).await.map(drop)) });
    }
    while let Some(job) = jobs.join_next().await {
        let (twice, result) = job.unwrap();
        let expected = if twice { Some("23505") } else { None };
        assert_eq!(super::code(&result), expected);
    }
    let notes = scalar(&f.pool, "SELECT count(*) FROM notes").await;
    assert_eq!(notes, "168");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_statement_gets_its_turn_among_quick_ones() {
    let f = fixture(1).await;
    let quick = SqlBuf::fixed("SELECT 'quick'");
    make_quick(&f.pool, &quick).await;
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (pool, quick) = (f.pool.clone(), quick.clone());
        loops.spawn(async move {
            loop {
                run_buf(&pool, quick.clone()).await.unwrap();
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    assert_eq!(
        scalar(&f.pool, "SELECT 'never seen before'").await,
        "never seen before"
    );
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    loops.shutdown().await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_opened_again() {
    let mut config: PoolConfig = small(2);
    config.idle_limit = Duration::from_millis(10);
    let f = with(config).await;
    assert_eq!(scalar(&f.pool, "SELECT 1").await, "1");
    assert_eq!(f.pool.stats().open, 1);
    let start = Instant::now();
    while f.pool.stats().open > 0 {
        assert!(start.elapsed() < Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scalar(&f.pool, "SELECT 2").await, "2");
}

#[tokio::test]
async fn stopping_the_tasks_ends_the_pool() {
    let f = fixture(2).await;
    assert_eq!(scalar(&f.pool, "SELECT 1").await, "1");
    let stop = tokio::time::timeout(Duration::from_secs(5), f.tasks.stop()).await;
    assert!(stop.is_ok());
    let error = run(&f.pool, "SELECT 1").await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
}
