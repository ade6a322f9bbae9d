//! Why there is no compiled code although the component may be right, and how that is read off the end of the compiler's process.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::child::Ending;
use super::task::code;
use crate::Refusal;
use crate::text::{readable, size};

/// So much of a reason is shown.
const REASON_BYTES: usize = 500;
/// So many of the last lines of a process that ended badly are shown.
const LAST_LINES: usize = 4;
const LINE_BYTES: usize = 200;

/// Why a module could not be compiled, or what was compiled not be had.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The deadline was over.
    #[error("compiling took longer than {deadline:?}")]
    TooLong {
        /// The deadline.
        deadline: Duration,
    },
    /// The memory was used up.
    #[error("compiling needed more than {}", size(usize::try_from(*limit).unwrap_or(usize::MAX)))]
    TooMuchMemory {
        /// So many bytes were allowed.
        limit: u64,
    },
    /// The process was not started, or could not be waited for.
    #[error("cannot run the compiler {}: {cause}", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// The process ended by a signal that was not ours.
    #[error("the compiler ended with signal {signal}{}", after(words))]
    Signal {
        /// Its number.
        signal: i32,
        /// What the process said last.
        words: String,
    },
    /// The process ended otherwise.
    #[error("the compiler ended with code {code}{}", after(words))]
    Failed {
        /// Its exit code.
        code: i32,
        /// What the process said last.
        words: String,
    },
    /// It is compiled, but could not be written.
    #[error("it is compiled, but cannot be kept: {cause}")]
    NotKept {
        /// The process' reason.
        cause: String,
    },
    /// It was compiled and written, but cannot be read.
    #[error("it is compiled, but cannot be taken from {}: {cause}", path.display())]
    Missing {
        /// The directory of the cache.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl CompileError {
    /// What would cure it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "give the compiler more time, or the module less code: build it optimized",
            Self::TooMuchMemory { .. } => "give the compiler more memory, or the module less code: build it optimized",
            Self::NotRun { .. } => "is /proc mounted, and may the collector start processes?",
            Self::Signal { signal, .. } if *signal == Signal::KILL.as_raw() => {
                "did the system run out of memory? the compiler is what it takes first; raise the memory limit of the collector's container"
            }
            Self::Signal { .. } | Self::Failed { .. } => "compile the module elsewhere to see whether the fault is its own",
            Self::NotKept { .. } | Self::Missing { .. } => {
                "may the collector write its cache directory, is there room, and does nobody else clear it?"
            }
        }
    }
}

fn after(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// What the end of the process means; the two numbers are what it was allowed.
pub(super) fn judge(ending: &Ending, memory_bytes: u64, deadline: Duration) -> Result<(), Refusal> {
    let Some(status) = ending.status else {
        return Err(CompileError::TooLong { deadline }.into());
    };
    let error = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code::INVALID), _) => return Err(Refusal::Invalid { cause: reason(&ending.words) }),
        (Some(code::NOT_KEPT), _) => CompileError::NotKept { cause: reason(&ending.words) },
        (Some(code::MEMORY), _) => CompileError::TooMuchMemory { limit: memory_bytes },
        // How Rust ends when there is no memory.
        (_, Some(signal)) if signal == Signal::ABORT.as_raw() && ending.words.contains("memory allocation of ") => {
            CompileError::TooMuchMemory { limit: memory_bytes }
        }
        // It had its limit of processor time.
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() => CompileError::TooLong { deadline },
        (_, Some(signal)) => CompileError::Signal { signal, words: last_lines(&ending.words) },
        (code, None) => CompileError::Failed { code: code.unwrap_or(-1), words: last_lines(&ending.words) },
    };
    Err(error.into())
}

fn reason(words: &str) -> String {
    readable(words.trim(), 2 * REASON_BYTES)
}

fn last_lines(words: &str) -> String {
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    let last: Vec<String> = last.iter().map(|line| readable(line, LINE_BYTES)).collect();
    last.join(" ")
}

/// The compiler's reason.
#[cfg(feature = "compiler")]
pub(super) fn words(error: &wasmtime::Error) -> String {
    readable(&format!("{error:#}"), REASON_BYTES)
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    /// The raw status: the signal, or 256 times the code.
    #[track_caller]
    fn check(raw: i32, words: &str, expected: &str) {
        let ending = Ending { status: Some(ExitStatus::from_raw(raw)), words: words.to_owned() };
        assert_eq!(judge(&ending, 512 << 20, Duration::from_mins(1)).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_late_end_names_the_deadline() {
        let ending = Ending { status: None, words: String::new() };
        let refusal = judge(&ending, 0, Duration::from_mins(1)).unwrap_err();
        assert_eq!(refusal.to_string(), "compiling took longer than 60s");
        check(24, "", "compiling took longer than 60s");
    }

    #[test]
    fn an_end_without_memory_names_the_limit() {
        check(6, "memory allocation of 16 bytes failed\n", "compiling needed more than 512 MiB");
        check(5 << 8, "", "compiling needed more than 512 MiB");
    }

    #[test]
    fn a_signal_is_named_with_the_last_words() {
        check(11, "", "the compiler ended with signal 11");
        check(6, "a\nb\nc\nd\ne \n\n", "the compiler ended with signal 6: b c d e");
    }

    #[test]
    fn a_code_is_named_with_the_last_words() {
        check(2 << 8, "error: bad\u{1b}\n", "the compiler ended with code 2: error: bad\\u{1b}");
    }

    #[test]
    fn a_component_that_does_not_compile_is_invalid() {
        check(3 << 8, "no such thing\n", "it does not compile: no such thing");
    }

    #[test]
    fn code_that_cannot_be_kept_is_told() {
        check(4 << 8, "no room\n", "it is compiled, but cannot be kept: no room");
    }
}
