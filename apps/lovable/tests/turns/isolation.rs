//! Whose things are whose, by every door.

use kernel::Caller;
use serde_json::{Value, json};

use crate::provider::Provider;
use crate::support::{Node, database, list, sql, user};

#[tokio::test]
async fn somebody_else_s_session_does_not_exist() {
    let (db, provider) = (database().await, Provider::start().await);
    let (ann, bob) = (user("ann"), user("bob"));
    let node = Node::start(&db, &provider);
    provider.will_write("App.tsx", "secret");
    let session = node.session(&ann).await;
    node.prompt(&ann, &session, "mine").await;
    let state = node.settled(&ann, &session).await;
    let checkpoint = json!({"checkpoint_id": state["checkpoints"][0]["id"]});
    let at = |verb: &str, what: &str| format!("{verb} /api/sessions/{session}{what}");
    for (what, body) in [
        (at("GET", ""), Value::Null),
        (at("POST", "/turns"), json!({"text": "yours"})),
        (at("POST", "/refresh"), Value::Null),
        (at("POST", "/restore"), checkpoint.clone()),
        (at("POST", "/fork"), checkpoint.clone()),
        (at("GET", "/file?path=src/App.tsx"), Value::Null),
        (at("GET", "/zip"), Value::Null),
        (at("GET", "/events"), Value::Null),
        (at("DELETE", ""), Value::Null),
    ] {
        let (status, answer) = node.ask(&bob, &what, body).await;
        assert_eq!(status, 404, "{what}: {answer}");
    }
    assert_eq!(
        node.ok(&bob, &at("POST", "/stop"), Value::Null).await["stopped"],
        json!([])
    );
    assert_eq!(
        node.ok(&bob, "GET /api/sessions", Value::Null).await["sessions"],
        json!([])
    );
    assert_eq!(
        node.ask(&Caller::anonymous("anon"), &at("GET", ""), Value::Null)
            .await
            .0,
        401
    );
    assert_eq!(
        list(&node.state(&ann, &session).await["messages"], "content")[0],
        "mine"
    );
}

#[tokio::test]
async fn a_name_is_somebody_s_own() {
    let (db, provider) = (database().await, Provider::start().await);
    let (ann, bob) = (user("ann"), user("bob"));
    let node = Node::start(&db, &provider);
    let open = json!({"session_id": "same"});
    let of = |answer: Value| answer["id"].as_str().unwrap().to_owned();
    let anns = of(node.ok(&ann, "POST /api/sessions", open.clone()).await);
    let bobs = of(node.ok(&bob, "POST /api/sessions", open.clone()).await);
    assert_ne!(anns, bobs);
    assert_eq!(of(node.ok(&ann, "POST /api/sessions", open).await), anns);
}

#[tokio::test]
async fn the_views_are_written_as_the_original_s_tables_and_only_by_owners() {
    let (db, ann, bob) = (database().await, user("ann"), user("bob"));
    let insert = "INSERT INTO lovable.sessions (session_id) VALUES ($1) RETURNING session_id";
    assert_eq!(sql(&db, &ann, insert, &["s1"]).await.unwrap(), "s1");
    let save = "INSERT INTO lovable.code_files (session_id, file_path, content) VALUES ($1, $2, $3) RETURNING file_path";
    for content in ["one", "two"] {
        assert_eq!(
            sql(&db, &ann, save, &["s1", "App.tsx", content])
                .await
                .unwrap(),
            "App.tsx"
        );
    }
    let read = "SELECT string_agg(file_path || '=' || content, ' ') FROM lovable.code_files";
    assert_eq!(sql(&db, &ann, read, &[]).await.unwrap(), "App.tsx=two");
    assert_eq!(sql(&db, &bob, read, &[]).await.unwrap(), "");
    assert_eq!(
        sql(&db, &bob, save, &["s1", "App.tsx", "three"]).await,
        Err("PT404".to_owned())
    );
    for bad in ["../x", "/etc/passwd", "a\\b"] {
        assert_eq!(
            sql(&db, &ann, save, &["s1", bad, "x"]).await,
            Err("PT400".to_owned()),
            "{bad}"
        );
    }
    let say = "INSERT INTO lovable.conversations (session_id, role, content) VALUES ('s1', 'user', 'hello') RETURNING role";
    assert_eq!(sql(&db, &ann, say, &[]).await.unwrap(), "user");
    assert_eq!(sql(&db, &bob, say, &[]).await, Err("PT404".to_owned()));
    let drop =
        "WITH gone AS (DELETE FROM lovable.code_files RETURNING 1) SELECT count(*) FROM gone";
    assert_eq!(sql(&db, &bob, drop, &[]).await.unwrap(), "0");
    assert_eq!(sql(&db, &ann, drop, &[]).await.unwrap(), "1");
    let end = "WITH gone AS (DELETE FROM lovable.sessions RETURNING 1) SELECT count(*) FROM gone";
    assert_eq!(sql(&db, &bob, end, &[]).await.unwrap(), "0");
    assert_eq!(sql(&db, &ann, end, &[]).await.unwrap(), "1");
    assert_eq!(
        sql(&db, &ann, "SELECT count(*) FROM lovable.sessions", &[])
            .await
            .unwrap(),
        "0"
    );
}
