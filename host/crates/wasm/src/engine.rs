//! Wasmtime's configuration: the one place where it is chosen, because it decides what compiled code looks like.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::WasmBacktraceDetails;

use crate::ticker::Ticker;

/// How deep guests may nest their calls. Threads that call a shaper need a stack of at least four times this.
pub(crate) const WASM_STACK_BYTES: usize = 512 * 1024;

/// How many frames of a guest are looked at. The innermost ones of a panic are those of the panic itself.
const BACKTRACE_FRAMES: NonZeroUsize = match NonZeroUsize::new(24) {
    Some(frames) => frames,
    None => NonZeroUsize::MIN,
};

/// What a fault says of where in the guest it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    /// Functions, where the component has names.
    Functions,
    /// Files and lines, too, where it has debug information. This makes compiled code 1.5 to 3 times as large.
    Lines,
}

/// Compiles modules and keeps the time of their deadlines. One for the process; a clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) ticker: Arc<Ticker>,
    /// Whose turn it is to compile.
    compiling: Arc<Mutex<()>>,
    places: Places,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime does not run here.
    #[error("cannot start the engine for modules: {cause} (hint: sluicebox needs Linux on x86_64, aarch64, riscv64 or s390x)")]
    Unsupported {
        /// Wasmtime's reason.
        cause: String,
    },
    /// The thread that watches the deadlines could not be made.
    #[error("cannot start the thread that watches the deadlines of modules: {cause} (hint: is the number of processes limited?)")]
    Thread {
        /// The system's reason.
        cause: std::io::Error,
    },
}

impl Engine {
    /// Starts the engine, and with it the thread that watches deadlines; it ends with the last clone, module and shaper.
    pub fn new() -> Result<Self, EngineError> {
        Self::start(Places::Functions)
    }

    /// The engine for those who write modules: its faults name files and lines, where a component has debug information. What it
    /// compiles is larger, is kept in the cache beside what the other engine compiles, and is always made in this process.
    pub fn with_lines() -> Result<Self, EngineError> {
        // Without a compiler there is only what the other engine's compiler has left in the cache.
        Self::start(if cfg!(feature = "compiler") { Places::Lines } else { Places::Functions })
    }

    fn start(places: Places) -> Result<Self, EngineError> {
        let wasmtime = wasmtime(places)?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(|cause| EngineError::Thread { cause })?;
        Ok(Self { wasmtime, ticker: Arc::new(ticker), compiling: Arc::default(), places })
    }

    /// Whether a process that compiles for [`Engine::new`] may compile for this one.
    pub(crate) fn is_plain(&self) -> bool {
        self.places == Places::Functions
    }

    /// Waits until nobody else compiles.
    pub(crate) fn compiling(&self) -> MutexGuard<'_, ()> {
        self.compiling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The very same engine as [`Engine::new`] has, for who runs no guest.
pub(crate) fn without_clock() -> Result<wasmtime::Engine, EngineError> {
    wasmtime(Places::Functions)
}

fn wasmtime(places: Places) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(&configuration(places)).map_err(|error| EngineError::Unsupported { cause: format!("{error:#}") })
}

/// Each setting is part of what compiled code depends on: the cache of another configuration is not used.
fn configuration(places: Places) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    // Guests are synchronous. Support for concurrent ones makes each call three times as expensive, used or not.
    config.concurrency_support(false);
    // What ends a guest that does not return: 6 to 15 % of its speed. Fuel would cost more, and the host would not know how much.
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
    // For debuggers of the host only; without it compiled code is smaller.
    config.native_unwind_info(false);
    let has_lines = places == Places::Lines;
    config.generate_address_map(has_lines);
    // Said in both cases: else a variable of the environment would decide what compiled code looks like.
    config.wasm_backtrace_details(if has_lines { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable });
    config
}
