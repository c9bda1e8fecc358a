//! Function calls.

use pg::SqlBuf;
use pg::catalog::{QualifiedName, Routine, RoutineParam};

use super::body::{BODY, from_body};
use super::expr;
use super::mutate::columns;
use crate::plan::mutate::Body;
use crate::plan::routine::{Argument, Arguments, CallPlan, returns_scalar};
use crate::plan::tree::BodyColumn;

/// The name of the function's rows in the statement.
pub(super) const CALL: &str = "pgrst_call";

/// The column of a function that returns plain values.
pub(super) const SCALAR: &str = "pgrst_scalar";

/// `SELECT … FROM function(…)`, with all the columns that are needed.
pub(super) fn select(out: &mut SqlBuf, routine: &Routine, plan: &CallPlan) {
    out.lit("SELECT ");
    let table = QualifiedName::new("", CALL);
    if returns_scalar(routine) {
        out.ident(CALL).lit(".").ident(SCALAR);
    } else {
        columns(out, &table, &plan.columns);
    }
    from(out, routine, plan);
}

/// `FROM function(…) pgrst_call`
pub(super) fn from(out: &mut SqlBuf, routine: &Routine, plan: &CallPlan) {
    match &plan.arguments {
        Arguments::Json {
            params,
            body,
            shape,
        } => {
            let fields: Vec<BodyColumn> = params.iter().map(argument_column).collect();
            let body = Body {
                text: body.clone(),
                shape: *shape,
                defaults: false,
            };
            // Of several objects the first one has the arguments.
            out.lit(" FROM (SELECT *");
            from_body(out, &body, &fields);
            out.lit(" LIMIT 1) ").ident(BODY).lit(", LATERAL ");
        }
        Arguments::None | Arguments::Body { .. } | Arguments::Direct(_) => {
            out.lit(" FROM ");
        }
    }
    let scalar = returns_scalar(routine);
    if scalar {
        out.lit("(SELECT ");
    }
    expr::qualified(out, &routine.name);
    out.lit("(");
    arguments(out, &plan.arguments);
    out.lit(")");
    if scalar {
        out.lit(" AS ").ident(SCALAR).lit(")");
    }
    out.lit(" AS ").ident(CALL);
}

fn argument_column(param: &RoutineParam) -> BodyColumn {
    BodyColumn {
        name: param.name.clone(),
        data_type: param.data_type_max_length.clone(),
        transform: None,
        default: None,
    }
}

fn arguments(out: &mut SqlBuf, arguments: &Arguments) {
    match arguments {
        Arguments::None => {}
        Arguments::Body { value, data_type } => {
            out.param(value.clone()).lit("::");
            expr::type_name(out, data_type);
        }
        Arguments::Json { params, .. } => {
            for (index, param) in params.iter().enumerate() {
                name(out, index, param);
                out.ident(BODY).lit(".").ident(&param.name);
            }
        }
        Arguments::Direct(bound) => {
            for (index, (param, argument)) in bound.iter().enumerate() {
                name(out, index, param);
                match argument {
                    Argument::One(value) => out.param(value.clone()),
                    Argument::Many(values) => out.param(expr::array_literal(values)),
                };
                out.lit("::");
                expr::type_name(out, &param.data_type_max_length);
            }
        }
    }
}

fn name(out: &mut SqlBuf, index: usize, param: &RoutineParam) {
    out.lit(if index > 0 { ", " } else { "" });
    out.lit(if param.variadic { "VARIADIC " } else { "" });
    out.ident(&param.name).lit(" := ");
}
