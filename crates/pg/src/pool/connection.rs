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
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::sync::mpsc;

use super::in_flight::{Expected, InFlight, Kind};
use super::lease::LeaseCommand;
use super::statements::{Prepared, Statements};
use super::{Inner, Job, Manner, Segment, Statement, Work};
use crate::error::Error;
use crate::rows::{Column, Rows};
use crate::wire::login::Connected;
use crate::wire::stream::Stream;
use crate::wire::{encode, frame};

/// Room to read into. A 100-row list fits; a larger answer comes in pieces.
const READ_CHUNK: usize = 32 * 1024;

/// With less room than this there is new room made. Rows that somebody still
/// holds keep theirs, so asking for all of it every time would allocate it
/// every time.
const READ_ROOM_MIN: usize = 8 * 1024;

pub(super) struct Connection {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    pool: Arc<Inner>,
    id: u64,
    statements: Statements,
    in_flight: VecDeque<InFlight>,
    lease: Option<mpsc::Receiver<LeaseCommand>>,
    reset_after_lease: bool,
    transaction_open: bool,
    last_done: Instant,
    /// Statements to close in front of the next job: behind an error in their
    /// own segment the server would skip the request, and keep them for ever.
    to_close: Vec<String>,
    /// Bytes still to come of a row that is too large to keep.
    skip: usize,
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
            reset_after_lease: false,
            transaction_open: false,
            last_done: Instant::now(),
            to_close: Vec::new(),
            skip: 0,
        }
    }

    /// Works until the pool lets go of the other end of `inbox` or the
    /// connection breaks.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Job>) {
        let result = poll_fn(|cx| self.poll(cx, &mut inbox)).await;
        if let Err(error) = result {
            tracing::debug!("connection to PostgreSQL ended: {error}");
        }
        self.in_flight.drain(..).for_each(InFlight::lost);
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
            if self.input.capacity() - self.input.len() < READ_ROOM_MIN {
                self.input.reserve(READ_CHUNK);
            }
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
                let Manner {
                    scope,
                    timing,
                    reset,
                    ..
                } = job.manner;
                self.send(Kind::Job(reply), segments, &scope, timing)?;
                if reset {
                    self.send_own("RESET ALL", Kind::Tidy)?;
                }
                Ok(())
            }
            Work::Lease(reply) => {
                // One command at a time: the caller waits for each answer.
                let (commands, inbox) = mpsc::channel(1);
                if reply.send(commands).is_ok() {
                    self.lease = Some(inbox);
                    self.reset_after_lease = job.manner.reset;
                } else {
                    self.pool.finished(self.id, None, Duration::ZERO);
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
    /// Not before a statement that the caller left behind has ended, or the
    /// next job would have to wait for it.
    fn end_lease(&mut self) -> Result<(), Error> {
        self.lease = None;
        let open = self.transaction_open || !self.in_flight.is_empty();
        match (open, self.reset_after_lease) {
            (false, false) => {
                self.pool.finished(self.id, None, Duration::ZERO);
                Ok(())
            }
            (true, false) => self.send_own("ROLLBACK", Kind::EndOfLease),
            (open, true) => {
                if open {
                    self.send_own("ROLLBACK", Kind::Tidy)?;
                }
                self.send_own("RESET ALL", Kind::EndOfLease)
            }
        }
    }

    fn send_own(&mut self, text: &'static str, kind: Kind) -> Result<(), Error> {
        let statement = Statement {
            text: Arc::from(text),
            params: Arc::from([]),
            control: true,
        };
        self.send(kind, vec![vec![statement]], &Arc::from(""), None)
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
        for name in std::mem::take(&mut self.to_close) {
            encode::close_statement(&mut self.output, &name)?;
        }
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
                self.pool.finished(self.id, None, Duration::ZERO);
            } else if let Kind::Leased(reply) = kind {
                let _ = reply.send(Err(error));
            }
            return Ok(());
        }
        let job = InFlight::new(kind, timing, syncs, expected);
        self.in_flight.push_back(job);
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
                self.to_close.extend(close);
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
            if !self.skipped() {
                return Ok(());
            }
            self.take_rows()?;
            if !self.skipped() {
                return Ok(());
            }
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
        let limit = self.pool.config.result_bytes_max;
        if end > 0 {
            let chunk = self.input.split_to(end).freeze();
            self.front()?.take_rows(chunk, count, limit);
        }
        // One row may hold a whole list as JSON: too large a one is not even
        // collected.
        if let Some(length) = coming_row(&self.input) {
            let job = self.front()?;
            if job.bytes.saturating_add(length) > limit && length > READ_CHUNK {
                job.too_large(limit);
                self.skip = length;
            }
        }
        Ok(())
    }

    /// Drops what has arrived of a row that is too large; false while more of
    /// it must come.
    fn skipped(&mut self) -> bool {
        let now = self.skip.min(self.input.len());
        self.input.advance(now);
        self.skip -= now;
        self.skip == 0
    }

    fn message(&mut self, tag: u8, body: &[u8]) -> Result<(), Error> {
        match tag {
            // ParameterStatus, notices, notifications, ParameterDescription,
            // ParseComplete, BindComplete, CloseComplete.
            b'S' | b'N' | b'A' | b't' | b'1' | b'2' | b'3' => Ok(()),
            b'T' => self.described(&frame::row_description(body)?.into()),
            b'n' => self.described(&Arc::from([])),
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

    fn described(&mut self, columns: &Arc<[Column]>) -> Result<(), Error> {
        let job = self.front()?;
        let mut key = None;
        if let Some(expected) = job.expected.front_mut() {
            expected.columns = Some(Arc::clone(columns));
            key = expected.key.take();
        }
        if let Some(key) = key {
            self.statements.described(key, columns);
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
        while job.expected.front().is_some_and(|e| e.sync == sync) {
            skipped.extend(job.expected.pop_front().and_then(|e| e.key));
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
        let job = InFlight::new(Kind::Tidy, None, 1, VecDeque::new());
        self.in_flight.push_back(job);
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
                    self.send_own("ROLLBACK", Kind::Tidy)?;
                }
                self.pool.finished(self.id, job.timing, took);
                let _ = reply.send(answer);
            }
            Kind::Leased(reply) => {
                let _ = reply.send(answer);
            }
            Kind::EndOfLease => self.pool.finished(self.id, None, Duration::ZERO),
            Kind::Tidy => {}
        }
        Ok(())
    }
}

/// The whole length of the row that the input begins with, once its header is
/// there; `peek` has refused a senseless one.
fn coming_row(input: &[u8]) -> Option<usize> {
    let ([tag, length @ ..], _) = input.split_first_chunk::<{ frame::HEADER }>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (*tag == b'D').then_some(length + 1)
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
