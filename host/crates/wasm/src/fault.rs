//! Wasmtime's errors become what an operator can act on.

use std::fmt;

use sluicebox_contract::Fault;
use wasmtime::{FrameInfo, Trap, WasmBacktrace};

use crate::convert::BadEntries;
use crate::imports::Host;
use crate::limits::Limits;
use crate::text::{readable, size};

/// How many frames of the guest are named.
const FRAMES: usize = 5;
/// How long a name may be.
const NAME_BYTES: usize = 80;
/// How much of the path of a file is told.
const PATH_PARTS: usize = 3;

/// How wasmtime says that a call wanted to hand over more than allowed; it has no type for it. A test holds this.
const TOO_MUCH_COPIED: &str = "fuel allocated for hostcalls";

/// Names a call in faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) module: &'a str,
    pub(crate) version: &'a str,
    /// Such as `pod-handler.handle`; `instantiate` for what runs before the first export.
    pub(crate) export: &'static str,
    /// Events or subjects handed over; none where nothing is.
    pub(crate) items: Option<usize>,
}

impl Call<'_> {
    fn tried(&self) -> String {
        let Self { module, version, export, items } = self;
        let items = match items {
            Some(1) => " with 1 item".to_owned(),
            Some(items) => format!(" with {items} items"),
            None => String::new(),
        };
        format!("cannot call {export} of module `{module}` (version {version}){items}")
    }

    /// The instance is dead: wasmtime ended the call.
    pub(crate) fn died(&self, error: &wasmtime::Error, host: &Host, limits: &Limits, deadline: std::time::Duration) -> Fault {
        let (mut cause, hint) = reason(error, host, limits, deadline);
        if let Some(frames) = frames(error) {
            cause = format!("{cause}; in {frames}");
        }
        let fault = Fault::replace(self.tried(), cause);
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    /// The instance returned what it must not return. It is replaced: what it holds in memory is not to be trusted any more, and
    /// smaller batches may help.
    pub(crate) fn misbehaved(&self, bad: &BadEntries) -> Fault {
        let hint = match bad {
            BadEntries::TooMany { .. } => "return fewer entries for each event, or raise the limit of entries for each call",
            BadEntries::TooLarge { .. } => {
                "a channel and headers count for every message: shorten them, return fewer messages, or raise the limit of bytes for each call"
            }
            BadEntries::Packed { .. } => {
                "the ends of packed messages are byte offsets into their text, never falling, between characters"
            }
        };
        Fault::replace(self.tried(), bad).hint(hint)
    }

    /// The module says that it cannot start. Tried again, ever more slowly, because what it misses may come.
    pub(crate) fn refused_to_start(&self, text: &str, limits: &Limits) -> Fault {
        Fault::retry(self.tried(), readable(text, limits.log_line_bytes))
    }

    /// The module refuses the batch, or to save or restore its state.
    pub(crate) fn refused(&self, text: &str, limits: &Limits) -> Fault {
        Fault::skip(self.tried(), readable(text, limits.log_line_bytes))
    }

    /// There is nothing to call.
    pub(crate) fn no_instance(&self) -> Fault {
        Fault::replace(self.tried(), "it has no instance: the last one ended in a fault, or none was started yet")
    }

    /// The lane handed over what this call does not take.
    pub(crate) fn not_taken(&self, cause: &str) -> Fault {
        Fault::skip(self.tried(), cause)
    }
}

/// Why the call ended, and what would cure it.
fn reason(
    error: &wasmtime::Error,
    host: &Host,
    limits: &Limits,
    deadline: std::time::Duration,
) -> (String, Option<&'static str>) {
    let said = host.log().last_error().map(str::to_owned);
    let refused = host.limiter.refused();
    let memory_limit = || format!("its memory limit of {} was reached", size(limits.memory_bytes));
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => (
            format!("it did not return within the deadline of {deadline:?}"),
            Some("does it loop? else let it do less in one call, or raise the deadline in the `limits` of its lane"),
        ),
        Some(Trap::StackOverflow) => (
            format!("its stack of {} overflowed", size(crate::engine::WASM_STACK_BYTES)),
            Some("does it call itself without an end?"),
        ),
        Some(Trap::UnreachableCodeReached) => match (said, refused) {
            (Some(said), false) => (format!("it stopped itself: {said}"), None),
            (Some(said), true) => (format!("it stopped itself: {said}; {}", memory_limit()), Some(MEMORY_HINT)),
            (None, true) => (memory_limit(), Some(MEMORY_HINT)),
            (None, false) => ("it stopped itself (`unreachable`) without a word".to_owned(), None),
        },
        Some(trap) => (trap.to_string(), None),
        None if format!("{error:#}").contains(TOO_MUCH_COPIED) => (
            format!("it handed over more than {} in one call", size(limits.output_bytes_per_call)),
            Some("let it hand over less in one call, or raise the limit of bytes for each call"),
        ),
        None if refused => (memory_limit(), Some(MEMORY_HINT)),
        None => (readable(&error.root_cause().to_string(), limits.log_line_bytes), None),
    }
}

const MEMORY_HINT: &str = "does it keep more and more? else raise the memory limit";

/// The innermost frames of the guest, by their names where the component has names, with file and line where the engine reads them.
fn frames(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let mut frames = Vec::new();
    for frame in backtrace.frames() {
        // What was inlined comes first, the function that it was inlined into last.
        for symbol in frame.symbols() {
            let name = symbol.name().or_else(|| frame.func_name()).map_or_else(|| unnamed(frame), function);
            frames.push(Frame { name, place: symbol.file().map(|file| place(file, symbol.line())) });
        }
        if frame.symbols().is_empty() {
            frames.push(Frame { name: frame.func_name().map_or_else(|| unnamed(frame), function), place: None });
        }
    }
    // The first ones of a panic are about panicking, not about the module: left out where something else is to be told.
    let own = frames.iter().position(|frame| !frame.is_of_a_panic()).unwrap_or(0);
    let told: Vec<String> = frames.iter().skip(own).take(FRAMES).map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join(" < "))
}

/// Where a guest was.
struct Frame {
    name: String,
    /// File and line.
    place: Option<String>,
}

impl Frame {
    fn is_of_a_panic(&self) -> bool {
        const BEGINNINGS: [&str; 12] = [
            "__rustc::",
            "abort",
            "alloc::alloc::handle_alloc_error",
            "alloc::raw_vec::",
            "core::option::",
            "core::panicking::",
            "core::result::",
            "core::slice::index::",
            "core::str::slice_error_fail",
            "panic_abort::",
            "rust_panic",
            "std::",
        ];
        BEGINNINGS.iter().any(|beginning| self.name.starts_with(beginning))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(formatter, "{} ({place})", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

fn unnamed(frame: &FrameInfo) -> String {
    format!("function {}", frame.func_index())
}

/// A function as its author knows it: names of Rust without what the compiler adds, others as they are.
fn function(name: &str) -> String {
    readable(&format!("{:#}", rustc_demangle::demangle(name)), NAME_BYTES)
}

/// The end of the path: its beginning is about the machine that compiled it.
fn place(file: &str, line: Option<u32>) -> String {
    let parts: Vec<&str> = file.split('/').filter(|part| !part.is_empty()).collect();
    let end = parts.get(parts.len().saturating_sub(PATH_PARTS)..).unwrap_or_default().join("/");
    let end = readable(&end, NAME_BYTES);
    match line {
        Some(line) => format!("{end}:{line}"),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_rust_is_told_as_it_is_written() {
        assert_eq!(function("_RNvCsfLfy6EI15iL_7___rustc10rust_panic"), "__rustc::rust_panic");
        assert_eq!(function("_ZN4core9panicking9panic_fmt17h0123456789abcdefE"), "core::panicking::panic_fmt");
        assert_eq!(function("exports_lifecycle_start"), "exports_lifecycle_start");
    }

    #[test]
    fn the_end_of_a_path_is_told() {
        assert_eq!(place("/home/me/pod-greeter/src/lib.rs", Some(12)), "pod-greeter/src/lib.rs:12");
        assert_eq!(place("lines.c", None), "lines.c");
        assert_eq!(place("", Some(1)), ":1");
    }

    #[test]
    fn what_is_about_panicking_is_known() {
        let frame = |name: &str| Frame { name: name.to_owned(), place: None };
        assert!(frame("core::panicking::panic_bounds_check").is_of_a_panic());
        assert!(!frame("pod_greeter::greeting").is_of_a_panic());
    }
}
