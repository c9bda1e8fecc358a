//! Rows against PostgreSQL: who may do what, and what stays in the books.

use kernel::{Caller, Tasks};
use pg::testing::TestDb;
use pg::{PoolConfig, Session};

use super::*;
use crate::blobs::{Blobs, Given};
use crate::names::ObjectPath;
use crate::who::operations;

const LIMIT: u64 = 1000;
const ANN: &str = "0d8f0c0e-3c3b-4f5e-9d42-6c9f5d3f1a01";

struct Bench {
    db: TestDb,
    store: Store,
    blobs: Blobs,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(setup: &str) -> Self {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        session.script(setup).await.expect("the setup runs");
        session.close().await;
        let tasks = Tasks::new();
        let pool = |user| Pool::new(&db.target_as(user), &PoolConfig::default(), &tasks);
        let (clock, rng) = (Clock::system(), Rng::seeded(7));
        let folder = tempfile::tempdir().expect("a folder");
        let given = Given {
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
        };
        let blobs = Blobs::local(folder.path(), given).expect("a store");
        let store = Store::new(StoreParts {
            requests: pool("authenticator"),
            pool: Pool::new(&db.target(), &PoolConfig::default(), &tasks),
            role: "supabase_storage_admin".into(),
            file_size_limit: LIMIT,
            removed: Arc::new(Notify::new()),
            clock,
            rng,
        });
        Self {
            db,
            store,
            blobs,
            tasks,
            _folder: folder,
        }
    }

    async fn put(&self, who: &Who, object: &NewObject, bytes: &'static str) -> Result<Object> {
        let mut writer = self.blobs.create().await.expect("a writer");
        writer.write(bytes.into()).await.expect("bytes are written");
        let (blob, written) = writer.finish().await.expect("bytes are durable");
        self.store.put(who, object, blob, &written).await
    }

    async fn session(&self) -> Session {
        self.db.session().await
    }

    async fn number(&self, sql: &'static str) -> String {
        let rows = self
            .session()
            .await
            .query(sql, &[])
            .await
            .expect("it reads");
        rows.scalar().unwrap_or_default().to_owned()
    }

    async fn end(self) {
        self.tasks.stop().await;
    }
}

fn somebody(role: &str, subject: &str) -> Who {
    let claims = serde_json::json!({"role": role, "sub": subject}).to_string();
    let caller = Caller {
        claims: claims.into(),
        authenticated: true,
        ..Caller::anonymous(role)
    };
    Who::caller(caller, operations::OBJECT_UPLOAD)
}

fn named(name: &str) -> NewObject {
    let path = ObjectPath::new("docs", name).expect("a name");
    NewObject {
        owner: Some(ANN.to_owned()),
        ..NewObject::new(path, "text/plain")
    }
}

const DOCS: &str = "
    INSERT INTO storage.buckets (id, name, file_size_limit, allowed_mime_types)
    VALUES ('docs', 'docs', 10, '{text/*,image/png}');
    CREATE POLICY own_folder ON storage.objects TO authenticated
        USING ((storage.foldername(name))[1] = auth.uid()::text)
        WITH CHECK ((storage.foldername(name))[1] = auth.uid()::text);";

#[tokio::test]
async fn policies_decide_and_asking_leaves_nothing() {
    let bench = Bench::new(DOCS).await;
    let ann = somebody("authenticated", ANN);
    let mine = named(&format!("{ANN}/a.txt"));
    bench
        .store
        .may_upload(&ann, &mine, Some(5))
        .await
        .expect("her own folder");
    assert_eq!(
        bench.number("SELECT count(*) FROM storage.objects").await,
        "0"
    );
    let other = bench
        .store
        .may_upload(&ann, &named("else/a.txt"), Some(5))
        .await;
    assert_eq!(other.expect_err("another folder").code(), "AccessDenied");
    let other = bench.put(&ann, &named("else/a.txt"), "hello").await;
    assert_eq!(other.expect_err("another folder").code(), "AccessDenied");

    let put = bench.put(&ann, &mine, "hello").await.expect("she may");
    let seen = bench
        .store
        .object(&ann, &mine.path)
        .await
        .expect("she sees it");
    assert_eq!(
        (&seen.id, seen.version.clone(), seen.metadata.size()),
        (&put.id, put.version, Some(5))
    );
    assert_eq!(
        seen.metadata.etag(),
        Some("\"5d41402abc4b2a76b9719d911017c592\"")
    );
    let bob = somebody("authenticated", "0d8f0c0e-3c3b-4f5e-9d42-6c9f5d3f1a02");
    let unseen = bench.store.object(&bob, &mine.path).await;
    assert_eq!(unseen.expect_err("not his").code(), "NoSuchKey");
    let denied = bench.store.delete_one(&bob, &mine.path).await;
    assert_eq!(denied.expect_err("not his").code(), "AccessDenied");
    bench.end().await;
}

#[tokio::test]
async fn limits_of_the_bucket_hold_for_everybody() {
    let bench = Bench::new(DOCS).await;
    for who in [
        Who::store(operations::OBJECT_UPLOAD_SIGNED),
        somebody("service_role", ANN),
    ] {
        let code = |result: Result<_>| result.map(drop).expect_err("a refusal").code();
        let mut object = named("a");
        assert_eq!(
            code(bench.store.may_upload(&who, &object, Some(11)).await),
            "EntityTooLarge"
        );
        let put = bench.put(&who, &object, "eleven byte").await;
        assert_eq!(put.expect_err("too large").code(), "EntityTooLarge");
        object.mime = "image/jpeg".to_owned();
        assert_eq!(
            code(bench.store.may_upload(&who, &object, Some(1)).await),
            "InvalidMimeType"
        );
        object.mime = "image/png".to_owned();
        bench
            .store
            .may_upload(&who, &object, Some(10))
            .await
            .expect("within limits");
        let mut placeholder = named("a/.emptyFolderPlaceholder");
        placeholder.mime = "anything".to_owned();
        assert_eq!(
            code(bench.store.may_upload(&who, &placeholder, Some(1)).await),
            "EntityTooLarge"
        );
        bench
            .store
            .may_upload(&who, &placeholder, Some(0))
            .await
            .expect("no bytes");
        object.path.bucket = "nowhere".to_owned();
        assert_eq!(
            code(bench.store.may_upload(&who, &object, None).await),
            "NoSuchBucket"
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn what_is_replaced_or_deleted_gets_a_tombstone() {
    let bench = Bench::new(DOCS).await;
    let who = somebody("service_role", ANN);
    let mut object = named("a.txt");
    let first = bench.put(&who, &object, "one").await.expect("new");
    let again = bench.put(&who, &object, "two").await;
    assert_eq!(again.expect_err("taken").code(), "KeyAlreadyExists");
    object.upsert = true;
    let second = bench.put(&who, &object, "three").await.expect("replaced");
    assert_eq!(first.id, second.id);
    let buried = "SELECT string_agg(version, ',' ORDER BY version) FROM storage_engine.removed";
    assert_eq!(
        bench.number(buried).await,
        first.version.clone().expect("a version")
    );

    let gone = bench
        .store
        .delete_one(&who, &object.path)
        .await
        .expect("deleted");
    assert_eq!(gone.version, second.version);
    assert_eq!(
        bench
            .number("SELECT count(*) FROM storage_engine.removed")
            .await,
        "2"
    );
    let missing = bench.store.delete_one(&who, &object.path).await;
    assert_eq!(missing.expect_err("gone").code(), "NoSuchKey");
    // The books know what both were, and nothing of the one that was refused.
    let sizes = "SELECT string_agg(size::text, ',' ORDER BY size) FROM storage_engine.written";
    assert_eq!(bench.number(sizes).await, "3,5");
    bench.end().await;
}

#[tokio::test]
async fn whoever_may_insert_need_not_see() {
    let bench = Bench::new(
        "INSERT INTO storage.buckets (id, name) VALUES ('docs', 'docs');
         CREATE POLICY drop_box ON storage.objects FOR INSERT TO anon WITH CHECK (bucket_id = 'docs');",
    )
    .await;
    let nobody = Who::caller(Caller::anonymous("anon"), operations::OBJECT_UPLOAD);
    bench
        .put(&nobody, &named("a.txt"), "hello")
        .await
        .expect("a drop box");
    let seen = bench.store.object(&nobody, &named("a.txt").path).await;
    assert_eq!(seen.expect_err("only dropped").code(), "NoSuchKey");
    bench.end().await;
}

#[tokio::test]
async fn rows_are_not_deleted_past_the_room() {
    let bench = Bench::new(DOCS).await;
    bench
        .put(&somebody("service_role", ANN), &named("a.txt"), "x")
        .await
        .expect("new");
    let mut session = bench.session().await;
    let refused = session.script("DELETE FROM storage.objects").await;
    assert_eq!(refused.expect_err("not so").sqlstate(), Some("42501"));
    let meant = "SET storage.allow_delete_query = 'true'; DELETE FROM storage.objects";
    session.script(meant).await.expect("if it is meant");
    assert_eq!(
        bench
            .number("SELECT count(*) FROM storage_engine.removed")
            .await,
        "1"
    );
    bench.end().await;
}
