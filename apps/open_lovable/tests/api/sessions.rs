//! Sessions: totals of all, windows of the newest, details that work.

use serde_json::{Value, json};

use crate::support::{App, SESSIONS, list, user};

#[tokio::test]
async fn the_total_is_of_all_sessions_and_the_count_of_the_page() {
    let (app, ann) = (App::new(false).await, user("ann"));
    for _ in 0..5 {
        app.session(&ann).await;
    }
    let page = app
        .ok(
            &ann,
            &format!("GET {SESSIONS}?limit=2&offset=4"),
            Value::Null,
            200,
        )
        .await;
    assert_eq!(
        page["pagination"],
        json!({"limit": 2, "offset": 4, "count": 1, "total": 5})
    );
    // What is no number counts as not said.
    let page = app
        .ok(
            &ann,
            &format!("GET {SESSIONS}?limit=many"),
            Value::Null,
            200,
        )
        .await;
    assert_eq!(
        page["pagination"],
        json!({"limit": 50, "offset": 0, "count": 5, "total": 5})
    );
}

#[tokio::test]
async fn details_show_the_newest_messages_and_jobs() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let messages = "INSERT INTO work.messages (session_id, role, content) \
                    SELECT $1::uuid, 'user', 'm' || n FROM generate_series(1, 60) AS n";
    app.sql(&ann, messages, &session).await;
    for _ in 0..22 {
        app.job(&ann, &session).await;
    }
    let all = app
        .ok(
            &ann,
            &format!("GET {SESSIONS}/{session}?details=true"),
            Value::Null,
            200,
        )
        .await;
    let said = list(&all["session"]["messages"], "content");
    let expected: Vec<_> = (11..=60).map(|n| json!(format!("m{n}"))).collect();
    assert_eq!(said, expected);
    assert_eq!(all["session"]["jobs"].as_array().unwrap().len(), 20);
    let made = list(&all["session"]["jobs"], "created_at");
    let mut sorted = made.clone();
    sorted.sort_by_key(|at| std::cmp::Reverse(at.to_string()));
    assert_eq!(made, sorted);
}

#[tokio::test]
async fn bodies_that_mean_nothing_are_refused_in_its_shape() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let patch = format!("PATCH {SESSIONS}/{session}");
    for (body, error) in [
        (
            json!({"status": "lost"}),
            "status must be active, archived or deleted",
        ),
        (json!({"metadata": 5}), "metadata must be an object"),
        (json!({"id": "x"}), "Unknown column: id"),
        (json!([]), "The request body is not a JSON object"),
    ] {
        let refused = app.ok(&ann, &patch, body, 400).await;
        assert_eq!(refused, json!({"success": false, "error": error}));
    }
}
