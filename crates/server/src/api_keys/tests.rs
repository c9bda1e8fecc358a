//! Keys in memory against the tables they come from.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use kernel::{Clock, Tasks};
use pg::testing::TestDb;
use pg::{Session, SqlBuf};

use super::*;

/// A change is seen within a second; a busy machine gets more.
const SEEN_WAIT: Duration = Duration::from_secs(10);

struct Fixture {
    db: TestDb,
    session: Session,
    keys: Arc<ApiKeys>,
    clock: Clock,
    tasks: Tasks,
}

impl Fixture {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let session = db.session().await;
        let clock = Clock::manual(Clock::system().now());
        let fixture = Self {
            session,
            keys: ApiKeys::new(clock.clone()),
            clock,
            tasks: Tasks::new(),
            db,
        };
        let target = fixture.db.target_as("supabase_auth_admin");
        let follower = Follower::new(Arc::clone(&fixture.keys), target, true);
        start(follower, &fixture.tasks).await;
        fixture
    }

    async fn one(&mut self, sql: &'static str, params: &[Option<&str>]) -> String {
        let rows = self.session.query(sql, params).await.unwrap();
        rows.scalar().unwrap_or_default().to_owned()
    }

    async fn create(&mut self, name: &str) -> String {
        let sql = "SELECT secret FROM ferrobase.api_key_create($1, 'anon', NULL, '{}', '{rest}', \
                   false, NULL, interval '1 hour', NULL)";
        self.one(sql, &[Some(name)]).await
    }

    async fn until(&self, what: &str, is_so: impl Fn(&ApiKeys) -> bool) {
        let seen = async {
            while !is_so(&self.keys) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let seen = tokio::time::timeout(SEEN_WAIT, seen).await;
        assert!(seen.is_ok(), "not in time: {what}");
    }
}

#[tokio::test]
async fn memory_follows_the_tables_and_the_clock() {
    let mut fixture = Fixture::new().await;
    let (one, two) = (fixture.create("one").await, fixture.create("two").await);
    fixture
        .until("both are known", |keys| {
            keys.find(&one).is_some() && keys.find(&two).is_some()
        })
        .await;
    let (hash, key) = fixture.keys.find(&one).unwrap();
    assert_eq!(hash, sha256(&one));
    assert!(one.starts_with(&*key.prefix) && key.prefix.starts_with(PREFIX));
    assert!(key.has("rest") && !key.has("storage"));
    assert!(fixture.keys.find(&format!("{one}0")).is_none());

    let revoke = "UPDATE ferrobase.api_keys SET revoked_at = now() WHERE name = 'one'";
    fixture.one(revoke, &[]).await;
    fixture
        .until("one is gone", |keys| keys.find(&one).is_none())
        .await;
    assert!(fixture.keys.find(&two).is_some());
    // Without another word from the database.
    fixture.clock.advance(Duration::from_secs(3601));
    assert!(fixture.keys.find(&two).is_none());
}

#[tokio::test]
async fn a_use_is_written_down_at_the_latest_when_we_go() {
    let mut fixture = Fixture::new().await;
    let key = fixture.create("used").await;
    fixture
        .until("it is known", |keys| keys.find(&key).is_some())
        .await;
    let used = "SELECT extract(epoch FROM last_used_at)::bigint::text \
                FROM ferrobase.api_key_secrets WHERE prefix = $1";
    let prefix = fixture.keys.find(&key).unwrap().1.prefix.to_string();
    fixture.clock.advance(Duration::from_secs(60));
    assert!(fixture.keys.find(&key).is_some());
    let now = fixture.clock.now().as_second().to_string();
    fixture.tasks.stop().await;
    assert_eq!(fixture.one(used, &[Some(&prefix)]).await, now);
    let text = "SELECT count(*)::text FROM ferrobase.api_key_secrets AS s \
                WHERE s::text LIKE '%' || $1 || '%'";
    let secret = key.rsplit_once('_').unwrap().1;
    assert_eq!(fixture.one(text, &[Some(secret)]).await, "0");
}

#[tokio::test]
async fn limits_survive_a_change_of_other_keys() {
    let mut fixture = Fixture::new().await;
    let sql = "SELECT secret FROM ferrobase.api_key_create('slow', 'anon', NULL, '{}', '{rest}', \
               false, 2, NULL, NULL)";
    let slow = fixture.one(sql, &[]).await;
    fixture
        .until("it is known", |keys| keys.find(&slow).is_some())
        .await;
    let rate = |keys: &ApiKeys| keys.find(&slow).unwrap().1.check_rate();
    assert!(rate(&fixture.keys).is_none() && rate(&fixture.keys).is_none());
    let other = fixture.create("other").await;
    fixture
        .until("the table is new", |keys| keys.find(&other).is_some())
        .await;
    assert!(rate(&fixture.keys).is_some());
}

#[tokio::test]
async fn nobody_else_reads_the_tables() {
    let mut fixture = Fixture::new().await;
    fixture.create("one").await;
    // Role postgres is granted the auth room's, as on Supabase: it may read
    // hashes, and makes no keys with that.
    for role in ["anon", "authenticated", "service_role", "authenticator"] {
        for table in ["api_keys", "api_key_secrets"] {
            let mut sql = SqlBuf::new();
            sql.lit("SET ROLE ").ident(role);
            fixture.session.query_buf(&sql).await.unwrap();
            let mut sql = SqlBuf::new();
            sql.lit("SELECT FROM ").qualified("ferrobase", table);
            let error = fixture.session.query_buf(&sql).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some("42501"), "{role} {table}");
            fixture.session.script("RESET ROLE").await.unwrap();
        }
    }
}
