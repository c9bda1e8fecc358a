//! Does a caller ever see another one's role, claims or headers?
//!
//! What a function sets with `set_config(…, false)` or `SET SESSION` outlives
//! its transaction: Postgres keeps it for the connection. Behind transactions
//! that may write, and so call any function, and behind those held open, the
//! pool therefore sends a RESET. Behind reads it does not, since that would cost every request a statement (PostgREST never does); what protects
//! callers there is that every request sets role, claims and whatever else it
//! reads with `is_local`, which hides what lies below. Two tests pin this down.

use std::sync::Arc;
use std::time::Duration;

use kernel::Rng;
use pg::{Isolation, Pool, PoolConfig, RequestTx, Row, SqlBuf};

use super::{fixture, scalar, tx, with};

const PROBE: &str = "SELECT current_user::text, \
    current_setting('request.jwt.claims', true), current_setting('request.headers', true)";

/// What a careless or hostile function may do.
const LEAK: &str = "SELECT set_config('request.jwt.claims', 'leak', false), \
    set_config('request.headers', 'leak', false), set_config('role', 'service_role', false)";

const ROLES: [&str; 3] = ["anon", "authenticated", "service_role"];
const CALLERS: usize = 100;
const REQUESTS: usize = 30;

struct Who {
    role: &'static str,
    claims: String,
    headers: String,
}

impl Who {
    fn tx(&self) -> RequestTx {
        let mut tx = RequestTx::new(&Arc::from(self.role), &self.claims, &[]);
        tx.read_only();
        tx.set("request.headers", self.headers.as_str());
        tx.push(SqlBuf::fixed(PROBE));
        tx
    }

    fn check(&self, row: Row<'_>) {
        let seen = [0, 1, 2].map(|i| row.get(i).unwrap_or("NULL"));
        assert_eq!(seen, [self.role, &self.claims, &self.headers]);
    }

    async fn request(&self, pool: &Pool, rng: &Rng) {
        let [kind, micros] = rng.bytes();
        let mut tx = self.tx();
        let fails = match kind % 8 {
            0 => {
                tx.push(SqlBuf::fixed("SELECT 1 / 0"));
                true
            }
            1 => {
                tx.push(SqlBuf::fixed("SELECT no_such_column"));
                true
            }
            2 => {
                tx.rollback();
                false
            }
            3 => {
                tx.push(SqlBuf::fixed(LEAK));
                false
            }
            4 => {
                tx.isolation(Isolation::Serializable);
                false
            }
            5 => {
                let wait = Duration::from_micros(u64::from(micros) * 16);
                let _ = tokio::time::timeout(wait, tx.run(pool)).await;
                return;
            }
            6 => return self.open(tx, pool, micros).await,
            _ => false,
        };
        match tx.run(pool).await {
            Ok(results) => {
                assert!(!fails);
                self.check(results.first().unwrap().first().unwrap());
            }
            Err(error) => assert!(fails && error.db().is_some(), "{error}"),
        }
    }

    /// Half of these transactions are left open by a caller who is gone.
    async fn open(&self, tx: RequestTx, pool: &Pool, random: u8) {
        let (open, results) = tx.open(pool).await.unwrap();
        self.check(results.first().unwrap().first().unwrap());
        let again = open.query(&SqlBuf::fixed(PROBE)).await.unwrap();
        self.check(again.first().unwrap());
        if random.is_multiple_of(2) {
            open.query(&SqlBuf::fixed(LEAK)).await.unwrap();
            open.finish().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_see_only_themselves() {
    let config = PoolConfig {
        connections_max: 5,
        quick_connections: 2,
        acquire_limit: Duration::from_secs(60),
        ..PoolConfig::default()
    };
    let f = with(config).await;
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..CALLERS {
        let pool = f.pool.clone();
        let who = Who {
            role: ROLES.get(n % ROLES.len()).unwrap(),
            claims: format!(r#"{{"sub":"caller-{n}"}}"#),
            headers: format!(r#"{{"x":"headers-{n}"}}"#),
        };
        callers.spawn(async move {
            let rng = Rng::seeded(u64::try_from(n).unwrap());
            for _ in 0..REQUESTS {
                who.request(&pool, &rng).await;
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    assert!(f.pool.stats().open <= 5);
    f.tasks.stop().await;
}

/// What the connection itself has, once the transaction on it is over.
async fn below(pool: &Pool) -> Vec<String> {
    let (open, _) = tx("anon").open(pool).await.unwrap();
    open.query(&SqlBuf::fixed("ROLLBACK")).await.unwrap();
    let rows = open.query(&SqlBuf::fixed(PROBE)).await.unwrap();
    let row = rows.first().unwrap();
    (0..3)
        .map(|i| row.get(i).unwrap_or_default().to_owned())
        .collect()
}

/// Would catch a setting of ours that is not local to its transaction: the
/// next request's own settings hide it from the test above.
#[tokio::test]
async fn nothing_of_ours_outlives_its_transaction() {
    let f = fixture(1).await;
    let clean = ["authenticator", "", ""];
    assert_eq!(below(&f.pool).await, clean);
    let who = Who {
        role: "service_role",
        claims: "{}".to_owned(),
        headers: "{}".to_owned(),
    };
    for kind in 0..6 {
        let mut tx = who.tx();
        // A reset behind it would hide what we want to see.
        tx.keeps_settings();
        match kind {
            1 => _ = tx.rollback(),
            2 => _ = tx.isolation(Isolation::Serializable),
            3 => _ = tx.push(SqlBuf::fixed("SELECT 1 / 0")),
            4 => _ = tx.push(SqlBuf::fixed("SELECT pg_sleep(0.05)")),
            _ => {}
        }
        if kind == 4 {
            let wait = Duration::from_millis(10);
            assert!(tokio::time::timeout(wait, tx.run(&f.pool)).await.is_err());
        } else if kind == 5 {
            tx.open(&f.pool).await.unwrap().0.finish().await.unwrap();
        } else {
            assert_eq!(tx.run(&f.pool).await.is_err(), kind == 3);
        }
        assert_eq!(below(&f.pool).await, clean, "ending {kind}");
    }
    assert_eq!(f.pool.stats().open, 1);
}

/// `auth.uid()` used to believe older settings, such as
/// `request.jwt.claim.sub`, which requests do not set and so would not hide.
#[tokio::test]
async fn no_setting_outlives_its_transaction_unless_promised() {
    const MARK: &str = "SELECT set_config('request.jwt.claim.sub', 'leak', false)";
    const LOOK: &str = "SELECT coalesce(current_setting('request.jwt.claim.sub', true), '')";
    let f = fixture(1).await;
    for read_only in [false, true] {
        let mut leak = tx("anon");
        if read_only {
            leak.read_only();
        }
        leak.push(SqlBuf::fixed(MARK));
        leak.run(&f.pool).await.unwrap();
        assert_eq!(scalar(&f.pool, LOOK).await, "", "{read_only}");
    }

    let (open, _) = tx("anon").open(&f.pool).await.unwrap();
    open.query(&SqlBuf::fixed(MARK)).await.unwrap();
    open.finish().await.unwrap();
    assert_eq!(scalar(&f.pool, LOOK).await, "");

    let mut promised = tx("anon");
    promised.keeps_settings().push(SqlBuf::fixed(MARK));
    promised.run(&f.pool).await.unwrap();
    assert_eq!(
        scalar(&f.pool, LOOK).await,
        "leak",
        "what the promise is for"
    );
    assert_eq!(f.pool.stats().open, 1);
}

#[tokio::test]
async fn the_role_none_is_not_the_login_role() {
    let f = fixture(1).await;
    for role in ["none", "", "nobody-has-this-name"] {
        let mut tx = tx(role);
        tx.push(SqlBuf::fixed("SELECT current_user"));
        let error = tx.run(&f.pool).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("22023"), "{role}");
    }
}
