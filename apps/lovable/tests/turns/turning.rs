//! What a turn does, and that it does it once.

use serde_json::{Value, json};

use crate::provider::Provider;
use crate::support::{Node, database, list, sql, user};

#[tokio::test]
async fn a_prompt_becomes_files_messages_and_a_version() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let node = Node::start(&db, &provider);
    provider.will_write("/app/src/App.tsx", "export default () => <b>one</b>");
    let session = node.session(&ann).await;
    node.prompt(&ann, &session, "a counter").await;
    let state = node.settled(&ann, &session).await;

    let turn = &state["turns"][0];
    assert_eq!(turn["state"], "completed", "{turn:#}");
    assert_eq!(
        list(&turn["steps"], "name"),
        [
            "plan",
            "generate",
            "apply",
            "install",
            "preview",
            "checkpoint"
        ]
    );
    assert_eq!(list(&state["messages"], "role"), ["user", "assistant"]);
    assert_eq!(state["messages"][0]["content"], "a counter");
    assert!(
        state["messages"][1]["content"]
            .as_str()
            .unwrap()
            .starts_with("Plan 0")
    );
    assert_eq!(
        list(&state["checkpoints"], "label"),
        ["Version 1: a counter"]
    );
    assert_eq!(
        node.file(&ann, &session, "src/App.tsx").await,
        "export default () => <b>one</b>"
    );
    // Nothing can be installed here, and that is said.
    assert_eq!(
        turn["steps"][4]["output"]["skipped"],
        "there are no sandboxes here"
    );
    assert_eq!(provider.paid(), 2);
    assert_eq!(state["cost"].as_f64(), Some(0.5));
    let code = "SELECT content FROM lovable.code_files WHERE file_path = 'App.tsx'";
    assert_eq!(
        sql(&db, &ann, code, &[]).await.unwrap(),
        "export default () => <b>one</b>"
    );
    let said = "SELECT string_agg(role, ' ' ORDER BY created_at) FROM lovable.conversations";
    assert_eq!(sql(&db, &ann, said, &[]).await.unwrap(), "user assistant");
}

#[tokio::test]
async fn a_killed_server_s_turn_is_finished_by_another_and_paid_once() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let first = Node::start(&db, &provider);
    provider.will_write("App.tsx", "export default () => <p>kept</p>");
    provider.hold("coder", 10);
    let session = first.session(&ann).await;
    first.prompt(&ann, &session, "a page").await;
    // In the middle of the coder's answer.
    while provider.questions("coder").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    first.kill();
    provider.go_on();
    let second = Node::start(&db, &provider);
    let state = second.settled(&ann, &session).await;
    assert_eq!(state["turns"][0]["state"], "completed", "{state:#}");
    assert_eq!(
        second.file(&ann, &session, "src/App.tsx").await,
        "export default () => <p>kept</p>"
    );
    assert_eq!(provider.asked(), 3, "the coder was asked again");
    assert_eq!(provider.paid(), 2, "and paid once");
    assert_eq!(list(&state["messages"], "role"), ["user", "assistant"]);
    assert_eq!(state["checkpoints"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn prompts_wait_for_one_another_and_the_model_sees_what_was_said() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let node = Node::start(&db, &provider);
    provider.will_write("App.tsx", "one");
    provider.will_answer(
        json!({"plan": "p", "files": [{"path": "b.ts", "content": "two"}],
        "deleted_files": ["src/App.tsx", "src/never.ts"], "package_json": ""}),
    );
    let session = node.session(&ann).await;
    node.prompt(&ann, &session, "first wish").await;
    node.prompt(&ann, &session, "second wish").await;
    let state = node.settled(&ann, &session).await;
    assert_eq!(
        list(&state["turns"], "state"),
        ["completed", "completed"],
        "{state:#}"
    );
    let asked = provider.questions("planner");
    let texts = |n: usize| -> Vec<String> { list(&asked[n]["messages"], "content") };
    assert_eq!(
        texts(0).len(),
        1,
        "the second wish is not known to the first turn"
    );
    assert_eq!(texts(1).len(), 3);
    assert_eq!(texts(1)[0], "first wish");
    assert!(texts(1)[1].starts_with("Plan 0"));
    assert!(texts(1)[2].starts_with("second wish"));
    // The coder saw the file of the first turn, and took it away.
    let coder = provider.questions("coder");
    let shown = coder[1]["messages"][2]["content"].as_str().unwrap();
    assert!(
        shown.contains("<file path=\"src/App.tsx\">\none\n</file>"),
        "{shown}"
    );
    assert_eq!(node.file(&ann, &session, "src/App.tsx").await, Value::Null);
    assert_eq!(node.file(&ann, &session, "src/b.ts").await, "two");
}

#[tokio::test]
async fn stop_ends_a_turn_and_a_later_one_goes_on() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let node = Node::start(&db, &provider);
    provider.will_write("App.tsx", "after");
    provider.hold("planner", 3);
    let session = node.session(&ann).await;
    node.prompt(&ann, &session, "never mind").await;
    node.until(&ann, &session, |state| {
        state["turns"][0]["steps"][0]["state"] == "running"
    })
    .await;
    let stopped = node
        .ok(
            &ann,
            &format!("POST /api/sessions/{session}/stop"),
            Value::Null,
        )
        .await;
    assert_eq!(stopped["stopped"].as_array().unwrap().len(), 1);
    let state = node.settled(&ann, &session).await;
    assert_eq!(state["turns"][0]["state"], "cancelled");
    assert_eq!(
        list(&state["messages"], "role"),
        ["user"],
        "what was said is kept"
    );
    provider.go_on();
    node.prompt(&ann, &session, "now").await;
    let state = node.settled(&ann, &session).await;
    assert_eq!(list(&state["turns"], "state"), ["cancelled", "completed"]);
    assert_eq!(node.file(&ann, &session, "src/App.tsx").await, "after");
}

#[tokio::test]
async fn going_back_and_forking_bring_files_and_messages() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let node = Node::start(&db, &provider);
    provider.will_write("App.tsx", "one");
    provider.will_write("App.tsx", "two");
    let session = node.session(&ann).await;
    for wish in ["first", "second"] {
        node.prompt(&ann, &session, wish).await;
        node.settled(&ann, &session).await;
    }
    let state = node.state(&ann, &session).await;
    let first = state["checkpoints"][1]["id"].clone();
    assert_eq!(state["checkpoints"][1]["label"], "Version 1: first");
    node.ok(
        &ann,
        &format!("POST /api/sessions/{session}/restore"),
        json!({"checkpoint_id": first}),
    )
    .await;
    let state = node.settled(&ann, &session).await;
    assert_eq!(node.file(&ann, &session, "src/App.tsx").await, "one");
    assert_eq!(list(&state["messages"], "content")[0], "first");
    assert_eq!(
        state["messages"].as_array().unwrap().len(),
        2,
        "the second wish is put aside"
    );
    let second = state["checkpoints"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["label"] == "Version 2: second")
        .unwrap();
    let fork = format!("POST /api/sessions/{session}/fork");
    let made = node
        .ok(
            &ann,
            &fork,
            json!({"checkpoint_id": second["id"], "title": "Other"}),
        )
        .await;
    let other = made["id"].as_str().unwrap();
    let forked = node.settled(&ann, other).await;
    assert_eq!(node.file(&ann, other, "src/App.tsx").await, "two");
    assert_eq!(forked["messages"].as_array().unwrap().len(), 4);
    assert_eq!(node.file(&ann, &session, "src/App.tsx").await, "one");
    let (status, zip) = node
        .bytes(
            &ann,
            &format!("GET /api/sessions/{session}/zip"),
            Value::Null,
        )
        .await;
    assert_eq!(status, 200);
    assert!(zip.starts_with(b"PK\x03\x04"));
    let all = String::from_utf8_lossy(&zip);
    assert!(all.contains("src/App.tsx") && all.contains("package.json"));
}

#[tokio::test]
async fn an_answer_that_leaves_the_project_changes_nothing_and_is_not_asked_twice() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let node = Node::start(&db, &provider);
    provider.will_write("../../etc/passwd", "x");
    let session = node.session(&ann).await;
    let before = node.state(&ann, &session).await["files"].clone();
    node.prompt(&ann, &session, "break out").await;
    let state = node.settled(&ann, &session).await;
    assert_eq!(state["turns"][0]["state"], "failed");
    let error = state["turns"][0]["steps"][1]["error"]["message"]
        .as_str()
        .unwrap();
    assert!(error.contains("is no path of the project"), "{error}");
    assert_eq!(state["files"], before);
    assert_eq!(provider.paid(), 2);
}

#[tokio::test]
async fn bad_prompts_are_refused_and_leave_nothing() {
    let (db, provider, ann) = (database().await, Provider::start().await, user("ann"));
    let node = Node::start(&db, &provider);
    let session = node.session(&ann).await;
    let turns = format!("POST /api/sessions/{session}/turns");
    for bad in [
        json!({"text": "  "}),
        json!({}),
        json!({"text": "x".repeat(20_001)}),
        json!({"text": "a", "kee": 1}),
        json!({"text": "a", "key": ""}),
    ] {
        assert_eq!(node.ask(&ann, &turns, bad.clone()).await.0, 400, "{bad}");
    }
    assert_eq!(node.state(&ann, &session).await["messages"], json!([]));
    // The same key is the same turn.
    provider.hold("planner", 0);
    let body = json!({"text": "a", "key": "k"});
    let one = node.ok(&ann, &turns, body.clone()).await;
    let two = node.ok(&ann, &turns, body).await;
    assert_eq!(
        (&one["job_id"], &two["is_new"]),
        (&two["job_id"], &json!(false))
    );
    for n in 0..4 {
        node.ok(&ann, &turns, json!({"text": format!("more {n}")}))
            .await;
    }
    let (status, error) = node.ask(&ann, &turns, json!({"text": "too many"})).await;
    assert_eq!((status, &error["code"]), (409, &json!("over_limit")));
}
