//! Uploads in parts: their books, their limits and their ends.

use super::bench::{Ask, Bench, element};

const BUCKET: &str =
    "INSERT INTO storage.buckets (id, name, file_size_limit) VALUES ('b', 'b', 6000000);";
const FIVE: usize = 5 * 1024 * 1024;

async fn begun(bench: &Bench) -> String {
    let told = bench.ask(Ask::new("POST", "/b/k?uploads=")).await;
    assert_eq!(told.0, 200, "{}", told.1);
    element(&told, "UploadId").to_owned()
}

fn part(id: &str, number: u16, body: &[u8]) -> Ask {
    Ask::new("PUT", &format!("/b/k?partNumber={number}&uploadId={id}")).body(body)
}

fn complete(id: &str) -> Ask {
    Ask::new("POST", &format!("/b/k?uploadId={id}"))
}

#[tokio::test]
async fn parts_together_stay_within_the_limit() {
    let bench = Bench::new(BUCKET).await;
    let id = begun(&bench).await;
    let five = vec![1; FIVE];
    assert_eq!(bench.ask(part(&id, 1, &five)).await.0, 200);
    let told = bench.ask(part(&id, 2, &five)).await;
    assert_eq!((told.0, element(&told, "Code")), (413, "EntityTooLarge"));
    // In its own place it fits.
    assert_eq!(bench.ask(part(&id, 1, &five)).await.0, 200);
    assert_eq!(bench.ask(part(&id, 2, b"rest")).await.0, 200);
    let sizes = "SELECT in_progress_size FROM storage.s3_multipart_uploads";
    assert_eq!(bench.number(sizes).await, (FIVE + 4).to_string());
    for number in ["0", "10001", "x", ""] {
        let told = Ask::new("PUT", &format!("/b/k?partNumber={number}&uploadId={id}"));
        let told = bench.ask(told).await;
        assert_eq!((told.0, element(&told, "Code")), (400, "InvalidArgument"));
    }
    // Parts but the last have a least size; without a list all are meant.
    assert_eq!(bench.ask(part(&id, 3, b"more")).await.0, 200);
    let told = bench.ask(complete(&id)).await;
    assert_eq!((told.0, element(&told, "Code")), (400, "EntityTooSmall"));
    assert_eq!(
        bench.number("SELECT count(*) FROM storage.objects").await,
        "0"
    );
    bench.end().await;
}

#[tokio::test]
async fn an_end_leaves_a_tombstone_and_an_object_none() {
    let bench = Bench::new(BUCKET).await;
    let (one, other) = (begun(&bench).await, begun(&bench).await);
    for id in [&one, &other] {
        assert_eq!(bench.ask(part(id, 1, b"bytes")).await.0, 200);
    }
    let abort = |id: &str| Ask::new("DELETE", &format!("/b/k?uploadId={id}"));
    assert_eq!(bench.ask(abort(&one)).await.0, 204);
    let buried = "SELECT count(*) FROM storage_engine.removed";
    assert_eq!(bench.number(buried).await, "1");
    let told = bench.ask(complete(&one)).await;
    assert_eq!((told.0, element(&told, "Code")), (404, "NoSuchUpload"));
    let told = bench.ask(complete(&other)).await;
    assert_eq!(told.0, 200, "{}", told.1);
    assert_eq!(bench.number(buried).await, "1");
    assert_eq!(
        bench.ask(Ask::new("GET", "/b/k")).await,
        (200, "bytes".to_owned())
    );
    let rows = "SELECT (SELECT count(*) FROM storage.s3_multipart_uploads) + (SELECT count(*) FROM storage_engine.s3_parts)";
    assert_eq!(bench.number(rows).await, "0");
    bench.end().await;
}

#[tokio::test]
async fn a_crash_between_the_object_and_the_end_of_its_upload_is_harmless() {
    let bench = Bench::new(BUCKET).await;
    let id = begun(&bench).await;
    assert_eq!(bench.ask(part(&id, 1, b"bytes")).await.0, 200);
    // What a node leaves that dies after the object's row: everything else.
    let mut session = bench.db.session().await;
    session
        .script(
            "CREATE TABLE kept AS SELECT * FROM storage.s3_multipart_uploads;
             CREATE TABLE parts AS SELECT * FROM storage.s3_multipart_uploads_parts;
             CREATE TABLE sums AS SELECT * FROM storage_engine.s3_parts;",
        )
        .await
        .expect("a copy");
    assert_eq!(bench.ask(complete(&id)).await.0, 200);
    let back = "INSERT INTO storage.s3_multipart_uploads SELECT * FROM kept;
         INSERT INTO storage.s3_multipart_uploads_parts SELECT * FROM parts;
         INSERT INTO storage_engine.s3_parts SELECT * FROM sums;";
    session.script(back).await.expect("rows are back");
    // The client tries again and is told the same.
    let told = bench.ask(complete(&id)).await;
    assert_eq!(told.0, 200, "{}", told.1);
    session.script(back).await.expect("rows are back");
    // Or it gives up; the object's bytes are not the upload's to bury.
    let abort = Ask::new("DELETE", &format!("/b/k?uploadId={id}"));
    assert_eq!(bench.ask(abort).await.0, 204);
    assert_eq!(
        bench
            .number("SELECT count(*) FROM storage_engine.removed")
            .await,
        "0"
    );
    assert_eq!(
        bench.ask(Ask::new("GET", "/b/k")).await,
        (200, "bytes".to_owned())
    );
    session.close().await;
    bench.end().await;
}

#[tokio::test]
async fn one_at_a_time_puts_it_together() {
    let bench = Bench::new(BUCKET).await;
    let id = begun(&bench).await;
    assert_eq!(bench.ask(part(&id, 1, b"bytes")).await.0, 200);
    let mut session = bench.db.session().await;
    let claimed = |ago: &str| {
        format!(
            "UPDATE storage.s3_multipart_uploads SET upload_signature = 'completing ' || (now() - interval '{ago}')::text"
        )
    };
    session
        .script(&claimed("9 minutes"))
        .await
        .expect("claimed");
    let told = bench.ask(complete(&id)).await;
    assert_eq!((told.0, element(&told, "Code")), (409, "OperationAborted"));
    session
        .script(&claimed("11 minutes"))
        .await
        .expect("claimed");
    assert_eq!(bench.ask(complete(&id)).await.0, 200);
    session.close().await;
    bench.end().await;
}
