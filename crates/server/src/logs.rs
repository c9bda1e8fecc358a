//! Log lines: pretty on a terminal, JSON elsewhere, written by a thread of
//! their own so that a slow disk or pipe never holds up a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormat};

/// Lines that may wait to be written, about 2 MB. Beyond it lines are dropped
/// and counted: losing a log line is better than losing requests.
const LINES_WAITING_MAX: usize = 8192;
/// Lines are gathered into one write up to this size.
const WRITE_BYTES: usize = 64 * 1024;

/// Starts logging to `out`. A second call in one process changes nothing.
pub fn start(config: &LogConfig, terminal: bool, out: impl Write + Send + 'static) {
    let pretty = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let queue = Queue::start(out);
    let filter = Targets::new().with_default(LevelFilter::from_level(
        config.level.min(tracing::Level::INFO),
    ));
    let ours = ["cli", "ferrobase", "kernel", "pg", "rest", "server"];
    let filter = ours.into_iter().fold(filter, |filter, name| {
        filter.with_target(name, config.level)
    });
    let registry = tracing_subscriber::registry().with(filter);
    let format = tracing_subscriber::fmt::layer().with_writer(queue);
    let _ = if pretty {
        registry
            .with(format.compact().with_ansi(terminal).with_target(false))
            .try_init()
    } else {
        registry
            .with(
                format
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false),
            )
            .try_init()
    };
}

/// Hands finished lines to the writing thread.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start(out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Self {
            lines,
            dropped: Arc::clone(&dropped),
        };
        // Without the thread lines pile up and are dropped; serving goes on.
        let _ = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || write_out(&waiting, &dropped, out));
        queue
    }
}

fn write_out(waiting: &Receiver<Vec<u8>>, dropped: &AtomicU64, mut out: impl Write) {
    while let Ok(mut batch) = waiting.recv() {
        while batch.len() < WRITE_BYTES {
            let Ok(line) = waiting.try_recv() else { break };
            batch.extend_from_slice(&line);
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            batch.extend_from_slice(
                format!("{{\"level\":\"WARN\",\"message\":\"{lost} log lines were dropped\"}}\n")
                    .as_bytes(),
            );
        }
        // A closed pipe is no reason to stop serving.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
    }
}

/// One event, sent when it is complete.
struct Line<'q> {
    queue: &'q Queue,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if let Err(TrySendError::Full(_)) = self.queue.lines.try_send(text) {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'q> MakeWriter<'q> for Queue {
    type Writer = Line<'q>;

    fn make_writer(&'q self) -> Line<'q> {
        Line {
            queue: self,
            text: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;

    use super::*;

    /// A sink that blocks until it is let go.
    struct Stuck(Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_sink_drops_lines_and_says_how_many() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let held = written.lock().unwrap();
        let queue = Queue::start(Stuck(Arc::clone(&written)));
        // The thread may start late and take the count of what was lost before; then it is stuck,
        // and what is lost from there on stays counted.
        for _ in 0..LINES_WAITING_MAX {
            queue.make_writer().write_all(b"line\n").unwrap();
        }
        while queue.dropped.load(Ordering::Relaxed) == 0 {
            queue.make_writer().write_all(b"line\n").unwrap();
        }
        drop(held);
        let said = || {
            String::from_utf8(written.lock().unwrap().clone())
                .unwrap()
                .contains("log lines were dropped")
        };
        while !said() {
            queue.make_writer().write_all(b"more\n").unwrap();
            std::thread::yield_now();
        }
    }
}
