//! Statements as the caller, and answers from what they return.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use kernel::Caller;
use pg::{Pool, RequestTx, Rows, SqlBuf};

use crate::error::{ApiError, Result};

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

    /// One statement in one transaction. `what` begins the sentence of a
    /// failure: `Failed to create project`.
    pub(crate) async fn one(
        &self,
        caller: &Caller,
        what: &'static str,
        statement: SqlBuf,
    ) -> Result<Rows> {
        let mut request = RequestTx::of(caller, &[]);
        request.set("statement_timeout", STATEMENT_TIME);
        request.keeps_settings();
        request.push(statement);
        let rows = request.run(&self.pool).await;
        let mut rows = rows.map_err(|error| ApiError::of(what, error))?;
        Ok(rows.pop().unwrap_or_default())
    }
}

/// The document that a statement made, passed on as it is.
pub(crate) fn answer(rows: &Rows) -> Result<Response> {
    let text = rows.scalar().ok_or_else(ApiError::no_project)?;
    Ok(json(text.to_owned()))
}

/// A response that is JSON already.
pub(crate) fn json(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
