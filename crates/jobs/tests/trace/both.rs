//! The model and the database side by side: each event happens to both, and
//! both must say and become the same.

use jobs::model::{
    Answer, Busy, Event, Id, Refusal, State, Time, Verdict, Waiting, World, problems, step,
};
use pg::Session;
use pg::testing::TestDb;
use serde_json::Value;

use crate::call::{self, Names};
use crate::compare;

/// A disagreement, or a broken rule.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// Milliseconds of one unit of a trace's time. Traces take seconds, so nothing
/// is due by the time that passes while they run.
pub(crate) const UNIT: Time = 100_000;

/// What the database under test can do by now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Able {
    pub(crate) control: bool,
    pub(crate) limits: bool,
    pub(crate) steps: bool,
}

pub(crate) struct Both {
    pub(crate) world: World,
    pub(crate) now: Time,
    pub(crate) able: Able,
    /// The database's ids of the model's jobs.
    pub(crate) ids: Vec<String>,
    session: Session,
    other: Session,
    /// What happened, for whoever must understand it.
    pub(crate) log: Vec<String>,
}

impl Both {
    pub(crate) async fn new(db: &TestDb) -> Self {
        let mut session = db.session().await;
        let rows = session
            .script(
                "SELECT to_regprocedure('work_engine.resume(uuid)') IS NOT NULL, \
                 to_regprocedure('work_engine.grant_limits(integer)') IS NOT NULL, \
                 to_regproc('work_engine.step_begin') IS NOT NULL",
            )
            .await
            .unwrap();
        let row = rows[0].first().unwrap();
        // Planned once: it is asked after every event.
        let snapshot = concat!("PREPARE snapshot AS ", include_str!("sql/snapshot.sql"));
        session.script(snapshot).await.unwrap();
        let able = Able {
            control: row.get(0) == Some("t"),
            limits: row.get(1) == Some("t"),
            steps: row.get(2) == Some("t"),
        };
        Self {
            world: World::default(),
            now: 1_000,
            able,
            ids: Vec::new(),
            session,
            other: db.session().await,
            log: Vec::new(),
        }
    }

    /// An empty world, and limits of two and of one.
    pub(crate) async fn begin(&mut self) {
        let fresh = "DELETE FROM work.jobs; DELETE FROM work.streams; DELETE FROM work_engine.arrivals; \
            DELETE FROM work_engine.unnumbered; DELETE FROM work.limits; DELETE FROM work.queues; \
            INSERT INTO work.limits (key, max_running) VALUES ('l0', 2), ('l1', 1)";
        self.session.script(fresh).await.unwrap();
        self.world = World::default();
        self.world.limits.extend([(0, 2), (1, 1)]);
        self.now = 1_000;
        self.ids.clear();
        self.log.clear();
    }

    /// Lets one thing happen to both.
    pub(crate) async fn happen(&mut self, event: &Event, busy: &Busy) -> Checked {
        self.log
            .push(format!("{} {}", call::brief(event), call::locks(busy)));
        self.lock(busy).await;
        let told = self.ask(event).await;
        if !busy.jobs.is_empty() || !busy.streams.is_empty() {
            self.other.script("ROLLBACK").await.unwrap();
        }
        let answer = step(&mut self.world, event, self.now, busy).answer;
        self.answers(event, &answer, told)?;
        if *busy != Busy::default() {
            self.calm().await?;
        }
        self.look().await
    }

    /// Somebody else's transaction that holds rows.
    async fn lock(&mut self, busy: &Busy) {
        if *busy == Busy::default() {
            return;
        }
        let list = |ids: &std::collections::BTreeSet<Id>| {
            let ids: Vec<&str> = ids.iter().map(|id| self.ids[*id].as_str()).collect();
            format!("'{{{}}}'", ids.join(","))
        };
        let sql = format!(
            "BEGIN; SELECT FROM work.jobs WHERE id = ANY ({}) FOR NO KEY UPDATE; \
             SELECT FROM work.streams WHERE id = ANY ({}) FOR NO KEY UPDATE",
            list(&busy.jobs),
            list(&busy.streams)
        );
        self.other.script(&sql).await.unwrap();
    }

    /// Applies what was left lying, until nothing is.
    async fn calm(&mut self) -> Checked {
        for _ in 0..50 {
            step(&mut self.world, &Event::Arrive, self.now, &Busy::default());
            step(&mut self.world, &Event::Number, self.now, &Busy::default());
            self.sql("SELECT work_engine.arrive_some(1000)").await?;
            self.sql("SELECT work_engine.number_some(1000)").await?;
            let left = self
                .sql("SELECT count(*) FROM work_engine.arrivals")
                .await?;
            if left[0][0] == "0" {
                return Ok(());
            }
        }
        Err("news are never all applied".into())
    }

    /// What the database thinks of itself.
    pub(crate) async fn check(&mut self) -> Checked {
        let mut sql = "SELECT problem, id FROM work_engine.check()".to_owned();
        if self.able.steps {
            sql.push_str(" UNION ALL SELECT problem, id FROM work_engine.check_waits()");
            sql.push_str(" UNION ALL SELECT problem, id FROM work_engine.check_hot()");
        }
        let found = self.sql(&sql).await?;
        if found.is_empty() {
            return Ok(());
        }
        let at = |id: &String| self.ids.iter().position(|known| known == id);
        let found: Vec<_> = found.iter().map(|row| (&row[0], at(&row[1]))).collect();
        Err(format!("the database of itself: {found:?}"))
    }

    /// Compares, after giving the model the choices that the database made.
    pub(crate) async fn look(&mut self) -> Checked {
        let rows = self.session.script("EXECUTE snapshot").await;
        let rows = rows.map_err(|error| error.to_string())?;
        let seen: Value = serde_json::from_str(rows[0].scalar().unwrap()).unwrap();
        for (id, name) in self.ids.iter().enumerate() {
            let waits = self.world.job(id).unwrap().waiting == Some(Waiting::Limit);
            if waits && seen["jobs"][name]["waiting"] != "limit" {
                let granted = step(
                    &mut self.world,
                    &Event::Grant(id),
                    self.now,
                    &Busy::default(),
                );
                if granted.answer != Answer::Done {
                    return Err(format!("job {id} got a slot that was not free"));
                }
            }
        }
        for (job, name) in self.world.jobs.iter_mut().zip(&self.ids) {
            // Where a job has two reasons to fall at once, the database says
            // which came first.
            if job.state == State::Cancelled {
                let fell = seen["jobs"][name]["fell"] == true;
                job.reason = Some(if fell {
                    "dependency failed"
                } else {
                    "cancelled"
                });
            }
        }
        compare::worlds(self, &seen)?;
        let found = problems(&self.world);
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("the model itself: {found:?}"))
        }
    }

    /// Lets a worker take what the database gives it, and the model judge it.
    pub(crate) async fn claim(&mut self, queue: u32, most: usize, lease: Time) -> Checked {
        let sql = format!(
            "SELECT id, epoch FROM work_engine.claim('w', ARRAY['q{queue}'], NULL, NULL, true, {most}, \
             {lease} * interval '1 ms', 'v1')"
        );
        let rows = self.sql(&sql).await?;
        let ready = self.world.ready(queue);
        let mut ranks: Vec<i16> = ready.map(|job| job.priority).collect();
        ranks.sort_unstable_by(|one, other| other.cmp(one));
        ranks.truncate(most);
        let mut taken = Vec::new();
        for row in rows {
            let id = self.known(&row[0])?;
            self.log.push(format!("Claim({id}) of queue {queue}"));
            taken.push(self.world.job(id).unwrap().priority);
            let event = Event::Claim(id, 0, lease);
            let answer = step(&mut self.world, &event, self.now, &Busy::default()).answer;
            if answer != Answer::Claimed(row[1].parse().unwrap()) {
                return Err(format!("claim of {id}: {answer:?} and {row:?}"));
            }
        }
        taken.sort_unstable_by(|one, other| other.cmp(one));
        if taken != ranks {
            return Err(format!("claimed priorities {taken:?}, first are {ranks:?}"));
        }
        self.look().await
    }

    /// Time passes for both.
    pub(crate) async fn pass(&mut self, time: Time) -> Checked {
        self.log.push(format!("{} units pass", time / UNIT));
        self.now += time;
        let sql = include_str!("sql/pass_time.sql").replace("$MS", &time.to_string());
        self.sql(&sql).await?;
        Ok(())
    }

    fn known(&self, name: &str) -> Checked<Id> {
        let found = self.ids.iter().position(|id| id == name);
        found.ok_or_else(|| format!("an unknown job {name}"))
    }

    /// Rows of one statement as text; nulls are empty.
    async fn sql(&mut self, sql: &str) -> Checked<Vec<Vec<String>>> {
        let rows = self.session.script(sql).await;
        let rows = rows.map_err(|error| format!("{sql}: {error}"))?;
        let last = rows.last().unwrap();
        let width = last.columns().len();
        let text = |row: pg::Row<'_>| {
            (0..width)
                .map(|at| row.get(at).unwrap_or("").to_owned())
                .collect()
        };
        Ok(last.iter().map(text).collect())
    }

    /// The event as a call; an error is the machine's word for it.
    async fn ask(&mut self, event: &Event) -> Result<Vec<Vec<String>>, String> {
        let Some(sql) = call::sql(&Names::of(self), event) else {
            return Ok(Vec::new());
        };
        let rows = self.session.script(&sql).await;
        match rows {
            Ok(rows) => {
                let last = rows.last().unwrap();
                let width = last.columns().len();
                let text = |row: pg::Row<'_>| {
                    (0..width)
                        .map(|at| row.get(at).unwrap_or("").to_owned())
                        .collect()
                };
                Ok(last.iter().map(text).collect())
            }
            Err(error) => Err(match error.db() {
                Some(told) if told.code.starts_with("PT") => {
                    told.detail.clone().unwrap_or_default()
                }
                _ => format!("{sql}: {error}"),
            }),
        }
    }

    /// Whether both said the same.
    fn answers(
        &mut self,
        event: &Event,
        answer: &Answer,
        told: Result<Vec<Vec<String>>, String>,
    ) -> Checked {
        let wrong = |told: &dyn std::fmt::Debug| {
            Err(format!("the model says {answer:?}, the database {told:?}"))
        };
        let rows = match told {
            Ok(rows) => rows,
            Err(word) => {
                let same =
                    matches!(answer, Answer::Refused(refusal) if self::word(*refusal) == word);
                return if same { Ok(()) } else { wrong(&word) };
            }
        };
        let first = rows
            .first()
            .and_then(|row| row.first())
            .map_or("", String::as_str);
        let same = match answer {
            Answer::Submitted(jobs) => {
                for ((id, is_new), row) in jobs.iter().zip(&rows) {
                    if *is_new != (row[1] == "t") {
                        return wrong(&rows);
                    }
                    if *is_new {
                        if self.ids.len() <= *id {
                            self.ids.resize(*id + 1, String::new());
                        }
                        self.ids[*id].clone_from(&row[0]);
                    } else if self.ids[*id] != row[0] {
                        return wrong(&rows);
                    }
                }
                jobs.len() == rows.len()
            }
            Answer::Refused(Refusal::Stale | Refusal::NotFound)
                if matches!(
                    event,
                    Event::Complete(..) | Event::Fail { .. } | Event::Release(..)
                ) =>
            {
                first.is_empty()
            }
            Answer::Refused(Refusal::Stale) => matches!(first, "stale" | "late" | "superseded"),
            Answer::Ready => first == "ready",
            Answer::Refused(refusal) => first == word(*refusal),
            Answer::Leave(word) => first == *word,
            Answer::Finished(state) => first == state.word(),
            Answer::Step(verdict) => same_verdict(*verdict, &rows),
            Answer::Done if matches!(event, Event::Heartbeat(..)) => first == "ok",
            Answer::Done if matches!(event, Event::Suspend(..)) => first == "suspended",
            Answer::Done
                if matches!(
                    event,
                    Event::StepEnd(..) | Event::StepHandle(..) | Event::StepFail(..)
                ) =>
            {
                first == "kept"
            }
            Answer::Done | Answer::Claimed(_) | Answer::Changed(_) => true,
        };
        if same { Ok(()) } else { wrong(&rows) }
    }
}

fn word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound => "not_found",
        Refusal::Stale => "stale",
        Refusal::Conflict => "conflict",
        Refusal::Invalid => "invalid",
        Refusal::OverLimit => "over_limit",
        Refusal::Cycle => "cycle",
    }
}

fn same_verdict(verdict: Verdict, rows: &[Vec<String>]) -> bool {
    let Some([said, result, handle, ..]) = rows.first().map(Vec::as_slice) else {
        return false;
    };
    match verdict {
        Verdict::Hit(value) => said == "hit" && *result == value.to_string(),
        Verdict::Run(_) => said == "run",
        Verdict::Resume(at, _) => said == "resume" && *handle == at.to_string(),
        Verdict::InDoubt(_) => said == "in_doubt",
        Verdict::Mismatch => said == "mismatch",
    }
}
