//! A JSON body as rows: `json_to_recordset` with the columns' types, so that
//! Postgres itself turns JSON into values and names what does not fit.

use pg::SqlBuf;

use super::expr;
use crate::call::payload::Shape;
use crate::plan::mutate::Body;
use crate::plan::tree::BodyColumn;

/// The name of the body's rows in the statement.
pub(super) const BODY: &str = "pgrst_body";

/// `FROM (…) pgrst_body`: a row for every object of the body.
pub(super) fn from_body(out: &mut SqlBuf, body: &Body, columns: &[BodyColumn]) {
    if columns.is_empty() {
        return rows_without_columns(out, body);
    }
    let transformed = columns.iter().any(|column| column.transform.is_some());
    if transformed {
        out.lit(" FROM (SELECT ");
        for (index, column) in columns.iter().enumerate() {
            out.lit(if index > 0 { ", " } else { "" });
            if let Some(function) = &column.transform {
                expr::qualified(out, function);
                out.lit("(").ident(&column.name).lit(") AS ");
            }
            out.ident(&column.name);
        }
    }
    out.lit(" FROM ");
    recordset(out, body, columns);
    out.lit(" AS ");
    out.ident(if transformed { "_" } else { BODY }).lit("(");
    for (index, column) in columns.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" });
        out.ident(&column.name).lit(" ");
        expr::type_name(out, &column.data_type);
    }
    out.lit(")");
    if transformed {
        out.lit(") ").ident(BODY);
    }
}

fn recordset(out: &mut SqlBuf, body: &Body, columns: &[BodyColumn]) {
    let text = body.text.as_str().to_owned();
    match (body.defaults, body.shape) {
        (false, Shape::Object) => {
            out.lit("json_to_record(").param(text).lit(")");
        }
        (false, Shape::Array) => {
            out.lit("json_to_recordset(").param(text).lit(")");
        }
        (true, Shape::Object) => {
            out.lit("jsonb_to_record(");
            defaults(out, columns);
            out.lit(" || ").param(text).lit(")");
        }
        (true, Shape::Array) => {
            out.lit("(SELECT jsonb_agg(");
            defaults(out, columns);
            out.lit(" || elem) AS value FROM jsonb_array_elements(")
                .param(text)
                .lit(") elem) pgrst_defaults, LATERAL jsonb_to_recordset(pgrst_defaults.value)");
        }
    }
}

/// `jsonb_build_object('column', default, …)`
fn defaults(out: &mut SqlBuf, columns: &[BodyColumn]) {
    out.lit("jsonb_build_object(");
    let mut separator = "";
    for column in columns {
        if let Some(default) = &column.default {
            out.lit(separator).text_literal(&column.name).lit(", ");
            // The expression is the catalog's, as pg_get_expr wrote it.
            out.catalog_expression(default);
            separator = ", ";
        }
    }
    out.lit(")");
}

/// `{}` is one row of defaults, `[{}, {}]` two.
fn rows_without_columns(out: &mut SqlBuf, body: &Body) {
    match body.shape {
        Shape::Object => {
            out.lit(" FROM (VALUES (1)) ").ident(BODY);
        }
        Shape::Array => {
            out.lit(" FROM json_array_elements(")
                .param(body.text.as_str().to_owned())
                .lit(") ")
                .ident(BODY);
        }
    }
}
