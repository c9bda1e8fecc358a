//! Messages: windows are the newest ones, cursors meet, nothing is kept twice,
//! and searching finds one's own.

use serde_json::json;

use crate::support::{Room, list, text, user};

#[tokio::test]
async fn the_newest_messages_come_first_and_read_oldest_first() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let texts: Vec<String> = (1..=120).map(|n| format!("m{n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    room.say(&ann, &session, &texts).await;
    // Fifty of a hundred and twenty: the last, not the first.
    let path = format!("/sessions/{session}/messages");
    let page = room.get(&ann, &path).await;
    assert_eq!(list(&page["messages"], "content"), texts[70..]);
    assert_eq!(
        (&page["total"], &page["after"]),
        (&json!(120), &json!(null))
    );
    let before = page["before"].as_u64().unwrap();
    let older = room
        .get(&ann, &format!("{path}?before={before}&limit=40"))
        .await;
    assert_eq!(list(&older["messages"], "content"), texts[30..70]);
    // And forward again: the two ways meet without a gap.
    let after = older["after"].as_u64().unwrap();
    let newer = room
        .get(&ann, &format!("{path}?after={after}&limit=50"))
        .await;
    assert_eq!(list(&newer["messages"], "content"), texts[70..]);
    let first = room.get(&ann, &format!("{path}?after=0&limit=3")).await;
    assert_eq!(list(&first["messages"], "content"), texts[..3]);
    assert_eq!(first["before"], json!(null));
    let all = room
        .get(
            &ann,
            &format!("/sessions/{session}?details=true&messages=10"),
        )
        .await;
    assert_eq!(list(&all["messages"], "content"), texts[110..]);
    assert_eq!(all["totals"]["messages"], 120);
    assert!(all["messages"][0].get("search").is_none());
}

#[tokio::test]
async fn a_message_with_a_key_is_kept_once_and_numbers_do_not_come_back() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let append = format!("POST /sessions/{session}/messages");
    let one = json!({"role": "user", "content": "hello", "key": "m-1"});
    let first = room.call(&ann, &append, one.clone()).await.is(201);
    let again = json!({"messages": [one, {"role": "assistant", "content": "hi"}]});
    let again = room.call(&ann, &append, again).await.is(201);
    assert_eq!(again["messages"][0], first["messages"][0]);
    assert_eq!(room.said(&ann, &session).await, ["hello", "hi"]);
    // The last one goes; its number does not come back.
    let last = text(&again, "/messages/1/id");
    room.call(&ann, &format!("DELETE /messages/{last}"), json!(null))
        .await
        .is(200);
    let next = room
        .call(&ann, &append, json!({"role": "tool", "content": "x"}))
        .await
        .is(201);
    assert_eq!(next["messages"][0]["seq"], 3);
    let kinds = room.kinds(&ann, &session).await;
    let message = "session.message";
    assert_eq!(
        kinds,
        [
            "session.created",
            message,
            message,
            "session.messages_deleted",
            message
        ]
    );
}

#[tokio::test]
async fn many_at_once_are_numbered_without_gaps() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let append = format!("POST /sessions/{session}/messages");
    let sends = (0..16).map(|n| {
        room.call(
            &ann,
            &append,
            json!({"role": "user", "content": n.to_string()}),
        )
    });
    for reply in futures_util::future::join_all(sends).await {
        reply.is(201);
    }
    let listed = room
        .get(&ann, &format!("/sessions/{session}/messages"))
        .await;
    let messages = listed["messages"].as_array().unwrap();
    let numbers: Vec<_> = messages
        .iter()
        .map(|m| m["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
}

#[tokio::test]
async fn searching_finds_words_phrases_and_only_ones_own() {
    let (room, ann, bob) = (Room::new().await, user("ann"), user("bob"));
    let (hers, his) = (room.session(&ann).await, room.session(&bob).await);
    room.say(
        &ann,
        &hers,
        &["a blue button", "the button is blue", "nothing"],
    )
    .await;
    room.say(&bob, &his, &["blue is his"]).await;
    let find = async |who, query: &str| {
        let found = room.get(who, &format!("/messages/search?q={query}")).await;
        let mut seqs: Vec<_> = found["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["seq"].clone())
            .collect();
        seqs.sort_by_key(serde_json::Value::as_u64);
        seqs
    };
    assert_eq!(find(&ann, "blue").await, [1, 2]);
    assert_eq!(find(&ann, "%22blue+button%22").await, [1]);
    assert_eq!(find(&ann, "blue+-is").await, [1]);
    assert_eq!(find(&bob, "blue").await, [1]);
    assert!(find(&bob, "button").await.is_empty());
    // The word that stands for an owner is no word that anybody can look for.
    let word = room.get(&bob, "/messages/search?q=owner:49915e0d7d4b402e3017d010bc1c0e83cac6c797d6c16e66340fe3268693a6a1").await;
    assert_eq!(word["messages"], json!([]));
    assert!(find(&ann, "%20%22").await.is_empty());
    // What was put aside is not found.
    let changed = room.get(&ann, &format!("/sessions/{hers}/messages")).await;
    let id = text(&changed, "/messages/2/id");
    room.call(
        &ann,
        &format!("PATCH /messages/{id}"),
        json!({"content": "now blue too"}),
    )
    .await
    .is(200);
    assert_eq!(find(&ann, "blue").await, [1, 2, 3]);
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let (room, ann) = (Room::new().await, user("ann"));
    let session = room.session(&ann).await;
    let append = format!("POST /sessions/{session}/messages");
    for (body, code) in [
        (json!({"role": "robot", "content": "x"}), "invalid"),
        (json!({"role": "user", "content": 7}), "invalid"),
        (
            json!({"role": "user", "content": "x", "seq": 5}),
            "unknown_field",
        ),
        (
            json!({"role": "user", "content": "x", "superseded_at": null}),
            "unknown_field",
        ),
        (
            json!({"role": "user", "created_at": "yesterdayish"}),
            "invalid",
        ),
        (
            json!({"role": "user", "content": "x".repeat((1 << 20) + 1)}),
            "invalid",
        ),
        (json!({"messages": []}), "over_limit"),
        (json!("hello"), "invalid"),
    ] {
        let reply = room.call(&ann, &append, body).await;
        assert_eq!(reply.refusal(), (400, code));
    }
    let nowhere = room
        .call(
            &ann,
            "POST /sessions/not-a-uuid/messages",
            json!({"role": "user"}),
        )
        .await;
    assert_eq!(nowhere.refusal(), (404, "not_found"));
    assert!(room.said(&ann, &session).await.is_empty());
}
