//! Looks at the rows of one touched relation: which there are, which would be
//! written, and what each policy says to each of them.

use std::str::FromStr as _;

use pg::Rows;
use pg::catalog::{Catalog, QualifiedName};
use serde_json::Value as Json;

use super::facts::{ColumnFacts, PolicyFacts, RelationFacts};
use super::gates::{Clause, Gate, Over, gates};
use super::scene::{Refused, Scene, Who};
use super::touch::{Act, Touch};
use crate::error::RestError;
use crate::plan::mutate::Body;
use crate::plan::tree::BodyColumn;
use crate::sql::access::{self as statements, Below, Value, Wanted};

/// Rows that are looked at. An explanation is for reading.
pub(super) const ROWS_MAX: usize = 20;
/// Policies of one relation that are asked.
pub(super) const POLICIES_MAX: usize = 64;

/// Rows of the relation as text, with their keys.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) rows: Vec<String>,
    /// `Null` for rows without a key: of tables without one, and new ones.
    pub(super) keys: Vec<Json>,
    pub(super) truncated: bool,
}

/// What one policy said to one kind of rows.
#[derive(Debug)]
pub(super) struct Said {
    /// Index into the relation's policies.
    pub(super) policy: usize,
    pub(super) clause: Clause,
    pub(super) over: Over,
    pub(super) results: Result<Vec<Option<bool>>, Refused>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) existing: Sample,
    pub(super) proposed: Sample,
    pub(super) said: Vec<Said>,
    /// Whether the subject sees each existing row, told by PostgreSQL itself.
    pub(super) visible: Option<Vec<bool>>,
    pub(super) notes: Vec<String>,
    /// PostgreSQL refuses what would be written before any policy is asked.
    pub(super) unwritable: Option<Refused>,
}

/// The parent's rows, for embeds.
pub(super) struct Above<'a> {
    pub(super) relation: &'a QualifiedName,
    pub(super) rows: &'a [String],
}

/// Looks. `asked` says whether policies decide for the subject at all.
pub(super) async fn at(
    scene: &mut Scene<'_>,
    catalog: &Catalog,
    touch: &Touch<'_>,
    facts: &RelationFacts,
    above: Option<Above<'_>>,
) -> Result<Seen, RestError> {
    let mut seen = Seen::default();
    let relation = &touch.relation;
    let primary_key: &[String] = catalog
        .table(relation)
        .map_or(&[], |table| table.primary_key.as_slice());
    rows(scene, touch, above, primary_key, &mut seen).await?;
    let (decides, _) = facts.row_security();
    if !facts.schema_usage {
        // Not even the type of the row could be named by the subject.
        return Ok(seen);
    }
    if decides || facts.is_view() {
        proposed(scene, touch, facts, &mut seen).await?;
    }
    if let Act::Insert {
        conflict: Some(conflict),
        ..
    } = touch.act
        && !seen.proposed.rows.is_empty()
    {
        let (new, columns) = (&seen.proposed.rows, &conflict.columns);
        let sql = statements::conflicting(relation, new, columns, primary_key, ROWS_MAX);
        seen.existing = sample(scene.ask(Who::Service, &sql).await?, &mut seen.notes);
    }
    if decides {
        policies(scene, touch, facts, &mut seen).await?;
    }
    visible(scene, facts, primary_key, &mut seen, relation).await?;
    Ok(seen)
}

/// The existing rows that the request is about, as the service key sees them.
async fn rows(
    scene: &mut Scene<'_>,
    touch: &Touch<'_>,
    above: Option<Above<'_>>,
    primary_key: &[String],
    seen: &mut Seen,
) -> Result<(), RestError> {
    let (alias, logic) = match (&touch.act, touch.node) {
        (Act::Insert { .. }, _) => return Ok(()),
        (Act::Update { logic, .. } | Act::Delete { logic }, _) => (None, *logic),
        (Act::Read, Some(node)) => (statements::alias_of(node), node.logic.as_slice()),
        (Act::Read, None) => (None, [].as_slice()),
    };
    if logic.iter().any(statements::names_embed) {
        seen.notes
            .push("Conditions on embeds were left out when rows were looked up.".to_owned());
    }
    let below = above
        .zip(touch.parent.as_ref())
        .map(|(above, parent)| Below {
            parent: above.relation,
            rows: above.rows,
            relationship: parent.relationship,
            is_junction: touch.is_junction,
        });
    let sql = statements::rows(&Wanted {
        relation: &touch.relation,
        alias,
        logic,
        below,
        primary_key,
        rows_max: ROWS_MAX + 1,
    });
    seen.existing = sample(scene.ask(Who::Service, &sql).await?, &mut seen.notes);
    Ok(())
}

fn sample(answer: Result<Rows, Refused>, notes: &mut Vec<String>) -> Sample {
    let rows = match answer {
        Ok(rows) => rows,
        Err(refused) => {
            notes.push(format!(
                "No rows were looked at, because the service key was refused: {}.",
                refused.message
            ));
            return Sample::default();
        }
    };
    let mut sample = Sample {
        truncated: rows.len() > ROWS_MAX,
        ..Sample::default()
    };
    for row in rows.iter().take(ROWS_MAX) {
        sample.rows.push(row.get(0).unwrap_or_default().to_owned());
        let key = row.get(1).and_then(|text| Json::from_str(text).ok());
        sample.keys.push(key.unwrap_or(Json::Null));
    }
    sample
}

/// The rows as they would be written.
async fn proposed(
    scene: &mut Scene<'_>,
    touch: &Touch<'_>,
    facts: &RelationFacts,
    seen: &mut Seen,
) -> Result<(), RestError> {
    let (columns, body, is_insert) = match touch.act {
        Act::Insert { columns, body, .. } => (columns, body, true),
        Act::Update { columns, body, .. } => (columns, body, false),
        Act::Read | Act::Delete { .. } => return Ok(()),
    };
    if !is_insert && (columns.is_empty() || seen.existing.rows.is_empty()) {
        return Ok(());
    }
    let mut draft = Draft {
        touch,
        facts,
        columns,
        body,
        defaults: true,
    };
    let mut answer = scene.ask(Who::Subject, &draft.sql(&seen.existing)).await?;
    let first = answer.as_ref().err().cloned();
    if let Some(refused) = first.filter(|_| is_insert) {
        draft.defaults = false;
        answer = scene.ask(Who::Subject, &draft.sql(&seen.existing)).await?;
        if answer.is_ok() {
            seen.notes.push(format!(
                "Defaults were taken as null, because they could not be evaluated: {}.",
                refused.message
            ));
        }
    }
    match answer {
        Ok(rows) => {
            seen.proposed.truncated = is_insert && rows.len() > ROWS_MAX;
            let texts = rows.iter().take(ROWS_MAX);
            let texts = texts.map(|row| row.get(0).unwrap_or_default().to_owned());
            seen.proposed.rows = texts.collect();
            seen.proposed.keys = if is_insert {
                vec![Json::Null; seen.proposed.rows.len()]
            } else {
                seen.existing.keys.clone()
            };
        }
        Err(refused) => seen.unwritable = Some(refused),
    }
    notes_on_new_rows(&draft, is_insert, seen);
    Ok(())
}

/// What is known about a row before it is written.
struct Draft<'a> {
    touch: &'a Touch<'a>,
    facts: &'a RelationFacts,
    columns: &'a [BodyColumn],
    body: &'a Body,
    /// Defaults are evaluated, unless they were found not to evaluate.
    defaults: bool,
}

impl Draft<'_> {
    fn sql(&self, existing: &Sample) -> pg::SqlBuf {
        let is_insert = matches!(self.touch.act, Act::Insert { .. });
        let values: Vec<Value<'_>> = self
            .facts
            .columns
            .iter()
            .map(|column| {
                if self.columns.iter().any(|said| said.name == column.name) {
                    Value::Body(&column.name)
                } else if !is_insert {
                    Value::Present(&column.name)
                } else {
                    self.default(column)
                }
            })
            .collect();
        let (relation, body) = (&self.touch.relation, self.body);
        if is_insert {
            let rows_max = ROWS_MAX + 1;
            statements::inserted(relation, &values, self.columns, body, rows_max)
        } else {
            let rows = &existing.rows;
            statements::updated(relation, rows, &values, self.columns, body)
        }
    }

    fn default<'f>(&self, column: &'f ColumnFacts) -> Value<'f> {
        match &column.default {
            // Asking a sequence would use a number up, and nothing may change.
            Some(default) if self.defaults && !default.contains("nextval(") => {
                Value::Default(default)
            }
            _ => Value::Null,
        }
    }
}

fn notes_on_new_rows(draft: &Draft<'_>, is_insert: bool, seen: &mut Seen) {
    let said = |name: &str| draft.columns.iter().any(|column| column.name == name);
    let numbered = |column: &&ColumnFacts| {
        let default = column.default.as_deref().unwrap_or_default();
        column.identity || default.contains("nextval(")
    };
    let null: Vec<&str> = draft
        .facts
        .columns
        .iter()
        .filter(|column| column.generated || (is_insert && numbered(column)))
        .filter(|column| !said(&column.name))
        .map(|column| column.name.as_str())
        .collect();
    if !null.is_empty() {
        seen.notes.push(format!(
            "Generated and numbered columns are not evaluated: {}.",
            null.join(", ")
        ));
    }
    for trigger in &draft.facts.triggers {
        if (is_insert && trigger.insert) || (!is_insert && trigger.update) {
            seen.notes.push(format!(
                "The trigger {} runs before policies are asked and may change the row.",
                trigger.name
            ));
        }
    }
}

/// Asks every policy that has a say, once for each kind of rows.
async fn policies(
    scene: &mut Scene<'_>,
    touch: &Touch<'_>,
    facts: &RelationFacts,
    seen: &mut Seen,
) -> Result<(), RestError> {
    for gate in gates(touch) {
        for (index, policy) in facts.policies.iter().enumerate().take(POLICIES_MAX) {
            if !gate.hears(policy) {
                continue;
            }
            let clause = gate.clause(policy);
            let known = seen.said.iter().any(|said| {
                said.policy == index && said.clause == clause && said.over == gate.over
            });
            let rows = match gate.over {
                Over::Existing => &seen.existing.rows,
                Over::Proposed => &seen.proposed.rows,
            };
            if known || rows.is_empty() {
                continue;
            }
            let results = ask(scene, touch, policy, &gate, rows).await?;
            seen.said.push(Said {
                policy: index,
                clause,
                over: gate.over,
                results,
            });
        }
    }
    if facts.policies.len() > POLICIES_MAX {
        let more = facts.policies.len() - POLICIES_MAX;
        seen.notes
            .push(format!("{more} more policies were not asked."));
    }
    Ok(())
}

async fn ask(
    scene: &mut Scene<'_>,
    touch: &Touch<'_>,
    policy: &PolicyFacts,
    gate: &Gate,
    rows: &[String],
) -> Result<Result<Vec<Option<bool>>, Refused>, RestError> {
    let Some(expression) = gate.expression(policy) else {
        // A policy without this clause has nothing against any row.
        return Ok(Ok(vec![Some(true); rows.len()]));
    };
    let sql = statements::policy(&touch.relation, rows, expression);
    let answer = scene.ask(Who::Subject, &sql).await?;
    Ok(answer.map(|rows| {
        let results = rows.iter().map(|row| row.get(0).map(|value| value == "t"));
        results.collect()
    }))
}

/// What PostgreSQL itself shows the subject, all policies together.
async fn visible(
    scene: &mut Scene<'_>,
    facts: &RelationFacts,
    primary_key: &[String],
    seen: &mut Seen,
    relation: &QualifiedName,
) -> Result<(), RestError> {
    let may_read = |name: &String| facts.column(name).is_some_and(|column| column.select);
    let answerable = !primary_key.is_empty() && primary_key.iter().all(may_read);
    if !answerable || seen.existing.rows.is_empty() {
        return Ok(());
    }
    let sql = statements::visible(relation, &seen.existing.rows, primary_key);
    match scene.ask(Who::Subject, &sql).await? {
        Ok(rows) => {
            let shown = rows.iter().map(|row| row.get(0) == Some("t"));
            seen.visible = Some(shown.collect());
        }
        Err(refused) => seen.notes.push(format!(
            "PostgreSQL refuses to show rows to {}: {}.",
            facts.role, refused.message
        )),
    }
    Ok(())
}
