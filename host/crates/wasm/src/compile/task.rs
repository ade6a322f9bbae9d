//! The other side of the pipe: a process that limits itself, compiles one component, stores its code and ends.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use sluicebox_wasm_cache::Bounds;

/// Exit codes that the collector understands.
pub(super) mod code {
    /// The component does not compile; the reason is on standard error.
    pub(crate) const INVALID: i32 = 3;
    /// It is compiled, but its code could not be stored; the reason is on standard error.
    pub(crate) const NOT_KEPT: i32 = 4;
    /// There was not enough memory.
    pub(crate) const MEMORY: i32 = 5;
}

/// What a process that compiles is told.
#[derive(Clone, Debug)]
pub struct CompileTask {
    /// The cache into which the code goes; without it the code goes to the output.
    pub directory: Option<PathBuf>,
    /// How much the cache may hold.
    pub bounds: Bounds,
    /// So many bytes may the component have.
    pub component_bytes: usize,
    /// So many bytes of memory may the process have of its own.
    pub memory_bytes: u64,
    /// So much time of the processor may it take.
    pub time: Duration,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The component could not be read.
    #[error("cannot read the component from standard input: {0}")]
    Unreadable(std::io::Error),
    /// It has more bytes than it may.
    #[error("the component has more than {0} bytes")]
    TooLarge(usize),
    /// It does not compile.
    #[error("{0}")]
    Invalid(String),
    /// It is compiled, but could not be stored.
    #[error("{0}")]
    NotKept(String),
    /// There was not enough memory.
    #[error("there is not enough memory: {0}")]
    Memory(String),
    /// The engine did not start.
    #[error("{0}")]
    Engine(#[from] crate::EngineError),
    /// This program cannot do it.
    #[error("this build has no compiler")]
    NoCompiler,
}

impl TaskError {
    /// How the process ends.
    pub fn exit_code(&self) -> u8 {
        let code = match self {
            Self::Invalid(_) => code::INVALID,
            Self::NotKept(_) => code::NOT_KEPT,
            Self::Memory(_) => code::MEMORY,
            Self::Unreadable(_) | Self::TooLarge(_) | Self::Engine(_) | Self::NoCompiler => 1,
        };
        u8::try_from(code).unwrap_or(1)
    }
}

impl CompileTask {
    /// Limits this whole process, for good, and compiles what is read.
    pub fn run(&self, component: impl Read, output: impl Write) -> Result<(), TaskError> {
        limit(self.memory_bytes, self.time);
        let mut bytes = Vec::new();
        let most = u64::try_from(self.component_bytes).unwrap_or(u64::MAX).saturating_add(1);
        component.take(most).read_to_end(&mut bytes).map_err(TaskError::Unreadable)?;
        if bytes.len() > self.component_bytes {
            return Err(TaskError::TooLarge(self.component_bytes));
        }
        self.compile(&bytes, output)
    }

    #[cfg(feature = "compiler")]
    fn compile(&self, bytes: &[u8], output: impl Write) -> Result<(), TaskError> {
        use sha2::{Digest as _, Sha256};
        use sluicebox_wasm_cache::{Cache, Key, write_code};

        crate::binary::inspect(bytes).map_err(|mistake| TaskError::Invalid(mistake.found))?;
        let engine = crate::engine::without_clock()?;
        let code = engine.precompile_component(bytes).map_err(|error| {
            let words = super::error::words(&error);
            if lacks_memory(&error) { TaskError::Memory(words) } else { TaskError::Invalid(words) }
        })?;
        let Some(directory) = &self.directory else {
            return write_code(&code, output).map_err(|error| TaskError::NotKept(format!("cannot write the code: {error}")));
        };
        let key = Key::new(&Sha256::digest(bytes).into(), &engine);
        let stored = Cache::open(directory, self.bounds).and_then(|cache| cache.store(&key, &code));
        stored.map_err(|error| TaskError::NotKept(error.to_string()))
    }

    #[cfg(not(feature = "compiler"))]
    #[allow(clippy::unused_self, reason = "the same as with a compiler")]
    fn compile(&self, _bytes: &[u8], _output: impl Write) -> Result<(), TaskError> {
        Err(TaskError::NoCompiler)
    }
}

#[cfg(feature = "compiler")]
fn lacks_memory(error: &wasmtime::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::OutOfMemory)
            || cause.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
    };
    error.is::<wasmtime::OutOfMemory>() || error.chain().any(io)
}

/// What of it the system refuses is left: a process that is a little less limited is better than none.
fn limit(memory_bytes: u64, time: Duration) {
    // Without the collector nobody wants the code.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // Before anything else on the node this process is what has to go when memory runs out.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = rustix::process::setpriority_process(None, 19);
    lower(Resource::Core, 0);
    lower(Resource::Cpu, time.as_secs().saturating_add(1));
    // What is counted is memory of the process' own that it can write. The address space would count the program itself and all that
    // is only reserved.
    lower(Resource::Data, memory_bytes);
    // All that it writes it has had in memory before.
    lower(Resource::Fsize, memory_bytes);
}

fn lower(resource: Resource, wanted: u64) {
    let allowed = rustix::process::getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let _ = rustix::process::setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) });
}
