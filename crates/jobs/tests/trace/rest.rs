//! What is asked of a world that has come to rest.

use std::collections::BTreeMap;

use jobs::model::{State, StepState};

use crate::simulate::Life;

/// What a life comes to, by label.
pub(crate) type Fate = BTreeMap<u32, (State, Option<&'static str>, u32, Vec<(u32, Option<u64>)>)>;

impl Life {
    /// What must be when nothing can happen any more.
    pub(crate) fn verify(&self) {
        for job in &self.world.jobs {
            assert!(job.state.is_over(), "{job:?} never ended");
            let times = self.completed.get(&job.id).copied().unwrap_or(0);
            if !job.is_group && !self.retried {
                assert_eq!(times, usize::from(job.state == State::Completed), "{job:?}");
            }
        }
        assert_eq!(self.world.arrivals, []);
        assert!(self.world.slots.is_empty());
        for stream in self.world.streams.values() {
            assert!(stream.unnumbered.is_empty());
        }
        for ((label, key), times) in &self.shop.effects {
            let doubts = self.shop.doubts.get(&(*label, *key)).copied().unwrap_or(0);
            assert!(
                *times <= 1 + doubts,
                "step {key} of {label}: {times} effects, {doubts} doubts"
            );
        }
        for ((job, key), step) in &self.world.steps {
            if step.state == StepState::Done && step.until.is_none() {
                let effects = self.shop.effects.get(&(self.label(*job), *key));
                assert!(effects.is_some_and(|times| *times > 0));
            }
        }
    }

    pub(crate) fn was_poisoned(&self) -> bool {
        self.world
            .jobs
            .iter()
            .any(|job| job.error == Some("poisoned"))
    }

    pub(crate) fn fate(&self) -> Fate {
        let jobs = self.world.jobs.iter();
        jobs.map(|job| {
            let steps = self.world.steps.range((job.id, 0)..=(job.id, u32::MAX));
            let done = steps.filter(|(_, step)| step.state == StepState::Done);
            let done = done.map(|((_, key), step)| (*key, step.result)).collect();
            (
                self.label(job.id),
                (job.state, job.error, job.failures, done),
            )
        })
        .collect()
    }

    pub(crate) fn events(&self) -> usize {
        self.events
    }
}
