//! Submissions, and those who wait for jobs and are taken along.

use std::collections::HashMap;
use std::sync::Arc;

use super::in_order;
use crate::batch::Work;
use crate::core::Core;
use crate::error::Result;
use crate::spec::Spec;
use crate::types::{Claimed, Submitted};
use crate::wake::{Ready, TakenAlong};

/// Sleepers taken along by one batch: each is one more statement before
/// everybody's answer.
const ALONG_MAX: usize = 4;

/// Submissions.
pub(crate) struct Submit(Arc<Core>);

impl Submit {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::clone(core))
    }

    /// Sleepers who can use what is about to be submitted.
    fn along(&self, items: &[Vec<Spec>]) -> Vec<TakenAlong> {
        let mut counts: HashMap<Ready, usize> = HashMap::new();
        for ready in items.iter().flatten().filter_map(|one| self.0.ready(one)) {
            *counts.entry(ready).or_default() += 1;
        }
        let mut along = Vec::new();
        for (ready, mut count) in counts {
            while count > 0 && along.len() < ALONG_MAX {
                let Some(one) = self.0.wake.take_along(&ready, count) else {
                    break;
                };
                count = count.saturating_sub(one.most);
                along.push(one);
            }
        }
        along
    }

    /// Makes the submissions, and claims for who was taken along.
    async fn make(
        &self,
        submissions: &[Vec<&Spec>],
        along: Vec<TakenAlong>,
    ) -> Result<(Vec<Vec<Submitted>>, Vec<Claimed>)> {
        let store = &self.0.store;
        if along.is_empty() {
            return Ok((store.submit(submissions).await?, Vec::new()));
        }
        let asked: Vec<_> = along
            .iter()
            .map(|one| (Arc::clone(&one.wants), one.most))
            .collect();
        let (made, claimed) = match store.submit_and_claim(submissions, &asked).await {
            Ok(both) => both,
            // Refused, so nothing has happened: who was taken along must not
            // be why a submission is refused.
            Err(error) if error.is_about_one() => {
                drop(along);
                return Ok((store.submit(submissions).await?, Vec::new()));
            }
            Err(error) => return Err(error),
        };
        self.0.remember(claimed.iter().flatten());
        let streams = claimed.iter().flatten().filter_map(|job| job.stream_id);
        self.0.news.streams(streams);
        let all = claimed.iter().flatten().cloned().collect();
        for (one, jobs) in along.into_iter().zip(claimed) {
            one.hand(jobs);
        }
        Ok((made, all))
    }
}

impl Work for Submit {
    type Item = Vec<Spec>;
    type Answer = Vec<Submitted>;
    const NAME: &'static str = "submit";
    /// What 64 clients ask for while a commit is on its way, and some more.
    const ITEMS_MAX: usize = 256;

    fn bytes(item: &Vec<Spec>) -> usize {
        item.iter().map(Spec::bytes).sum()
    }

    async fn run(&self, items: &[Vec<Spec>]) -> Result<Vec<Vec<Submitted>>> {
        // Single jobs become one call; what has names of its own keeps them.
        let (mut singles, mut trees) = (Vec::new(), Vec::new());
        for (n, item) in items.iter().enumerate() {
            match item.as_slice() {
                [one] if one.reference.is_none() => singles.push((n, one)),
                many => trees.push((n, many)),
            }
        }
        let mut submissions = Vec::with_capacity(trees.len() + 1);
        if !singles.is_empty() {
            submissions.push(singles.iter().map(|(_, spec)| *spec).collect::<Vec<_>>());
        }
        submissions.extend(trees.iter().map(|(_, specs)| specs.iter().collect()));
        let (made, claimed) = self.make(&submissions, self.along(items)).await?;
        let mut made = made.into_iter();
        let mut answers = Vec::with_capacity(items.len());
        if !singles.is_empty() {
            let made = made.next().unwrap_or_default();
            let numbers = singles.iter().map(|(n, _)| *n);
            answers.extend(numbers.zip(made.into_iter().map(|job| vec![job])));
        }
        answers.extend(trees.iter().map(|(n, _)| *n).zip(made));
        let answers = in_order(answers);
        let jobs = items.iter().flatten().zip(answers.iter().flatten());
        self.0.submitted(jobs, None, &claimed);
        Ok(answers)
    }
}
