//! scratch
use super::bench::*;
use kernel::Clock;
#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn serves() {
    let bench = Bench::at(Clock::system(), "
CREATE POLICY own_folder ON storage.objects TO authenticated
        USING ((storage.foldername(name))[1] = auth.uid()::text)
        WITH CHECK ((storage.foldername(name))[1] = auth.uid()::text);").await;
    eprintln!("KEY {KEY} SECRET {}", secret(KEY));
    std::fs::write("/tmp/s3secret", secret(KEY)).unwrap();
    let app = axum::Router::new().nest("/storage/v1", bench.room.s3_router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:54990").await.unwrap();
    let end = async { while !std::path::Path::new("/tmp/s3stop").exists() { tokio::time::sleep(std::time::Duration::from_millis(300)).await; } };
    axum::serve(listener, app).with_graceful_shutdown(end).await.unwrap();
    bench.end().await;
}
