//! What is submitted: random trees with random dependencies, and what handlers
//! of such jobs do.

use jobs::model::{Link, OnChildFailure, Spec, When};

use crate::dice::{Dice, mix};

/// The time, and what a short while is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: u64,
    pub(crate) unit: u64,
}

impl Clock {
    pub(crate) fn in_units(self, units: usize) -> u64 {
        self.now + self.unit * units as u64
    }
}

/// How much may happen in a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing whose outcome hangs on who is first: no user's will, no
    /// deadlines, no siblings that fall with each other.
    Quiet,
    /// Everything.
    Wild,
}

/// One thing a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// A paid step of this key.
    Step(u32, Provider),
    /// Children, by this number.
    Spawn(u32),
    /// Leaves until its children are over, under this key.
    AwaitChildren(u32),
    /// Leaves for so long.
    Sleep(u32, u64),
    /// Leaves until it hears a word, under the key of the same number.
    Listen(u32),
}

/// What the provider of a step can do against being asked twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// It knows tokens: the same one twice is one effect.
    Token,
    /// It has handles that can be asked about.
    Handle,
    /// Nothing.
    Plain,
}

/// How a handler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It completes once it has failed so often.
    After(u32),
    /// It fails whenever it comes to its end.
    Never,
    /// It fails and says that trying again is no use.
    Hopeless,
}

/// A handler.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) ops: Vec<Op>,
    pub(crate) ending: Ending,
}

impl Script {
    /// What the handler of the job with this label does: the same in every life
    /// of one seed, however often it is disturbed.
    pub(crate) fn of(seed: u64, label: u32, depth: u32) -> Self {
        let mut dice = Dice::new(mix(seed, u64::from(label)));
        let mut ops = Vec::new();
        for key in 0..u32::try_from(dice.below(4)).unwrap() {
            let op = match dice.below(10) {
                0 if depth < 3 => {
                    ops.push(Op::Spawn(key));
                    Op::AwaitChildren(key)
                }
                1 if depth < 3 => Op::Spawn(key),
                2 => Op::Sleep(key, 500 + dice.below(5_000) as u64),
                3 => Op::Listen(key),
                4 | 5 => Op::Step(key, Provider::Handle),
                6 | 7 => Op::Step(key, Provider::Plain),
                _ => Op::Step(key, Provider::Token),
            };
            ops.push(op);
        }
        let ending = match dice.below(12) {
            0 => Ending::Never,
            1 => Ending::Hopeless,
            2 | 3 => Ending::After(1),
            _ => Ending::After(0),
        };
        Self { ops, ending }
    }
}

/// What the handler with this label submits below itself.
pub(crate) fn spawned(seed: u64, label: u32, key: u32, mood: Mood, clock: Clock) -> Vec<Spec> {
    let salt = mix(u64::from(label), u64::from(key));
    let mut dice = Dice::new(mix(seed, salt));
    let size = 1 + dice.below(3);
    tree(
        &mut dice,
        u32::try_from(salt >> 40).unwrap(),
        size,
        mood,
        clock,
    )
}

/// A submission of `size` jobs whose labels follow from `base`. The clock is
/// for delays and deadlines.
pub(crate) fn tree(dice: &mut Dice, base: u32, size: usize, mood: Mood, clock: Clock) -> Vec<Spec> {
    let mut specs: Vec<Spec> = Vec::with_capacity(size);
    for place in 0..size {
        let number = base
            .wrapping_mul(31)
            .wrapping_add(u32::try_from(place).unwrap());
        let mut spec = Spec {
            is_group: place + 1 < size && dice.percent(25),
            owner: u32::try_from(dice.below(2)).unwrap(),
            queue: u32::try_from(dice.below(2)).unwrap(),
            priority: i16::try_from(dice.below(3)).unwrap(),
            max_attempts: 1 + u32::try_from(dice.below(3)).unwrap(),
            on_child_failure: failure(dice, mood),
            idempotency: Some((number, number)),
            events: dice.percent(90),
            ..Spec::default()
        };
        if place > 0 && dice.percent(60) {
            let parent = dice.below(place);
            // Whoever is called off takes its children along, at a moment that
            // hangs on who is first.
            if mood == Mood::Wild || specs[parent].depends_on.is_empty() {
                spec.parent = Some(Link::New(parent));
            }
        }
        if !spec.is_group {
            gates(dice, &mut spec, &specs, mood, clock);
        }
        if dice.percent(10) {
            spec.width = Some(1 + dice.below(2));
        }
        specs.push(spec);
    }
    cut_circles(&mut specs);
    // One owner for all of a tree, as rows inherit it.
    let owner = specs.first().map_or(0, |spec| spec.owner);
    for spec in &mut specs {
        spec.owner = owner;
    }
    specs
}

fn failure(dice: &mut Dice, mood: Mood) -> OnChildFailure {
    match dice.below(3) {
        0 if mood == Mood::Wild => OnChildFailure::Fail,
        1 => OnChildFailure::Ignore,
        _ => OnChildFailure::Continue,
    }
}

/// What a job must wait for before it starts.
fn gates(dice: &mut Dice, spec: &mut Spec, before: &[Spec], mood: Mood, clock: Clock) {
    for other in 0..before.len() {
        if dice.percent(25) && !is_above(before, spec.parent, other) {
            let when = match dice.below(6) {
                0 => When::Failure,
                1 | 2 => When::Terminal,
                _ => When::Success,
            };
            spec.depends_on.push((Link::New(other), when));
        }
    }
    if spec.depends_on.len() > 1 && dice.percent(30) {
        spec.need = Some(1 + dice.below(spec.depends_on.len()));
    }
    if dice.percent(10) {
        spec.run_at = Some(clock.in_units(1 + dice.below(20)));
    }
    if dice.percent(20) {
        spec.limit_keys = vec![u32::try_from(dice.below(2)).unwrap()];
    }
    if mood == Mood::Wild && dice.percent(5) {
        spec.deadline_at = Some(clock.in_units(5 + dice.below(60)));
    }
    if mood == Mood::Wild && dice.percent(5) {
        spec.time_limit = Some(clock.unit * (5 + dice.below(30)) as u64);
    }
}

/// Takes dependencies away until nobody waits for ever. A handler is thought
/// to wait for its children here, as most of them do.
fn cut_circles(specs: &mut [Spec]) {
    loop {
        let mut over = vec![false; specs.len()];
        for _ in 0..specs.len() {
            for place in 0..specs.len() {
                let on = |(link, _): &(Link, When)| matches!(link, Link::New(of) if !over[*of]);
                let mut children = specs.iter().zip(&over);
                let open =
                    children.any(|(spec, over)| spec.parent == Some(Link::New(place)) && !over);
                let waits = open || specs[place].depends_on.iter().any(on);
                over[place] = !waits;
            }
        }
        let stuck =
            (0..specs.len()).find(|place| !over[*place] && !specs[*place].depends_on.is_empty());
        let Some(stuck) = stuck else { return };
        (specs[stuck].depends_on, specs[stuck].need) = (Vec::new(), None);
    }
}

fn is_above(specs: &[Spec], parent: Option<Link>, other: usize) -> bool {
    let mut at = parent;
    while let Some(Link::New(place)) = at {
        if place == other {
            return true;
        }
        at = specs[place].parent;
    }
    false
}
