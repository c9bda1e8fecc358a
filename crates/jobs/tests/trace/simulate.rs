//! A life without a database: workers that die anywhere, messages that are
//! lost, repeated and late, users who change their minds, and a provider that
//! counts. In the end everything is well again, and all must come to rest.

use std::collections::{BTreeMap, BTreeSet};

use jobs::model::{
    Answer, Busy, Event, Id, Refusal, Spec, State, StepState, Time, Until, Verdict, Waiting, World,
    problems, step,
};

use crate::dice::{Dice, mix};
use crate::shapes::{Clock, Ending, Mood, Op, Provider, Script, spawned, tree};
use crate::shop::Shop;

/// How long a claim lasts.
const LEASE: Time = 10_000;
/// Ticks of disorder.
const TICKS: usize = 200;
/// Rounds after which what is not over will never be.
const HEALING_MAX: usize = 3_000;
/// The limits of both keys.
const SLOTS: usize = 2;

/// Where a worker is within an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Start,
    /// It may call, with this token.
    Call(u64),
    /// It has a handle, and must say so.
    Tell(u64),
    /// It has a handle and asks.
    Ask(u64),
    /// It has the result, and must say so.
    Save(u64),
}

#[derive(Debug, Clone)]
struct Hand {
    job: Id,
    epoch: u32,
    script: Script,
    failures: u32,
    /// Suspensions that the claim said are over.
    done: BTreeSet<u32>,
    at: usize,
    within: Within,
}

pub(crate) struct Life {
    seed: u64,
    mood: Mood,
    faults: bool,
    pub(crate) world: World,
    now: Time,
    dice: Dice,
    hands: Vec<Option<Hand>>,
    late: Vec<Event>,
    pub(crate) shop: Shop,
    /// How often a job was told that it completed.
    pub(crate) completed: BTreeMap<Id, usize>,
    pub(crate) retried: bool,
    pub(crate) events: usize,
}

impl Life {
    pub(crate) fn new(seed: u64, mood: Mood, faults: bool) -> Self {
        let world = World {
            limits: BTreeMap::from([(0, SLOTS), (1, 1)]),
            ..World::default()
        };
        Self {
            seed,
            mood,
            faults,
            world,
            now: 1_000,
            dice: Dice::new(mix(seed, u64::from(faults))),
            hands: vec![None; 3],
            late: Vec::new(),
            shop: Shop::default(),
            completed: BTreeMap::new(),
            retried: false,
            events: 0,
        }
    }

    /// Lives it to the end.
    pub(crate) fn live(mut self) -> Self {
        let mut shape = Dice::new(self.seed);
        let size = 1 + shape.below(8);
        let specs = tree(&mut shape, 1, size, self.mood, self.clock());
        self.submit(specs);
        if self.faults {
            for _ in 0..TICKS {
                self.tick();
            }
        }
        self.heal();
        self
    }

    fn clock(&self) -> Clock {
        Clock {
            now: self.now,
            unit: 1_000,
        }
    }

    fn submit(&mut self, mut specs: Vec<Spec>) {
        let event = Event::Submit(specs.clone());
        if self.happen(&event) == Answer::Refused(Refusal::Cycle) {
            for spec in &mut specs {
                (spec.depends_on, spec.need) = (Vec::new(), None);
            }
            let answer = self.happen(&Event::Submit(specs.clone()));
            assert!(matches!(answer, Answer::Submitted(_)), "{answer:?}");
        }
        if self.faults && self.dice.percent(20) {
            self.late.push(Event::Submit(specs));
        }
    }

    /// Lets something happen and looks at the world.
    fn happen(&mut self, event: &Event) -> Answer {
        let busy = self.busy();
        self.events += 1;
        let before = self.events.is_multiple_of(16).then(|| self.world.clone());
        let answer = step(&mut self.world, event, self.now, &busy).answer;
        if let (Some(before), Answer::Refused(_)) = (before, &answer)
            && !matches!(event, Event::StepEnd(..))
        {
            assert_eq!(
                before, self.world,
                "{event:?} was refused and did something"
            );
        }
        let found = problems(&self.world);
        assert!(
            found.is_empty(),
            "{found:?} after {event:?} in {:#?}",
            self.world
        );
        if let (Event::Complete(job, _), Answer::Finished(State::Completed)) = (event, &answer) {
            *self.completed.entry(*job).or_default() += 1;
        }
        answer
    }

    /// What others have locked just now.
    fn busy(&mut self) -> Busy {
        let mut busy = Busy::default();
        if self.faults && self.dice.percent(30) {
            let size = self.world.jobs.len();
            busy.jobs
                .extend((0..size).filter(|_| self.dice.percent(30)));
            busy.streams
                .extend((0..size).filter(|_| self.dice.percent(30)));
        }
        busy
    }

    /// A message to the engine, as networks carry it. Nothing if the sender
    /// never hears the answer.
    fn send(&mut self, event: Event) -> Option<Answer> {
        if !self.faults {
            return Some(self.happen(&event));
        }
        match self.dice.below(20) {
            0 => None,
            1 => {
                self.happen(&event);
                None
            }
            2 => {
                self.late.push(event);
                None
            }
            3 => {
                self.late.push(event.clone());
                Some(self.happen(&event))
            }
            4 => {
                self.happen(&event);
                Some(self.happen(&event))
            }
            _ => Some(self.happen(&event)),
        }
    }

    fn tick(&mut self) {
        match self.dice.below(24) {
            0 | 1 => self.now += 200 + self.dice.below(3_000) as u64,
            2 if self.dice.percent(20) => self.now += LEASE + 1,
            3 => self.duties(),
            4 if !self.late.is_empty() => {
                let at = self.dice.below(self.late.len());
                let event = self.late.swap_remove(at);
                self.happen(&event);
            }
            5 => self.speak(),
            6 if self.mood == Mood::Wild => self.will(),
            _ => {
                let hand = self.dice.below(self.hands.len());
                self.work(hand);
            }
        }
    }

    /// What nodes do every second, in any order, now and then.
    fn duties(&mut self) {
        for duty in [Event::Rescue, Event::Promote, Event::Arrive, Event::Number] {
            if !self.faults || self.dice.percent(70) {
                self.happen(&duty);
            }
        }
        self.grant();
    }

    fn grant(&mut self) {
        for id in 0..self.world.jobs.len() {
            let job = self.world.job(id).unwrap();
            if job.waiting == Some(Waiting::Limit) && self.world.has_room(job) {
                self.happen(&Event::Grant(id));
            }
        }
    }

    /// Somebody says what a job listens for, with a number of its own.
    fn speak(&mut self) {
        let waits = |id: Id| {
            self.world
                .job(id)
                .is_some_and(|job| job.waiting == Some(Waiting::Signal))
        };
        let listeners: Vec<Id> = (0..self.world.jobs.len()).filter(|id| waits(*id)).collect();
        for job in listeners {
            let key = self.world.job(job).unwrap().waits_in.unwrap();
            self.send(Event::Signal(job, key, 7, Some(key)));
        }
    }

    /// A user's will, about any job.
    fn will(&mut self) {
        let job = self.dice.below(self.world.jobs.len());
        let queue = u32::try_from(self.dice.below(2)).unwrap();
        let event = match self.dice.below(12) {
            0 => Event::Cancel(job),
            1..=3 => Event::Pause(job),
            4..=7 => Event::Resume(job),
            8 | 9 => {
                self.retried = true;
                Event::Retry(job)
            }
            10 => Event::PauseQueue(queue, true),
            _ => Event::PauseQueue(queue, false),
        };
        self.send(event);
    }

    /// One move of a worker.
    fn work(&mut self, hand: usize) {
        let Some(mut holding) = self.hands[hand].take() else {
            self.hands[hand] = self.claim(hand);
            return;
        };
        if self.faults && self.dice.percent(4) {
            // It dies, and forgets.
            return;
        }
        if self.faults && self.dice.percent(10) {
            let beat = Event::Heartbeat(holding.job, holding.epoch, LEASE);
            let left = matches!(self.send(beat), Some(Answer::Leave(_)));
            self.hands[hand] = (!left).then_some(holding);
            return;
        }
        if self.advance(&mut holding) {
            self.hands[hand] = Some(holding);
        }
    }

    fn claim(&mut self, hand: usize) -> Option<Hand> {
        let queue = u32::try_from(self.dice.below(2)).unwrap();
        let best = self.world.ready(queue).map(|job| job.priority).max()?;
        let ready = self.world.ready(queue).filter(|job| job.priority == best);
        let ready: Vec<Id> = ready.map(|job| job.id).collect();
        let job = self.dice.pick(&ready)?;
        if !self.retried {
            self.deserves(job);
        }
        let worker = u32::try_from(hand).unwrap();
        // A claim is never sent twice: the second one is another claim.
        let lost = self.faults && self.dice.percent(4);
        let Answer::Claimed(epoch) = self.happen(&Event::Claim(job, worker, LEASE)) else {
            panic!("a ready job can be claimed");
        };
        let claimed = self.world.job(job).unwrap();
        let steps = self.world.steps.range((job, 0)..=(job, u32::MAX));
        let done = steps.filter(|(_, step)| step.state == StepState::Done && step.until.is_some());
        let holding = Hand {
            job,
            epoch,
            script: Script::of(self.seed, claimed.idempotency.unwrap().0, claimed.depth),
            failures: claimed.failures,
            done: done.map(|((_, key), _)| *key).collect(),
            at: 0,
            within: Within::Start,
        };
        (!lost).then_some(holding)
    }

    /// I4: nothing starts before what it waits for.
    fn deserves(&self, id: Id) {
        let job = self.world.job(id).unwrap();
        let met = job.dependencies.iter().filter(|edge| {
            let on = self.world.job(edge.on).unwrap();
            on.state.is_over() && edge.when.is_met_by(on.state)
        });
        assert!(
            i64::try_from(met.count()).unwrap() >= job.need,
            "{job:?} started too early"
        );
    }

    /// The next move of a handler; false when it has nothing more to do with
    /// the job.
    fn advance(&mut self, hand: &mut Hand) -> bool {
        let (job, epoch) = (hand.job, hand.epoch);
        let label = self.label(job);
        let Some(op) = hand.script.ops.get(hand.at).copied() else {
            return self.finish(hand);
        };
        let (key, until) = match op {
            Op::Step(key, provider) => return self.pay(hand, key, provider),
            Op::Spawn(key) => {
                let specs = spawned(self.seed, label, key, self.mood, self.clock());
                return match self.send(Event::Spawn(job, epoch, specs)) {
                    Some(Answer::Refused(Refusal::Stale)) => false,
                    Some(_) => {
                        hand.at += 1;
                        true
                    }
                    None => true,
                };
            }
            Op::AwaitChildren(key) => (key + 100, Until::Children),
            Op::Sleep(key, time) => (key + 100, Until::Timer(self.now + time)),
            Op::Listen(key) => (key + 100, Until::Signal(key + 100)),
        };
        if hand.done.contains(&key) {
            hand.at += 1;
            return true;
        }
        match self.send(Event::Suspend(job, epoch, key, until)) {
            Some(Answer::Ready) => {
                hand.at += 1;
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    pub(crate) fn label(&self, job: Id) -> u32 {
        self.world.job(job).unwrap().idempotency.unwrap().0
    }

    /// A paid step, one move at a time, so that death comes between any two.
    fn pay(&mut self, hand: &mut Hand, key: u32, provider: Provider) -> bool {
        let (job, epoch, label) = (hand.job, hand.epoch, self.label(hand.job));
        let by_token = provider == Provider::Token;
        match hand.within {
            Within::Start => match self.send(Event::StepBegin(job, epoch, key, (1, label))) {
                Some(Answer::Step(Verdict::Hit(_))) => hand.at += 1,
                Some(Answer::Step(Verdict::Run(token))) => hand.within = Within::Call(token),
                Some(Answer::Step(Verdict::Resume(handle, _))) => hand.within = Within::Ask(handle),
                Some(Answer::Step(Verdict::InDoubt(token))) => {
                    if !by_token {
                        *self.shop.doubts.entry((label, key)).or_default() += 1;
                    }
                    hand.within = Within::Call(token);
                }
                Some(Answer::Refused(Refusal::Stale)) => return false,
                Some(other) => panic!("a step was told {other:?}"),
                None => {
                    // Who does not know whether it may begin asks again, and
                    // is told to run what it has begun: it has called nobody.
                }
            },
            Within::Call(token) => {
                let result = self.shop.call(label, key, by_token.then_some(token));
                hand.within = match provider {
                    Provider::Handle => Within::Tell(result),
                    Provider::Token | Provider::Plain => Within::Save(result),
                };
            }
            Within::Tell(handle) => match self.send(Event::StepHandle(job, epoch, key, handle)) {
                Some(Answer::Refused(_)) => return false,
                Some(_) => hand.within = Within::Ask(handle),
                None => {}
            },
            Within::Ask(handle) => hand.within = Within::Save(handle),
            Within::Save(result) => match self.send(Event::StepEnd(job, epoch, key, result)) {
                Some(Answer::Refused(_)) => return false,
                Some(_) => {
                    hand.at += 1;
                    hand.within = Within::Start;
                }
                None => {}
            },
        }
        true
    }

    fn finish(&mut self, hand: &Hand) -> bool {
        let (job, epoch) = (hand.job, hand.epoch);
        let fail = |retryable, luck| Event::Fail {
            job,
            epoch,
            retryable,
            delay: None,
            luck,
        };
        let luck = self.dice.part();
        let event = match hand.script.ending {
            Ending::After(times) if hand.failures >= times => Event::Complete(job, epoch),
            Ending::After(_) | Ending::Never => fail(true, luck),
            Ending::Hopeless => fail(false, luck),
        };
        if self.faults && self.dice.percent(5) {
            self.send(Event::Release(job, epoch));
            return false;
        }
        // Who hears nothing says it again.
        self.send(event).is_none()
    }

    /// All is well: everyone alive, every message arrives, users let go.
    fn heal(&mut self) {
        self.faults = false;
        let late = std::mem::take(&mut self.late);
        for event in &late {
            self.happen(event);
        }
        for queue in 0..2 {
            self.happen(&Event::PauseQueue(queue, false));
        }
        for _ in 0..HEALING_MAX {
            let jobs = self.world.jobs.iter();
            if jobs.clone().all(|job| job.state.is_over()) && self.hands.iter().all(Option::is_none)
            {
                break;
            }
            let paused = jobs.filter(|job| job.state == State::Paused);
            let paused: Vec<Id> = paused.map(|job| job.id).collect();
            for job in paused {
                self.happen(&Event::Resume(job));
            }
            self.duties();
            self.speak();
            for hand in 0..self.hands.len() {
                self.work(hand);
                let mut moves = 0;
                while self.hands[hand].is_some() && moves < 40 {
                    self.work(hand);
                    moves += 1;
                }
            }
            self.now += 1_000;
        }
        self.happen(&Event::Arrive);
        self.happen(&Event::Number);
        self.verify();
    }
}
