//! Real connections to a server of this test's own.

use super::*;

use axum::Router;
use axum::routing::get;

const BUDGET: Budget = Budget {
    time: Duration::from_secs(10),
    body: 1000,
};

async fn serve(tasks: &Tasks, router: Router) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let stop = tasks.token();
    tasks.spawn("server", async move {
        let serving = axum::serve(listener, router);
        tokio::select! {
            _ = serving => {}
            () = stop.cancelled() => {}
        }
    });
    address
}

fn ask(uri: String) -> Request<Bytes> {
    Request::get(uri).body(Bytes::new()).expect("a request")
}

#[tokio::test]
async fn answers_are_read_within_their_bounds_and_redirects_are_answers() {
    let tasks = Tasks::new();
    let router = Router::new()
        .route("/long", get(|| async { "x".repeat(1001) }))
        .route("/ok", get(|| async { "x".repeat(1000) }))
        .route("/never", get(std::future::pending::<&'static str>))
        .route(
            "/away",
            get(|| async { (StatusCode::FOUND, [("location", "/ok")], "") }),
        );
    let address = serve(&tasks, router).await;
    let client = Client::new(Reach::Configured, &[], &tasks).expect("a client");
    let at = |path: &str| ask(format!("http://{address}{path}"));
    let ok = client.call(at("/ok"), BUDGET).await.expect("an answer");
    assert_eq!((ok.status, ok.body.len()), (StatusCode::OK, 1000));
    let long = client.call(at("/long"), BUDGET).await;
    assert!(matches!(long, Err(CallError::TooLarge(1000))), "{long:?}");
    let away = client.call(at("/away"), BUDGET).await.expect("an answer");
    assert_eq!(away.status, StatusCode::FOUND);
    let hurry = Budget {
        time: Duration::from_millis(50),
        ..BUDGET
    };
    let never = client.call(at("/never"), hurry).await;
    assert!(matches!(never, Err(CallError::Timeout(_))), "{never:?}");
    // An idle connection is open; the end does not wait for it.
    tasks.stop().await;
}

#[tokio::test]
async fn names_that_point_inside_are_not_followed() {
    let tasks = Tasks::new();
    let address = serve(&tasks, Router::new().route("/", get(|| async { "secret" }))).await;
    let client = Client::new(Reach::Public, &[], &tasks).expect("a client");
    let port = address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0.0.0.0",
    ] {
        let answer = client
            .call(ask(format!("http://{host}:{port}/")), BUDGET)
            .await;
        assert!(
            matches!(answer, Err(CallError::Forbidden)),
            "{host}: {answer:?}"
        );
    }
    let near = Client::new(Reach::Configured, &[], &tasks).expect("a client");
    let answer = near
        .call(ask(format!("http://localhost:{port}/")), BUDGET)
        .await;
    assert_eq!(answer.expect("an answer").body, "secret");
    tasks.stop().await;
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let tasks = Tasks::new();
    let address = serve_tls(&tasks).await;
    let at = || ask(format!("https://localhost:{}/", address.port()));
    let client = Client::new(Reach::Configured, &[], &tasks).expect("a client");
    let answer = client.call(at(), BUDGET).await;
    assert!(matches!(answer, Err(CallError::Failed(_))), "{answer:?}");
    let root = crate::testing::certificate();
    let trusting = Client::new(Reach::Configured, &[root], &tasks).expect("a client");
    let answer = trusting.call(at(), BUDGET).await.expect("an answer");
    assert_eq!(answer.body, "ok");
    let other = ask(format!("https://127.0.0.1:{}/", address.port()));
    let answer = trusting.call(other, BUDGET).await;
    assert!(matches!(answer, Err(CallError::Failed(_))), "{answer:?}");
    tasks.stop().await;
}

/// Answers every request with `ok`.
async fn serve_tls(tasks: &Tasks) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let acceptor = crate::testing::acceptor();
    let stop = tasks.token();
    tasks.spawn(
        "server",
        stop.run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                // A client that does not trust us says so and leaves.
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = tls.read(&mut request).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let _ = tls.write_all(answer).await;
                let _ = tls.shutdown().await;
            }
        }),
    );
    address
}
