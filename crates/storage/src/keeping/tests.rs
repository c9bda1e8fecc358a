//! Rows in PostgreSQL and bytes in a folder, brought out of step on purpose.

use super::*;

use std::path::Path;
use std::time::Duration;

use kernel::{Clock, Rng, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig, Session};

use crate::blobs::{BlobId, Blobs, Given, Written};

const HOUR: Duration = Duration::from_secs(3600);

struct Scene {
    db: TestDb,
    session: Session,
    folder: tempfile::TempDir,
    blobs: Blobs,
    books: Books,
    clock: Clock,
    tasks: Tasks,
}

impl Scene {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        let setup = "INSERT INTO storage.buckets (id, name) VALUES ('docs', 'docs')";
        session.script(setup).await.expect("a bucket");
        let (clock, tasks) = (
            Clock::manual("2026-11-21T12:00:00Z".parse().expect("a time")),
            Tasks::new(),
        );
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = open(folder.path(), &clock, &tasks);
        let pool = Pool::new(&db.target(), &PoolConfig::default(), &tasks);
        let books = Books::new(pool, "supabase_storage_admin");
        Self {
            db,
            session,
            folder,
            blobs,
            books,
            clock,
            tasks,
        }
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper::new(self.books.clone(), self.blobs.clone(), self.clock.clone())
    }

    async fn bytes(&self, text: &'static str) -> (BlobId, Written) {
        // Names of one moment have no order.
        self.clock.advance(Duration::from_millis(1));
        let mut writer = self.blobs.create().await.expect("a writer");
        writer.write(text.into()).await.expect("taken");
        writer.finish().await.expect("durable")
    }

    /// A row with bytes.
    async fn object(&mut self, name: &str, text: &'static str) -> BlobId {
        let (id, written) = self.bytes(text).await;
        let sums: String = written
            .sums
            .to_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let said = format!("{id} {} {sums}", written.size);
        let sql =
            "WITH said AS MATERIALIZED (SELECT set_config('storage_engine.written', $3, false))
            INSERT INTO storage.objects (bucket_id, name, version, metadata)
            SELECT 'docs', $1, $2, '{}' FROM said";
        let params = [name, &id.to_string(), &said].map(|text| Some(text.to_owned()));
        let params: Vec<_> = params.iter().map(|text| text.as_deref()).collect();
        self.session.query(sql, &params).await.expect("a row");
        id
    }

    async fn script(&mut self, sql: &str) {
        let allowed = format!("SET storage.allow_delete_query = 'true'; {sql}");
        self.session.script(&allowed).await.expect("done");
    }

    async fn there(&self, id: BlobId) -> bool {
        self.blobs.size(id).await.is_ok()
    }

    async fn fsck(&self, fsck: Fsck) -> (Report, Vec<Problem>) {
        let mut problems = Vec::new();
        let tell = |problem| problems.push(problem);
        let report = fsck.run(&self.books, &self.blobs, &self.clock, tell).await;
        (report.expect("it looks"), problems)
    }

    async fn end(self) {
        self.session.close().await;
        self.tasks.stop().await;
        drop(self.db);
    }
}

fn open(folder: &Path, clock: &Clock, tasks: &Tasks) -> Blobs {
    let given = Given {
        clock: clock.clone(),
        rng: Rng::system(),
        tasks: tasks.clone(),
    };
    Blobs::local(folder, given).expect("opens")
}

#[tokio::test]
async fn what_lost_its_row_goes_and_nothing_else() {
    let mut scene = Scene::new().await;
    let gone = scene.object("gone", "one").await;
    let kept = scene.object("kept", "two").await;
    let over = scene.object("over", "three").await;
    let (new, _) = scene.bytes("four").await;
    scene
        .script("DELETE FROM storage.objects WHERE name = 'gone'")
        .await;
    scene
        .script(&format!(
            "UPDATE storage.objects SET version = '{new}' WHERE name = 'over'"
        ))
        .await;
    // Somebody makes a tombstone for what a row names.
    scene
        .script(&format!(
            "INSERT INTO storage_engine.removed VALUES ('{kept}'), ('not one of ours\"\\')"
        ))
        .await;
    let swept = scene.sweeper().sweep_once().await.expect("swept");
    assert_eq!((swept.buried, swept.orphans), (2, 0));
    assert!(!scene.there(gone).await && !scene.there(over).await);
    assert!(scene.there(kept).await && scene.there(new).await);
    let left = "SELECT (SELECT count(*) FROM storage_engine.removed), count(*) FROM storage_engine.written";
    let left = scene.session.query(left, &[]).await.expect("counted");
    let row = left.first().expect("a row");
    assert_eq!((row.get(0), row.get(1)), (Some("0"), Some("1")));
    scene.end().await;
}

#[tokio::test]
async fn bytes_without_a_row_go_when_nobody_can_be_about_to_name_them() {
    let mut scene = Scene::new().await;
    let (orphan, _) = scene.bytes("never named").await;
    let named = scene.object("named", "named").await;
    let unfinished = scene.blobs.begin_append().await.expect("begun");
    let swept = scene.sweeper().sweep_once().await.expect("swept");
    assert_eq!(swept, Swept::default(), "all of it is young");
    scene.clock.advance(HOUR);
    let (young, _) = scene.bytes("young").await;
    let swept = scene.sweeper().sweep_once().await.expect("swept");
    assert_eq!((swept.orphans, swept.unfinished), (1, 1));
    assert!(!scene.there(orphan).await && scene.there(named).await && scene.there(young).await);
    assert!(
        !scene
            .blobs
            .unfinished()
            .await
            .expect("a list")
            .contains(&unfinished)
    );
    // The next look begins where this one ended.
    scene
        .blobs
        .create_as(orphan)
        .await
        .expect("a writer")
        .finish()
        .await
        .expect("durable");
    scene.clock.advance(2 * HOUR);
    let swept = scene.sweeper().sweep_once().await.expect("swept");
    assert_eq!(swept.orphans, 1, "the young one");
    assert!(scene.there(orphan).await && !scene.there(young).await);
    scene.end().await;
}

#[tokio::test]
async fn a_start_with_the_folder_to_itself_need_not_wait() {
    let scene = Scene::new().await;
    let (orphan, _) = scene.bytes("left by a crash").await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    // The first store still holds its folder, so this is the same on another.
    let copied = |path: &str| elsewhere.path().join(path);
    let file = scene.blobs.local_path(orphan).expect("a file");
    let inside = file
        .strip_prefix(scene.folder.path())
        .expect("inside")
        .to_owned();
    let to = copied(inside.to_str().expect("text"));
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
    std::fs::copy(&file, &to).expect("copied");
    scene.clock.advance(Duration::from_millis(1));
    let blobs = open(elsewhere.path(), &scene.clock, &scene.tasks);
    let sweeper = Sweeper::new(scene.books.clone(), blobs.clone(), scene.clock.clone());
    let swept = sweeper.sweep_once().await.expect("swept");
    assert_eq!(swept.orphans, 1);
    assert!(blobs.size(orphan).await.is_err());
    scene.end().await;
}

#[tokio::test]
async fn a_backup_and_another_database_stop_it() {
    let mut scene = Scene::new().await;
    let gone = scene.object("gone", "one").await;
    scene.script("DELETE FROM storage.objects").await;
    let mut backup = scene.db.session().await;
    backup.query(pg::fence::HOLD, &[]).await.expect("held");
    let swept = scene.sweeper().sweep_once().await.expect("swept");
    assert_eq!((swept.buried, scene.there(gone).await), (0, true));
    backup
        .query("SELECT pg_advisory_unlock_all()", &[])
        .await
        .expect("released");
    scene
        .script("UPDATE storage_engine.sweep SET books = gen_random_uuid()")
        .await;
    let foreign = scene.sweeper().sweep_once().await;
    assert!(matches!(foreign, Err(KeepingError::Foreign)), "{foreign:?}");
    assert!(scene.there(gone).await);
    backup.close().await;
    scene.end().await;
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_end() {
    let mut scene = Scene::new().await;
    let (old, new) = (
        scene.blobs.begin_multipart().await,
        scene.blobs.begin_multipart().await,
    );
    let (old, new) = (old.expect("begun"), new.expect("begun"));
    scene.script(&format!(
        "INSERT INTO storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version, created_at)
         VALUES ('old', '', 'docs', 'a', '{old}', now() - interval '8 days'), ('new', '', 'docs', 'b', '{new}', now())"
    )).await;
    scene.clock.advance(2 * HOUR);
    let swept = scene.sweeper().sweep_once().await.expect("swept");
    assert_eq!((swept.expired, swept.buried, swept.unfinished), (1, 1, 0));
    assert_eq!(scene.blobs.unfinished().await.expect("a list"), [new]);
    scene.end().await;
}

#[tokio::test]
async fn fsck_finds_what_is_wrong_and_repairs_what_can_be() {
    let mut scene = Scene::new().await;
    for (name, text) in [
        ("fine", "fine"),
        ("lost", "lost"),
        ("short", "shorter"),
        ("rotten", "rotten"),
    ] {
        scene.object(name, text).await;
    }
    let clean = Fsck {
        verify: true,
        ..Fsck::default()
    };
    let (report, problems) = scene.fsck(clean).await;
    assert_eq!(
        (problems, report.is_clean(), report.verified),
        (vec![], true, 4)
    );
    let (orphan, _) = scene.bytes("orphan").await;
    let unfinished = scene.blobs.begin_multipart().await.expect("begun");
    scene.clock.advance(2 * HOUR);
    for (name, bytes) in [
        ("lost", None),
        ("short", Some("s")),
        ("rotten", Some("rottem")),
    ] {
        let sql = "SELECT version FROM storage.objects WHERE name = $1";
        let rows = scene
            .session
            .query(sql, &[Some(name)])
            .await
            .expect("a row");
        let id: BlobId = rows.scalar().expect("a version").parse().expect("a name");
        let path = scene.blobs.local_path(id).expect("a file");
        match bytes {
            None => std::fs::remove_file(path).expect("removed"),
            Some(bytes) => std::fs::write(path, bytes).expect("written"),
        }
    }
    let kinds = |problems: &[Problem]| {
        let mut kinds: Vec<String> = problems
            .iter()
            .map(|problem| {
                format!("{problem:?}")
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        kinds.sort();
        kinds.join(" ")
    };
    let (report, problems) = scene.fsck(Fsck::default()).await;
    assert_eq!(
        (kinds(&problems).as_str(), report.repaired),
        ("Missing Orphan Size Unfinished", 0)
    );
    let repair = Fsck {
        repair: true,
        ..clean
    };
    let (report, problems) = scene.fsck(repair).await;
    assert_eq!(kinds(&problems), "Corrupt Missing Orphan Size Unfinished");
    assert_eq!(
        (report.problems, report.repaired, report.is_clean()),
        (5, 2, false)
    );
    assert!(!scene.there(orphan).await);
    assert!(
        !scene
            .blobs
            .unfinished()
            .await
            .expect("a list")
            .contains(&unfinished)
    );
    let forget = Fsck {
        forget: true,
        ..Fsck::default()
    };
    let (report, problems) = scene.fsck(forget).await;
    assert_eq!(
        (kinds(&problems).as_str(), report.repaired),
        ("Missing Size", 1)
    );
    let (_, problems) = scene.fsck(Fsck::default()).await;
    assert_eq!(kinds(&problems), "Size");
    scene.end().await;
}
