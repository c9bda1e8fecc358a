//! Chat completions, of `OpenAI` and of everybody else.

use serde_json::json;

use super::*;
use crate::chat::{Effort, Image, Message, OutputSchema, Part, Tool, ToolCall, ToolChoice};

const KIND: WireKind = WireKind::OpenaiChat;

fn chunk(rest: &str) -> String {
    format!(
        "data: {{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-x\",{rest}}}\n\n"
    )
}

fn delta(delta: &str) -> String {
    chunk(&format!(
        r#""choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]"#
    ))
}

fn finish(reason: &str) -> String {
    chunk(&format!(
        r#""choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]"#
    ))
}

const DONE: &str = "data: [DONE]\n\n";

const USAGE: &str = r#""usage":{"prompt_tokens":50,"completion_tokens":9,"total_tokens":59,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}"#;

#[tokio::test]
async fn usage_comes_alone_or_with_choices() {
    let begin = delta(r#"{"role":"assistant","content":""}"#) + &delta(r#"{"content":"grüße 🦀"}"#);
    let alone = chunk(&format!(r#""choices":[],{USAGE}"#));
    let beside = chunk(&format!(
        r#""choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],{USAGE}"#
    ));
    let expected = [
        "start c1 double gpt-x",
        "text grüße 🦀",
        "usage in 50 read 40 write 2 out 9 thought 4 cost None",
        "end end",
    ];
    let one = format!("{begin}{}{alone}{DONE}", finish("stop"));
    assert_eq!(told(KIND, &one).await, expected);
    assert_eq!(
        told(KIND, &format!("{begin}{beside}{DONE}")).await,
        expected
    );
    // Without the last line, which is a habit and not the last word.
    assert_eq!(told(KIND, &format!("{begin}{beside}")).await, expected);
    let crlf = one.replace('\n', "\r\n");
    assert_eq!(told(KIND, &crlf).await, expected);
}

#[tokio::test]
async fn the_router_tells_its_cost_between_comments() {
    let body = format!(
        ": OPENROUTER PROCESSING\n\n{}: OPENROUTER PROCESSING\n\n{}{}{}{DONE}",
        delta(
            r#"{"content":"","reasoning":"h","reasoning_details":[{"type":"reasoning.text","text":"h","index":0,"format":"f"}]}"#
        ),
        delta(
            r#"{"content":"a","reasoning_details":[{"type":"reasoning.text","text":"m","index":0},{"type":"reasoning.encrypted","data":"zz","index":1}]}"#
        ),
        finish("stop"),
        chunk(
            r#""choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"cost":0.00014,"cost_details":{"upstream_inference_cost":null}}"#
        ),
    );
    let expected = [
        "start c1 double gpt-x",
        "reasoning h",
        "text a",
        "usage in 5 read 0 write 0 out 2 thought 0 cost Some(0.00014)",
        r#"signature openrouter:[{"type":"reasoning.text","text":"hm","index":0,"format":"f"},{"type":"reasoning.encrypted","data":"zz","index":1}]"#,
        "end end",
    ];
    assert_eq!(told(WireKind::Openrouter, &body).await, expected);
    let error = chunk(
        r#""error":{"code":502,"message":"Provider returned error"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]"#,
    );
    let body = delta(r#"{"content":"a"}"#) + &error;
    let told = told(WireKind::Openrouter, &body).await;
    assert_eq!(
        told,
        ["start c1 double gpt-x", "text a", "error provider_error"]
    );
}

#[tokio::test]
async fn tools_interleaved() {
    let call = |call: &str| delta(&format!(r#"{{"tool_calls":[{call}]}}"#));
    let body = [
        call(r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#),
        call(
            r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{\"x\":"}}"#,
        ),
        call(r#"{"index":0,"function":{"arguments":"{}"}}"#),
        call(r#"{"index":1,"function":{"arguments":"1}"}}"#),
        finish("tool_calls"),
        DONE.to_owned(),
    ];
    let expected = [
        "start c1 double gpt-x",
        "tool 0 a f -",
        "tool 1 b g -",
        "args 1 {\"x\":",
        "args 0 {}",
        "args 1 1}",
        "called 0 {}",
        "called 1 {\"x\":1}",
        "end tool_use",
    ];
    assert_eq!(told(KIND, &body.concat()).await, expected);
    // Servers that give every call the same index, or none, and call the stop
    // an ordinary one.
    for index in [r#""index":0,"#, ""] {
        let body = [
            call(&format!(
                r#"{{{index}"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}"#
            )),
            call(&format!(
                r#"{{{index}"id":"b","function":{{"name":"g","arguments":{{"x":1}}}}}}"#
            )),
            finish("stop"),
        ];
        let told = told(KIND, &body.concat()).await;
        assert_eq!(
            told[1..],
            [
                "tool 0 a f -",
                "args 0 {}",
                "tool 1 b g -",
                "args 1 {\"x\":1}",
                "called 0 {}",
                "called 1 {\"x\":1}",
                "end tool_use",
            ]
        );
    }
    let broken = call(r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{x"}}"#);
    let told = told(KIND, &format!("{broken}{}{DONE}", finish("tool_calls"))).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("error provider_protocol")
    );
}

#[tokio::test]
async fn reasoning_refusals_and_stops() {
    let body =
        delta(r#"{"reasoning_content":"hm"}"#) + &delta(r#"{"refusal":"no"}"#) + &finish("stop");
    let expected = [
        "start c1 double gpt-x",
        "reasoning hm",
        "text no",
        "end refusal",
    ];
    // The refusal stands in an earlier chunk than the finish reason.
    assert_eq!(told(KIND, &body).await, expected);
    for (reason, stop) in [
        ("length", "end length"),
        ("content_filter", "end content_filter"),
        ("of_tomorrow", "end other"),
    ] {
        let told = told(KIND, &finish(reason)).await;
        assert_eq!(told.last().map(String::as_str), Some(stop));
    }
}

#[tokio::test]
async fn errors_within_an_answer_and_no_last_word() {
    let quota = "data: {\"error\":{\"message\":\"quota\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}\n\n";
    assert_eq!(told(KIND, quota).await, ["error provider_payment"]);
    let begun = delta(r#"{"content":"a"}"#);
    let expected = ["start c1 double gpt-x", "text a", "error truncated"];
    assert_eq!(told(KIND, &begun).await, expected);
    // `[DONE]` alone says that bytes are over, not that the answer is.
    assert_eq!(told(KIND, &format!("{begun}{DONE}")).await, expected);
    let broken = format!("{begun}data: {{\"id\":\"c1\",\"cho\n\n");
    assert_eq!(
        told(KIND, &broken).await.last().map(String::as_str),
        Some("error provider_protocol")
    );
    let unknown = format!("{begun}data: {{\"whatever\":1}}\n\n{}", finish("stop"));
    assert_eq!(
        told(KIND, &unknown).await.last().map(String::as_str),
        Some("end end")
    );
}

#[tokio::test]
async fn a_server_that_does_not_stream() {
    let body = format!(
        r#"{{"id":"c1","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"hi","tool_calls":[{{"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}]}},"finish_reason":"tool_calls"}}],{USAGE}}}"#
    );
    let (all, failed) = events(KIND, Canned::json("200 OK", body), hello()).await;
    assert!(failed.is_none());
    let all: Vec<String> = all.iter().map(line).collect();
    assert_eq!(
        all,
        [
            "start c1 double m",
            "text hi",
            "tool 0 a f -",
            "args 0 {}",
            "usage in 50 read 40 write 2 out 9 thought 4 cost None",
            "called 0 {}",
            "end tool_use",
        ]
    );
    let (_, failed) = events(
        KIND,
        Canned::json("200 OK", r#"{"error":"no model"}"#),
        hello(),
    )
    .await;
    assert_eq!(failed.expect("an error").kind, ModelErrorKind::Server);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one request with everything in it")]
async fn what_is_asked() {
    let tool = |strict, parameters| Tool {
        name: "f".to_owned(),
        description: "d".to_owned(),
        parameters,
        strict,
    };
    let mut request = ChatRequest::to("x")
        .system("be kind")
        .message(Message::system("and short"))
        .message(Message {
            role: Role::User,
            parts: vec![
                Part::Text("look".to_owned()),
                Part::Image(Image::Data {
                    mime: "image/png".to_owned(),
                    data: vec![1, 2, 3].into(),
                }),
                Part::Image(Image::Url("https://x/y.png".to_owned())),
            ],
        })
        .message(Message {
            role: Role::Assistant,
            parts: vec![
                Part::Reasoning {
                    text: "hm".to_owned(),
                    signature: Some("openrouter:[{\"a\":1}]".to_owned()),
                },
                Part::ToolCall(ToolCall {
                    id: "t1".to_owned(),
                    name: "f".to_owned(),
                    args: json!({"p": 1}),
                    signature: None,
                }),
            ],
        })
        .message(Message::tool_result("t1", "no", true))
        .tool(tool(
            true,
            json!({"type": "object", "properties": {"p": {"type": "integer"}}}),
        ))
        .schema(OutputSchema::strict(
            "out",
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
        ))
        .max_tokens(77)
        .temperature(0.5)
        .effort(Effort::Max);
    request.tool_choice = ToolChoice::Required;
    request.stop = vec!["END".to_owned()];
    request.seed = Some(3);
    let call = call(request);
    let seen = asked(KIND, |_| {}, call.clone()).await;
    assert_eq!(seen.line, "POST /v1/chat/completions HTTP/1.1");
    assert!(seen.has("authorization: Bearer key-of-the-test"));
    let strict = json!({
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}},
        "required": ["a"],
        "additionalProperties": false,
    });
    let expected = json!({
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "be kind\n\nand short"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"p\":1}"}},
            ]},
            {"role": "tool", "tool_call_id": "t1", "content": "Error: no"},
        ],
        "stream": true,
        "stream_options": {"include_usage": true},
        // Not strict: its member is not required, and arguments are not read leniently.
        "tools": [{"type": "function", "function": {
            "name": "f", "description": "d",
            "parameters": {"type": "object", "properties": {"p": {"type": "integer"}}},
        }}],
        "tool_choice": "required",
        "max_tokens": 77,
        "temperature": 0.5,
        "seed": 3,
        "stop": ["END"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "out", "schema": strict, "strict": true}},
        "reasoning_effort": "high",
    });
    assert_eq!(seen.body, expected);
    let seen = asked(WireKind::Openrouter, |_| {}, call.clone()).await;
    assert_eq!(seen.body["usage"], json!({"include": true}));
    assert_eq!(seen.body["reasoning"], json!({"effort": "high"}));
    assert_eq!(
        seen.body["messages"][2]["reasoning_details"],
        json!([{"a": 1}])
    );
    let weak = |provider: &mut Provider| provider.schema = SchemaSupport::JsonMode;
    let seen = asked(KIND, weak, call).await;
    assert_eq!(seen.body["response_format"], json!({"type": "json_object"}));
    assert!(text_of(&seen.body, "/messages/0/content").contains("JSON Schema (out)"));
}
