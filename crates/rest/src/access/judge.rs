//! From facts and answers to reasons: what is in the way of this request, in
//! the order in which PostgreSQL would have found it. Pure.

mod policies;

use std::collections::BTreeSet;

use super::facts::{ColumnFacts, RelationFacts};
use super::gates::{Gate, Over, Word, gates, verdict};
use super::look::Seen;
use super::reason::{Change, Reason, ident};
use super::subject::Subject;
use super::touch::{Act, Touch};

/// One relation of the request with all that is known about it.
pub(super) struct Case<'a> {
    pub(super) touch: &'a Touch<'a>,
    pub(super) facts: &'a RelationFacts,
    pub(super) seen: &'a Seen,
    pub(super) subject: &'a Subject,
}

/// A privilege that the request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) privilege: &'static str,
    /// The columns it needs it on; none for DELETE.
    pub(super) columns: Vec<String>,
    /// Those it has not.
    pub(super) missing: Vec<String>,
    pub(super) granted: bool,
}

impl Case<'_> {
    /// The privileges that this very request needs.
    pub(super) fn grants(&self) -> Vec<Grant> {
        let (touch, facts) = (self.touch, self.facts);
        let all = facts.privileges;
        let mut grants = Vec::new();
        let merges = gates(touch).iter().any(|gate| gate.command == "update");
        match touch.act {
            Act::Read => {}
            Act::Insert { .. } => {
                grants.push(self.grant("INSERT", all.insert, &touch.written, |c| c.insert));
                if merges {
                    grants.push(self.grant("UPDATE", all.update, &touch.written, |c| c.update));
                }
            }
            Act::Update { .. } => {
                grants.push(self.grant("UPDATE", all.update, &touch.written, |c| c.update));
            }
            Act::Delete { .. } => grants.push(Grant {
                privilege: "DELETE",
                columns: Vec::new(),
                missing: Vec::new(),
                granted: all.delete,
            }),
        }
        if touch.asks_select_policies() {
            grants.push(self.grant("SELECT", all.select, &touch.select, |c| c.select));
        }
        grants
    }

    fn grant(
        &self,
        privilege: &'static str,
        whole: bool,
        wanted: &BTreeSet<String>,
        has: fn(&ColumnFacts) -> bool,
    ) -> Grant {
        let may = |name: &String| self.facts.column(name).is_none_or(has);
        let missing: Vec<String> = if whole {
            Vec::new()
        } else {
            wanted.iter().filter(|name| !may(name)).cloned().collect()
        };
        // Without columns any one will do.
        let any = whole || self.facts.columns.iter().any(has);
        Grant {
            privilege,
            columns: wanted.iter().cloned().collect(),
            granted: missing.is_empty() && any,
            missing,
        }
    }

    /// Everything that is in the way.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        self.privileges(&mut reasons);
        if let Some(refused) = &self.seen.unwritable {
            let message = format!("The row cannot be written as it is: {}.", refused.message);
            reasons.push(self.reason("row_invalid", message, Vec::new()));
        }
        if self.facts.row_security().0 {
            for gate in gates(self.touch) {
                self.pass(gate, &mut reasons);
            }
        }
        if self.facts.is_view() {
            self.hidden_by_view(&mut reasons);
        }
        reasons
    }

    fn reason(&self, code: &'static str, message: String, change: Vec<Change>) -> Reason {
        Reason {
            code,
            on: self.touch.label.clone(),
            message,
            change,
            refuses: true,
        }
    }

    fn privileges(&self, reasons: &mut Vec<Reason>) {
        let (facts, role) = (self.facts, &self.facts.role);
        let (table, to) = (facts.sql_name(), ident(role));
        if !facts.schema_usage {
            let schema = ident(&facts.schema);
            reasons.push(self.reason(
                "no_schema_usage",
                format!("{role} may not use the schema {}.", facts.schema),
                vec![Change::sql(
                    format!("GRANT USAGE ON SCHEMA {schema} TO {to};"),
                    "lets the role name what is in the schema",
                )],
            ));
        }
        for grant in self.grants().iter().filter(|grant| !grant.granted) {
            let privilege = grant.privilege;
            let whole = Change::sql(
                format!("GRANT {privilege} ON {table} TO {to};"),
                format!("grants {privilege} on every column; policies still decide about rows"),
            );
            let some = self.facts.columns.iter().any(|column| match privilege {
                "SELECT" => column.select,
                "INSERT" => column.insert,
                "UPDATE" => column.update,
                _ => false,
            });
            if grant.missing.is_empty() || !some {
                let message = format!("{role} has no {privilege} privilege on {table}.");
                reasons.push(self.reason("no_grant", message, vec![whole]));
                continue;
            }
            let columns: Vec<String> = grant.missing.iter().map(|name| ident(name)).collect();
            let columns = columns.join(", ");
            reasons.push(self.reason(
                "no_column_grant",
                format!(
                    "{role} has no {privilege} privilege on these columns of {table}: {columns}."
                ),
                vec![
                    Change::sql(
                        format!("GRANT {privilege} ({columns}) ON {table} TO {to};"),
                        "grants it on these columns",
                    ),
                    Change::advice("name only the columns that the role may use"),
                ],
            ));
        }
    }

    /// Rows that a view hides from the subject and not from the service key.
    fn hidden_by_view(&self, reasons: &mut Vec<Reason>) {
        let hidden = self
            .seen
            .visible
            .iter()
            .flatten()
            .filter(|seen| !**seen)
            .count();
        if hidden == 0 {
            return;
        }
        let (name, below) = (self.facts.sql_name(), self.stands_on());
        let message = if self.facts.security_invoker {
            format!(
                "{name} runs with the caller's rights, and {below} below it hides {hidden} of its rows."
            )
        } else {
            format!(
                "{name} runs with the rights of {}, and {below} below it or its own condition hides {hidden} of its rows.",
                self.facts.owner
            )
        };
        let advice = Change::advice("see the relations below the view in `relations`");
        let mut reason = self.reason("view", message, vec![advice]);
        reason.refuses = false;
        reasons.push(reason);
    }

    pub(super) fn stands_on(&self) -> String {
        let names: Vec<String> = self
            .facts
            .stands_on
            .iter()
            .map(|below| super::reason::qualified(&below.schema, &below.name))
            .collect();
        names.join(", ")
    }

    /// Rows of the gate's kind that it does not let pass. A row that an
    /// update does not find is not held against its checks.
    fn refused(&self, gate: Gate) -> Vec<usize> {
        let rows = match gate.over {
            Over::Existing => self.seen.existing.rows.len(),
            Over::Proposed => self.seen.proposed.rows.len(),
        };
        let found = |row: &usize| {
            !matches!(self.touch.act, Act::Update { .. })
                || gate.over == Over::Existing
                || self.row(*row, Over::Existing) != Some(false)
        };
        (0..rows)
            .filter(found)
            .filter(|row| self.gate_verdict(gate, *row) == Some(false))
            .collect()
    }

    /// Whether every gate of one kind lets a row pass.
    pub(super) fn row(&self, row: usize, over: Over) -> Option<bool> {
        let mut all = Some(true);
        for gate in gates(self.touch)
            .into_iter()
            .filter(|gate| gate.over == over)
        {
            match self.gate_verdict(gate, row) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => all = None,
            }
        }
        // PostgreSQL's own word decides what our questions left open.
        let shown = || self.seen.visible.as_ref()?.get(row).copied();
        match (all, self.touch.act, over) {
            (None, Act::Read, Over::Existing) => shown(),
            (all, ..) => all,
        }
    }

    fn gate_verdict(&self, gate: Gate, row: usize) -> Option<bool> {
        let heard = self.facts.policies.iter().enumerate();
        let heard = heard.filter(|(_, policy)| gate.hears(policy));
        let answers: Vec<_> = heard
            .map(|(index, policy)| (policy.permissive, self.word(index, gate, row)))
            .collect();
        verdict(&answers)
    }

    /// What a policy said to a row.
    fn word(&self, policy: usize, gate: Gate, row: usize) -> Word {
        let answer = || {
            let clause = gate.clause(self.facts.policies.get(policy)?);
            let said = self.seen.said.iter().find(|said| {
                said.policy == policy && said.over == gate.over && said.clause == clause
            })?;
            said.results.as_ref().ok()?.get(row).copied()
        };
        match answer() {
            Some(Some(true)) => Word::Yes,
            Some(_) => Word::No,
            None => Word::Open,
        }
    }
}

/// The code of what could not be found out.
pub(super) const UNDECIDED: &str = "undecided";

/// Whether a refusal is the fault of our question and not of the policy. A
/// policy is compiled when it is made: at run time nobody needs USAGE of the
/// schemas it names, but our question is compiled now and does. Our time may
/// be used up as well.
pub(super) fn is_ours(refused: &super::scene::Refused) -> bool {
    let schema =
        refused.code == "42501" && refused.message.starts_with("permission denied for schema");
    schema || refused.message == super::scene::NO_TIME
}
