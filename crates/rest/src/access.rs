//! Explains access: why rows are hidden from somebody, or a write refused.
//!
//! `Prefer: explain=access` on any request, by the holder of a service key,
//! answers with the reasons instead of carrying the request out. The request
//! is read and planned as always; then `touch` derives from the plan what it
//! touches, `scene` opens one read-only transaction, `facts` are fetched,
//! `look` asks each policy about each row as the subject, and `judge` turns
//! that into reasons. Start at `answer`; `report` lists what roles may do at
//! all.
//!
//! Invariants: nobody learns anything without a role that may see every row
//! anyway (`admit`); nothing is changed, and the transaction is rolled back;
//! no text of a caller becomes SQL; rows, relations, policies and time are
//! bounded.

mod document;
mod facts;
mod gates;
mod judge;
mod look;
mod reason;
pub mod report;

mod scene;
mod subject;
mod touch;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, header};
use kernel::Caller;
use pg::catalog::QualifiedName;
use pg::{Pool, RequestTx, Rows, SqlBuf};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{PostgresError, RestError};
use crate::execute::Context;
use crate::plan::{CallReadPlan, Plan};
use document::{Below, Explained};
use facts::{FunctionFacts, RelationFacts, RoleFacts, targets};
use judge::Case;
use look::{Above, Seen};
use reason::{Change, Reason, ident, qualified};
use scene::{Refused, Scene, Who};
use subject::Subject;
use touch::Touch;

/// How many views may stand on one another.
const VIEW_DEPTH_MAX: usize = 5;
/// Relations below views that are looked into.
const BELOW_MAX: usize = 16;

/// Whose access is to be explained, if an explanation is wanted. Nobody but
/// the holder of a service key gets as far as being read.
pub(crate) async fn wanted(
    pool: &Pool,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Option<Subject>, RestError> {
    match subject::wanted(headers)? {
        None => Ok(None),
        Some(named) => {
            admit(pool, caller).await?;
            Subject::parse(&named).map(Some)
        }
    }
}

/// A transaction would carry its requests out, whatever they wished to have
/// explained.
pub(crate) fn refuse_in_transaction(headers: &HeaderMap) -> Result<(), RestError> {
    match subject::wanted(headers)? {
        None => Ok(()),
        Some(_) => Err(RestError::NotImplemented(
            "Access is explained for single requests, not for a transaction".to_owned(),
        )),
    }
}

/// Lets roles pass that may see every row anyway.
async fn admit(pool: &Pool, caller: &Caller) -> Result<(), RestError> {
    let mut sees_all = false;
    if caller.authenticated {
        let mut tx = RequestTx::new(&caller.role, &caller.claims, &[]);
        tx.read_only();
        tx.push(SqlBuf::fixed(include_str!("access/sql/admit.sql")));
        let answer = tx.run(pool).await;
        let rows = answer.map_err(|error| RestError::from_pg(error, caller))?;
        sees_all = rows.first().and_then(Rows::scalar) == Some("t");
    }
    if sees_all {
        return Ok(());
    }
    Err(RestError::Postgres(Box::new(PostgresError {
        code: "42501".to_owned(),
        message: "Only a service key may ask for an explanation of access".to_owned(),
        detail: None,
        hint: Some("Send the service_role key, or leave `Prefer: explain=access` out.".to_owned()),
        authenticated: caller.authenticated,
    })))
}

/// The explanation of a planned request.
pub(crate) async fn answer(
    context: &Context<'_>,
    plan: &Plan<'_>,
    subject: &Subject,
) -> Result<Response, RestError> {
    if matches!(plan, Plan::Root | Plan::Info { .. }) {
        return Err(RestError::NotImplemented(
            "Access is explained for tables, views and functions".to_owned(),
        ));
    }
    let mut scene = Scene::open(context, subject).await?;
    let explained = explain(context, plan, subject, &mut scene).await;
    scene.close().await?;
    let document = explained?;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    let applied = HeaderValue::from_static("explain=access");
    let headers = [
        (header::CONTENT_TYPE, json),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::HeaderName::from_static("preference-applied"),
            applied,
        ),
    ];
    let body = if context.call.headers_only {
        String::new()
    } else {
        document.to_string()
    };
    Ok((headers, body).into_response())
}

async fn explain(
    context: &Context<'_>,
    plan: &Plan<'_>,
    subject: &Subject,
    scene: &mut Scene<'_>,
) -> Result<Value, RestError> {
    let (touches, left_out) = touch::of(context.catalog, plan);
    let mut explained = Explained::new(context.call, subject);
    if left_out > 0 {
        explained.note(format!("{left_out} more embeds were not looked into."));
    }
    let role = role(scene, subject).await?;
    let stops = stops(scene, context, subject, role.as_ref()).await?;
    explained.role(role.as_ref());
    explained.reasons.extend(stops);
    let Some(role) = role else {
        return Ok(explained.document());
    };
    if let Plan::Call(plan) = plan {
        function(scene, plan, subject, &mut explained).await?;
    }
    let names = touches
        .iter()
        .map(|touch| (&touch.relation, subject.role.as_str()));
    let facts = relations(scene, names).await?;
    let mut all_seen: Vec<Seen> = Vec::with_capacity(touches.len());
    for touch in &touches {
        let Some(of) = find(&facts, &touch.relation, &subject.role) else {
            all_seen.push(Seen::default());
            continue;
        };
        let above = touch.parent.and_then(|parent| {
            Some(Above {
                relation: &touches.get(parent.index)?.relation,
                rows: rows_of(all_seen.get(parent.index)?),
            })
        });
        let seen = if role.reachable {
            Box::pin(look::at(scene, context.catalog, touch, of, above)).await?
        } else {
            Seen::default()
        };
        let case = Case {
            touch,
            facts: of,
            seen: &seen,
            subject,
        };
        explained.relation(&case, None);
        if of.is_view() || of.is_materialized() {
            Box::pin(below(scene, context, &case, &mut explained)).await?;
        }
        all_seen.push(seen);
    }
    Ok(explained.document())
}

/// An embed hangs on the rows that are there, or on those that would be.
fn rows_of(seen: &Seen) -> &[String] {
    if seen.existing.rows.is_empty() {
        &seen.proposed.rows
    } else {
        &seen.existing.rows
    }
}

async fn role(scene: &mut Scene<'_>, subject: &Subject) -> Result<Option<RoleFacts>, RestError> {
    let sql = SqlBuf::fixed(include_str!("access/sql/subject.sql"))
        .bind(subject.role.clone())
        .bind(subject.claims_text());
    let rows = must(scene.ask(Who::Catalog, &sql).await?)?;
    documents(&rows).map(|mut found| found.pop())
}

/// What ends every request of the subject, whatever it asks for.
async fn stops(
    scene: &mut Scene<'_>,
    context: &Context<'_>,
    subject: &Subject,
    role: Option<&RoleFacts>,
) -> Result<Vec<Reason>, RestError> {
    let name = &subject.role;
    let stop = |code, message: String, change| Reason {
        code,
        on: name.clone(),
        message,
        change,
        refuses: true,
    };
    let Some(role) = role else {
        let sql = format!("CREATE ROLE {} NOLOGIN;", ident(name));
        let change = vec![Change::sql(sql, "makes the role; it has no rights yet")];
        return Ok(vec![stop(
            "no_role",
            format!("There is no role {name}."),
            change,
        )]);
    };
    let mut stops = Vec::new();
    if !role.reachable {
        let login = &role.login;
        let sql = format!("GRANT {} TO {};", ident(name), ident(login));
        let change = vec![Change::sql(sql, "lets the API act as the role")];
        let message = format!("The API logs in as {login}, which may not become {name}.");
        stops.push(stop("role_not_granted", message, change));
    }
    if role.expired {
        let message = "The token has expired: it is refused before any table is asked.".to_owned();
        let change = vec![Change::advice("sign in again or refresh the token")];
        stops.push(stop("token_expired", message, change));
    }
    if role.reachable
        && let Some(function) = &context.config.pre_request
    {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ")
            .qualified(&function.schema, &function.name)
            .lit("()");
        if let Err(refused) = scene.ask(Who::Subject, &sql).await? {
            let name = qualified(&function.schema, &function.name);
            let message = format!(
                "The pre-request function {name} refuses: {}.",
                refused.message
            );
            stops.push(stop("pre_request", message, Vec::new()));
        }
    }
    Ok(stops)
}

async fn function(
    scene: &mut Scene<'_>,
    plan: &CallReadPlan<'_>,
    subject: &Subject,
    explained: &mut Explained<'_>,
) -> Result<(), RestError> {
    let name = &plan.routine.name;
    let sql = SqlBuf::fixed(include_str!("access/sql/functions.sql"))
        .bind(name.schema.to_string())
        .bind(name.name.to_string())
        .bind(subject.role.clone());
    let rows = must(scene.ask(Who::Catalog, &sql).await?)?;
    let overloads: Vec<FunctionFacts> = documents(&rows)?;
    let params = &plan.routine.params;
    let is_it = |facts: &&FunctionFacts| {
        let named = |param: &pg::catalog::RoutineParam| {
            param.name.is_empty() || facts.names.contains(&param.name)
        };
        facts.arguments == params.len() && params.iter().all(named)
    };
    let found = overloads.iter().find(is_it).or(overloads.first());
    if let Some(found) = found {
        explained.function(found);
    }
    Ok(())
}

async fn relations<'a>(
    scene: &mut Scene<'_>,
    wanted: impl Iterator<Item = (&'a QualifiedName, &'a str)>,
) -> Result<Vec<RelationFacts>, RestError> {
    let sql = SqlBuf::fixed(include_str!("access/sql/relations.sql")).bind(targets(wanted));
    let rows = must(scene.ask(Who::Catalog, &sql).await?)?;
    documents(&rows)
}

fn find<'f>(
    facts: &'f [RelationFacts],
    name: &QualifiedName,
    role: &str,
) -> Option<&'f RelationFacts> {
    facts
        .iter()
        .find(|of| of.schema == *name.schema && of.name == *name.name && of.role == role)
}

/// The relations below a view, with the rights with which it reads them.
async fn below(
    scene: &mut Scene<'_>,
    context: &Context<'_>,
    view: &Case<'_>,
    explained: &mut Explained<'_>,
) -> Result<(), RestError> {
    let mut level = vec![(view.facts.clone(), view.touch.label.clone())];
    let mut done: Vec<(QualifiedName, String)> = Vec::new();
    let hides = Below::of(view);
    let mut decided_below = Vec::new();
    for _ in 0..VIEW_DEPTH_MAX {
        let mut wanted: Vec<(QualifiedName, String, String)> = Vec::new();
        for (above, label) in &level {
            let role = if above.security_invoker {
                &above.role
            } else {
                &above.owner
            };
            for name in &above.stands_on {
                let name = QualifiedName::new(name.schema.as_str(), name.name.as_str());
                let key = (name.clone(), role.clone());
                if done.contains(&key) || done.len() >= BELOW_MAX {
                    continue;
                }
                done.push(key);
                wanted.push((name, role.clone(), label.clone()));
            }
        }
        if wanted.is_empty() {
            break;
        }
        let names = wanted.iter().map(|(name, role, _)| (name, role.as_str()));
        let facts = relations(scene, names).await?;
        level.clear();
        for (name, role, label) in &wanted {
            let Some(of) = find(&facts, name, role) else {
                continue;
            };
            let touch = Touch::below_view(name, format!("{} (below {label})", name.name));
            if of.row_security().0 {
                decided_below.push(of.sql_name());
            }
            // As another role nobody is asked: functions in its policies would
            // still see the caller.
            let seen = if *role == view.subject.role && !of.is_view() {
                Box::pin(look::at(scene, context.catalog, &touch, of, None)).await?
            } else {
                Seen::default()
            };
            let case = Case {
                touch: &touch,
                facts: of,
                seen: &seen,
                subject: view.subject,
            };
            explained.relation(&case, Some(hides));
            if of.is_view() {
                level.push((of.clone(), touch.label.clone()));
            }
        }
    }
    // A write meets other policies there than the reading that was looked at.
    if !matches!(view.touch.act, touch::Act::Read) && !decided_below.is_empty() {
        explained.reasons.push(Reason {
            code: judge::UNDECIDED,
            on: view.touch.label.clone(),
            message: format!(
                "What is written through a view meets the policies of {}, which were not asked.",
                decided_below.join(", ")
            ),
            change: vec![Change::advice("explain the same write to the table")],
            refuses: false,
        });
    }
    Ok(())
}

/// Our own questions are not refused; if one is, that is no finding.
fn must(answer: Result<Rows, Refused>) -> Result<Rows, RestError> {
    answer.map_err(|refused| {
        RestError::Postgres(Box::new(PostgresError {
            code: refused.code,
            message: refused.message,
            detail: None,
            hint: None,
            authenticated: true,
        }))
    })
}

/// Rows of one JSON document each.
fn documents<T: DeserializeOwned>(rows: &Rows) -> Result<Vec<T>, RestError> {
    rows.iter()
        .map(|row| {
            serde_json::from_str(row.get(0).unwrap_or_default()).map_err(|error| {
                tracing::error!(%error, "A document of the catalog is not as expected");
                RestError::Internal
            })
        })
        .collect()
}
