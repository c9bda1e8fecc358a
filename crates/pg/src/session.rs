//! One dedicated connection, used by one task at a time: migrations, catalog
//! loading, LISTEN. Requests of users go through [`crate::Pool`] instead.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::error::Error;
use crate::rows::{Column, Rows};
use crate::sql_buf::{Param, SqlBuf};
use crate::target::Target;
use crate::wire::login::{Connected, login};
use crate::wire::{encode, frame};

/// Notifications kept while nobody asks for them. More than this and the
/// oldest go: every listener of ours treats one as "look again".
const NOTIFICATIONS_MAX: usize = 1024;

/// A `NOTIFY` that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The channel.
    pub channel: String,
    /// The payload.
    pub payload: String,
}

/// The two ways to send statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Simple,
    Extended,
}

/// A connection of one's own.
#[derive(Debug)]
pub struct Session {
    connected: Connected,
    out: BytesMut,
    notifications: VecDeque<Notification>,
    notices: Vec<String>,
}

impl Session {
    /// Connects and logs in.
    pub async fn connect(target: &Target) -> Result<Self, Error> {
        Ok(Self {
            connected: login(target).await?,
            out: BytesMut::new(),
            notifications: VecDeque::new(),
            notices: Vec::new(),
        })
    }

    /// Runs a script of one or more statements by the simple protocol and
    /// returns the rows of each. Without BEGIN inside, it is one transaction.
    pub async fn script(&mut self, sql: &str) -> Result<Vec<Rows>, Error> {
        // What could not be encoded the last time must not be sent now.
        self.out.clear();
        encode::simple_query(&mut self.out, sql)?;
        self.exchange(Protocol::Simple).await
    }

    /// Runs one fixed statement with parameters.
    pub async fn query(
        &mut self,
        sql: &'static str,
        params: &[Option<&str>],
    ) -> Result<Rows, Error> {
        let params: Vec<Param> = params.iter().map(|p| p.map(str::to_owned)).collect();
        self.extended(sql, &params).await
    }

    /// Runs one built statement.
    pub async fn query_buf(&mut self, sql: &SqlBuf) -> Result<Rows, Error> {
        self.extended(sql.text(), sql.params()).await
    }

    /// Waits for the next notification of a channel that was `LISTEN`ed to.
    pub async fn notification(&mut self) -> Result<Notification, Error> {
        loop {
            if let Some(notification) = self.notifications.pop_front() {
                return Ok(notification);
            }
            let (tag, body) = self.message().await?;
            if tag == b'E' {
                return Err(frame::error_response(&body));
            }
        }
    }

    /// The server's version as `server_version_num` writes it: 150018 is 15.18.
    #[must_use]
    pub fn server_version(&self) -> u32 {
        let text = self.parameter("server_version").unwrap_or_default();
        let mut parts = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse::<u32>().unwrap_or(0));
        parts.next().unwrap_or(0) * 10_000 + parts.next().unwrap_or(0)
    }

    /// A setting the server reports by itself, such as `server_version`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.connected.parameters.get(name).map(String::as_str)
    }

    /// Takes the notices (`RAISE NOTICE`, `WARNING`) since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Says good-bye. Dropping the session does as well, less politely.
    pub async fn close(mut self) {
        self.out.clear();
        encode::terminate(&mut self.out);
        // The server may already be gone, which is what we wanted.
        let _ = self.connected.stream.write_all(&self.out).await;
        let _ = self.connected.stream.shutdown().await;
    }

    async fn extended(&mut self, sql: &str, params: &[Param]) -> Result<Rows, Error> {
        self.out.clear();
        encode::parse(&mut self.out, "", sql)?;
        encode::describe(&mut self.out, "")?;
        encode::bind_execute(&mut self.out, "", params)?;
        encode::sync(&mut self.out);
        let mut results = self.exchange(Protocol::Extended).await?;
        Ok(results.pop().unwrap_or_default())
    }

    /// Sends what is in `out` and reads until the server is ready again.
    async fn exchange(&mut self, protocol: Protocol) -> Result<Vec<Rows>, Error> {
        let out = self.out.split();
        self.connected.stream.write_all(&out).await?;
        let mut results = Vec::new();
        let mut failure = None;
        let mut columns: Arc<[Column]> = Arc::from([]);
        let mut rows = BytesMut::new();
        let mut count = 0;
        loop {
            let (tag, body) = match self.message().await {
                Ok(message) => message,
                // The server says why before it closes the connection.
                Err(error) => return Err(failure.unwrap_or(error)),
            };
            match tag {
                b'T' => columns = frame::row_description(&body)?.into(),
                b'D' => {
                    push_message(&mut rows, tag, &body);
                    count += 1;
                }
                b'C' => {
                    let chunk = rows.split().freeze();
                    let tag = frame::command_tag(&body);
                    results.push(Rows::new(columns, vec![chunk], count, tag));
                    (columns, count) = (Arc::from([]), 0);
                }
                // COPY needs a partner that sends or reads the data.
                b'G' => {
                    postgres_protocol::message::frontend::copy_fail(
                        "COPY FROM STDIN is not supported here",
                        &mut self.out,
                    )?;
                    // The server has thrown our Sync away while it waited
                    // for data.
                    if protocol == Protocol::Extended {
                        encode::sync(&mut self.out);
                    }
                    let out = self.out.split();
                    self.connected.stream.write_all(&out).await?;
                }
                b'E' => failure = failure.or(Some(frame::error_response(&body))),
                b'Z' => return failure.map_or(Ok(results), Err),
                _ => {}
            }
        }
    }

    /// The next message that is an answer; what the server says on its own
    /// account is kept aside.
    async fn message(&mut self) -> Result<(u8, BytesMut), Error> {
        loop {
            while let Some((tag, body)) = frame::take(&mut self.connected.buffer)? {
                match tag {
                    b'A' => {
                        self.keep_notification(&body);
                        return Ok((tag, body));
                    }
                    b'S' => self.keep_parameter(&body),
                    b'N' => {
                        let notice = crate::error::DbError::parse(&body);
                        tracing::trace!(code = notice.code, "{}", notice.message);
                        if self.notices.len() < NOTIFICATIONS_MAX {
                            self.notices.push(notice.message);
                        }
                    }
                    _ => return Ok((tag, body)),
                }
            }
            let stream = &mut self.connected.stream;
            if stream.read_buf(&mut self.connected.buffer).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    fn keep_notification(&mut self, body: &[u8]) {
        let parsed = body.get(4..).and_then(|rest| {
            let (channel, rest) = frame::c_string(rest)?;
            let (payload, _) = frame::c_string(rest)?;
            Some(Notification {
                channel: channel.to_owned(),
                payload: payload.to_owned(),
            })
        });
        if let Some(notification) = parsed {
            if self.notifications.len() == NOTIFICATIONS_MAX {
                self.notifications.pop_front();
            }
            self.notifications.push_back(notification);
        }
    }

    fn keep_parameter(&mut self, body: &[u8]) {
        let pair = frame::c_string(body).and_then(|(k, rest)| Some((k, frame::c_string(rest)?.0)));
        if let Some((key, value)) = pair {
            let parameters: &mut HashMap<_, _> = &mut self.connected.parameters;
            parameters.insert(key.to_owned(), value.to_owned());
        }
    }
}

/// Puts a message together again, since [`Rows`] keeps whole ones.
fn push_message(out: &mut BytesMut, tag: u8, body: &[u8]) {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    out.extend_from_slice(&[tag]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
}
