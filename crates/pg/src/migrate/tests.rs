//! The history against a real PostgreSQL: from nothing, again, from every
//! earlier release, by several at once, and without superuser.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

mod apps;
mod scratch;

use scratch::Scratch;

/// The checksums of released files. A released file never changes, so lines
/// are only ever added here.
const RELEASED: &str = include_str!("tests/released.txt");

#[test]
fn released_files_are_as_they_were() {
    assert!(MIGRATIONS.len() >= RELEASED.lines().count());
    for (migration, line) in MIGRATIONS.iter().zip(RELEASED.lines()) {
        let told = format!("{:04} {}", migration.version, migration.checksum());
        assert_eq!(told, line, "{}", migration.file());
    }
}

#[test]
fn the_history_counts_from_one_and_says_why() {
    for (version, migration) in (1..).zip(MIGRATIONS) {
        assert_eq!(migration.version, version);
        assert!(
            migration.sql.starts_with("-- Why: "),
            "{}",
            migration.file()
        );
        assert!(
            migration.sql.contains("-- Lock impact: "),
            "{}",
            migration.file()
        );
    }
}

async fn database(scratch: &Scratch, name: &str, owner: &str) {
    let mut admin = scratch.connect("supabase_admin", "template1").await;
    let create = format!("CREATE DATABASE {name} OWNER {owner}");
    admin.script(&create).await.unwrap();
}

async fn text(session: &mut Session, sql: &'static str) -> String {
    let rows = session.query(sql, &[]).await.unwrap();
    rows.scalar().unwrap_or("NULL").to_owned()
}

#[tokio::test]
async fn from_nothing_and_again() {
    let scratch = Scratch::start("supabase_admin");
    let mut session = scratch.connect("supabase_admin", "postgres").await;
    let options = MigrateOptions::default();
    let report = migrate(&mut session, &options).await.unwrap();
    assert_eq!(report.applied.len(), MIGRATIONS.len());
    assert_eq!(report.degradations, []);
    let again = migrate(&mut session, &options).await.unwrap();
    assert_eq!(
        (again.applied.len(), again.from),
        (0, report.applied.len().try_into().unwrap())
    );

    // Every table of ours is protected, and closed to the API roles.
    let open = "SELECT count(*) FROM pg_class AS c WHERE c.relnamespace = 'ferrobase'::regnamespace \
                AND c.relkind = 'r' AND (NOT c.relrowsecurity OR has_table_privilege('anon', c.oid, 'SELECT') \
                OR has_table_privilege('authenticated', c.oid, 'SELECT'))";
    assert_eq!(text(&mut session, open).await, "0");
    claims_are_read(&mut session).await;
    tables_are_guarded(&scratch).await;

    // An edited release is refused.
    let edit = "UPDATE ferrobase.schema_migrations SET checksum = 'x' WHERE version = 2";
    session.script(edit).await.unwrap();
    let error = migrate(&mut session, &options).await.unwrap_err();
    assert_eq!(error.code(), "FB2101");
    let newer = "DELETE FROM ferrobase.schema_migrations; \
                 INSERT INTO ferrobase.schema_migrations VALUES (99, 'x', 'x')";
    session.script(newer).await.unwrap();
    let none = MigrateOptions {
        migrations: &[],
        ..options
    };
    let error = migrate(&mut session, &none).await.unwrap_err();
    assert_eq!(error.code(), "FB2102");
}

async fn claims_are_read(session: &mut Session) {
    let sub = "11111111-1111-1111-1111-111111111111";
    let set = format!(
        "SELECT set_config('request.jwt.claims', '{{\"sub\":\"{sub}\",\"role\":\"r\",\"email\":\"e@x\"}}', false)"
    );
    session.script(&set).await.unwrap();
    assert_eq!(text(session, "SELECT auth.uid()").await, sub);
    assert_eq!(
        text(session, "SELECT auth.role() || auth.email()").await,
        "re@x"
    );
    assert_eq!(text(session, "SELECT auth.jwt() ->> 'sub'").await, sub);
    session.script("SET request.jwt.claims = ''").await.unwrap();
    assert_eq!(text(session, "SELECT auth.uid()").await, "NULL");
    session
        .script("SET request.jwt.claim.role = 'legacy'")
        .await
        .unwrap();
    assert_eq!(text(session, "SELECT auth.role()").await, "legacy");
}

/// A table without row level security is closed to anon; its grants come back
/// with the protection, except those that were revoked meanwhile.
async fn tables_are_guarded(scratch: &Scratch) {
    let mut dev = scratch.connect("postgres", "postgres").await;
    let steps = [
        ("CREATE TABLE a (id int)", "f"),
        ("ALTER TABLE a ENABLE ROW LEVEL SECURITY", "t"),
        ("ALTER TABLE a DISABLE ROW LEVEL SECURITY", "f"),
        ("GRANT SELECT ON a TO PUBLIC", "f"),
        ("COMMENT ON TABLE a IS 'prices, @ferrobase.public'", "t"),
        ("COMMENT ON TABLE a IS NULL", "f"),
        ("REVOKE ALL ON a FROM anon, PUBLIC", "f"),
        ("ALTER TABLE a ENABLE ROW LEVEL SECURITY", "f"),
        ("GRANT SELECT ON a TO anon", "t"),
        (
            "DROP TABLE a; CREATE TABLE a (id int); ALTER TABLE a ENABLE ROW LEVEL SECURITY",
            "t",
        ),
        ("DROP TABLE a; CREATE TABLE a AS SELECT 1 AS id", "f"),
    ];
    for (step, open) in steps {
        dev.script(step).await.unwrap();
        let can = text(
            &mut dev,
            "SELECT has_table_privilege('anon', 'a', 'SELECT')",
        )
        .await;
        assert_eq!(can, open, "after {step}");
        let signed_in = "SELECT has_table_privilege('authenticated', 'a', 'SELECT')";
        assert_eq!(text(&mut dev, signed_in).await, "t", "after {step}");
    }
    let report = "SELECT string_agg(name || ' ' || state, ',') FROM ferrobase.close_unprotected_tables('{public}')";
    assert_eq!(text(&mut dev, report).await, "a closed");
    let temporary = "BEGIN; CREATE TEMP TABLE x (id int); CREATE TEMP TABLE y AS SELECT 1; SELECT count(*) FROM ferrobase.guard_notes";
    let counted = dev.script(temporary).await.unwrap();
    assert_eq!(counted.last().unwrap().scalar(), Some("0"));
    dev.script("ROLLBACK").await.unwrap();
    let notes = "SELECT count(*) FROM ferrobase.guard_notes";
    assert_eq!(text(&mut dev, notes).await, "0");
    dev.script("DROP TABLE a").await.unwrap();
}

/// Everything the catalogue says about our schemas, as text that does not
/// depend on object ids or on the order of creation.
const SNAPSHOT: &str = include_str!("tests/snapshot.sql");

/// How far apart old levels are tried: each costs a whole history.
const STRIDE: usize = 8;

/// Levels that are upgraded from: nothing, some old ones, and the latest few.
fn levels() -> impl Iterator<Item = usize> {
    let last = MIGRATIONS.len();
    (0..=last).filter(move |level| level % STRIDE == 0 || level + STRIDE > last)
}

#[tokio::test]
async fn every_release_upgrades_to_the_next() {
    let scratch = Scratch::start("supabase_admin");
    for level in 0..=MIGRATIONS.len() {
        let mut session = scratch.connect("supabase_admin", "postgres").await;
        let options = MigrateOptions {
            migrations: &MIGRATIONS[..level],
            ..MigrateOptions::default()
        };
        let report = migrate(&mut session, &options).await.unwrap();
        assert_eq!(report.applied.len(), level.min(1), "{level}");
        assert_eq!(report.degradations, []);
        session.close().await;
    }
    database(&scratch, "at_once", "supabase_admin").await;
    let mut session = scratch.connect("supabase_admin", "at_once").await;
    migrate(&mut session, &MigrateOptions::default())
        .await
        .unwrap();
    session.script("SET search_path = ''").await.unwrap();
    let at_once = text(&mut session, SNAPSHOT).await;
    let mut session = scratch.connect("supabase_admin", "postgres").await;
    session.script("SET search_path = ''").await.unwrap();
    assert!(text(&mut session, SNAPSHOT).await == at_once);
}

#[tokio::test]
async fn every_release_upgrades_to_the_same_schema() {
    let scratch = Scratch::start("supabase_admin");
    let mut snapshots = Vec::new();
    for first in levels() {
        let name = format!("from_{first}");
        database(&scratch, &name, "supabase_admin").await;
        let mut session = scratch.connect("supabase_admin", &name).await;
        let options = MigrateOptions {
            migrations: &MIGRATIONS[..first],
            ..MigrateOptions::default()
        };
        migrate(&mut session, &options).await.unwrap();
        let users_own = "CREATE TABLE public.notes (id int PRIMARY KEY, body text); \
                         INSERT INTO public.notes VALUES (1, 'kept'); \
                         CREATE VIEW public.bodies AS SELECT body FROM public.notes";
        session.script(users_own).await.unwrap();
        let report = migrate(&mut session, &MigrateOptions::default())
            .await
            .unwrap();
        assert_eq!(report.applied.len(), MIGRATIONS.len() - first);
        assert_eq!(report.degradations, []);
        assert_eq!(
            text(&mut session, "SELECT body FROM public.bodies").await,
            "kept"
        );
        session
            .script("DROP TABLE public.notes CASCADE")
            .await
            .unwrap();
        // Names are then written with their schemas whatever the role's path.
        session.script("SET search_path = ''").await.unwrap();
        snapshots.push((first, text(&mut session, SNAPSHOT).await));
    }
    let fresh = &snapshots[0].1;
    assert!(fresh.len() > 10_000);
    for (first, snapshot) in &snapshots {
        let mut lines = snapshot.lines().zip(fresh.lines());
        let different = lines.find(|(a, b)| a != b);
        assert_eq!(different, None, "upgraded from {first}");
        assert_eq!(snapshot.len(), fresh.len(), "upgraded from {first}");
    }
}

#[tokio::test]
async fn nodes_that_start_together_wait_for_one_another() {
    let scratch = Scratch::start("supabase_admin");
    let options = MigrateOptions::default();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(scratch.connect("supabase_admin", "postgres").await);
    }
    let [a, b, c, d] = &mut nodes[..] else {
        unreachable!()
    };
    let (a, b, c, d) = tokio::join!(
        migrate(a, &options),
        migrate(b, &options),
        migrate(c, &options),
        migrate(d, &options)
    );
    let applied: usize = [a, b, c, d]
        .into_iter()
        .map(|r| r.unwrap().applied.len())
        .sum();
    assert_eq!(applied, MIGRATIONS.len());

    // One that hangs is named after a while.
    let mut hanging = scratch.connect("supabase_admin", "postgres").await;
    hanging.script("BEGIN").await.unwrap();
    hanging
        .query(
            "SELECT pg_advisory_xact_lock($1::text::bigint)",
            &[Some(LOCK)],
        )
        .await
        .unwrap();
    let mut session = scratch.connect("supabase_admin", "template1").await;
    session.script("CREATE DATABASE late").await.unwrap();
    // Advisory locks belong to one database, so the late one is not disturbed.
    let mut late = scratch.connect("supabase_admin", "late").await;
    migrate(&mut late, &options).await.unwrap();
    let mut session = scratch.connect("supabase_admin", "postgres").await;
    session
        .script("DELETE FROM ferrobase.schema_migrations WHERE version > 6")
        .await
        .unwrap();
    let short = MigrateOptions {
        lock_wait: Duration::from_millis(50),
        ..options
    };
    let error = migrate(&mut session, &short).await.unwrap_err();
    assert_eq!(error.code(), "FB2103");
}

#[tokio::test]
async fn without_superuser_what_is_refused_is_named() {
    let scratch = Scratch::start("boss");
    let mut boss = scratch.connect("boss", "postgres").await;
    for sql in [
        "CREATE ROLE weak LOGIN",
        "CREATE DATABASE weak OWNER weak",
        "CREATE ROLE dev LOGIN CREATEROLE CREATEDB",
        "CREATE DATABASE dev OWNER dev",
    ] {
        boss.script(sql).await.unwrap();
    }
    let options = MigrateOptions::default();
    let mut weak = scratch.connect("weak", "weak").await;
    let report = migrate(&mut weak, &options).await.unwrap();
    let features: Vec<&str> = report
        .degradations
        .iter()
        .map(|d| d.feature.as_str())
        .collect();
    assert!(features.contains(&"missing role anon"), "{features:?}");
    assert!(
        !features.iter().any(|f| f.starts_with("grant of")),
        "{features:?}"
    );

    boss.script("ALTER ROLE weak SUPERUSER").await.unwrap();
    let mut weak = scratch.connect("weak", "weak").await;
    let report = migrate(&mut weak, &options).await.unwrap();
    assert_eq!(report.degradations, []);
    assert_eq!(
        text(
            &mut weak,
            "SELECT pg_has_role('authenticator', 'anon', 'MEMBER')"
        )
        .await,
        "t"
    );
    drop_platform_roles(&mut boss, &mut weak).await;

    let mut dev = scratch.connect("dev", "dev").await;
    let report = migrate(&mut dev, &options).await.unwrap();
    let features: Vec<&str> = report
        .degradations
        .iter()
        .map(|d| d.feature.as_str())
        .collect();
    assert!(features.contains(&"role service_role"), "{features:?}");
    assert!(
        features.contains(&"event trigger pgrst_ddl_watch"),
        "{features:?}"
    );
    // The rule holds all the same, at start.
    dev.script("CREATE TABLE public.t (id int); GRANT ALL ON public.t TO anon")
        .await
        .unwrap();
    let report = "SELECT name || ' ' || state FROM ferrobase.close_unprotected_tables('{public}')";
    assert_eq!(text(&mut dev, report).await, "t closed");
    assert_eq!(
        text(
            &mut dev,
            "SELECT has_table_privilege('anon', 'public.t', 'SELECT')"
        )
        .await,
        "f"
    );

    // A right granted later heals at the next start.
    boss.script("ALTER ROLE dev SUPERUSER").await.unwrap();
    let mut dev = scratch.connect("dev", "dev").await;
    let report = migrate(&mut dev, &options).await.unwrap();
    assert_eq!(report.degradations, []);
    let can = "SELECT rolbypassrls FROM pg_roles WHERE rolname = 'service_role'";
    assert_eq!(text(&mut dev, can).await, "t");
}

/// So that the next database of the cluster meets a server without them.
async fn drop_platform_roles(boss: &mut Session, weak: &mut Session) {
    let roles = "anon, authenticated, service_role, authenticator, supabase_admin, postgres, \
                 supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin, \
                 supabase_replication_admin, supabase_etl_admin, supabase_read_only_user, \
                 dashboard_user, pgbouncer";
    for session in [weak, boss] {
        let owned = format!("DROP OWNED BY {roles} CASCADE");
        session.script(&owned).await.unwrap();
    }
    boss.script(&format!("DROP ROLE {roles}")).await.unwrap();
}

#[tokio::test]
async fn a_role_without_any_right_is_told_what_it_goes_without() {
    let scratch = Scratch::start("boss");
    let mut boss = scratch.connect("boss", "postgres").await;
    boss.script("CREATE ROLE guest LOGIN").await.unwrap();
    let options = MigrateOptions::default();

    // It may not make our schema.
    let mut guest = scratch.connect("guest", "postgres").await;
    let report = migrate(&mut guest, &options).await.unwrap();
    assert!(report.applied.is_empty());
    assert_eq!(report.degradations[0].feature, "platform schema");
    assert_eq!(report.degradations[0].consequence, NOT_MADE);

    // It may not look into what others made.
    migrate(&mut boss, &options).await.unwrap();
    let report = migrate(&mut guest, &options).await.unwrap();
    assert_eq!(report.degradations[0].consequence, UNREADABLE);

    // `postgres` may, but does not try again what was refused.
    boss.script("SELECT ferrobase.degrade('x', 'y', 'z', 'SELECT 1')")
        .await
        .unwrap();
    let mut postgres = scratch.connect("postgres", "postgres").await;
    let report = migrate(&mut postgres, &options).await.unwrap();
    assert_eq!(report.degradations[0].feature, "x");
    let report = migrate(&mut boss, &options).await.unwrap();
    assert_eq!(report.degradations, []);
}
