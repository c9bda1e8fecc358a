//! Embeddings and predictions.

use serde_json::json;

use super::*;
use crate::wires::replicate::{Signed, told, verify};

async fn embed(kind: WireKind, body: &str, texts: usize) -> (Result<Embeddings, ModelError>, Seen) {
    let double = Double::new(vec![Canned::json("200 OK", body)]).await;
    let wire = connect(double.provider(kind), &double.http()).expect("a wire");
    let call = EmbedCall {
        model: "embed-x".to_owned(),
        texts: (0..texts).map(|n| format!("text {n}")).collect(),
        dimensions: Some(2),
        token: None,
    };
    let answer = wire.embed(call).await;
    (answer, double.seen().remove(0))
}

#[tokio::test]
async fn vectors_as_base64_or_as_numbers_in_any_order() {
    // 1.0 and -0.5, then 2.0 and 0.25, as little-endian floats.
    let body = r#"{"object":"list","model":"embed-x-1","data":[{"index":1,"embedding":[2.0,0.25]},{"index":0,"embedding":"AACAPwAAAL8="}],"usage":{"prompt_tokens":6,"total_tokens":6}}"#;
    let (answer, seen) = embed(WireKind::OpenaiChat, body, 2).await;
    let answer = answer.expect("vectors");
    assert_eq!(answer.vectors, [[1.0, -0.5], [2.0, 0.25]]);
    assert_eq!(
        (answer.usage.input, answer.model.as_str()),
        (6, "embed-x-1")
    );
    assert_eq!(seen.line, "POST /v1/embeddings HTTP/1.1");
    let expected = json!({"model": "embed-x", "input": ["text 0", "text 1"], "encoding_format": "base64", "dimensions": 2});
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn a_vector_for_each_text_or_none() {
    for body in [
        r#"{"data":[]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":9,"embedding":[1]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":"AAA="}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":["x"]}]}"#,
    ] {
        let (answer, _) = embed(WireKind::OpenaiResponses, body, 2).await;
        assert_eq!(answer.expect_err(body).kind, ModelErrorKind::Protocol);
    }
}

#[tokio::test]
async fn gemini_takes_them_in_batches() {
    let body = r#"{"embeddings":[{"values":[1.0,2.0]},{"values":[3.0,4.0]}]}"#;
    let (answer, seen) = embed(WireKind::Gemini, body, 2).await;
    assert_eq!(answer.expect("vectors").vectors, [[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(
        seen.line,
        "POST /v1/models/embed-x:batchEmbedContents HTTP/1.1"
    );
    assert_eq!(
        seen.body["requests"][1],
        json!({
            "model": "models/embed-x",
            "content": {"parts": [{"text": "text 1"}]},
            "outputDimensionality": 2,
        })
    );
    let one = |n: usize| {
        let all = vec![r#"{"values":[1.0]}"#; n].join(",");
        Canned::json("200 OK", format!("{{\"embeddings\":[{all}]}}"))
    };
    let double = Double::new(vec![one(100), one(50)]).await;
    let wire = connect(double.provider(WireKind::Gemini), &double.http()).expect("a wire");
    let call = EmbedCall {
        model: "e".to_owned(),
        texts: vec!["x".to_owned(); 150],
        dimensions: None,
        token: None,
    };
    assert_eq!(wire.embed(call).await.expect("vectors").vectors.len(), 150);
}

const STARTING: &str = r#"{"id":"abc123","status":"starting","input":{},"output":null,"error":null,"metrics":{},"urls":{"get":"https://elsewhere.example/x"}}"#;
const DONE: &str = r#"{"id":"abc123","status":"succeeded","output":["https://r/out.png"],"error":null,"metrics":{"predict_time":1.5}}"#;

#[tokio::test]
async fn a_prediction_is_begun_looked_at_and_ended() {
    let answers = [STARTING, DONE, r#"{"id":"abc123","status":"canceled"}"#];
    let answers = answers.map(|body| Canned::json("201 Created", body));
    let double = Double::new(answers.to_vec()).await;
    let wire = connect(double.provider(WireKind::Replicate), &double.http()).expect("a wire");
    let call = PredictCall {
        model: "black-forest-labs/flux-schnell".to_owned(),
        input: json!({"prompt": "a crab"}),
        webhook: Some("https://me.example/hook".to_owned()),
        token: Some(Uuid::from_u128(7)),
    };
    let begun = wire.predict(call).await.expect("begun");
    assert_eq!(
        (begun.status, begun.status.is_over()),
        (PredictionStatus::Starting, false)
    );
    // Another process goes on with nothing but the handle.
    let later = connect(double.provider(WireKind::Replicate), &double.http()).expect("a wire");
    let done = later.prediction(begun.handle.clone()).await.expect("told");
    assert_eq!(done.status, PredictionStatus::Succeeded);
    assert_eq!(done.output, json!(["https://r/out.png"]));
    assert_eq!(done.usage.seconds, Some(1.5));
    let ended = later.cancel(begun.handle).await.expect("ended");
    assert_eq!(ended.status, PredictionStatus::Canceled);
    let seen = double.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/models/black-forest-labs/flux-schnell/predictions HTTP/1.1",
            "GET /v1/predictions/abc123 HTTP/1.1",
            "POST /v1/predictions/abc123/cancel HTTP/1.1",
        ]
    );
    assert_eq!(
        seen[0].body,
        json!({
            "input": {"prompt": "a crab"},
            "webhook": "https://me.example/hook",
            "webhook_events_filter": ["completed"],
        })
    );
    assert!(!seen[0].headers.contains("prefer"));
}

#[tokio::test]
async fn versions_waits_and_handles_that_lead_elsewhere() {
    let double = Double::new(vec![Canned::json("201 Created", DONE)]).await;
    let wire = connect(double.provider(WireKind::Replicate), &double.http()).expect("a wire");
    let call = PredictCall {
        model: "owner/name:0123abcd".to_owned(),
        input: json!({}),
        webhook: None,
        token: None,
    };
    let told = wire.predict(call).await.expect("made");
    assert!(told.status.is_over());
    let seen = double.seen().remove(0);
    assert_eq!(seen.line, "POST /v1/predictions HTTP/1.1");
    assert_eq!(seen.body["version"], json!("0123abcd"));
    assert!(seen.has("prefer: wait=10"));
    for handle in ["", "../models", "a/b", "a?b"] {
        let error = wire
            .prediction(handle.to_owned())
            .await
            .expect_err("refused");
        assert_eq!(error.kind, ModelErrorKind::NotFound);
    }
    let error = wire
        .chat(super::call(hello()))
        .await
        .err()
        .expect("refused");
    assert_eq!(error.kind, ModelErrorKind::Unsupported);
}

#[test]
fn predictions_that_make_no_sense_are_refused() {
    assert!(told(&json!({"id": "a", "status": "of_tomorrow"})).is_err());
    assert!(told(&json!({"status": "succeeded"})).is_err());
    let failed = told(&json!({"id": "a", "status": "failed", "error": "NSFW"})).expect("told");
    assert_eq!(failed.error.as_deref(), Some("NSFW"));
}

#[test]
fn a_webhook_is_believed_with_its_signature_and_not_for_long() {
    // The example of the scheme's own documentation (Svix).
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let body = br#"{"test": 2432232314}"#;
    let good = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signature: "v1,AAAA v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };
    let at = |seconds| Timestamp::from_second(seconds).expect("a time");
    let now = at(1_614_265_330);
    assert!(verify(&secret, good, body, now));
    assert!(verify(&secret, good, body, at(1_614_265_330 + 300)));
    assert!(!verify(&secret, good, body, at(1_614_265_330 + 301)));
    assert!(!verify(&secret, good, body, at(1_614_265_330 - 301)));
    assert!(!verify(&secret, good, br#"{"test": 2432232315}"#, now));
    assert!(!verify(
        &secret,
        Signed {
            id: "msg_x",
            ..good
        },
        body,
        now
    ));
    assert!(!verify(&Secret::new("whsec_AAAA"), good, body, now));
    assert!(!verify(&Secret::new("not base64!"), good, body, now));
    let late = Signed {
        timestamp: "1614265331",
        ..good
    };
    assert!(!verify(&secret, late, body, now));
}
