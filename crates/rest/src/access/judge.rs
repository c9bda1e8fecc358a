//! From facts and answers to reasons: what is in the way of this request, in
//! the order in which PostgreSQL would have found it. Pure.

use std::collections::BTreeSet;

use super::facts::{ColumnFacts, PolicyFacts, RelationFacts};
use super::gates::{Gate, Over, gates, verdict};
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

    /// What one gate has against the request.
    fn pass(&self, gate: Gate, reasons: &mut Vec<Reason>) {
        if !self.is_reached(gate) {
            return;
        }
        let before = reasons.len();
        self.held_up(gate, reasons);
        let hides = gate.over == Over::Existing && !matches!(self.touch.act, Act::Insert { .. });
        for reason in reasons.iter_mut().skip(before) {
            reason.refuses = !hides || reason.code == "policy_error";
        }
    }

    /// Whether any row gets as far as this gate: an update checks the rows it
    /// finds, and an upsert meets the rows that are there.
    fn is_reached(&self, gate: Gate) -> bool {
        let existing = self.seen.existing.rows.len();
        match (self.touch.act, gate.over) {
            (Act::Update { .. }, Over::Proposed) => {
                (0..existing).any(|row| self.row(row, Over::Existing) != Some(false))
            }
            (Act::Insert { .. }, Over::Existing) => existing > 0,
            (Act::Insert { .. }, Over::Proposed) if gate.command == "update" => existing > 0,
            _ => true,
        }
    }

    fn held_up(&self, gate: Gate, reasons: &mut Vec<Reason>) {
        let policies = &self.facts.policies;
        if !policies
            .iter()
            .any(|policy| gate.hears(policy) && policy.permissive)
        {
            return reasons.push(self.nobody_lets_pass(gate));
        }
        self.errors(gate, reasons);
        let refused = self.refused(gate);
        if refused.is_empty() {
            return;
        }
        let restrictive = policies.iter().enumerate().filter(|(index, policy)| {
            let refuses = |row: &usize| {
                self.answer(*index, gate, *row)
                    .is_some_and(|a| a != Some(true))
            };
            !policy.permissive && gate.hears(policy) && refused.iter().any(refuses)
        });
        let restrictive: Vec<&PolicyFacts> = restrictive.map(|(_, policy)| policy).collect();
        for policy in &restrictive {
            self.restricted(gate, policy, reasons);
        }
        let by_permissive = refused.iter().any(|row| {
            let permissive = policies
                .iter()
                .enumerate()
                .filter(|(_, p)| p.permissive && gate.hears(p));
            let answers: Vec<_> = permissive
                .map(|(i, _)| (true, self.answer(i, gate, *row)))
                .collect();
            verdict(&answers) == Some(false)
        });
        if by_permissive {
            self.not_permitted(gate, refused.len(), reasons);
        }
    }

    fn nobody_lets_pass(&self, gate: Gate) -> Reason {
        let (facts, role, command) = (self.facts, &self.facts.role, gate.command);
        let upper = command.to_uppercase();
        let others: Vec<&PolicyFacts> = facts
            .policies
            .iter()
            .filter(|policy| policy.permissive && gate.concerns(policy))
            .collect();
        let table = facts.sql_name();
        let mut change = vec![facts.new_policy(command, self.subject.has_user())];
        let (mut code, mut message) = if others.is_empty() {
            (
                "no_policy",
                format!("Row level security is on for {table}, and no policy permits {upper}."),
            )
        } else {
            let named: Vec<String> = others
                .iter()
                .map(|policy| format!("{} (for {})", ident(&policy.name), policy.roles.join(", ")))
                .collect();
            change = others
                .iter()
                .map(|policy| facts.policy_for_role(policy))
                .chain(change)
                .collect();
            let named = named.join(", ");
            (
                "policy_for_other_roles",
                format!(
                    "No policy on {table} permits {upper} to {role}; those there are have other roles: {named}."
                ),
            )
        };
        if self.is_read_of_a_write(gate) {
            code = self.code_of_read_back();
            message = format!("{} {message}", self.why_read());
            change.extend(self.without_reading());
        }
        self.reason(code, message, change)
    }

    fn restricted(&self, gate: Gate, policy: &PolicyFacts, reasons: &mut Vec<Reason>) {
        let (table, name) = (self.facts.sql_name(), ident(&policy.name));
        let expression = gate.expression(policy).unwrap_or("true");
        let clause = gate.clause(policy).name().to_uppercase();
        let keyword = if clause == "CHECK" {
            "WITH CHECK"
        } else {
            "USING"
        };
        let message = format!(
            "The restrictive policy {name} on {table} refuses: {keyword} {expression} is not true."
        );
        let change = vec![
            Change::advice(format!(
                "change the condition with ALTER POLICY {name} ON {table} {keyword} (…): every restrictive policy must be true"
            )),
            Change::sql(
                format!("DROP POLICY {name} ON {table};"),
                "takes the restriction away for every role it names",
            ),
        ];
        reasons.push(self.reason("restrictive_policy", message, change));
    }

    fn not_permitted(&self, gate: Gate, count: usize, reasons: &mut Vec<Reason>) {
        let (facts, role) = (self.facts, &self.facts.role);
        let heard: Vec<&PolicyFacts> = facts
            .policies
            .iter()
            .filter(|policy| policy.permissive && gate.hears(policy))
            .collect();
        let said: Vec<String> = heard
            .iter()
            .map(|policy| {
                let expression = gate.expression(policy).unwrap_or("true");
                format!("{}: {expression}", ident(&policy.name))
            })
            .collect();
        let said = said.join("; ");
        let upper = gate.command.to_uppercase();
        let rows = if count == 1 {
            "1 row"
        } else {
            &format!("{count} rows")
        };
        let mut change = Vec::new();
        let asks_user = |policy: &&PolicyFacts| {
            let text = gate.expression(policy).unwrap_or_default();
            ["auth.uid(", "auth.jwt(", "request.jwt"]
                .iter()
                .any(|word| text.contains(word))
        };
        let nobody = !self.subject.has_user() && heard.iter().any(asks_user);
        let mut code = match gate.over {
            Over::Existing => "permissive_policy",
            Over::Proposed => "check_failed",
        };
        let mut message = match gate.over {
            Over::Existing => format!(
                "No policy lets {role} {} {rows}. {upper} asks {said}.",
                gate.command
            ),
            Over::Proposed => format!("The new row is refused to {role}. {upper} asks {said}."),
        };
        if nobody {
            code = "claims_missing";
            message.push_str(" The claims have no `sub`, so that auth.uid() is null.");
            change.push(Change::advice(
                "send a user's token: without one every caller is nobody",
            ));
        }
        change.push(facts.new_policy(gate.command, self.subject.has_user()));
        if self.is_read_of_a_write(gate) {
            if !nobody {
                code = self.code_of_read_back();
            }
            message = format!("{} {message}", self.why_read());
            change.extend(self.without_reading());
        }
        reasons.push(self.reason(code, message, change));
    }

    fn errors(&self, gate: Gate, reasons: &mut Vec<Reason>) {
        for said in self.seen.said.iter().filter(|said| said.over == gate.over) {
            let Some(policy) = self.facts.policies.get(said.policy) else {
                continue;
            };
            let Err(refused) = &said.results else {
                continue;
            };
            if !gate.hears(policy) || gate.clause(policy) != said.clause || hides_schema(refused) {
                continue;
            }
            let name = ident(&policy.name);
            let message = format!(
                "The policy {name} fails: {} ({}).",
                refused.message, refused.code
            );
            let mut change = Vec::new();
            if refused.code == "42501" {
                change.push(Change::advice(
                    "grant what the policy reads, or read it in a SECURITY DEFINER function",
                ));
            }
            let reason = self.reason("policy_error", message, change);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
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
            .map(|(index, policy)| (policy.permissive, self.answer(index, gate, row)))
            .collect();
        verdict(&answers)
    }

    /// What a policy said to a row; `None` when it could not be asked.
    fn answer(&self, policy: usize, gate: Gate, row: usize) -> Option<Option<bool>> {
        let clause = gate.clause(self.facts.policies.get(policy)?);
        let said = self.seen.said.iter().find(|said| {
            said.policy == policy && said.over == gate.over && said.clause == clause
        })?;
        said.results.as_ref().ok()?.get(row).copied()
    }

    fn is_read_of_a_write(&self, gate: Gate) -> bool {
        gate.command == "select" && !matches!(self.touch.act, Act::Read)
    }

    /// An insert has nothing to read but what it returns or collides with.
    fn code_of_read_back(&self) -> &'static str {
        if self.touch.returns {
            "returning_needs_select"
        } else {
            "filter_needs_select"
        }
    }

    fn why_read(&self) -> &'static str {
        if self.touch.returns {
            "The written rows are asked back (return=representation), so they must be readable as well."
        } else {
            "The statement reads columns to find its rows, so they must be readable as well."
        }
    }

    fn without_reading(&self) -> Option<Change> {
        self.touch.returns.then(|| {
            Change::advice(
                "or do not ask for the rows: Prefer: return=minimal; in supabase-js leave `.select()` out",
            )
        })
    }
}

/// A policy is compiled when it is made: at run time nobody needs USAGE of the
/// schemas it names. Our question is compiled now and does, so this is no
/// fault of the policy.
pub(super) fn hides_schema(refused: &super::scene::Refused) -> bool {
    refused.code == "42501" && refused.message.starts_with("permission denied for schema")
}
