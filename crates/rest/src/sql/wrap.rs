//! Answers that Postgres itself puts together, for what only it can do:
//! custom media types, `GeoJSON`, stripping nulls, counting a function's rows.
//! One row comes back: total, rows on this page, body.

use pg::SqlBuf;

use super::expr;
use super::routine::SCALAR;
use crate::plan::negotiate::Handler;
use crate::plan::read::SOURCE;
use crate::plan::routine::returns_scalar;

/// The name of the final rows in the statement.
const ROWS: &str = "_postgrest_t";

/// What is wrapped, for the body's expression.
#[derive(Clone, Copy)]
pub(super) struct Wrapped<'a> {
    pub(super) handler: &'a Handler,
    pub(super) routine: Option<&'a pg::catalog::Routine>,
    pub(super) purpose: Purpose,
}

/// What the statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Answer,
    /// EXPLAIN shows what PostgREST would ask, so that plans and costs can be
    /// compared: everything in one statement, settings included.
    ExplainRead,
    ExplainWrite {
        counts_inserted: bool,
    },
}

/// `WITH pgrst_source AS (source), … SELECT total, page, body FROM (rows)`
pub(super) fn statement(
    out: &mut SqlBuf,
    what: Wrapped<'_>,
    source: impl FnOnce(&mut SqlBuf),
    count: Option<impl FnOnce(&mut SqlBuf)>,
    rows: impl FnOnce(&mut SqlBuf),
) {
    out.lit("WITH ").ident(SOURCE).lit(" AS (");
    source(out);
    out.lit(")");
    let counted = count.is_some();
    if let Some(count) = count {
        out.lit(", pgrst_source_count AS (");
        count(out);
        out.lit(")");
    }
    let is_write = matches!(what.purpose, Purpose::ExplainWrite { .. });
    out.lit(if counted {
        " SELECT (SELECT pg_catalog.count(*) FROM pgrst_source_count), "
    } else if is_write {
        " SELECT '', "
    } else {
        " SELECT NULL::bigint, "
    });
    let single = what.routine.is_some_and(|routine| !routine.returns.set);
    if single {
        out.lit("1, ");
    } else {
        out.lit("pg_catalog.count(").ident(ROWS).lit("), ");
    }
    if is_write {
        out.lit("array[]::text[], ");
    }
    body(out, what);
    explained(out, what.purpose);
    out.lit(" FROM (");
    rows(out);
    out.lit(") ").ident(ROWS);
}

/// The columns that are statements of their own when nothing is explained.
fn explained(out: &mut SqlBuf, purpose: Purpose) {
    if purpose == Purpose::Answer {
        return;
    }
    out.lit(", nullif(current_setting('response.headers', true), '')");
    out.lit(", nullif(current_setting('response.status', true), ''), ");
    out.lit(match purpose {
        Purpose::ExplainWrite {
            counts_inserted: true,
        } => "nullif(current_setting('pgrst.inserted', true), '')::int",
        _ => "''",
    });
}

fn body(out: &mut SqlBuf, what: Wrapped<'_>) {
    let scalar = what.routine.is_some_and(returns_scalar);
    let single = what.routine.is_some_and(|routine| !routine.returns.set);
    match what.handler {
        // CSV is put together by the reply stage.
        Handler::None | Handler::Csv => {
            out.lit("''::text");
        }
        Handler::Json => json(out, scalar, single, false),
        Handler::JsonStripped => json(out, scalar, single, true),
        Handler::Object { stripped } => json(out, scalar, true, *stripped),
        Handler::GeoJson => {
            out.lit("json_build_object('type', 'FeatureCollection', 'features', coalesce(json_agg(ST_AsGeoJSON(")
                .ident(ROWS)
                .lit(")::json), '[]'))");
        }
        Handler::Custom { function, relation } => {
            expr::qualified(out, function);
            out.lit("(").ident(ROWS);
            match relation {
                _ if scalar => {
                    out.lit(".").ident(SCALAR);
                }
                Some(relation) => {
                    out.lit("::");
                    expr::qualified(out, relation);
                }
                None => {}
            }
            out.lit(")");
        }
    }
}

fn json(out: &mut SqlBuf, scalar: bool, single: bool, stripped: bool) {
    out.lit("coalesce(");
    out.lit(if stripped { "json_strip_nulls(" } else { "" });
    out.lit("json_agg(").ident(ROWS);
    if scalar {
        out.lit(".").ident(SCALAR);
    }
    out.lit(if single { ")->0" } else { ")" });
    out.lit(if stripped { ")" } else { "" });
    out.lit(if single { ", 'null')" } else { ", '[]')" });
}
