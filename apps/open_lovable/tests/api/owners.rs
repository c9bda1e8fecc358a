//! Whose rows are whose, and who is let in.

use axum::body::Body;
use kernel::{BadToken, Caller};
use serde_json::{Value, json};

use crate::support::{App, JOBS, SESSIONS, STATE, nobody, user};

fn requests(session: &str, job: &str) -> Vec<(String, Value)> {
    let one = format!("{SESSIONS}/{session}");
    vec![
        (format!("GET {one}"), Value::Null),
        (format!("GET {one}?details=true"), Value::Null),
        (format!("PATCH {one}"), json!({"title": "mine"})),
        (format!("DELETE {one}"), Value::Null),
        (format!("GET {one}/checkpoints"), Value::Null),
        (
            format!("POST {one}/checkpoints"),
            json!({"label": "x", "snapshotRef": "x"}),
        ),
        (format!("GET {JOBS}?sessionId={session}"), Value::Null),
        (
            format!("POST {JOBS}"),
            json!({"sessionId": session, "type": "zip", "input": {}}),
        ),
        (format!("GET {JOBS}/{job}"), Value::Null),
        (format!("GET {JOBS}/{job}?details=true"), Value::Null),
        (format!("PATCH {JOBS}/{job}"), json!({"state": "cancelled"})),
        (format!("POST {JOBS}/{job}"), json!({"action": "cancel"})),
        (format!("GET {STATE}?sessionId={session}"), Value::Null),
        (
            format!("POST {STATE}"),
            json!({"action": "clear-old", "sessionId": session}),
        ),
        (
            format!("POST {STATE}"),
            json!({"action": "update", "sessionId": session, "data": {"currentTopic": "x"}}),
        ),
        (format!("DELETE {STATE}?sessionId={session}"), Value::Null),
        (
            "POST /api/v2/migrate".to_owned(),
            json!({"conversationState": {"conversationId": session}}),
        ),
    ]
}

#[tokio::test]
async fn anothers_rows_do_not_exist() {
    let (app, ann, bob) = (App::new(false).await, user("ann"), user("bob"));
    let session = app.session(&ann).await;
    let job = app.job(&ann, &session).await;
    let details = format!("GET {SESSIONS}/{session}?details=true");
    let before = app.ok(&ann, &details, Value::Null, 200).await;
    let nothing = "0192f3c0-0000-7000-8000-000000000001";
    for ((what, body), (same, other)) in requests(&session, &job)
        .into_iter()
        .zip(requests(nothing, nothing))
    {
        let real = app.ask(&bob, &what, body.clone()).await;
        let unreal = app.ask(&bob, &same, other).await;
        if what.contains("migrate") {
            // Becomes a session of his own, which is not hers.
            assert_eq!(real.0, 200);
            assert_ne!(real.1["sessionId"], json!(session));
            continue;
        }
        assert_eq!(real, unreal, "{what}");
        let stranger = app.ask(&nobody(), &what, body).await;
        assert_eq!(
            stranger,
            (401, json!({"success": false, "error": "Unauthorized"}))
        );
    }
    assert_eq!(app.ok(&ann, &details, Value::Null, 200).await, before);
    let parent = json!({"sessionId": app.session(&bob).await, "type": "zip", "input": {}, "parentJobId": job});
    app.ok(&bob, &format!("POST {JOBS}"), parent, 404).await;
}

#[tokio::test]
async fn an_open_app_has_one_owner_for_all_without_a_token() {
    let (app, ann) = (App::new(true).await, user("ann"));
    let session = app.session(&nobody()).await;
    let shown = format!("GET {SESSIONS}/{session}");
    app.ok(&nobody(), &shown, Value::Null, 200).await;
    app.ok(&ann, &shown, Value::Null, 404).await;
    // An anonymous key is no token, and a bad token is worse than none.
    let anonymous = Caller {
        authenticated: true,
        ..nobody()
    };
    app.ok(&anonymous, &shown, Value::Null, 200).await;
    let bad = Some(BadToken {
        reason: "expired".into(),
    });
    let (status, _) = app.send(&nobody(), &shown, Body::empty(), bad).await;
    assert_eq!(status, 401);
}
