//! The fourth stage and the only one that meets Postgres: one `RequestTx` for
//! each request, which commits in the same round trip unless the dialect wants
//! to look at the result first.

use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;
use kernel::Caller;
use pg::catalog::{Catalog, Routine};
use pg::{Isolation, OpenTx, Opening, Pool, RequestTx, Rows, SqlBuf};

use crate::call::prefer::{Count, Preferences, TransactionEnd};
use crate::call::{Call, cookies_json, headers_json};
use crate::config::Config;
use crate::error::RestError;
use crate::plan::Plan;
use crate::sql::{Query, Shape};

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The rows of the main statement.
    pub(crate) rows: Rows,
    /// All rows of the table, when they were counted or guessed.
    pub(crate) total: Option<u64>,
    /// Rows that were new, for upserts.
    pub(crate) inserted: Option<i64>,
    /// `response.headers`
    pub(crate) headers: Option<String>,
    /// `response.status`
    pub(crate) status: Option<String>,
}

/// Everything that a transaction is made of besides its statements.
pub(crate) struct Context<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) catalog: &'a Catalog,
    pub(crate) config: &'a Config,
    pub(crate) caller: &'a Caller,
    pub(crate) call: &'a Call,
    pub(crate) headers: &'a HeaderMap,
    /// The search path of the call's schema.
    pub(crate) search_path: &'a str,
}

/// Looks at an outcome before it is committed.
pub(crate) type Check<'a> = dyn Fn(&Outcome) -> Result<(), RestError> + Sync + 'a;

/// What a statement of the transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    PreRequest,
    Main,
    /// Counts all rows.
    Count,
    /// Explains that, for an estimate.
    CountPlan,
    /// How many rows of an upsert were new.
    Inserted,
    /// What the statement left in `response.headers` and `response.status`.
    Response,
}

/// A transaction and what its statements are for, in their order.
pub(crate) struct Prepared {
    tx: RequestTx,
    steps: Vec<Step>,
    shape: Shape,
}

impl Prepared {
    fn push(&mut self, step: Step, statement: SqlBuf) {
        self.tx.push(statement);
        self.steps.push(step);
    }
}

/// Everything that a plan needs run, in its order.
pub(crate) fn assemble(
    context: &Context<'_>,
    plan: &Plan<'_>,
    query: Query,
    count_plan: Option<SqlBuf>,
) -> Prepared {
    let mut prepared = prepare(context, plan);
    let Query { main, shape, count } = query;
    prepared.shape = shape;
    prepared.push(Step::Main, main);
    if let Some(count) = count {
        prepared.push(Step::Count, count);
    }
    if let Some(count_plan) = count_plan {
        prepared.push(Step::CountPlan, count_plan);
    }
    if matches!(plan, Plan::Mutate(plan) if plan.mutate.counts_inserted()) {
        prepared.push(Step::Inserted, SqlBuf::fixed(INSERTED));
    }
    if context.catalog.response_settings_used || context.config.pre_request.is_some() {
        prepared.push(Step::Response, SqlBuf::fixed(RESPONSE));
    }
    prepared
}

/// Runs it and, before anything is committed, `check`s its outcome.
pub(crate) async fn run(
    context: &Context<'_>,
    prepared: Prepared,
    check: Option<&Check<'_>>,
) -> Result<Outcome, RestError> {
    let Prepared { tx, steps, shape } = prepared;
    let refuse = |error| refused(error, context.caller);
    let Some(check) = check else {
        let results = tx.run(context.pool).await.map_err(refuse)?;
        return Ok(outcome(context, shape, &steps, results));
    };
    let (open, results) = tx.open(context.pool).await.map_err(refuse)?;
    let outcome = outcome(context, shape, &steps, results);
    if let Err(error) = check(&outcome) {
        open.rollback().await.map_err(refuse)?;
        return Err(error);
    }
    open.finish().await.map_err(refuse)?;
    Ok(outcome)
}

/// Runs it in a transaction that goes on.
pub(crate) async fn run_in(
    open: &mut OpenTx,
    context: &Context<'_>,
    prepared: Prepared,
) -> Result<Outcome, RestError> {
    let Prepared { tx, steps, shape } = prepared;
    let results = open.run(tx).await;
    let results = results.map_err(|error| refused(error, context.caller))?;
    Ok(outcome(context, shape, &steps, results))
}

/// Runs a few statements of our own as the caller: the OpenAPI root.
pub(crate) async fn run_all(
    context: &Context<'_>,
    plan: &Plan<'_>,
    statements: Vec<SqlBuf>,
) -> Result<Vec<Rows>, RestError> {
    let mut prepared = prepare(context, plan);
    for statement in statements {
        prepared.push(Step::Main, statement);
    }
    let Prepared { tx, steps, .. } = prepared;
    let results = tx
        .run(context.pool)
        .await
        .map_err(|error| refused(error, context.caller))?;
    let mains = steps.into_iter().zip(results);
    Ok(mains
        .filter(|(step, _)| *step == Step::Main)
        .map(|(_, rows)| rows)
        .collect())
}

const INSERTED: &str = "SELECT nullif(current_setting('pgrst.inserted', true), '')";

const RESPONSE: &str = "SELECT nullif(current_setting('response.headers', true), ''), \
                        nullif(current_setting('response.status', true), '')";

pub(crate) fn refused(error: pg::Error, caller: &Caller) -> RestError {
    if error.db().is_none() {
        tracing::warn!("request failed without an answer of PostgreSQL: {error}");
    }
    RestError::from_pg(error, caller)
}

fn prepare(context: &Context<'_>, plan: &Plan<'_>) -> Prepared {
    let Context {
        catalog,
        config,
        caller,
        call,
        ..
    } = context;
    let routine = match plan {
        Plan::Call(plan) => Some(plan.routine),
        _ => None,
    };
    let empty = Vec::new();
    let of_role = catalog.role_settings.get(&caller.role).unwrap_or(&empty);
    let mut tx = RequestTx::of(caller, of_role);
    // Where connections begin with the usual one, Postgres need not look its
    // schemas up again for every request.
    let path = context.search_path;
    if context.pool.target().startup_setting("search_path") != Some(path) {
        tx.set("search_path", path);
    }
    if catalog.request_settings_used || config.pre_request.is_some() {
        tx.set("request.method", call.method.as_str());
        tx.set("request.path", call.path.as_str());
        tx.set("request.headers", headers_json(context.headers));
        tx.set("request.cookies", cookies_json(context.headers));
    }
    if let Some(timezone) = &call.prefer.timezone {
        tx.set("timezone", timezone.as_str());
    }
    for (name, value) in routine.into_iter().flat_map(|routine| &routine.settings) {
        if name != ISOLATION {
            tx.set(name, value.as_str());
        }
    }
    for (name, value) in &config.app_settings {
        tx.set(name, value.as_str());
    }
    if let Some(level) = isolation(catalog, &caller.role, routine) {
        tx.isolation(level);
    }
    if !catalog.session_settings_used {
        tx.keeps_settings();
    }
    if is_read_only(plan) {
        tx.read_only();
    }
    if rolls_back(config, &call.prefer) {
        tx.rollback();
    }
    let mut prepared = Prepared {
        tx,
        steps: Vec::with_capacity(3),
        shape: Shape::Rows,
    };
    if let Some(function) = &config.pre_request {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ")
            .qualified(&function.schema, &function.name)
            .lit("()");
        prepared.push(Step::PreRequest, sql);
    }
    prepared
}

/// How the transaction of a plan begins, where it is not begun by its first
/// statement.
pub(crate) fn opening(context: &Context<'_>, plan: &Plan<'_>) -> Opening {
    let routine = match plan {
        Plan::Call(plan) => Some(plan.routine),
        _ => None,
    };
    Opening {
        isolation: isolation(context.catalog, &context.caller.role, routine),
        rollback: rolls_back(context.config, &context.call.prefer),
        keeps_settings: !context.catalog.session_settings_used,
    }
}

/// Whether a transaction is undone in the end, by the operator's word or the
/// client's.
pub(crate) fn rolls_back(config: &Config, prefer: &Preferences) -> bool {
    match prefer.transaction {
        Some(end) => end == TransactionEnd::Rollback,
        None => config.rollback_all,
    }
}

const ISOLATION: &str = "default_transaction_isolation";

pub(crate) fn isolation(
    catalog: &Catalog,
    role: &Arc<str>,
    routine: Option<&Routine>,
) -> Option<Isolation> {
    let of_routine = routine
        .into_iter()
        .flat_map(|routine| &routine.settings)
        .find(|(name, _)| name == ISOLATION)
        .map(|(_, level)| level);
    let level = of_routine.or_else(|| catalog.role_isolation.get(role))?;
    Isolation::parse(level)
}

fn is_read_only(plan: &Plan<'_>) -> bool {
    match plan {
        Plan::Read(_) | Plan::Root | Plan::Info { .. } => true,
        Plan::Mutate(_) => false,
        Plan::Call(plan) => plan.read_only,
    }
}

/// The request's schema first, so that functions and types of it need no
/// qualification.
pub(crate) fn search_path(schema: &String, extra: &[String]) -> String {
    let mut path = String::new();
    for schema in std::iter::once(schema).chain(extra) {
        if !path.is_empty() {
            path.push_str(", ");
        }
        path.push('"');
        path.push_str(&schema.replace('"', "\"\""));
        path.push('"');
    }
    path
}

fn outcome(context: &Context<'_>, shape: Shape, steps: &[Step], results: Vec<Rows>) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut counted, mut planned) = (None, None);
    for (step, rows) in steps.iter().zip(results) {
        match step {
            Step::PreRequest => {}
            Step::Main => outcome.rows = rows,
            Step::Count => counted = number(&rows),
            Step::CountPlan => planned = rows.scalar().and_then(planned_rows),
            Step::Inserted => outcome.inserted = number(&rows),
            Step::Response => {
                let text = |column| rows.first().and_then(|row| row.get(column));
                outcome.headers = text(0).map(str::to_owned);
                outcome.status = text(1).map(str::to_owned);
            }
        }
    }
    outcome.total = match context.call.prefer.count {
        Some(Count::Planned) => planned,
        Some(Count::Estimated) => estimate(counted, planned, context.config.max_rows),
        Some(Count::Exact) | None => counted,
    };
    if shape == Shape::Wrapped && outcome.total.is_none() {
        outcome.total = number(&outcome.rows);
    }
    outcome
}

fn number<T: FromStr>(rows: &Rows) -> Option<T> {
    rows.scalar()?.parse().ok()
}

/// The exact count as far as it goes, then the planner's guess.
fn estimate(counted: Option<u64>, planned: Option<u64>, rows_max: Option<u64>) -> Option<u64> {
    if counted > rows_max {
        Some(counted?.max(planned?))
    } else {
        counted
    }
}

fn planned_rows(explained: &str) -> Option<u64> {
    let plans: serde_json::Value = serde_json::from_str(explained).ok()?;
    plans.get(0)?.get("Plan")?.get("Plan Rows")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_exact_below_the_row_limit() {
        assert_eq!(estimate(Some(3), Some(900), Some(10)), Some(3));
        assert_eq!(estimate(Some(11), Some(900), Some(10)), Some(900));
        assert_eq!(estimate(Some(11), Some(5), None), Some(11));
    }

    #[test]
    fn the_planner_is_read_from_its_json() {
        let text = r#"[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 42}}]"#;
        assert_eq!(planned_rows(text), Some(42));
        assert_eq!(planned_rows("nonsense"), None);
    }
}
