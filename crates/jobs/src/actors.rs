//! What is done in batches: each type here says how many questions become one
//! call, and what must happen after its commit.

mod submit;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kernel::Tasks;
use pg::{Rows, SqlBuf};
use uuid::Uuid;

use crate::batch::{Batcher, Work};
use crate::core::Core;
use crate::error::{JobsError, Result};
use crate::spec::Spec;
use crate::types::{Beat, Claimed, Directive, Event, Finish, Submitted, Wants};
use submit::Submit;

/// Larger submissions go alone: their neighbours would wait for them.
const TOGETHER_MAX: usize = 64;

/// The queues in front of the database.
pub(crate) struct Actors {
    core: Arc<Core>,
    submit: Batcher<Submit>,
    pub(crate) claim: Batcher<Claim>,
    pub(crate) heartbeat: Batcher<Heartbeat>,
    pub(crate) finish: Batcher<End>,
    pub(crate) append: Batcher<Append>,
    statement: Batcher<Statement>,
}

impl Actors {
    pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) -> Self {
        let finish = Batcher::start(End(Arc::clone(core)), tasks);
        let back = GiveBack {
            finish: finish.clone(),
            tasks: tasks.clone(),
        };
        core.wake.give_back_to(back.clone());
        let claim = Claim {
            core: Arc::clone(core),
            back,
        };
        Self {
            core: Arc::clone(core),
            submit: Batcher::start(Submit::new(core), tasks),
            claim: Batcher::start(claim, tasks),
            heartbeat: Batcher::start(Heartbeat(Arc::clone(core)), tasks),
            finish,
            append: Batcher::start(Append(Arc::clone(core)), tasks),
            statement: Batcher::start(Statement(Arc::clone(core)), tasks),
        }
    }

    /// Makes one submission, all of it or nothing.
    pub(crate) async fn submit(&self, specs: Vec<Spec>) -> Result<Vec<Submitted>> {
        if specs.len() <= TOGETHER_MAX {
            return self.submit.ask(specs).await;
        }
        let submissions = [specs.iter().collect()];
        let mut made = self.core.store.submit(&submissions).await?;
        let made = made.pop().unwrap_or_default();
        self.core.submitted(specs.iter().zip(&made), None, &[]);
        Ok(made)
    }

    /// A statement about one job, committed together with others'.
    pub(crate) async fn statement(&self, job: Uuid, statement: SqlBuf) -> Result<Rows> {
        self.statement.ask((job, statement)).await
    }
}

fn in_order<T>(mut numbered: Vec<(usize, T)>) -> Vec<T> {
    numbered.sort_unstable_by_key(|(n, _)| *n);
    numbered.into_iter().map(|(_, answer)| answer).collect()
}

/// Claims.
pub(crate) struct Claim {
    core: Arc<Core>,
    back: GiveBack,
}

/// Where jobs go that were claimed for somebody who is gone.
#[derive(Clone)]
pub(crate) struct GiveBack {
    finish: Batcher<End>,
    tasks: Tasks,
}

impl std::fmt::Debug for GiveBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GiveBack").finish_non_exhaustive()
    }
}

impl GiveBack {
    /// Others may have the jobs at once, instead of when the lease ends.
    pub(crate) fn give(&self, jobs: Vec<Claimed>) {
        if jobs.is_empty() {
            return;
        }
        let finish = self.finish.clone();
        self.tasks.spawn("give-back", async move {
            let ends = jobs.iter().map(|job| Finish::released(job.id, job.epoch));
            for answer in finish.ask_all(ends.collect()).await {
                if let Err(error) = answer {
                    tracing::debug!(%error, "A job waits for the end of its lease");
                }
            }
        });
    }
}

impl Work for Claim {
    type Item = (Arc<Wants>, usize);
    type Answer = Vec<Claimed>;
    const NAME: &'static str = "claim";
    /// Each is a statement of its own within the transaction.
    const ITEMS_MAX: usize = 32;

    async fn run(&self, items: &[Self::Item]) -> Result<Vec<Vec<Claimed>>> {
        let answers = self.core.store.claim(items).await?;
        self.core.remember(answers.iter().flatten());
        let streams = answers.iter().flatten().filter_map(|job| job.stream_id);
        self.core.news.streams(streams);
        Ok(answers)
    }

    /// Whoever asked has hung up.
    fn undelivered(&self, jobs: Vec<Claimed>) {
        self.back.give(jobs);
    }
}

/// Signs of life.
pub(crate) struct Heartbeat(Arc<Core>);

impl Work for Heartbeat {
    type Item = Beat;
    type Answer = Option<Directive>;
    const NAME: &'static str = "heartbeat";
    const ITEMS_MAX: usize = 1000;
    const LANES: usize = 1;

    async fn run(&self, items: &[Beat]) -> Result<Vec<Option<Directive>>> {
        // Of two signs of one claim the later one counts.
        let mut last = HashMap::new();
        for beat in items {
            last.insert(beat.id, beat);
        }
        let mut beats: Vec<&Beat> = last.into_values().collect();
        beats.sort_unstable_by_key(|beat| beat.id);
        let directives = self.0.store.heartbeat(&beats).await?;
        let told = beats.iter().filter(|beat| beat.progress.is_some());
        self.0
            .news
            .streams(self.0.streams_of(told.map(|beat| beat.id)));
        let answers = items.iter().map(|beat| directives.get(&beat.id).copied());
        Ok(answers.collect())
    }
}

/// Ends of claims.
pub(crate) struct End(Arc<Core>);

impl Work for End {
    type Item = Finish;
    /// The job's state now; none if the claim was stale.
    type Answer = Option<String>;
    const NAME: &'static str = "finish";
    const ITEMS_MAX: usize = 500;

    fn bytes(item: &Finish) -> usize {
        let raw = |value: &Option<Box<serde_json::value::RawValue>>| {
            value.as_ref().map_or(0, |raw| raw.get().len())
        };
        128 + raw(&item.output) + raw(&item.error)
    }

    async fn run(&self, items: &[Finish]) -> Result<Vec<Option<String>>> {
        // What was sent twice is asked twice, one after the other.
        let mut rounds: Vec<Vec<&Finish>> = Vec::new();
        let mut places = Vec::with_capacity(items.len());
        let mut seen: HashMap<Uuid, usize> = HashMap::new();
        for end in items {
            let round = *seen.entry(end.id).and_modify(|n| *n += 1).or_default();
            if rounds.len() <= round {
                rounds.push(Vec::new());
            }
            if let Some(ends) = rounds.get_mut(round) {
                ends.push(end);
            }
            places.push(round);
        }
        let ended = self.0.store.finish(&rounds).await?;
        let answers: Vec<_> = items
            .iter()
            .zip(places)
            .map(|(end, round)| ended.get(round)?.states.get(&end.id)?.clone())
            .collect();
        let retried = answers
            .iter()
            .zip(items)
            .any(|(state, end)| state.as_deref() == Some("queued") && end.error.is_some());
        if retried {
            self.0.nudges.promote.notify_one();
        }
        let jobs = items.iter().map(|end| end.id);
        if ended.iter().any(|one| one.stirred) {
            self.0.settled(jobs);
        } else {
            // Jobs that concern nobody else: there is nothing to look for.
            self.0.news.streams(self.0.streams_of(jobs));
        }
        self.0.forget(items.iter().map(|end| end.id));
        Ok(answers)
    }
}

/// What streams are told.
pub(crate) struct Append(Arc<Core>);

impl Work for Append {
    type Item = Event;
    type Answer = ();
    const NAME: &'static str = "append";
    const ITEMS_MAX: usize = 1000;
    /// Two would only find each other's streams locked, and what one says
    /// after the other could be numbered before it.
    const LANES: usize = 1;

    fn bytes(item: &Event) -> usize {
        128 + item.data.get().len()
    }

    async fn run(&self, items: &[Event]) -> Result<Vec<()>> {
        self.0.store.append(items).await?;
        let streams: HashSet<Uuid> = items.iter().map(|event| event.stream).collect();
        self.0.news.streams(streams);
        self.0.nudges.number.notify_one();
        Ok(vec![(); items.len()])
    }
}

/// Statements about single jobs.
pub(crate) struct Statement(Arc<Core>);

impl Work for Statement {
    type Item = (Uuid, SqlBuf);
    type Answer = Rows;
    const NAME: &'static str = "statement";
    /// Each locks rows of its job until all are done.
    const ITEMS_MAX: usize = 64;
    /// Two could wait for each other's budgets.
    const LANES: usize = 1;

    fn bytes(item: &(Uuid, SqlBuf)) -> usize {
        let params = item.1.params().iter().flatten();
        params.map(String::len).sum()
    }

    async fn run(&self, items: &[(Uuid, SqlBuf)]) -> Result<Vec<Rows>> {
        // Jobs are locked in the order of their ids, here as everywhere.
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|n| items.get(*n).map(|(job, _)| *job));
        let statements = order.iter().filter_map(|n| items.get(*n));
        let statements = statements.map(|(_, statement)| statement.clone()).collect();
        let rows = self.0.store.run(statements).await?;
        if rows.len() != items.len() {
            return Err(JobsError::odd("a result for each statement"));
        }
        let jobs = items.iter().map(|(job, _)| *job);
        self.0.news.streams(self.0.streams_of(jobs));
        self.0.nudges.number.notify_one();
        Ok(in_order(order.into_iter().zip(rows).collect()))
    }
}
