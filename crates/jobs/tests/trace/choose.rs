//! What happens next in a trace: something that can, or something late, or
//! something again.

use std::collections::BTreeSet;

use jobs::model::{Busy, Event, Id, Link, Refusal, Spec, Time, Until, When, step};

use crate::both::{Both, Checked, UNIT};
use crate::dice::Dice;
use crate::shapes::{Clock, Mood, tree};

/// How long claims last, in units.
const LEASE: Time = 10;
/// The most jobs of one trace.
const JOBS_MAX: usize = 18;

/// Lets the next thing happen to both.
pub(crate) async fn next(both: &mut Both, dice: &mut Dice, again: &mut Option<Event>) -> Checked {
    if both.world.jobs.is_empty() {
        return submit(both, dice).await;
    }
    match dice.below(30) {
        0..=2 if both.world.jobs.len() < JOBS_MAX => submit(both, dice).await,
        3..=7 => {
            let queue = u32::try_from(dice.below(2)).unwrap();
            let most = 1 + dice.below(3);
            both.claim(queue, most, LEASE * UNIT).await
        }
        8 | 9 => {
            both.pass(UNIT * (1 + dice.below(8)) as u64).await?;
            both.look().await
        }
        10 => happen(both, dice, Event::Rescue).await,
        11 | 12 => happen(both, dice, Event::Promote).await,
        13 => match again.clone() {
            Some(event) => both.happen(&event, &Busy::default()).await,
            None => Ok(()),
        },
        14..=16 if both.able.control => {
            let event = will(both, dice);
            *again = Some(event.clone());
            both.happen(&event, &Busy::default()).await
        }
        17 if both.able.steps => {
            let job = dice.below(both.world.jobs.len());
            let name = u32::try_from(dice.below(2)).unwrap();
            let event = Event::Signal(job, name, 7, Some(u32::try_from(dice.below(3)).unwrap()));
            both.happen(&event, &Busy::default()).await
        }
        _ => {
            let event = work(both, dice);
            *again = Some(event.clone());
            happen(both, dice, event).await
        }
    }
}

/// Something that skips what others have locked, perhaps while they have it.
async fn happen(both: &mut Both, dice: &mut Dice, event: Event) -> Checked {
    let mut busy = Busy::default();
    let skips = matches!(
        event,
        Event::Complete(..) | Event::Fail { .. } | Event::Rescue | Event::Promote
    );
    if skips && dice.percent(30) {
        let named: BTreeSet<Id> = match &event {
            Event::Complete(job, _) | Event::Fail { job, .. } => [*job].into(),
            _ => BTreeSet::new(),
        };
        for id in 0..both.world.jobs.len() {
            if dice.percent(30) && !named.contains(&id) {
                busy.jobs.insert(id);
            }
            if dice.percent(20) && both.world.streams.contains_key(&id) {
                busy.streams.insert(id);
            }
        }
    }
    both.happen(&event, &busy).await
}

/// What a user does.
fn will(both: &Both, dice: &mut Dice) -> Event {
    let job = dice.below(both.world.jobs.len());
    let queue = u32::try_from(dice.below(2)).unwrap();
    match dice.below(12) {
        0 | 1 => Event::Cancel(job),
        2..=4 => Event::Pause(job),
        5..=7 => Event::Resume(job),
        8..=10 => Event::Retry(job),
        _ => Event::PauseQueue(queue, dice.percent(30)),
    }
}

/// What a worker says: mostly of a job that it has, sometimes of one that it
/// lost.
fn work(both: &Both, dice: &mut Dice) -> Event {
    let jobs = both.world.jobs.iter();
    let held: Vec<Id> = jobs
        .filter(|job| job.is_at_work())
        .map(|job| job.id)
        .collect();
    let late = dice.percent(12);
    let any = dice.below(both.world.jobs.len());
    let job = dice.pick(&held).filter(|_| !late).unwrap_or(any);
    let mut epoch = both.world.job(job).unwrap().epoch;
    if dice.percent(8) {
        epoch = epoch.saturating_sub(1);
    }
    let key = u32::try_from(dice.below(3)).unwrap();
    let kinds = if both.able.steps { 20 } else { 12 };
    match dice.below(kinds) {
        0..=4 => Event::Complete(job, epoch),
        5..=7 => Event::Fail {
            job,
            epoch,
            retryable: dice.percent(80),
            delay: Some(UNIT * (1 + dice.below(5)) as u64),
            luck: 0.5,
        },
        8 => Event::Release(job, epoch),
        9 => Event::Heartbeat(job, epoch, LEASE * UNIT),
        10 | 11 => {
            let mut specs = specs(both, dice);
            let owner = both.world.job(job).unwrap().owner;
            for spec in &mut specs {
                spec.owner = owner;
            }
            Event::Spawn(job, epoch, specs)
        }
        12..=14 => Event::StepBegin(
            job,
            epoch,
            key,
            (u32::from(dice.percent(10)), u32::from(dice.percent(10))),
        ),
        15 => Event::StepHandle(job, epoch, key, 5),
        16 | 17 => Event::StepEnd(job, epoch, key, 9),
        18 => Event::StepFail(job, epoch, key),
        _ => {
            let until = match dice.below(3) {
                0 => Until::Children,
                1 => Until::Signal(key.min(1)),
                _ => Until::Timer(both.now + UNIT * (1 + dice.below(6)) as u64),
            };
            Event::Suspend(job, epoch, key + 10, until)
        }
    }
}

/// A submission that the model takes for whole: a circle that chance made is
/// cut, so that both see many trees and few refusals.
fn specs(both: &Both, dice: &mut Dice) -> Vec<Spec> {
    let clock = Clock {
        now: both.now,
        unit: UNIT,
    };
    let base = u32::try_from(dice.below(1 << 20)).unwrap();
    let size = 1 + dice.below(5);
    let mut specs = tree(dice, base, size, Mood::Wild, clock);
    for spec in &mut specs {
        (spec.backoff_base, spec.backoff_max) = (UNIT, 4 * UNIT);
        if !both.able.limits {
            (spec.width, spec.limit_keys) = (None, Vec::new());
        }
    }
    specs
}

async fn submit(both: &mut Both, dice: &mut Dice) -> Checked {
    let mut specs = specs(both, dice);
    if !both.world.jobs.is_empty() && dice.percent(40) {
        let old = dice.below(both.world.jobs.len());
        let owner = both.world.job(old).unwrap().owner;
        for spec in &mut specs {
            spec.owner = owner;
        }
        let root = &mut specs[0];
        if dice.percent(50) || root.is_group {
            root.parent = Some(Link::Old(old));
        } else {
            root.depends_on.push((Link::Old(old), When::Success));
        }
    }
    let event = Event::Submit(specs);
    let mut dry = both.world.clone();
    let answer = step(&mut dry, &event, both.now, &Busy::default()).answer;
    if answer == jobs::model::Answer::Refused(Refusal::Cycle) && dice.percent(80) {
        return Ok(());
    }
    both.happen(&event, &Busy::default()).await
}
