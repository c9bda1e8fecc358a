//! The history against a real PostgreSQL: from nothing, again, from every
//! earlier release, by several at once, and without superuser.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

mod scratch;

use scratch::Scratch;

/// The checksums of released files. A released file never changes, so lines
/// are only ever added here.
const RELEASED: &[(u32, &str)] = &[
    (
        1,
        "a2819214eb8dc06c48790290b34f7eacedb1bae9d63a2858960711cadd15cbe6",
    ),
    (
        2,
        "1779307e9743ef40796632243b2614211ab2fccc349d5817094b6320b4699756",
    ),
    (
        3,
        "d2d2c0ccb9c1b11ad42e48488498b0a0d2f36d0dd8b6f027e2c85a40f0fc81d2",
    ),
    (
        4,
        "09436569793136f3d189ffdfcc18798cc8527be8328a64ae7b2fd29173da7980",
    ),
    (
        5,
        "55057069cc6de9250736da2ac621268fffa6fe0a0ece11e5bcc1365cc477858d",
    ),
    (
        6,
        "9063096f18ef711e70bd5db1f6cb090917162a1e9331e2a77a124af7ff631b73",
    ),
    (
        7,
        "335c21cc714ef7516e6a95d187e29992f34662e041e42b0c32771cd7e227ec57",
    ),
    (
        8,
        "06a8607f4cdb3bdf55f44758713061d9e017e37bdddda3792dcde750a520c1ce",
    ),
    (
        9,
        "e9a37ae307d15da076275b5b0626bed995923c0c0651dfcdfbd386b7e3b9e483",
    ),
    (
        10,
        "9a3ba5fb2cb39da9e41db6f407db70fd83332d0da3f1ab5b9787525201ed4e2f",
    ),
    (
        11,
        "4dbaad508f4e3a17bc6c2f5a6e8abc2f99b7babc3126aed91fb4f56327599b71",
    ),
    (
        12,
        "aead11e8cb3262c3a3c52bb77347ede108e613cdd2b0c24c8570fd05883c3994",
    ),
    (
        13,
        "c6b6115d6a67b32ad7e0d623b5b7f618d626eb9fd29f59adee2ff98619bc25d3",
    ),
    (
        14,
        "a70bc25eb0b197cbb56e2c258b23631c667a16eaf7f4f7a349a8c52cb8e714da",
    ),
    (
        15,
        "904df72802f999c3170542321d03931af9c89fdb4900fabc5b785279765a8d4d",
    ),
    (
        16,
        "ebe49d630cde71dbecec13458a3d88159e2a59ac509ce0d8ce91a8bb4ed4bc2e",
    ),
    (
        17,
        "73ff6bbc2d1d0bb866c3efc819fab92652a21033e29aa14b256624640a6bce4f",
    ),
    (
        18,
        "f6670251e08ab0c61bea9127c4089cfbbdd21468355aab218ec3a4a0647169c0",
    ),
    (
        19,
        "f2e0a9d6176022ce4efc44063135b472a8497d318521cffab692e73ee478283e",
    ),
    (
        20,
        "80ff43dfe4a061a1a96284b2e513475c3cd157c6e255e234e8b606374ea011ac",
    ),
    (
        21,
        "83acec9f5d25ac6093273c6ddece8453294e804c642c5df3391e8348f85e3ff7",
    ),
    (
        22,
        "fef1a34afa8b873c68cced30537510bdce911d94e25929f0fdfd63ddbb2895e6",
    ),
    (
        23,
        "dde0a1c958dfd61ce28ad0dd9d2d0e3d5821f7e487d3f1b521eff478355fbf73",
    ),
    (
        24,
        "3d16bbaef50acd9f2e936dc933e9301307c6ac9ece8b03b87b590577e869b461",
    ),
    (
        25,
        "746e60156384515c17b817e03a00783d0405e784623001105ddea2e5f767e243",
    ),
    (
        26,
        "bd086ae35a35f6a90246f4f5c79aee9b4c4b2a2bca5e34093e31a863ee0e6698",
    ),
    (
        27,
        "4f30749999ff4172000676f830d4d8e51686208efb15b2d9d1310daedb86d11d",
    ),
    (
        28,
        "9b998327ffc31093b6ae3b3cdd3558506865a466de3acac43455337afd840ec7",
    ),
    (
        29,
        "ef99bedc4dcfe574908751fb1a848007ab6ca10118599dc50fa2a056208e7b8c",
    ),
    (
        30,
        "43d65d77be630a0db32a21c631107c1b273c24336220da9496e86148b4a78137",
    ),
    (
        31,
        "27130f66ce41e5972e41e4d09a284d1ff9898783185d3635c0b8e7f48d65ed10",
    ),
    (
        32,
        "5b3b0a2c2c9cec1d3a8544f9af1b71845505095720099e6779160a1828071d7b",
    ),
    (
        33,
        "31d39696e9aac12d19e800503d39961c79017fcea309b7f233abcb014084e3f9",
    ),
    (
        34,
        "43da14bc7209d9e036101f2343ff656a9f724425590beace0a3b659a1918b160",
    ),
    (
        35,
        "0815998c969e556937aa92b1320c9fb9435de983505a12abb5d9d89248afc989",
    ),
    (
        36,
        "083229367ad458023a36297032d0663ac0886de6b6ea50a88a7df2c9644418fe",
    ),
    (
        37,
        "e2f035873b0268c3e64628414a9599471dc3c4ebeb19994b199bf70319cde114",
    ),
    (
        38,
        "c30bdd51152bf70db684ecb103dd8713a254923b24ce951b4595e4a6cf09b6c2",
    ),
    (
        39,
        "87ed981622f072cbb5fb8b279d845fddd73323effd84d726a24329553b56cf18",
    ),
    (
        40,
        "74b4706d20bc9a62489af69b8a038fdd0d37c8ff99f08c9aac255177915f95fd",
    ),
];

#[test]
fn released_files_are_as_they_were() {
    for (i, (version, checksum)) in RELEASED.iter().enumerate() {
        assert_eq!(MIGRATIONS[i].version, *version);
        assert_eq!(
            MIGRATIONS[i].checksum(),
            *checksum,
            "{}",
            MIGRATIONS[i].file()
        );
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

#[tokio::test]
async fn every_release_upgrades_to_the_same_schema() {
    let scratch = Scratch::start("supabase_admin");
    let mut snapshots = Vec::new();
    for first in 0..=MIGRATIONS.len() {
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
        snapshots.push(text(&mut session, SNAPSHOT).await);
    }
    assert!(snapshots[0].len() > 10_000);
    for (first, snapshot) in snapshots.iter().enumerate() {
        let different = snapshot
            .lines()
            .zip(snapshots[0].lines())
            .find(|(a, b)| a != b);
        assert_eq!(different, None, "upgraded from {first}");
        assert_eq!(snapshot.len(), snapshots[0].len(), "upgraded from {first}");
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
