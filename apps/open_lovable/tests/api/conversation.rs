//! Conversation states: migrated once, with ids, times and edits; cleared for
//! real; merged instead of overwritten.

use serde_json::{Value, json};

use crate::support::{App, SESSIONS, STATE, list, text, user};

const START: i64 = 1_700_000_000_000;

fn state(messages: usize, edits: usize) -> Value {
    let messages: Vec<_> = (0..messages).map(|n| json!({
        "id": format!("msg-{n}"), "role": if n % 2 == 0 { "user" } else { "assistant" },
        "content": format!("text {n}"), "timestamp": START + i64::try_from(n).unwrap() * 1000,
        "metadata": {"editedFiles": [format!("f{n}")]},
    })).collect();
    let edits: Vec<_> = (0..edits).map(|n| json!({
        "timestamp": START + 5, "userRequest": format!("edit {n}"), "editType": "UPDATE_STYLE",
        "targetFiles": ["a.css"], "confidence": 0.5, "outcome": "success",
    })).collect();
    let last = START + 1_000_000 + i64::try_from(messages.len()).unwrap();
    json!({
        "conversationId": format!("conv-{START}"), "startedAt": START, "lastUpdated": last,
        "context": {
            "messages": messages, "edits": edits, "currentTopic": "A shop",
            "projectEvolution": {"initialState": "empty", "majorChanges": [
                {"timestamp": START, "description": "one", "filesAffected": []},
                {"timestamp": START, "description": "two", "filesAffected": []},
                {"timestamp": START, "description": "three", "filesAffected": []},
            ]},
            "userPreferences": {"editStyle": "targeted", "packagePreferences": ["zod"]},
        },
    })
}

async fn migrate(app: &App, state: &Value) -> String {
    let body = json!({"conversationState": state});
    let done = app
        .ok(&user("ann"), "POST /api/v2/migrate", body, 200)
        .await;
    text(&done, "/sessionId")
}

async fn shown(app: &App, session: &str) -> Value {
    let what = format!("GET {STATE}?sessionId={session}");
    app.ok(&user("ann"), &what, Value::Null, 200).await["state"].clone()
}

#[tokio::test]
async fn a_state_is_migrated_once_and_nothing_is_lost() {
    let app = App::new(false).await;
    let original = state(7, 2);
    let session = migrate(&app, &original).await;
    assert_eq!(migrate(&app, &original).await, session);
    let found = shown(&app, &session).await;
    let mut expected = original.clone();
    expected["conversationId"] = json!(session);
    assert_eq!(found, expected);
    // A later state of the same conversation adds what is new.
    let later = state(9, 3);
    assert_eq!(migrate(&app, &later).await, session);
    let found = shown(&app, &session).await;
    assert_eq!(found["context"]["messages"], later["context"]["messages"]);
    assert_eq!(found["context"]["edits"], later["context"]["edits"]);
    // An older one takes nothing away.
    migrate(&app, &original).await;
    assert_eq!(shown(&app, &session).await, found);
    let all = app
        .ok(&user("ann"), &format!("GET {SESSIONS}"), Value::Null, 200)
        .await;
    assert_eq!(all["pagination"]["total"], 1);
}

#[tokio::test]
async fn what_was_shown_comes_back_as_the_same_session() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let say =
        "INSERT INTO work.messages (session_id, role, content) VALUES ($1::uuid, 'user', 'hello')";
    app.sql(&ann, say, &session).await;
    let before = shown(&app, &session).await;
    assert_eq!(migrate(&app, &before).await, session);
    assert_eq!(
        shown(&app, &session).await["context"]["messages"],
        before["context"]["messages"]
    );
    // Without a name, the content is the name.
    let nameless = json!({"context": {"messages": [{"role": "user", "content": "x"}]}});
    let one = migrate(&app, &nameless).await;
    assert_eq!(migrate(&app, &nameless).await, one);
    assert_eq!(
        shown(&app, &one).await["context"]["messages"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let bad = json!({"conversationState": {"context": {"messages": [{"role": "robot"}]}}});
    app.ok(&ann, "POST /api/v2/migrate", bad, 400).await;
}

#[tokio::test]
async fn two_at_once_make_one_session() {
    let app = App::new(false).await;
    let original = state(3, 1);
    let (one, two) = tokio::join!(migrate(&app, &original), migrate(&app, &original));
    assert_eq!(one, two);
    assert_eq!(
        shown(&app, &one).await["context"]["messages"],
        original["context"]["messages"]
    );
}

#[tokio::test]
async fn clearing_keeps_the_newest_of_each() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = migrate(&app, &state(8, 5)).await;
    let clear = json!({"action": "clear-old", "sessionId": session});
    let done = app
        .ok(&ann, &format!("POST {STATE}"), clear.clone(), 200)
        .await;
    assert_eq!(done["message"], "Old messages cleared");
    let context = shown(&app, &session).await["context"].clone();
    assert_eq!(
        list(&context["messages"], "id"),
        ["msg-3", "msg-4", "msg-5", "msg-6", "msg-7"]
    );
    assert_eq!(
        list(&context["edits"], "userRequest"),
        ["edit 2", "edit 3", "edit 4"]
    );
    let changes = &context["projectEvolution"];
    assert_eq!(
        list(&changes["majorChanges"], "description"),
        ["two", "three"]
    );
    assert_eq!(changes["initialState"], "empty");
    app.ok(&ann, &format!("POST {STATE}"), clear, 200).await;
    assert_eq!(shown(&app, &session).await["context"], context);
    // One that has nothing to clear is no error; one that is nobody's is.
    let empty = app.session(&ann).await;
    app.ok(
        &ann,
        &format!("POST {STATE}"),
        json!({"action": "clear-old", "sessionId": empty}),
        200,
    )
    .await;
    app.ok(
        &ann,
        &format!("POST {STATE}"),
        json!({"action": "clear-old", "sessionId": "x"}),
        404,
    )
    .await;
}

#[tokio::test]
async fn an_update_merges() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = migrate(&app, &state(1, 1)).await;
    let update = json!({"action": "update", "sessionId": session, "data": {
        "currentTopic": "A blog", "userPreferences": {"editStyle": "comprehensive"}}});
    app.ok(&ann, &format!("POST {STATE}"), update, 200).await;
    let context = shown(&app, &session).await["context"].clone();
    assert_eq!(context["currentTopic"], "A blog");
    let merged = json!({"editStyle": "comprehensive", "packagePreferences": ["zod"]});
    assert_eq!(context["userPreferences"], merged);
    assert_eq!(context["edits"].as_array().unwrap().len(), 1);
    // Only the title: preferences stay.
    let title = json!({"action": "update", "sessionId": session, "data": {"currentTopic": "C"}});
    app.ok(&ann, &format!("POST {STATE}"), title, 200).await;
    assert_eq!(
        shown(&app, &session).await["context"]["userPreferences"],
        merged
    );
}
