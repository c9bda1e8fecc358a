//! One dedicated connection, and what `SqlBuf` sends through it, against a
//! real server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use kernel::Rng;
use pg::testing::TestDb;
use pg::{Error, Session, SqlBuf};

#[tokio::test]
async fn a_script_returns_the_rows_of_each_statement_or_undoes_all() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    let results = session
        .script("SELECT 1 AS a; CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2); SELECT NULL, 'x'")
        .await
        .unwrap();
    assert_eq!(results.len(), 4);
    let tags: Vec<_> = results.iter().map(|rows| rows.tag().to_owned()).collect();
    assert_eq!(tags, ["SELECT 1", "CREATE TABLE", "INSERT 0 2", "SELECT 1"]);
    let last = results.last().unwrap().first().unwrap();
    assert_eq!(
        (last.get(0), last.get(1), last.get(2)),
        (None, Some("x"), None)
    );

    let error = session
        .script("INSERT INTO t VALUES (3); SELECT 1 / 0; INSERT INTO t VALUES (4)")
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"));
    let count = session.query("SELECT count(*) FROM t", &[]).await.unwrap();
    assert_eq!(count.scalar(), Some("2"));
    session.close().await;
}

#[tokio::test]
async fn errors_leave_the_session_in_step() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    let copy = session.script("CREATE TABLE t (); COPY t FROM STDIN").await;
    assert_eq!(copy.unwrap_err().sqlstate(), Some("57014"));
    for sql in ["SELECT", "SELECT nothing", "SELECT 1 / 0", "nonsense"] {
        let _ = session.query(sql, &[]).await;
        let _ = session.script(sql).await;
        let fine = session
            .query("SELECT $1::text", &[Some(sql)])
            .await
            .unwrap();
        assert_eq!(fine.scalar(), Some(sql));
    }
    let error = session
        .query("SELECT $1::text", &[Some("a\0b")])
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("22021"));
    let error = session.script("SELECT '\0'").await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
    let large = "x".repeat(5 << 20);
    let fine = session.query("SELECT $1::text", &[Some(&large)]).await;
    assert_eq!(fine.unwrap().scalar().map(str::len), Some(large.len()));
    session.close().await;
}

#[tokio::test]
async fn notices_and_notifications_are_kept() {
    let db = TestDb::empty().await;
    let (mut one, mut two) = (db.session().await, db.session().await);
    one.script("LISTEN news").await.unwrap();
    two.script("NOTIFY news, 'first'").await.unwrap();
    two.script("DO $$ BEGIN RAISE NOTICE 'look'; END $$; NOTIFY news, 'second'")
        .await
        .unwrap();
    assert_eq!(two.take_notices(), ["look"]);
    // Arrives in the middle of an answer, or while we wait.
    one.query("SELECT 1", &[]).await.unwrap();
    for expected in ["first", "second"] {
        let wait = Duration::from_secs(5);
        let heard = tokio::time::timeout(wait, one.notification()).await;
        assert_eq!(heard.unwrap().unwrap().payload, expected);
    }
    // Waiting may be given up and taken up again.
    let wait = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(wait, one.notification())
            .await
            .is_err()
    );
    two.script("NOTIFY news, 'third'").await.unwrap();
    assert_eq!(one.notification().await.unwrap().payload, "third");
}

#[tokio::test]
async fn a_login_that_is_refused_says_why() {
    let db = TestDb::empty().await;
    let error = Session::connect(&db.target_as("nobody-has-this-name"))
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("28000"));
    let error = Session::connect(&db.target().with_database("none"))
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("3D000"));
    let session = db.session().await;
    assert!(session.server_version() >= 140_000);
    assert_eq!(session.parameter("client_encoding"), Some("UTF8"));
    session.close().await;
}

#[tokio::test]
async fn a_terminated_session_says_so() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    let error = session
        .script("SELECT pg_terminate_backend(pg_backend_pid())")
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("57P01"));
    assert!(session.script("SELECT 1").await.is_err());
}

/// Text that hurts: quotes, backslashes, comments, dollars, many bytes.
const PIECES: [&str; 24] = [
    "'", "\"", "\\", "''", "\\'", "$1", "$$", "--", "/*", "*/", ";", "\n", "\r", "\t", "\u{1}",
    "E'", "U&'", "é", "😀", "\u{fffd}", "\u{202e}", "a", " ", "%",
];

fn nasty(rng: &Rng) -> String {
    let [length] = rng.bytes::<1>();
    (0..length % 14)
        .map(|_| {
            let [pick] = rng.bytes::<1>();
            *PIECES.get(usize::from(pick) % PIECES.len()).unwrap()
        })
        .collect()
}

#[tokio::test]
async fn whatever_the_text_it_comes_back_as_it_went() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    let rng = Rng::seeded(15);
    for strict in ["on", "off"] {
        session
            .query(
                "SELECT set_config('standard_conforming_strings', $1, false)",
                &[Some(strict)],
            )
            .await
            .unwrap();
        for _ in 0..500 {
            let (text, name) = (nasty(&rng), nasty(&rng));
            // A name has 1 to 63 bytes.
            let mut name = format!("n{name}");
            while name.len() > 63 {
                name.pop();
            }
            let mut sql = SqlBuf::new();
            sql.lit("SELECT ")
                .text_literal(&text)
                .lit("::text AS ")
                .ident(&name);
            sql.lit(", ")
                .param(text.clone())
                .lit("::text, t.* FROM (SELECT ");
            sql.param(name.clone()).lit("::text AS ").ident(&name);
            sql.lit(") AS t");
            let rows = session.query_buf(&sql).await.unwrap();
            let row = rows.first().unwrap();
            let seen = [row.get(0), row.get(1), row.get(2)];
            assert_eq!(seen, [Some(text.as_str()), Some(&text), Some(&name)]);
            let columns: Vec<_> = rows.columns().iter().map(|c| c.name.as_str()).collect();
            assert_eq!(columns, [name.as_str(), "text", &name]);
        }
    }
    session.close().await;
}

#[test]
fn a_parameter_never_enters_the_text() {
    let rng = Rng::seeded(7);
    for _ in 0..1000 {
        let secret = format!("<{}>", nasty(&rng));
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ").param(secret.clone());
        sql.lit(", ").param(None).lit(", ").param(secret.clone());
        assert_eq!(sql.text(), "SELECT $1, $2, $3");
        assert_eq!(sql.params(), [Some(secret.clone()), None, Some(secret)]);
    }
}

#[test]
fn a_null_byte_never_enters_the_text() {
    let mut sql = SqlBuf::new();
    sql.ident("a\0\"b")
        .lit(" ")
        .text_literal("c\0'd")
        .lit(" ")
        .text_literal("e\0\\'f");
    assert_eq!(sql.text(), r#""a""b" 'c''d'  E'e\\''f'"#);
}
