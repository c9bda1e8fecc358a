//! What roles may do right now in the exposed schemas: every relation, every
//! command, and by which policy, or because nothing is in the way. For review
//! and for CI. Start at [`report`]; [`Finding`] is what usually nobody wanted.

mod entries;
mod findings;

use pg::catalog::QualifiedName;
use pg::{Error, Rows, Session, SqlBuf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::facts::{RelationFacts, targets};

pub use findings::{Finding, FindingKind};

/// Relations that are looked at with one statement.
const BATCH: usize = 200;
/// More relations than this are no longer a list for people.
const RELATIONS_MAX: usize = 5000;

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The schemas that were looked at.
    pub schemas: Vec<String>,
    /// Whose access it is.
    pub roles: Vec<String>,
    /// What they may do.
    pub access: Vec<Entry>,
    /// What they may call.
    pub functions: Vec<Callable>,
    /// What should be looked at.
    pub findings: Vec<Finding>,
    /// What was left out.
    pub notes: Vec<String>,
}

/// One role, one command, one relation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// Who.
    pub role: String,
    /// `schema.name`
    pub on: String,
    /// `table`, `view` …
    pub kind: String,
    /// `select`, `insert`, `update` or `delete`.
    pub command: String,
    /// Which rows.
    pub rows: Extent,
    /// Why, in words.
    pub because: String,
    /// The columns, where they are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The policies that decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Deciding>,
}

/// Which rows an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Every one.
    All,
    /// Those that policies let pass.
    ByPolicy,
    /// Those that a view shows.
    ByView,
}

/// A policy that has a say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deciding {
    /// Its name.
    pub name: String,
    /// Of the permissive ones any, of the others all must be true.
    pub permissive: bool,
    /// Which existing rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
    /// Which new rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// A function that a role may call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Callable {
    /// Who.
    pub role: String,
    /// Its signature.
    pub function: String,
    /// `definer` or `invoker`
    pub security: String,
    /// With whose rights a `definer` runs.
    pub owner: String,
    /// It may write.
    pub volatile: bool,
    /// It has a `search_path` of its own.
    pub search_path_fixed: bool,
    /// What brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
}

/// A relation of an exposed schema.
#[derive(Clone, Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Exposed {
    schema: String,
    name: String,
    declared_public: bool,
    insertable: bool,
    updatable: bool,
    deletable: bool,
}

/// A relation for one role, with what it stands on.
struct Standing<'a> {
    exposed: &'a Exposed,
    facts: RelationFacts,
}

/// Looks at the schemas, in one snapshot. Nothing is changed.
pub async fn report(
    session: &mut Session,
    schemas: &[String],
    roles: &[String],
) -> Result<Report, Error> {
    session
        .script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''")
        .await?;
    let report = look(session, schemas, roles).await;
    let ended = session.script("ROLLBACK").await;
    let report = report?;
    ended.map(|_| report)
}

async fn look(
    session: &mut Session,
    schemas: &[String],
    roles: &[String],
) -> Result<Report, Error> {
    let mut notes = Vec::new();
    let sql = SqlBuf::fixed(include_str!("sql/exposed_relations.sql")).bind(array(schemas));
    let mut exposed: Vec<Exposed> = documents(&session.query_buf(&sql).await?)?;
    if exposed.len() > RELATIONS_MAX {
        notes.push(format!(
            "{} relations more than {RELATIONS_MAX} were left out",
            exposed.len() - RELATIONS_MAX
        ));
        exposed.truncate(RELATIONS_MAX);
    }
    let standing = standing(session, &exposed, roles).await?;
    let sql = SqlBuf::fixed(include_str!("sql/exposed_functions.sql"))
        .bind(array(schemas))
        .bind(array(roles));
    let functions: Vec<Callable> = documents(&session.query_buf(&sql).await?)?;
    let below = below(session, &standing).await?;
    let mut access: Vec<Entry> = standing.iter().flat_map(entries::of).collect();
    access.sort();
    Ok(Report {
        findings: findings::of(&standing, &below, &access, &functions),
        schemas: schemas.to_vec(),
        roles: roles.to_vec(),
        access,
        functions,
        notes,
    })
}

async fn standing<'e>(
    session: &mut Session,
    exposed: &'e [Exposed],
    roles: &[String],
) -> Result<Vec<Standing<'e>>, Error> {
    let mut standing = Vec::new();
    for role in roles {
        for batch in exposed.chunks(BATCH) {
            let names: Vec<QualifiedName> = batch
                .iter()
                .map(|of| QualifiedName::new(of.schema.as_str(), of.name.as_str()))
                .collect();
            let wanted = names.iter().map(|name| (name, role.as_str()));
            for facts in facts(session, targets(wanted)).await? {
                let exposed = batch
                    .iter()
                    .find(|of| of.schema == facts.schema && of.name == facts.name);
                standing.extend(exposed.map(|exposed| Standing { exposed, facts }));
            }
        }
    }
    Ok(standing)
}

/// What views with their owner's rights read, as it is for that owner.
async fn below(
    session: &mut Session,
    standing: &[Standing<'_>],
) -> Result<Vec<RelationFacts>, Error> {
    let mut names: Vec<(QualifiedName, String)> = standing
        .iter()
        .filter(|of| of.facts.is_view() || of.facts.is_materialized())
        .filter(|of| !of.facts.security_invoker)
        .flat_map(|of| {
            let owner = &of.facts.owner;
            let names = of.facts.stands_on.iter();
            names.map(move |below| {
                let name = QualifiedName::new(below.schema.as_str(), below.name.as_str());
                (name, owner.clone())
            })
        })
        .collect();
    names.sort();
    names.dedup();
    let mut below = Vec::new();
    for batch in names.chunks(BATCH) {
        let wanted = batch.iter().map(|(name, role)| (name, role.as_str()));
        below.extend(facts(session, targets(wanted)).await?);
    }
    Ok(below)
}

async fn facts(session: &mut Session, targets: String) -> Result<Vec<RelationFacts>, Error> {
    let sql = SqlBuf::fixed(include_str!("sql/relations.sql")).bind(targets);
    documents(&session.query_buf(&sql).await?)
}

fn documents<T: DeserializeOwned>(rows: &Rows) -> Result<Vec<T>, Error> {
    let read = |text: &str| {
        serde_json::from_str(text)
            .map_err(|error| Error::Protocol(format!("a document of the catalog: {error}")))
    };
    rows.iter()
        .map(|row| read(row.get(0).unwrap_or_default()))
        .collect()
}

fn array(items: &[String]) -> String {
    crate::sql::access::array(items)
}
