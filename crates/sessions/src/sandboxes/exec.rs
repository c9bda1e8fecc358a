//! Programs in a sandbox: started, listened to, and written down.
//!
//! What a program says goes three ways: to whoever started it, without loss;
//! into the session's log, in pieces and no more than a bound; to whoever asks
//! for it by its number later. Whoever started it may leave: it runs on.

use std::sync::Arc;
use std::time::Duration;

use kernel::Caller;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use super::lifecycle::refused;
use super::live::{Live, Running, WATCHED_MAX};
use super::open::Open;
use super::record::Recorder;
use crate::error::Result;
use crate::ports::{Command, Ended, Output, Started};

/// Pieces that wait for whoever started a program.
const WAITING_MAX: usize = 64;
/// Who takes nothing for so long has left, and the program goes on without.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program to run.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// What to start.
    pub command: Command,
    /// A client's own name for it.
    pub tag: Option<String>,
    /// The job that it is part of.
    pub job: Option<Uuid>,
    /// What the tool run is called; none writes nothing down.
    pub tool: Option<&'static str>,
}

impl Exec {
    /// A line for the shell, written down as `sandbox.exec`.
    #[must_use]
    pub fn shell(line: impl Into<String>) -> Self {
        Self {
            command: Command {
                program: "/bin/sh".to_owned(),
                args: vec!["-c".to_owned(), line.into()],
                ..Command::default()
            },
            tool: Some("sandbox.exec"),
            ..Self::default()
        }
    }

    /// A program with its arguments, written down as `sandbox.exec`.
    #[must_use]
    pub fn program(program: impl Into<String>, args: Vec<String>) -> Self {
        Self {
            command: Command {
                program: program.into(),
                args,
                ..Command::default()
            },
            tool: Some("sandbox.exec"),
            ..Self::default()
        }
    }

    /// At most this long.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.command.timeout = Some(timeout);
        self
    }

    /// Part of this job.
    #[must_use]
    pub fn of_job(mut self, job: Option<Uuid>) -> Self {
        self.job = job;
        self
    }
}

/// A program that was started.
pub struct Execution {
    /// Its number.
    pub pid: u32,
    /// Its name in the session's log.
    pub run: Uuid,
    /// What it says; the last is an [`Output::Exit`].
    pub output: mpsc::Receiver<Output>,
    /// How it is reached.
    pub running: Arc<Running>,
}

/// All that a program said, up to a bound.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// On standard output.
    pub stdout: Vec<u8>,
    /// On standard error.
    pub stderr: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
    /// How it ended.
    pub ended: Ended,
}

impl Execution {
    /// One that is over already: there was nothing to do.
    pub(super) fn over(running: Arc<Running>, run: Uuid, says: &str) -> Self {
        let (sender, output) = mpsc::channel(2);
        let line = bytes::Bytes::copy_from_slice(says.as_bytes());
        // Two fit.
        let _ = sender.try_send(Output::Stdout(line));
        let _ = sender.try_send(Output::Exit(Ended {
            code: Some(0),
            ..Ended::default()
        }));
        Self {
            pid: 0,
            run,
            output,
            running,
        }
    }

    /// Waits until it is over.
    pub async fn collect(mut self, most: usize) -> Collected {
        let mut all = Collected::default();
        while let Some(output) = self.output.recv().await {
            let (bytes, into) = match output {
                Output::Stdout(bytes) => (bytes, &mut all.stdout),
                Output::Stderr(bytes) => (bytes, &mut all.stderr),
                Output::Exit(ended) => {
                    all.ended = ended;
                    break;
                }
            };
            let room = most.saturating_sub(into.len()).min(bytes.len());
            into.extend_from_slice(bytes.get(..room).unwrap_or_default());
            all.truncated |= room < bytes.len();
        }
        all
    }
}

impl Open {
    /// Starts a program.
    pub async fn exec(&self, exec: Exec) -> Result<Execution> {
        let about = json!({
            "sandbox_id": self.live.id,
            "command": shown(&exec.command),
            "cwd": exec.command.cwd,
        });
        let service = exec.command.service;
        let started = self.live.contained.start(exec.command.clone()).await;
        let started = started.map_err(refused)?;
        let run = self.boxes.rng.uuid();
        let running = Arc::new(Running {
            pid: started.pid,
            command: exec.command.program,
            args: exec.command.args,
            cwd: exec.command.cwd,
            tag: exec.tag,
            control: Arc::clone(&started.control),
            said: broadcast::channel(WATCHED_MAX).0,
            tail: std::sync::Mutex::default(),
        });
        self.live.keep(&running);
        let recorder = exec.tool.map(|tool| {
            let at = (self.live.session, run, exec.job);
            Recorder::new(self.boxes.appender.clone(), at, (tool, about))
        });
        let (to_starter, output) = mpsc::channel(WAITING_MAX);
        let pump = Pump {
            open: self.clone(),
            running: Arc::clone(&running),
            recorder,
            // A service outlives whoever waits for its first words.
            to_starter: (!service).then(|| to_starter.clone()),
            begun: self.boxes.clock.now(),
        };
        if service {
            drop(to_starter);
        }
        let pid = started.pid;
        self.boxes.tasks.spawn("sandbox-exec", pump.run(started));
        Ok(Execution {
            pid,
            run,
            output,
            running,
        })
    }
}

/// A command as people read it.
fn shown(command: &Command) -> String {
    match command.args.as_slice() {
        [flag, line] if flag.ends_with('c') && command.program.ends_with("sh") => line.clone(),
        args => {
            let mut words = vec![command.program.as_str()];
            words.extend(args.iter().map(String::as_str));
            words.join(" ")
        }
    }
}

/// Carries what a program says to everybody.
struct Pump {
    open: Open,
    running: Arc<Running>,
    recorder: Option<Recorder>,
    to_starter: Option<mpsc::Sender<Output>>,
    begun: jiff::Timestamp,
}

impl Pump {
    async fn run(mut self, mut started: Started) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(started.pid).await;
        }
        let mut ended = None;
        loop {
            let output = match self.recorder.as_mut().and_then(Recorder::due) {
                // What was said waits a moment for more, then it is written.
                Some(due) => tokio::select! {
                    output = started.output.recv() => output,
                    () = tokio::time::sleep_until(due) => {
                        self.flush().await;
                        continue;
                    }
                },
                None => started.output.recv().await,
            };
            let Some(output) = output else { break };
            self.live().touch();
            self.running.says(&output);
            if let Some(recorder) = &mut self.recorder {
                recorder.hear(&output).await;
            }
            let over = matches!(output, Output::Exit(_));
            if let Output::Exit(how) = &output {
                // Whoever is told that it is over finds it in the log.
                let how = how.clone();
                self.write_down(&how).await;
                ended = Some(how);
            }
            self.tell(output).await;
            if over {
                break;
            }
        }
        self.live().drop_process(started.pid);
        if ended.is_none() {
            let how = Ended {
                why: Some("sandbox".to_owned()),
                ..Ended::default()
            };
            self.running.says(&Output::Exit(how.clone()));
            self.write_down(&how).await;
            self.tell(Output::Exit(how)).await;
        }
    }

    fn live(&self) -> &Arc<Live> {
        &self.open.live
    }

    async fn flush(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.flush().await;
        }
    }

    async fn tell(&mut self, output: Output) {
        if let Some(starter) = &self.to_starter {
            let sent = tokio::time::timeout(PATIENCE, starter.send(output)).await;
            if !matches!(sent, Ok(Ok(()))) {
                self.to_starter = None;
            }
        }
    }

    /// The end in the log, and a row for the tool run.
    async fn write_down(&mut self, ended: &Ended) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let took = self.open.boxes.clock.now().duration_since(self.begun);
        let millis = i32::try_from(took.as_millis()).unwrap_or(i32::MAX);
        let row = recorder.end(ended, millis).await;
        let open = &self.open;
        if let Err(error) = keep_run(open, &open.caller, row).await {
            tracing::warn!(%error, "A run in a sandbox has no row");
        }
    }
}

async fn keep_run(open: &Open, caller: &Caller, row: Value) -> Result<()> {
    let sql = pg::SqlBuf::fixed(include_str!("../../sql/create_tool_run.sql"));
    let sql = sql
        .bind(open.live.session.to_string())
        .bind(row.to_string());
    open.boxes.rows.store.write(caller, sql).await.map(drop)
}
