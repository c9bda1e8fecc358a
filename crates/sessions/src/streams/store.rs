//! The only part of streams that meets the database. What is said of rows is
//! said by functions of `work_engine`, as the engine; who may read a stream is
//! asked of the policies, as the caller.

use std::sync::Arc;
use std::time::Duration;

use kernel::Caller;
use pg::{Pool, RequestTx, Rows, SqlBuf};
use uuid::Uuid;

use super::frame::Frame;

/// Statements and where they run.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// The engine's connections.
    pool: Pool,
    role: Arc<str>,
    /// Those of callers.
    requests: Pool,
}

/// Entries and events of one append, as the parallel arrays of
/// `append_batch.sql`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) streams: Array,
    pub(super) producers: Array,
    pub(super) first_ns: Array,
    pub(super) jobs: Array,
    pub(super) owners: Array,
    pub(super) starts: Array,
    pub(super) counts: Array,
    pub(super) entries: Array,
    pub(super) kinds: Array,
    pub(super) data: Array,
}

/// What became of one entry of a batch.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) next_n: Option<i64>,
    pub(super) fresh: usize,
    pub(super) problem: Option<String>,
    pub(super) left_over: bool,
}

/// News of a watched stream.
pub(super) enum News {
    /// It has one more event.
    Event(Frame),
    /// It does not exist any more.
    Gone,
}

type Result<T> = std::result::Result<T, pg::Error>;

impl Store {
    pub(super) fn new(pool: Pool, role: Arc<str>, requests: Pool) -> Self {
        Self {
            pool,
            role,
            requests,
        }
    }

    /// One statement as the engine.
    async fn run(&self, statement: SqlBuf, reads: bool) -> Result<Rows> {
        let mut tx = RequestTx::new(&self.role, "{}", &[]);
        tx.keeps_settings().push(statement);
        if reads {
            tx.read_only();
        }
        Ok(tx.run(&self.pool).await?.pop().unwrap_or_default())
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Vec<Verdict>> {
        let mut sql = SqlBuf::fixed(include_str!("sql/append_batch.sql"));
        for array in [
            batch.streams,
            batch.producers,
            batch.first_ns,
            batch.jobs,
            batch.owners,
            batch.starts,
            batch.counts,
            batch.entries,
            batch.kinds,
            batch.data,
        ] {
            sql = sql.bind(array.finish());
        }
        let rows = self.run(sql, false).await?;
        let verdicts = rows.iter().map(|row| Verdict {
            next_n: row.get(1).and_then(|n| n.parse().ok()),
            fresh: row.get(2).and_then(|n| n.parse().ok()).unwrap_or(0),
            problem: row.get(3).map(str::to_owned),
            left_over: row.get(4) == Some("t"),
        });
        Ok(verdicts.collect())
    }

    /// Numbers what was left; how many events that were.
    pub(super) async fn number_some(&self, streams_max: u32) -> Result<u64> {
        let sql = SqlBuf::fixed(include_str!("sql/number_some.sql")).bind(streams_max.to_string());
        let rows = self.run(sql, false).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// What is new in these streams, each behind its cursor, in order.
    pub(super) async fn tails(
        &self,
        streams: &[(Uuid, i64)],
        most: usize,
    ) -> Result<Vec<(Uuid, News)>> {
        let (mut ids, mut afters) = (Array::default(), Array::default());
        for (id, after) in streams {
            ids.push(id);
            afters.push(after);
        }
        let sql = SqlBuf::fixed(include_str!("sql/tails.sql"))
            .bind(ids.finish())
            .bind(afters.finish())
            .bind(most.to_string());
        let rows = self.run(sql, true).await?;
        let news = rows.iter().filter_map(|row| match Frame::of_row(&row) {
            Some((stream, frame)) => Some((stream, News::Event(frame))),
            None => Some((Uuid::parse_str(row.get(0)?).ok()?, News::Gone)),
        });
        Ok(news.collect())
    }

    /// A page of one stream: at most so many events and about so many bytes.
    pub(super) async fn page(
        &self,
        stream: Uuid,
        after: i64,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<Frame>> {
        let sql = SqlBuf::fixed(include_str!("sql/events_after.sql"))
            .bind(stream.to_string())
            .bind(after.to_string())
            .bind(most.to_string())
            .bind(bytes.to_string());
        let rows = self.run(sql, true).await?;
        let frames = rows.iter().filter_map(|row| Frame::of_row(&row));
        Ok(frames.map(|(_, frame)| frame).collect())
    }

    /// One question as the caller; the first value.
    async fn ask(&self, caller: &Caller, statement: SqlBuf) -> Result<Option<String>> {
        let mut tx = RequestTx::of(caller, &[]);
        tx.read_only().keeps_settings().push(statement);
        let rows = tx.run(&self.requests).await?;
        Ok(rows.first().and_then(Rows::scalar).map(str::to_owned))
    }

    /// How far the stream is, if the caller may read it.
    pub(super) async fn look(&self, caller: &Caller, stream: Uuid) -> Result<Option<i64>> {
        let sql = SqlBuf::fixed(include_str!("sql/look.sql")).bind(stream.to_string());
        Ok(self
            .ask(caller, sql)
            .await?
            .and_then(|text| text.parse().ok()))
    }

    /// Where the events of a job are, if the caller may see it.
    pub(super) async fn stream_of_job(&self, caller: &Caller, job: Uuid) -> Result<Option<Uuid>> {
        let sql = SqlBuf::fixed(include_str!("sql/stream_of_job.sql")).bind(job.to_string());
        let stream = self.ask(caller, sql).await?;
        Ok(stream.and_then(|text| Uuid::parse_str(&text).ok()))
    }

    /// Deletes what nobody owns any more, and old chunks; how many rows.
    pub(super) async fn prune(&self, most: u32, chunks_older: Option<Duration>) -> Result<u64> {
        let older = chunks_older.map(|older| {
            let mut text = older.as_secs().to_string();
            text.push_str(" seconds");
            text
        });
        let sql = SqlBuf::fixed(include_str!("sql/prune_events.sql"))
            .bind(most.to_string())
            .bind(older);
        let rows = self.run(sql, false).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }
}

/// An array as a parameter, in the notation of `PostgreSQL`.
#[derive(Debug, Default)]
pub(super) struct Array(String);

impl Array {
    fn begin(&mut self) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
    }

    /// A value that needs no quotes: a number, a uuid.
    pub(super) fn push(&mut self, value: impl std::fmt::Display) {
        use std::fmt::Write as _;
        self.begin();
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{value}");
    }

    /// Any text.
    pub(super) fn push_text(&mut self, text: &str) {
        self.begin();
        self.0.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(c);
        }
        self.0.push('"');
    }

    pub(super) fn push_null(&mut self) {
        self.begin();
        self.0.push_str("NULL");
    }

    fn finish(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_keep_quotes_backslashes_and_words() {
        let mut array = Array::default();
        array.push_text("a\"b\\c");
        array.push_text("NULL");
        array.push_null();
        array.push(7);
        assert_eq!(array.finish(), r#"{"a\"b\\c","NULL",NULL,7}"#);
        assert_eq!(Array::default().finish(), "{}");
    }
}
