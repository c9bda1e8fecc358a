//! What policies have against a request, gate by gate, in words and with what
//! would change it. Pure.

use super::super::facts::PolicyFacts;
use super::super::gates::{Gate, Over, Word, verdict};
use super::super::reason::{Change, Reason, ident};
use super::super::touch::Act;
use super::{Case, UNDECIDED, is_ours};

impl Case<'_> {
    /// What one gate has against the request.
    pub(super) fn pass(&self, gate: Gate, reasons: &mut Vec<Reason>) {
        if !self.is_reached(gate) {
            return;
        }
        let before = reasons.len();
        self.held_up(gate, reasons);
        let hides = gate.over == Over::Existing && !matches!(self.touch.act, Act::Insert { .. });
        for reason in reasons.iter_mut().skip(before) {
            reason.refuses = match reason.code {
                "policy_error" => true,
                UNDECIDED => false,
                _ => !hides,
            };
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
        reasons.extend(self.undecided(gate));
        let refused = self.refused(gate);
        if refused.is_empty() {
            return;
        }
        let restrictive = policies.iter().enumerate().filter(|(index, policy)| {
            let stops = |row: &usize| self.word(*index, gate, *row) == Word::No;
            !policy.permissive && gate.hears(policy) && refused.iter().any(stops)
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
                .map(|(i, _)| (true, self.word(i, gate, *row)))
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
        let about_owner = facts.owner_column().filter(|column| {
            let asks = |policy: &&PolicyFacts| {
                let text = gate.expression(policy).unwrap_or_default();
                text.contains("auth.uid(") && text.contains(column)
            };
            self.subject.has_user() && heard.iter().any(asks)
        });
        if let Some(column) = about_owner {
            change.push(Change::advice(format!(
                "this may be as intended: the condition is about {column}, and the row has another one than the caller's id"
            )));
        }
        let own = self.subject.has_user() && about_owner.is_none();
        change.push(facts.new_policy(gate.command, own));
        if self.is_read_of_a_write(gate) {
            if !nobody {
                code = self.code_of_read_back();
            }
            message = format!("{} {message}", self.why_read());
            change.extend(self.without_reading());
        }
        reasons.push(self.reason(code, message, change));
    }

    /// Policies that could not be asked, where that leaves a row open.
    fn undecided(&self, gate: Gate) -> Option<Reason> {
        let rows = match gate.over {
            Over::Existing => self.seen.existing.rows.len(),
            Over::Proposed => self.seen.proposed.rows.len(),
        };
        let open =
            |row| self.gate_verdict(gate, row).is_none() && self.row(row, gate.over).is_none();
        if !(0..rows).any(open) {
            return None;
        }
        let said = self.seen.said.iter().find_map(|said| {
            let policy = self.facts.policies.get(said.policy)?;
            let unasked = said
                .results
                .as_ref()
                .err()
                .filter(|refused| is_ours(refused))?;
            let it =
                gate.hears(policy) && gate.clause(policy) == said.clause && said.over == gate.over;
            it.then(|| (ident(&policy.name), unasked.message.clone()))
        });
        let (name, why) = said?;
        let message = format!("The policy {name} could not be asked by itself: {why}.");
        let advice = Change::advice(
            "the policy itself works, since PostgreSQL compiled it when it was made; make the request to see what it says",
        );
        Some(self.reason(UNDECIDED, message, vec![advice]))
    }

    fn errors(&self, gate: Gate, reasons: &mut Vec<Reason>) {
        for said in self.seen.said.iter().filter(|said| said.over == gate.over) {
            let Some(policy) = self.facts.policies.get(said.policy) else {
                continue;
            };
            let Err(refused) = &said.results else {
                continue;
            };
            if !gate.hears(policy) || gate.clause(policy) != said.clause || is_ours(refused) {
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
