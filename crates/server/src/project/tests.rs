//! Project folders against a real PostgreSQL with the platform schema.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use pg::Session;
use pg::migrate::{MigrateOptions, migrate};

use super::*;

mod scratch;

use scratch::Scratch;

const FIRST: &str = "20240101000000_first.sql";
const SECOND: &str = "20240102000000_second.sql";

/// A cluster with the platform schema and an empty project.
struct Fixture {
    scratch: Scratch,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let scratch = Scratch::start("supabase_admin");
        let fixture = Self {
            scratch,
            folder: tempfile::tempdir().unwrap(),
        };
        fixture.platform().await;
        fixture
    }

    async fn platform(&self) {
        let mut admin = self.scratch.connect("supabase_admin", "postgres").await;
        let report = migrate(&mut admin, &MigrateOptions::default())
            .await
            .unwrap();
        assert_eq!(report.degradations, []);
    }

    async fn session(&self) -> Session {
        self.scratch.connect("postgres", "postgres").await
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join("supabase").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn migration(&self, file: &str, text: &str) {
        self.write(&format!("migrations/{file}"), text);
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.root().join("supabase").join(file)).unwrap();
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn project(&self) -> Project {
        Project::load(self.root(), &|_| None).unwrap().unwrap()
    }

    async fn apply(&self, session: &mut Session) -> Result<Applied, ProjectError> {
        self.project().apply(session, true).await
    }
}

async fn text(session: &mut Session, sql: &'static str) -> String {
    let rows = session.query(sql, &[]).await.unwrap();
    rows.scalar().unwrap_or("NULL").to_owned()
}

#[tokio::test]
async fn a_project_is_applied_once_and_recorded_as_the_cli_does() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    fixture.write("config.toml", "[db.seed]\nsql_paths = ['./seeds/*.sql']\n");
    fixture.write("roles.sql", "create role app nologin;");
    fixture.write("seeds/a.sql", "insert into notes values (1, 'a;b');");
    fixture.migration(
        FIRST,
        "-- notes\ncreate table notes (id int primary key, body text);\n\
         alter table notes enable row level security;\n\
         create extension if not exists \"pg_graphql\" with schema graphql;\n\
         create extension moddatetime schema extensions;\n\
         create extension if not exists citext with schema extensions;\n\
         create policy own on notes using (auth.uid() is not null);\n\
         create trigger t after insert on auth.users for each row execute function extensions.moddatetime();\n\
         drop trigger if exists t on auth.users;\n\
         create policy o on storage.objects for select using (bucket_id = 'a' and (storage.foldername(name))[1] = 'x');\n\
         alter publication supabase_realtime add table notes;\n\
         select pg_catalog.set_config('search_path', '', false);\n\
         set role anon; -- done\n",
    );
    fixture.migration(SECOND, "begin; grant select on notes to app; commit;");
    let applied = fixture.apply(&mut session).await.unwrap();
    assert_eq!(applied.migrations, [FIRST, SECOND]);
    assert_eq!(applied.seeds, ["supabase/seeds/a.sql"]);
    assert_eq!(applied.warnings.len(), 1, "{:?}", applied.warnings);
    assert!(applied.warnings.iter().any(|w| w.contains("pg_graphql")));

    let recorded = "SELECT version || ' ' || name || ' ' || array_to_string(statements, '|') \
                    FROM supabase_migrations.schema_migrations ORDER BY version DESC LIMIT 1";
    assert_eq!(
        text(&mut session, recorded).await,
        "20240102000000 second begin|grant select on notes to app|commit"
    );
    let first = "SELECT statements[1] || '#' || statements[13] FROM supabase_migrations.schema_migrations \
                 ORDER BY version LIMIT 1";
    assert_eq!(
        text(&mut session, first).await,
        "-- notes\ncreate table notes (id int primary key, body text)#-- done"
    );
    let hash = "SELECT string_agg(path || length(hash), ',' ORDER BY path) FROM supabase_migrations.seed_files";
    assert_eq!(
        text(&mut session, hash).await,
        "supabase/roles.sql64,supabase/seeds/a.sql64"
    );

    // Nothing is done twice; a changed seed is named.
    assert_eq!(
        fixture.apply(&mut session).await.unwrap(),
        Applied::default()
    );
    fixture.write("seeds/a.sql", "insert into notes values (2, 'x');");
    let again = fixture.apply(&mut session).await.unwrap();
    assert_eq!((again.seeds.len(), again.warnings.len()), (0, 1));
    assert_eq!(
        text(&mut session, "SELECT count(*) FROM public.notes").await,
        "1"
    );
    assert_eq!(
        unprotected_tables(&mut session, &["public"]).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn what_is_wrong_is_named_by_file_and_line_and_rolled_back() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    let cases = [
        (
            "create table a (id int);\n\n-- x\nselect * from\n  nope;",
            "FB2010",
            "5:3",
        ),
        (
            "create table a (id int);\n  -- why\n  select 1/0;",
            "FB2010",
            "3:3",
        ),
        ("create table a (id int);\nselect 'x", "FB2014", "2:8"),
        (
            "create table a (id int);\n copy a from stdin;\n1\n\\.\n",
            "FB2015",
            "2:2",
        ),
        ("create table a (id int);\nrollback;", "FB2015", "2:1"),
    ];
    for (sql, code, place) in cases {
        fixture.migration(FIRST, sql);
        let error = fixture.apply(&mut session).await.unwrap_err();
        assert_eq!(error.code(), code, "{sql}: {error}");
        let want = format!("supabase/migrations/{FIRST}:{place}: ");
        assert!(error.to_string().starts_with(&want), "{sql}: {error}");
        assert!(!error.next_step().is_empty());
        let left = "SELECT count(*) FROM pg_class WHERE relname = 'a'";
        assert_eq!(text(&mut session, left).await, "0", "{sql}");
    }
    // The same session goes on once the file is right.
    fixture.migration(FIRST, "create table a (id int);");
    fixture.apply(&mut session).await.unwrap();
}

#[tokio::test]
async fn files_and_history_must_agree() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    fixture.migration(FIRST, "create table a (id int);");
    fixture.apply(&mut session).await.unwrap();

    fixture.migration(FIRST, "create table a (id bigint);");
    assert_eq!(
        fixture.apply(&mut session).await.unwrap_err().code(),
        "FB2011"
    );
    // Layout is no change.
    fixture.migration(FIRST, "create table\n a (id int)\n;\n");
    fixture.apply(&mut session).await.unwrap();
    fixture.migration("20230101000000_early.sql", "select 1");
    let error = fixture.apply(&mut session).await.unwrap_err();
    assert_eq!(error.code(), "FB2013");
    let folder = fixture.project().migrations_folder();
    let up = migrations::up(&mut session, &folder, true).await.unwrap();
    assert_eq!(up.applied, ["20230101000000_early.sql"]);
    fixture.remove(&format!("migrations/{FIRST}"));
    let error = fixture.apply(&mut session).await.unwrap_err();
    assert_eq!(error.code(), "FB2012");
    assert!(
        error.to_string().contains("20240101000000_first"),
        "{error}"
    );

    fixture.migration("20250101000000_later.sql", "select 1");
    let listed = migrations::list(&mut session, &folder).await.unwrap();
    let states: Vec<_> = listed.iter().map(|l| (l.local, l.applied)).collect();
    assert_eq!(states, [(true, true), (false, true), (true, false)]);
}

#[tokio::test]
async fn statements_without_transactions_run_between_two() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    fixture.migration(
        FIRST,
        "create table a (id int);\ncreate index concurrently i on a (id);\nselect nope;",
    );
    let error = fixture.apply(&mut session).await.unwrap_err();
    assert!(
        matches!(error, ProjectError::Statement { committed: 2, .. }),
        "{error:?}"
    );
    assert!(error.next_step().contains("first 2 statements"));
    fixture.migration(
        FIRST,
        "create table if not exists a (id int);\ncreate index concurrently if not exists i on a (id);",
    );
    fixture.apply(&mut session).await.unwrap();
    assert_eq!(
        text(
            &mut session,
            "SELECT count(*) FROM supabase_migrations.schema_migrations"
        )
        .await,
        "1"
    );
    // No transaction is left open.
    session.script("VACUUM a").await.unwrap();

    let exposed = unprotected_tables(&mut session, &["public"]).await.unwrap();
    let names: Vec<_> = exposed
        .iter()
        .map(|e| (e.name.as_str(), e.exposure))
        .collect();
    assert_eq!(names, [("a", Exposure::Closed)]);
}

#[tokio::test]
async fn reset_starts_over() {
    let fixture = Fixture::new().await;
    fixture.write("roles.sql", "create role app nologin;");
    fixture.migration(FIRST, "create table a (id int); grant select on a to app;");
    fixture.write("seed.sql", "insert into a values (1);");
    let mut session = fixture.session().await;
    fixture.apply(&mut session).await.unwrap();
    session.script("insert into a values (2)").await.unwrap();

    let mut admin = fixture.scratch.connect("supabase_admin", "template1").await;
    recreate_database(&mut admin, "postgres").await.unwrap();
    fixture.platform().await;
    let mut session = fixture.session().await;
    let applied = fixture.apply(&mut session).await.unwrap();
    assert_eq!((applied.migrations.len(), applied.seeds.len()), (1, 1));
    assert_eq!(text(&mut session, "SELECT count(*) FROM a").await, "1");
}

#[tokio::test]
async fn nodes_that_start_together_apply_each_file_once() {
    let fixture = Fixture::new().await;
    fixture.migration(FIRST, "create table a (id int);");
    fixture.migration(SECOND, "insert into a values (1);");
    let (mut one, mut two) = (fixture.session().await, fixture.session().await);
    let folder = fixture.project().migrations_folder();
    let (one, two) = tokio::join!(
        migrations::up(&mut one, &folder, false),
        migrations::up(&mut two, &folder, false)
    );
    let applied = one.unwrap().applied.len() + two.unwrap().applied.len();
    assert_eq!(applied, 2);
}

#[test]
fn another_postgres_than_the_projects_is_told() {
    let mut project = Project {
        root: "/".into(),
        config: ProjectConfig::default(),
        warnings: Vec::new(),
    };
    assert_eq!(project.other_version(150_018), None);
    project.config.db.major_version = Some(15);
    assert_eq!(project.other_version(150_018), None);
    let said = project.other_version(170_004).unwrap();
    assert!(
        said.contains("major_version = 15") && said.contains("PostgreSQL 17"),
        "{said}"
    );
}
