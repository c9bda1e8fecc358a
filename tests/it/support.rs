//! Starts the built binary in a folder of its own and speaks HTTP to it.
//!
//! [`project`] makes a folder, [`Ferrobase::dev`] starts the binary there and
//! waits until it is ready; dropping it ends it. [`run`] runs one verb. The
//! binary is `FERROBASE_BIN`, or the one beside this test in the build folder:
//! build it first.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A debug build that makes its database on a busy machine; a start takes a
/// second otherwise.
const READY_WAIT: Duration = Duration::from_secs(90);
/// Draining and PostgreSQL's last checkpoint, on a busy machine.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// For one answer; the server's own limit is shorter.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(75);

/// `dev` has the well-known keys, `serve` its own; with this both have the same.
pub(crate) const ONE_SECRET: &str =
    "[auth]\njwt_secret = \"a secret that every node of this project has\"\n";

/// On free ports.
const DEV: [&str; 6] = ["dev", "--json", "--port", "0", "--db-port", "0"];

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("FERROBASE_BIN") {
        return given.into();
    }
    // <target>/<profile>/deps/it-<hash>
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join("ferrobase");
    assert!(
        path.is_file(),
        "{} is not built; run `cargo build -p ferrobase` first",
        path.display()
    );
    path
}

/// A folder with these files, open to PostgreSQL's user: as root it is another.
pub(crate) fn project(files: &[(&str, &str)]) -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new()
        .prefix("ferrobase-it-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

/// Writes a file of a project.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What PostgreSQL wrote about itself, while it runs in this project.
pub(crate) fn postmaster_file(folder: &Path) -> Option<PathBuf> {
    find(&folder.join(".ferrobase"), "postmaster.pid", 3)
}

fn find(folder: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().collect();
    let here = entries.iter().find(|entry| entry.file_name() == name);
    here.map(std::fs::DirEntry::path).or_else(|| {
        let below = |entry: &std::fs::DirEntry| find(&entry.path(), name, depth.checked_sub(1)?);
        entries.iter().find_map(below)
    })
}

/// The binary with these arguments, in a folder, away from any terminal and
/// from the settings of whoever runs the tests.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(
            ["PATH", "HOME", "LANG"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        // Several run at once, and a taken port would be a warning.
        .env("FERROBASE__INBOX__PORT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs one verb to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Done {
    command(folder, arguments).output().unwrap().into()
}

/// How a verb ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    /// The error object of `--json`: the last line of standard error.
    pub(crate) fn error(&self) -> Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"));
        value
            .get("error")
            .cloned()
            .unwrap_or_else(|| panic!("{self:?}"))
    }
}

/// A running `ferrobase dev`.
pub(crate) struct Ferrobase {
    child: Child,
    ready: Value,
    stderr: Arc<Mutex<String>>,
}

impl Ferrobase {
    /// Starts it on free ports and waits until it is ready.
    pub(crate) fn dev(folder: &Path) -> Self {
        Self::dev_with(folder, &[])
    }

    /// The same with more arguments.
    pub(crate) fn dev_with(folder: &Path, arguments: &[&str]) -> Self {
        Self::try_dev(folder, arguments).unwrap_or_else(|done| panic!("it ended: {done:?}"))
    }

    /// The same with more of an environment.
    pub(crate) fn dev_in(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let started = Self::start(folder, &DEV, environment);
        started.unwrap_or_else(|done| panic!("it ended: {done:?}"))
    }

    /// The same, or how it ended instead.
    pub(crate) fn try_dev(folder: &Path, arguments: &[&str]) -> Result<Self, Done> {
        Self::start(folder, &[&DEV[..], arguments].concat(), &[])
    }

    /// Any verb that serves, or how it ended instead.
    pub(crate) fn start(
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, Done> {
        let mut command = command(folder, arguments);
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        let stderr = collect(&mut child);
        let lines = lines(&mut child);
        let deadline = Instant::now() + READY_WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                let timed_out = Instant::now() >= deadline;
                if timed_out {
                    let _ = child.kill();
                }
                let code = child.wait().unwrap().code();
                // The reader of standard error ends with the process.
                thread::sleep(Duration::from_millis(50));
                let stderr = stderr.lock().unwrap().clone();
                assert!(!timed_out, "it was not ready in time: {stderr}");
                return Err(Done {
                    code,
                    stdout: String::new(),
                    stderr,
                });
            };
            if let Ok(ready) = serde_json::from_str::<Value>(&line)
                && ready.get("api_url").is_some()
            {
                return Ok(Self {
                    child,
                    ready,
                    stderr,
                });
            }
        }
    }

    /// One that prints fewer fields than this one of the same project.
    pub(crate) fn known_from(mut self, ready: &Value) -> Self {
        if let (Value::Object(own), Value::Object(more)) = (&mut self.ready, ready) {
            for (name, value) in more {
                own.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        self
    }

    /// The line it printed when it was ready.
    pub(crate) fn ready(&self) -> Value {
        self.ready.clone()
    }

    /// A field of the line it printed when it was ready.
    pub(crate) fn field(&self, name: &str) -> &Value {
        self.ready.get(name).unwrap_or(&Value::Null)
    }

    fn text(&self, name: &str) -> &str {
        self.field(name)
            .as_str()
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// Where its API is.
    pub(crate) fn url(&self) -> &str {
        self.text("api_url")
    }

    /// Host and port of its API.
    pub(crate) fn address(&self) -> &str {
        self.url().trim_start_matches("http://")
    }

    /// The legacy anon key.
    pub(crate) fn anon_key(&self) -> &str {
        self.text("anon_key")
    }

    /// The legacy `service_role` key.
    pub(crate) fn service_key(&self) -> &str {
        self.text("service_role_key")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The first line on standard error that holds this: what is logged is
    /// written by a thread of its own and may come late.
    pub(crate) fn said(&self, text: &str) -> String {
        let deadline = Instant::now() + ANSWER_WAIT;
        loop {
            let all = self.stderr();
            if let Some(line) = all.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "nothing about {text}: {all}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A signed-in user's token; `more` is laid over the usual claims.
    pub(crate) fn token(&self, sub: &str, more: &Value) -> String {
        let mut claims = json!({
            "sub": sub,
            "role": "authenticated",
            "aud": "authenticated",
            "exp": 4_000_000_000_u64,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone());
        }
        sign(&claims, self.text("jwt_secret"))
    }

    /// One request with a key as `apikey` and bearer.
    pub(crate) fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("apikey", self.anon_key()),
            ("authorization", &bearer),
            ("content-type", "application/json"),
            ("prefer", "return=representation"),
        ];
        request(self.address(), method, path, &headers, body.as_bytes()).unwrap()
    }

    /// The rows of a path.
    pub(crate) fn get(&self, path: &str, key: &str) -> Answer {
        self.send("GET", path, key, "")
    }

    /// As the kernel would on a crash: no handler runs.
    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a service manager does, and waits.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, signal);
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + STOP_WAIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {}",
                self.stderr()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Ferrobase {
    /// A failed test leaves nothing running either: PostgreSQL ends with it.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let deadline = Instant::now() + STOP_WAIT;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn collect(child: &mut Child) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let (pipe, into) = (child.stderr.take().unwrap(), Arc::clone(&text));
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = writeln!(into.lock().unwrap(), "{line}");
        }
    });
    text
}

fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let pipe = child.stdout.take().unwrap();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// An HS256 token.
pub(crate) fn sign(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({"alg": "HS256", "typ": "JWT"})),
        part(claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mark = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON, or null.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
    raw(address, &[head.as_bytes(), body].concat())
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) fn raw(address: &str, bytes: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    // A server that refuses early may close before everything is sent; its
    // answer counts.
    let sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        sent.and(read)?;
    }
    Ok(parse(&answer))
}

/// Head, body and status of an answer's bytes.
pub(crate) fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let head = head.to_ascii_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    Answer {
        status: status.unwrap_or(0),
        body: if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
        head,
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    body
}
