//! `sluicebox modules`: what the program carries, and what a component exports, imports and weighs.

use std::path::Path;
use std::process::ExitCode;

use sluicebox_registry::SCHEME;
use sluicebox_wasm::{Description, Engine, LoadError, LoadOptions, Module};

use crate::cli::ModulesArguments;
use crate::folder;
use crate::presets::{self, PRESETS};
use crate::say;

/// Lists the presets, or describes the modules that are named.
pub fn modules(arguments: &ModulesArguments) -> ExitCode {
    if arguments.modules.is_empty() {
        say::line(format_args!("Presets, for `use:` in a configuration:\n"));
        for preset in PRESETS {
            say::line(format_args!("  {:<18} {}", preset.name, preset.summary));
        }
        say::line(format_args!("\n`sluicebox modules PRESET|FILE|DIR...` says what a module exports, imports and weighs."));
        return ExitCode::SUCCESS;
    }
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => {
            say::complaint(format_args!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut code = ExitCode::SUCCESS;
    for name in &arguments.modules {
        match describe(&engine, name) {
            Ok(description) => say::line(page(&description).trim_end()),
            Err(_) if name.starts_with(SCHEME) => {
                code = say::wrong(format_args!(
                    "{name} is in a registry, and this takes presets and files\nhint: `sluicebox module inspect` describes it"
                ));
            }
            Err(error) => {
                say::complaint(format_args!(
                    "error: cannot load module `{}`: {}\nhint: {}",
                    error.module,
                    error.refusal,
                    error.refusal.hint()
                ));
                code = ExitCode::from(2);
            }
        }
    }
    code
}

fn describe(engine: &Engine, name: &str) -> Result<Description, LoadError> {
    let options = LoadOptions::default();
    let module = match presets::find(name) {
        Some(preset) => Module::load(engine, name, preset.component, &options)?,
        None => Module::load_file(engine, name, &folder::file(name, Path::new(name))?, &options)?,
    };
    Ok(module.describe().clone())
}

/// What there is to say about a module, in lines.
pub(crate) fn page(description: &Description) -> String {
    let handlers = [
        (description.handlers.subjects, "subjects"),
        (description.handlers.pods, "pods"),
        (description.handlers.services, "services"),
        (description.handlers.nodes, "nodes"),
        (description.handlers.objects, "objects"),
        (description.handlers.samples, "samples"),
        (description.handlers.connections, "connections"),
        (description.handlers.inventory, "inventory"),
        (description.handlers.series, "series"),
        (description.state, "state"),
    ];
    let handlers: Vec<&str> = handlers.into_iter().filter_map(|(there, name)| there.then_some(name)).collect();
    format!(
        "{}\n  version   {}\n  digest    sha256:{}\n  weighs    {} bytes\n  made for  sluicebox:module@{}\n  handles   {}\n  exports   {}\n  imports   {}\n",
        description.name,
        description.version(),
        description.digest,
        description.bytes,
        description.package_version,
        handlers.join(", "),
        list(&sorted(&description.exports)),
        list(&description.imports),
    )
}

/// In an order that does not depend on what made the component.
pub(crate) fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}

/// Names below each other.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join("\n            ") }
}
