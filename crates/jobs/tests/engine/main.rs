//! The engine's functions on a real PostgreSQL, called as the role that the
//! server calls them as. [`submit`], [`running`], [`graph`] and [`control`]
//! hold each rule, [`circles`] what would never end; [`races`] puts two sessions where they could hurt one
//! another and [`storm`] thirty-two; [`events`] and [`checker`] are about what
//! watches the rest; [`scale`] is about ten thousand of everything.
//! Nearly every test ends with `work_engine.check()`, which must find nothing.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod checker;
mod circles;
mod control;
mod events;
mod graph;
mod hot;
mod plain;
mod races;
mod running;
mod scale;
mod storm;
mod submit;

use pg::testing::TestDb;
use pg::{Error, Session};
use serde_json::{Value, json};

/// A job that was claimed.
#[derive(Clone, Debug)]
struct Claim {
    id: String,
    epoch: i64,
    kind: String,
}

/// A session as the engine's role.
struct Work {
    session: Session,
}

impl Work {
    async fn on(db: &TestDb) -> Self {
        let session = Session::connect(&db.target_as("ferrobase_work")).await;
        Self {
            session: session.unwrap(),
        }
    }

    /// The rows of a statement that returns one JSON value.
    async fn ask(&mut self, sql: &'static str, params: &[&str]) -> Result<Value, Error> {
        let params: Vec<Option<&str>> = params.iter().map(|param| Some(*param)).collect();
        let rows = self.session.query(sql, &params).await?;
        Ok(serde_json::from_str(rows.scalar().unwrap_or("null")).unwrap())
    }

    async fn run(&mut self, sql: &'static str, params: &[&str]) {
        let params: Vec<Option<&str>> = params.iter().map(|param| Some(*param)).collect();
        self.session.query(sql, &params).await.unwrap();
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        let rows = self.session.query(sql, &[]).await.unwrap();
        rows.scalar().unwrap().parse().unwrap()
    }

    async fn try_submit(&mut self, jobs: &Value) -> Result<Vec<Value>, Error> {
        let sql = "SELECT jsonb_agg(s ORDER BY s.ordinal) FROM work_engine.submit($1) AS s";
        let answer = self.ask(sql, &[&jobs.to_string()]).await?;
        Ok(answer.as_array().unwrap().clone())
    }

    /// Submits, and returns the ids in order.
    async fn submit(&mut self, jobs: Value) -> Vec<String> {
        let answer = self.try_submit(&jobs).await.unwrap();
        answer.iter().map(|job| text(&job["id"])).collect()
    }

    async fn one(&mut self, job: Value) -> String {
        self.submit(json!([job])).await.remove(0)
    }

    async fn claim(&mut self, most: u32) -> Vec<Claim> {
        self.claim_from("{default}", most).await
    }

    async fn claim_from(&mut self, queues: &str, most: u32) -> Vec<Claim> {
        let sql = "SELECT coalesce(jsonb_agg(c), '[]') FROM work_engine.claim(
            'worker', $1, NULL, NULL, true, $2, '1 minute', 'v1') AS c";
        let claims = self.ask(sql, &[queues, &most.to_string()]).await.unwrap();
        claims.as_array().unwrap().iter().map(as_claim).collect()
    }

    /// The one job that can be claimed.
    async fn next(&mut self) -> Claim {
        let mut claims = self.claim(10).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }

    /// The one job of a type that can be claimed.
    async fn next_of(&mut self, kind: &str) -> Claim {
        let sql = "SELECT to_jsonb(c) FROM work_engine.claim(
            'worker', '{default}', ARRAY[$1], NULL, true, 1, '1 minute', 'v1') AS c";
        as_claim(&self.ask(sql, &[kind]).await.unwrap())
    }

    /// Ends attempts with one outcome; the states that they have then.
    async fn end(&mut self, claims: &[Claim], outcome: &str, retryable: bool) -> Vec<Value> {
        self.try_end(claims, outcome, retryable).await.unwrap()
    }

    async fn try_end(
        &mut self,
        claims: &[Claim],
        outcome: &str,
        retryable: bool,
    ) -> Result<Vec<Value>, Error> {
        let sql = "SELECT jsonb_agg(f.state ORDER BY g.n)
            FROM unnest($1::uuid[]) WITH ORDINALITY AS g (id, n)
            JOIN work_engine.finish($1::uuid[], $2::int[],
                array_fill($3::text, ARRAY[cardinality($1::uuid[])]),
                array_fill('{\"done\": 1}'::jsonb, ARRAY[cardinality($1::uuid[])]),
                array_fill('{\"code\": \"broken\"}'::jsonb, ARRAY[cardinality($1::uuid[])]),
                array_fill($4::boolean, ARRAY[cardinality($1::uuid[])]), NULL) AS f ON f.id = g.id";
        let ids: Vec<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
        let epochs: Vec<String> = claims.iter().map(|c| c.epoch.to_string()).collect();
        let params = [
            format!("{{{}}}", ids.join(",")),
            format!("{{{}}}", epochs.join(",")),
            outcome.to_owned(),
            retryable.to_string(),
        ];
        let params: Vec<&str> = params.iter().map(String::as_str).collect();
        let answer = self.ask(sql, &params).await?;
        Ok(answer.as_array().unwrap().clone())
    }

    async fn complete(&mut self, claims: &[Claim]) {
        for state in self.end(claims, "completed", false).await {
            assert_eq!(state, "completed");
        }
    }

    /// Fails for good.
    async fn fail(&mut self, claims: &[Claim]) {
        for state in self.end(claims, "failed", false).await {
            assert_eq!(state, "failed");
        }
    }

    async fn spawn(&mut self, parent: &Claim, jobs: &Value) -> Result<Vec<String>, Error> {
        let sql =
            "SELECT jsonb_agg(s.id ORDER BY s.ordinal) FROM work_engine.spawn($1, $2, $3) AS s";
        let params = [&parent.id, &parent.epoch.to_string(), &jobs.to_string()];
        let answer = self.ask(sql, &params.map(String::as_str)).await?;
        Ok(answer.as_array().unwrap().iter().map(text).collect())
    }

    /// `state`, `state/waiting_on` or `state (reason)`.
    async fn state(&mut self, id: &str) -> String {
        let sql = "SELECT to_jsonb(state || coalesce('/' || waiting_on, '') || coalesce(' (' || reason || ')', ''))
            FROM work.jobs WHERE id = $1";
        text(&self.ask(sql, &[id]).await.unwrap())
    }

    async fn states(&mut self, ids: &[String]) -> Vec<String> {
        let mut states = Vec::new();
        for id in ids {
            states.push(self.state(id).await);
        }
        states
    }

    async fn job(&mut self, id: &str) -> Value {
        let sql = "SELECT to_jsonb(j) FROM work.jobs AS j WHERE id = $1";
        self.ask(sql, &[id]).await.unwrap()
    }

    async fn cancel(&mut self, id: &str) -> usize {
        let sql = "SELECT coalesce(jsonb_agg(c), '[]') FROM work_engine.cancel($1, 'enough') AS c";
        let changed = self.ask(sql, &[id]).await.unwrap();
        changed.as_array().unwrap().len()
    }

    async fn pause(&mut self, id: &str) -> usize {
        let sql = "SELECT coalesce(jsonb_agg(c), '[]') FROM work_engine.pause($1) AS c";
        let changed = self.ask(sql, &[id]).await.unwrap();
        changed.as_array().unwrap().len()
    }

    async fn resume(&mut self, id: &str) -> usize {
        let sql = "SELECT coalesce(jsonb_agg(c), '[]') FROM work_engine.resume($1) AS c";
        let changed = self.ask(sql, &[id]).await.unwrap();
        changed.as_array().unwrap().len()
    }

    async fn retry(&mut self, id: &str) -> Result<usize, Error> {
        let sql = "SELECT coalesce(jsonb_agg(c), '[]') FROM work_engine.retry($1) AS c";
        Ok(self.ask(sql, &[id]).await?.as_array().unwrap().len())
    }

    /// What the duties find to do, until they find nothing.
    async fn settle(&mut self) {
        loop {
            let sql = "SELECT work_engine.arrive_some(1000) + work_engine.number_some(1000)";
            if self.number(sql).await == 0 {
                return;
            }
        }
    }

    /// What breaks a rule.
    async fn problems(&mut self) -> Vec<String> {
        let sql =
            "SELECT coalesce(jsonb_agg(DISTINCT c.problem), '[]') FROM (
                SELECT * FROM work_engine.check() UNION ALL SELECT * FROM work_engine.check_hot()) AS c";
        let found = self.ask(sql, &[]).await.unwrap();
        found.as_array().unwrap().iter().map(text).collect()
    }

    async fn assert_sound(&mut self) {
        assert_eq!(self.problems().await, Vec::<String>::new());
    }

    /// Leases end without anybody waiting for it.
    async fn expire_leases(&mut self) {
        self.run(
            "UPDATE work.jobs SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL",
            &[],
        )
        .await;
    }

    /// What waits for a time has waited long enough.
    async fn make_due(&mut self) {
        self.run(
            "UPDATE work.jobs SET run_at = now() WHERE run_at > now()",
            &[],
        )
        .await;
        self.run("SELECT work_engine.promote(1000)", &[]).await;
    }

    async fn begin(&mut self) {
        self.session.script("BEGIN").await.unwrap();
    }

    async fn commit(&mut self) {
        self.session.script("COMMIT").await.unwrap();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn as_claim(value: &Value) -> Claim {
    Claim {
        id: text(&value["id"]),
        epoch: value["epoch"].as_i64().unwrap(),
        kind: text(&value["type"]),
    }
}

/// The status and the machine word of a refusal.
fn refusal(error: &Error) -> (String, String) {
    let db = error.db().unwrap();
    (db.code.clone(), db.detail.clone().unwrap_or_default())
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, String) {
    refusal(&result.unwrap_err())
}

fn pair(code: &str, detail: &str) -> (String, String) {
    (code.to_owned(), detail.to_owned())
}
