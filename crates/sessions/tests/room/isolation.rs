//! Another tenant sees, changes and infers nothing: every address with somebody
//! else's ids is answered exactly as with ids of nothing.

use kernel::Caller;
use serde_json::{Value, json};

use crate::support::{Room, text, user};

/// Ids of what somebody has.
struct Things {
    session: String,
    checkpoint: String,
    message: String,
}

async fn things(room: &Room, who: &Caller) -> Things {
    let session = room.session(who).await;
    room.say(who, &session, &["secret"]).await;
    room.write(
        who,
        &session,
        json!([{"path": "secret.txt", "content": "secret"}]),
    )
    .await
    .is(200);
    let checkpoint = room
        .checkpoint(who, &session, json!({"label": "secret"}))
        .await;
    let listed = room
        .get(who, &format!("/sessions/{session}/messages"))
        .await;
    let message = text(&listed, "/messages/0/id");
    Things {
        session,
        checkpoint,
        message,
    }
}

fn requests(of: &Things) -> Vec<(String, Value)> {
    let Things {
        session,
        checkpoint,
        message,
    } = of;
    let get = |path: &str| (format!("GET {path}"), Value::Null);
    let of_session = |path: &str| get(&format!("/sessions/{session}{path}"));
    vec![
        of_session(""),
        of_session("?details=true"),
        of_session("/messages"),
        of_session("/files"),
        of_session("/files/secret.txt"),
        of_session(&format!("/files?checkpoint={checkpoint}")),
        of_session(&format!("/files/secret.txt?checkpoint={checkpoint}")),
        of_session("/checkpoints"),
        of_session("/artifacts"),
        of_session("/tool_runs"),
        of_session("/sandboxes"),
        of_session("/timeline"),
        get(&format!("/checkpoints/{checkpoint}")),
        get(&format!("/checkpoints/{checkpoint}/diff")),
        (
            format!("PATCH /sessions/{session}"),
            json!({"title": "mine"}),
        ),
        (format!("POST /sessions/{session}/archive"), Value::Null),
        (format!("DELETE /sessions/{session}"), Value::Null),
        (format!("DELETE /sessions/{session}?hard=true"), Value::Null),
        (format!("POST /sessions/{session}/claim_key"), Value::Null),
        (
            format!("POST /sessions/{session}/messages"),
            json!({"role": "user", "content": "x"}),
        ),
        (
            format!("PATCH /messages/{message}"),
            json!({"content": "x"}),
        ),
        (format!("DELETE /messages/{message}"), Value::Null),
        (
            format!("POST /sessions/{session}/files"),
            json!({"changes": [{"path": "a", "content": "x"}]}),
        ),
        (format!("PUT /sessions/{session}/files/a"), json!("x")),
        (
            format!("DELETE /sessions/{session}/files/secret.txt"),
            Value::Null,
        ),
        (format!("POST /sessions/{session}/checkpoints"), json!({})),
        (format!("DELETE /checkpoints/{checkpoint}"), Value::Null),
        (
            format!("POST /checkpoints/{checkpoint}/restore"),
            json!({"messages": true, "jobs": "cancel"}),
        ),
        (format!("POST /checkpoints/{checkpoint}/fork"), json!({})),
        (
            format!("POST /sessions/{session}/artifacts"),
            json!({"type": "zip", "uri": "x"}),
        ),
        (
            format!("POST /sessions/{session}/tool_runs"),
            json!({"tool": "x"}),
        ),
        (
            format!("PUT /sessions/{session}/sandboxes"),
            json!({"sandbox_id": "x"}),
        ),
    ]
}

#[tokio::test]
async fn anothers_is_answered_like_nothing() {
    let (room, ann, bob) = (Room::new().await, user("ann"), user("bob"));
    let hers = things(&room, &ann).await;
    let nothing = Things {
        session: "0192f3c0-0000-7000-8000-000000000001".to_owned(),
        checkpoint: "0192f3c0-0000-7000-8000-000000000002".to_owned(),
        message: "0192f3c0-0000-7000-8000-000000000003".to_owned(),
    };
    let before = room
        .get(&ann, &format!("/sessions/{}/timeline", hers.session))
        .await;
    for ((what, body), (same, _)) in requests(&hers).into_iter().zip(requests(&nothing)) {
        let real = room.call(&bob, &what, body.clone()).await;
        let unreal = room.call(&bob, &same, body.clone()).await;
        assert_eq!(real.status, unreal.status, "{what}");
        assert_eq!(real.body, unreal.body, "{what}");
        assert!(real.status.is_client_error(), "{what}: {}", real.body);
        let stranger = room.call(&Caller::anonymous("anon"), &what, body).await;
        assert_eq!(stranger.status.as_u16(), 401, "{what}: {}", stranger.body);
    }
    assert_eq!(room.get(&bob, "/sessions").await["total"], 0);
    let after = room
        .get(&ann, &format!("/sessions/{}/timeline", hers.session))
        .await;
    assert_eq!(before, after);
    assert_eq!(room.said(&ann, &hers.session).await, ["secret"]);
    // His checkpoint does not open her files, nor does her hash open her bytes.
    let his = things(&room, &bob).await;
    let mixed = format!(
        "GET /checkpoints/{}/diff?with={}",
        his.checkpoint, hers.checkpoint
    );
    assert_eq!(
        room.call(&bob, &mixed, Value::Null).await.refusal(),
        (404, "not_found")
    );
    room.write(
        &ann,
        &hers.session,
        json!([{"path": "only", "content": "only hers"}]),
    )
    .await
    .is(200);
    let listed = room
        .get(&ann, &format!("/sessions/{}/files", hers.session))
        .await;
    let hash = listed["files"][0]["sha256"].clone();
    let stolen = room
        .write(&bob, &his.session, json!([{"path": "x", "sha256": hash}]))
        .await;
    assert_eq!(stolen.refusal(), (409, "unknown_content"));
    // Nor may a session take the id of somebody's log.
    let taken = room
        .call(&bob, "POST /sessions", json!({"id": hers.session}))
        .await;
    assert_eq!(taken.refusal(), (409, "conflict"));
    let as_her = room
        .call(&bob, "POST /sessions", json!({"owner": "ann"}))
        .await;
    assert_eq!(as_her.refusal(), (403, "forbidden"));
}

#[tokio::test]
async fn whoever_may_only_read_changes_nothing() {
    let (room, ann) = (Room::new().await, user("ann"));
    let hers = things(&room, &ann).await;
    let reader = Caller {
        read_only: true,
        ..ann.clone()
    };
    for (what, body) in requests(&hers) {
        let reply = room.call(&reader, &what, body).await;
        let reads = what.starts_with("GET");
        let expected = if reads { 200 } else { 403 };
        assert_eq!(reply.status.as_u16(), expected, "{what}: {}", reply.body);
    }
}

#[tokio::test]
async fn tables_and_functions_say_the_same_without_the_room() {
    let (room, ann, bob) = (Room::new().await, user("ann"), user("bob"));
    let hers = things(&room, &ann).await;
    let mut admin = room.db.session().await;
    let claims = String::from(&*bob.claims);
    let as_bob = "SELECT set_config('role', 'authenticated', false), set_config('request.jwt.claims', $1, false)";
    admin.query(as_bob, &[Some(&claims)]).await.unwrap();
    for table in [
        "sessions",
        "messages",
        "workspace_files",
        "blobs",
        "trees",
        "tree_files",
        "checkpoints",
        "artifacts",
        "tool_runs",
        "sandboxes",
        "streams",
        "events",
    ] {
        let mut sql = pg::SqlBuf::new();
        sql.lit("SELECT count(*) FROM ").qualified("work", table);
        let rows = admin.query_buf(&sql).await.unwrap();
        assert_eq!(rows.first().unwrap().get(0), Some("0"), "{table}");
    }
    let session = hers.session.as_str();
    for (sql, code) in [
        (
            "INSERT INTO work.messages (session_id, role) VALUES ($1::uuid, 'user')",
            "PT404",
        ),
        (
            "INSERT INTO work.artifacts (session_id, type, uri) VALUES ($1::uuid, 'x', 'x')",
            "PT404",
        ),
        (
            "INSERT INTO work.sandboxes (session_id, sandbox_id) VALUES ($1::uuid, 'x')",
            "42501",
        ),
        (
            "INSERT INTO work.workspace_files (session_id, path, blob_id, size) VALUES ($1::uuid, 'x', $1::uuid, 1)",
            "42501",
        ),
        (
            "INSERT INTO work.checkpoints (session_id) VALUES ($1::uuid)",
            "42501",
        ),
        (
            "UPDATE work.sessions SET owner = 'bob' WHERE id = $1::uuid",
            "42501",
        ),
        (
            "UPDATE work.sessions SET message_seq = 0 WHERE id = $1::uuid",
            "42501",
        ),
        ("SELECT work.write_files($1::uuid, '[]')", "PT404"),
        ("SELECT work.create_checkpoint($1::uuid)", "PT404"),
        ("SELECT work.session_details($1::uuid)", "PT404"),
        (
            "SELECT work_engine.sweep_files(1, '0') WHERE $1::uuid IS NOT NULL",
            "42501",
        ),
    ] {
        let error = admin.query(sql, &[Some(session)]).await.expect_err(sql);
        assert_eq!(error.sqlstate(), Some(code), "{sql}");
    }
}
