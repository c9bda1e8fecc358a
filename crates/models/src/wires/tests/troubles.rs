//! What goes wrong between us and any provider.

use super::*;

const KIND: WireKind = WireKind::OpenaiChat;
const BEGUN: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

#[tokio::test]
async fn statuses_say_what_to_do() {
    let limited = Canned::new(
        "429 Too Many Requests",
        "content-type: application/json\r\nretry-after: 7\r\n",
        r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
    );
    let (_, error) = events(KIND, limited, hello()).await;
    let error = error.expect("an error");
    assert_eq!(error.kind, ModelErrorKind::RateLimited);
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert!(error.same_again());
    assert_eq!(error.to_string(), "double: slow down");
    let overloaded = Canned::new(
        "529 Overloaded",
        "retry-after-ms: 250\r\nx-should-retry: true\r\n",
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    );
    let (_, error) = events(WireKind::Anthropic, overloaded, hello()).await;
    let error = error.expect("an error");
    assert_eq!(
        (error.kind, error.status),
        (ModelErrorKind::Overloaded, Some(529))
    );
    assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    let huge = Canned::json("500 No", "x".repeat(1 << 20));
    let (_, error) = events(KIND, huge, hello()).await;
    assert_eq!(error.expect("an error").kind, ModelErrorKind::Server);
    let elsewhere = Canned::new("307 Elsewhere", "location: http://127.0.0.1:1/\r\n", "");
    let (_, error) = events(KIND, elsewhere, hello()).await;
    assert_eq!(error.expect("an error").kind, ModelErrorKind::NotFound);
}

#[tokio::test]
async fn a_body_that_breaks_is_truncated() {
    let headers = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n";
    let body = format!("{:x}\r\n{BEGUN}\r\n", BEGUN.len());
    let (events, error) = events(KIND, Canned::new("200 OK", headers, body), hello()).await;
    assert_eq!(events.len(), 2);
    let error = error.expect("an error");
    assert_eq!(error.kind, ModelErrorKind::Truncated);
    assert_eq!(error.provider.as_deref(), Some("double"));
}

#[tokio::test]
async fn nobody_is_there() {
    let double = Double::new(Vec::new()).await;
    let mut provider = double.provider(KIND);
    // A port that was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    provider.base_url = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    let wire = connect(provider, &double.http()).expect("a wire");
    let error = wire.chat(call(hello())).await.err().expect("refused");
    assert_eq!(error.kind, ModelErrorKind::Connect);
}

#[tokio::test]
async fn the_clouds_credentials_are_out_of_reach() {
    let double = Double::new(Vec::new()).await;
    let mut provider = double.provider(KIND);
    provider.base_url = "http://169.254.169.254/latest".to_owned();
    let wire = connect(provider, &double.http()).expect("a wire");
    let error = wire.chat(call(hello())).await.err().expect("refused");
    assert_eq!(error.kind, ModelErrorKind::Connect);
    assert!(error.message.contains("may be reached"), "{error}");
}

/// Which of the three times was up.
async fn late(answer: Canned, change: impl Fn(&mut Timeouts)) -> String {
    let double = Double::new(vec![answer]).await;
    let mut provider = double.provider(KIND);
    change(&mut provider.timeouts);
    let wire = connect(provider, &double.http()).expect("a wire");
    let stream = match wire.chat(call(hello())).await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    let last = stream.collect::<Vec<_>>().await.pop().expect("something");
    let error = last.expect_err("too late");
    assert_eq!(error.kind, ModelErrorKind::Timeout);
    error.to_string()
}

#[tokio::test]
async fn silence_is_bounded_three_times() {
    let short = Duration::from_millis(50);
    let pings = Canned::sse(": ping\n\n").then_hang();
    let first = late(pings, |times| times.first = short).await;
    assert_eq!(first, "double: no word within 50ms");
    let word = Canned::sse(BEGUN).then_hang();
    let idle = late(word.clone(), |times| times.idle = short).await;
    assert_eq!(idle, "double: no sign of life within 50ms");
    let total = late(word, |times| times.total = short).await;
    assert_eq!(total, "double: not over within 50ms");
    let mut nothing = Canned::sse("").then_hang();
    nothing.head = String::new();
    let head = late(nothing, |times| times.first = short).await;
    assert_eq!(head, "double: no word within 50ms");
}

#[tokio::test]
async fn dropping_an_answer_ends_the_call() {
    let double = Double::new(vec![Canned::sse(BEGUN).then_hang()]).await;
    let http = Http::new(&Tasks::new(), Clock::system()).expect("a client");
    let wire = connect(double.provider(KIND), &http).expect("a wire");
    let mut stream = wire.chat(call(hello())).await.expect("an answer");
    assert!(stream.next().await.expect("an event").is_ok());
    drop(stream);
    // The provider's side ends only when ours has closed.
    double.tasks.stop().await;
}

#[tokio::test]
async fn a_connection_serves_again_after_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let tasks = Tasks::new();
    tasks.spawn("double", async move {
        // One connection only: a second one would wait for ever.
        let (mut stream, _) = listener.accept().await.expect("a client");
        let end = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        for _ in 0..2 {
            read(&mut stream).await;
            let body = format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len());
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("a socket");
            stream.write_all(body.as_bytes()).await.expect("a socket");
        }
    });
    let http = Http::new(&tasks, Clock::system()).expect("a client");
    let wire = connect(Provider::new("p", KIND, Some(&url)), &http).expect("a wire");
    for _ in 0..2 {
        let stream = wire.chat(call(hello())).await.expect("an answer");
        let all: Vec<_> = stream.collect().await;
        assert!(matches!(all.last(), Some(Ok(ChatEvent::End(_)))));
        // What the connection's task has to do to put it back.
        tokio::task::yield_now().await;
    }
}

#[test]
fn keys_do_not_print() {
    let mut provider = Provider::new("p", KIND, None).key(Secret::new("key-of-the-test"));
    provider
        .headers
        .push(("x-more".to_owned(), Secret::new("also-secret")));
    let printed = format!("{provider:?}");
    assert!(
        !printed.contains("key-of") && !printed.contains("also"),
        "{printed}"
    );
}
