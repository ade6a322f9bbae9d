//! A component becomes code of this machine: in a process of its own, so that neither a component that is hard to compile nor what the
//! compiler leaves behind in memory touches the collector.

mod child;
mod error;
mod task;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use sluicebox_wasm_cache::{Bounds, Cache, CacheError, Key, MemoryFile};
use wasmtime::component::Component;

use crate::{Engine, LoadOptions, Refusal};
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
    fn compile_to_cache(&self, engine: &Engine, bytes: &[u8], key: &Key, cache: &Cache) -> Result<Component, Refusal> {
        self.run(bytes, Some(cache), Stdio::null())?;
        let missing = |cause| CompileError::Missing { path: cache.path().to_path_buf(), cause };
        match cache.load(&engine.wasmtime, key) {
            Ok(Some(component)) => Ok(component),
            Ok(None) => Err(missing("it is not there".to_owned()).into()),
            Err(error) => Err(missing(error.to_string()).into()),
        }
    }

    /// Has the component compiled into memory, where nothing is left of it once it is no longer loaded.
    fn compile_to_memory(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
        let not_kept = |error: CacheError| CompileError::NotKept { cause: error.to_string() };
        let memory = MemoryFile::new().map_err(not_kept)?;
        let writer = memory.writer().map_err(not_kept)?;
        self.run(bytes, None, writer.into())?;
        Ok(memory.load(&engine.wasmtime).map_err(not_kept)?)
    }

    fn run(&self, bytes: &[u8], cache: Option<&Cache>, output: Stdio) -> Result<(), Refusal> {
        let ending = child::run(&mut self.command(bytes.len(), cache), bytes, output, self.deadline);
        let ending = ending.map_err(|cause| CompileError::NotRun { program: self.program.clone(), cause })?;
        error::judge(&ending, self.memory_bytes, self.deadline)
    }

    fn command(&self, component_bytes: usize, cache: Option<&Cache>) -> Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new(&self.program);
        command.arg0("sluicebox").arg(COMMAND);
        command.arg(format!("--memory-bytes={}", self.memory_bytes));
        command.arg(format!("--seconds={}", self.deadline.as_secs() + 1));
        command.arg(format!("--component-bytes={component_bytes}"));
        if let Some(cache) = cache {
            let Bounds { bytes, files } = cache.bounds();
            command.arg(format!("--cache-bytes={bytes}")).arg(format!("--cache-files={files}"));
            command.arg("--").arg(cache.path());
        }
        command
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
    let compiler = options.compiler.filter(|_| cfg!(feature = "compiler") && engine.is_plain());
    let Some(cache) = options.cache else {
        let _turn = engine.compiling();
        return compiler.map_or_else(|| here(engine, bytes), |compiler| compiler.compile_to_memory(engine, bytes));
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
    let Some(compiler) = compiler else {
        return here_and_kept(engine, name, bytes, &key, cache);
    };
    match compiler.compile_to_cache(engine, bytes, &key, cache) {
        Err(refusal @ Refusal::NotCompiled(CompileError::NotKept { .. })) => {
            tracing::warn!(module = name, error = %refusal, "the compiled module is not kept: the next start compiles it again");
            compiler.compile_to_memory(engine, bytes)
        }
        other => other,
    }
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
