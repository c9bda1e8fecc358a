//! The only way to run a user's statement.
//!
//! A [`RequestTx`] is one transaction: role, claims and request settings
//! first, then the statements, all sent in one write with one Sync behind
//! them. There is no BEGIN and no COMMIT: what stands before a Sync is one
//! implicit transaction, which Postgres commits at the Sync or rolls back at
//! the first error, and which ends every `set_config(…, true)` with it.
//!
//! Requests that must look at a result before they commit use
//! [`RequestTx::open`], which holds a connection for as long as it takes.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use kernel::Caller;

use crate::error::Error;
use crate::open_tx::OpenTx;
use crate::pool::{Manner, Pool, Segment, Statement};
use crate::rows::Rows;
use crate::sql_buf::SqlBuf;

/// One transaction on behalf of a caller.
#[derive(Clone, Debug)]
pub struct RequestTx {
    role: Arc<str>,
    settings: SqlBuf,
    statements: Vec<SqlBuf>,
    isolation: Option<Isolation>,
    read_only: bool,
    rollback: bool,
    reset: bool,
}

/// An isolation level other than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

impl Isolation {
    /// Reads the name of a level; `None` for the default and below.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "repeatable read" => Some(Self::RepeatableRead),
            "serializable" => Some(Self::Serializable),
            _ => None,
        }
    }
}

impl RequestTx {
    /// A transaction on behalf of this caller, which changes nothing if the
    /// caller may not.
    #[must_use]
    pub fn of(caller: &Caller, of_role: &[(String, String)]) -> Self {
        let mut tx = Self::new(&caller.role, &caller.claims, of_role);
        if caller.read_only {
            tx.read_only();
        }
        tx
    }

    /// A transaction as `role` with these claims (`request.jwt.claims`).
    /// `of_role` are the settings of `ALTER ROLE … SET`, which Postgres itself
    /// applies at login only. They come before the role, so that a setting
    /// granted to the login role alone can be set.
    #[must_use]
    pub fn new(role: &Arc<str>, claims: &str, of_role: &[(String, String)]) -> Self {
        let mut settings = SqlBuf::new();
        settings.lit("SELECT ");
        for (name, value) in of_role {
            set_config(&mut settings, name, value.clone());
            settings.lit(", ");
        }
        // `none` would mean the login role, which may do anything. No role can
        // have that name; in quotes it is refused as one that does not exist.
        let name = if &**role == "none" { "\"none\"" } else { role };
        set_config(&mut settings, "role", name.to_owned());
        settings.lit(", ");
        set_config(&mut settings, "request.jwt.claims", claims.to_owned());
        Self {
            role: Arc::clone(role),
            settings,
            statements: Vec::new(),
            isolation: None,
            read_only: false,
            rollback: false,
            reset: true,
        }
    }

    /// Sets one more setting for the length of the transaction.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.settings.lit(", ");
        set_config(&mut self.settings, name, value.into());
        self
    }

    /// Adds a statement.
    pub fn push(&mut self, statement: SqlBuf) -> &mut Self {
        self.statements.push(statement);
        self
    }

    /// Refuses every change of data. Such transactions share connections
    /// sooner and more deeply than those that write.
    pub fn read_only(&mut self) -> &mut Self {
        if !self.read_only {
            self.read_only = true;
            self.settings
                .lit(", set_config('transaction_read_only', 'on', true)");
        }
        self
    }

    /// Runs at another isolation level.
    pub fn isolation(&mut self, isolation: Isolation) -> &mut Self {
        self.isolation = Some(isolation);
        self
    }

    /// Undoes everything in the end (`Prefer: tx=rollback`).
    pub fn rollback(&mut self) -> &mut Self {
        self.rollback = true;
        self
    }

    /// Promises that nothing in it changes settings beyond its end. Otherwise
    /// they are reset behind it, since a function may do that
    /// (`set_config(…, false)`) and the next caller must not find them.
    pub fn keeps_settings(&mut self) -> &mut Self {
        self.reset = false;
        self
    }

    /// Runs the transaction and returns the rows of each statement. Retried
    /// once when the schema changed under a prepared statement: nothing was
    /// done then.
    pub async fn run(self, pool: &Pool) -> Result<Vec<Rows>, Error> {
        let timing = Some(self.timing());
        let before = 1 + usize::from(self.explicit());
        let own = self.statements.len();
        let scope = Arc::clone(&self.role);
        let manner = Manner {
            scope,
            timing,
            read_only: self.read_only,
            reset: self.reset,
        };
        let segments = self.segments();
        let first = pool.run(segments.clone(), manner.clone()).await;
        let results = match first {
            Err(error) if crate::pool::is_stale_plan(&error) => {
                let manner = Manner {
                    timing: None,
                    ..manner
                };
                pool.run(afresh(segments), manner).await?
            }
            other => other?,
        };
        // Without the results of the statements that we added.
        Ok(results.into_iter().skip(before).take(own).collect())
    }

    /// Runs the statements and keeps the transaction open. Retried as
    /// [`RequestTx::run`] is.
    pub async fn open(self, pool: &Pool) -> Result<(OpenTx, Vec<Rows>), Error> {
        let begin = begin(self.isolation);
        let (role, rollback, reset) = (self.role, self.rollback, self.reset);
        let mut segment = vec![control(begin), statement(self.settings)];
        segment.extend(self.statements.into_iter().map(statement));
        let lease = pool.lease(reset).await?;
        let first = lease.run(segment.clone(), Arc::clone(&role)).await;
        let (lease, results) = match first {
            Err(error) if crate::pool::is_stale_plan(&error) => {
                drop(lease);
                let lease = pool.lease(reset).await?;
                let segment = afresh(vec![segment]).pop().unwrap_or_default();
                let results = lease.run(segment, Arc::clone(&role)).await?;
                (lease, results)
            }
            other => (lease, other?),
        };
        let open = OpenTx::holding(lease, role, rollback);
        Ok((open, results.into_iter().skip(2).collect()))
    }

    /// What identifies the statements for the pool's timings: their texts.
    fn timing(&self) -> u64 {
        let texts = self.statements.iter().map(SqlBuf::text);
        texts.fold(0, |sum: u64, text| {
            sum.rotate_left(1) ^ FixedState::default().hash_one(text)
        })
    }

    /// The part of an open transaction that this one becomes: its settings and
    /// statements, for [`OpenTx::run`].
    pub(crate) fn into_part(self) -> Part {
        let mut segment = Vec::with_capacity(self.statements.len() + 4);
        if self.read_only {
            segment.push(control("SAVEPOINT ferrobase_read"));
        }
        // Another statement of this transaction may have left settings behind.
        segment.push(control("RESET ALL"));
        let before = segment.len() + 1;
        let own = self.statements.len();
        segment.push(statement(self.settings));
        segment.extend(self.statements.into_iter().map(statement));
        if self.read_only {
            segment.push(control("RELEASE SAVEPOINT ferrobase_read"));
        }
        Part {
            role: self.role,
            segment: afresh(vec![segment]).pop().unwrap_or_default(),
            before,
            own,
        }
    }

    /// An isolation level and a rollback need a transaction of their own,
    /// whose end must run whatever happened before: behind a second Sync.
    fn explicit(&self) -> bool {
        self.isolation.is_some() || self.rollback
    }

    fn segments(self) -> Vec<Segment> {
        let explicit = self.explicit();
        let mut main = Vec::with_capacity(self.statements.len() + 2);
        if explicit {
            main.push(control(begin(self.isolation)));
        }
        main.push(statement(self.settings));
        main.extend(self.statements.into_iter().map(statement));
        if !explicit {
            return vec![main];
        }
        if self.rollback {
            // What COMMIT would have refused is refused all the same.
            main.push(control("SET CONSTRAINTS ALL IMMEDIATE"));
        }
        let end = if self.rollback { "ROLLBACK" } else { "COMMIT" };
        vec![main, vec![control(end)]]
    }
}

/// Settings and statements within a longer transaction.
pub(crate) struct Part {
    pub(crate) role: Arc<str>,
    pub(crate) segment: Segment,
    /// Results that are not of the caller's statements.
    pub(crate) before: usize,
    pub(crate) own: usize,
}

pub(crate) fn begin(isolation: Option<Isolation>) -> &'static str {
    match isolation {
        None => "BEGIN",
        Some(Isolation::RepeatableRead) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Some(Isolation::Serializable) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}

fn set_config(out: &mut SqlBuf, name: &str, value: String) {
    out.lit("set_config(")
        .text_literal(name)
        .lit(", ")
        .param(value)
        .lit(", true)");
}

pub(crate) fn statement(sql: SqlBuf) -> Statement {
    let (text, params) = sql.into_parts();
    Statement {
        text: Arc::from(text),
        params: Arc::from(params),
        control: false,
    }
}

/// For a second try: every connection may hold the same stale statement, so
/// none is used.
pub(crate) fn afresh(mut segments: Vec<Segment>) -> Vec<Segment> {
    for statement in segments.iter_mut().flatten() {
        statement.control = true;
    }
    segments
}

pub(crate) fn control(text: &'static str) -> Statement {
    Statement {
        text: Arc::from(text),
        params: Arc::from([]),
        control: true,
    }
}
