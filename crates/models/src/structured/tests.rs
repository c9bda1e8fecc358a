//! Broken answers by hand, and properties of all answers.

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::structured::lenient::parse_at;

fn shape(schema: Value) -> Arc<Shape> {
    Shape::compile(&OutputSchema::strict("test", schema)).expect("a schema")
}

/// The shape of the seed's main answer and some scalars.
fn changes() -> Value {
    json!({
        "type": "object",
        "required": ["plan", "files"],
        "additionalProperties": false,
        "properties": {
            "plan": {"type": "string"},
            "files": {"type": "array", "items": {
                "type": "object",
                "required": ["path", "content"],
                "properties": {
                    "path": {"type": "string"},
                    "content": {"type": "string"},
                    "kind": {"oneOf": [
                        {"const": "LIB", "description": "a library"},
                        {"const": "APP", "description": "an application"},
                    ]},
                },
            }},
            "count": {"type": "integer"},
            "mode": {"enum": ["Fast", "Slow"]},
            "ok": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "package_json": {"type": "string"},
        },
    })
}

fn good(text: &str) -> Value {
    match shape(changes()).judge(text, false) {
        Verdict::Valid { value, .. } => value,
        Verdict::Invalid { problems } => panic!("{text}\n{problems:?}"),
    }
}

fn bad(text: &str, cut: bool) -> Vec<String> {
    match shape(changes()).judge(text, cut) {
        Verdict::Valid { value, .. } => panic!("{text}\n{value}"),
        Verdict::Invalid { problems } => problems,
    }
}

fn base() -> Value {
    json!({"plan": "p", "files": [{"path": "a", "content": "b"}]})
}

#[test]
fn thirteen_defects() {
    let whole = r#"{"plan": "p", "files": [{"path": "a", "content": "b"}]}"#;
    let same = [
        whole.to_owned(),
        format!("Sure! Here it is:\n```json\n{whole}\n```\nAnything else?"),
        format!("First I think {{about braces}}, {{\"x\": 1}} and [lists]. Then:\n{whole}"),
        "{plan: 'p', files: [{path: \"a\", content: 'b',},],}".to_owned(),
        "{ // the plan\n \"plan\": \"p\", /* and */ \"files\": [{\"path\": \"a\", # path\n \"content\": \"b\"}] }".to_owned(),
        "{\"plan\": \"p\"\n \"files\": [{\"path\": \"a\"\n \"content\": \"b\"}]}".to_owned(),
        // A single thing for a list, and a list for a single thing.
        r#"{"plan": "p", "files": {"path": "a", "content": "b"}}"#.to_owned(),
        format!("[{whole}, {{\"plan\": 3}}]"),
        // More than asked, in other spellings, wrapped, and quoted as a whole.
        r#"{"Plan": "p", "extra": {"a": 1}, "files": [{"path": "a", "content": "b"}]}"#.to_owned(),
        format!("{{\"code_changes\": {whole}}}"),
        serde_json::to_string(whole).expect("text"),
        // The end forgotten.
        r#"{"plan": "p", "files": [{"path": "a", "content": "b"}]"#.to_owned(),
        "{\"plan\": p, \"files\": [{\"path\": `a`, \"content\": ```txt\nb```}]}".to_owned(),
    ];
    for text in same {
        assert_eq!(good(&text), base(), "{text}");
    }
}

#[test]
fn values_are_read_as_the_schema_means_them() {
    let one = |member: &str| {
        let text = format!("{{\"plan\": \"p\", \"files\": [], {member}}}");
        good(&text)
    };
    assert_eq!(one(r#""count": "7""#)["count"], json!(7));
    assert_eq!(one(r#""count": "about 5""#)["count"], json!(5));
    assert_eq!(
        one(r#""count": 1,200"#.replace(',', "").as_str())["count"],
        json!(1200)
    );
    assert_eq!(one(r#""count": 3.0"#)["count"], json!(3));
    assert_eq!(one(r#""mode": "FAST""#)["mode"], json!("Fast"));
    assert_eq!(one(r#""mode": "I would say slow.""#)["mode"], json!("Slow"));
    assert_eq!(one(r#""ok": "True""#)["ok"], json!(true));
    assert_eq!(one(r#""tags": "x""#)["tags"], json!(["x"]));
    assert_eq!(one(r#""tags": [1, true]"#)["tags"], json!(["1", "true"]));
    assert_eq!(one(r#""tags": null"#).get("tags"), None);
    let package = one(r#""package_json": {"name": "x"}"#);
    assert_eq!(package["package_json"], json!("{\n  \"name\": \"x\"\n}"));
    let text = r#"{"plan": "p", "files": [{"path": "a", "content": "b", "kind": "a library"}]}"#;
    assert_eq!(good(text)["files"][0]["kind"], json!("LIB"));
}

#[test]
fn quotes_and_newlines_in_code_are_kept() {
    let text = "{\"plan\": \"say \"hello\", and go\", \"files\": [{\"path\": \"a\", \"content\": \"<div class=\"x\">\n  {a[\"b\"]}\n</div>\"}]}";
    let value = good(text);
    assert_eq!(value["plan"], json!("say \"hello\", and go"));
    let content = "<div class=\"x\">\n  {a[\"b\"]}\n</div>";
    assert_eq!(value["files"][0]["content"], json!(content));
    let escaped = r#"{"plan": "\ud83e\udd80\u00df\n\t\"\\ C:\dir", "files": []}"#;
    assert_eq!(good(escaped)["plan"], json!("🦀ß\n\t\"\\ C:\\dir"));
}

#[test]
fn nothing_is_made_up() {
    assert_eq!(
        bad("I cannot do that.", false),
        ["/: there is no JSON value in the answer"]
    );
    assert!(bad(r#"{"plan": "p"}"#, false)[0].contains("files"));
    assert!(bad(r#"{"plan": "p", "files": [{"path": "a", "con"#, false)[0].contains("content"));
    assert!(
        bad(
            r#"{"plan": "p", "files": [{"path": "a", "content": "half"#,
            false
        )[0]
        .contains("middle")
    );
    // Complete by chance, but the provider says that there was more.
    assert!(
        bad(
            r#"{"plan": "p", "files": [{"path": "a", "content": "b"}]"#,
            true
        )[0]
        .contains("middle")
    );
    assert!(bad(r#"{"plan": "p", "files": [], "count": 3.5}"#, false)[0].starts_with("/count"));
    assert!(
        bad(r#"{"plan": "p", "files": [], "count": "5 or 6"}"#, false)[0].starts_with("/count")
    );
    assert!(
        bad(
            r#"{"plan": "p", "files": [], "mode": "fast or slow"}"#,
            false
        )[0]
        .starts_with("/mode")
    );
}

#[test]
fn a_default_of_the_schema_is_used_and_told() {
    let schema = json!({
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "integer"}, "b": {"type": "string", "default": "none"}},
    });
    let verdict = shape(schema.clone()).judge(r#"{"a": 1}"#, false);
    let value = json!({"a": 1, "b": "none"});
    assert_eq!(
        verdict,
        Verdict::Valid {
            value,
            fallback: true
        }
    );
    let verdict = shape(schema).judge(r#"{"a": 1, "b": "x"}"#, false);
    let value = json!({"a": 1, "b": "x"});
    assert_eq!(
        verdict,
        Verdict::Valid {
            value,
            fallback: false
        }
    );
}

#[test]
fn branches_references_and_bounds() {
    let schema = json!({
        "$defs": {"tree": {"type": "object", "required": ["v"], "properties": {
            "v": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
            "next": {"$ref": "#/$defs/tree"},
        }}},
        "$ref": "#/$defs/tree",
    });
    let judge = |text: &str| shape(schema.clone()).judge(text, false);
    let Verdict::Valid { value, .. } =
        judge(r#"{"v": 1, "next": {"v": "1", "next": {"v": null}}}"#)
    else {
        panic!("valid");
    };
    assert_eq!(
        value,
        json!({"v": 1, "next": {"v": "1", "next": {"v": null}}})
    );
    // A file that is there and would do as a schema.
    let there = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/clients/models/package-lock.json"
    );
    let there = std::fs::canonicalize(there).expect("a file of this repository");
    let file = json!({"$ref": format!("file://{}", there.display())});
    assert!(Shape::compile(&OutputSchema::strict("x", file)).is_err());
    let deep = "[".repeat(100_000);
    assert!(matches!(judge(&deep), Verdict::Invalid { .. }));
    let many = "{a".repeat(100_000);
    assert!(matches!(judge(&many), Verdict::Invalid { .. }));
    let long = " ".repeat(9 << 20);
    assert!(matches!(judge(&long), Verdict::Invalid { .. }));
    let scalar = shape(json!({"enum": ["yes", "no"]})).judge("I say: yes!", false);
    assert_eq!(
        scalar,
        Verdict::Valid {
            value: json!("yes"),
            fallback: false
        }
    );
}

#[test]
fn files_are_done_one_by_one() {
    let text = r#"Here: {"plan": "do it", "files": [{"path": "a.ts", "content": "one"}, {"path": "b.ts", "content": "two"}], "count": 12}"#;
    let mut follower = Follower::new(shape(changes()));
    let mut seen = Vec::new();
    let mut last = None;
    for c in text.chars() {
        let Some(partial) = follower.push(&c.to_string()) else {
            continue;
        };
        for pointer in ["/plan", "/files/0", "/files/1", "/files", "/count"] {
            if partial.is_complete(pointer) && !seen.contains(&pointer) {
                seen.push(pointer);
            }
        }
        last = Some(partial);
    }
    assert_eq!(seen, ["/plan", "/files/0", "/files/1", "/files", "/count"]);
    let last = last.expect("partials");
    assert_eq!(last.complete, [""]);
    assert_eq!(last.value["count"], json!(12));
    assert!(follower.finish(false).expect("whole").done);
}

#[test]
fn a_number_is_told_when_it_is_over() {
    let mut follower = Follower::new(shape(
        json!({"type": "object", "properties": {"n": {"type": "integer"}}}),
    ));
    assert_eq!(follower.push(r#"{"n": 12"#), None);
    assert_eq!(
        follower.push("3").and_then(|it| it.value.get("n").cloned()),
        None
    );
    let partial = follower.push("}").expect("a partial");
    assert_eq!(partial.value, json!({"n": 123}));
}

#[tokio::test]
async fn partials_stand_between_the_events() {
    let events = [
        Ok(ChatEvent::Text(r#"{"plan": "p", "fi"#.to_owned())),
        Ok(ChatEvent::Text(r#"les": []}"#.to_owned())),
        Ok(ChatEvent::End(StopReason::End)),
    ];
    let answer: ChatStream = Box::pin(stream::iter(events));
    let all: Vec<_> = partials(answer, shape(changes())).collect().await;
    let kinds: Vec<&str> = all
        .iter()
        .map(|item| match item.as_ref().expect("fine") {
            ChatEvent::Text(_) => "text",
            ChatEvent::Partial(partial) if partial.done => "done",
            ChatEvent::Partial(_) => "partial",
            _ => "end",
        })
        .collect();
    assert_eq!(kinds, ["text", "partial", "text", "partial", "done", "end"]);
}

/// Whether `later` only adds to `earlier`.
fn grows(earlier: &Value, later: &Value) -> bool {
    match (earlier, later) {
        (Value::String(a), Value::String(b)) => b.starts_with(a.as_str()),
        (Value::Array(a), Value::Array(b)) => {
            a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| grows(a, b))
        }
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .all(|(name, a)| b.get(name).is_some_and(|b| grows(a, b))),
        (a, b) => a == b,
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let text = "[ -~\n\t\"\\\\äß🦀{}\\[\\],:#/'`]{0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let members = proptest::collection::vec((text, inner.clone()), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn json_is_read_as_it_is(value in json_value(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let verdict = shape(json!(true)).judge(&text, false);
        prop_assert_eq!(verdict, Verdict::Valid { value, fallback: false });
    }

    #[test]
    fn json_cut_at_any_byte_is_a_stable_prefix(inner in json_value(), pretty in any::<bool>()) {
        let value = json!({"a": inner, "z": [1, "x"]});
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let any = Value::Bool(true);
        let mut before: Option<(Value, Vec<String>)> = None;
        for end in 1..=text.len() {
            let Some(cut) = text.get(..end) else { continue };
            let node = parse_at(cut, 0).0.expect("always readable");
            let fit = coerce::Coercer::new(&any, true).root(&node);
            let Some(fit) = fit else { continue };
            prop_assert!(grows(&fit.value, &value), "{cut}\n{}", fit.value);
            prop_assert_eq!(fit.progress.done, end == text.len(), "{}", cut);
            if let Some((earlier, complete)) = &before {
                prop_assert!(grows(earlier, &fit.value), "{cut}");
                for pointer in complete {
                    prop_assert_eq!(earlier.pointer(pointer), fit.value.pointer(pointer), "{}", cut);
                    prop_assert_eq!(earlier.pointer(pointer), value.pointer(pointer), "{}", cut);
                }
            }
            let mut complete = Vec::new();
            shape::pointers(&fit.progress, String::new(), &mut complete);
            before = Some((fit.value, complete));
        }
        let (last, _) = before.expect("something");
        prop_assert_eq!(last, value);
    }

    #[test]
    fn any_text_is_survived(text in "[a\"'`{}\\[\\],:/#*\n\\\\ 01tn.“”]{0,60}") {
        fuzz(&changes(), &text);
        fuzz(&json!(true), &text);
    }
}
