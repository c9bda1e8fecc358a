//! A transaction that is held open: for requests that look at a result before
//! they commit, for several requests that happen together or not at all, and
//! for those whose answer is kept by the same transaction.
//!
//! [`RequestTx::open`] begins one with a caller's statements in it,
//! [`OpenTx::begin`] one that has none yet; [`OpenTx::run`] adds those of a
//! caller, [`OpenTx::own`] our own.

use std::sync::Arc;

use crate::error::{DbError, Error};
use crate::pool::{Lease, Pool, Segment};
use crate::request_tx::{Isolation, Part, RequestTx, afresh, begin, control, statement};
use crate::rows::Rows;
use crate::sql_buf::SqlBuf;

/// A transaction that waits for its end. Dropping it rolls it back.
#[derive(Debug)]
pub struct OpenTx {
    lease: Lease,
    /// Who it acts as; nobody has been set yet when there is none.
    role: Option<Arc<str>>,
    rollback: bool,
}

/// How a transaction begins, and ends if all goes well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// Another isolation level than the default.
    pub isolation: Option<Isolation>,
    /// It is rolled back even so (`Prefer: tx=rollback`).
    pub rollback: bool,
    /// Nothing in it changes settings beyond its end, as
    /// [`RequestTx::keeps_settings`].
    pub keeps_settings: bool,
}

impl OpenTx {
    pub(crate) fn holding(lease: Lease, role: Arc<str>, rollback: bool) -> Self {
        Self {
            lease,
            role: Some(role),
            rollback,
        }
    }

    /// Begins a transaction with statements of our own, which run as the role
    /// that we connect with: nothing of a caller has happened yet.
    pub async fn begin(
        pool: &Pool,
        opening: Opening,
        own: Vec<SqlBuf>,
    ) -> Result<(Self, Vec<Rows>), Error> {
        let lease = pool.lease(!opening.keeps_settings).await?;
        let mut segment = vec![control(begin(opening.isolation))];
        segment.extend(own.into_iter().map(statement));
        let segment = once(segment);
        let results = lease.run(segment, Arc::from("")).await?;
        let open = Self {
            lease,
            role: None,
            rollback: opening.rollback,
        };
        Ok((open, results.into_iter().skip(1).collect()))
    }

    /// Runs a caller's statements in it, as that caller, and returns the rows
    /// of each. Settings that an earlier statement has left are gone; what it
    /// has written is there. How the transaction begins and ends is decided
    /// here and not there: an isolation level and a rollback of the part do
    /// not count, but a part that is read only stays so.
    pub async fn run(&mut self, part: RequestTx) -> Result<Vec<Rows>, Error> {
        let Part {
            role,
            segment,
            before,
            own,
        } = part.into_part();
        self.role = Some(role);
        let results = self.lease.run(segment, Arc::from("")).await?;
        Ok(results.into_iter().skip(before).take(own).collect())
    }

    /// Runs statements of our own, as the role that we connect with, and
    /// becomes the caller again: what happens at the end (deferred triggers)
    /// happens as the caller. A caller's function may have set any search
    /// path, so these name schemas in full.
    pub async fn own(&mut self, statements: Vec<SqlBuf>) -> Result<Vec<Rows>, Error> {
        let own = statements.len();
        let mut segment = vec![become_role("none")];
        segment.extend(statements.into_iter().map(statement));
        if let Some(role) = self.role.as_deref().filter(|role| *role != "none") {
            segment.push(become_role(role));
        }
        let results = self.lease.run(once(segment), Arc::from("")).await?;
        Ok(results.into_iter().skip(1).take(own).collect())
    }

    /// Runs one more statement in it. Not as a prepared one: were that stale,
    /// the whole transaction would be lost.
    pub async fn query(&self, sql: &SqlBuf) -> Result<Rows, Error> {
        let segment = once(vec![statement(sql.clone())]);
        let mut results = self.lease.run(segment, Arc::from("")).await?;
        Ok(results.pop().unwrap_or_default())
    }

    /// Runs several more in one round trip, and returns the rows of each. The
    /// first that fails ends it: those behind it are not tried.
    pub async fn query_all(&self, statements: &[SqlBuf]) -> Result<Vec<Rows>, Error> {
        let segment = once(statements.iter().cloned().map(statement).collect());
        self.lease.run(segment, Arc::from("")).await
    }

    /// Whether it ends by being undone, whatever happens.
    #[must_use]
    pub fn rolls_back(&self) -> bool {
        self.rollback
    }

    /// Ends it: commits, unless it was asked to roll back.
    pub async fn finish(self) -> Result<(), Error> {
        let end = if self.rollback { "ROLLBACK" } else { "COMMIT" };
        if self.rollback {
            // What COMMIT would have refused is refused all the same.
            let check = vec![control("SET CONSTRAINTS ALL IMMEDIATE")];
            self.lease.run(check, Arc::from("")).await?;
        }
        self.end(end).await
    }

    /// Undoes everything.
    pub async fn rollback(self) -> Result<(), Error> {
        self.end("ROLLBACK").await
    }

    async fn end(self, how: &'static str) -> Result<(), Error> {
        let segment = vec![control(how)];
        let results = self.lease.run(segment, Arc::from("")).await?;
        // Postgres answers the COMMIT of a failed transaction politely, by
        // rolling it back. Our caller must not take that for success.
        let done = results.first().map_or("", Rows::tag);
        if how == "COMMIT" && done != "COMMIT" {
            return Err(Error::Db(Box::new(DbError {
                severity: "ERROR".to_owned(),
                code: "25P02".to_owned(),
                message: "the transaction was rolled back because a statement failed".to_owned(),
                ..DbError::default()
            })));
        }
        Ok(())
    }
}

/// Not as prepared statements: were one stale, all would be lost.
fn once(segment: Segment) -> Segment {
    afresh(vec![segment]).pop().unwrap_or_default()
}

fn become_role(role: &str) -> crate::pool::Statement {
    let mut sql = SqlBuf::new();
    sql.lit("SELECT pg_catalog.set_config('role', ")
        .param(role.to_owned())
        .lit(", true)");
    statement(sql)
}
