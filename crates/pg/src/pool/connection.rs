//! The task that owns one connection: it writes jobs as they come and hands
//! out answers in the order of the questions.
//!
//! A caller that vanishes only drops its end of the reply; the answer is read
//! and thrown away, so the connection stays in step.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::sync::mpsc;

use super::lease::LeaseCommand;
use super::statements::{Prepared, Statements};
use super::{Inner, Job, Reply, Segment, Statement, Work};
use crate::error::Error;
use crate::rows::{Column, Rows};
use crate::wire::login::Connected;
use crate::wire::stream::Stream;
use crate::wire::{encode, frame};

/// Room to read into. A 100-row list fits; a larger answer comes in pieces.
const READ_CHUNK: usize = 32 * 1024;

pub(super) struct Connection {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    pool: Arc<Inner>,
    id: u64,
    statements: Statements,
    in_flight: VecDeque<InFlight>,
    lease: Option<mpsc::Receiver<LeaseCommand>>,
    transaction_open: bool,
    last_done: Instant,
}

/// A job whose answer has not come in full.
struct InFlight {
    kind: Kind,
    timing: Option<u64>,
    sent: Instant,
    /// Syncs still to be answered.
    syncs: usize,
    expected: VecDeque<Expected>,
    results: Vec<Rows>,
    error: Option<Error>,
    chunks: Vec<Bytes>,
    count: usize,
    bytes: usize,
}

enum Kind {
    /// A job of the pool.
    Job(Reply),
    /// A segment of a lease.
    Leased(Reply),
    /// Our own tidying up.
    Tidy,
}

/// A statement whose result has not come.
struct Expected {
    /// The cache entry that waits for the statement's description.
    key: Option<u64>,
    columns: Option<Arc<[Column]>>,
    /// Which Sync it stands before, counted down: an error skips the
    /// statements of its own segment only.
    sync: usize,
}

impl Connection {
    pub(super) fn new(connected: Connected, pool: Arc<Inner>, id: u64) -> Self {
        Self {
            stream: connected.stream,
            input: connected.buffer,
            output: BytesMut::new(),
            pool,
            id,
            statements: Statements::default(),
            in_flight: VecDeque::new(),
            lease: None,
            transaction_open: false,
            last_done: Instant::now(),
        }
    }

    /// Works until the pool lets go of the other end of `inbox` or the
    /// connection breaks.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Job>) {
        let result = poll_fn(|cx| self.poll(cx, &mut inbox)).await;
        if let Err(error) = result {
            tracing::debug!("connection to PostgreSQL ended: {error}");
        }
        // Nobody shall wait for an answer that cannot come.
        for mut job in self.in_flight.drain(..) {
            let error = job.error.take().unwrap_or(Error::Closed);
            if let Kind::Job(reply) | Kind::Leased(reply) = job.kind {
                let _ = reply.send(Err(error));
            }
        }
        encode::terminate(&mut self.output);
        let _ = poll_fn(|cx| self.poll_write(cx)).await;
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> Poll<Result<(), Error>> {
        loop {
            let closing = self.take_work(cx, inbox)?;
            let _ = self.poll_write(cx)?;
            if closing && self.in_flight.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.input.reserve(READ_CHUNK);
            let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::Closed)),
                Poll::Ready(Ok(_)) => self.digest()?,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if self.output.is_empty() => return Poll::Pending,
                // Something was queued while digesting; write it before sleeping.
                Poll::Pending => {
                    if self.poll_write(cx)?.is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Encodes everything that waits to be sent. True when no more will come.
    fn take_work(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> Result<bool, Error> {
        loop {
            if let Some(lease) = &mut self.lease {
                match lease.poll_recv(cx) {
                    Poll::Ready(Some(command)) => self.send_leased(command)?,
                    Poll::Ready(None) => self.end_lease()?,
                    Poll::Pending => return Ok(false),
                }
                continue;
            }
            match inbox.poll_recv(cx) {
                Poll::Ready(Some(job)) => self.send_job(job)?,
                Poll::Ready(None) => return Ok(true),
                Poll::Pending => return Ok(false),
            }
        }
    }

    fn send_job(&mut self, job: Job) -> Result<(), Error> {
        match job.work {
            Work::Run { segments, reply } => {
                self.send(Kind::Job(reply), segments, &job.scope, job.timing)
            }
            Work::Lease(reply) => {
                // One command at a time: the caller waits for each answer.
                let (commands, inbox) = mpsc::channel(1);
                if reply.send(commands).is_ok() {
                    self.lease = Some(inbox);
                } else {
                    self.pool.finished(self.id, None, std::time::Duration::ZERO);
                }
                Ok(())
            }
        }
    }

    fn send_leased(&mut self, command: LeaseCommand) -> Result<(), Error> {
        self.transaction_open = true;
        let kind = Kind::Leased(command.reply);
        self.send(kind, vec![command.segment], &command.scope, None)
    }

    /// The lease is over: leave no transaction open, then work for all again.
    fn end_lease(&mut self) -> Result<(), Error> {
        self.lease = None;
        if self.transaction_open || !self.in_flight.is_empty() {
            self.send_rollback()?;
        }
        self.pool.finished(self.id, None, std::time::Duration::ZERO);
        Ok(())
    }

    fn send_rollback(&mut self) -> Result<(), Error> {
        let rollback = Statement {
            text: Arc::from("ROLLBACK"),
            params: Arc::from([]),
            control: true,
        };
        self.send(Kind::Tidy, vec![vec![rollback]], &Arc::from(""), None)
    }

    /// Encodes a job. What cannot be encoded is refused before a byte of it
    /// is written, so the connection stays in step.
    fn send(
        &mut self,
        kind: Kind,
        segments: Vec<Segment>,
        scope: &Arc<str>,
        timing: Option<u64>,
    ) -> Result<(), Error> {
        let start = self.output.len();
        let syncs = segments.len();
        let mut expected = VecDeque::new();
        let mut failure = None;
        for (index, segment) in segments.into_iter().enumerate() {
            for statement in segment {
                match self.encode(&statement, scope, syncs - index) {
                    Ok(expect) => expected.push_back(expect),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            encode::sync(&mut self.output);
        }
        if let Some(error) = failure {
            self.output.truncate(start);
            for key in expected.iter().filter_map(|e| e.key) {
                self.statements.forget(key);
            }
            if let Kind::Job(reply) = kind {
                let _ = reply.send(Err(error));
                self.pool.finished(self.id, None, std::time::Duration::ZERO);
            } else if let Kind::Leased(reply) = kind {
                let _ = reply.send(Err(error));
            }
            return Ok(());
        }
        self.in_flight.push_back(InFlight {
            kind,
            timing,
            sent: Instant::now(),
            syncs,
            expected,
            results: Vec::new(),
            error: None,
            chunks: Vec::new(),
            count: 0,
            bytes: 0,
        });
        Ok(())
    }

    fn encode(
        &mut self,
        statement: &Statement,
        scope: &Arc<str>,
        sync: usize,
    ) -> Result<Expected, Error> {
        let out = &mut self.output;
        let prepared = if statement.control || !self.pool.config.prepared {
            Prepared::Unnamed
        } else {
            self.statements.find(scope, &statement.text)
        };
        let (name, key, columns) = match prepared {
            Prepared::Ready { name, columns } => (name, None, Some(columns)),
            Prepared::New { key, name, close } => {
                if let Some(other) = close {
                    encode::close_statement(out, &other)?;
                }
                (name, Some(key), None)
            }
            Prepared::Unnamed => (String::new(), None, None),
        };
        if columns.is_none() {
            let parsed = encode::parse(out, &name, &statement.text)
                .and_then(|()| encode::describe(out, &name));
            if let Err(error) = parsed {
                if let Some(key) = key {
                    self.statements.forget(key);
                }
                return Err(error);
            }
        }
        if let Err(error) = encode::bind_execute(out, &name, &statement.params) {
            if let Some(key) = key {
                self.statements.forget(key);
            }
            return Err(error);
        }
        Ok(Expected { key, columns, sync })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::Closed)),
                Poll::Ready(Ok(written)) => self.output.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        // TLS may hold bytes back until told to send them.
        Pin::new(&mut self.stream)
            .poll_flush(cx)
            .map_err(Error::from)
    }

    /// Reads every whole message that has arrived.
    fn digest(&mut self) -> Result<(), Error> {
        loop {
            self.take_rows()?;
            let Some((tag, body)) = frame::take(&mut self.input)? else {
                return Ok(());
            };
            self.message(tag, &body)?;
        }
    }

    /// Takes the run of `DataRow` messages at the start of the input as one
    /// piece of bytes, without copying them.
    fn take_rows(&mut self) -> Result<(), Error> {
        let (mut end, mut count) = (0, 0);
        while let Some((b'D', length)) = frame::peek(self.input.get(end..).unwrap_or_default())? {
            end += length;
            count += 1;
        }
        if end == 0 {
            return Ok(());
        }
        let chunk = self.input.split_to(end).freeze();
        let limit = self.pool.config.result_bytes_max;
        let Some(job) = self.in_flight.front_mut() else {
            return Err(Error::protocol("rows that nobody asked for"));
        };
        job.bytes += chunk.len();
        if job.bytes > limit {
            job.chunks.clear();
            job.error = Some(Error::ResultTooLarge { limit });
        } else {
            job.chunks.push(chunk);
            job.count += count;
        }
        Ok(())
    }

    fn message(&mut self, tag: u8, body: &[u8]) -> Result<(), Error> {
        match tag {
            // ParameterStatus, notices, notifications, ParameterDescription,
            // ParseComplete, BindComplete, CloseComplete.
            b'S' | b'N' | b'A' | b't' | b'1' | b'2' | b'3' => Ok(()),
            b'T' => self.described(frame::row_description(body)?.into()),
            b'n' => self.described(Arc::from([])),
            b'C' => self.completed(frame::command_tag(body)),
            b'I' => self.completed(String::new()),
            b'E' => self.failed(frame::error_response(body)),
            b'Z' => self.synced(body.first().copied().unwrap_or(b'I')),
            tag => Err(Error::protocol(format!("message {:?}", char::from(tag)))),
        }
    }

    fn front(&mut self) -> Result<&mut InFlight, Error> {
        self.in_flight
            .front_mut()
            .ok_or_else(|| Error::protocol("an answer that nobody asked for"))
    }

    fn described(&mut self, columns: Arc<[Column]>) -> Result<(), Error> {
        let job = self.front()?;
        let mut key = None;
        if let Some(expected) = job.expected.front_mut() {
            expected.columns = Some(Arc::clone(&columns));
            key = expected.key.take();
        }
        if let Some(key) = key {
            self.statements.described(key, &columns);
        }
        Ok(())
    }

    fn completed(&mut self, tag: String) -> Result<(), Error> {
        let job = self.front()?;
        let columns = job
            .expected
            .pop_front()
            .and_then(|expected| expected.columns)
            .unwrap_or_else(|| Arc::from([]));
        let rows = Rows::new(columns, std::mem::take(&mut job.chunks), job.count, tag);
        job.count = 0;
        job.results.push(rows);
        Ok(())
    }

    fn failed(&mut self, error: Error) -> Result<(), Error> {
        // Outside of any job the server says why it ends the connection.
        let Some(job) = self.in_flight.front_mut() else {
            return Err(error);
        };
        job.chunks.clear();
        job.count = 0;
        job.error.get_or_insert(error);
        Ok(())
    }

    /// A Sync was answered; `status` is I(dle), T(ransaction) or E (failed
    /// transaction).
    fn synced(&mut self, status: u8) -> Result<(), Error> {
        let job = self.front()?;
        let sync = job.syncs;
        job.syncs -= 1;
        let done = job.syncs == 0;
        let mut skipped = Vec::new();
        while let Some(expected) = job.expected.pop_front_if(|e| e.sync == sync) {
            skipped.extend(expected.key);
        }
        let stale = matches!(&job.error, Some(error) if is_stale_plan(error));
        for key in skipped {
            if !self.statements.is_ready(key) {
                self.statements.forget(key);
            }
        }
        if stale {
            for name in self.statements.clear() {
                encode::close_statement(&mut self.output, &name)?;
            }
            encode::sync(&mut self.output);
            self.expect_tidy();
        }
        self.transaction_open = status != b'I';
        if done {
            self.deliver()?;
        }
        Ok(())
    }

    /// Expects the answer to a Sync of our own, behind all others.
    fn expect_tidy(&mut self) {
        self.in_flight.push_back(InFlight {
            kind: Kind::Tidy,
            timing: None,
            sent: Instant::now(),
            syncs: 1,
            expected: VecDeque::new(),
            results: Vec::new(),
            error: None,
            chunks: Vec::new(),
            count: 0,
            bytes: 0,
        });
    }

    fn deliver(&mut self) -> Result<(), Error> {
        let Some(job) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let now = Instant::now();
        let took = now.duration_since(job.sent.max(self.last_done));
        self.last_done = now;
        let answer = job.error.map_or(Ok(job.results), Err);
        match job.kind {
            Kind::Job(reply) => {
                // A job ends its own transaction. Should one stay open, the
                // next job must not run inside it.
                if self.transaction_open {
                    self.send_rollback()?;
                }
                self.pool.finished(self.id, job.timing, took);
                let _ = reply.send(answer);
            }
            Kind::Leased(reply) => {
                let _ = reply.send(answer);
            }
            Kind::Tidy => {}
        }
        Ok(())
    }
}

/// The schema changed under a prepared statement (`0A000`), or a pooler in
/// between gave us another server (`26000`). Nothing was done; a fresh parse
/// will do.
pub(crate) fn is_stale_plan(error: &Error) -> bool {
    match error.db() {
        Some(db) if db.code == "0A000" => db.message.starts_with("cached plan must not change"),
        Some(db) => db.code == "26000",
        None => false,
    }
}
