//! What usually nobody wanted. Each kind is a word of `--fail-on`. Pure.

use serde::{Deserialize, Serialize};

use super::super::facts::RelationFacts;
use super::{Callable, Entry, Extent, Standing};

const ANON: &str = "anon";

/// Something that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// The relation or function.
    pub on: String,
    /// In words.
    pub message: String,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A table that a role reaches without row level security, and that no
    /// comment declares public.
    NoRls,
    /// `anon` may read it.
    AnonRead,
    /// `anon` may write it.
    AnonWrite,
    /// `anon` may read every row.
    AnonReadAll,
    /// A role may change or delete every row.
    WriteAll,
    /// A view with its owner's rights goes past policies.
    OwnerView,
    /// `anon` may call a SECURITY DEFINER function.
    AnonDefiner,
    /// A SECURITY DEFINER function that a role may call fixes no search path.
    DefinerSearchPath,
}

impl FindingKind {
    /// Every kind with its word.
    pub const ALL: [(&'static str, Self); 8] = [
        ("no-rls", Self::NoRls),
        ("anon-read", Self::AnonRead),
        ("anon-write", Self::AnonWrite),
        ("anon-read-all", Self::AnonReadAll),
        ("write-all", Self::WriteAll),
        ("owner-view", Self::OwnerView),
        ("anon-definer", Self::AnonDefiner),
        ("definer-search-path", Self::DefinerSearchPath),
    ];

    /// The kind that a word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(known, _)| *known == word);
        known.map(|(_, kind)| *kind)
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, kind)| *kind == self);
        known.map_or("", |(word, _)| word)
    }
}

pub(super) fn of(
    standing: &[Standing<'_>],
    below: &[RelationFacts],
    access: &[Entry],
    functions: &[Callable],
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = access.iter().flat_map(of_entry).collect();
    for of in standing {
        let reached = access
            .iter()
            .any(|entry| entry.on == of.facts.sql_name() && entry.role == of.facts.role);
        if reached {
            findings.extend(unprotected(of));
            findings.extend(past_policies(&of.facts, below));
        }
    }
    for callable in functions.iter().filter(|of| of.security == "definer") {
        findings.extend(definer(callable));
    }
    findings.sort();
    findings.dedup();
    findings
}

fn of_entry(entry: &Entry) -> Vec<Finding> {
    let finding = |kind, what: &str| Finding {
        kind,
        on: entry.on.clone(),
        message: format!("{} may {what}: {}", entry.role, entry.because),
    };
    let mut findings = Vec::new();
    let (reads, all) = (entry.command == "select", entry.rows == Extent::All);
    if entry.role == ANON && reads {
        findings.push(finding(FindingKind::AnonRead, "read it"));
        if all {
            findings.push(finding(FindingKind::AnonReadAll, "read every row"));
        }
    }
    if entry.role == ANON && !reads {
        findings.push(finding(FindingKind::AnonWrite, &entry.command));
    }
    if all && matches!(entry.command.as_str(), "update" | "delete") {
        let what = format!("{} every row", entry.command);
        findings.push(finding(FindingKind::WriteAll, &what));
    }
    findings
}

fn unprotected(of: &Standing<'_>) -> Option<Finding> {
    let facts = &of.facts;
    let is_table = matches!(facts.kind(), "table" | "foreign table");
    (is_table && !facts.rls && !of.exposed.declared_public).then(|| Finding {
        kind: FindingKind::NoRls,
        on: facts.sql_name(),
        message: format!("row level security is off, and {} reaches it", facts.role),
    })
}

fn past_policies(facts: &RelationFacts, below: &[RelationFacts]) -> Option<Finding> {
    if facts.security_invoker || !(facts.is_view() || facts.is_materialized()) {
        return None;
    }
    let passed: Vec<String> = below
        .iter()
        .filter(|under| under.role == facts.owner && under.rls)
        .filter(|under| facts.is_materialized() || !under.row_security().0)
        .filter(|under| {
            let is_it = |name: &super::super::facts::Below| {
                name.schema == under.schema && name.name == under.name
            };
            facts.stands_on.iter().any(is_it)
        })
        .map(RelationFacts::sql_name)
        .collect();
    (!passed.is_empty()).then(|| Finding {
        kind: FindingKind::OwnerView,
        on: facts.sql_name(),
        message: format!(
            "{} reads it with the rights of {}, past the policies of {}",
            facts.role,
            facts.owner,
            passed.join(", ")
        ),
    })
}

fn definer(callable: &Callable) -> Vec<Finding> {
    let finding = |kind, message: String| Finding {
        kind,
        on: callable.function.clone(),
        message,
    };
    let (role, owner) = (&callable.role, &callable.owner);
    let mut findings = Vec::new();
    if role == ANON {
        let message = format!("{role} may call it, and it runs with the rights of {owner}");
        findings.push(finding(FindingKind::AnonDefiner, message));
    }
    if !callable.search_path_fixed {
        let message = format!("runs with the rights of {owner} and the search_path of {role}");
        findings.push(finding(FindingKind::DefinerSearchPath, message));
    }
    findings
}
