//! Sessions by key, their life, and those that nobody owns yet.

use serde_json::{Value, json};

use crate::support::{Room, list, service, text, user};

#[tokio::test]
async fn a_key_names_one_session_of_its_owner() {
    let (room, ann, bob) = (Room::new().await, user("ann"), user("bob"));
    let body = json!({"key": "chat-1", "title": "First", "metadata": {"a": 1, "b": 2}});
    let made = room
        .call(&ann, "POST /sessions", body.clone())
        .await
        .is(201);
    let again = room
        .call(&ann, "POST /sessions", body.clone())
        .await
        .is(200);
    assert_eq!(made["id"], again["id"]);
    let his = room.call(&bob, "POST /sessions", body).await.is(201);
    assert_ne!(made["id"], his["id"]);
    let found = room.get(&ann, "/sessions?key=chat-1").await;
    assert_eq!(
        (&found["total"], &found["sessions"][0]["id"]),
        (&json!(1), &made["id"])
    );
    // Metadata are merged, and null takes away.
    let path = text(&made, "/id");
    let change = json!({"metadata": {"b": null, "c": 3}, "title": null});
    let changed = room
        .call(&ann, &format!("PATCH /sessions/{path}"), change)
        .await
        .is(200);
    assert_eq!(
        (&changed["metadata"], &changed["title"]),
        (&json!({"a": 1, "c": 3}), &json!(null))
    );
    for (body, code) in [
        (json!({"owner": "bob"}), "unknown_field"),
        (json!({"status": "lost"}), "invalid"),
    ] {
        let reply = room
            .call(&ann, &format!("PATCH /sessions/{path}"), body)
            .await;
        assert_eq!(reply.refusal(), (400, code));
    }
    room.call(&ann, &format!("POST /sessions/{path}/archive"), Value::Null)
        .await
        .is(200);
    room.call(&ann, &format!("DELETE /sessions/{path}"), Value::Null)
        .await
        .is(200);
    assert_eq!(room.get(&ann, "/sessions").await["total"], 0);
    assert_eq!(room.get(&ann, "/sessions?status=deleted").await["total"], 1);
    let kinds = room.kinds(&ann, &path).await;
    assert_eq!(
        kinds,
        [
            "session.created",
            "session.changed",
            "session.changed",
            "session.changed"
        ]
    );
}

#[tokio::test]
async fn totals_are_of_all_and_not_of_the_page() {
    let (room, ann) = (Room::new().await, user("ann"));
    for _ in 0..7 {
        room.session(&ann).await;
    }
    let page = room.get(&ann, "/sessions?limit=3&offset=6").await;
    assert_eq!(list(&page["sessions"], "id").len(), 1);
    assert_eq!(page["total"], 7);
}

#[tokio::test]
async fn whoever_has_the_key_takes_over_what_nobody_owns() {
    let (room, ann, bob, key) = (Room::new().await, user("ann"), user("bob"), service());
    let session = room.session(&key).await;
    room.say(&key, &session, &["from nobody"]).await;
    room.write(&key, &session, json!([{"path": "a", "content": "1"}]))
        .await
        .is(200);
    let checkpoint = room
        .checkpoint(&key, &session, json!({"label": "then"}))
        .await;
    room.write(&key, &session, json!([{"path": "b", "content": "2"}]))
        .await
        .is(200);
    let hidden = room
        .call(&ann, &format!("GET /sessions/{session}"), Value::Null)
        .await;
    assert_eq!(hidden.refusal(), (404, "not_found"));
    let made = room
        .call(
            &key,
            &format!("POST /sessions/{session}/claim_key"),
            Value::Null,
        )
        .await;
    let claim = json!({"claim_key": text(&made.is(201), "/claim_key")});
    let wrong = room
        .call(&bob, "POST /claims", json!({"claim_key": "claim_0"}))
        .await;
    assert_eq!(wrong.refusal(), (404, "not_found"));
    let mine = room.call(&ann, "POST /claims", claim.clone()).await.is(200);
    assert_eq!(
        (&mine["id"], &mine["owner"]),
        (&json!(session), &json!("ann"))
    );
    let late = room.call(&bob, "POST /claims", claim).await;
    assert_eq!(late.refusal(), (404, "not_found"));
    // Everything came along, and works as ever.
    assert_eq!(room.said(&ann, &session).await, ["from nobody"]);
    assert_eq!(room.paths(&ann, &session).await, ["a", "b"]);
    room.call(
        &ann,
        &format!("POST /checkpoints/{checkpoint}/restore"),
        Value::Null,
    )
    .await
    .is(200);
    assert_eq!(room.paths(&ann, &session).await, ["a"]);
    let found = room.get(&ann, "/messages/search?q=nobody").await;
    assert_eq!(found["messages"][0]["seq"], 1);
    assert!(
        room.kinds(&ann, &session)
            .await
            .contains(&"session.claimed".to_owned())
    );
    let owned = room
        .call(
            &key,
            &format!("POST /sessions/{session}/claim_key"),
            Value::Null,
        )
        .await;
    assert_eq!(owned.refusal(), (409, "conflict"));
}

#[tokio::test]
async fn what_jobs_leave_is_listed_with_true_totals() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let add = format!("POST /sessions/{session}/artifacts");
    for n in 0..5 {
        room.call(
            &ann,
            &add,
            json!({"type": "zip", "uri": format!("s3://b/{n}"), "size": n}),
        )
        .await
        .is(201);
    }
    let run = json!({"tool": "npm.install", "input": {"packages": ["x"]}, "error": "no", "duration_ms": 12});
    room.call(&ann, &format!("POST /sessions/{session}/tool_runs"), run)
        .await
        .is(201);
    let page = room
        .get(&ann, &format!("/sessions/{session}/artifacts?limit=2"))
        .await;
    assert_eq!(
        (&page["total"], &page["artifacts"][0]["uri"]),
        (&json!(5), &json!("s3://b/4"))
    );
    let put = format!("PUT /sessions/{session}/sandboxes");
    let sandbox = json!({"sandbox_id": "sb-1", "url": "https://a", "metadata": {"n": 1}});
    room.call(&ann, &put, sandbox).await.is(200);
    room.call(
        &ann,
        &put,
        json!({"sandbox_id": "sb-1", "metadata": {"m": 2}}),
    )
    .await
    .is(200);
    let details = room
        .get(&ann, &format!("/sessions/{session}?details=true"))
        .await;
    assert_eq!(details["sandbox"]["metadata"], json!({"n": 1, "m": 2}));
    room.call(
        &ann,
        &put,
        json!({"sandbox_id": "sb-1", "status": "stopped"}),
    )
    .await
    .is(200);
    let details = room
        .get(&ann, &format!("/sessions/{session}?details=true"))
        .await;
    assert_eq!(details["sandbox"], json!(null));
    assert_eq!(details["totals"]["artifacts"], 5);
    let kinds = room.kinds(&ann, &session).await;
    assert_eq!(
        kinds[1..],
        [
            "artifact.created",
            "artifact.created",
            "artifact.created",
            "artifact.created",
            "artifact.created",
            "tool.run",
            "session.sandbox",
            "session.sandbox",
        ]
    );
}

#[tokio::test]
async fn what_a_job_made_outlives_it_in_its_session() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let mut admin = room.db.session().await;
    let submit = async |admin: &mut pg::Session, job: Value| {
        let job = json!([job]).to_string();
        let rows = admin
            .query(
                "SELECT id FROM work_engine.submit($1::jsonb)",
                &[Some(&job)],
            )
            .await
            .unwrap();
        rows.first().unwrap().get(0).unwrap().to_owned()
    };
    let of_session = json!({"type": "a", "owner": "ann", "session_id": session});
    let kept = submit(&mut admin, of_session).await;
    let alone = submit(&mut admin, json!({"type": "a", "owner": "ann"})).await;
    let add = format!("POST /sessions/{session}/artifacts");
    let artifact = json!({"type": "zip", "uri": "s3://kept", "job_id": kept});
    room.call(&ann, &add, artifact).await.is(201);
    // The job is of no session, so it is not of this one.
    let artifact = json!({"type": "zip", "uri": "s3://no", "job_id": alone});
    let wrong = room.call(&ann, &add, artifact).await;
    assert_eq!(wrong.refusal(), (400, "invalid"));
    for sql in [
        "INSERT INTO work.artifacts (job_id, type, uri) VALUES ($1::uuid, 'zip', 's3://lost')",
        "DELETE FROM work.jobs WHERE id = $1::uuid OR session_id IS NOT NULL",
    ] {
        admin.query(sql, &[Some(&alone)]).await.unwrap();
    }
    let path = format!("/sessions/{session}/artifacts");
    let page = room.get(&ann, &path).await;
    assert_eq!(list(&page["artifacts"], "uri"), ["s3://kept"]);
    assert_eq!(page["artifacts"][0]["job_id"], json!(null));
    let role = "ferrobase_work".into();
    let swept = sessions::sweep_once(&room.pool, &role).await.unwrap();
    assert_eq!(swept, 1);
}
