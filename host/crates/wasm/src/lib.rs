//! Modules as WebAssembly components: the only crate that drives wasmtime.
//!
//! [`Engine`] compiles and keeps time, [`Module`] is a component that was checked, compiled and linked once, [`WasmShaper`] is
//! what a lane holds: one instance of a module behind its [`Limits`]. A module may call what its [`Grants`] say, `log` at most, and nothing that it
//! does can stop, block or fill the host: every way in which it ends badly becomes a [`sluicebox_contract::Fault`].

mod anatomy;
mod binary;
mod bindings;
mod compile;
mod convert;
mod description;
mod engine;
mod exports;
mod fault;
#[cfg(test)]
mod fuzz;
mod grants;
mod imports;
mod instance;
mod limits;
mod load;
mod load_error;
mod log;
mod package;
mod probe;
mod shaper;
mod text;
mod ticker;

pub use anatomy::{Anatomy, Producer};
pub use compile::{COMMAND as COMPILE_COMMAND, CompileError, CompileTask, Compiler, TaskError};
pub use description::Description;
pub use engine::{Engine, EngineError};
pub use grants::{Asked, Grants, judge};
pub use limits::Limits;
pub use load::{COMPONENT_BYTES, LoadOptions, Module, digest, has_form, read_component};
pub use load_error::{LoadError, Refusal};
pub use shaper::{Context, WasmShaper};
pub use sluicebox_wasm_cache::{Bounds, Cache, CacheError};
