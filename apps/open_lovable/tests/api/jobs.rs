//! Jobs: real ones, which only change as the engine allows.

use serde_json::{Value, json};

use crate::support::{App, JOBS, text, user};

#[tokio::test]
async fn nothing_leads_back_from_an_end() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    for end in ["completed", "failed", "cancelled"] {
        let job = app.job(&ann, &session).await;
        let patch = format!("PATCH {JOBS}/{job}");
        app.ok(&ann, &patch, json!({"state": "running"}), 200).await;
        app.ok(&ann, &patch, json!({"state": end}), 200).await;
        for state in [
            "queued",
            "running",
            "paused",
            "completed",
            "failed",
            "cancelled",
        ] {
            let status = if state == end { 200 } else { 409 };
            app.ok(&ann, &patch, json!({"state": state}), status).await;
        }
        let changed = app
            .ok(&ann, &patch, json!({"output": {"late": true}}), 409)
            .await;
        let error = format!("Failed to update job: a job that is {end} does not change");
        assert_eq!(changed, json!({"success": false, "error": error}));
        let status = if end == "cancelled" { 200 } else { 409 };
        app.ok(
            &ann,
            &format!("POST {JOBS}/{job}"),
            json!({"action": "cancel"}),
            status,
        )
        .await;
    }
}

#[tokio::test]
async fn a_job_goes_its_way_and_its_log_tells_it() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let job = app.job(&ann, &session).await;
    let patch = format!("PATCH {JOBS}/{job}");
    for (change, state) in [
        (json!({"state": "running"}), "running"),
        (json!({"output": {"half": 1}}), "running"),
        (json!({"state": "paused"}), "paused"),
        (json!({"state": "running"}), "running"),
        (json!({"state": "completed"}), "completed"),
    ] {
        let row = app.ok(&ann, &patch, change, 200).await;
        assert_eq!(row["job"]["state"], state);
    }
    let row = app
        .ok(&ann, &format!("GET {JOBS}/{job}"), Value::Null, 200)
        .await;
    assert_eq!(row["job"]["output"], json!({"half": 1}));
    let mut admin = app.db.session().await;
    let sql = "SELECT string_agg(kind, ' ' ORDER BY seq) FROM work.events WHERE job_id = $1::uuid";
    let rows = admin.query(sql, &[Some(&job)]).await.unwrap();
    assert_eq!(
        rows.first().unwrap().get(0),
        Some("job.queued job.started job.paused job.resumed job.started job.completed")
    );
    let broken = admin
        .query("SELECT * FROM work_engine.check()", &[])
        .await
        .unwrap();
    assert!(broken.is_empty());
}

#[tokio::test]
async fn who_reports_only_the_end_may() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let job = app.job(&ann, &session).await;
    let change = json!({"state": "failed", "error": "no network"});
    let row = app
        .ok(&ann, &format!("PATCH {JOBS}/{job}"), change, 200)
        .await;
    assert_eq!(
        (&row["job"]["state"], &row["job"]["error"]),
        (&json!("failed"), &json!("no network"))
    );
    // A parent that is over is remembered all the same.
    let body = json!({"sessionId": session, "type": "plan", "input": {}, "parentJobId": job});
    let child = app.ok(&ann, &format!("POST {JOBS}"), body, 201).await;
    assert_eq!(child["job"]["parent_job_id"], json!(job));
}

#[tokio::test]
async fn cancelling_a_parent_cancels_its_children() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let job = app.job(&ann, &session).await;
    let body = json!({"sessionId": session, "type": "plan", "input": {}, "parentJobId": job});
    let child = app.ok(&ann, &format!("POST {JOBS}"), body, 201).await;
    app.ok(
        &ann,
        &format!("POST {JOBS}/{job}"),
        json!({"action": "cancel"}),
        200,
    )
    .await;
    let child = text(&child, "/job/id");
    let row = app
        .ok(&ann, &format!("GET {JOBS}/{child}"), Value::Null, 200)
        .await;
    assert_eq!(row["job"]["state"], "cancelled");
}

#[tokio::test]
async fn a_job_that_a_worker_has_is_not_reported_on() {
    let (app, ann) = (App::new(false).await, user("ann"));
    let session = app.session(&ann).await;
    let job = app.job(&ann, &session).await;
    let mut admin = app.db.session().await;
    let claim = "SELECT id FROM work_engine.claim('w', ARRAY['open_lovable'], NULL, NULL, true, 1, '1 minute', NULL)";
    let claimed = admin.query(claim, &[]).await.unwrap();
    assert_eq!(claimed.first().unwrap().get(0), Some(job.as_str()));
    let patch = format!("PATCH {JOBS}/{job}");
    let taken = app
        .ok(&ann, &patch, json!({"state": "completed"}), 409)
        .await;
    assert_eq!(
        taken["error"],
        "Failed to update job: a worker has this job"
    );
    // Its owner may stop it even so.
    app.ok(&ann, &patch, json!({"state": "cancelled"}), 200)
        .await;
}
