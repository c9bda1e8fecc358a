//! Several callers' parts in one open transaction, with statements of our own
//! before and after them.

use std::sync::Arc;

use pg::{OpenTx, Opening, RequestTx, SqlBuf};

use super::{Fixture, code, fixture, scalar, tx};

const COUNT: &str = "SELECT count(*) FROM notes";
const WHO: &str = "SELECT concat_ws(' ', current_user, current_setting('request.jwt.claims', true), \
                   current_setting('app.mark', true), current_setting('transaction_read_only'))";

fn part(role: &str, claims: &str, sql: &'static str) -> RequestTx {
    let mut tx = RequestTx::new(&Arc::from(role), claims, &[]);
    tx.push(SqlBuf::fixed(sql));
    tx
}

async fn begin(f: &Fixture) -> OpenTx {
    let begun = OpenTx::begin(&f.pool, Opening::default(), Vec::new()).await;
    begun.unwrap().0
}

async fn who(open: &mut OpenTx, role: &str, claims: &str) -> String {
    let rows = open.run(part(role, claims, WHO)).await.unwrap();
    rows[0].scalar().unwrap().to_owned()
}

#[tokio::test]
async fn each_part_runs_as_its_caller_and_finds_no_settings() {
    let f = fixture(1).await;
    let own = SqlBuf::fixed("SELECT current_user");
    let (mut open, results) = OpenTx::begin(&f.pool, Opening::default(), vec![own.clone()])
        .await
        .unwrap();
    assert_eq!(results[0].scalar(), Some("authenticator"));
    assert_eq!(
        who(&mut open, "authenticated", "{1}").await,
        "authenticated {1} off"
    );
    for leave in [
        "SELECT set_config('app.mark', 'x', true), set_config('request.jwt.claims', 'x', true)",
        "SELECT set_config('app.mark', 'x', false), set_config('role', 'none', false)",
        "SELECT set_config('search_path', 'nowhere', false)",
    ] {
        open.run(part("authenticated", "{2}", leave)).await.unwrap();
        assert_eq!(
            who(&mut open, "anon", "{3}").await.replace("  ", " "),
            "anon {3} off"
        );
        // Ours in between, then the caller again.
        let results = open.own(vec![own.clone(), own.clone()]).await.unwrap();
        assert_eq!(
            (results.len(), results[1].scalar()),
            (2, Some("authenticator"))
        );
        let after = open.query(&own).await.unwrap();
        assert_eq!(after.scalar(), Some("anon"));
    }
    open.finish().await.unwrap();
}

#[tokio::test]
async fn parts_are_undone_together() {
    let f = fixture(1).await;
    let mut open = begin(&f).await;
    let insert = part("authenticated", "{}", "INSERT INTO notes VALUES (1, 'a')");
    open.run(insert).await.unwrap();
    let failed = open.run(part("authenticated", "{}", "SELECT 1 / 0")).await;
    assert_eq!(code(&failed), Some("22012"));
    assert_eq!(
        code(&open.run(part("authenticated", "{}", "SELECT 1")).await),
        Some("25P02")
    );
    assert_eq!(code(&open.finish().await), Some("25P02"));
    assert_eq!(scalar(&f.pool, COUNT).await, "0");
}

#[tokio::test]
async fn a_part_that_only_reads_does_and_the_next_may_write() {
    let f = fixture(1).await;
    let mut open = begin(&f).await;
    for id in ["1", "2", "3"] {
        let mut insert = tx("authenticated");
        let sql = SqlBuf::fixed("INSERT INTO notes VALUES ($1, '')").bind(id.to_owned());
        insert.push(sql);
        open.run(insert).await.unwrap();
        let mut read = part("authenticated", "", COUNT);
        read.read_only();
        assert_eq!(open.run(read).await.unwrap()[0].scalar(), Some(id));
    }
    open.finish().await.unwrap();
    assert_eq!(scalar(&f.pool, COUNT).await, "3");
    let mut open = begin(&f).await;
    let mut write = part("authenticated", "", "DELETE FROM notes");
    write.read_only();
    assert_eq!(code(&open.run(write).await), Some("25006"));
    drop(open);
    let mut open = begin(&f).await;
    let mut sneaky = part(
        "authenticated",
        "",
        "SELECT set_config('transaction_read_only', 'off', true)",
    );
    sneaky.read_only();
    assert!(open.run(sneaky).await.is_err());
}

#[tokio::test]
async fn a_rollback_checks_what_a_commit_would_have_checked() {
    let f = fixture(1).await;
    for (sql, refusal) in [
        ("INSERT INTO notes VALUES (1, 'a')", None),
        ("INSERT INTO children VALUES (1, 99)", Some("23503")),
    ] {
        let opening = Opening {
            rollback: true,
            ..Opening::default()
        };
        let (mut open, _) = OpenTx::begin(&f.pool, opening, Vec::new()).await.unwrap();
        open.run(part("authenticated", "{}", sql)).await.unwrap();
        assert_eq!(code(&open.finish().await), refusal);
        assert_eq!(scalar(&f.pool, COUNT).await, "0");
    }
}
