//! Backups of a database and a store of files that others write to meanwhile.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes as Chunk;
use kernel::Tasks;
use pg::cluster::{Cluster, Search};
use pg::testing::TestDb;
use pg::{Session, fence};
use storage::blobs::{BlobId, Blobs, Given};

use super::create::{self, Made};
use super::files::Bytes;
use super::stored::Stored;
use super::{BackupError, Id, Key, Repository, restore, verify};
use crate::app::Context;
use crate::config::{Flag, Loaded, Mode, Sources, load};

const WRITERS: usize = 3;
/// A hundred files of each; who is between an upload and a deletion has one more.
const LASTING: std::ops::RangeInclusive<usize> = 300..=300 + WRITERS;

const SCHEMA: &str = "
    INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
    CREATE TABLE public.ledger (writer text PRIMARY KEY, objects int NOT NULL);
    CREATE ROLE backup_reader LOGIN PASSWORD 'kept as a hash';
    ALTER ROLE backup_reader SET search_path = 'a b', \"C\", public;
    ALTER TABLE public.ledger ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.ledger TO backup_reader USING (writer = 'me');
    GRANT SELECT ON public.ledger TO backup_reader;";

/// A project's folder, its database, and its store of files.
struct Scene {
    db: TestDb,
    /// Open to PostgreSQL's user, as a project's folder is.
    root: tempfile::TempDir,
    blobs: Blobs,
    loaded: Loaded,
    context: Context,
}

impl Scene {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data_dir = root.path().join(".ferrobase");
        fs::create_dir(&data_dir).unwrap();
        fs::write(data_dir.join("keys.json"), "{\"kept\": true}").unwrap();
        fs::write(root.path().join("ferrobase.toml"), "[api]\nport = 1\n").unwrap();
        let context = Context::system();
        let given = Given {
            clock: context.clock.clone(),
            rng: context.rng.clone(),
            tasks: Tasks::new(),
        };
        let sources = Sources {
            flags: vec![Flag {
                path: "db.data_dir",
                flag: "--data-dir",
                value: data_dir.display().to_string(),
            }],
            ..Sources::default()
        };
        let db = TestDb::new().await;
        // Roles are the whole server's, which other tests use as well.
        let schema = SCHEMA.replace("backup_reader", &reader(&db));
        db.session().await.script(&schema).await.unwrap();
        Self {
            blobs: Blobs::local(&data_dir.join("storage"), given).unwrap(),
            loaded: load(Mode::Serve, &sources).unwrap(),
            db,
            root,
            context,
        }
    }

    fn repository(&self) -> Repository {
        Repository::at(&self.loaded.config.backup.folder)
    }

    async fn back_up(&self, key: Option<&Key>) -> Result<Made, BackupError> {
        let stored = Stored::of(self.blobs.clone());
        let order = create::Order {
            repository: &self.repository(),
            database: &self.db.target(),
            files: Some(&stored),
            loaded: &self.loaded,
            root: self.root.path(),
            key,
            search: &Search::default(),
            context: &self.context,
        };
        create::create(&order).await
    }

    async fn verify(&self, id: &Id, key: Option<&Key>) -> Result<verify::Verified, BackupError> {
        let order = verify::Order {
            repository: &self.repository(),
            id,
            room: &self.loaded.config.db.data_dir,
            files: &|folder| local(folder, &self.context),
            key,
            search: &Search::default(),
            context: &self.context,
        };
        verify::verify(&order).await
    }

    async fn restore(&self, id: &Id, into: &Path) -> Result<restore::Restored, BackupError> {
        let order = restore::Order {
            repository: &self.repository(),
            id,
            into,
            database: None,
            files: &|folder| local(folder, &self.context),
            key: None,
            search: &Search::default(),
            context: &self.context,
        };
        restore::restore(&order, &|_| ()).await
    }

    async fn writer(&self, name: usize) -> Writer {
        let mut session = self.db.session().await;
        let sql = "INSERT INTO public.ledger VALUES ($1, 0)";
        let name = name.to_string();
        session.query(sql, &[Some(&name)]).await.unwrap();
        Writer {
            name,
            session,
            blobs: self.blobs.clone(),
            own: Vec::new(),
            turn: 0,
        }
    }
}

fn reader(db: &TestDb) -> String {
    format!("{}_reader", db.target().database)
}

fn local(folder: &Path, context: &Context) -> Result<Box<dyn Bytes>, BackupError> {
    Ok(Box::new(Stored::local(&folder.join("storage"), context)?))
}

/// Uploads and deletes as the room does: bytes first, then the row; a row's end
/// first, then the bytes, if no backup is copying.
struct Writer {
    name: String,
    session: Session,
    blobs: Blobs,
    own: Vec<BlobId>,
    turn: usize,
}

impl Writer {
    async fn upload(&mut self) {
        self.turn += 1;
        let mut writer = self.blobs.create().await.unwrap();
        let text = format!("{} wrote {}\n", self.name, self.turn).repeat(self.turn % 50);
        writer.write(Chunk::from(text)).await.unwrap();
        let (id, written) = writer.finish().await.unwrap();
        let sums = hex(&written.sums.to_bytes());
        let said = format!("{id} {} {sums}", written.size);
        self.session.script("BEGIN").await.unwrap();
        let say = "SELECT set_config('storage_engine.written', $1, true)";
        self.session.query(say, &[Some(&said)]).await.unwrap();
        let path = format!("{}/{}", self.name, self.turn);
        let insert = "INSERT INTO storage.objects (bucket_id, name, version) VALUES ('b', $1, $2)";
        let version = id.to_string();
        let row = [Some(path.as_str()), Some(version.as_str())];
        self.session.query(insert, &row).await.unwrap();
        self.count(1).await;
        self.session.script("COMMIT").await.unwrap();
        self.own.push(id);
    }

    async fn count(&mut self, by: i32) {
        let sql = "UPDATE public.ledger SET objects = objects + $2::text::int WHERE writer = $1";
        let by = by.to_string();
        let params = [Some(self.name.as_str()), Some(by.as_str())];
        self.session.query(sql, &params).await.unwrap();
    }

    async fn delete(&mut self) {
        let id = self.own.swap_remove(self.turn % self.own.len());
        let version = id.to_string();
        let begin = "BEGIN; SET LOCAL storage.allow_delete_query = 'true'";
        self.session.script(begin).await.unwrap();
        let sql = "DELETE FROM storage.objects WHERE version = $1";
        self.session.query(sql, &[Some(&version)]).await.unwrap();
        self.count(-1).await;
        self.session.script("COMMIT; BEGIN").await.unwrap();
        let may = self.session.query(fence::MAY_REMOVE, &[]).await.unwrap();
        if may.scalar() == Some("t") {
            self.blobs.remove(&[id]).await.unwrap();
            let sql = "DELETE FROM storage_engine.removed WHERE version = $1";
            self.session.query(sql, &[Some(&version)]).await.unwrap();
        }
        self.session.script("COMMIT").await.unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every row's file has the bytes that its writer wrote, and every writer's
/// count is that of its rows.
async fn check(session: &mut Session, stored: &dyn Bytes) -> usize {
    let sql = "SELECT o.name, o.version FROM storage.objects AS o";
    let rows = session.query(sql, &[]).await.unwrap();
    for row in rows.iter() {
        let (writer, turn) = row.get(0).unwrap().split_once('/').unwrap();
        let turn: usize = turn.parse().unwrap();
        let expected = format!("{writer} wrote {turn}\n").repeat(turn % 50);
        let path = stored.path(row.get(1).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }
    let sql =
        "SELECT sum(l.objects) = (SELECT count(*) FROM storage.objects) FROM public.ledger AS l";
    let agree = session.query(sql, &[]).await.unwrap();
    assert_eq!(
        agree.scalar(),
        Some("t"),
        "rows of one transaction belong together"
    );
    rows.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_and_comes_back() {
    let scene = Scene::new().await;
    let (over, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let tasks = Tasks::new();
    for number in 0..WRITERS {
        let mut writer = scene.writer(number).await;
        for _ in 0..100 {
            writer.upload().await;
        }
        let (over, done) = (Arc::clone(&over), Arc::clone(&done));
        tasks.spawn("writer", async move {
            while !over.load(Ordering::Relaxed) {
                writer.upload().await;
                writer.delete().await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let first = scene.back_up(None).await.unwrap();
    let between = done.load(Ordering::Relaxed);
    while done.load(Ordering::Relaxed) < between + 10 {
        tokio::task::yield_now().await;
    }
    let second = scene.back_up(None).await.unwrap();
    over.store(true, Ordering::Relaxed);
    tasks.stop().await;
    assert!(between > 0, "somebody wrote during the first backup");
    for made in [&first, &second] {
        assert_eq!(made.files.first_missing, None);
    }
    let verified = scene.verify(&second.id, None).await.unwrap();
    let lasting = |files: u64| usize::try_from(files).is_ok_and(|n| LASTING.contains(&n));
    assert!(lasting(verified.files), "{}", verified.files);
    assert_eq!(verified.missing, 0);
    assert!(second.files.new_files < 300, "{:?}", second.files);

    let into = scene.root.path().join("restored");
    let restored = scene.restore(&first.id, &into).await.unwrap();
    assert!(lasting(restored.files), "{}", restored.files);
    let again = scene.restore(&first.id, &into).await.unwrap_err();
    assert_eq!(again.code(), "FB6009");
    look_around(&scene, &into).await;
}

/// What was restored works: rows, files, roles with their passwords' hashes and
/// settings, policies, rights, keys, settings.
async fn look_around(scene: &Scene, into: &Path) {
    let data_dir = into.join(".ferrobase");
    for name in [".ferrobase/keys.json", "ferrobase.toml"] {
        let read = |root: &Path| fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(read(into), read(scene.root.path()));
    }
    let mode = fs::metadata(data_dir.join("keys.json"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let tasks = Tasks::new();
    let cluster = restore::start(&data_dir, &Search::default(), &scene.context, &tasks)
        .await
        .unwrap();
    let name = scene.db.target().database;
    let target = cluster.target(Cluster::superuser(), &name);
    let mut session = Session::connect(&target).await.unwrap();
    let stored = local(&data_dir, &scene.context).unwrap();
    assert!(LASTING.contains(&check(&mut session, stored.as_ref()).await));
    let mut before = scene.db.session().await;
    for sql in [
        "SELECT rolpassword FROM pg_authid WHERE rolname = 'backup_reader'",
        "SELECT array_to_string(setconfig, ';') FROM pg_db_role_setting AS s
            JOIN pg_roles AS r ON r.oid = s.setrole WHERE r.rolname = 'backup_reader'",
        "SELECT string_agg(polname, ',' ORDER BY polname) FROM pg_policy",
        "SELECT string_agg(n.nspname || '.' || c.relname || ' ' || coalesce((SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) AS a), '') ||
            c.relrowsecurity::text || pg_get_userbyid(c.relowner), ';' ORDER BY n.nspname, c.relname)
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname !~ '^(pg_|information_schema)' AND c.relkind IN ('r', 'v', 'S', 'p')",
        "SELECT string_agg(p.oid::regprocedure::text || coalesce((SELECT string_agg(a::text, ',' ORDER BY a::text)
            FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) AS a), ''), ';'
            ORDER BY p.oid::regprocedure::text) FROM pg_proc AS p
            JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname !~ '^(pg_|information_schema)'",
        "SELECT string_agg(evtname || evtenabled::text, ',' ORDER BY evtname) FROM pg_event_trigger",
        "SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension",
        "SELECT string_agg(r.rolname || '<' || m.rolname, ',' ORDER BY r.rolname, m.rolname)
            FROM pg_auth_members AS a JOIN pg_roles AS r ON r.oid = a.roleid
            JOIN pg_roles AS m ON m.oid = a.member WHERE m.rolname IN ('authenticator', 'postgres')",
    ] {
        let sql = sql.replace("backup_reader", &reader(&scene.db));
        let was = before.script(&sql).await.unwrap();
        let is = session.script(&sql).await.unwrap();
        let text = |rows: &[pg::Rows]| rows[0].scalar().map(str::to_owned);
        assert_eq!(text(&is), text(&was), "{sql}");
    }
    session.close().await;
    cluster.stop().await;
    tasks.stop().await;
    let role = reader(&scene.db);
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    before.script(&gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_notices_what_was_changed_in_a_backup() {
    let scene = Scene::new().await;
    let mut writer = scene.writer(7).await;
    for _ in 0..5 {
        writer.upload().await;
    }
    let key_file = scene.root.path().join("key");
    fs::write(&key_file, "a passphrase of some length").unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let key = Key::read(&key_file).unwrap();
    let lost = writer.own.pop().unwrap();
    scene.blobs.remove(&[lost]).await.unwrap();
    let made = scene.back_up(Some(&key)).await.unwrap();
    let missing = made.files.first_missing.unwrap();
    assert!(missing.starts_with(&lost.to_string()), "{missing}");
    let locked = scene.verify(&made.id, None).await.unwrap_err();
    assert_eq!(locked.code(), "FB6011");
    assert_eq!(scene.repository().list().unwrap()[0].verified_at, None);
    let verified = scene.verify(&made.id, Some(&key)).await.unwrap();
    assert_eq!((verified.files, verified.missing), (4, 1));
    assert!(scene.repository().list().unwrap()[0].verified_at.is_some());
    assert!(!scene.loaded.config.db.data_dir.join("verify").exists());

    // No text of ours can be read in what is encrypted.
    let folder = scene.repository().folder().join(made.id.as_str());
    for name in ["database.dump", "secrets.json"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        for word in [&b"ledger"[..], b"SCRAM-SHA-256", b"rolname", b"PGDMP"] {
            assert!(
                !bytes.windows(word.len()).any(|window| window == word),
                "{name}"
            );
        }
    }
    let store = scene.repository().folder().join("blobs");
    let blob = any_file(&store).unwrap();
    let whole = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, vec![b'x'; whole.len()]).unwrap();
    let damaged = scene.verify(&made.id, Some(&key)).await.unwrap_err();
    assert_eq!(damaged.code(), "FB6008");
}

fn any_file(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return any_file(&path);
        }
        fs::metadata(&path)
            .is_ok_and(|meta| meta.len() > 0)
            .then_some(path)
    })
}
