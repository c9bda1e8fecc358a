//! What official libraries read, byte by byte where they are picky.

use kernel::Caller;
use serde_json::{Value, json};

use crate::provider::{Say, answer, text};
use crate::support::{Room, user};

fn frames(body: &str) -> Vec<Value> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .filter(|line| *line != "[DONE]")
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn chat(stream: bool) -> Value {
    json!({"model": "coder", "stream": stream, "messages": [{"role": "user", "content": "x"}],
        "stream_options": {"include_usage": true}})
}

#[tokio::test]
async fn chat_completions_whole_and_streamed() {
    let room = Room::new().await;
    room.first
        .says([answer("four", 100, 10), answer("four", 100, 10)]);
    let (status, headers, body) = room
        .http(&user("ada"), "/chat/completions", &chat(false))
        .await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["choices"][0]["message"]["content"]),
        (200, &json!("four"))
    );
    assert_eq!(body["usage"]["total_tokens"], 110);
    assert_eq!(
        (headers["x-model"].as_bytes(), headers["x-cost"].as_bytes()),
        (&b"first/m"[..], &b"0.200000000"[..])
    );
    assert_eq!(headers["x-attempts"], "1");

    let (_, headers, body) = room
        .http(&user("ada"), "/chat/completions", &chat(true))
        .await;
    assert_eq!(headers["content-type"], "text/event-stream");
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    let frames = frames(&body);
    assert_eq!(frames[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(frames[1]["choices"][0]["delta"]["content"], "four");
    assert_eq!(frames[2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        (&frames[3]["choices"], &frames[3]["usage"]["prompt_tokens"]),
        (&json!([]), &json!(100))
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one answer in five voices")]
async fn calls_of_tools_come_through_in_every_dialect() {
    let room = Room::new().await;
    let piece = |call: Value| json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    let says = || {
        Say::Stream(
            vec![
                piece(
                    json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"a"}}),
                ),
                piece(json!({"index": 0, "function": {"arguments": "t\":1}"}})),
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
            ],
            true,
        )
    };
    room.first.says([says(), says(), says(), says(), says()]);
    let tool = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let mut asked = chat(false);
    asked["tools"] = tool.clone();
    let (_, _, body) = room.http(&user("ada"), "/chat/completions", &asked).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let call = &body["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        (&call["id"], &call["function"]["arguments"]),
        (&json!("c1"), &json!("{\"at\":1}"))
    );
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");

    asked["stream"] = json!(true);
    let (_, _, body) = room.http(&user("ada"), "/chat/completions", &asked).await;
    let arguments: String = frames(&body)
        .iter()
        .filter_map(|f| {
            f.pointer("/choices/0/delta/tool_calls/0/function/arguments")?
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(arguments, "{\"at\":1}");

    let asked = json!({"model": "coder", "input": "x", "stream": true,
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}]});
    let (_, _, body) = room.http(&user("ada"), "/responses", &asked).await;
    let kinds: Vec<_> = frames(&body)
        .iter()
        .map(|f| f["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    let last = frames(&body).pop().unwrap();
    assert_eq!(last["response"]["output"][0]["arguments"], "{\"at\":1}");

    let mut asked = json!({"model": "coder", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}]});
    let (_, _, body) = room.http(&user("ada"), "/messages", &asked).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&body["stop_reason"], &body["content"][0]["input"]["at"]),
        (&json!("tool_use"), &json!(1))
    );
    asked["stream"] = json!(true);
    let (_, _, body) = room.http(&user("ada"), "/messages", &asked).await;
    let kinds: Vec<_> = frames(&body)
        .iter()
        .map(|f| f["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
}

#[tokio::test]
async fn a_failure_in_the_middle_is_said_in_the_stream() {
    let room = Room::new().await;
    let cut = || Say::Stream(vec![text("I will")], false);
    room.first.says([cut(), cut(), cut()]);
    let (_, _, body) = room
        .http(&user("ada"), "/chat/completions", &chat(true))
        .await;
    assert!(
        frames(&body).pop().unwrap()["error"]["message"].is_string(),
        "{body}"
    );
    assert!(!body.contains("[DONE]"));
    let asked = json!({"model": "coder", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "x"}]});
    let (_, _, body) = room.http(&user("ada"), "/messages", &asked).await;
    assert!(body.contains("event: error\n"), "{body}");
    let (_, _, body) = room
        .http(
            &user("ada"),
            "/responses",
            &json!({"model": "coder", "input": "x", "stream": true}),
        )
        .await;
    assert_eq!(frames(&body).pop().unwrap()["type"], "response.failed");
}

#[tokio::test]
async fn nobody_in_particular_and_readers_are_refused_in_the_dialect() {
    let room = Room::new().await;
    let reader = Caller {
        read_only: true,
        ..user("ada")
    };
    for (caller, status) in [(Caller::anonymous("anon"), 401), (reader, 403)] {
        let (told, _, body) = room.http(&caller, "/chat/completions", &chat(false)).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((told, body["error"]["message"].is_string()), (status, true));
        let (told, _, body) = room.http(&caller, "/messages", &chat(false)).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((told, &body["type"]), (status, &json!("error")));
    }
    assert_eq!(room.first.calls(), 0);
    assert_eq!(room.one("SELECT count(*) FROM ai.calls").await, "0");
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_not_tried_again() {
    let room = Room::new().await;
    room.run("INSERT INTO ai.budgets (scope, period, cost) VALUES ('user', 'month', 0)")
        .await;
    let (status, headers, body) = room
        .http(&user("ada"), "/chat/completions", &chat(false))
        .await;
    assert_eq!(
        (status, headers["x-should-retry"].as_bytes()),
        (429, &b"false"[..])
    );
    assert!(body.contains("insufficient_quota"), "{body}");
    assert_eq!(room.one("SELECT outcome FROM ai.calls").await, "refused");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_once_more() {
    let room = Room::new().await;
    room.first.says([
        answer("no idea", 1, 1),
        answer("Sure: {name: 'Ada', age: \"36\"}", 1, 1),
    ]);
    let schema = json!({"type": "object", "required": ["name", "age"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}});
    let mut asked = chat(false);
    asked["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "p", "schema": schema, "strict": true}});
    let (status, _, body) = room.http(&user("ada"), "/chat/completions", &asked).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    let value: Value =
        serde_json::from_str(body["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(value, json!({"name": "Ada", "age": 36}));
    assert_eq!(
        room.one("SELECT count(*) FROM ai.calls").await,
        "2",
        "both were paid for"
    );
}

#[tokio::test]
async fn embeddings_come_as_asked() {
    let room = Room::new().await;
    room.first.says([Say::Vectors(1), Say::Vectors(1)]);
    let mut asked = json!({"model": "embed", "input": "a"});
    let (_, _, body) = room.http(&user("ada"), "/embeddings", &asked).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["data"][0]["embedding"], json!([0.5, -1.0]));
    asked["encoding_format"] = json!("base64");
    let (_, _, body) = room.http(&user("ada"), "/embeddings", &asked).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["data"][0]["embedding"], "AAAAPwAAgL8=");
}
