//! Anthropic's messages.

use serde_json::json;

use super::*;
use crate::chat::{Effort, Image, Message, OutputSchema, Part, Tool, ToolCall, ToolChoice};

const KIND: WireKind = WireKind::Anthropic;

const HAPPY: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":3},"output_tokens":1}}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
    "\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\n",
    r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"ZGFyaw=="}}"#,
    "\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: content_block_start\n",
    r#"data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"grüße 🦀"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{}}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"a_delta_of_tomorrow","x":1}}"#,
    "\n\nevent: an_event_of_tomorrow\ndata: {\"type\":\"an_event_of_tomorrow\"}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "event: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":25,"output_tokens_details":{"thinking_tokens":5}}}"#,
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

#[tokio::test]
async fn an_answer_with_thoughts_and_things_of_tomorrow() {
    let expected = [
        "start msg_1 double claude-x",
        "usage in 57 read 40 write 7 out 1 thought 0 cost None",
        "reasoning hm",
        "signature anthropic:c2ln",
        "signature anthropic:redacted ZGFyaw==",
        "text grüße 🦀",
        "usage in 57 read 40 write 7 out 25 thought 5 cost None",
        "end end",
    ];
    assert_eq!(told(KIND, HAPPY).await, expected);
}

#[tokio::test]
async fn what_is_not_understood_is_counted() {
    let double = Double::new(vec![Canned::sse(HAPPY)]).await;
    let http = double.http();
    let wire = connect(double.provider(KIND), &http).expect("a wire");
    let stream = wire.chat(call(hello())).await.expect("an answer");
    let _: Vec<_> = stream.collect().await;
    assert_eq!(http.skipped(), 3);
}

#[tokio::test]
async fn tools_in_pieces() {
    let body = concat!(
        r#"data: {"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":3,"output_tokens":1}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"write","input":{}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_2","name":"run","input":{}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"p\": \""}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"ü\"}"}}"#,
        "\n\n",
        r#"data: {"type":"content_block_stop","index":0}"#,
        "\n\n",
        r#"data: {"type":"content_block_stop","index":1}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#,
        "\n\n",
        r#"data: {"type":"message_stop"}"#,
        "\n\n",
    );
    let expected = [
        "start m double c",
        "usage in 3 read 0 write 0 out 1 thought 0 cost None",
        "tool 0 toolu_1 write -",
        "tool 1 toolu_2 run -",
        r#"args 0 {"p": ""#,
        r#"args 0 ü"}"#,
        r#"called 0 {"p":"ü"}"#,
        "called 1 {}",
        "usage in 3 read 0 write 0 out 9 thought 0 cost None",
        "end tool_use",
    ];
    assert_eq!(told(KIND, body).await, expected);
    // Cut by the allowed length: no call that the model did not finish.
    let cut = body.replace(r#""ü\"}""#, r#""ü""#).replace(
        r#""stop_reason":"tool_use""#,
        r#""stop_reason":"max_tokens""#,
    );
    let told = told(KIND, &cut).await;
    assert_eq!(
        told.iter()
            .filter(|line| line.starts_with("called"))
            .count(),
        1
    );
    assert_eq!(told.last().map(String::as_str), Some("end length"));
}

#[tokio::test]
async fn errors_within_an_answer_and_no_last_word() {
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    assert_eq!(told(KIND, overloaded).await, ["error overloaded"]);
    let (begun, _) = HAPPY
        .split_once("event: content_block_stop")
        .expect("a block");
    let middle = format!("{begun}{overloaded}");
    assert_eq!(
        told(KIND, &middle).await.last().map(String::as_str),
        Some("error overloaded")
    );
    let (cut, _) = HAPPY.split_once("event: message_stop").expect("its end");
    assert_eq!(
        told(KIND, cut).await.last().map(String::as_str),
        Some("error truncated")
    );
    assert_eq!(told(KIND, "").await, ["error truncated"]);
    for (reason, stop) in [
        ("refusal", "end refusal"),
        ("pause_turn", "end pause"),
        ("model_context_window_exceeded", "end context_full"),
        ("stop_sequence", "end stop_sequence"),
        ("of_tomorrow", "end other"),
    ] {
        let body = HAPPY.replace("end_turn", reason);
        assert_eq!(
            told(KIND, &body).await.last().map(String::as_str),
            Some(stop)
        );
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one request with everything in it")]
async fn what_is_asked() {
    let call_part = Part::ToolCall(ToolCall {
        id: "t1".to_owned(),
        name: "write".to_owned(),
        args: json!({"p": 1}),
        signature: None,
    });
    let reasoning = |signature: &str| Part::Reasoning {
        text: "hm".to_owned(),
        signature: Some(signature.to_owned()),
    };
    let picture = Image::Data {
        mime: "image/png".to_owned(),
        data: vec![1, 2, 3].into(),
    };
    let mut request = ChatRequest::to("x")
        .system("be kind")
        .user("look")
        .message(Message { role: Role::User, parts: vec![Part::Image(picture)] })
        .message(Message {
            role: Role::Assistant,
            parts: vec![
                reasoning("anthropic:c2ln"),
                reasoning("anthropic:redacted ZGFyaw=="),
                reasoning("gemini:other"),
                call_part,
            ],
        })
        .message(Message::tool_result("t1", "no", true))
        .user("and now?")
        .tool(Tool {
            name: "write".to_owned(),
            description: "writes".to_owned(),
            parameters: json!({"type": "object", "properties": {"p": {"type": "integer", "minimum": 1}}}),
            strict: true,
        })
        .schema(OutputSchema::strict("out", json!({"type": "object", "properties": {"a": {"type": "string"}}})))
        .max_tokens(77)
        .effort(Effort::Minimal);
    request.prompt_cache = true;
    request.tool_choice = ToolChoice::Tool("write".to_owned());
    request
        .extra
        .insert("thinking".to_owned(), json!({"type": "adaptive"}));
    request.extra.insert("model".to_owned(), json!("stolen"));
    let token = Uuid::from_u128(7);
    let call = Call {
        token: Some(token),
        ..call(request)
    };
    let seen = asked(KIND, |_| {}, call).await;
    assert_eq!(seen.line, "POST /v1/messages HTTP/1.1");
    assert!(seen.has("x-api-key: key-of-the-test"), "{}", seen.headers);
    assert!(seen.has("anthropic-version: 2023-06-01"));
    assert!(seen.has(&format!("idempotency-key: {token}")));
    assert!(!seen.headers.contains("authorization"));
    let cached = json!({"type": "ephemeral"});
    let expected = json!({
        "model": "some-model",
        "max_tokens": 77,
        "stream": true,
        "system": [{"type": "text", "text": "be kind", "cache_control": cached}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQID"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZGFyaw=="},
                {"type": "tool_use", "id": "t1", "name": "write", "input": {"p": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true},
                {"type": "text", "text": "and now?", "cache_control": cached},
            ]},
        ],
        "tools": [{
            "name": "write",
            "description": "writes",
            "input_schema": {"type": "object", "additionalProperties": false, "properties": {
                "p": {"type": "integer", "description": "(minimum: 1)"},
            }},
            "strict": true,
        }],
        "tool_choice": {"type": "tool", "name": "write"},
        "output_config": {
            "effort": "low",
            "format": {"type": "json_schema", "schema": {
                "type": "object",
                "additionalProperties": false,
                "properties": {"a": {"type": "string"}},
            }},
        },
        "thinking": {"type": "adaptive"},
    });
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn a_schema_that_it_does_not_know_stands_in_the_instructions() {
    let open = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let request = hello().schema(OutputSchema::strict("ages", open.clone()));
    let seen = asked(KIND, |_| {}, call(request)).await;
    assert_eq!(seen.body.get("output_config"), None);
    let system = text_of(&seen.body, "/system/0/text");
    assert!(system.contains("JSON Schema (ages)") && system.contains(&open.to_string()));
}
