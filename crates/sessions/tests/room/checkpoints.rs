//! Checkpoints: going back, forth again, elsewhere, and seeing what differs.

use serde_json::{Value, json};

use crate::support::{Room, list, text, user};

#[tokio::test]
async fn going_back_loses_nothing() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    room.say(&ann, &session, &["one", "two"]).await;
    room.write(
        &ann,
        &session,
        json!([{"path": "a", "content": "1"}, {"path": "b", "content": "1"}]),
    )
    .await
    .is(200);
    let early = room
        .checkpoint(
            &ann,
            &session,
            json!({"label": "early", "snapshot_ref": "snap-1"}),
        )
        .await;
    room.say(&ann, &session, &["three"]).await;
    room.write(&ann, &session, json!([
        {"path": "a", "content": "2"}, {"op": "delete", "path": "b"}, {"path": "c", "content": "3"},
    ])).await.is(200);
    let restore = format!("POST /checkpoints/{early}/restore");
    let done = room
        .call(&ann, &restore, json!({"messages": true}))
        .await
        .is(200);
    assert_eq!(done["files"], json!({"written": 2, "removed": 1}));
    assert_eq!(
        (&done["messages_superseded"], &done["messages_restored"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(room.said(&ann, &session).await, ["one", "two"]);
    assert_eq!(room.paths(&ann, &session).await, ["a", "b"]);
    room.say(&ann, &session, &["other three"]).await;
    let later = room
        .checkpoint(&ann, &session, json!({"label": "later"}))
        .await;
    // Back to before the restore: what was put aside is in force again, and
    // what came since is put aside.
    let before = text(&done, "/before_id");
    let back = format!("POST /checkpoints/{before}/restore");
    room.call(&ann, &back, json!({"messages": true}))
        .await
        .is(200);
    assert_eq!(room.said(&ann, &session).await, ["one", "two", "three"]);
    assert_eq!(room.paths(&ann, &session).await, ["a", "c"]);
    let forth = format!("POST /checkpoints/{later}/restore");
    room.call(&ann, &forth, json!({"messages": true}))
        .await
        .is(200);
    assert_eq!(
        room.said(&ann, &session).await,
        ["one", "two", "other three"]
    );
    let all = room
        .get(
            &ann,
            &format!("/sessions/{session}/messages?superseded=true"),
        )
        .await;
    assert_eq!(
        list(&all["messages"], "content"),
        ["one", "two", "three", "other three"]
    );
    // Files alone, when nobody asks for more.
    room.call(&ann, &restore, Value::Null).await.is(200);
    assert_eq!(room.said(&ann, &session).await.len(), 3);
    assert!(
        room.kinds(&ann, &session)
            .await
            .contains(&"session.restored".to_owned())
    );
}

#[tokio::test]
async fn a_fork_begins_where_the_checkpoint_stands() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    room.say(&ann, &session, &["one", "two"]).await;
    room.write(&ann, &session, json!([{"path": "a", "content": "1"}]))
        .await
        .is(200);
    let start = room.checkpoint(&ann, &session, json!({})).await;
    room.say(&ann, &session, &["three"]).await;
    let fork = format!("POST /checkpoints/{start}/fork");
    let fork = room
        .call(
            &ann,
            &fork,
            json!({"title": "Other", "metadata": {"why": "try"}}),
        )
        .await
        .is(201);
    let fork_id = text(&fork, "/id");
    assert_eq!(
        (&fork["forked_from"], &fork["message_seq"]),
        (&json!(session), &json!(2))
    );
    assert_eq!(room.said(&ann, &fork_id).await, ["one", "two"]);
    assert_eq!(room.paths(&ann, &fork_id).await, ["a"]);
    room.write(&ann, &fork_id, json!([{"path": "a", "content": "2"}]))
        .await
        .is(200);
    let there = room
        .bytes(
            &ann,
            &format!("GET /sessions/{session}/files/a"),
            &[],
            vec![],
        )
        .await;
    assert_eq!(there.bytes, b"1");
    assert!(
        room.kinds(&ann, &session)
            .await
            .contains(&"session.forked".to_owned())
    );
    // The same files are the same tree.
    let same = room
        .checkpoint(&ann, &session, json!({"label": "same"}))
        .await;
    let tree =
        async |id: &str| room.get(&ann, &format!("/checkpoints/{id}")).await["tree_id"].clone();
    assert_eq!(tree(&same).await, tree(&start).await);
}

#[tokio::test]
async fn what_differs_is_told_line_by_line() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    room.say(&ann, &session, &["one"]).await;
    let files = json!([
        {"path": "a.txt", "content": "1\n2\n3\n"}, {"path": "gone.txt", "content": "x\n"},
        {"path": "same.txt", "content": "s"}, {"path": "pic", "content_base64": "AAECAw=="},
    ]);
    room.write(&ann, &session, files).await.is(200);
    let one = room
        .checkpoint(&ann, &session, json!({"label": "one"}))
        .await;
    let files = json!([
        {"path": "a.txt", "content": "1\ntwo\n3\n"}, {"op": "delete", "path": "gone.txt"},
        {"path": "pic", "content_base64": "AAECBA=="}, {"path": "run", "content": "#!\n", "mode": "755"},
    ]);
    room.write(&ann, &session, files).await.is(200);
    room.say(&ann, &session, &["two"]).await;
    let two = room
        .checkpoint(&ann, &session, json!({"label": "two"}))
        .await;
    let diff = room
        .get(&ann, &format!("/checkpoints/{one}/diff?with={two}"))
        .await;
    let files = &diff["files"];
    assert_eq!(list(files, "path"), ["a.txt", "gone.txt", "pic", "run"]);
    assert_eq!(
        list(files, "change"),
        ["changed", "removed", "changed", "added"]
    );
    assert_eq!(
        files[0]["diff"],
        "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"
    );
    assert_eq!(
        (&files[2]["binary"], &files[2]["diff"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(files[3]["after"]["mode"], "755");
    assert_eq!(list(&diff["messages"]["added"], "content"), ["two"]);
    // Against now, there and back.
    let now = room.get(&ann, &format!("/checkpoints/{two}/diff")).await;
    assert_eq!(
        now,
        json!({"files": [], "messages": {"added": [], "removed": []}})
    );
    room.call(
        &ann,
        &format!("POST /checkpoints/{one}/restore"),
        json!({"messages": true}),
    )
    .await
    .is(200);
    let now = room.get(&ann, &format!("/checkpoints/{two}/diff")).await;
    assert_eq!(list(&now["messages"]["removed"], "content"), ["two"]);
    assert_eq!(
        list(&now["files"], "change"),
        ["changed", "added", "changed", "removed"]
    );
    // As it was then.
    let then = format!("GET /sessions/{session}/files/a.txt?checkpoint={two}");
    assert_eq!(
        room.bytes(&ann, &then, &[], vec![]).await.bytes,
        b"1\ntwo\n3\n"
    );
    let tree = room
        .get(&ann, &format!("/sessions/{session}/files?checkpoint={two}"))
        .await;
    assert_eq!(
        list(&tree["files"], "path"),
        ["a.txt", "pic", "run", "same.txt"]
    );
}

#[tokio::test]
async fn automatic_checkpoints_make_room_and_labelled_ones_stay() {
    let (room, ann) = (Room::new().await, user("ann"));
    let made = room
        .call(&ann, "POST /sessions", json!({"keep_checkpoints": 3}))
        .await
        .is(201);
    let session = text(&made, "/id");
    let labelled = room
        .checkpoint(&ann, &session, json!({"label": "mine"}))
        .await;
    let mut automatic = Vec::new();
    for _ in 0..6 {
        automatic.push(room.checkpoint(&ann, &session, json!({})).await);
    }
    let listed = room
        .get(&ann, &format!("/sessions/{session}/checkpoints"))
        .await;
    let mut expected: Vec<_> = automatic[3..].iter().rev().cloned().collect();
    expected.push(labelled);
    assert_eq!(list(&listed["checkpoints"], "id"), expected);
    assert_eq!(listed["total"], 4);
    // The one that is gone back to is not what makes room.
    let oldest = format!("POST /checkpoints/{}/restore", automatic[3]);
    room.call(&ann, &oldest, Value::Null).await.is(200);
    room.get(&ann, &format!("/checkpoints/{}", automatic[3]))
        .await;
}

#[tokio::test]
async fn going_back_stops_jobs_when_asked() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let start = room
        .checkpoint(&ann, &session, json!({"label": "start"}))
        .await;
    let mut admin = room.db.session().await;
    let job = json!([{"type": "generate", "session_id": session, "owner": "ann", "ref": "top"},
        {"type": "below", "parent_ref": "top"}]);
    let job = job.to_string();
    let submitted = admin
        .query(
            "SELECT id FROM work_engine.submit($1::jsonb)",
            &[Some(&job)],
        )
        .await;
    submitted.unwrap();
    let mut states = async || {
        let sql = "SELECT string_agg(state, ' ' ORDER BY id) FROM work.jobs";
        let rows = admin.query(sql, &[]).await.unwrap();
        rows.first().unwrap().get(0).unwrap().to_owned()
    };
    let restore = format!("POST /checkpoints/{start}/restore");
    let bad = room.call(&ann, &restore, json!({"jobs": "explode"})).await;
    assert_eq!(bad.refusal(), (400, "invalid"));
    let done = room
        .call(&ann, &restore, json!({"jobs": "pause"}))
        .await
        .is(200);
    assert_eq!(done["jobs_stopped"], 1);
    assert_eq!(states().await, "paused paused");
    let done = room
        .call(&ann, &restore, json!({"jobs": "cancel"}))
        .await
        .is(200);
    assert_eq!(done["jobs_stopped"], 1);
    assert_eq!(states().await, "cancelled cancelled");
    let gone = format!("DELETE /sessions/{session}?hard=true");
    room.call(&ann, &gone, Value::Null).await.is(200);
    let lost = room
        .call(&ann, &format!("GET /sessions/{session}"), Value::Null)
        .await;
    assert_eq!(lost.refusal(), (404, "not_found"));
}
