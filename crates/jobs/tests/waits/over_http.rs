//! Schedules, budgets, limits and answers through the room's routes and through
//! the functions that clients call: whose is whose, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use jobs::{Config, Jobs, Parts};
use kernel::{Caller, Rng, Tasks};
use pg::{Pool, PoolConfig};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{World, text};

/// A node's room, and its database.
struct Node {
    world: World,
    jobs: Arc<Jobs>,
    router: Router,
    tasks: Tasks,
}

impl Node {
    async fn new() -> Self {
        let world = World::new().await;
        let tasks = Tasks::new();
        let target = world.db.target_as("ferrobase_work");
        let jobs = Jobs::new(Parts {
            pool: Pool::new(&target, &PoolConfig::default(), &tasks),
            role: "ferrobase_work".into(),
            config: Config::default(),
            tasks: tasks.clone(),
            rng: Rng::system(),
        });
        let router = Arc::clone(&jobs).router();
        Self {
            world,
            jobs,
            router,
            tasks,
        }
    }

    /// `who` is a subject, or `service`.
    async fn send(&self, who: &str, line: &str, body: Value) -> (u16, Value) {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let role = if who == "service" {
            "service_role"
        } else {
            "authenticated"
        };
        let claims = json!({"role": role, "sub": who}).to_string();
        let mut request = Request::builder().method(method).uri(path);
        let extensions = request.extensions_mut().expect("a request");
        extensions.insert(Caller {
            role: role.into(),
            claims: claims.into(),
            authenticated: true,
            read_only: false,
        });
        let request = request
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answered = self.router.clone().oneshot(request);
        let answer = tokio::time::timeout(Duration::from_secs(60), answered).await;
        let answer = answer.expect("in time").expect("an answer");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("a body");
        let body = serde_json::from_slice(&bytes.to_bytes()).unwrap_or(Value::Null);
        (status, body)
    }

    async fn end(mut self) {
        self.world.check().await;
        self.jobs.drain().await;
        self.tasks.stop().await;
    }
}

fn nightly() -> Value {
    json!({"name": "nightly", "cron": "0 3 * * *", "time_zone": "Europe/Berlin", "job": {"type": "report"}})
}

#[tokio::test]
async fn a_user_has_schedules_of_the_user_s_own() {
    let node = Node::new().await;
    let (status, made) = node.send("ann", "POST /schedules", nightly()).await;
    assert_eq!((status, &made["owner"]), (201, &json!("ann")), "{made}");
    let one = format!("/schedules/{}", text(&made, "id"));
    let (_, list) = node.send("ann", "GET /schedules", json!({})).await;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let (status, shown) = node.send("ann", &format!("GET {one}"), json!({})).await;
    assert_eq!((status, &shown["fires"]), (200, &json!([])));
    let wanted = json!({"paused": true, "owner": "eve"});
    let (status, changed) = node
        .send("ann", &format!("PATCH {one}"), wanted.clone())
        .await;
    assert_eq!((status, &changed["paused"]), (200, &json!(true)));
    assert_eq!(changed["owner"], json!("ann"));
    // Nobody else's.
    let (_, list) = node.send("eve", "GET /schedules", json!({})).await;
    assert_eq!(list, json!([]));
    for line in ["GET", "PATCH", "DELETE"] {
        let (status, refused) = node
            .send("eve", &format!("{line} {one}"), wanted.clone())
            .await;
        assert_eq!((status, text(&refused, "code")), (404, "not_found".into()));
    }
    let (status, _) = node.send("ann", "GET /schedules/7", json!({})).await;
    assert_eq!(status, 404);
    // The service sees all, and may say whose.
    let (_, list) = node.send("service", "GET /schedules", json!({})).await;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let mut hers = nightly();
    hers["owner"] = json!("eve");
    let (_, made) = node.send("service", "POST /schedules", hers.clone()).await;
    assert_eq!(made["owner"], json!("eve"));
    hers["name"] = json!("other");
    let (_, made) = node.send("ann", "POST /schedules", hers).await;
    assert_eq!(made["owner"], json!("ann"));
    let (status, _) = node.send("ann", &format!("DELETE {one}"), json!({})).await;
    assert_eq!(status, 200);
    node.end().await;
}

#[tokio::test]
async fn a_schedule_that_can_never_fire_is_refused_at_once() {
    let node = Node::new().await;
    for (field, value) in [
        ("cron", json!("61 * * * *")),
        ("cron", json!("0 0 30 2 *")),
        ("time_zone", json!("Mars/Olympus")),
        ("overlap", json!("most")),
        ("job", json!({"type": "t", "parent_id": "x"})),
    ] {
        let mut wrong = nightly();
        wrong[field] = value;
        let (status, refused) = node.send("ann", "POST /schedules", wrong.clone()).await;
        assert_eq!(
            (status, text(&refused, "code")),
            (400, "invalid".into()),
            "{wrong}"
        );
    }
    node.end().await;
}

#[tokio::test]
async fn an_answer_is_held_to_what_only_the_server_knows_of_forms() {
    let mut node = Node::new().await;
    let claim = node
        .world
        .running(json!({"type": "t", "owner": "ann"}))
        .await;
    let unusable = json!({"epoch": 1, "waits": [{"key": "ok", "kind": "approval", "form": {"type": "nothing"}}]});
    let suspend = format!("POST /jobs/{}/suspend", claim.job);
    let (status, _) = node.send("ann", &suspend, unusable).await;
    assert_eq!(status, 400);
    let form = json!({"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}$"}}});
    let waits = json!({"epoch": 1, "waits": [{"key": "ok", "kind": "approval", "form": form, "assignee": "bob"}]});
    let (status, suspended) = node.send("ann", &suspend, waits).await;
    assert_eq!(
        (status, text(&suspended, "state")),
        (200, "suspended".into())
    );
    let (_, list) = node.send("bob", "GET /approvals", json!({})).await;
    let answer = format!("POST /approvals/{}", text(&list[0], "id"));
    let (status, refused) = node
        .send("bob", &answer, json!({"answer": {"code": "abc"}}))
        .await;
    assert_eq!((status, text(&refused, "code")), (422, "invalid".into()));
    assert!(text(&refused, "message").contains("/code"), "{refused}");
    // Who was not asked learns nothing, of the form neither.
    let (status, _) = node
        .send("eve", &answer, json!({"answer": {"code": "abc"}}))
        .await;
    assert_eq!(status, 404);
    let (status, _) = node
        .send("bob", &answer, json!({"answer": {"code": "ABC"}}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(node.world.state(&claim.job).await, "queued");
    node.end().await;
}

#[tokio::test]
async fn budgets_are_seen_by_the_owner_and_set_by_who_pays() {
    let mut node = Node::new().await;
    let budget = json!([{"unit": "usd", "cap": 1}]);
    let claim = node
        .world
        .running(json!({"type": "t", "owner": "ann", "budget": budget}))
        .await;
    let with = json!({"unit": "usd", "estimate": 2});
    assert_eq!(node.world.verdict(&claim, "a", with).await, "over_budget");
    let one = format!("/jobs/{}/budgets", claim.job);
    let (_, list) = node.send("ann", &format!("GET {one}"), json!({})).await;
    assert_eq!(
        (&list[0]["unit"], &list[0]["cap"]),
        (&json!("usd"), &json!(1))
    );
    let (status, _) = node.send("eve", &format!("GET {one}"), json!({})).await;
    assert_eq!(status, 404);
    let raise = format!("PUT {one}/usd");
    let (status, _) = node.send("ann", &raise, json!({"cap": 9})).await;
    assert_eq!(status, 403);
    let (status, _) = node.send("service", &raise, json!({"cap": -1})).await;
    assert_eq!(status, 400);
    let (status, raised) = node.send("service", &raise, json!({"cap": 9})).await;
    assert_eq!(
        (status, raised),
        (
            200,
            json!({"changed": [{"id": claim.job, "state": "queued"}]})
        )
    );
    node.end().await;
}

#[tokio::test]
async fn a_worker_passes_on_what_its_provider_said() {
    let mut node = Node::new().await;
    let claim = node
        .world
        .running(json!({"type": "t", "owner": "ann", "limit_keys": ["api"]}))
        .await;
    let pause = |key: &str| format!("POST /jobs/{}/limits/{key}/pause", claim.job);
    let said = json!({"epoch": 1, "for_ms": 60_000, "reason": "429"});
    // It holds for everybody who shares the key, so no user says it.
    for user in ["eve", "ann"] {
        let (status, _) = node.send(user, &pause("api"), said.clone()).await;
        assert_eq!(status, 403, "{user}");
    }
    let (status, _) = node.send("service", &pause("other"), said.clone()).await;
    assert_eq!(status, 409);
    let (status, _) = node.send("service", &pause("api"), said).await;
    assert_eq!(status, 200);
    node.world
        .submit(json!({"type": "t", "limit_keys": ["api"]}))
        .await;
    assert_eq!(node.world.claim().await, None);
    node.end().await;
}

/// Calls a function as the data API does: as a role, with its claims.
async fn rpc(world: &World, who: &str, call: &str) -> Result<String, String> {
    let role = if who == "service" {
        "service_role"
    } else {
        "authenticated"
    };
    let claims = json!({"role": role, "sub": who});
    let script = format!(
        "BEGIN; SELECT set_config('request.jwt.claims', '{claims}', true);
         SELECT set_config('role', '{role}', true); {call}; COMMIT"
    );
    let mut session = world.db.session().await;
    match session.script(&script).await {
        Ok(results) => {
            let told = results.iter().rev().nth(1).and_then(pg::Rows::scalar);
            Ok(told.unwrap_or_default().to_owned())
        }
        Err(pg::Error::Db(error)) => Err(error.code),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_same_holds_for_functions() {
    let mut world = World::new().await;
    let create = "SELECT (work.schedule_create('{\"name\": \"s\", \"cron\": \"@daily\", \"owner\": \"eve\", \"job\": {\"type\": \"t\"}}')).owner";
    assert_eq!(rpc(&world, "ann", create).await.as_deref(), Ok("ann"));
    assert_eq!(rpc(&world, "service", create).await.as_deref(), Ok("eve"));
    let hers = "(SELECT id FROM work.schedules LIMIT 1)";
    assert_eq!(
        rpc(
            &world,
            "ann",
            &format!("SELECT (work.schedule_update({hers}, '{{\"paused\": true}}')).paused")
        )
        .await
        .as_deref(),
        Ok("t")
    );
    let id = world
        .ask(
            "SELECT to_json(id) FROM work.schedules WHERE owner = 'ann'",
            &[],
        )
        .await;
    let id = id.as_str().expect("an id").to_owned();
    let delete = format!("SELECT work.schedule_delete('{id}')");
    assert_eq!(rpc(&world, "eve", &delete).await, Err("PT404".into()));
    assert_eq!(rpc(&world, "ann", &delete).await.as_deref(), Ok("t"));
    let claim = world
        .running(json!({"type": "t", "owner": "ann", "limit_keys": ["k"]}))
        .await;
    let budget = format!(
        "SELECT count(*) FROM work.set_budget('{}', 'usd', 5)",
        claim.job
    );
    assert_eq!(rpc(&world, "ann", &budget).await, Err("PT403".into()));
    assert_eq!(rpc(&world, "service", &budget).await.as_deref(), Ok("0"));
    let pause = format!("SELECT work.pause_limit('{}', 1, 'k', 1000)", claim.job);
    assert_eq!(rpc(&world, "eve", &pause).await, Err("PT404".into()));
    assert_eq!(rpc(&world, "ann", &pause).await, Err("PT403".into()));
    assert_eq!(rpc(&world, "service", &pause).await.as_deref(), Ok("t"));
    // The engine's own functions are nobody's.
    let engine = format!("SELECT work_engine.set_budget('{}', 'usd', 5)", claim.job);
    assert_eq!(rpc(&world, "ann", &engine).await, Err("42501".into()));
    world.check().await;
}
