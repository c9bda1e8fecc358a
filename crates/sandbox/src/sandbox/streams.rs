//! Ends of a program's streams, and reading them to the end.

use std::os::fd::OwnedFd;

use bytes::BytesMut;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::process::{Process, ProcessEvent};
use crate::{Output, SandboxError};

/// Reads until the end.
pub(super) async fn collect(process: &mut Process) -> Result<Output, SandboxError> {
    let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
    while let Some(event) = process.events.recv().await {
        match event {
            ProcessEvent::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            ProcessEvent::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            ProcessEvent::Exit(exit) => {
                let (stdout, stderr) = (stdout.freeze(), stderr.freeze());
                return Ok(Output {
                    stdout,
                    stderr,
                    exit,
                });
            }
        }
    }
    Err(SandboxError::Ended)
}

/// Ends of a program's streams.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) ours: Ours,
    pub(super) theirs: Vec<OwnedFd>,
}

#[derive(Default)]
pub(super) struct Ours {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

impl Streams {
    pub(super) fn pipes(stdin: bool) -> std::io::Result<Self> {
        let mut streams = Self::default();
        let input = if stdin {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            streams.ours.stdin = Some(ours);
            theirs
        } else {
            std::fs::File::open("/dev/null")?.into()
        };
        let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        streams.ours.stdout = Some(stdout);
        streams.ours.stderr = Some(stderr);
        streams.theirs = vec![input, their_stdout, their_stderr];
        Ok(streams)
    }
}
