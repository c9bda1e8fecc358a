//! Each time fires once, on any number of nodes.

use std::sync::Arc;

use jobs::services::schedule::run_once;
use kernel::Tasks;
use pg::{Pool, PoolConfig};
use serde_json::{Value, json};

use crate::support::{NULL, World};

const CREATE: &str = "SELECT to_json(s) FROM work_engine.schedule_create($1, $2::jsonb) AS s";
const FIRES: &str = "SELECT coalesce(json_object_agg(f.outcome, f.n), '{}') FROM (
    SELECT outcome, count(*) AS n FROM work.schedule_fires GROUP BY outcome) AS f";

struct Node {
    pool: Pool,
    role: Arc<str>,
}

impl Node {
    fn new(world: &World) -> Self {
        let target = world.db.target_as("ferrobase_work");
        Self {
            pool: Pool::new(&target, &PoolConfig::default(), &Tasks::new()),
            role: "ferrobase_work".into(),
        }
    }

    async fn run(&self) -> usize {
        run_once(&self.pool, &self.role).await.expect("it runs")
    }
}

fn hourly(with: Value) -> Value {
    let mut fields = json!({"name": "hourly", "cron": "0 * * * *", "job": {"type": "report", "labels": {"a": 1}}});
    if let (Some(fields), Value::Object(with)) = (fields.as_object_mut(), with) {
        fields.extend(with);
    }
    fields
}

/// A schedule that a node has looked at, and that was due so long ago.
async fn due(world: &mut World, node: &Node, fields: Value, hours: u32) -> String {
    let made = world.ask(CREATE, &["ann", &fields.to_string()]).await;
    assert_eq!(
        node.run().await,
        0,
        "a new one only finds out when it is next"
    );
    let id = made["id"].as_str().expect("an id").to_owned();
    pass(world, hours).await;
    id
}

async fn pass(world: &mut World, hours: u32) {
    let sql = "WITH late AS (UPDATE work.schedules SET next_at = date_trunc('hour', clock_timestamp()) - make_interval(hours => $1::integer)) SELECT 1";
    world.ask(sql, &[&hours.to_string()]).await;
}

#[tokio::test]
async fn a_schedule_submits_its_job_for_its_owner() {
    let mut world = World::new().await;
    let node = Node::new(&world);
    let id = due(&mut world, &node, hourly(json!({})), 0).await;
    assert_eq!(node.run().await, 1);
    assert_eq!(node.run().await, 0);
    let job = "SELECT json_build_array(type, owner, schedule_id, labels ->> 'schedule', labels ->> 'a', state) FROM work.jobs";
    assert_eq!(
        world.ask(job, &[]).await,
        json!(["report", "ann", id, "hourly", "1", "queued"])
    );
    let next = "SELECT to_json(next_at = date_trunc('hour', clock_timestamp()) + interval '1 hour' AND last_at < next_at AND error IS NULL) FROM work.schedules";
    assert_eq!(world.ask(next, &[]).await, json!(true));
    assert_eq!(world.ask(FIRES, &[]).await, json!({"submitted": 1}));
    world.check().await;
}

#[tokio::test]
async fn nodes_at_once_fire_every_time_once() {
    let mut world = World::new().await;
    let node = Node::new(&world);
    for n in 0..20 {
        let fields = hourly(json!({"name": format!("s{n}"), "missed": "all", "overlap": "queue"}));
        world.ask(CREATE, &["ann", &fields.to_string()]).await;
    }
    node.run().await;
    pass(&mut world, 4).await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let node = Node::new(&world);
        racing.spawn(async move { node.run().await + node.run().await });
    }
    let mut fired = 0;
    while let Some(n) = racing.join_next().await {
        fired += n.expect("no panic");
    }
    assert_eq!(fired, 100);
    let jobs = "SELECT json_build_array(count(*), count(DISTINCT (schedule_id, labels ->> 'fire_at'))) FROM work.jobs";
    assert_eq!(world.ask(jobs, &[]).await, json!([100, 100]));
    assert_eq!(world.ask(FIRES, &[]).await, json!({"submitted": 100}));
    world.check().await;
}

#[tokio::test]
async fn what_was_missed_is_none_the_last_or_all() {
    for (missed, fired, told) in [
        ("last", 1, json!({"submitted": 1, "missed": 3})),
        ("all", 4, json!({"submitted": 4})),
    ] {
        let mut world = World::new().await;
        let node = Node::new(&world);
        let fields = hourly(json!({"missed": missed, "overlap": "queue"}));
        due(&mut world, &node, fields, 3).await;
        assert_eq!(node.run().await, fired, "{missed}");
        assert_eq!(world.ask(FIRES, &[]).await, told, "{missed}");
    }
    let mut world = World::new().await;
    let node = Node::new(&world);
    // Of times far enough from now that none of them is only a little late.
    let fields = hourly(json!({"missed": "none", "cron": "30 3 1 1 *"}));
    due(&mut world, &node, fields, 5).await;
    assert_eq!(node.run().await, 0);
    assert_eq!(world.ask(FIRES, &[]).await, json!({"missed": 1}));
    world.check().await;
}

#[tokio::test]
async fn the_last_one_still_at_work_is_waited_for_skipped_or_cancelled() {
    let state = "SELECT json_agg(concat_ws('/', state, waiting_on) ORDER BY id) FROM work.jobs";
    for (overlap, states, told) in [
        (
            "skip",
            json!(["queued"]),
            json!({"submitted": 1, "skipped": 1}),
        ),
        (
            "queue",
            json!(["queued", "queued/dependencies"]),
            json!({"submitted": 2}),
        ),
        (
            "cancel",
            json!(["cancelled", "queued"]),
            json!({"submitted": 2}),
        ),
    ] {
        let mut world = World::new().await;
        let node = Node::new(&world);
        due(&mut world, &node, hourly(json!({"overlap": overlap})), 1).await;
        node.run().await;
        // The hour after; the one before is on record.
        world
            .ask(
                "WITH gone AS (DELETE FROM work.schedule_fires WHERE outcome = 'missed') SELECT 1",
                &[],
            )
            .await;
        let next = "WITH late AS (UPDATE work.schedules SET next_at = (SELECT max(fire_at) FROM work.schedule_fires) + interval '1 minute', cron = '* * * * *') SELECT 1";
        world.ask(next, &[]).await;
        node.run().await;
        let gone =
            "WITH gone AS (DELETE FROM work.schedule_fires WHERE outcome = 'missed') SELECT 1";
        world.ask(gone, &[]).await;
        assert_eq!(world.ask(state, &[]).await, states, "{overlap}");
        assert_eq!(world.ask(FIRES, &[]).await, told, "{overlap}");
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_submitted_stops_neither_its_schedule_nor_others() {
    let mut world = World::new().await;
    let node = Node::new(&world);
    let bad = hourly(json!({"name": "bad", "job": {"type": "t", "max_attempts": 0}}));
    world.ask(CREATE, &["ann", &bad.to_string()]).await;
    due(&mut world, &node, hourly(json!({"name": "good"})), 0).await;
    assert_eq!(node.run().await, 1);
    assert_eq!(
        world.ask(FIRES, &[]).await,
        json!({"failed": 1, "submitted": 1})
    );
    let bad = "SELECT json_build_array(error IS NOT NULL, next_at > clock_timestamp()) FROM work.schedules WHERE name = 'bad'";
    assert_eq!(world.ask(bad, &[]).await, json!([true, true]));
    world.check().await;
}

#[tokio::test]
async fn a_pattern_that_is_none_says_so_once() {
    let mut world = World::new().await;
    let node = Node::new(&world);
    for (name, cron) in [("wrong", "99 * * * *"), ("never", "0 0 30 2 *")] {
        let fields = hourly(json!({"name": name, "cron": cron}));
        world.ask(CREATE, &["ann", &fields.to_string()]).await;
    }
    node.run().await;
    let told = "SELECT json_agg(json_build_array(name, error IS NOT NULL, next_at IS NULL) ORDER BY name) FROM work.schedules";
    assert_eq!(
        world.ask(told, &[]).await,
        json!([["never", true, true], ["wrong", true, true]])
    );
    let due = "SELECT count(*) FROM work_engine.schedules_due(10)";
    assert_eq!(world.ask(due, &[]).await, json!(0));
    // Once it is put right, it is looked at again.
    let update = "SELECT to_json(s.error) FROM work_engine.schedule_update(
        (SELECT id FROM work.schedules WHERE name = 'wrong'), 'ann', false, '{\"cron\": \"9 * * * *\"}') AS s";
    assert_eq!(world.ask(update, &[]).await, json!(null));
    assert_eq!(world.ask(due, &[]).await, json!(1));
    world.check().await;
}

#[tokio::test]
async fn schedules_are_their_owner_s() {
    let mut world = World::new().await;
    let made = world
        .ask(CREATE, &["ann", &hourly(json!({})).to_string()])
        .await;
    let id = made["id"].as_str().expect("an id").to_owned();
    let update = "SELECT to_json(s.name) FROM work_engine.schedule_update($1::uuid, $2, $3::boolean, '{\"name\": \"other\", \"owner\": \"eve\"}') AS s";
    assert_eq!(
        world.refused(update, &[&id, "eve", "false"]).await,
        "PT404 not_found"
    );
    assert_eq!(
        world.ask(update, &[&id, "ann", "false"]).await,
        json!("other")
    );
    let owner = "SELECT to_json(owner) FROM work.schedules";
    assert_eq!(world.ask(owner, &[]).await, json!("ann"));
    let delete = "SELECT work_engine.schedule_delete($1::uuid, $2, $3::boolean)";
    assert_eq!(
        world.refused(delete, &[&id, "eve", "false"]).await,
        "PT404 not_found"
    );
    assert_eq!(world.ask(delete, &[&id, NULL, "true"]).await, json!("t"));
    world.check().await;
}

#[tokio::test]
async fn what_is_no_schedule_is_refused() {
    let mut world = World::new().await;
    for (with, refusal) in [
        (json!({"name": ""}), "PT400 invalid"),
        (json!({"cron": "hourly"}), "PT400 invalid"),
        (json!({"cron": "* * * * * * * *"}), "PT400 invalid"),
        (json!({"time_zone": "Mars/Olympus"}), "PT400 invalid"),
        (json!({"overlap": "most"}), "PT400 invalid"),
        (json!({"missed": "some"}), "PT400 invalid"),
        (json!({"job": []}), "PT400 invalid"),
        (json!({"job": {}}), "PT400 invalid"),
        (
            json!({"job": {"type": "t", "parent_id": "x"}}),
            "PT400 invalid",
        ),
        (
            json!({"job": {"type": "t", "owner": "eve"}}),
            "PT400 invalid",
        ),
        (
            json!({"job": {"type": "t", "session_id": "01990000-0000-7000-8000-000000000000"}}),
            "PT404 not_found",
        ),
        (
            json!({"job": {"type": "t", "input": "x".repeat(300_000)}}),
            "PT413 too_large",
        ),
    ] {
        let fields = hourly(with.clone()).to_string();
        assert_eq!(
            world.refused(CREATE, &["ann", &fields]).await,
            refusal,
            "{with}"
        );
    }
    let fields = hourly(json!({})).to_string();
    world.ask(CREATE, &["ann", &fields]).await;
    assert_eq!(
        world.refused(CREATE, &["ann", &fields]).await,
        "PT409 conflict"
    );
    world.ask(CREATE, &["eve", &fields]).await;
    world.check().await;
}

#[tokio::test]
async fn a_paused_schedule_makes_up_for_nothing() {
    let mut world = World::new().await;
    let node = Node::new(&world);
    let id = due(&mut world, &node, hourly(json!({"missed": "all"})), 5).await;
    let pause = "SELECT to_json(s.next_at) FROM work_engine.schedule_update($1::uuid, 'ann', false, json_build_object('paused', $2::boolean)::jsonb) AS s";
    assert_eq!(world.ask(pause, &[&id, "true"]).await, json!(null));
    assert_eq!(node.run().await, 0);
    world.ask(pause, &[&id, "false"]).await;
    assert_eq!(node.run().await, 0);
    assert_eq!(world.ask(FIRES, &[]).await, json!({}));
    let next = "SELECT to_json(next_at > clock_timestamp()) FROM work.schedules";
    assert_eq!(world.ask(next, &[]).await, json!(true));
    world.check().await;
}
