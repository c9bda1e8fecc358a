//! Whether a submission can ever finish, before anything of it is sent.
//!
//! Start with [`check`]. It is pure and takes time in proportion to the text of
//! the submission, so a room can call it on what a client wrote. The functions
//! of `work_engine` refuse the same; asking here first costs no connection and
//! names the jobs that are to blame.
//!
//! Who waits for whom: a job for what it depends on, and a group for its
//! children, with which it ends. A circle of such waits would never end, so
//! what is in a group may not wait for anything that waits for the group. A
//! handler ends when it likes, so its children may wait for it; it must not
//! suspend on them then.

use std::collections::HashMap;

/// The most jobs of one submission: its transaction holds their rows, and who
/// wants more submits below a job that exists.
pub const JOBS_MAX: usize = 10_000;

/// The most dependencies of one submission. Without a limit, two layers of
/// five thousand would be twenty-five million rows.
pub const DEPENDENCIES_MAX: usize = 100_000;

/// How far below its root a job may be; roll-ups climb at most so far.
pub const DEPTH_MAX: u32 = 16;

/// The most jobs that a message names; a longer circle is told in part.
const NAMED_MAX: usize = 12;

/// A job of a submission, as far as others wait for it.
#[derive(Debug, Clone, Default)]
pub struct Node<'a> {
    /// What the rest of the submission calls it.
    pub name: Option<&'a str>,
    /// The parent, when it is of the same submission.
    pub parent: Option<&'a str>,
    /// Dependencies within the submission.
    pub depends_on: Vec<&'a str>,
    /// How many dependencies it has on jobs that exist already.
    pub depends_outside: usize,
    /// How many of all its dependencies must be satisfied; all unless said.
    pub need: Option<usize>,
    /// Whether it has no handler.
    pub is_group: bool,
}

/// What [`check`] found out; both lists are in the order of the submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dag {
    /// How far each job is below its root.
    pub depths: Vec<u32>,
    /// The earliest round in which each job can start, when everything takes
    /// one round: jobs of one level can run beside each other.
    pub levels: Vec<u32>,
}

/// Why a submission is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DagError {
    /// They would wait for each other for ever. The first is not repeated.
    #[error("jobs wait for each other in a circle: {}", circle(.0))]
    Cycle(Vec<String>),
    /// Two jobs have one name.
    #[error("two jobs of this submission are called {0:?}")]
    Twice(String),
    /// A name that no job of the submission has.
    #[error("job {job} refers to {name:?}, which is not in this submission")]
    Unknown {
        /// Who refers.
        job: String,
        /// To what.
        name: String,
    },
    /// The same dependency twice would be counted twice.
    #[error("job {job} depends on {name:?} more than once")]
    Repeated {
        /// Who depends.
        job: String,
        /// On what.
        name: String,
    },
    /// It starts with its submission, so it cannot wait to start.
    #[error("job {0} is a group, which cannot have dependencies")]
    GroupWaits(String),
    /// More satisfied dependencies than there are can never be.
    #[error("job {job} needs {need} of its {of} dependencies")]
    Need {
        /// Who needs.
        job: String,
        /// How many.
        need: usize,
        /// Of how many.
        of: usize,
    },
    /// Too far below the root.
    #[error("job {0} would be more than {DEPTH_MAX} levels below its root")]
    TooDeep(String),
    /// Too many jobs.
    #[error("{0} jobs in one submission; the most is {JOBS_MAX}")]
    TooMany(usize),
    /// Too many dependencies.
    #[error("{0} dependencies in one submission; the most is {DEPENDENCIES_MAX}")]
    TooManyDependencies(usize),
}

impl DagError {
    /// The machine's word for it, as the functions of the database have it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cycle(_) => "cycle",
            Self::Twice(_)
            | Self::Unknown { .. }
            | Self::Repeated { .. }
            | Self::GroupWaits(_)
            | Self::Need { .. } => "invalid",
            Self::TooDeep(_) | Self::TooMany(_) | Self::TooManyDependencies(_) => "over_limit",
        }
    }
}

/// The message's list of a circle, back to where it began.
fn circle(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(NAMED_MAX)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" → ");
    if names.len() > NAMED_MAX {
        text.push_str(" → …");
    }
    if let Some(first) = names.first() {
        text.push_str(" → ");
        text.push_str(first);
    }
    text
}

/// Holds a submission against the rules. `depth` is that of its topmost jobs:
/// 0 for roots, the parent's and one for children of a job that exists.
pub fn check(nodes: &[Node<'_>], depth: u32) -> Result<Dag, DagError> {
    if nodes.len() > JOBS_MAX {
        return Err(DagError::TooMany(nodes.len()));
    }
    let dependencies = nodes.iter().map(|node| node.depends_on.len()).sum();
    if dependencies > DEPENDENCIES_MAX {
        return Err(DagError::TooManyDependencies(dependencies));
    }
    let graph = Graph::read(nodes)?;
    let depths = graph.depths(nodes, depth)?;
    let order = graph
        .order()
        .map_err(|stuck| DagError::Cycle(graph.circle(nodes, &stuck)))?;
    Ok(Dag {
        depths,
        levels: graph.levels(&order),
    })
}

/// What a job is called in messages: its name, or its place from 1.
fn label(nodes: &[Node<'_>], at: usize) -> String {
    match nodes.get(at).and_then(|node| node.name) {
        Some(name) => format!("{name:?}"),
        None => format!("#{}", at + 1),
    }
}

/// The submission with places instead of names. All lists are as long as the
/// submission and hold places in it.
struct Graph {
    parents: Vec<Option<usize>>,
    dependencies: Vec<Vec<usize>>,
    /// Of groups.
    children: Vec<Vec<usize>>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "places come from `read`, which made all lists of one length"
)]
impl Graph {
    fn read(nodes: &[Node<'_>]) -> Result<Self, DagError> {
        let mut places = HashMap::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            if let Some(name) = node.name
                && places.insert(name, at).is_some()
            {
                return Err(DagError::Twice(name.to_owned()));
            }
        }
        let place = |at: usize, name: &str| {
            places.get(name).copied().ok_or_else(|| DagError::Unknown {
                job: label(nodes, at),
                name: name.to_owned(),
            })
        };
        let mut graph = Self {
            parents: Vec::with_capacity(nodes.len()),
            dependencies: Vec::with_capacity(nodes.len()),
            children: vec![Vec::new(); nodes.len()],
        };
        for (at, node) in nodes.iter().enumerate() {
            let parent = node.parent.map(|name| place(at, name)).transpose()?;
            if let Some(group) = parent.filter(|parent| nodes[*parent].is_group) {
                graph.children[group].push(at);
            }
            graph.parents.push(parent);
            let on = node.depends_on.iter().map(|name| place(at, name));
            let on = on.collect::<Result<Vec<_>, _>>()?;
            own_dependencies(nodes, at, node, &on)?;
            graph.dependencies.push(on);
        }
        Ok(graph)
    }

    /// Whom a job waits for.
    fn waits_for(&self, at: usize) -> impl Iterator<Item = usize> {
        self.dependencies[at]
            .iter()
            .chain(&self.children[at])
            .copied()
    }

    /// Everyone after all that they wait for. With a circle: who is left when
    /// nobody can go on.
    fn order(&self) -> Result<Vec<usize>, Vec<bool>> {
        let size = self.parents.len();
        let mut open: Vec<usize> = (0..size).map(|at| self.waits_for(at).count()).collect();
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); size];
        for at in 0..size {
            for on in self.waits_for(at) {
                waiting[on].push(at);
            }
        }
        let mut order: Vec<usize> = (0..size).filter(|at| open[*at] == 0).collect();
        let mut next = 0;
        while let Some(&over) = order.get(next) {
            next += 1;
            for &at in &waiting[over] {
                open[at] -= 1;
                if open[at] == 0 {
                    order.push(at);
                }
            }
        }
        if order.len() == size {
            return Ok(order);
        }
        Err(open.iter().map(|left| *left > 0).collect())
    }

    /// A circle among who is `stuck`. Each of them waits for another one, so a
    /// walk along them comes back to where it was.
    fn circle(&self, nodes: &[Node<'_>], stuck: &[bool]) -> Vec<String> {
        let mut path: Vec<usize> = Vec::new();
        let mut steps: HashMap<usize, usize> = HashMap::new();
        let mut at = stuck.iter().position(|stuck| *stuck);
        while let Some(here) = at {
            if let Some(from) = steps.insert(here, path.len()) {
                path.drain(..from);
                break;
            }
            path.push(here);
            at = self.waits_for(here).find(|next| stuck[*next]);
        }
        path.iter().map(|at| label(nodes, *at)).collect()
    }

    /// How far below the top each is. Whoever climbs further than allowed is
    /// too deep, or its own ancestor.
    fn depths(&self, nodes: &[Node<'_>], top: u32) -> Result<Vec<u32>, DagError> {
        let mut depths = Vec::with_capacity(self.parents.len());
        for at in 0..self.parents.len() {
            let (mut depth, mut above) = (top, self.parents[at]);
            while let Some(parent) = above {
                if parent == at {
                    return Err(DagError::Cycle(self.line(nodes, at)));
                }
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(DagError::TooDeep(label(nodes, at)));
                }
                above = self.parents[parent];
            }
            depths.push(depth);
        }
        Ok(depths)
    }

    /// The ancestors of its own ancestor, from it up to it.
    fn line(&self, nodes: &[Node<'_>], at: usize) -> Vec<String> {
        let up = std::iter::successors(Some(at), |one| self.parents[*one].filter(|up| *up != at));
        up.map(|one| label(nodes, one)).collect()
    }

    /// A job starts a round after the last end it depends on; what has children
    /// ends with the last of them.
    fn levels(&self, order: &[usize]) -> Vec<u32> {
        let mut starts = vec![0_u32; self.parents.len()];
        let mut ends = starts.clone();
        for &at in order {
            let last = |of: &[usize]| of.iter().map(|one| ends[*one]).max();
            starts[at] = last(&self.dependencies[at]).map_or(0, |end| end + 1);
            let end = last(&self.children[at]).unwrap_or(0);
            ends[at] = end.max(starts[at]);
        }
        starts
    }
}

/// What can be said of a job's dependencies without the others'.
fn own_dependencies(
    nodes: &[Node<'_>],
    at: usize,
    node: &Node<'_>,
    on: &[usize],
) -> Result<(), DagError> {
    let of = on.len() + node.depends_outside;
    if node.is_group && of > 0 {
        return Err(DagError::GroupWaits(label(nodes, at)));
    }
    if let Some(need) = node.need.filter(|need| *need > of) {
        let job = label(nodes, at);
        return Err(DagError::Need { job, need, of });
    }
    let mut sorted = on.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    }) {
        Some(twice) => Err(DagError::Repeated {
            job: label(nodes, at),
            name: nodes
                .get(twice)
                .and_then(|node| node.name)
                .unwrap_or_default()
                .to_owned(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
