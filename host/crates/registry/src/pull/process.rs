//! A process that is told what to do and waited for, not longer than until the deadline. What it says goes into memory files, which it cannot
//! make longer than it may: it limits itself.

use std::fs::File;
use std::io::{Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

use super::{Request, words_bytes};

/// It is looked for so often whether it has ended.
const TICK: Duration = Duration::from_millis(10);

/// How it ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// None: it was late, and was killed.
    pub(super) status: Option<ExitStatus>,
    /// The beginning of what it said on standard error.
    pub(super) words: Vec<u8>,
    /// What it wrote to standard output.
    pub(super) output: Vec<u8>,
}

/// Starts the command and waits for its end. Blocks.
pub(super) fn run(command: &mut Command, request: &Request, deadline: Duration) -> Result<Ending> {
    use std::os::unix::process::CommandExt as _;

    let end = Instant::now() + deadline;
    let (mut input, mut output, mut words) = (memory()?, memory()?, memory()?);
    input.write_all(&serde_json::to_vec(request)?)?;
    input.seek(SeekFrom::Start(0))?;
    // In a group of its own: what a person types to stop the collector is for the collector.
    let command = command.process_group(0).stdin(input).stdout(output.try_clone()?).stderr(words.try_clone()?);
    let mut running = Running { process: command.spawn()?, ended: false };
    let status = loop {
        if let Some(status) = running.process.try_wait()? {
            break Some(status);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break None;
        }
        std::thread::park_timeout(left.min(TICK));
    };
    running.ended = status.is_some();
    drop(running);
    let most = usize::try_from(request.most_bytes).unwrap_or(usize::MAX);
    Ok(Ending { status, words: all(&mut words, words_bytes())?, output: all(&mut output, most)? })
}

fn memory() -> Result<File> {
    Ok(rustix::fs::memfd_create("pulled", MemfdFlags::CLOEXEC)?.into())
}

fn all(file: &mut File, most: usize) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(most);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size)?;
    file.take(size as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Killed and reaped when it is dropped.
struct Running {
    process: Child,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}
