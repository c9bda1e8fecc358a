//! From the facts about a relation to what a role may do with it. Pure.

use super::super::facts::{ColumnFacts, PolicyFacts};
use super::super::reason::qualified;
use super::{Deciding, Entry, Extent, Standing};

/// What the role may do with the relation, one entry for each command.
pub(super) fn of(standing: &Standing<'_>) -> Vec<Entry> {
    let (facts, exposed) = (&standing.facts, standing.exposed);
    if !facts.schema_usage {
        return Vec::new();
    }
    let all = facts.privileges;
    let commands: [(&str, bool, bool, Option<Has>); 4] = [
        ("select", true, all.select, Some(|c| c.select)),
        ("insert", exposed.insertable, all.insert, Some(|c| c.insert)),
        ("update", exposed.updatable, all.update, Some(|c| c.update)),
        ("delete", exposed.deletable, all.delete, None),
    ];
    commands
        .into_iter()
        .filter(|(_, works, ..)| *works)
        .filter_map(|(command, _, whole, has)| {
            let columns = columns(standing, whole, has)?;
            entry(standing, command, columns)
        })
        .collect()
}

type Has = fn(&ColumnFacts) -> bool;

/// The granted columns; `Some(None)` for all, `None` for not any.
#[expect(clippy::option_option, reason = "not any, all, or these")]
fn columns(standing: &Standing<'_>, whole: bool, has: Option<Has>) -> Option<Option<Vec<String>>> {
    if whole {
        return Some(None);
    }
    let has = has?;
    let columns = standing.facts.columns.iter();
    let granted: Vec<String> = columns
        .filter(|column| has(column))
        .map(|column| column.name.clone())
        .collect();
    (!granted.is_empty()).then_some(Some(granted))
}

/// `None` when policies let nobody pass.
fn entry(standing: &Standing<'_>, command: &str, columns: Option<Vec<String>>) -> Option<Entry> {
    let facts = &standing.facts;
    let mut entry = Entry {
        role: facts.role.clone(),
        command: command.to_owned(),
        on: facts.sql_name(),
        kind: facts.kind().to_owned(),
        rows: Extent::All,
        because: String::new(),
        columns,
        policies: Vec::new(),
    };
    if facts.is_view() || facts.is_materialized() {
        let below: Vec<String> = facts
            .stands_on
            .iter()
            .map(|below| qualified(&below.schema, &below.name))
            .collect();
        let below = below.join(", ");
        entry.rows = Extent::ByView;
        entry.because = if facts.is_materialized() {
            format!("what was read of {below} at the last refresh")
        } else if facts.security_invoker {
            format!("what {} may see of {below}", facts.role)
        } else {
            format!("what {}, the view's owner, may see of {below}", facts.owner)
        };
        return Some(entry);
    }
    let (decides, why) = facts.row_security();
    if !decides {
        entry.because = why;
        return Some(entry);
    }
    let heard: Vec<&PolicyFacts> = facts
        .policies
        .iter()
        .filter(|policy| policy.applies && (policy.command == command || policy.command == "all"))
        .collect();
    if !heard.iter().any(|policy| policy.permissive) {
        return None;
    }
    let everything = |policy: &&&PolicyFacts| policy.permissive && lets_all_pass(policy, command);
    let restricted = heard.iter().any(|policy| !policy.permissive);
    match heard.iter().find(everything) {
        Some(policy) if !restricted => {
            entry.because = format!("the policy {} is true for every row", policy.name);
        }
        _ => {
            entry.rows = Extent::ByPolicy;
            entry.because.push_str("policies decide");
        }
    }
    entry.policies = heard
        .into_iter()
        .map(|policy| deciding(policy, command))
        .collect();
    Some(entry)
}

fn lets_all_pass(policy: &PolicyFacts, command: &str) -> bool {
    let is_true = |expression: &Option<String>| {
        expression
            .as_deref()
            .is_none_or(|text| text.trim_matches(['(', ')']) == "true")
    };
    match command {
        "insert" => is_true(if policy.check.is_some() {
            &policy.check
        } else {
            &policy.using
        }),
        "update" => is_true(&policy.using) && is_true(&policy.check),
        _ => is_true(&policy.using),
    }
}

fn deciding(policy: &PolicyFacts, command: &str) -> Deciding {
    let writes = matches!(command, "insert" | "update");
    let check = policy.check.clone().or_else(|| policy.using.clone());
    Deciding {
        name: policy.name.clone(),
        permissive: policy.permissive,
        using: policy.using.clone().filter(|_| command != "insert"),
        check: check.filter(|_| writes),
    }
}
