//! A small Linux machine with the whole of cgroup v2, to run a test program in: booted in seconds, gone with the test.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use sluicebox_testkit::machine::Kernel;
//! use sluicebox_testkit::servers::{Need, require};
//!
//! if !require(Need::UserModeLinux) {
//!     return Ok(());
//! }
//! let this = std::env::current_exe()?;
//! let output = Kernel::UserMode.run(&this, &["a_test", "--exact"], Duration::from_secs(60)).await?;
//! assert_eq!(output.code, 0, "{}", output.text);
//! # Ok(())
//! # }
//! ```
//!
//! The machine's root is a folder made for it, with busybox, the program, its shared libraries and the certificates of authorities: the program sees nothing of the machine
//! that the test runs on. It is root there, cgroup v2 is mounted with every controller handed down, loopback is up, `/tmp` is in memory, and
//! [`VARIABLE`] and [`DISK`] are set; so is `CI=true`, because what a test needs is there.

mod emulated;
mod root;
mod user_mode;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::servers::process::ServerProcess;

/// Inside, the environment variable with the kernel's name.
pub const VARIABLE: &str = "SLUICEBOX_MACHINE";

/// Inside, the environment variable with the path of a block device of 16 MiB that nobody uses.
pub const DISK: &str = "SLUICEBOX_DISK";

const DISK_BYTES: u64 = 16 << 20;
const MEMORY_MEGABYTES: u32 = 768;
const TEXT_BYTES: u64 = 1 << 20;

/// How the machine is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Linux as an ordinary process: code of the program runs at full speed, calls of the system are slow. It knows no pressure (PSI).
    UserMode,
    /// Linux in an emulated computer: everything that a real one has, ten times as slow.
    Emulated,
}

/// What the program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, as a shell tells it.
    pub code: i32,
    /// What it printed, the last MiB of it.
    pub text: String,
}

impl Kernel {
    /// As [`VARIABLE`] says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserMode => "user-mode",
            Self::Emulated => "emulated",
        }
    }

    /// Boots a machine, runs a program of this machine in it, and ends the machine when the program has ended or time is up.
    pub async fn run(self, program: &Path, arguments: &[&str], limit: Duration) -> Result<Output> {
        let folder = tempfile::tempdir().context("there is no place for a machine's root")?;
        let machine = match self {
            Self::UserMode => user_mode::prepare(folder.path(), program, arguments, None),
            Self::Emulated => emulated::prepare(folder.path(), program, arguments),
        };
        let machine = machine.with_context(|| format!("cannot make a machine ({})", self.name()))?;
        machine.run(folder.path(), limit).await
    }
}

/// Boots a machine (user mode) with this disk, runs a program of this machine in it, and cuts the power once what the program has printed so
/// far satisfies `is_time`, which is asked many times a second: what the machine had in memory is lost, what had reached the disk is not.
/// Gives what was printed. Fails when the program ends before, or time is up.
pub async fn run_until_power_cut(
    program: &Path,
    arguments: &[&str],
    disk: &Path,
    limit: Duration,
    is_time: impl Fn(&str) -> bool,
) -> Result<String> {
    let folder = tempfile::tempdir().context("there is no place for a machine's root")?;
    let machine = user_mode::prepare(folder.path(), program, arguments, Some(disk)).context("cannot make a machine")?;
    let Prepared { name, mut command, text, code } = machine;
    let mut process = ServerProcess::start(name, &mut command, &folder.path().join("console"))?;
    let comes = process
        .wait_until_ready(limit, async || {
            if exit_code(&code).is_err() && !is_time(&end_of(&text)) {
                bail!("it is not time yet");
            }
            Ok(())
        })
        .await;
    process.kill();
    let text = end_of(&text);
    comes.with_context(|| format!("the program in it printed:\n{text}"))?;
    if exit_code(&code).is_ok() {
        bail!("the program ended before its power was cut, and printed:\n{text}");
    }
    Ok(text)
}

/// A machine that only needs to be started, and the files that it writes for us.
struct Prepared {
    name: &'static str,
    command: Command,
    /// What the program prints.
    text: PathBuf,
    /// The exit code and a line feed, last of all.
    code: PathBuf,
}

impl Prepared {
    async fn run(mut self, folder: &Path, limit: Duration) -> Result<Output> {
        let mut process = ServerProcess::start(self.name, &mut self.command, &folder.join("console"))?;
        let ended = process.wait_until_ready(limit, async || exit_code(&self.code).map(drop)).await;
        process.kill();
        let text = end_of(&self.text);
        ended.with_context(|| format!("the program in it printed:\n{text}"))?;
        Ok(Output { code: exit_code(&self.code)?, text })
    }
}

fn exit_code(file: &Path) -> Result<i32> {
    let mut text = String::new();
    if let Ok(file) = File::open(file) {
        file.take(64).read_to_string(&mut text)?;
    }
    let Some(code) = text.strip_suffix('\n') else {
        bail!("its program has not ended");
    };
    code.trim().parse().with_context(|| format!("`{code}` is no exit code"))
}

/// The machine may print without end; what it said last is what matters.
fn end_of(file: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(TEXT_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
