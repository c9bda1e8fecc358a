//! Writes: INSERT, UPDATE, DELETE.

use pg::SqlBuf;
use pg::catalog::QualifiedName;

use super::body::{BODY, from_body};
use super::{expr, values};
use crate::call::prefer::Resolution;
use crate::plan::mutate::{Body, Conflict, MutateKind, MutatePlan};
use crate::plan::tree::{BodyColumn, PlanLogic};

/// The write up to RETURNING, which the caller adds.
pub(super) fn write(out: &mut SqlBuf, plan: &MutatePlan) {
    match &plan.kind {
        MutateKind::Insert {
            columns,
            body,
            conflict,
            put,
        } => {
            out.lit("INSERT INTO ");
            expr::qualified(out, &plan.table);
            let counts = plan.counts_inserted();
            insert(out, columns, body, counts);
            insert_conditions(out, put, counts);
            if let Some(conflict) = conflict {
                on_conflict(out, conflict, columns, counts);
            }
        }
        MutateKind::Update {
            columns,
            body,
            logic,
        } => {
            out.lit("UPDATE ");
            expr::qualified(out, &plan.table);
            out.lit(" SET ");
            for (index, column) in columns.iter().enumerate() {
                out.lit(if index > 0 { ", " } else { "" });
                out.ident(&column.name).lit(" = ").ident(BODY).lit(".");
                out.ident(&column.name);
            }
            from_body(out, body, columns);
            conditions(out, &plan.table, logic);
        }
        MutateKind::Delete { logic } => {
            out.lit("DELETE FROM ");
            expr::qualified(out, &plan.table);
            conditions(out, &plan.table, logic);
        }
    }
}

/// An UPDATE without columns changes nothing, and `SET` nothing is no SQL.
pub(super) fn is_empty_update(plan: &MutatePlan) -> bool {
    matches!(&plan.kind, MutateKind::Update { columns, .. } if columns.is_empty())
}

/// No rows, but with the columns that would have been returned.
pub(super) fn nothing(out: &mut SqlBuf, plan: &MutatePlan) {
    out.lit("SELECT ");
    if plan.returning.is_empty() {
        out.lit("NULL");
    }
    columns(
        out,
        &QualifiedName::new("", plan.table.name.clone()),
        &plan.returning,
    );
    out.lit(" FROM ");
    expr::qualified(out, &plan.table);
    out.lit(" WHERE false");
}

/// `RETURNING` the columns that the read on top needs.
pub(super) fn returning(out: &mut SqlBuf, plan: &MutatePlan) {
    out.lit(" RETURNING ");
    if plan.returning.is_empty() {
        out.lit("1");
    }
    columns(out, &plan.table, &plan.returning);
}

pub(super) fn columns(out: &mut SqlBuf, table: &QualifiedName, names: &[String]) {
    for (index, name) in names.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" });
        expr::column(out, table, name);
    }
}

fn insert(out: &mut SqlBuf, columns: &[BodyColumn], body: &Body, conditional: bool) {
    if !columns.is_empty() {
        out.lit("(");
        for (index, column) in columns.iter().enumerate() {
            out.lit(if index > 0 { ", " } else { "" })
                .ident(&column.name);
        }
        out.lit(")");
    }
    // VALUES has no room for conditions.
    let values = if conditional {
        None
    } else {
        values::of(body, columns)
    };
    if let Some(values) = values {
        for (index, value) in values.into_iter().enumerate() {
            out.lit(if index > 0 { ", " } else { " VALUES (" })
                .param(value);
        }
        out.lit(")");
        return;
    }
    out.lit(" SELECT ");
    for (index, column) in columns.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" });
        out.ident(BODY).lit(".").ident(&column.name);
    }
    from_body(out, body, columns);
}

fn insert_conditions(out: &mut SqlBuf, put: &[PlanLogic], counts: bool) {
    if counts {
        out.lit(" WHERE ");
        count_inserted(out, true);
    }
    for tree in put {
        out.lit(" AND ");
        expr::logic(out, &QualifiedName::new("", BODY), tree);
    }
}

fn on_conflict(out: &mut SqlBuf, conflict: &Conflict, columns: &[BodyColumn], counts: bool) {
    if conflict.columns.is_empty() {
        return;
    }
    out.lit(" ON CONFLICT(");
    for (index, column) in conflict.columns.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" }).ident(column);
    }
    out.lit(") ");
    if conflict.resolution == Resolution::IgnoreDuplicates || columns.is_empty() {
        out.lit("DO NOTHING");
        return;
    }
    out.lit("DO UPDATE SET ");
    for (index, column) in columns.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" });
        out.ident(&column.name)
            .lit(" = EXCLUDED.")
            .ident(&column.name);
    }
    if counts {
        out.lit(" WHERE ");
        count_inserted(out, false);
    }
}

/// Counts in a setting of the transaction: up for each row that is tried,
/// down for each that turns out to be an update. It works where `xmax` does
/// not: on views. Always true.
fn count_inserted(out: &mut SqlBuf, up: bool) {
    out.lit("set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) ");
    out.lit(if up { "+ 1" } else { "- 1" });
    out.lit(")::text, true) <> ");
    out.lit(if up { "'0'" } else { "'-1'" });
}

fn conditions(out: &mut SqlBuf, table: &QualifiedName, logic: &[PlanLogic]) {
    let mut keyword = " WHERE ";
    for tree in logic {
        out.lit(keyword);
        expr::logic(out, table, tree);
        keyword = " AND ";
    }
}
