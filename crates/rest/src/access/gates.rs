//! Which policies have to let a row pass, as PostgreSQL combines them: of the
//! permissive ones any, of the restrictive ones all. Pure.
//!
//! A row passes one gate for each thing that happens to it. A read has one
//! gate. A write that also reads (a filter, RETURNING, a conflict target) has
//! the gate of reading beside its own, which is where most surprises are.

use super::facts::PolicyFacts;
use super::touch::{Act, Touch};

/// Which clause of a policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    Using,
    Check,
}

impl Clause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Using => "using",
            Self::Check => "check",
        }
    }
}

/// Which rows it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Existing,
    Proposed,
}

/// One gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    /// The command whose policies are asked: `select`, `insert` …
    pub(super) command: &'static str,
    pub(super) over: Over,
}

impl Gate {
    /// Whether the policy is for this command, whoever it is for.
    pub(super) fn concerns(&self, policy: &PolicyFacts) -> bool {
        policy.command == self.command || policy.command == "all"
    }

    /// Whether the policy is asked for the role.
    pub(super) fn hears(&self, policy: &PolicyFacts) -> bool {
        policy.applies && self.concerns(policy)
    }

    /// A new row is held against WITH CHECK, or USING where there is none; to
    /// be read, it is held against USING like any other.
    pub(super) fn clause(&self, policy: &PolicyFacts) -> Clause {
        let checks = self.over == Over::Proposed && self.command != "select";
        if checks && policy.check.is_some() {
            Clause::Check
        } else {
            Clause::Using
        }
    }

    pub(super) fn expression<'p>(&self, policy: &'p PolicyFacts) -> Option<&'p str> {
        match self.clause(policy) {
            Clause::Using => policy.using.as_deref(),
            Clause::Check => policy.check.as_deref(),
        }
    }
}

/// The gates of a request, in the order in which a row meets them.
pub(super) fn gates(touch: &Touch<'_>) -> Vec<Gate> {
    use Over::{Existing, Proposed};
    let gate = |command, over| Gate { command, over };
    let reads = touch.asks_select_policies();
    let mut gates = Vec::new();
    match touch.act {
        Act::Read => gates.push(gate("select", Existing)),
        Act::Insert { conflict, .. } => {
            gates.push(gate("insert", Proposed));
            if reads {
                gates.push(gate("select", Proposed));
            }
            let merges = conflict.is_some_and(|conflict| {
                conflict.resolution == crate::call::prefer::Resolution::MergeDuplicates
            });
            if merges {
                gates.push(gate("update", Existing));
                gates.push(gate("select", Existing));
                gates.push(gate("update", Proposed));
            }
        }
        Act::Update { .. } => {
            gates.push(gate("update", Existing));
            if reads {
                gates.push(gate("select", Existing));
            }
            gates.push(gate("update", Proposed));
            if reads {
                gates.push(gate("select", Proposed));
            }
        }
        Act::Delete { .. } => {
            gates.push(gate("delete", Existing));
            if reads {
                gates.push(gate("select", Existing));
            }
        }
    }
    gates
}

/// What a policy says to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Yes,
    /// False, or null.
    No,
    /// It could not be asked.
    Open,
}

/// Lets a row pass, or not; `None` when not every policy could be asked. Each
/// word comes with whether the policy is permissive.
pub(super) fn verdict(asked: &[(bool, Word)]) -> Option<bool> {
    let (mut any, mut maybe, mut open) = (false, false, false);
    for (permissive, word) in asked {
        match (permissive, word) {
            (true, Word::Yes) => any = true,
            (true, Word::Open) => maybe = true,
            (true, Word::No) | (false, Word::Yes) => {}
            // One restrictive policy is enough to refuse.
            (false, Word::No) => return Some(false),
            (false, Word::Open) => open = true,
        }
    }
    match (any, maybe) {
        (true, _) if !open => Some(true),
        (false, false) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_permissive_and_all_restrictive() {
        let (yes, no, unasked) = (Word::Yes, Word::No, Word::Open);
        assert_eq!(verdict(&[]), Some(false));
        assert_eq!(verdict(&[(true, no), (true, yes)]), Some(true));
        assert_eq!(verdict(&[(true, no)]), Some(false));
        assert_eq!(verdict(&[(true, yes), (false, no)]), Some(false));
        assert_eq!(verdict(&[(true, yes), (false, no)]), Some(false));
        assert_eq!(verdict(&[(false, yes)]), Some(false));
        // What could not be asked leaves it open, unless it is decided anyway.
        assert_eq!(verdict(&[(true, unasked)]), None);
        assert_eq!(verdict(&[(true, yes), (false, unasked)]), None);
        assert_eq!(verdict(&[(true, unasked), (true, yes)]), Some(true));
        assert_eq!(verdict(&[(true, unasked), (false, no)]), Some(false));
        assert_eq!(verdict(&[(true, no), (false, unasked)]), Some(false));
    }
}
