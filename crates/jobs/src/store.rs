//! The only part of the room that meets Postgres. Statements run as the
//! engine's role, which clients cannot become; whoever asks on a client's
//! behalf says whose rows it may touch.
//!
//! A [`Store`] turns calls into statements and rows into types. What belongs
//! together goes into one transaction by [`Store::run`].

mod ended;
mod fields;
pub(crate) mod plans;
mod reads;
pub(crate) mod steps;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pg::{Pool, RequestTx, Rows, SqlBuf};
use uuid::Uuid;

use crate::error::{JobsError, Result};
use crate::spec::Spec;
use crate::types::{Beat, Changed, Claimed, Directive, Event, Finish, Submitted, Wants};
use ended::Ended;
use fields::{Fields, array, millis};

pub(crate) use reads::Sight;

/// A fixed statement from `sql/`.
macro_rules! sql {
    ($name:literal) => {
        ::pg::SqlBuf::fixed(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/sql/",
            $name,
            ".sql"
        )))
    };
}

/// Before trying again after a deadlock: the other one goes on at once, and
/// holds its locks for as long as a batch takes.
const LOST_PAUSES: [Duration; 3] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
];

/// Statements and rows.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: Pool,
    role: Arc<str>,
}

/// What a person or a program does to a whole job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Cancel,
    Pause,
    Resume,
    Retry,
}

impl Store {
    pub(crate) fn new(pool: Pool, role: Arc<str>) -> Self {
        Self { pool, role }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn role(&self) -> &Arc<str> {
        &self.role
    }

    /// Statements in one transaction and one round trip. What lost against
    /// another transaction has not happened, and is tried again.
    pub(crate) async fn run(&self, statements: Vec<SqlBuf>) -> Result<Vec<Rows>> {
        for pause in LOST_PAUSES {
            match self.run_once(statements.clone()).await {
                Err(error) if error.is_lost_race() => tokio::time::sleep(pause).await,
                done => return done,
            }
        }
        self.run_once(statements).await
    }

    async fn run_once(&self, statements: Vec<SqlBuf>) -> Result<Vec<Rows>> {
        let mut request = RequestTx::new(&self.role, "{}", &[]);
        request.keeps_settings();
        for statement in statements {
            request.push(statement);
        }
        Ok(request.run(&self.pool).await?)
    }

    /// One statement.
    pub(crate) async fn one(&self, statement: SqlBuf) -> Result<Rows> {
        let mut rows = self.run(vec![statement]).await?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// One statement that changes nothing.
    pub(crate) async fn read(&self, statement: SqlBuf) -> Result<Rows> {
        let mut request = RequestTx::new(&self.role, "{}", &[]);
        request.keeps_settings().read_only().push(statement);
        let mut rows = request.run(&self.pool).await?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// Makes several submissions, which are checked already, in one transaction.
    pub(crate) async fn submit(&self, submissions: &[Vec<&Spec>]) -> Result<Vec<Vec<Submitted>>> {
        let (made, _) = self.submit_and_claim(submissions, &[]).await?;
        Ok(made)
    }

    /// The same, and then serves some who ask for jobs, in the same transaction.
    pub(crate) async fn submit_and_claim(
        &self,
        submissions: &[Vec<&Spec>],
        asked: &[(Arc<Wants>, usize)],
    ) -> Result<(Vec<Vec<Submitted>>, Vec<Vec<Claimed>>)> {
        let mut statements = Vec::with_capacity(submissions.len() + asked.len());
        for specs in submissions {
            statements.push(sql!("submit").bind(json_of(specs.iter().copied())?));
        }
        statements.extend(asked.iter().map(claim));
        let results = self.run(statements).await?;
        let mut results = results.iter();
        let made = results.by_ref().take(submissions.len()).map(submitted);
        let made = made.collect::<Result<_>>()?;
        let claimed = results.map(all_claimed).collect::<Result<_>>()?;
        Ok((made, claimed))
    }

    /// Refuses a submission that names what is not the owner's.
    pub(crate) async fn admit(&self, owner: &str, specs: &[Spec]) -> Result<()> {
        let statement = sql!("admissible")
            .bind(owner.to_owned())
            .bind(json_of(specs)?);
        self.read(statement).await.map(drop)
    }

    /// Submits children of a job that the asker holds.
    pub(crate) async fn spawn(
        &self,
        parent: Uuid,
        epoch: i32,
        specs: &[Spec],
    ) -> Result<Vec<Submitted>> {
        let statement = sql!("spawn")
            .bind(parent.to_string())
            .bind(epoch.to_string())
            .bind(json_of(specs)?);
        submitted(&self.one(statement).await?)
    }

    /// Serves several who ask for jobs, one after the other, in one transaction.
    pub(crate) async fn claim(&self, asked: &[(Arc<Wants>, usize)]) -> Result<Vec<Vec<Claimed>>> {
        let results = self.run(asked.iter().map(claim).collect()).await?;
        results.iter().map(all_claimed).collect()
    }

    /// Signs of life, of several workers at once; no job twice.
    pub(crate) async fn heartbeat(&self, beats: &[&Beat]) -> Result<HashMap<Uuid, Directive>> {
        let mut groups: HashMap<(&str, Duration), Vec<&Beat>> = HashMap::new();
        for beat in beats {
            let group = groups.entry((&beat.worker, beat.lease)).or_default();
            group.push(beat);
        }
        // Each group is locked by id, but one after the other: an end of jobs of
        // several workers would meet them in another order.
        let lock = (groups.len() > 1)
            .then(|| sql!("lock_jobs").bind(texts(beats.iter().map(|beat| Some(beat.id)))));
        let before = usize::from(lock.is_some());
        let groups = groups.into_iter().map(|((worker, lease), beats)| {
            sql!("heartbeat")
                .bind(worker.to_owned())
                .bind(texts(beats.iter().map(|beat| Some(beat.id))))
                .bind(texts(beats.iter().map(|beat| Some(beat.epoch))))
                .bind(texts(beats.iter().map(|beat| beat.progress)))
                .bind(array(beats.iter().map(|beat| beat.message.as_deref())))
                .bind(millis(lease))
        });
        let results = self.run(lock.into_iter().chain(groups).collect()).await?;
        let mut directives = HashMap::new();
        for row in results.iter().skip(before).flat_map(Rows::iter) {
            let mut fields = Fields::of(&row);
            let id = fields.uuid()?;
            if let Some(directive) = Directive::parse(fields.text().as_deref()) {
                directives.insert(id, directive);
            }
        }
        Ok(directives)
    }

    /// Which of these claims no longer hold.
    pub(crate) async fn lost(&self, held: &[(Uuid, i32)]) -> Result<Vec<Uuid>> {
        let statement = sql!("lost")
            .bind(texts(held.iter().map(|(id, _)| Some(id))))
            .bind(texts(held.iter().map(|(_, epoch)| Some(epoch))));
        let rows = self.read(statement).await?;
        rows.iter().map(|row| Fields::of(&row).uuid()).collect()
    }

    /// Ends claims in one transaction, round by round; a round has no job
    /// twice.
    pub(crate) async fn finish(&self, rounds: &[Vec<&Finish>]) -> Result<Vec<Ended>> {
        let statements = rounds.iter().map(|ends| ended::statement(ends)).collect();
        let results = self.run(statements).await?;
        let states = results.iter().zip(rounds);
        states
            .map(|(rows, ends)| ended::ended(rows, ends))
            .collect()
    }

    /// Tells streams what happened.
    pub(crate) async fn append(&self, events: &[Event]) -> Result<()> {
        let statement = sql!("append")
            .bind(texts(events.iter().map(|event| Some(event.stream))))
            .bind(texts(events.iter().map(|event| event.job)))
            .bind(array(events.iter().map(|event| Some(event.kind.as_str()))))
            .bind(array(events.iter().map(|event| Some(event.data.get()))));
        self.one(statement).await.map(drop)
    }

    /// Does the verb to a job that `sight` may change; which jobs it changed.
    pub(crate) async fn change(
        &self,
        verb: Verb,
        id: Uuid,
        sight: &Sight,
        reason: Option<&str>,
    ) -> Result<Vec<Changed>> {
        let statement = match verb {
            Verb::Cancel => sql!("cancel"),
            Verb::Pause => sql!("pause"),
            Verb::Resume => sql!("resume"),
            Verb::Retry => sql!("retry"),
        };
        let mut statement = sight.bind(statement.bind(id.to_string()));
        if verb == Verb::Cancel {
            statement = statement.bind(reason.map(str::to_owned));
        }
        let may = sight.bind(sql!("may").bind(id.to_string()));
        let rows = self.run(vec![may, statement]).await?;
        let [may, changed] = rows.as_slice() else {
            return Err(JobsError::odd("two results for two statements"));
        };
        if may.is_empty() {
            return Err(JobsError::not_found());
        }
        let changed = changed.iter().map(|row| {
            let mut fields = Fields::of(&row);
            Ok(Changed {
                id: fields.uuid()?,
                state: fields.must()?,
            })
        });
        changed.collect()
    }

    /// Runs a duty once and says how much it did.
    pub(crate) async fn duty(&self, duty: Duty, most: usize) -> Result<u64> {
        let statement = match duty {
            Duty::Rescue => sql!("rescue"),
            Duty::Promote => sql!("promote"),
            Duty::Arrive => sql!("arrive_some"),
            Duty::Number => sql!("number_some"),
            Duty::Grant => sql!("grant_limits"),
        };
        let rows = self.one(statement.bind(most.to_string())).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// Forgets trees that ended longer ago than this.
    pub(crate) async fn prune(&self, most: usize, older: Duration) -> Result<u64> {
        let statement = sql!("prune").bind(most.to_string()).bind(millis(older));
        let rows = self.one(statement).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// What must hold and does not.
    pub(crate) async fn problems(&self) -> Result<Vec<(String, Option<Uuid>)>> {
        let rows = self.read(sql!("check")).await?;
        let problem = |row| {
            let mut fields = Fields::of(&row);
            Ok((fields.must()?, fields.maybe_uuid()))
        };
        rows.iter().map(problem).collect()
    }

    /// Tells other nodes.
    pub(crate) async fn notify(&self, payload: String) -> Result<()> {
        self.one(sql!("notify").bind(payload)).await.map(drop)
    }
}

/// What is done to jobs that nobody asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Rescue,
    Promote,
    Arrive,
    Number,
    Grant,
}

fn claim((wants, most): &(Arc<Wants>, usize)) -> SqlBuf {
    let types = wants.types.as_ref();
    sql!("claim")
        .bind(wants.worker.clone())
        .bind(array(wants.queues.iter().map(|queue| Some(queue.as_str()))))
        .bind(types.map(|types| array(types.iter().map(|kind| Some(kind.as_str())))))
        .bind(wants.owner.clone())
        .bind(wants.any_owner.to_string())
        .bind(most.to_string())
        .bind(millis(wants.lease))
        .bind(wants.code_version.clone())
}

fn all_claimed(rows: &Rows) -> Result<Vec<Claimed>> {
    rows.iter().map(|row| claimed(Fields::of(&row))).collect()
}

fn json_of<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Result<String> {
    let mut out = String::from("[");
    for (n, spec) in specs.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        let text = serde_json::to_string(spec)
            .map_err(|error| JobsError::invalid(format!("The job is no JSON: {error}")))?;
        out.push_str(&text);
    }
    out.push(']');
    Ok(out)
}

/// An array of values whose text needs a `String` each.
fn texts<T: ToString>(values: impl Iterator<Item = Option<T>>) -> String {
    let texts: Vec<Option<String>> = values
        .map(|value| value.map(|value| value.to_string()))
        .collect();
    array(texts.iter().map(Option::as_deref))
}

fn submitted(rows: &Rows) -> Result<Vec<Submitted>> {
    let one = |row| {
        let mut fields = Fields::of(&row);
        Ok(Submitted {
            id: fields.uuid()?,
            is_new: fields.flag(),
            state: fields.must()?,
        })
    };
    rows.iter().map(one).collect()
}

fn claimed(mut fields: Fields<'_>) -> Result<Claimed> {
    Ok(Claimed {
        id: fields.uuid()?,
        root_id: fields.uuid()?,
        parent_id: fields.maybe_uuid(),
        session_id: fields.maybe_uuid(),
        stream_id: fields.maybe_uuid(),
        owner: fields.text(),
        kind: fields.must()?,
        name: fields.text(),
        epoch: fields.number()?,
        failures: fields.number()?,
        input: fields.json()?,
        queue: fields.must()?,
        lease_ms: fields.number()?,
        steps: fields.json()?,
    })
}

pub(crate) use sql;
