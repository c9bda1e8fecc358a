//! The third stage: a plan becomes SQL. Pure and total: what can be planned
//! can be written.
//!
//! Rows usually come back as columns whose text is JSON already or becomes it
//! without Postgres ([`Shape::Rows`]): putting JSON together there would cost
//! more than everything else. [`wrap`] is for the rest.

pub(crate) mod access;
mod body;
mod expr;
mod mutate;
mod read;
mod routine;
mod values;
mod wrap;

use pg::SqlBuf;
use pg::catalog::{JsonShape, ReturnKind};

use crate::call::media::{MediaType, PlanFormat, PlanOption, PlanType};
use crate::call::prefer::{Count, Representation};
use crate::call::{Action, Call, Mutation};
use crate::plan::negotiate::Handler;
use crate::plan::read::SOURCE;
use crate::plan::routine::returns_scalar;
use crate::plan::{CallReadPlan, MutateReadPlan, ReadPlan};
use read::Columns;
use wrap::{Purpose, Wrapped};

/// What a statement's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each row is an object; each value's text is or becomes JSON.
    Rows,
    /// Each row has one value, which is or becomes JSON.
    Scalars,
    /// Each row is a line of CSV.
    Csv,
    /// One row: total, rows on this page, body.
    Wrapped,
    /// One value: how many rows there are.
    Count,
    /// The lines of EXPLAIN.
    Explain,
    /// Only how many rows were touched matters, and for `Location` which.
    Affected,
}

/// A statement and how to read its answer.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) main: SqlBuf,
    pub(crate) shape: Shape,
    /// Counts all rows, when that is asked for and not part of `main`.
    pub(crate) count: Option<SqlBuf>,
}

/// A read. `rows_max` bounds the exact count of `count=estimated`.
pub(crate) fn render_read(plan: &ReadPlan<'_>, call: &Call, rows_max: Option<u64>) -> Query {
    let mut main = SqlBuf::new();
    let star = Columns::Json { star: plan.star };
    let explain = explain(&mut main, &plan.media);
    let shape = match &plan.handler {
        _ if explain => {
            let counts = call.prefer.count.is_some_and(Count::counts);
            wrap_read(&mut main, plan, Purpose::ExplainRead, counts);
            Shape::Explain
        }
        Handler::Json | Handler::Object { stripped: false }
            if read::columns_known(&plan.tree, plan.star) =>
        {
            read::select(&mut main, &plan.tree, star);
            Shape::Rows
        }
        Handler::Csv => {
            read::select(&mut main, &plan.tree, Columns::Jsonb);
            Shape::Csv
        }
        Handler::None => {
            main.lit("SELECT pg_catalog.count(*) FROM (");
            read::select(&mut main, &plan.tree, Columns::Raw);
            main.lit(") ").ident(SOURCE);
            Shape::Count
        }
        _ => {
            wrap_read(&mut main, plan, Purpose::Answer, false);
            Shape::Wrapped
        }
    };
    let count = call.prefer.count.filter(|count| count.counts() && !explain);
    let count = count.map(|count| {
        let mut out = SqlBuf::new();
        out.lit("SELECT pg_catalog.count(*) FROM (");
        read::count(&mut out, &plan.tree);
        if let (Count::Estimated, Some(max)) = (count, rows_max) {
            // One more than the limit shows that there are more.
            out.lit(" LIMIT ")
                .number(i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1));
        }
        out.lit(") pgrst_source_count");
        out
    });
    Query { main, shape, count }
}

/// `EXPLAIN` of the count, for `count=planned` and `count=estimated`.
pub(crate) fn render_count_plan(plan: &ReadPlan<'_>) -> SqlBuf {
    let mut out = SqlBuf::new();
    out.lit("EXPLAIN (FORMAT JSON) ");
    read::count(&mut out, &plan.tree);
    out
}

fn wrap_read(out: &mut SqlBuf, plan: &ReadPlan<'_>, purpose: Purpose, counts: bool) {
    let what = Wrapped {
        handler: &plan.handler,
        routine: None,
        purpose,
    };
    wrap::statement(
        out,
        what,
        |out| read::select(out, &plan.tree, embeds_as(what)),
        counts.then_some(|out: &mut SqlBuf| read::count(out, &plan.tree)),
        |out| {
            out.lit("SELECT * FROM ").ident(SOURCE);
        },
    );
}

/// Handlers of the database may show an embed's own text.
fn embeds_as(what: Wrapped<'_>) -> Columns<'static> {
    let own_text = matches!(what.handler, Handler::Custom { .. } | Handler::Csv);
    if own_text || what.purpose != Purpose::Answer {
        Columns::Jsonb
    } else {
        Columns::Raw
    }
}

/// A write.
pub(crate) fn render_mutate(plan: &MutateReadPlan<'_>, call: &Call) -> Query {
    let mut main = SqlBuf::new();
    let explain = explain(&mut main, &plan.media);
    let shape = if explain {
        let counts_inserted = plan.mutate.counts_inserted();
        wrap_write(&mut main, plan, Purpose::ExplainWrite { counts_inserted });
        Shape::Explain
    } else {
        write_by_handler(&mut main, plan, call)
    };
    Query {
        main,
        shape,
        count: None,
    }
}

fn write_by_handler(main: &mut SqlBuf, plan: &MutateReadPlan<'_>, call: &Call) -> Shape {
    match &plan.handler {
        Handler::None => {
            write_only(main, plan, call);
            Shape::Affected
        }
        Handler::Json | Handler::Object { stripped: false }
            if read::columns_known(&plan.tree, plan.star) =>
        {
            let star = Columns::Json { star: plan.star };
            if is_plain(plan) {
                mutate::write(main, &plan.mutate);
                main.lit(" RETURNING ");
                read::select_list(main, &plan.tree, &plan.table, star);
            } else {
                write_source(main, plan);
                read::select(main, &plan.tree, star);
            }
            Shape::Rows
        }
        Handler::Csv => {
            write_source(main, plan);
            read::select(main, &plan.tree, Columns::Jsonb);
            Shape::Csv
        }
        _ => {
            wrap_write(main, plan, Purpose::Answer);
            Shape::Wrapped
        }
    }
}

/// Without embeds and orders, RETURNING can say it all.
fn is_plain(plan: &MutateReadPlan<'_>) -> bool {
    plan.tree.children.is_empty()
        && plan.tree.order.is_empty()
        && !mutate::is_empty_update(&plan.mutate)
        && plan.tree.select.iter().all(|item| item.aggregate.is_none())
}

/// The write alone; the key of a new row when `Location` needs it.
fn write_only(out: &mut SqlBuf, plan: &MutateReadPlan<'_>, call: &Call) {
    if mutate::is_empty_update(&plan.mutate) {
        return mutate::nothing(out, &plan.mutate);
    }
    mutate::write(out, &plan.mutate);
    let is_insert = matches!(
        call.action,
        Action::Mutate {
            mutation: Mutation::Insert,
            ..
        }
    );
    let wants_key = call.prefer.representation == Some(Representation::HeadersOnly);
    if is_insert && wants_key && !plan.primary_key.is_empty() {
        out.lit(" RETURNING ");
        mutate::columns(out, &plan.table, &plan.primary_key);
    }
}

fn source(out: &mut SqlBuf, plan: &MutateReadPlan<'_>) {
    if mutate::is_empty_update(&plan.mutate) {
        mutate::nothing(out, &plan.mutate);
    } else {
        mutate::write(out, &plan.mutate);
        mutate::returning(out, &plan.mutate);
    }
}

fn write_source(out: &mut SqlBuf, plan: &MutateReadPlan<'_>) {
    out.lit("WITH ").ident(SOURCE).lit(" AS (");
    source(out, plan);
    out.lit(") ");
}

fn wrap_write(out: &mut SqlBuf, plan: &MutateReadPlan<'_>, purpose: Purpose) {
    let what = Wrapped {
        handler: &plan.handler,
        routine: None,
        purpose,
    };
    wrap::statement(
        out,
        what,
        |out| source(out, plan),
        None::<fn(&mut SqlBuf)>,
        |out| {
            if plan.handler == Handler::None {
                out.lit("SELECT * FROM ").ident(SOURCE);
            } else {
                read::select(out, &plan.tree, embeds_as(what));
            }
        },
    );
}

/// A function call.
pub(crate) fn render_call(plan: &CallReadPlan<'_>, call: &Call) -> Query {
    let mut main = SqlBuf::new();
    let explain = explain(&mut main, &plan.media);
    let counts = call.prefer.count.is_some_and(Count::counts);
    let scalar = returns_scalar(plan.routine);
    let known = scalar || read::columns_known(&plan.tree, plan.star);
    let shape = match &plan.handler {
        _ if explain => {
            wrap_call(&mut main, plan, Purpose::ExplainRead, counts);
            Shape::Explain
        }
        Handler::Json | Handler::Object { stripped: false } if known && !counts => {
            call_rows(&mut main, plan)
        }
        Handler::Csv if !counts => {
            call_source(&mut main, plan);
            read::select(&mut main, &plan.tree, Columns::Jsonb);
            Shape::Csv
        }
        _ => {
            wrap_call(&mut main, plan, Purpose::Answer, counts);
            Shape::Wrapped
        }
    };
    Query {
        main,
        shape,
        count: None,
    }
}

fn call_rows(out: &mut SqlBuf, plan: &CallReadPlan<'_>) -> Shape {
    if !returns_scalar(plan.routine) {
        call_source(out, plan);
        read::select(out, &plan.tree, Columns::Json { star: plan.star });
        return Shape::Rows;
    }
    let direct = match &plan.routine.returns.kind {
        ReturnKind::Scalar { json, .. } => *json == JsonShape::Direct,
        ReturnKind::Void | ReturnKind::Composite { .. } => true,
    };
    let (before, after) = if direct { ("", "") } else { ("to_json(", ")") };
    out.lit("SELECT ").lit(before);
    out.ident(routine::SCALAR).lit(after);
    if is_bare(plan) {
        routine::from(out, plan.routine, &plan.call);
    } else {
        out.lit(" FROM (");
        wrapped_source(out, plan);
        out.lit(") ").ident(SOURCE);
    }
    Shape::Scalars
}

/// Nothing is asked of the rows but to be there.
fn is_bare(plan: &CallReadPlan<'_>) -> bool {
    let tree = &plan.tree;
    tree.has_default_select()
        && tree.logic.is_empty()
        && tree.order.is_empty()
        && tree.range == crate::call::ast::RowRange::default()
}

fn wrapped_source(out: &mut SqlBuf, plan: &CallReadPlan<'_>) {
    call_source(out, plan);
    read::select(out, &plan.tree, Columns::Raw);
}

fn call_source(out: &mut SqlBuf, plan: &CallReadPlan<'_>) {
    out.lit("WITH ").ident(SOURCE).lit(" AS (");
    routine::select(out, plan.routine, &plan.call);
    out.lit(") ");
}

fn wrap_call(out: &mut SqlBuf, plan: &CallReadPlan<'_>, purpose: Purpose, counts: bool) {
    let what = Wrapped {
        handler: &plan.handler,
        routine: Some(plan.routine),
        purpose,
    };
    wrap::statement(
        out,
        what,
        |out| routine::select(out, plan.routine, &plan.call),
        counts.then_some(|out: &mut SqlBuf| read::count(out, &plan.tree)),
        |out| read::select(out, &plan.tree, embeds_as(what)),
    );
}

/// Begins with EXPLAIN when a plan is asked for.
fn explain(out: &mut SqlBuf, media: &MediaType) -> bool {
    let MediaType::Plan(plan) = media else {
        return false;
    };
    let PlanType {
        format, options, ..
    } = plan.as_ref();
    out.lit("EXPLAIN (").lit(match format {
        PlanFormat::Json => "FORMAT JSON",
        PlanFormat::Text => "FORMAT TEXT",
    });
    for option in options {
        out.lit(match option {
            PlanOption::Analyze => ", ANALYZE",
            PlanOption::Verbose => ", VERBOSE",
            PlanOption::Settings => ", SETTINGS",
            PlanOption::Buffers => ", BUFFERS",
            PlanOption::Wal => ", WAL",
        });
    }
    out.lit(") ");
    true
}
