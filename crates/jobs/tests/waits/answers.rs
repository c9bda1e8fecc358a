//! People answer, once, what the form allows.

use serde_json::{Value, json};

use crate::support::{World, text};

const ANSWER: &str = "SELECT to_json(a) FROM work_engine.answer($1::uuid, $2::jsonb, $3) AS a";

/// A job that asks, and the approval's id.
async fn asking(world: &mut World, form: Value) -> (String, String) {
    let claim = world.running(json!({"type": "t", "owner": "ann"})).await;
    let waits = json!([{"key": "ok", "kind": "approval", "prompt": "Well?", "form": form, "due_ms": 60_000}]);
    let suspended = world.suspend(&claim, waits, "any").await;
    assert_eq!(text(&suspended, "state"), "suspended");
    let sql = "SELECT to_json(id) FROM work.approvals WHERE job_id = $1::uuid";
    let approval = world.ask(sql, &[&claim.job]).await;
    (
        claim.job,
        approval.as_str().expect("an approval").to_owned(),
    )
}

#[tokio::test]
async fn an_answer_wakes_the_job_and_is_its_step() {
    let mut world = World::new().await;
    let form =
        json!({"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}});
    let (job, approval) = asking(&mut world, form).await;
    assert_eq!(world.told("approval.requested").await, 1);
    let wrong = [approval.as_str(), r#"{"ok": "yes"}"#, "bob"];
    assert_eq!(world.refused(ANSWER, &wrong).await, "PT422 invalid");
    let right = [approval.as_str(), r#"{"ok": true}"#, "bob"];
    assert_eq!(text(&world.ask(ANSWER, &right).await, "state"), "answered");
    assert_eq!(world.state(&job).await, "queued");
    // The same again is the same; another one comes too late.
    assert_eq!(text(&world.ask(ANSWER, &right).await, "state"), "answered");
    let other = [approval.as_str(), r#"{"ok": false}"#, "bob"];
    assert_eq!(world.refused(ANSWER, &other).await, "PT409 conflict");
    let step = "SELECT result FROM work.steps";
    assert_eq!(
        world.ask(step, &[]).await,
        json!({"answer": {"ok": true}, "by": "bob"})
    );
    assert_eq!(world.told("approval.answered").await, 1);
    let nobody = ["00000000-0000-7000-8000-000000000000", "1", "bob"];
    assert_eq!(world.refused(ANSWER, &nobody).await, "PT404 not_found");
    world.check().await;
}

#[tokio::test]
async fn what_nobody_answers_in_time_is_expired() {
    let mut world = World::new().await;
    let (job, approval) = asking(&mut world, json!(null)).await;
    world.pass_time().await;
    assert_eq!(world.state(&job).await, "queued");
    let late = [approval.as_str(), "true", "bob"];
    assert_eq!(world.refused(ANSWER, &late).await, "PT409 conflict");
    let steps = world
        .ask("SELECT work_engine.done_steps($1::uuid)", &[&job])
        .await;
    assert_eq!(steps["ok"]["state"], json!("expired"));
    world.check().await;
}

#[tokio::test]
async fn of_many_answers_at_once_one_counts() {
    let mut world = World::new().await;
    let (_, approval) = asking(&mut world, json!(null)).await;
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let mut session = crate::support::connect(&world.db).await;
        let approval = approval.clone();
        racing.spawn(async move {
            let who = format!("person {n}");
            crate::support::ask(&mut session, ANSWER, &[&approval, &n.to_string(), &who]).await
        });
    }
    let mut counted = 0;
    while let Some(answered) = racing.join_next().await {
        match answered.expect("no panic") {
            Ok(_) => counted += 1,
            Err(pg::Error::Db(error)) => assert_eq!(error.detail.as_deref(), Some("conflict")),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(counted, 1);
    world.check().await;
}

/// A form with most of what the database knows of forms.
fn shots_form() -> Value {
    json!({
        "type": "object",
        "required": ["choice"],
        "additionalProperties": false,
        "properties": {
            "choice": {"enum": ["a", "b"]},
            "count": {"type": "integer", "minimum": 1, "maximum": 10},
            "note": {"type": ["string", "null"], "maxLength": 5},
            "fixed": {"const": 7},
            "shots": {"type": "array", "maxItems": 2, "items": {"type": "object", "required": ["id"]}}
        }
    })
}

#[tokio::test]
async fn the_database_holds_answers_to_the_plain_part_of_a_form() {
    let mut world = World::new().await;
    let form = shots_form();
    let sql = "SELECT to_json(work_engine.form_problem($1::jsonb, $2::jsonb))";
    let form = form.to_string();
    for (answer, problem) in [
        (json!({"choice": "a"}), json!(null)),
        (
            json!({"choice": "b", "count": 10, "note": null, "fixed": 7}),
            json!(null),
        ),
        (
            json!({"choice": "a", "shots": [{"id": 1}, {"id": 2}]}),
            json!(null),
        ),
        (json!([]), json!("the answer is no object")),
        (json!({}), json!("\"choice\" is missing")),
        (
            json!({"choice": "c"}),
            json!("\"choice\" is none of [\"a\", \"b\"]"),
        ),
        (
            json!({"choice": "a", "count": 0}),
            json!("\"count\" is below 1"),
        ),
        (
            json!({"choice": "a", "count": 11}),
            json!("\"count\" is above 10"),
        ),
        (
            json!({"choice": "a", "count": 1.5}),
            json!("\"count\" is no integer"),
        ),
        (
            json!({"choice": "a", "note": "longer"}),
            json!("\"note\" is too long"),
        ),
        (
            json!({"choice": "a", "note": 1}),
            json!("\"note\" is no string or null"),
        ),
        (
            json!({"choice": "a", "fixed": 8}),
            json!("\"fixed\" is not 7"),
        ),
        (
            json!({"choice": "a", "more": 1}),
            json!("\"more\" is not wanted"),
        ),
        (
            json!({"choice": "a", "shots": [1]}),
            json!("\"shots/0\" is no object"),
        ),
        (
            json!({"choice": "a", "shots": [{}]}),
            json!("\"shots/0/id\" is missing"),
        ),
        (
            json!({"choice": "a", "shots": [{}, {}, {}]}),
            json!("\"shots\" is too long"),
        ),
    ] {
        let found = world.ask(sql, &[&form, &answer.to_string()]).await;
        assert_eq!(found, problem, "{answer}");
        // Never stricter than the whole check, which comes first.
        let whole = jobs::form::check(&serde_json::from_str(&form).expect("a form"), &answer);
        assert_eq!(whole.is_ok(), problem.is_null(), "{answer}");
    }
    world.check().await;
}

#[tokio::test]
async fn a_form_that_makes_no_sense_stops_nobody() {
    let mut world = World::new().await;
    let sql = "SELECT to_json(work_engine.form_problem($1::jsonb, '{\"a\": [1]}'))";
    for form in [
        json!(true),
        json!({}),
        json!({"type": 7, "required": "a", "properties": [], "enum": {}}),
        json!({"minimum": "x", "properties": {"a": {"items": 3, "maxItems": "many"}}}),
    ] {
        assert_eq!(
            world.ask(sql, &[&form.to_string()]).await,
            json!(null),
            "{form}"
        );
    }
    assert_eq!(
        world.ask(sql, &["false"]).await,
        json!("the answer is not wanted")
    );
    world.check().await;
}
