//! Hooks that are functions of the database.

use pg::{OpenTx, RequestTx, Rows, SqlBuf};

use super::target::Function;
use super::{HookError, Hooks};

/// GoTrue's: a function runs while somebody waits to be signed in.
const TIMEOUT_MS: &str = "2000";

impl Hooks {
    pub(super) async fn run(
        &self,
        function: &Function,
        tx: Option<&OpenTx>,
        input: String,
    ) -> Result<Option<String>, HookError> {
        let mut call = SqlBuf::new();
        call.lit("SELECT ")
            .qualified(&function.schema, &function.name)
            .lit("(")
            .param(input)
            .lit(")");
        let rows = match tx {
            Some(tx) => inside(tx, &call).await,
            None => self.alone(call).await,
        };
        let rows = rows.map_err(|error| failed(&error))?;
        // Nothing at all is what a function without a result says.
        let answer = rows.scalar().filter(|text| !text.is_empty());
        Ok(answer.map(str::to_owned))
    }

    async fn alone(&self, call: SqlBuf) -> Result<Rows, pg::Error> {
        let mut tx = RequestTx::new(&self.role, "{}", &[]);
        // Takes effect with the next statement that begins, which a pipeline
        // has: they are executed one by one.
        tx.set("statement_timeout", TIMEOUT_MS).push(call);
        let mut results = tx.run(&self.pool).await?;
        Ok(results.pop().unwrap_or_default())
    }
}

async fn inside(tx: &OpenTx, call: &SqlBuf) -> Result<Rows, pg::Error> {
    let timeout = |value: &str| {
        SqlBuf::fixed("SELECT set_config('statement_timeout', $1::text, true)")
            .bind(value.to_owned())
    };
    let before = tx
        .query(&SqlBuf::fixed(
            "SELECT current_setting('statement_timeout')",
        ))
        .await?;
    tx.query(&timeout(TIMEOUT_MS)).await?;
    let rows = tx.query(call).await?;
    tx.query(&timeout(before.scalar().unwrap_or("0"))).await?;
    Ok(rows)
}

/// What a function raises is for the operator, not for the client: GoTrue
/// hides it as well. A hook that wants to be heard returns an `error`.
fn failed(error: &pg::Error) -> HookError {
    if error.sqlstate() == Some("57014") {
        let message = "Failed to reach hook within maximum time of 2.000000 seconds";
        return HookError::coded(422, "hook_timeout", message);
    }
    tracing::warn!(%error, "an auth hook failed");
    HookError::internal("Error running hook")
}
