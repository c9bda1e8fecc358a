//! Real sockets: slow, silent, oversized and interrupted clients.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Instant;

use axum::Router;
use axum::routing::get;
use kernel::{Clock, Rng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::config::{Config, Mode, Sources, load};
use crate::gateway::{Access, Bodies, Dialect, Room, World};
use crate::health::Health;
use crate::keys;

struct Server {
    address: SocketAddr,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

fn config(env: &[(&str, &str)]) -> Config {
    let mut env: Vec<_> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    env.push(("FERROBASE__API__HOST".to_owned(), "127.0.0.1".to_owned()));
    env.push(("FERROBASE__API__PORT".to_owned(), "0".to_owned()));
    load(
        Mode::Dev,
        &Sources {
            env,
            ..Sources::default()
        },
    )
    .unwrap()
    .config
}

async fn serve(env: &[(&str, &str)]) -> Server {
    let config = config(env);
    let folder = tempfile::tempdir().unwrap();
    let keys = keys::resolve(&config, folder.path(), &Clock::system(), &Rng::system()).unwrap();
    let metrics = Arc::new(Metrics::new(&["rest"]));
    let router = Router::new().route("/", get(|| async { "hello" })).route(
        "/slow",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        }),
    );
    let room = Room {
        name: "rest",
        prefix: "/rest/v1",
        dialect: Dialect::Rest,
        access: Access::Checked,
        bodies: Bodies::Counted,
        service: crate::gateway::routed(router),
    };
    let world = World {
        api_keys: crate::api_keys::ApiKeys::new(Clock::system()),
        clock: Clock::system(),
        rng: Rng::system(),
        health: Health::default(),
        metrics: Arc::clone(&metrics),
        issuers: crate::gateway::Issuers::default(),
        preview: None,
    };
    let gateway = Gateway::new(&config, keys, vec![room], world);
    let tasks = Tasks::new();
    let listeners = Listeners::bind(&config.api).await.unwrap();
    let address = listeners.addresses()[0];
    let lanes = crate::lanes::Lanes::start().unwrap();
    listeners.serve(&gateway, &metrics, &config.api, &lanes, &tasks);
    Server {
        address,
        tasks,
        metrics,
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn say(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        // The server may hang up before it has heard everything.
        let _ = stream.write_all(text.as_bytes()).await;
        stream
    }
}

/// Everything the server says until it closes.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let limit = Duration::from_secs(10);
    // A reset after the answer is as good an end as any.
    let _ = tokio::time::timeout(limit, stream.read_to_end(&mut all))
        .await
        .unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

const CLOSE: &str = "GET /rest/v1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered_with_a_standard_reason() {
    let server = serve(&[]).await;
    let answer = rest_of(server.say(CLOSE).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"),
        "{answer}"
    );
    let unknown = rest_of(server.say(&CLOSE.replace("rest", "x")).await).await;
    assert!(unknown.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[tokio::test]
async fn clients_that_never_finish_a_head_are_cut() {
    let server = serve(&[("FERROBASE__API__HEADER_TIMEOUT", "100ms")]).await;
    for half in ["", "P", "PRI * HTTP", "GET / HTTP/1.1\r\nhost: x\r\nx-a: "] {
        let started = Instant::now();
        rest_of(server.say(half).await).await;
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{half:?} was held"
        );
    }
}

#[tokio::test]
async fn a_head_beyond_its_size_is_431() {
    let server = serve(&[("FERROBASE__API__HEADER_BYTES_MAX", "8KiB")]).await;
    let fits = format!(
        "GET /rest/v1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-a: {}\r\n\r\n",
        "a".repeat(6000)
    );
    assert!(
        rest_of(server.say(&fits).await)
            .await
            .starts_with("HTTP/1.1 200")
    );
    let large = fits.replace(&"a".repeat(6000), &"a".repeat(9000));
    let answer = rest_of(server.say(&large).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 431") && answer.contains("FB431"),
        "{answer}"
    );
    // Far beyond it the connection ends, with or without a word.
    let huge = fits.replace(&"a".repeat(6000), &"a".repeat(200_000));
    let answer = rest_of(server.say(&huge).await).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let server = serve(&[("FERROBASE__API__CONNECTIONS_MAX", "1")]).await;
    let mut first = server.connect().await;
    first
        .write_all(CLOSE.replace("close", "keep-alive").as_bytes())
        .await
        .unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    let second = server.say(CLOSE).await;
    assert!(
        server
            .metrics
            .render()
            .contains("ferrobase_http_connections 1")
    );
    drop(first);
    assert!(
        rest_of(second).await.starts_with("HTTP/1.1 200"),
        "served once there is a place"
    );
}

#[tokio::test]
async fn stopping_lets_running_requests_finish_and_takes_no_new_ones() {
    let server = serve(&[]).await;
    let running = server
        .say(
            &CLOSE
                .replace("/rest/v1", "/rest/v1/slow")
                .replace("close", "keep-alive"),
        )
        .await;
    let idle = server.connect().await;
    while !server
        .metrics
        .render()
        .contains("http_requests_in_flight 1")
    {
        tokio::task::yield_now().await;
    }
    let (answer, ()) = tokio::join!(rest_of(running), server.tasks.stop());
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    drop(idle);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn draining_ends_in_its_time() {
    let server = serve(&[
        ("FERROBASE__API__DRAIN_TIMEOUT", "50ms"),
        ("FERROBASE__API__HEADER_TIMEOUT", "1h"),
    ])
    .await;
    let held = server
        .say("GET /rest/v1/slow HTTP/1.1\r\nhost: x\r\n")
        .await;
    while !server.metrics.render().contains("http_connections 1") {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    server.tasks.stop().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(held);
}

#[tokio::test]
async fn a_taken_port_is_said_in_words() {
    let server = serve(&[]).await;
    let mut config = config(&[]);
    config.api.port = server.address.port();
    let error = Listeners::bind(&config.api)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("another program uses this port"), "{error}");
}
