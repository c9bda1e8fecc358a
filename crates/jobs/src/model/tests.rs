//! What durable work means, by example. Everything else is in the random lives
//! and traces of `tests/trace`.

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use super::{
    Answer, Busy, Event, Id, Link, Refusal, Spec, State, Verdict, Waiting, When, World, problems,
    step,
};

/// Long enough for everything here.
const LEASE: u64 = 10_000;

struct Scene {
    world: World,
    busy: Busy,
    now: u64,
}

impl Scene {
    fn of(specs: Vec<Spec>) -> Self {
        let mut scene = Self {
            world: World::default(),
            busy: Busy::default(),
            now: 1_000,
        };
        let made = scene.let_happen(&Event::Submit(specs));
        assert!(matches!(made, Answer::Submitted(_)), "{made:?}");
        scene
    }

    fn let_happen(&mut self, event: &Event) -> Answer {
        let outcome = step(&mut self.world, event, self.now, &self.busy);
        assert_eq!(problems(&self.world), []);
        outcome.answer
    }

    fn states(&self) -> Vec<&'static str> {
        let jobs = self.world.jobs.iter();
        jobs.map(|job| job.waiting.map_or(job.state.word(), Waiting::word))
            .collect()
    }

    fn claim(&mut self, job: Id) -> u32 {
        match self.let_happen(&Event::Claim(job, 0, LEASE)) {
            Answer::Claimed(epoch) => epoch,
            other => panic!("{job}: {other:?}"),
        }
    }

    fn complete(&mut self, job: Id) {
        let epoch = self.claim(job);
        self.let_happen(&Event::Complete(job, epoch));
    }

    fn fail(&mut self, job: Id) {
        let epoch = self.claim(job);
        self.let_happen(&Event::Fail {
            job,
            epoch,
            retryable: false,
            delay: None,
            luck: 0.5,
        });
    }
}

fn group() -> Spec {
    Spec {
        is_group: true,
        ..Spec::default()
    }
}

fn child(on: &[usize]) -> Spec {
    Spec {
        parent: Some(Link::New(0)),
        depends_on: on
            .iter()
            .map(|on| (Link::New(*on), When::Success))
            .collect(),
        ..Spec::default()
    }
}

#[test]
fn a_chain_in_a_group_falls_and_rises_together() {
    let mut scene = Scene::of(vec![
        group(),
        child(&[]),
        child(&[1]),
        child(&[2]),
        child(&[]),
    ]);
    scene.complete(4);
    scene.fail(1);
    assert_eq!(
        scene.states(),
        ["failed", "failed", "cancelled", "cancelled", "completed"]
    );
    scene.let_happen(&Event::Retry(1));
    assert_eq!(
        scene.states(),
        [
            "children",
            "queued",
            "dependencies",
            "dependencies",
            "completed"
        ]
    );
    for job in [1, 2, 3] {
        scene.complete(job);
    }
    assert_eq!(scene.world.jobs[0].state, State::Completed);
}

#[test]
fn only_the_last_claim_counts() {
    let mut scene = Scene::of(vec![Spec::default()]);
    let first = scene.claim(0);
    scene.now += LEASE;
    scene.let_happen(&Event::Rescue);
    let second = scene.claim(0);
    let stale = Answer::Refused(Refusal::Stale);
    assert_eq!(scene.let_happen(&Event::Complete(0, first)), stale);
    assert_eq!(
        scene.let_happen(&Event::Heartbeat(0, first, LEASE)),
        Answer::Leave("lost")
    );
    let done = Answer::Finished(State::Completed);
    assert_eq!(scene.let_happen(&Event::Complete(0, second)), done);
    assert_eq!(scene.world.jobs[0].crashes, 1);
}

#[test]
fn what_was_paid_for_is_kept_whoever_brings_it() {
    let mut scene = Scene::of(vec![Spec::default()]);
    let first = scene.claim(0);
    let what = (1, 7);
    let begun = scene.let_happen(&Event::StepBegin(0, first, 3, what));
    let Answer::Step(Verdict::Run(token)) = begun else {
        panic!("{begun:?}");
    };
    scene.now += LEASE;
    scene.let_happen(&Event::Rescue);
    let second = scene.claim(0);
    // Nobody knows, however often one asks.
    for _ in 0..2 {
        let doubt = scene.let_happen(&Event::StepBegin(0, second, 3, what));
        assert_eq!(doubt, Answer::Step(Verdict::InDoubt(token)));
    }
    scene.let_happen(&Event::StepEnd(0, first, 3, 42));
    let hit = scene.let_happen(&Event::StepBegin(0, second, 3, what));
    assert_eq!(hit, Answer::Step(Verdict::Hit(42)));
    assert!(scene.world.steps[&(0, 3)].late);
}

#[test]
fn news_waits_for_a_parent_that_somebody_has() {
    let mut scene = Scene::of(vec![group(), child(&[])]);
    scene.busy.jobs.insert(0);
    scene.complete(1);
    assert_eq!(scene.states(), ["children", "completed"]);
    assert_eq!(scene.world.arrivals.len(), 1);
    scene.busy.jobs.clear();
    scene.let_happen(&Event::Arrive);
    assert_eq!(scene.states(), ["completed", "completed"]);
}

#[test]
fn what_comes_below_something_held_is_held_at_every_level() {
    let mut scene = Scene::of(vec![group(), child(&[])]);
    scene.let_happen(&Event::Pause(0));
    let inner = Spec {
        parent: Some(Link::Old(0)),
        ..group()
    };
    scene.let_happen(&Event::Submit(vec![inner, child(&[])]));
    assert_eq!(scene.states(), ["paused"; 4]);
    scene.let_happen(&Event::Resume(0));
    assert_eq!(scene.states(), ["children", "queued", "children", "queued"]);
}
