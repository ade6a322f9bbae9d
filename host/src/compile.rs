//! `sluicebox compile-module`: what the collector starts when it needs a module compiled. Nobody types it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sluicebox_wasm::{Bounds, COMPONENT_BYTES, CompileTask};

use crate::say;

/// What the process may use, and where the code goes.
#[derive(Args, Debug)]
pub struct CompileArguments {
    /// The cache of compiled modules; without it the code goes to standard output
    pub directory: Option<PathBuf>,
    /// Memory that the process may have
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 20)]
    pub memory_bytes: u64,
    /// Time of the processor that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub seconds: u64,
    /// How large the component may be
    #[arg(long, value_name = "BYTES", default_value_t = COMPONENT_BYTES)]
    pub component_bytes: usize,
    /// How much the cache may hold
    #[arg(long, value_name = "BYTES", default_value_t = Bounds::default().bytes)]
    pub cache_bytes: u64,
    /// How many files it may hold
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().files)]
    pub cache_files: usize,
}

/// Compiles the component on standard input. The exit code says how it went, a reason stands on standard error.
pub fn compile_module(arguments: &CompileArguments) -> ExitCode {
    let task = CompileTask {
        directory: arguments.directory.clone(),
        bounds: Bounds { bytes: arguments.cache_bytes, files: arguments.cache_files },
        component_bytes: arguments.component_bytes,
        memory_bytes: arguments.memory_bytes,
        time: Duration::from_secs(arguments.seconds),
    };
    match task.run(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::complaint(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
