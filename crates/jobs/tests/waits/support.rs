//! A database with the engine in it, spoken to as its own role.

use pg::testing::TestDb;
use pg::{Error, Session};
use serde_json::{Value, json};

/// A database, and a connection of the engine's role.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) session: Session,
}

/// A claim: a job, and the number that fences it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) job: String,
    pub(crate) epoch: String,
}

/// The first value, as a document; null without a row.
pub(crate) async fn ask(
    session: &mut Session,
    sql: &'static str,
    params: &[&str],
) -> Result<Value, Error> {
    let params: Vec<_> = params.iter().map(|p| (*p != NULL).then_some(*p)).collect();
    let rows = session.query(sql, &params).await?;
    Ok(rows.scalar().map_or(Value::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|_| json!(text))
    }))
}

/// Stands for NULL among parameters.
pub(crate) const NULL: &str = "\u{1}null";

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let session = connect(&db).await;
        Self { db, session }
    }

    pub(crate) async fn ask(&mut self, sql: &'static str, params: &[&str]) -> Value {
        ask(&mut self.session, sql, params).await.expect(sql)
    }

    /// The SQLSTATE and the machine word of a refusal.
    pub(crate) async fn refused(&mut self, sql: &'static str, params: &[&str]) -> String {
        match ask(&mut self.session, sql, params).await {
            Err(Error::Db(error)) => {
                format!("{} {}", error.code, error.detail.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn submit(&mut self, jobs: Value) -> Vec<String> {
        let jobs = if jobs.is_array() { jobs } else { json!([jobs]) };
        let made = self
            .ask(
                "SELECT json_agg(s.id ORDER BY s.ordinal) FROM work_engine.submit($1::jsonb) AS s",
                &[&jobs.to_string()],
            )
            .await;
        serde_json::from_value(made).expect("ids")
    }

    /// One job, and a claim of it.
    pub(crate) async fn running(&mut self, job: Value) -> Claim {
        let made = self.submit(job).await;
        let claim = self.claim().await.expect("it can start");
        assert_eq!(made.first(), Some(&claim.job));
        claim
    }

    pub(crate) async fn claim(&mut self) -> Option<Claim> {
        claim(&mut self.session).await
    }

    /// The worker dies: its lease is over, and somebody notices.
    pub(crate) async fn crash(&mut self, claim: &Claim) -> Claim {
        let sql = "WITH late AS (UPDATE work.jobs SET lease_until = clock_timestamp() - interval '1 second'
                   WHERE id = $1::uuid) SELECT 1";
        self.ask(sql, &[&claim.job]).await;
        self.ask("SELECT work_engine.rescue(10)", &[]).await;
        self.claim().await.expect("it is rescued")
    }

    pub(crate) async fn finish(&mut self, claim: &Claim) -> Value {
        finish(&mut self.session, claim).await
    }

    /// `state`, or `state/waiting_on`.
    pub(crate) async fn state(&mut self, job: &str) -> String {
        let sql =
            "SELECT to_json(concat_ws('/', state, waiting_on)) FROM work.jobs WHERE id = $1::uuid";
        self.ask(sql, &[job])
            .await
            .as_str()
            .unwrap_or("none")
            .into()
    }

    /// `step_begin` with version, request, unit, estimate and whether the
    /// provider is idempotent, as far as `with` says.
    pub(crate) async fn begin(&mut self, claim: &Claim, key: &str, with: Value) -> Value {
        begin(&mut self.session, claim, key, &with).await
    }

    pub(crate) async fn verdict(&mut self, claim: &Claim, key: &str, with: Value) -> String {
        let began = self.begin(claim, key, with).await;
        text(&began, "verdict")
    }

    pub(crate) async fn end(
        &mut self,
        claim: &Claim,
        key: &str,
        result: Value,
        cost: &str,
    ) -> Value {
        let sql = "SELECT to_json(s) FROM work_engine.step_end($1::uuid, $2::integer, $3, $4::jsonb, $5::numeric) AS s";
        let result = result.to_string();
        self.ask(sql, &[&claim.job, &claim.epoch, key, &result, cost])
            .await
    }

    pub(crate) async fn suspend(&mut self, claim: &Claim, waits: Value, mode: &str) -> Value {
        let sql =
            "SELECT to_json(s) FROM work_engine.suspend($1::uuid, $2::integer, $3::jsonb, $4) AS s";
        let waits = waits.to_string();
        self.ask(sql, &[&claim.job, &claim.epoch, &waits, mode])
            .await
    }

    pub(crate) async fn signal(&mut self, job: &str, name: &str, payload: Value) -> Value {
        let sql = "SELECT to_json(s) FROM work_engine.signal($1::uuid, $2, $3::jsonb) AS s";
        self.ask(sql, &[job, name, &payload.to_string()]).await
    }

    /// What the job's stream tells of this kind: how often.
    pub(crate) async fn told(&mut self, kind: &str) -> i64 {
        self.ask("SELECT work_engine.number_some(10000)", &[]).await;
        let sql = "SELECT count(*) FROM work.events WHERE kind = $1";
        self.ask(sql, &[kind]).await.as_i64().unwrap_or_default()
    }

    /// Nothing is wrong with anything.
    pub(crate) async fn check(&mut self) {
        let sql = "SELECT coalesce(json_agg(json_build_array(c.problem, c.id)), '[]') FROM (
                   SELECT * FROM work_engine.check() UNION ALL SELECT * FROM work_engine.check_waits()
                   UNION ALL SELECT * FROM work_engine.check_hot()) AS c";
        assert_eq!(self.ask(sql, &[]).await, json!([]));
    }

    /// Lets everything that is due be due now.
    pub(crate) async fn pass_time(&mut self) {
        let sql =
            "WITH due AS (UPDATE work.steps SET due_at = clock_timestamp() - interval '1 second'
                   WHERE state = 'waiting' AND due_at IS NOT NULL) SELECT 1";
        self.ask(sql, &[]).await;
        self.ask("SELECT work_engine.promote(100)", &[]).await;
    }
}

pub(crate) async fn connect(db: &TestDb) -> Session {
    let target = db.target_as("ferrobase_work");
    Session::connect(&target)
        .await
        .expect("the engine may log in")
}

pub(crate) async fn claim(session: &mut Session) -> Option<Claim> {
    let sql = "SELECT json_build_object('job', c.id, 'epoch', c.epoch) FROM work_engine.claim(
               'worker', '{default}', NULL, NULL, true, 1, '1 minute', 'v1') AS c";
    let claimed = ask(session, sql, &[]).await.expect("claim");
    Some(Claim {
        job: claimed.get("job")?.as_str()?.to_owned(),
        epoch: claimed.get("epoch")?.to_string(),
    })
}

pub(crate) async fn finish(session: &mut Session, claim: &Claim) -> Value {
    let sql = "SELECT to_json(f.state) FROM work_engine.finish(
               ARRAY[$1::uuid], ARRAY[$2::integer], '{completed}', '{NULL}', '{NULL}', '{NULL}', '{NULL}') AS f";
    ask(session, sql, &[&claim.job, &claim.epoch])
        .await
        .expect("finish")
}

pub(crate) async fn begin(session: &mut Session, claim: &Claim, key: &str, with: &Value) -> Value {
    let sql = "SELECT to_json(s) FROM work_engine.step_begin($1::uuid, $2::integer, $3, $4, $5::text::bytea,
               $6, $7::numeric, $8::boolean) AS s";
    let field = |name: &str| match with.get(name) {
        None | Some(Value::Null) => NULL.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let given = ["version", "request", "unit", "estimate", "idempotent"].map(field);
    let [version, request, unit, estimate, idempotent] = &given;
    let params: [&str; 8] = [
        &claim.job,
        &claim.epoch,
        key,
        version,
        request,
        unit,
        estimate,
        idempotent,
    ];
    ask(session, sql, &params).await.expect("step_begin")
}

/// A field that is text.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
