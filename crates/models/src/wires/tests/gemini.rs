//! Google's `generateContent`.

use serde_json::json;

use super::*;
use crate::chat::{Effort, Image, Message, OutputSchema, Part, Tool, ToolCall, ToolChoice};

const KIND: WireKind = WireKind::Gemini;

fn chunk(parts: &str, more: &str) -> String {
    format!(
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{parts}],\"role\":\"model\"}},\"index\":0{more}}}],\"modelVersion\":\"gemini-x\",\"responseId\":\"r1\",\"usageMetadata\":{{\"promptTokenCount\":50,\"cachedContentTokenCount\":40,\"toolUsePromptTokenCount\":3,\"candidatesTokenCount\":5,\"thoughtsTokenCount\":4,\"totalTokenCount\":62}}}}\r\n\r\n"
    )
}

const STOP: &str = r#","finishReason":"STOP""#;
const USED: &str = "usage in 53 read 40 write 0 out 9 thought 4 cost None";

#[tokio::test]
async fn an_answer_with_thoughts_tools_and_signatures() {
    let body = chunk(r#"{"text":"hm","thought":true}"#, "")
        + &chunk(r#"{"text":"grüße 🦀"},{"executableCode":{"code":"1"}}"#, "")
        + &chunk(
            r#"{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"c2ln"},{"functionCall":{"id":"own","name":"g"}}"#,
            "",
        )
        + &chunk(r#"{"text":"","thoughtSignature":"bGFzdA=="}"#, STOP);
    let expected = [
        "start r1 double gemini-x",
        USED,
        "reasoning hm",
        USED,
        "text grüße 🦀",
        USED,
        "tool 0 call_r1_0 f gemini:c2ln",
        r#"args 0 {"x":1}"#,
        r#"called 0 {"x":1}"#,
        "tool 1 own g -",
        "args 1 {}",
        "called 1 {}",
        USED,
        "signature gemini:bGFzdA==",
        "end tool_use",
    ];
    assert_eq!(told(KIND, &body).await, expected);
}

#[tokio::test]
async fn ends_errors_and_no_last_word() {
    let text = chunk(r#"{"text":"a"}"#, "");
    let last = |body: String| async move { told(KIND, &body).await.pop().expect("a line") };
    for (reason, end) in [
        ("STOP", "end end"),
        ("MAX_TOKENS", "end length"),
        ("SAFETY", "end content_filter"),
        ("PROHIBITED_CONTENT", "end content_filter"),
        ("OF_TOMORROW", "end other"),
        ("MALFORMED_FUNCTION_CALL", "error provider_error"),
    ] {
        let finish = format!("data: {{\"candidates\":[{{\"finishReason\":\"{reason}\"}}]}}\n\n");
        assert_eq!(last(text.clone() + &finish).await, end);
    }
    // Usage after the last word.
    let late = "data: {\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":1}}\n\n";
    let told_late = told(KIND, &(chunk(r#"{"text":"a"}"#, STOP) + late)).await;
    let expected = [
        "usage in 7 read 0 write 0 out 1 thought 0 cost None",
        "end end",
    ];
    assert_eq!(told_late[told_late.len() - 2..], expected);
    let blocked = "data: {\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"},\"responseId\":\"r\"}\n\n";
    assert_eq!(last(blocked.to_owned()).await, "error content_filter");
    let error = "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\n\n";
    assert_eq!(last(text.clone() + error).await, "error overloaded");
    assert_eq!(last(text).await, "error truncated");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one request with everything in it")]
async fn what_is_asked() {
    let mut request = ChatRequest::to("x")
        .system("be kind")
        .message(Message {
            role: Role::User,
            parts: vec![
                Part::Text("look".to_owned()),
                Part::Image(Image::Data {
                    mime: "image/png".to_owned(),
                    data: vec![1, 2, 3].into(),
                }),
            ],
        })
        .message(Message {
            role: Role::Assistant,
            parts: vec![
                Part::Reasoning {
                    text: "hm".to_owned(),
                    signature: Some("gemini:bGFzdA==".to_owned()),
                },
                Part::ToolCall(ToolCall {
                    id: "t1".to_owned(),
                    name: "f".to_owned(),
                    args: json!({"x": 1}),
                    signature: Some("gemini:c2ln".to_owned()),
                }),
            ],
        })
        .message(Message::tool_result("t1", "no", true))
        .tool(Tool {
            name: "f".to_owned(),
            description: "d".to_owned(),
            parameters: json!({"$schema": "s", "type": "object"}),
            strict: false,
        })
        .schema(OutputSchema::strict(
            "out",
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
        ))
        .max_tokens(77)
        .effort(Effort::High);
    request.tool_choice = ToolChoice::Tool("f".to_owned());
    let call = Call {
        model: "gemini-2.5-flash".to_owned(),
        ..call(request)
    };
    let seen = asked(KIND, |_| {}, call.clone()).await;
    let line = "POST /v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse HTTP/1.1";
    assert_eq!(seen.line, line);
    assert!(seen.has("x-goog-api-key: key-of-the-test"));
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "be kind"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AQID"}}]},
            {"role": "model", "parts": [
                {"text": "", "thoughtSignature": "bGFzdA=="},
                {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
            ]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"error": "no"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "maxOutputTokens": 77,
            "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 24576},
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
    });
    assert_eq!(seen.body, expected);
    let newer = Call {
        model: "gemini-3-pro".to_owned(),
        ..call
    };
    let seen = asked(KIND, |_| {}, newer).await;
    let thinking = json!({"includeThoughts": true, "thinkingLevel": "high"});
    assert_eq!(seen.body["generationConfig"]["thinkingConfig"], thinking);
}

#[tokio::test]
async fn a_models_name_leads_nowhere_else() {
    for name in ["../../secret", "a?key=b", "a#b", "", "a b", "a%2e"] {
        let double = Double::new(Vec::new()).await;
        let wire = connect(double.provider(KIND), &double.http()).expect("a wire");
        let call = Call {
            model: name.to_owned(),
            ..call(hello())
        };
        let error = wire.chat(call).await.err().expect("refused");
        assert_eq!(error.kind, ModelErrorKind::NotFound, "{name}");
    }
}
