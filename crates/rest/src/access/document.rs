//! The answer, as it is read by people and programs. `docs/access.md` shows
//! one.

use serde_json::{Map, Value, json};

use super::facts::{FunctionFacts, PolicyFacts, RoleFacts};
use super::gates::{Over, gates};
use super::judge::{Case, UNDECIDED, is_ours};
use super::look::{ROWS_MAX, Sample};
use super::reason::{Change, Reason, ident};
use super::subject::Subject;
use super::touch::{Act, Touch};
use crate::call::Call;

/// What would come of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Allowed,
    /// Nobody has anything against it, but there is no row.
    NoRows,
    /// Not everything could be asked.
    Undecided,
    /// It succeeds, without some or all of the rows.
    RowsHidden,
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NoRows => "no_rows",
            Self::Undecided => "undecided",
            Self::RowsHidden => "rows_hidden",
            Self::Refused => "refused",
        }
    }
}

/// What a view shows, for the relations below it: their policies are in the
/// way only where rows are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    HidingView,
    ShowingView,
}

impl Below {
    pub(super) fn of(view: &Case<'_>) -> Self {
        if matches!(view.touch.act, Act::Insert { .. }) {
            // What others have written there is of no matter.
            return Self::ShowingView;
        }
        match &view.seen.visible {
            Some(visible) if visible.iter().all(|seen| *seen) && !visible.is_empty() => {
                Self::ShowingView
            }
            _ => Self::HidingView,
        }
    }
}

/// The explanation in the making.
pub(super) struct Explained<'a> {
    call: &'a Call,
    subject: &'a Subject,
    pub(super) reasons: Vec<Reason>,
    about_role: Value,
    about_function: Value,
    relations: Vec<Value>,
    notes: Vec<String>,
}

impl<'a> Explained<'a> {
    pub(super) fn new(call: &'a Call, subject: &'a Subject) -> Self {
        Self {
            call,
            subject,
            reasons: Vec::new(),
            about_role: Value::Null,
            about_function: Value::Null,
            relations: Vec::new(),
            notes: subject.notes.clone(),
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn role(&mut self, role: Option<&RoleFacts>) {
        self.about_role = role.map_or(Value::Null, |role| {
            json!({
                "superuser": role.superuser,
                "bypasses_rls": role.bypasses_rls,
                "member_of": role.member_of,
            })
        });
    }

    pub(super) fn function(&mut self, facts: &FunctionFacts) {
        let (role, to) = (&self.subject.role, ident(&self.subject.role));
        let mut refuse = |code, message: String, sql: String, effect: &str| {
            self.reasons.push(Reason {
                code,
                on: facts.signature.clone(),
                message,
                change: vec![Change::sql(sql, effect)],
                refuses: true,
            });
        };
        if !facts.schema_usage {
            refuse(
                "no_schema_usage",
                format!("{role} may not use the schema {}.", facts.schema),
                format!("GRANT USAGE ON SCHEMA {} TO {to};", ident(&facts.schema)),
                "lets the role name what is in the schema",
            );
        }
        if !facts.execute {
            refuse(
                "no_execute",
                format!("{role} has no EXECUTE privilege on {}.", facts.signature),
                format!("GRANT EXECUTE ON FUNCTION {} TO {to};", facts.signature),
                "lets the role call the function",
            );
        }
        let mut notes = Vec::new();
        if facts.security_definer {
            let bypass = if facts.owner_bypasses_rls {
                ", who bypasses row level security"
            } else {
                ""
            };
            notes.push(format!(
                "Runs with the rights of {}{bypass} (SECURITY DEFINER): policies of the tables it uses do not see {role}.",
                facts.owner
            ));
            if !facts.search_path_fixed {
                notes.push(
                    "It fixes no search_path, which a SECURITY DEFINER function should.".to_owned(),
                );
            }
        } else {
            notes.push(format!(
                "Runs with the rights of {role} (SECURITY INVOKER): grants and policies of the tables inside apply. They are not looked into; explain a request for the table itself."
            ));
        }
        self.about_function = json!({
            "function": facts.signature,
            "name": facts.name,
            "owner": facts.owner,
            "security": if facts.security_definer { "definer" } else { "invoker" },
            "schema_usage": facts.schema_usage,
            "execute": facts.execute,
            "notes": notes,
        });
    }

    /// Adds a relation and what it has against the request.
    pub(super) fn relation(&mut self, case: &Case<'_>, below: Option<Below>) {
        let mut reasons = case.reasons();
        if below == Some(Below::ShowingView) {
            reasons.retain(|reason| reason.refuses);
        }
        let is_root = case.touch.parent.is_none() && below.is_none();
        let looked_for_rows = !matches!(case.touch.act, Act::Insert { .. });
        let refused_us = case
            .seen
            .notes
            .iter()
            .any(|note| note.starts_with("No rows were"));
        let found_none = case.seen.existing.rows.is_empty() && case.facts.schema_usage;
        if is_root && looked_for_rows && found_none && !refused_us && reasons.is_empty() {
            reasons.push(Reason {
                code: "no_rows",
                on: case.touch.label.clone(),
                message:
                    "No row matches, for the service key neither: this is no matter of access."
                        .to_owned(),
                change: Vec::new(),
                refuses: false,
            });
        }
        if is_root && refused_us {
            reasons.push(Reason {
                code: UNDECIDED,
                on: case.touch.label.clone(),
                message: "The service key may not read the rows, so that none was looked at."
                    .to_owned(),
                change: vec![Change::sql(
                    format!("GRANT SELECT ON {} TO service_role;", case.facts.sql_name()),
                    "lets service keys look",
                )],
                refuses: false,
            });
        }
        self.relations.push(relation(case));
        for reason in reasons {
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let of = |reason: &Reason| match reason.code {
            _ if reason.refuses => Outcome::Refused,
            "no_rows" => Outcome::NoRows,
            UNDECIDED => Outcome::Undecided,
            _ => Outcome::RowsHidden,
        };
        self.reasons
            .iter()
            .map(of)
            .max()
            .unwrap_or(Outcome::Allowed)
    }

    fn summary(&self) -> String {
        let role = &self.subject.role;
        match (self.outcome(), self.reasons.first()) {
            (Outcome::Allowed, _) | (_, None) => {
                format!("Nothing stands in the way of {role}.")
            }
            (_, Some(first)) if self.reasons.len() == 1 => first.message.clone(),
            (_, Some(first)) => {
                format!(
                    "{} ({} more reasons)",
                    first.message,
                    self.reasons.len() - 1
                )
            }
        }
    }

    pub(super) fn document(self) -> Value {
        let outcome = self.outcome().name();
        let mut document = json!({
            "outcome": outcome,
            "summary": self.summary(),
            "subject": {
                "role": self.subject.role,
                "claims": self.subject.claims,
            },
            "request": {
                "method": self.call.method.as_str(),
                "path": self.call.path,
                "schema": self.call.schema,
            },
            "reasons": self.reasons,
            "relations": self.relations,
            "notes": self.notes,
        });
        if let (Some(Value::Object(subject)), Value::Object(more)) =
            (document.get_mut("subject"), self.about_role)
        {
            subject.extend(more);
        }
        if let (Value::Object(document), Value::Object(_)) = (&mut document, &self.about_function) {
            document.insert("function".to_owned(), self.about_function);
        }
        document
    }
}

impl Touch<'_> {
    /// A relation that a view reads. Which columns is the view's business.
    pub(super) fn below_view(name: &pg::catalog::QualifiedName, label: String) -> Self {
        Touch {
            label,
            relation: name.clone(),
            act: Act::Read,
            select: std::collections::BTreeSet::default(),
            written: std::collections::BTreeSet::default(),
            returns: false,
            parent: None,
            node: None,
            is_junction: false,
        }
    }
}

fn relation(case: &Case<'_>) -> Value {
    let (touch, facts, seen) = (case.touch, case.facts, case.seen);
    let (decides, why) = facts.row_security();
    let grants: Vec<Value> = case
        .grants()
        .into_iter()
        .map(|grant| {
            json!({
                "privilege": grant.privilege,
                "columns": grant.columns,
                "granted": grant.granted,
                "missing": grant.missing,
            })
        })
        .collect();
    let mut notes = seen.notes.clone();
    notes.extend(of_view(case));
    if touch.parent.is_some_and(|parent| parent.inner) {
        notes.push(
            "Embedded with !inner: a parent row without a visible row here is left out.".to_owned(),
        );
    }
    let mut document = json!({
        "relation": facts.sql_name(),
        "as": touch.label,
        "kind": facts.kind(),
        "action": touch.act.name(),
        "role": facts.role,
        "owner": facts.owner,
        "schema_usage": facts.schema_usage,
        "grants": grants,
        "row_level_security": {
            "enabled": facts.rls,
            "forced": facts.forced,
            "decides": decides,
            "because": why,
        },
        "policies": facts.policies.iter().map(policy).collect::<Vec<_>>(),
        "rows": rows(case, Over::Existing, &seen.existing),
        "notes": notes,
    });
    if let Value::Object(document) = &mut document {
        if seen.existing.truncated || seen.proposed.truncated {
            document.insert("rows_limit".to_owned(), ROWS_MAX.into());
        }
        if !seen.proposed.rows.is_empty() {
            let new = rows(case, Over::Proposed, &seen.proposed);
            document.insert("new_rows".to_owned(), new);
        }
    }
    document
}

fn of_view(case: &Case<'_>) -> Option<String> {
    let (facts, below) = (case.facts, case.stands_on());
    if facts.is_materialized() {
        return Some(format!(
            "A materialized view holds rows as they were when it was refreshed; policies of {below} do not apply."
        ));
    }
    if !facts.is_view() {
        return None;
    }
    let through = if matches!(case.touch.act, Act::Read) {
        ""
    } else {
        " What is written through it meets the policies for that command there, which are listed below and not asked."
    };
    Some(if facts.security_invoker {
        format!(
            "Runs with the caller's rights (security_invoker): {below} is read as {}.{through}",
            facts.role
        )
    } else {
        format!(
            "Runs with the rights of its owner, {}: {below} is read as that role. ALTER VIEW {} SET (security_invoker = true); lets the caller's policies decide.{through}",
            facts.owner,
            facts.sql_name()
        )
    })
}

fn policy(policy: &PolicyFacts) -> Value {
    json!({
        "name": policy.name,
        "permissive": policy.permissive,
        "command": policy.command,
        "roles": policy.roles,
        "applies": policy.applies,
        "using": policy.using,
        "check": policy.check,
    })
}

/// Each row with each policy's word about it.
fn rows(case: &Case<'_>, over: Over, sample: &Sample) -> Value {
    let (decides, _) = case.facts.row_security();
    let one = |(row, key): (usize, &Value)| {
        let mut out = Map::new();
        if !key.is_null() {
            out.insert("key".to_owned(), key.clone());
        }
        if decides {
            out.insert("passes".to_owned(), case.row(row, over).into());
        }
        if over == Over::Existing
            && let Some(visible) = case.seen.visible.as_ref().and_then(|seen| seen.get(row))
        {
            out.insert("visible".to_owned(), (*visible).into());
        }
        let said = said(case, over, row);
        if !said.is_empty() {
            out.insert("policies".to_owned(), said.into());
        }
        Value::Object(out)
    };
    sample.keys.iter().enumerate().map(one).collect()
}

fn said(case: &Case<'_>, over: Over, row: usize) -> Vec<Value> {
    let mut out = Vec::new();
    for gate in gates(case.touch)
        .into_iter()
        .filter(|gate| gate.over == over)
    {
        for said in case.seen.said.iter().filter(|said| said.over == over) {
            let Some(policy) = case.facts.policies.get(said.policy) else {
                continue;
            };
            if !gate.hears(policy) || gate.clause(policy) != said.clause {
                continue;
            }
            let (result, error) = match &said.results {
                Ok(results) => (results.get(row).copied().flatten(), None),
                Err(refused) if is_ours(refused) => (
                    None,
                    Some(format!("cannot be asked by itself: {}", refused.message)),
                ),
                Err(refused) => (None, Some(refused.message.clone())),
            };
            let mut entry = json!({
                "policy": policy.name,
                "for": gate.command,
                "clause": said.clause.name(),
                "result": result,
            });
            if let (Some(error), Value::Object(entry)) = (error, &mut entry) {
                entry.insert("error".to_owned(), error.into());
            }
            out.push(entry);
        }
    }
    out
}
