//! An SMTP server of the tests' own, on a real socket, as strict as it must be
//! and as unfriendly as it is told to be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::Tasks;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};

/// What it wants.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    pub(super) implicit_tls: bool,
    pub(super) starttls: bool,
    /// Name and password.
    pub(super) login: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) data: String,
    pub(super) encrypted: bool,
    pub(super) logged_in: bool,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    /// What to say to the next recipients instead of 250.
    refusals: VecDeque<&'static str>,
    /// Connections to drop after the data, unanswered.
    silent: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Receiver {
    pub(super) async fn start(manner: Manner, tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let receiver = Self {
            address: listener.local_addr().expect("bound"),
            state: Arc::default(),
        };
        let (this, spawner, stop) = (receiver.clone(), tasks.clone(), tasks.token());
        tasks.spawn(
            "smtp receiver",
            stop.run_until_cancelled_owned(async move {
                loop {
                    let (stream, _) = listener.accept().await.expect("accepts");
                    let serving = this.clone().serve(stream, manner);
                    let stop = spawner.token();
                    spawner.spawn("smtp session", stop.run_until_cancelled_owned(serving));
                }
            }),
        );
        receiver
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.state.lock().expect("not poisoned").received.clone()
    }

    pub(super) fn refuse(&self, refusals: &[&'static str]) {
        let mut state = self.state.lock().expect("not poisoned");
        state.refusals = refusals.iter().copied().collect();
    }

    /// Takes the next mails and does not say so.
    pub(super) fn be_silent(&self, mails: usize) {
        self.state.lock().expect("not poisoned").silent = mails;
    }

    /// Whoever leaves early, leaves early.
    async fn serve(self, stream: TcpStream, manner: Manner) {
        let _ = self.talk(stream, manner).await;
    }

    async fn talk(&self, stream: TcpStream, manner: Manner) -> std::io::Result<()> {
        let acceptor = crate::testing::acceptor();
        if manner.implicit_tls {
            let tls = acceptor.accept(stream).await?;
            return self.session(tls, manner, true, true).await.map(|_| ());
        }
        let rest = self.session(stream, manner, false, true).await?;
        if let Some(stream) = rest {
            let tls = acceptor.accept(stream).await?;
            self.session(tls, manner, true, false).await?;
        }
        Ok(())
    }

    /// The stream comes back when the client wants TLS.
    async fn session<S: Stream>(
        &self,
        stream: S,
        manner: Manner,
        encrypted: bool,
        greet: bool,
    ) -> std::io::Result<Option<S>> {
        let mut stream = BufStream::new(stream);
        let mut mail = Received {
            from: String::new(),
            to: String::new(),
            data: String::new(),
            encrypted,
            logged_in: false,
        };
        if greet {
            say(&mut stream, "220 test ESMTP").await?;
        }
        loop {
            let line = hear(&mut stream).await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            let answer = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    say(&mut stream, "250-test").await?;
                    if manner.starttls && !encrypted {
                        say(&mut stream, "250-STARTTLS").await?;
                    }
                    "250 AUTH PLAIN"
                }
                "STARTTLS" if manner.starttls && !encrypted => {
                    say(&mut stream, "220 go").await?;
                    return Ok(Some(stream.into_inner()));
                }
                "AUTH" if fits(&line, manner) => {
                    mail.logged_in = true;
                    "235 in"
                }
                "AUTH" => "535 5.7.8 no",
                "MAIL" if manner.login.is_some() && !mail.logged_in => "530 5.7.0 log in",
                "MAIL" => {
                    mail.from = line;
                    "250 ok"
                }
                "RCPT" => {
                    mail.to = line;
                    let mut state = self.state.lock().expect("not poisoned");
                    state.refusals.pop_front().unwrap_or("250 ok")
                }
                "DATA" => {
                    say(&mut stream, "354 go").await?;
                    mail.data = data(&mut stream).await?;
                    if self.keep(&mail) {
                        return Ok(None);
                    }
                    "250 taken"
                }
                "QUIT" => {
                    say(&mut stream, "221 bye").await?;
                    return Ok(None);
                }
                _ => "500 what",
            };
            say(&mut stream, answer).await?;
        }
    }

    /// Whether to hang up now.
    fn keep(&self, mail: &Received) -> bool {
        let mut state = self.state.lock().expect("not poisoned");
        state.received.push(mail.clone());
        let silent = state.silent > 0;
        state.silent = state.silent.saturating_sub(1);
        silent
    }
}

fn fits(line: &str, manner: Manner) -> bool {
    let Some((user, password)) = manner.login else {
        return false;
    };
    let expected = STANDARD.encode(format!("\0{user}\0{password}"));
    line == format!("AUTH PLAIN {expected}")
}

async fn say<S: Stream>(stream: &mut BufStream<S>, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn hear<S: Stream>(stream: &mut BufStream<S>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn data<S: Stream>(stream: &mut BufStream<S>) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let line = hear(stream).await?;
        if line == "." {
            return Ok(data);
        }
        data.push_str(&line);
        data.push('\n');
    }
}
