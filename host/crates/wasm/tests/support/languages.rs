//! The example of `guest-sdk/examples`, in each language that it is written in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluicebox_testkit::cases::{self, Case};
use sluicebox_wasm::{Context, Engine, Limits, LoadOptions, Module, WasmShaper};

/// The languages, each the name of a folder in `guest-sdk/examples`. Rust is the reference.
pub(crate) const LANGUAGES: [&str; 5] = ["rust", "c", "javascript", "python", "go"];

/// The component, or why there is none.
pub(crate) fn component(language: &str) -> Result<Vec<u8>, String> {
    let folder = folder();
    let path = folder.join(format!("{language}.wasm"));
    std::fs::read(path).map_err(|_| {
        let reason = std::fs::read_to_string(folder.join(format!("{language}.unavailable")));
        reason.unwrap_or_else(|_| "`cargo xtask languages` has not been run".to_owned())
    })
}

fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    std::env::var_os("SLUICEBOX_LANGUAGES").map_or_else(|| root.join(target).join("languages"), PathBuf::from)
}

/// Compiles it, here and now.
pub(crate) fn load(engine: &Engine, language: &str, component: &[u8]) -> Module {
    Module::load(engine, language, component, &LoadOptions::default()).expect("it is a module")
}

/// The cases that are the same for all.
pub(crate) fn every_case() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../guest-sdk/examples/cases");
    cases::load(&folder).expect("the cases can be read")
}

/// What does not hold, in words; empty when all holds.
pub(crate) fn failures(module: &Module) -> Vec<String> {
    let failure = |case: &Case| {
        let cases::Context { lane, node_name, sources } = cases::context(case).expect("a context");
        let context = Context { lane, node_name, sources };
        let mut shaper = WasmShaper::new(module.clone(), case.settings.to_string(), context, patient());
        let mismatch = cases::run(case, &mut shaper).err()?;
        Some(format!("case `{}`\n{}: {mismatch}", case.name, case.about))
    };
    every_case().iter().filter_map(failure).collect()
}

/// The memory that every module has by default. What a case proves is not how fast a loaded machine is.
pub(crate) fn patient() -> Limits {
    let patience = Duration::from_mins(1);
    Limits { call_deadline: patience, start_deadline: patience, ..Limits::default() }
}
