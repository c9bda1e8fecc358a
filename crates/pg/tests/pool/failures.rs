//! Does an error, a vanished caller or a dead server touch anybody else?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use kernel::{Clock, Tasks};
use pg::cluster::{Cluster, ClusterConfig};
use pg::{Error, Pool, PoolConfig, RequestTx, Session, SqlBuf};

use super::{code, fixture, make_quick, run, run_buf, scalar, small, tx, with};

/// Statements and how they end.
const ENDINGS: [(&str, Option<&str>); 4] = [
    ("SELECT 'fine'", None),
    ("SELECT no_such_column", Some("42703")),
    ("SELECT 1 / (SELECT 0)", Some("22012")),
    ("INSERT INTO children VALUES (1, 99)", Some("23503")),
];

#[tokio::test]
async fn an_error_stays_with_its_job_in_every_order() {
    let f = fixture(1).await;
    for (sql, _) in ENDINGS {
        make_quick(&f.pool, &SqlBuf::fixed(sql)).await;
    }
    for order in 0..256_usize {
        let pick = |n: u32| ENDINGS.get(order / 4_usize.pow(n) % 4).unwrap();
        let jobs = [pick(0), pick(1), pick(2), pick(3)];
        let [one, two, three, four] = jobs.map(|(sql, _)| run(&f.pool, sql));
        // Sent in this order on the only connection, before any answer.
        let answers = tokio::join!(one, two, three, four);
        let answers = [answers.0, answers.1, answers.2, answers.3];
        for (answer, (sql, ending)) in answers.iter().zip(jobs) {
            assert_eq!(code(answer), *ending, "{sql} in order {order}");
            if let Ok(rows) = answer {
                assert_eq!(rows.scalar(), Some("fine"));
            }
        }
    }
    assert_eq!(f.pool.stats().open, 1);
}

#[tokio::test]
async fn a_vanished_caller_leaves_the_connection_in_step() {
    let f = fixture(1).await;
    let slow = "SELECT 'slow' FROM pg_sleep(0.05)";
    for n in 0..20_u64 {
        let wait = Duration::from_millis(n * 3);
        let _ = tokio::time::timeout(wait, run(&f.pool, slow)).await;
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ").number(i64::try_from(n).unwrap());
        let rows = run_buf(&f.pool, sql).await.unwrap();
        assert_eq!(rows.scalar(), Some(n.to_string().as_str()));
    }
    assert_eq!(f.pool.stats().open, 1);
}

fn numbered(n: i64) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("SELECT ").number(n);
    sql
}

#[tokio::test]
async fn prepared_statements_are_bounded_on_the_server_too() {
    let f = fixture(1).await;
    for n in 0..600 {
        // The settings fail, so the server skips what stands behind them.
        let mut failing: RequestTx = tx("authenticated");
        failing.set("work_mem", "nonsense").push(numbered(n));
        assert_eq!(code(&failing.run(&f.pool).await), Some("22023"));
        let rows = run_buf(&f.pool, numbered(n)).await.unwrap();
        assert_eq!(rows.scalar(), Some(n.to_string().as_str()));
        let mut unsendable = numbered(-n);
        unsendable.lit("\0");
        assert!(run_buf(&f.pool, unsendable).await.is_err());
    }
    let kept = scalar(&f.pool, "SELECT count(*) FROM pg_prepared_statements").await;
    assert!(kept.parse::<u32>().unwrap() <= 258, "{kept}");
}

#[tokio::test]
async fn a_result_over_the_limit_is_refused_and_read_to_its_end() {
    let mut config = small(1);
    config.result_bytes_max = 100_000;
    let f = with(config).await;
    for sql in [
        "SELECT repeat('x', 200000)",
        "SELECT repeat('x', 20000000)",
        "SELECT repeat('x', 1000) FROM generate_series(1, 1000)",
        "SELECT repeat('x', 60000) FROM generate_series(1, 3)",
    ] {
        make_quick(&f.pool, &SqlBuf::fixed(sql)).await;
        let (before, large, after) = tokio::join!(
            run(&f.pool, "SELECT 'before'"),
            run(&f.pool, sql),
            run(&f.pool, "SELECT 'after'")
        );
        assert_eq!(before.unwrap().scalar(), Some("before"));
        let error = large.unwrap_err();
        assert!(
            matches!(error, Error::ResultTooLarge { limit: 100_000 }),
            "{error}"
        );
        assert_eq!(after.unwrap().scalar(), Some("after"));
    }
    let fits = scalar(&f.pool, "SELECT repeat('x', 90000)").await;
    assert_eq!(fits.len(), 90_000);
    assert_eq!(f.pool.stats().open, 1);
}

#[tokio::test]
async fn parameters_that_cannot_be_sent_fail_alone() {
    let f = fixture(1).await;
    let mut null = SqlBuf::new();
    null.lit("SELECT ").param("a\0b".to_owned()).lit("::text");
    let mut many = SqlBuf::new();
    many.lit("SELECT 1 WHERE '' IN (''");
    for _ in 0..70_000 {
        many.lit(", ").param(String::new());
    }
    many.lit(")");
    let (before, null_answer, many_answer, after) = tokio::join!(
        run(&f.pool, "SELECT 'before'"),
        run_buf(&f.pool, null.clone()),
        run_buf(&f.pool, many.clone()),
        run(&f.pool, "SELECT 'after'")
    );
    assert_eq!(before.unwrap().scalar(), Some("before"));
    assert_eq!(code(&null_answer), Some("22021"));
    assert!(matches!(many_answer.unwrap_err(), Error::Protocol(_)));
    assert_eq!(after.unwrap().scalar(), Some("after"));
    // In an open transaction as well.
    let (open, _) = tx("authenticated").open(&f.pool).await.unwrap();
    assert!(matches!(open.query(&many).await, Err(Error::Protocol(_))));
    let fine = open.query(&SqlBuf::fixed("SELECT 'fine'")).await.unwrap();
    assert_eq!(fine.scalar(), Some("fine"));
    open.finish().await.unwrap();
    assert_eq!(scalar(&f.pool, "SELECT 1").await, "1");
    assert_eq!(f.pool.stats().open, 1);
}

#[tokio::test]
async fn large_bodies_travel_both_ways_at_once() {
    let f = fixture(1).await;
    let echo = |text: String| {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ").param(text).lit("::text");
        sql
    };
    make_quick(&f.pool, &echo(String::new())).await;
    let mut jobs = tokio::task::JoinSet::new();
    for n in 0..6_u8 {
        let pool = f.pool.clone();
        let sql = echo(char::from(b'a' + n).to_string().repeat(5 << 20));
        jobs.spawn(async move {
            let rows = run_buf(&pool, sql.clone()).await.unwrap();
            assert_eq!(rows.scalar().map(str::len), Some(5 << 20));
            assert_eq!(rows.scalar(), sql.params().first().unwrap().as_deref());
        });
    }
    let all = async {
        while let Some(done) = jobs.join_next().await {
            done.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("reading and writing wait for one another");
}

#[tokio::test]
async fn a_terminated_connection_is_replaced() {
    let f = fixture(1).await;
    let mut session = f.db.session().await;
    let pid = scalar(&f.pool, "SELECT pg_backend_pid()").await;
    let (answer, ()) = tokio::join!(run(&f.pool, "SELECT pg_sleep(20)"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sql = "SELECT pg_terminate_backend($1::text::int)";
        session.query(sql, &[Some(pid.as_str())]).await.unwrap();
    });
    assert_eq!(code(&answer), Some("57P01"));
    let other = scalar(&f.pool, "SELECT pg_backend_pid()").await;
    assert_ne!(other, pid);
    session.close().await;
}

/// Inserts until told otherwise; returns what was acknowledged, and counts
/// what was not.
async fn insert(pool: Pool, first: i64, until: Instant) -> (Vec<i64>, usize) {
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    let mut n = first;
    while Instant::now() < until {
        n += 1;
        let mut sql = SqlBuf::new();
        sql.lit("INSERT INTO notes VALUES (").number(n).lit(")");
        let mut tx = tx("postgres_test");
        tx.push(sql);
        match tx.run(&pool).await {
            Ok(_) => acknowledged.push(n),
            Err(error) => {
                let expected = !matches!(error, Error::Timeout | Error::Busy);
                assert!(expected, "{error}");
                failed += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    (acknowledged, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_no_acknowledged_row() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = ClusterConfig::new(folder.path().join(".ferrobase"), Clock::system());
    config.state_folder = folder.path().join("state");
    config.port = None;
    config.shared_buffers_mib = 16;
    let tasks = Tasks::new();
    let cluster = Cluster::start(config, &tasks, |_| ()).await.unwrap();
    let target = cluster.target(Cluster::superuser(), "postgres");
    let mut session = Session::connect(&target).await.unwrap();
    let schema = "CREATE TABLE notes (id int PRIMARY KEY); CREATE ROLE postgres_test;
                  GRANT ALL ON notes TO postgres_test";
    session.script(schema).await.unwrap();
    drop(session);

    let pool = Pool::new(&target, &PoolConfig::default(), &tasks);
    let until = Instant::now() + Duration::from_secs(5);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..8 {
        writers.spawn(insert(pool.clone(), n * 1_000_000, until));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let pid = fs::read_to_string(cluster.info().data_dir.join("postmaster.pid")).unwrap();
    let killed = Command::new("kill")
        .args(["-9", pid.lines().next().unwrap()])
        .status();
    assert!(killed.unwrap().success());
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    while let Some(writer) = writers.join_next().await {
        let (mut rows, errors) = writer.unwrap();
        acknowledged.append(&mut rows);
        failed += errors;
    }
    assert!(failed > 0, "somebody was in flight");
    let mut sql = SqlBuf::new();
    sql.lit("SELECT count(*) FROM notes WHERE id = ANY (")
        .param(format!(
            "{{{}}}",
            acknowledged
                .iter()
                .map(i64::to_string)
                .collect::<Vec<_>>()
                .join(",")
        ))
        .lit("::int[])");
    let mut check = tx("postgres_test");
    check.push(sql);
    let results = check.run(&pool).await.unwrap();
    let found = results.first().unwrap().scalar().map(str::to_owned);
    assert_eq!(found, Some(acknowledged.len().to_string()));
    pool.close();
    cluster.stop().await;
}
