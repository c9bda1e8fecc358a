//! The inbox's rows: the only file that meets the database.

use std::sync::Arc;

use pg::{Error, Pool, RequestTx, Row, Rows, SqlBuf};
use uuid::Uuid;

use super::search::{Term, What};

const SEEN: &str = include_str!("sql/seen.sql");
const REMOVE: &str = include_str!("sql/remove.sql");
const STATS: &str = include_str!("sql/stats.sql");

/// The order of [`Message`]'s fields.
const COLUMNS: &str = "SELECT id, sender_name, sender, recipient, subject, html, plain, seen, \
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    extract(epoch FROM created_at)::bigint FROM ferrobase.inbox WHERE true";

#[derive(Clone, Debug)]
pub(super) struct Store {
    pool: Pool,
    role: Arc<str>,
}

/// A mail.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) sender_name: String,
    pub(super) sender: String,
    pub(super) recipient: String,
    pub(super) subject: String,
    pub(super) html: String,
    pub(super) plain: String,
    pub(super) seen: bool,
    /// As RFC 3339 has it.
    pub(super) created: String,
    pub(super) created_second: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) total: u64,
    pub(super) unread: u64,
}

/// A part of the list, newest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) start: u32,
    pub(super) limit: u32,
}

impl Store {
    pub(super) fn new(pool: Pool, role: &str) -> Self {
        let role = Arc::from(role);
        Self { pool, role }
    }

    pub(super) async fn stats(&self) -> Result<Stats, Error> {
        let rows = self.run(SqlBuf::fixed(STATS)).await?;
        Ok(counts(&rows))
    }

    /// How many match, and a page of them.
    pub(super) async fn find(
        &self,
        terms: &[Term],
        page: Page,
    ) -> Result<(Stats, Vec<Message>), Error> {
        let mut count = SqlBuf::new();
        count.lit(
            "SELECT count(*), count(*) FILTER (WHERE NOT seen) FROM ferrobase.inbox WHERE true",
        );
        conditions(&mut count, terms);
        let mut list = SqlBuf::new();
        list.lit(COLUMNS);
        conditions(&mut list, terms);
        list.lit(" ORDER BY seq DESC OFFSET ")
            .number(page.start.into())
            .lit(" LIMIT ")
            .number(page.limit.into());
        let matching = counts(&self.run(count).await?);
        let rows = self.run(list).await?;
        Ok((matching, rows.iter().filter_map(message).collect()))
    }

    pub(super) async fn one(&self, id: Uuid) -> Result<Option<Message>, Error> {
        let mut sql = SqlBuf::new();
        sql.lit(COLUMNS)
            .lit(" AND id = ")
            .param(id.to_string())
            .lit("::text::uuid");
        let rows = self.run(sql).await?;
        Ok(rows.first().and_then(message))
    }

    /// `None`: all.
    pub(super) async fn mark(&self, ids: Option<&[Uuid]>, seen: bool) -> Result<(), Error> {
        let sql = SqlBuf::fixed(SEEN).bind(array(ids)).bind(seen.to_string());
        self.run(sql).await.map(|_| ())
    }

    /// `None`: all.
    pub(super) async fn remove(&self, ids: Option<&[Uuid]>) -> Result<(), Error> {
        let sql = SqlBuf::fixed(REMOVE).bind(array(ids));
        self.run(sql).await.map(|_| ())
    }

    async fn run(&self, sql: SqlBuf) -> Result<Rows, Error> {
        let mut tx = RequestTx::new(&self.role, "{}", &[]);
        tx.keeps_settings().push(sql);
        let mut results = tx.run(&self.pool).await?;
        Ok(results.pop().unwrap_or_default())
    }
}

fn conditions(sql: &mut SqlBuf, terms: &[Term]) {
    for term in terms {
        sql.lit(if term.not { " AND NOT (" } else { " AND (" });
        match &term.what {
            What::Read => {
                sql.lit("seen");
            }
            What::Id(id) => {
                sql.lit("id::text = lower(")
                    .param(id.clone())
                    .lit("::text)");
            }
            What::From(text) => contains(sql, "sender_name || ' ' || sender", text),
            What::To(text) => contains(sql, "recipient", text),
            What::Subject(text) => contains(sql, "subject", text),
            What::Anywhere(text) => contains(
                sql,
                "concat_ws(' ', sender_name, sender, recipient, subject, plain)",
                text,
            ),
        }
        sql.lit(")");
    }
}

fn contains(sql: &mut SqlBuf, what: &'static str, text: &str) {
    sql.lit("strpos(lower(")
        .lit(what)
        .lit("), lower(")
        .param(text.replace('\0', ""))
        .lit("::text)) > 0");
}

fn array(ids: Option<&[Uuid]>) -> Option<String> {
    let ids: Vec<String> = ids?.iter().map(Uuid::to_string).collect();
    Some(format!("{{{}}}", ids.join(",")))
}

fn counts(rows: &Rows) -> Stats {
    let at = |index| rows.first()?.get(index)?.parse().ok();
    Stats {
        total: at(0).unwrap_or(0),
        unread: at(1).unwrap_or(0),
    }
}

fn message(row: Row<'_>) -> Option<Message> {
    let text = |index| row.get(index).map(str::to_owned);
    Some(Message {
        id: row.get(0)?.parse().ok()?,
        sender_name: text(1)?,
        sender: text(2)?,
        recipient: text(3)?,
        subject: text(4)?,
        html: text(5)?,
        plain: text(6)?,
        seen: row.get(7)? == "t",
        created: text(8)?,
        created_second: row.get(9)?.parse().ok()?,
    })
}
