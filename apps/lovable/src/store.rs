//! Statements as a caller.

use kernel::Caller;
use pg::{Pool, RequestTx, Rows, SqlBuf};
use serde::de::DeserializeOwned;

use crate::error::{AppError, Result};

/// No statement here takes seconds; one that does holds a shared connection.
const STATEMENT_TIME: &str = "20s";

/// The requests' connections.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: Pool,
}

impl Store {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Statements in one transaction; the rows of the last. `what` is a
    /// failure in a sentence: `Failed to begin the turn`.
    pub(crate) async fn all(
        &self,
        caller: &Caller,
        what: &'static str,
        statements: Vec<SqlBuf>,
    ) -> Result<Rows> {
        let mut request = RequestTx::of(caller, &[]);
        request.set("statement_timeout", STATEMENT_TIME);
        request.keeps_settings();
        for statement in statements {
            request.push(statement);
        }
        let rows = request.run(&self.pool).await;
        let mut rows = rows.map_err(|error| AppError::of(what, error))?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// One statement.
    pub(crate) async fn one(
        &self,
        caller: &Caller,
        what: &'static str,
        statement: SqlBuf,
    ) -> Result<Rows> {
        self.all(caller, what, vec![statement]).await
    }

    /// The JSON document that a statement makes; none for null or no row.
    pub(crate) async fn document<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        what: &'static str,
        statement: SqlBuf,
    ) -> Result<Option<T>> {
        let rows = self.one(caller, what, statement).await?;
        let read = rows.scalar().map(serde_json::from_str).transpose();
        read.map_err(|error| {
            tracing::error!(%error, "{what}");
            AppError::new(http::StatusCode::INTERNAL_SERVER_ERROR, "internal", what)
        })
    }
}
