//! `OpenAI`'s responses.

use serde_json::json;

use super::*;
use crate::chat::{Effort, Image, Message, OutputSchema, Part, Tool, ToolCall, ToolChoice};

const KIND: WireKind = WireKind::OpenaiResponses;

fn event(kind: &str, rest: &str) -> String {
    let comma = if rest.is_empty() { "" } else { "," };
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":1{comma}{rest}}}\n\n")
}

fn created() -> String {
    event(
        "response.created",
        r#""response":{"id":"resp_1","model":"gpt-x","status":"in_progress"}"#,
    ) + &event("response.in_progress", r#""response":{"id":"resp_1"}"#)
}

fn completed(status: &str, more: &str) -> String {
    let rest = format!(
        r#""response":{{"id":"resp_1","status":"{status}"{more},"usage":{{"input_tokens":50,"input_tokens_details":{{"cached_tokens":40}},"output_tokens":9,"output_tokens_details":{{"reasoning_tokens":4}},"total_tokens":59}}}}"#
    );
    event(&format!("response.{status}"), &rest)
}

const USED: &str = "usage in 50 read 40 write 0 out 9 thought 4 cost None";

#[tokio::test]
async fn an_answer_with_thoughts_and_a_tool() {
    let body = created()
        + &event("response.output_item.added", r#""output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}"#)
        + &event("response.reasoning_summary_text.delta", r#""output_index":0,"delta":"hm""#)
        + &event("response.output_item.done", r#""output_index":0,"item":{"id":"rs_1","type":"reasoning","status":"completed","summary":[],"encrypted_content":"zz"}"#)
        + &event("response.output_item.added", r#""output_index":1,"item":{"id":"msg_1","type":"message","content":[]}"#)
        + &event("response.content_part.added", r#""output_index":1,"part":{"type":"output_text","text":""}"#)
        + &event("response.output_text.delta", r#""output_index":1,"delta":"grüße 🦀""#)
        + &event("response.output_text.done", r#""output_index":1,"text":"grüße 🦀""#)
        + &event("response.thing_of_tomorrow", "")
        + &event("response.output_item.added", r#""output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":""}"#)
        + &event("response.function_call_arguments.delta", r#""output_index":2,"delta":"{\"x\"""#)
        + &event("response.function_call_arguments.delta", r#""output_index":2,"delta":":1}""#)
        + &event("response.output_item.done", r#""output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":"{\"x\":1}"}"#)
        // Arguments that come only with the item's end.
        + &event("response.output_item.done", r#""output_index":3,"item":{"id":"fc_2","type":"function_call","call_id":"call_2","name":"g","arguments":"{}"}"#)
        + &completed("completed", "");
    let expected = [
        "start resp_1 double gpt-x",
        "reasoning hm",
        r#"signature openai:{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"zz"}"#,
        "text grüße 🦀",
        "tool 0 call_1 f -",
        r#"args 0 {"x""#,
        "args 0 :1}",
        r#"called 0 {"x":1}"#,
        "tool 1 call_2 g -",
        "args 1 {}",
        "called 1 {}",
        USED,
        "end tool_use",
    ];
    assert_eq!(told(KIND, &body).await, expected);
}

#[tokio::test]
async fn ends_errors_and_no_last_word() {
    let text = event(
        "response.output_text.delta",
        r#""output_index":0,"delta":"a""#,
    );
    let last = |body: String| async move { told(KIND, &body).await.pop().expect("a line") };
    assert_eq!(
        last(created() + &text + &completed("completed", "")).await,
        "end end"
    );
    let length = completed(
        "incomplete",
        r#","incomplete_details":{"reason":"max_output_tokens"}"#,
    );
    assert_eq!(last(created() + &text + &length).await, "end length");
    let filter = completed(
        "incomplete",
        r#","incomplete_details":{"reason":"content_filter"}"#,
    );
    assert_eq!(last(created() + &filter).await, "end content_filter");
    let refused = event("response.refusal.delta", r#""output_index":0,"delta":"no""#);
    assert_eq!(
        last(created() + &refused + &completed("completed", "")).await,
        "end refusal"
    );
    // The quota's end comes after the beginning of the answer.
    let failed = event(
        "response.failed",
        r#""response":{"id":"resp_1","status":"failed","error":{"code":"insufficient_quota","message":"quota"}}"#,
    );
    assert_eq!(
        told(KIND, &(created() + &failed)).await,
        ["start resp_1 double gpt-x", "error provider_payment"]
    );
    let error = event(
        "error",
        r#""code":"rate_limit_exceeded","message":"slow","param":null"#,
    );
    assert_eq!(last(created() + &error).await, "error rate_limited");
    let error = "event: error\ndata: {\"error\":{\"type\":\"server_error\",\"message\":\"x\"}}\n\n";
    assert_eq!(last(created() + error).await, "error provider_error");
    assert_eq!(last(created() + &text).await, "error truncated");
    assert_eq!(
        last(created() + &text + "data: [DONE]\n\n").await,
        "error truncated"
    );
}

#[tokio::test]
async fn a_server_that_does_not_stream() {
    let body = r#"{"object":"response","id":"r","model":"m","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":1,"output_tokens":2}}"#;
    let (all, failed) = events(KIND, Canned::json("200 OK", body), hello()).await;
    assert!(failed.is_none());
    let all: Vec<String> = all.iter().map(line).collect();
    assert_eq!(
        all,
        [
            "start r double m",
            "text hi",
            "tool 0 c f -",
            "args 0 {}",
            "called 0 {}",
            "usage in 1 read 0 write 0 out 2 thought 0 cost None",
            "end tool_use",
        ]
    );
}

#[tokio::test]
async fn what_is_asked() {
    let mut request = ChatRequest::to("x")
        .system("be kind")
        .message(Message {
            role: Role::User,
            parts: vec![
                Part::Text("look".to_owned()),
                Part::Image(Image::Url("https://x/y.png".to_owned())),
            ],
        })
        .message(Message {
            role: Role::Assistant,
            parts: vec![
                Part::Reasoning {
                    text: String::new(),
                    signature: Some(r#"openai:{"type":"reasoning","id":"rs"}"#.to_owned()),
                },
                Part::Text("ok".to_owned()),
                Part::ToolCall(ToolCall {
                    id: "t1".to_owned(),
                    name: "f".to_owned(),
                    args: json!({}),
                    signature: None,
                }),
            ],
        })
        .message(Message::tool_result("t1", "yes", false))
        .tool(Tool {
            name: "f".to_owned(),
            description: "d".to_owned(),
            parameters: json!({"type": "object"}),
            strict: false,
        })
        .schema(OutputSchema::strict(
            "out",
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
        ))
        .max_tokens(77)
        .effort(Effort::Low);
    request.tool_choice = ToolChoice::Tool("f".to_owned());
    let seen = asked(KIND, |_| {}, call(request)).await;
    assert_eq!(seen.line, "POST /v1/responses HTTP/1.1");
    let expected = json!({
        "model": "some-model",
        "stream": true,
        "store": false,
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://x/y.png"},
            ]},
            {"type": "reasoning", "id": "rs"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
            {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "t1", "output": "yes"},
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": false}],
        "tool_choice": {"type": "function", "name": "f"},
        "max_output_tokens": 77,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "out", "strict": true, "schema": {
            "type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}, "additionalProperties": false,
        }}},
    });
    assert_eq!(seen.body, expected);
    let plain = asked(KIND, |_| {}, call(hello())).await;
    assert_eq!(plain.body.get("include"), None);
}
