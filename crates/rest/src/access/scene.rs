//! The one transaction of an explanation: read-only, in one snapshot, rolled
//! back whatever happens. In it we are in turns the holder of the service key,
//! who fetches rows and facts, and the subject, as whom policies are asked.

use std::time::{Duration, Instant};

use kernel::Caller;
use pg::{Isolation, OpenTx, RequestTx, Rows, SqlBuf};

use super::subject::Subject;
use crate::call::{cookies_json, headers_json};
use crate::error::RestError;
use crate::execute::{Context, search_path};

/// One statement. A policy that takes longer than this for a handful of rows
/// is a finding by itself.
const STATEMENT_MS: &str = "3000";
/// The whole explanation. What is not answered by then stays open.
const EXPLANATION_MAX: Duration = Duration::from_secs(15);

/// Said instead of asking when that time is over.
pub(super) const NO_TIME: &str = "the time for explanations is used up";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The service key, with no schema on the search path.
    Catalog,
    /// The service key, as in a request of its own.
    Service,
    /// The one whose access is explained, as in a request of its own.
    Subject,
}

/// What PostgreSQL had against a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) message: String,
}

/// The transaction.
pub(super) struct Scene<'a> {
    open: OpenTx,
    context: &'a Context<'a>,
    subject: &'a Subject,
    now: Who,
    ends: Instant,
}

impl<'a> Scene<'a> {
    pub(super) async fn open(
        context: &'a Context<'a>,
        subject: &'a Subject,
    ) -> Result<Self, RestError> {
        let caller = context.caller;
        let empty = Vec::new();
        let of_role = context.catalog.role_settings.get(&caller.role);
        let mut tx = RequestTx::new(&caller.role, &caller.claims, of_role.unwrap_or(&empty));
        tx.set("search_path", "");
        tx.set("statement_timeout", STATEMENT_MS);
        tx.set("request.method", context.call.method.as_str());
        tx.set("request.path", context.call.path.as_str());
        // The subject would have shown other credentials than the service key.
        let mut headers = context.headers.clone();
        headers.remove("authorization");
        headers.remove("apikey");
        tx.set("request.headers", headers_json(&headers));
        tx.set("request.cookies", cookies_json(&headers));
        for (name, value) in &context.config.app_settings {
            tx.set(name, value.as_str());
        }
        tx.isolation(Isolation::RepeatableRead);
        tx.read_only();
        let opened = tx.open(context.pool).await;
        let (open, _) = opened.map_err(|error| failed(error, caller))?;
        Ok(Self {
            open,
            context,
            subject,
            now: Who::Catalog,
            ends: Instant::now() + EXPLANATION_MAX,
        })
    }

    /// Asks one question. A refusal is an answer and harms nothing.
    pub(super) async fn ask(
        &mut self,
        who: Who,
        sql: &SqlBuf,
    ) -> Result<Result<Rows, Refused>, RestError> {
        if Instant::now() >= self.ends {
            return Ok(Err(Refused {
                code: "57014".to_owned(),
                message: NO_TIME.to_owned(),
            }));
        }
        self.must("SAVEPOINT explain").await?;
        let asked = async {
            if self.now != who {
                self.open.query(&self.become_sql(who)).await?;
            }
            self.open.query(sql).await
        };
        match asked.await {
            Ok(rows) => {
                self.must("RELEASE SAVEPOINT explain").await?;
                self.now = who;
                Ok(Ok(rows))
            }
            Err(error) => {
                let Some(db) = error.db() else {
                    return Err(failed(error, self.context.caller));
                };
                let refused = Refused {
                    code: db.code.clone(),
                    message: db.message.clone(),
                };
                self.must("ROLLBACK TO SAVEPOINT explain").await?;
                Ok(Err(refused))
            }
        }
    }

    /// Undoes what there may be to undo.
    pub(super) async fn close(self) -> Result<(), RestError> {
        let caller = self.context.caller;
        let undone = self.open.rollback().await;
        undone.map_err(|error| failed(error, caller))
    }

    async fn must(&self, sql: &'static str) -> Result<(), RestError> {
        let done = self.open.query(&SqlBuf::fixed(sql)).await;
        done.map(drop)
            .map_err(|error| failed(error, self.context.caller))
    }

    fn become_sql(&self, who: Who) -> SqlBuf {
        let context = self.context;
        let claims = self.subject.claims_text();
        let (role, claims) = match who {
            Who::Subject => (self.subject.role.as_str(), claims.as_str()),
            Who::Catalog | Who::Service => (&*context.caller.role, &*context.caller.claims),
        };
        let path = match who {
            Who::Catalog => String::new(),
            Who::Service | Who::Subject => {
                search_path(&context.call.schema, &context.config.extra_search_path)
            }
        };
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ");
        if who == Who::Subject {
            let settings = context.catalog.role_settings.get(role);
            for (name, value) in settings.into_iter().flatten() {
                // Our own limit stays in force.
                if name != "statement_timeout" {
                    set(&mut sql, name, value);
                    sql.lit(", ");
                }
            }
        }
        set(&mut sql, "search_path", &path);
        sql.lit(", ");
        set(&mut sql, "request.jwt.claims", claims);
        sql.lit(", ");
        set(&mut sql, "role", role);
        sql
    }
}

fn set(out: &mut SqlBuf, name: &str, value: &str) {
    out.lit("set_config(").text_literal(name).lit(", ");
    out.param(value.to_owned()).lit(", true)");
}

fn failed(error: pg::Error, caller: &Caller) -> RestError {
    if error.db().is_none() {
        tracing::warn!("an explanation failed without an answer of PostgreSQL: {error}");
    }
    RestError::from_pg(error, caller)
}
