//! A process that is fed, listened to and waited for by one thread: whatever it does, its time is over at the deadline.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};

/// The end of a process does not wake who waits for it; that its standard error is closed mostly does. So it is looked for so often.
const TICK: Duration = Duration::from_millis(10);
/// So much is kept of what it says: the end.
const WORDS: usize = 4096;
/// Parts that are read in a row: one that never stops talking must not keep us from the clock.
const PARTS: usize = 16;
/// What was killed is gone at once, unless the system itself hangs with it.
const REAPING: Duration = Duration::from_secs(5);

/// How it ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// None: it was late, and was killed.
    pub(super) status: Option<ExitStatus>,
    /// The end of what it said on standard error.
    pub(super) words: String,
}

/// Starts the command with no environment, feeds it the input, has it write to the output, and waits for its end, until the deadline at
/// most.
pub(super) fn run(command: &mut Command, input: &[u8], output: Stdio, deadline: Duration) -> std::io::Result<Ending> {
    let end = Instant::now() + deadline;
    // In a group of its own: what a person types to stop the collector is for the collector.
    command.env_clear().process_group(0).stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped());
    let mut running = Running::new(command.spawn()?, input)?;
    let status = loop {
        if let Some(status) = running.process.try_wait()? {
            break Some(status);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            running.kill();
            break None;
        }
        running.pause(left.min(TICK))?;
        running.feed();
        running.listen();
    };
    running.ended = status.is_some();
    // What it said last. Whoever else holds the pipe is not waited for.
    running.listen();
    Ok(Ending { status, words: String::from_utf8_lossy(&running.words).into_owned() })
}

/// Killed and reaped when it is dropped.
struct Running<'a> {
    process: Child,
    ended: bool,
    input: &'a [u8],
    stdin: Option<ChildStdin>,
    stderr: Option<ChildStderr>,
    words: Vec<u8>,
}

impl<'a> Running<'a> {
    fn new(mut process: Child, input: &'a [u8]) -> std::io::Result<Self> {
        let (stdin, stderr) = (process.stdin.take(), process.stderr.take());
        let running = Self { process, ended: false, input, stdin, stderr, words: Vec::new() };
        // Our ends of the pipes only.
        if let Some(stdin) = &running.stdin {
            rustix::fs::fcntl_setfl(stdin, OFlags::NONBLOCK)?;
        }
        if let Some(stderr) = &running.stderr {
            rustix::fs::fcntl_setfl(stderr, OFlags::NONBLOCK)?;
        }
        Ok(running)
    }

    /// Until there is something to do, and not longer than this.
    fn pause(&self, most: Duration) -> std::io::Result<()> {
        let stdin = self.stdin.as_ref().map(|stdin| PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::OUT));
        let stderr = self.stderr.as_ref().map(|stderr| PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN));
        let mut awaited: Vec<PollFd<'_>> = stdin.into_iter().chain(stderr).collect();
        let most = Timespec { tv_sec: 0, tv_nsec: most.min(TICK).subsec_nanos().into() };
        match rustix::event::poll(&mut awaited, Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn feed(&mut self) {
        while let Some(stdin) = &mut self.stdin {
            match stdin.write(self.input) {
                Ok(written) => {
                    self.input = self.input.get(written..).unwrap_or_default();
                    if self.input.is_empty() {
                        self.stdin = None;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It does not want more: how it ends says why.
                Err(_) => self.stdin = None,
            }
        }
    }

    fn listen(&mut self) {
        let mut part = [0; WORDS];
        for _ in 0..PARTS {
            let Some(stderr) = &mut self.stderr else {
                return;
            };
            match stderr.read(&mut part) {
                Ok(0) => self.stderr = None,
                Ok(read) => {
                    self.words.extend(part.get(..read).unwrap_or_default());
                    let superfluous = self.words.len().saturating_sub(WORDS);
                    self.words.drain(..superfluous);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.stderr = None,
            }
        }
    }

    /// With all that it has started.
    fn kill(&mut self) {
        // As long as it is not reaped nobody else can have its number.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.kill();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.kill();
        (self.stdin, self.stderr) = (None, None);
        let end = Instant::now() + REAPING;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < end {
            let _ = self.pause(TICK);
        }
    }
}
