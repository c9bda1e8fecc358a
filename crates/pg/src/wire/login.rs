//! The way in: startup message and authentication (trust, clear text, MD5,
//! SCRAM-SHA-256).

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frame;
use super::stream::Stream;
use crate::error::Error;
use crate::target::{Target, Tls};

/// How long a login may take: password hashing on a busy server is slow, but
/// a server that never answers must not hold a request for ever.
const LOGIN_LIMIT: Duration = Duration::from_secs(15);

/// A connection that has been let in.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    /// Bytes that came behind the last message of the login.
    pub(crate) buffer: BytesMut,
    /// The server's reported settings.
    pub(crate) parameters: HashMap<String, String>,
}

/// Connects and logs in.
pub(crate) async fn login(target: &Target) -> Result<Connected, Error> {
    let mut login = Login {
        stream: Stream::connect(target).await?,
        buffer: BytesMut::with_capacity(4096),
        target,
    };
    tokio::time::timeout(LOGIN_LIMIT, login.run())
        .await
        .unwrap_or(Err(Error::Timeout))
        .map(|parameters| Connected {
            stream: login.stream,
            buffer: login.buffer,
            parameters,
        })
}

struct Login<'a> {
    stream: Stream,
    buffer: BytesMut,
    target: &'a Target,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<HashMap<String, String>, Error> {
        let target = self.target;
        let settings = [
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
            ("application_name", target.application_name.as_str()),
            ("client_encoding", "UTF8"),
            // The reply stage turns dates into JSON and relies on ISO text.
            ("DateStyle", "ISO"),
            // The shortest text that gives the same number back.
            ("extra_float_digits", "1"),
        ];
        let startup = target.startup.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let mut out = BytesMut::new();
        frontend::startup_message(settings.into_iter().chain(startup), &mut out)?;
        self.stream.write_all(&out).await?;
        self.authenticate().await?;
        let mut parameters = HashMap::new();
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'S' => {
                    let pair = frame::c_string(&body)
                        .and_then(|(k, rest)| Some((k, frame::c_string(rest)?.0)));
                    if let Some((key, value)) = pair {
                        parameters.insert(key.to_owned(), value.to_owned());
                    }
                }
                b'K' | b'N' => {}
                b'Z' => return Ok(parameters),
                tag => return Err(unexpected(tag)),
            }
        }
    }

    async fn authenticate(&mut self) -> Result<(), Error> {
        loop {
            let (tag, body) = self.message().await?;
            if tag != b'R' {
                return Err(unexpected(tag));
            }
            let Some((kind, data)) = body.split_first_chunk::<4>() else {
                return Err(Error::protocol("an authentication request that ends early"));
            };
            match u32::from_be_bytes(*kind) {
                0 => return Ok(()),
                3 => {
                    // In the clear only where nobody listens in between.
                    let password = self.password()?.to_owned();
                    self.send(|out| frontend::password_message(password.as_bytes(), out))
                        .await?;
                }
                5 => {
                    let salt = data
                        .first_chunk::<4>()
                        .ok_or_else(|| Error::protocol("an MD5 request without salt"))?;
                    let hash = md5_hash(
                        self.target.user.as_bytes(),
                        self.password()?.as_bytes(),
                        *salt,
                    );
                    self.send(|out| frontend::password_message(hash.as_bytes(), out))
                        .await?;
                }
                10 => self.scram(data).await?,
                kind => {
                    return Err(Error::protocol(format!(
                        "authentication method {kind} is not supported"
                    )));
                }
            }
        }
    }

    /// SCRAM-SHA-256 (RFC 7677), without channel binding.
    async fn scram(&mut self, mechanisms: &[u8]) -> Result<(), Error> {
        if !mechanisms
            .split(|byte| *byte == 0)
            .any(|name| name == sasl::SCRAM_SHA_256.as_bytes())
        {
            return Err(Error::protocol("no SASL mechanism that we know"));
        }
        let binding = match self.target.tls {
            Tls::Disable => sasl::ChannelBinding::unsupported(),
            _ => sasl::ChannelBinding::unrequested(),
        };
        let mut scram = sasl::ScramSha256::new(self.password()?.as_bytes(), binding);
        self.send(|out| frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), out))
            .await?;
        let challenge = self.sasl_step(11).await?;
        scram.update(&challenge)?;
        self.send(|out| frontend::sasl_response(scram.message(), out))
            .await?;
        let outcome = self.sasl_step(12).await?;
        scram.finish(&outcome)?;
        Ok(())
    }

    async fn sasl_step(&mut self, expected: u32) -> Result<BytesMut, Error> {
        let (tag, mut body) = self.message().await?;
        let kind = body.split_first_chunk::<4>().map(|(kind, _)| *kind);
        if tag != b'R' || kind.map(u32::from_be_bytes) != Some(expected) {
            return Err(unexpected(tag));
        }
        Ok(body.split_off(4))
    }

    fn password(&self) -> Result<&str, Error> {
        self.target
            .password
            .as_ref()
            .map(kernel::Secret::expose)
            .ok_or_else(|| Error::protocol("the server asks for a password and none is configured"))
    }

    async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let mut out = BytesMut::new();
        write(&mut out)?;
        Ok(self.stream.write_all(&out).await?)
    }

    /// The next message; a refusal becomes an error.
    async fn message(&mut self) -> Result<(u8, BytesMut), Error> {
        loop {
            if let Some((tag, body)) = frame::take(&mut self.buffer)? {
                if tag == b'E' {
                    return Err(frame::error_response(&body));
                }
                return Ok((tag, body));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }
}

fn unexpected(tag: u8) -> Error {
    Error::protocol(format!("message {:?} during login", char::from(tag)))
}
