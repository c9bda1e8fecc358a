//! Statements as the caller. The policies of the database decide what is seen
//! and written; nothing here asks a second time.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use kernel::Caller;
use pg::{Pool, RequestTx, Rows, SqlBuf};

use crate::error::{Result, SessionsError};

/// No statement of this room takes seconds; one that does holds a connection
/// that everybody shares.
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

    /// One statement that may change something.
    pub(crate) async fn write(&self, caller: &Caller, statement: SqlBuf) -> Result<Rows> {
        self.run(caller, statement, false).await
    }

    /// One that does not.
    pub(crate) async fn read(&self, caller: &Caller, statement: SqlBuf) -> Result<Rows> {
        self.run(caller, statement, true).await
    }

    async fn run(&self, caller: &Caller, statement: SqlBuf, reads: bool) -> Result<Rows> {
        let mut request = RequestTx::of(caller, &[]);
        if reads {
            request.read_only();
        }
        request.set("statement_timeout", STATEMENT_TIME);
        request.keeps_settings().push(statement);
        let rows = request.run(&self.pool).await;
        let mut rows = rows.map_err(|error| SessionsError::of(error, caller.authenticated))?;
        Ok(rows.pop().unwrap_or_default())
    }
}

/// The document that a statement made, passed on as it is; nothing is a 404.
pub(crate) fn document(status: StatusCode, rows: &Rows, what: &str) -> Result<Response> {
    let text = rows
        .scalar()
        .ok_or_else(|| SessionsError::not_found(what))?;
    Ok(json(status, text.to_owned()))
}

/// A response that is JSON already.
pub(crate) fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
