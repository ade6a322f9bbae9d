//! A component becomes code of this machine: in a process of its own, so that neither a component that is hard to compile nor what the
//! compiler leaves behind in memory touches the collector.

mod child;
mod error;
mod task;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sluicebox_wasm_cache::{Bounds, Cache, Key};
use wasmtime::component::Component;

use crate::{Engine, LoadOptions, Refusal};
use child::Ending;
pub use error::CompileError;
pub use task::{CompileTask, TaskError};

/// What the program is asked for when it is started to compile.
pub const COMMAND: &str = "compile-module";

/// How modules are compiled: by which program, and what it may use. One process at a time for each [`Engine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The program that understands [`COMMAND`].
    pub program: PathBuf,
    /// So much memory of its own may the process have.
    pub memory_bytes: u64,
    /// So long may one module take, from the moment that the process is started.
    pub deadline: Duration,
}

impl Compiler {
    /// The program that runs now, as it was when it was started: also when its file has been replaced since.
    pub fn this_program(memory_bytes: u64, deadline: Duration) -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), memory_bytes, deadline }
    }

    /// Has the component compiled into the cache, and takes it from there.
    fn compile(&self, engine: &Engine, bytes: &[u8], key: &Key, cache: &Cache) -> Result<Component, Refusal> {
        let ending = child::run(&mut self.command(bytes.len(), cache), bytes, self.deadline);
        let ending = ending.map_err(|cause| CompileError::NotRun { program: self.program.clone(), cause })?;
        self.judge(&ending)?;
        let missing = |cause| CompileError::Missing { path: cache.path().to_path_buf(), cause };
        match cache.load(&engine.wasmtime, key) {
            Ok(Some(component)) => Ok(component),
            Ok(None) => Err(missing("it is not there".to_owned()).into()),
            Err(error) => Err(missing(error.to_string()).into()),
        }
    }

    fn command(&self, component_bytes: usize, cache: &Cache) -> Command {
        use std::os::unix::process::CommandExt as _;

        let Bounds { bytes, files } = cache.bounds();
        let mut command = Command::new(&self.program);
        command.arg0("sluicebox").arg(COMMAND);
        command.arg(format!("--memory-bytes={}", self.memory_bytes));
        command.arg(format!("--seconds={}", self.deadline.as_secs() + 1));
        command.arg(format!("--component-bytes={component_bytes}"));
        command.arg(format!("--cache-bytes={bytes}")).arg(format!("--cache-files={files}"));
        command.arg("--").arg(cache.path());
        command
    }

    fn judge(&self, ending: &Ending) -> Result<(), Refusal> {
        error::judge(ending, self.memory_bytes, self.deadline)
    }
}

/// From the cache if it is there, otherwise compiled. Trouble with the cache costs time, never the module.
pub(crate) fn component(
    engine: &Engine,
    name: &str,
    bytes: &[u8],
    digest: &[u8; 32],
    options: &LoadOptions<'_>,
) -> Result<Component, Refusal> {
    let Some(cache) = options.cache else {
        if options.compiler.is_some() {
            tracing::warn!(module = name, "there is no directory for compiled modules: the collector itself compiles");
        }
        let _turn = engine.compiling();
        return here(engine, bytes);
    };
    let key = Key::new(digest, &engine.wasmtime);
    match cache.load(&engine.wasmtime, &key) {
        Ok(Some(component)) => return Ok(component),
        Ok(None) => {}
        Err(error) => tracing::warn!(module = name, %error, "the module is compiled again"),
    }
    // One after the other: nodes are small, and nobody waits for a second module more than for the first.
    let _turn = engine.compiling();
    // The one before may have been the same module.
    if let Ok(Some(component)) = cache.load(&engine.wasmtime, &key) {
        return Ok(component);
    }
    match options.compiler {
        Some(compiler) if cfg!(feature = "compiler") => elsewhere(engine, name, bytes, &key, cache, compiler),
        _ => here_and_kept(engine, name, bytes, &key, cache),
    }
}

/// By the compiler's process; where its code cannot be kept, through a directory that is gone a moment later.
fn elsewhere(
    engine: &Engine,
    name: &str,
    bytes: &[u8],
    key: &Key,
    cache: &Cache,
    compiler: &Compiler,
) -> Result<Component, Refusal> {
    let refusal = match compiler.compile(engine, bytes, key, cache) {
        Err(refusal @ Refusal::NotCompiled(CompileError::NotKept { .. })) => refusal,
        other => return other,
    };
    tracing::warn!(module = name, error = %refusal, "the compiled module is not kept: the next start compiles it again");
    let bounds = Bounds { bytes: u64::MAX, files: 1 };
    match Cache::temporary(&std::env::temp_dir(), bounds) {
        Ok(temporary) => match compiler.compile(engine, bytes, key, &temporary) {
            Err(refusal @ Refusal::NotCompiled(CompileError::NotKept { .. })) => {
                tracing::warn!(module = name, error = %refusal, "the collector itself compiles");
            }
            other => return other,
        },
        Err(error) => tracing::warn!(module = name, %error, "the collector itself compiles"),
    }
    // It has been compiled within its limits a moment ago.
    here(engine, bytes)
}

fn here_and_kept(engine: &Engine, name: &str, bytes: &[u8], key: &Key, cache: &Cache) -> Result<Component, Refusal> {
    let component = here(engine, bytes)?;
    let stored = component.serialize().map_err(|error| format!("{error:#}"));
    if let Err(error) = stored.and_then(|code| cache.store(key, &code).map_err(|error| error.to_string())) {
        tracing::warn!(module = name, %error, "the compiled module is not kept: the next start compiles it again");
    }
    Ok(component)
}

#[cfg(feature = "compiler")]
fn here(engine: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
    Component::from_binary(&engine.wasmtime, bytes).map_err(|error| Refusal::Invalid { cause: error::words(&error) })
}

#[cfg(not(feature = "compiler"))]
fn here(_engine: &Engine, _bytes: &[u8]) -> Result<Component, Refusal> {
    Err(Refusal::Invalid { cause: "this build has no compiler, and the module is not in the cache".to_owned() })
}
