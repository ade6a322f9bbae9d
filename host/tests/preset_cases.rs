//! The presets' cases, run through the components that the program carries: each file of `modules/<preset>/cases` is a test of its
//! own, named `<preset>/<file>`. A case that holds natively and not here is a mistake at the border.
//!
//! Has its own `main`, because the tests are files: `cargo test --test preset_cases -- <part of a name>` runs some of them.
#![allow(clippy::print_stdout, reason = "how a test harness speaks")]

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use sluicebox::author::cases::{self, Case};
use sluicebox::presets::{PRESETS, Preset};
use sluicebox_wasm::{Engine, LoadOptions, Module};

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("test result: FAILED. {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the command line asks for; how many tests have failed.
fn run() -> Result<usize> {
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let listing = env::args().any(|argument| argument == "--list");
    let engine = Engine::new()?;
    let (mut passed, mut failed) = (0, Vec::new());
    for preset in PRESETS {
        let module = Module::load(&engine, preset.name, preset.component, &LoadOptions::default())?;
        for case in load(preset)? {
            let name = format!("{}/{}", preset.name, case.name);
            if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
                continue;
            }
            if listing {
                println!("{name}: test");
                continue;
            }
            match check(&module, &case) {
                Ok(()) => {
                    println!("test {name} ... ok");
                    passed += 1;
                }
                Err(error) => {
                    println!("test {name} ... FAILED");
                    failed.push(format!("---- {name} ----\n{}\n{error:#}\n", case.about));
                }
            }
        }
    }
    if !listing {
        let outcome = if failed.is_empty() { "ok" } else { "FAILED" };
        println!("\n{}\ntest result: {outcome}. {passed} passed; {} failed\n", failed.join("\n"), failed.len());
    }
    Ok(failed.len())
}

fn load(preset: &Preset) -> Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules").join(preset.name).join("cases");
    cases::load(&folder).map_err(anyhow::Error::msg)
}

fn check(module: &Module, case: &Case) -> Result<()> {
    match sluicebox::author::check(module, case).map_err(anyhow::Error::msg)? {
        None => Ok(()),
        Some(difference) => Err(anyhow::Error::msg(difference)),
    }
}
