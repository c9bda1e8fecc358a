//! Never more at once than a limit says, and nobody waits without a reason.

use serde_json::{Value, json};

use crate::support::{Claim, World, ask, claim, connect, finish};

const LIMIT: &str =
    "WITH made AS (INSERT INTO work.limits (key, max_running) VALUES ($1, $2::integer)) SELECT 1";
const SLOTS: &str = "SELECT count(*) FROM work_engine.slots";
const STATES: &str = "SELECT json_object_agg(s.s, s.n) FROM (
    SELECT concat_ws('/', state, waiting_on) AS s, count(*) AS n FROM work.jobs GROUP BY 1) AS s";

fn jobs(n: usize, keys: &[&str]) -> Value {
    json!(vec![json!({"type": "t", "limit_keys": keys}); n])
}

#[tokio::test]
async fn so_many_start_and_the_next_when_one_leaves() {
    let mut world = World::new().await;
    world.ask(LIMIT, &["k", "2"]).await;
    world.submit(jobs(5, &["k"])).await;
    assert_eq!(
        world.ask(STATES, &[]).await,
        json!({"queued": 2, "queued/limit": 3})
    );
    let first = world.claim().await.expect("room");
    let second = world.claim().await.expect("room");
    assert_eq!(world.claim().await, None);
    // However it leaves: an end, a failure, a pause, a cancellation, a crash, a wait.
    assert_eq!(world.finish(&first).await, json!("completed"));
    let third = world.claim().await.expect("its slot");
    world
        .ask(
            "SELECT count(*) FROM work_engine.pause($1::uuid)",
            &[&second.job],
        )
        .await;
    let fourth = world.claim().await.expect("its slot");
    world
        .ask(
            "SELECT count(*) FROM work_engine.cancel($1::uuid, 'enough')",
            &[&third.job],
        )
        .await;
    let fifth = world.claim().await.expect("its slot");
    assert_eq!(world.claim().await, None);
    world
        .suspend(&fifth, json!([{"key": "go", "kind": "signal"}]), "any")
        .await;
    assert_eq!(world.ask(SLOTS, &[]).await, json!(1));
    world
        .ask(
            "SELECT count(*) FROM work_engine.resume($1::uuid)",
            &[&second.job],
        )
        .await;
    assert_eq!(world.claim().await.map(|c| c.job), Some(second.job.clone()));
    // Woken, but there is no room.
    world.signal(&fifth.job, "go", json!(1)).await;
    assert_eq!(world.state(&fifth.job).await, "queued/limit");
    let again = world.crash(&fourth).await;
    assert_eq!(world.ask(SLOTS, &[]).await, json!(2));
    world.finish(&again).await;
    world.check().await;
}

#[tokio::test]
async fn a_retry_and_a_release_give_their_slot_back() {
    let mut world = World::new().await;
    world.ask(LIMIT, &["k", "1"]).await;
    world.submit(jobs(2, &["k"])).await;
    for outcome in ["failed", "released"] {
        let held = world.claim().await.expect("room");
        assert_eq!(world.claim().await, None);
        let sql =
            "SELECT to_json(f.state) FROM work_engine.finish(ARRAY[$1::uuid], ARRAY[$2::integer],
                   ARRAY[$3], '{NULL}', '{NULL}', '{true}', '{1 hour}') AS f";
        world.ask(sql, &[&held.job, &held.epoch, outcome]).await;
        // One slot is one slot, whoever has it now.
        assert_eq!(world.ask(SLOTS, &[]).await, json!(1));
        let ready = "SELECT count(*) FROM work.jobs WHERE state = 'queued' AND waiting_on IS NULL";
        assert_eq!(world.ask(ready, &[]).await, json!(1));
        world.check().await;
    }
}

#[tokio::test]
async fn a_tree_that_is_stopped_grants_its_slots_to_others_and_not_to_itself() {
    for stop in [
        "SELECT count(*) FROM work_engine.cancel($1::uuid, 'enough')",
        "SELECT count(*) FROM work_engine.pause($1::uuid)",
        "WITH late AS (UPDATE work.jobs SET deadline_at = clock_timestamp() WHERE root_id = $1::uuid RETURNING 1) SELECT count(*) FROM late",
    ] {
        let mut world = World::new().await;
        world.ask(LIMIT, &["k", "1"]).await;
        let shot = json!({"parent_ref": "map", "type": "shot", "limit_keys": ["k"]});
        let made = world
            .submit(json!([{"ref": "map", "type": "g", "group": true}, shot, shot, shot]))
            .await;
        let other = world.submit(jobs(1, &["k"])).await;
        world.claim().await.expect("the first shot");
        world.ask(stop, &[&made[0]]).await;
        world.ask("SELECT work_engine.promote(100)", &[]).await;
        world.ask("SELECT work_engine.arrive_some(100)", &[]).await;
        world.check().await;
        assert_eq!(
            world.claim().await.map(|c| c.job),
            other.first().cloned(),
            "{stop}"
        );
    }
}

#[tokio::test]
async fn all_of_several_keys_are_needed() {
    let mut world = World::new().await;
    world.ask(LIMIT, &["tenant", "2"]).await;
    world.ask(LIMIT, &["total", "3"]).await;
    world.submit(jobs(4, &["tenant", "total"])).await;
    world.submit(jobs(4, &["total", "free"])).await;
    assert_eq!(
        world.ask(STATES, &[]).await,
        json!({"queued": 3, "queued/limit": 5})
    );
    let why = "SELECT json_agg(DISTINCT name ORDER BY name) FROM work.waiting";
    let mut seen = 0;
    while let Some(held) = world.claim().await {
        seen += 1;
        let most = "SELECT json_object_agg(s.key, s.n) FROM (SELECT key, count(*) AS n FROM work_engine.slots GROUP BY key) AS s";
        let most = world.ask(most, &[]).await;
        assert!(
            most["tenant"].as_i64() <= Some(2) && most["total"].as_i64() <= Some(3),
            "{most}"
        );
        if seen == 1 {
            assert_eq!(world.ask(why, &[]).await, json!(["tenant", "total"]));
        }
        world.finish(&held).await;
        world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    }
    assert_eq!(seen, 8);
    assert_eq!(world.ask(SLOTS, &[]).await, json!(0));
    world.check().await;
}

#[tokio::test]
async fn who_is_blocked_by_one_key_does_not_block_another() {
    let mut world = World::new().await;
    world.ask(LIMIT, &["a", "1"]).await;
    world.ask(LIMIT, &["full", "0"]).await;
    // A thousand that wait for `full` and name `a` first.
    world.submit(jobs(1000, &["a", "full"])).await;
    let made = world.submit(jobs(1, &["a"])).await;
    let free = made.first().expect("a job");
    world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    assert_eq!(world.claim().await.map(|c| c.job).as_ref(), Some(free));
    let parked = "SELECT json_agg(DISTINCT limited_by) FROM work.jobs WHERE waiting_on = 'limit'";
    assert_eq!(world.ask(parked, &[]).await, json!(["full"]));
    world.check().await;
}

#[tokio::test]
async fn a_bucket_lets_start_what_it_has_and_what_flows_in() {
    let mut world = World::new().await;
    let limit = "WITH made AS (INSERT INTO work.limits (key, rate, rate_period, burst) VALUES ('k', 60, '1 hour', 2)) SELECT 1";
    world.ask(limit, &[]).await;
    world.submit(jobs(5, &["k"])).await;
    let ready = "SELECT count(*) FROM work.jobs WHERE state = 'queued' AND waiting_on IS NULL";
    assert_eq!(world.ask(ready, &[]).await, json!(2));
    world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    assert_eq!(world.ask(ready, &[]).await, json!(2));
    let later = "WITH l AS (UPDATE work.limits SET refilled_at = refilled_at - interval '1 minute') SELECT 1";
    world.ask(later, &[]).await;
    world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    assert_eq!(world.ask(ready, &[]).await, json!(3));
    // However long nobody came, no more than the burst is saved up.
    let much = "WITH l AS (UPDATE work.limits SET refilled_at = refilled_at - interval '9 hours', burst = 1) SELECT 1";
    world.ask(much, &[]).await;
    world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    assert_eq!(world.ask(ready, &[]).await, json!(4));
    // What is done gives no token back.
    let held = world.claim().await.expect("one");
    world.finish(&held).await;
    assert_eq!(world.ask(ready, &[]).await, json!(3));
    world.check().await;
}

#[tokio::test]
async fn a_provider_says_not_before() {
    let mut world = World::new().await;
    world.submit(jobs(1, &["api"])).await;
    let held = world.claim().await.expect("no limit yet");
    let pause =
        "SELECT to_json(work_engine.pause_limit_of($1::uuid, $2::integer, $3, 60000, '429'))";
    assert_eq!(
        world.ask(pause, &[&held.job, &held.epoch, "other"]).await,
        json!(null)
    );
    assert_eq!(
        world.ask(pause, &[&held.job, &held.epoch, "api"]).await,
        json!(true)
    );
    world.submit(jobs(2, &["api"])).await;
    assert_eq!(world.claim().await, None);
    // It goes on itself, and ends; nothing follows.
    world.finish(&held).await;
    assert_eq!(
        world.ask(pause, &[&held.job, &held.epoch, "api"]).await,
        json!(null)
    );
    world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    assert_eq!(world.claim().await, None);
    let over = "SELECT to_json(work_engine.pause_limit('api', NULL))";
    world.ask(over, &[]).await;
    world.ask("SELECT work_engine.grant_limits(100)", &[]).await;
    assert!(world.claim().await.is_some() && world.claim().await.is_some());
    world.check().await;
}

#[tokio::test]
async fn a_limit_that_comes_later_counts_those_that_run() {
    let mut world = World::new().await;
    world.submit(jobs(3, &["k"])).await;
    let held = world.claim().await.expect("no limit");
    world.claim().await.expect("no limit");
    world.ask(LIMIT, &["k", "2"]).await;
    world.submit(jobs(1, &["k"])).await;
    // Three have been let in; the fourth waits until they are fewer than two.
    let made = "SELECT count(*) FROM work.jobs WHERE waiting_on = 'limit'";
    assert_eq!(world.ask(made, &[]).await, json!(1));
    world.finish(&held).await;
    assert_eq!(world.ask(made, &[]).await, json!(1));
    world.check().await;
}

#[tokio::test]
async fn a_map_is_as_wide_as_it_says() {
    let mut world = World::new().await;
    let mut all = vec![json!({"ref": "map", "type": "g", "group": true, "width": 3})];
    all.extend((0..10).map(|_| json!({"parent_ref": "map", "type": "shot"})));
    let made = world.submit(json!(all)).await;
    let map = made.first().expect("the map").clone();
    let mut open: Vec<Claim> = Vec::new();
    let mut done = 0;
    while done < 10 {
        while let Some(next) = world.claim().await {
            open.push(next);
        }
        assert!(!open.is_empty() && open.len() <= 3, "{}", open.len());
        let one = open.remove(0);
        world.finish(&one).await;
        done += 1;
    }
    assert_eq!(world.state(&map).await, "completed");
    let widths = "SELECT count(*) FROM work.limits WHERE key LIKE 'width:%'";
    assert_eq!(world.ask(widths, &[]).await, json!(1));
    world
        .ask("SELECT work_engine.prune(10, '1 millisecond')", &[])
        .await;
    assert_eq!(world.ask(widths, &[]).await, json!(0));
    world.check().await;
}

#[tokio::test]
async fn thirty_two_connections_never_run_more_than_the_limits_say() {
    let mut world = World::new().await;
    world.ask(LIMIT, &["k", "5"]).await;
    world.ask(LIMIT, &["wide", "7"]).await;
    for _ in 0..10 {
        world.submit(jobs(20, &["k"])).await;
        world.submit(jobs(10, &["wide", "k"])).await;
        world.submit(jobs(10, &["wide"])).await;
    }
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..32 {
        let mut session = connect(&world.db).await;
        racing.spawn(async move {
            let mut done = 0;
            let mut idle = 0;
            while idle < 50 {
                let Some(held) = claim(&mut session).await else {
                    idle += 1;
                    ask(&mut session, "SELECT work_engine.grant_limits(100)", &[]).await.expect("no deadlock");
                    continue;
                };
                idle = 0;
                let sql = "SELECT json_build_array(count(*) FILTER (WHERE 'k' = ANY (limit_keys)), count(*) FILTER (WHERE 'wide' = ANY (limit_keys)))
                           FROM work.jobs WHERE state = 'running'";
                let running = ask(&mut session, sql, &[]).await.expect("a count");
                assert!(running[0].as_i64() <= Some(5) && running[1].as_i64() <= Some(7), "{running}");
                match (n + done) % 7 {
                    0 => {
                        let release = "SELECT count(*) FROM work_engine.finish(ARRAY[$1::uuid], ARRAY[$2::integer], '{released}', '{NULL}', '{NULL}', '{NULL}', '{NULL}')";
                        ask(&mut session, release, &[&held.job, &held.epoch]).await.expect("no deadlock");
                    }
                    1 => {
                        let cancel = "SELECT count(*) FROM work_engine.cancel($1::uuid, 'enough')";
                        ask(&mut session, cancel, &[&held.job]).await.expect("no deadlock");
                    }
                    _ => {
                        finish(&mut session, &held).await;
                    }
                }
                done += 1;
            }
        });
    }
    while let Some(done) = racing.join_next().await {
        done.expect("no panic, no deadlock");
    }
    let left = "SELECT count(*) FROM work.jobs WHERE state NOT IN ('completed', 'cancelled')";
    assert_eq!(world.ask(left, &[]).await, json!(0));
    assert_eq!(world.ask(SLOTS, &[]).await, json!(0));
    world.check().await;
}

#[tokio::test]
async fn how_wide_a_group_was_goes_with_the_group() {
    let mut world = World::new().await;
    let made = world
        .submit(json!([
            {"ref": "g", "group": true, "width": 1},
            {"type": "t", "parent_ref": "g"},
            {"ref": "h", "type": "never", "width": 2, "delay_ms": 60_000},
        ]))
        .await;
    let claim = world.claim().await.expect("it has room");
    world.finish(&claim).await;
    let widths = "SELECT to_jsonb(count(*)) FROM work.limits WHERE key LIKE 'width:%'";
    assert_eq!(world.ask(widths, &[]).await, json!(2));
    let prune = "SELECT to_jsonb(work_engine.prune(10, '0 seconds'))";
    assert_eq!(world.ask(prune, &[]).await, json!(1));
    assert_eq!(world.state(&made[0]).await, "none");
    assert_eq!(world.ask(widths, &[]).await, json!(1));
}
