//! The pure stages alone: what a request would send to Postgres.
//!
//! Nothing is connected to, so this is what benches time, fuzzers attack and
//! golden files record; `room` renders through the same `render`.

use pg::SqlBuf;
use pg::catalog::Catalog;

use crate::call::Call;
use crate::call::prefer::Count;
use crate::config::Config;
use crate::error::RestError;
use crate::plan::{self, Plan};
use crate::sql::{self, Query};

/// The statements of a call, in the order in which they are sent; none for
/// `OPTIONS` and for the root. What surrounds them (role, claims, settings)
/// is not shown.
pub fn statements(
    catalog: &Catalog,
    config: &Config,
    call: &Call,
) -> Result<Vec<SqlBuf>, RestError> {
    let plan = plan::plan(catalog, config, call)?;
    let Some((query, count_plan)) = render(&plan, call, config) else {
        return Ok(Vec::new());
    };
    let Query { main, count, .. } = query;
    Ok([Some(main), count, count_plan]
        .into_iter()
        .flatten()
        .collect())
}

/// The query of a plan that has one, and the statement that asks the planner
/// how many rows there are when the client would like to know.
pub(crate) fn render(
    plan: &Plan<'_>,
    call: &Call,
    config: &Config,
) -> Option<(Query, Option<SqlBuf>)> {
    match plan {
        Plan::Info { .. } | Plan::Root => None,
        Plan::Read(plan) => {
            let explains = call.prefer.count.is_some_and(Count::explains);
            let count_plan = explains.then(|| sql::render_count_plan(plan));
            Some((sql::render_read(plan, call, config.max_rows), count_plan))
        }
        Plan::Mutate(plan) => Some((sql::render_mutate(plan, call), None)),
        Plan::Call(plan) => Some((sql::render_call(plan, call), None)),
    }
}
