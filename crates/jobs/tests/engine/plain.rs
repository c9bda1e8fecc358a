//! Submissions that hang on nothing take a short way. Here the same ones go
//! both ways, each on a database of its own, and must leave the same rows.

use kernel::Rng;
use pg::testing::TestDb;
use serde_json::{Map, Value, json};

use crate::{Work, pair, refused};

const ROUNDS: usize = 24;

/// What both databases hold before: types with all sorts of defaults, shares,
/// sessions, and a line to stand in, whose head does not depend on the clock.
const SETTING: [&str; 4] = [
    "INSERT INTO work.job_types (name, queue, priority, max_attempts, backoff_base, time_limit, events) VALUES
        ('render', 'gpu', 7, 9, '3 seconds', '1 minute', true), ('quiet', 'default', -3, 1, '1 second', NULL, false)",
    "INSERT INTO work.shares (owner, weight) VALUES ('ann', 4), ('bob', 0.5)",
    "INSERT INTO work.sessions (id, owner) VALUES
        ('00000000-0000-7000-8000-00000000000a', 'ann'), ('00000000-0000-7000-8000-00000000000b', NULL)",
    "INSERT INTO work.jobs (id, root_id, type, queue, owner, priority, sort_key)
     SELECT u.id, u.id, 'line', u.queue, u.owner, u.priority, u.sort_key
     FROM (VALUES ('00000000-0000-7000-8000-000000000001'::uuid, 'default', 'zed', 1, 100),
                  ('00000000-0000-7000-8000-000000000002', 'default', 'ann', 0, 140),
                  ('00000000-0000-7000-8000-000000000003', 'gpu', 'bob', 0, 20)) AS u (id, queue, owner, priority, sort_key)",
];

/// Everything that was left, without what differs from call to call: ids by
/// their order, times by the distance from the row's own.
const ROWS: &str = "SELECT jsonb_build_object(
    'jobs', (SELECT jsonb_agg(to_jsonb(j) - ARRAY['id', 'root_id', 'stream_id', 'created_at', 'updated_at', 'run_at', 'deadline_at', 'due_at', 'expires_at', 'sort_key']
        || jsonb_build_object(
            'root', j.root_id = j.id, 'stream', CASE WHEN j.stream_id = j.id THEN 'own' ELSE j.stream_id::text END,
            -- What was given as a date stays one.
            'run_in', CASE WHEN j.run_at < '2010-01-01' THEN j.run_at::text ELSE round(extract(epoch FROM j.run_at - j.created_at))::text END,
            'over_in', round(extract(epoch FROM j.deadline_at - j.created_at)),
            'sort_key', CASE WHEN j.sort_key > 1e9 THEN 'clock' ELSE j.sort_key::text END) ORDER BY j.id) FROM work.jobs AS j),
    'streams', (SELECT jsonb_agg(jsonb_build_array(s.owner, s.last_seq, (SELECT jsonb_agg(jsonb_build_array(e.seq, e.kind, e.data) ORDER BY e.seq)
        FROM work.events AS e WHERE e.stream_id = s.id)) ORDER BY s.id) FROM work.streams AS s),
    'left', (SELECT count(*) FROM work_engine.unnumbered))";

fn dice(rng: &Rng, sides: u8) -> u8 {
    let [byte] = rng.bytes::<1>();
    byte % sides
}

/// A job of which each field is there or not.
fn spec(rng: &Rng, n: usize) -> Value {
    let choices: [(&str, &[Value]); 17] = [
        ("name", &[json!("a name")]),
        ("queue", &[json!("gpu"), json!("default"), json!(null)]),
        ("priority", &[json!(3), json!(0)]),
        ("input", &[json!({ "n": n }), json!(null), json!("text")]),
        ("owner", &[json!("ann"), json!("bob"), json!("cid")]),
        ("delay_ms", &[json!(60_000), json!(0), json!(-5000)]),
        (
            "run_at",
            &[json!("2001-01-01T00:00:00Z"), json!("2101-01-01T00:00:00Z")],
        ),
        ("deadline_ms", &[json!(90_000)]),
        ("time_limit_ms", &[json!(1500)]),
        ("max_attempts", &[json!(1), json!(17)]),
        ("backoff_ms", &[json!(250)]),
        ("backoff_max_ms", &[json!(2500)]),
        ("weight", &[json!(2.5)]),
        ("cost", &[json!(8), json!(0.25)]),
        ("on_child_failure", &[json!("ignore")]),
        ("labels", &[json!({ "team": "blue" })]),
        ("events", &[json!(false), json!(true)]),
    ];
    let mut spec = Map::new();
    let kinds = ["render", "quiet", "other"];
    let kind = kinds[usize::from(dice(rng, 3))];
    spec.insert("type".to_owned(), json!(kind));
    for (field, values) in choices {
        let side = usize::from(dice(rng, 2 * u8::try_from(values.len()).unwrap()));
        if let Some(value) = values.get(side) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    // A time is compared by its distance from now, which is no fixed number.
    if spec.get("run_at") == Some(&json!("2101-01-01T00:00:00Z")) {
        spec.insert("delay_ms".to_owned(), json!(4_000_000_000_000_i64));
    }
    let owner = spec.get("owner").and_then(Value::as_str).map(str::to_owned);
    let session = match (owner.as_deref(), dice(rng, 4)) {
        (None | Some("ann"), 0) => Some("00000000-0000-7000-8000-00000000000a"),
        (None, 1) => Some("00000000-0000-7000-8000-00000000000b"),
        _ => None,
    };
    if let Some(session) = session {
        spec.insert("session_id".to_owned(), json!(session));
    }
    Value::Object(spec)
}

#[tokio::test]
async fn both_ways_leave_the_same_rows() {
    let (short, long) = (TestDb::new().await, TestDb::new().await);
    let (mut short, mut long) = (Work::on(&short).await, Work::on(&long).await);
    for setting in SETTING {
        short.run(setting, &[]).await;
        long.run(setting, &[]).await;
    }
    let rng = Rng::seeded(5);
    for round in 0..ROUNDS {
        let count = usize::from(dice(&rng, 12)) + 1;
        let specs: Vec<Value> = (0..count).map(|n| spec(&rng, n)).collect();
        let specs = json!(specs).to_string();
        let plain = "SELECT to_jsonb(work_engine.is_plain($1))";
        assert_eq!(short.ask(plain, &[&specs]).await.unwrap(), json!(true));
        let answer = |way| match way {
            "short" => {
                "SELECT jsonb_agg(to_jsonb(s) - 'id' ORDER BY s.ordinal) FROM work_engine.submit($1) AS s"
            }
            _ => {
                "SELECT jsonb_agg(to_jsonb(s) - 'id' ORDER BY s.ordinal) FROM work_engine.submit_under($1, NULL) AS s"
            }
        };
        let one = short.ask(answer("short"), &[&specs]).await.unwrap();
        let other = long.ask(answer("long"), &[&specs]).await.unwrap();
        assert_eq!(one, other, "round {round}: {specs}");
        let one = short.ask(ROWS, &[]).await.unwrap();
        let other = long.ask(ROWS, &[]).await.unwrap();
        assert_eq!(one, other, "round {round}: {specs}");
    }
    short.assert_sound().await;
}

#[tokio::test]
async fn what_shares_or_hangs_on_something_goes_the_long_way() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.run(SETTING[2], &[]).await;
    work.run(
        "INSERT INTO work.job_types (name, limit_keys) VALUES ('limited', '{gpu}')",
        &[],
    )
    .await;
    let ann = "00000000-0000-7000-8000-00000000000a";
    let others = [
        json!({"type": "limited"}),
        json!({"input": 1}),
        json!({"type": "a", "idempotency_key": "k"}),
        json!({"type": "a", "limit_keys": ["k"]}),
        json!({"type": "a", "owner": "bob", "session_id": ann}),
        json!({"type": "a", "parent_id": ann}),
        json!({"group": true}),
    ];
    for spec in others {
        let jobs = json!([{"type": "a"}, spec]);
        let plain = "SELECT to_jsonb(work_engine.is_plain($1))";
        let plain = work.ask(plain, &[&jobs.to_string()]).await.unwrap();
        assert_eq!(plain, json!(false), "{jobs}");
    }
    // Nobody writes into somebody else's session.
    let foreign = json!([{"type": "a", "owner": "bob", "session_id": ann}]);
    let answer = work.try_submit(&foreign).await;
    assert_eq!(refused(answer), pair("PT404", "not_found"));
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 0);
}
