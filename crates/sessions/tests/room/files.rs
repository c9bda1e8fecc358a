//! Files: bytes come back, paths mean one thing, batches happen whole, equal
//! contents are kept once for each owner.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Room, user};

#[tokio::test]
async fn bytes_come_back_as_they_went() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let at = |method: &str, path: &str| format!("{method} /sessions/{session}/files/{path}");
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let put = room
        .bytes(
            &ann,
            &at("PUT", "img/a.bin"),
            &[("x-file-mode", "755")],
            bytes.clone(),
        )
        .await;
    let put = put.is(201);
    assert_eq!(
        (&put["change"], &put["mode"]),
        (&json!("added"), &json!("755"))
    );
    let got = room.bytes(&ann, &at("GET", "img/a.bin"), &[], vec![]).await;
    assert_eq!(got.bytes, bytes);
    assert_eq!(got.headers["x-content-type-options"], "nosniff");
    let tag = got.headers["etag"].to_str().unwrap().to_owned();
    let same = room
        .bytes(
            &ann,
            &at("GET", "img/a.bin"),
            &[("if-none-match", &tag)],
            vec![],
        )
        .await;
    assert_eq!((same.status.as_u16(), same.bytes.len()), (304, 0));
    let kept = room
        .bytes(&ann, &at("PUT", "img/a.bin"), &[], bytes)
        .await
        .is(200);
    assert_eq!(
        (&kept["change"], &kept["mode"]),
        (&json!("same"), &json!("755"))
    );
}

#[tokio::test]
async fn a_writer_who_is_behind_is_told_so() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let at = |method: &str, path: &str| format!("{method} /sessions/{session}/files/{path}");
    let put = at("PUT", "img/a.bin");
    room.bytes(&ann, &put, &[], b"1".to_vec()).await.is(201);
    let got = room.bytes(&ann, &at("GET", "img/a.bin"), &[], vec![]).await;
    let tag = got.headers["etag"].to_str().unwrap().to_owned();
    let next = room
        .bytes(
            &ann,
            &at("PUT", "img/a.bin"),
            &[("if-match", &tag)],
            b"2".to_vec(),
        )
        .await;
    assert_eq!(next.is(200)["change"], "changed");
    let behind = room
        .bytes(
            &ann,
            &at("PUT", "img/a.bin"),
            &[("if-match", &tag)],
            b"3".to_vec(),
        )
        .await;
    assert_eq!(behind.refusal(), (412, "changed"));
    let taken = room
        .bytes(
            &ann,
            &at("PUT", "img/a.bin"),
            &[("if-none-match", "*")],
            b"4".to_vec(),
        )
        .await;
    assert_eq!(taken.refusal(), (412, "changed"));
    let gone = room
        .call(&ann, &at("DELETE", "img/a.bin"), Value::Null)
        .await;
    assert_eq!(gone.is(200)["change"], "removed");
    let gone = room
        .call(&ann, &at("DELETE", "img/a.bin"), Value::Null)
        .await;
    assert_eq!(gone.refusal(), (404, "not_found"));
    assert_eq!(
        room.kinds(&ann, &session)
            .await
            .iter()
            .filter(|k| *k == "session.files")
            .count(),
        3
    );
}

#[tokio::test]
async fn a_batch_happens_whole_or_not_at_all() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let batch = json!([
        {"path": "./src//App.tsx", "content": "a"},
        {"path": "src/lib/x.ts", "content_base64": "YQ=="},
        {"path": "e\u{301}.txt", "content": "composed"},
    ]);
    let written = room.write(&ann, &session, batch).await.is(200);
    assert_eq!(written["changes"][0]["path"], "src/App.tsx");
    assert_eq!(
        written["changes"][0]["sha256"],
        written["changes"][1]["sha256"]
    );
    assert_eq!(
        room.paths(&ann, &session).await,
        ["src/App.tsx", "src/lib/x.ts", "\u{e9}.txt"]
    );
    // By its hash, without its content.
    let again = json!([{"path": "copy", "sha256": written["changes"][0]["sha256"]}]);
    room.write(&ann, &session, again).await.is(200);
    let moved =
        json!([{"op": "rename", "path": "src", "to": "app"}, {"op": "delete", "path": "copy"}]);
    room.write(&ann, &session, moved).await.is(200);
    assert_eq!(
        room.paths(&ann, &session).await,
        ["app/App.tsx", "app/lib/x.ts", "\u{e9}.txt"]
    );
    let folder = room
        .get(&ann, &format!("/sessions/{session}/files?folder=app/lib/"))
        .await;
    assert_eq!(folder["files"][0]["path"], "app/lib/x.ts");
    assert_eq!((&folder["total"], &folder["size"]), (&json!(3), &json!(10)));
}

#[tokio::test]
async fn a_batch_with_one_mistake_changes_nothing() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let files = json!([{"path": "src/lib/x.ts", "content": "a"}, {"path": "copy", "content": "a"}]);
    room.write(&ann, &session, files).await.is(200);
    for (changes, status, code) in [
        (
            json!([{"path": "new", "content": "x"}, {"path": "../up", "content": "x"}]),
            400,
            "invalid_path",
        ),
        (
            json!([{"path": "new", "content": "x"}, {"op": "delete", "path": "none"}]),
            404,
            "not_found",
        ),
        (json!([{"path": "src", "content": "x"}]), 409, "conflict"),
        (
            json!([{"path": "copy/below", "content": "x"}]),
            409,
            "conflict",
        ),
        (
            json!([{"op": "rename", "path": "src", "to": "src/lib"}]),
            400,
            "invalid_path",
        ),
        (
            json!([{"op": "rename", "path": "copy", "to": "src"}]),
            409,
            "conflict",
        ),
        (
            json!([{"path": "new", "sha256": "0".repeat(64)}]),
            409,
            "unknown_content",
        ),
        (
            json!([{"path": "new", "content_base64": "*"}]),
            400,
            "invalid",
        ),
        (
            json!([{"path": "new", "content": "x", "mode": "777"}]),
            400,
            "invalid",
        ),
        (json!([{"path": "new", "contents": "x"}]), 400, "invalid"),
        (json!([]), 400, "over_limit"),
        (
            json!(vec![json!({"op": "delete", "path": "x"}); 1001]),
            400,
            "over_limit",
        ),
    ] {
        let reply = room.write(&ann, &session, changes).await;
        assert_eq!(reply.refusal(), (status, code), "{}", reply.body);
    }
    assert_eq!(room.paths(&ann, &session).await, ["copy", "src/lib/x.ts"]);
}

#[tokio::test]
async fn a_file_and_a_workspace_have_limits() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let put = format!("PUT /sessions/{session}/files/big");
    let most = vec![b'x'; 8 << 20];
    room.bytes(&ann, &put, &[], most.clone()).await.is(201);
    let more = room
        .bytes(&ann, &put, &[], [most, vec![b'x']].concat())
        .await;
    assert_eq!(more.refusal(), (413, "over_limit"));
    let body = room
        .bytes(&ann, &put, &[], vec![b'x'; (12 << 20) + 1])
        .await;
    assert_eq!(body.refusal(), (413, "over_limit"));
    for batch in 0..10 {
        let files: Vec<_> = (0..1000)
            .map(|n| json!({"path": format!("d{batch}/{n}"), "content": ""}))
            .collect();
        // The big file is one, so the last batch is one too many.
        let written = room.write(&ann, &session, json!(files)).await;
        let expected = if batch == 9 { 413 } else { 200 };
        assert_eq!(written.status.as_u16(), expected);
    }
}

#[tokio::test]
async fn bytes_are_kept_once_for_each_owner_and_swept_when_unused() {
    let (room, ann, bob) = (Room::new().await, user("ann"), user("bob"));
    let (one, two) = (room.session(&ann).await, room.session(&ann).await);
    let his = room.session(&bob).await;
    let file = json!([{"path": "a", "content": "same"}]);
    for (who, session) in [(&ann, &one), (&ann, &two), (&bob, &his)] {
        room.write(who, session, file.clone()).await.is(200);
    }
    let mut admin = room.db.session().await;
    let mut count = async |sql: &'static str| {
        let rows = admin.query(sql, &[]).await.unwrap();
        rows.first().unwrap().get(0).unwrap().to_owned()
    };
    assert_eq!(
        count("SELECT string_agg(owner, ' ' ORDER BY owner) FROM work.blobs").await,
        "ann bob"
    );
    let kept = room.checkpoint(&ann, &one, json!({"label": "kept"})).await;
    for (who, session) in [(&ann, &one), (&ann, &two), (&bob, &his)] {
        room.write(who, session, json!([{"op": "delete", "path": "a"}]))
            .await
            .is(200);
    }
    let role = "ferrobase_work".into();
    // Young bytes stay.
    assert_eq!(sessions::sweep_once(&room.pool, &role).await.unwrap(), 0);
    let age = "WITH t AS (UPDATE work.trees SET used_at = now() - interval '2 hours' RETURNING 1) \
               UPDATE work.blobs SET used_at = now() - interval '2 hours' RETURNING (SELECT count(*) FROM t)";
    count(age).await;
    // His go; hers are in a checkpoint.
    assert_eq!(sessions::sweep_once(&room.pool, &role).await.unwrap(), 1);
    assert_eq!(
        count("SELECT string_agg(owner, ' ') FROM work.blobs").await,
        "ann"
    );
    room.call(&ann, &format!("DELETE /checkpoints/{kept}"), Value::Null)
        .await
        .is(200);
    assert_eq!(sessions::sweep_once(&room.pool, &role).await.unwrap(), 2);
    assert_eq!(count("SELECT count(*) FROM work.blobs").await, "0");
}

#[tokio::test]
async fn deleted_sessions_go_when_their_time_is_over_and_their_bytes_with_them() {
    let room = Room::new().await;
    let (ann, role) = (user("ann"), Arc::from("ferrobase_work"));
    let month = Duration::from_secs(30 * 24 * 3600);
    let (old, young, other) = (
        room.session(&ann).await,
        room.session(&ann).await,
        room.session(&ann).await,
    );
    for (session, content) in [(&old, "only here"), (&young, "young"), (&other, "other")] {
        room.write(
            &ann,
            session,
            json!([{"path": "own", "content": content}, {"path": "shared", "content": "of all"}]),
        )
        .await
        .is(200);
        room.say(&ann, session, &["hello"]).await;
        room.checkpoint(&ann, session, json!({"label": "kept"}))
            .await;
    }
    for session in [&old, &young] {
        let what = format!("DELETE /sessions/{session}");
        room.call(&ann, &what, Value::Null).await.is(200);
    }
    let mut admin = room.db.session().await;
    let aged = "UPDATE work.sessions SET updated_at = now() - interval '31 days' WHERE id = $1::uuid OR status = 'active'";
    admin.query(aged, &[Some(&old)]).await.unwrap();
    let purge = async || {
        sessions::purge_once(&room.pool, &role, month)
            .await
            .unwrap()
    };
    assert_eq!((purge().await, purge().await), (1, 0));
    let ids = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM work.sessions";
    let left = admin.query(ids, &[]).await.unwrap();
    assert_eq!(left.scalar(), Some(format!("{young} {other}").as_str()));
    let rest = "SELECT (SELECT count(*) FROM work.messages) || ' ' || (SELECT count(*) FROM work.checkpoints) || ' '
        || (SELECT count(*) FROM work.streams) || ' ' || (SELECT count(*) FROM work.blobs)";
    let left = admin.query(rest, &[]).await.unwrap();
    assert_eq!(left.scalar(), Some("2 2 2 4"));
    let aged = "WITH t AS (UPDATE work.trees SET used_at = now() - interval '2 hours' RETURNING 1) \
               UPDATE work.blobs SET used_at = now() - interval '2 hours' RETURNING (SELECT count(*) FROM t)";
    admin.query(aged, &[]).await.unwrap();
    // Its tree and the bytes that were only there.
    assert_eq!(sessions::sweep_once(&room.pool, &role).await.unwrap(), 2);
    let left = admin.query(rest, &[]).await.unwrap();
    assert_eq!(left.scalar(), Some("2 2 2 3"));
}

/// What the rule for paths says, in other words.
fn clean(path: &str) -> Option<String> {
    let control = path.chars().any(|c| c < ' ' || c == '\u{7f}');
    if path.starts_with('/') || path.ends_with('/') || path.contains('\\') || control {
        return None;
    }
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let first = parts.first()?.as_bytes();
    let drive = first.get(1) == Some(&b':') && first[0].is_ascii_alphabetic();
    let good = parts.len() <= 32 && !parts.contains(&"..") && !drive;
    good.then(|| parts.join("/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_has_one_spelling_or_none() {
    let room = Room::new().await;
    let mut admin = room.db.session().await;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let handle = tokio::runtime::Handle::current();
    let paths = proptest::collection::vec(
        prop_oneof![
            Just("/"),
            Just("."),
            Just(".."),
            Just("a"),
            Just("b:"),
            Just("\\"),
            Just("\n"),
            Just("\u{e9}")
        ],
        0..12,
    );
    let admin = std::cell::RefCell::new(&mut admin);
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&paths, |parts| {
            let path = parts.concat();
            let mut admin = admin.borrow_mut();
            let rows = handle
                .block_on(admin.query("SELECT work_engine.clean_path($1)", &[Some(&path)]))
                .unwrap();
            let found = rows.first().unwrap().get(0).map(str::to_owned);
            prop_assert_eq!(&found, &clean(&path), "{:?}", path);
            if let Some(found) = found {
                prop_assert_eq!(clean(&found), Some(found));
            }
            Ok(())
        })
    });
    outcome.unwrap();
}
