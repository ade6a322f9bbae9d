//! Measures what the way through WebAssembly costs against the same work done natively, what compiling costs, what changes of modules do to
//! events that flow, and how long an event takes to Redis.

use anyhow::Result;

use crate::modules::{self, Compiler};
use crate::{command, delay, workspace};

/// Measure modules against native closures, compiling, swaps under load, and the way of an event to Redis
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Only one of them
    #[arg(long, value_enum)]
    only: Option<Part>,
    #[command(flatten)]
    compiler: Compiler,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Modules against the same work as native closures, one event and 64 events a call
    Border,
    /// Time and memory of compiling a module, in the process and beside it
    Compile,
    /// Events that flow while modules are swapped and compiled, and beside a greedy neighbour (two minutes)
    Live,
    /// From a change in the API to a Redis subscriber, at 1 000 events a second
    Delay,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    modules::compile(true, arguments.compiler)?;
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    for (part, package, bench) in [
        (Part::Border, "sluicebox-wasm", "border"),
        (Part::Compile, "sluicebox-wasm", "compile"),
        (Part::Live, "sluicebox", "live"),
    ] {
        if wanted(part) {
            let mut cargo = workspace::cargo();
            cargo.args(["bench", "--package", package, "--bench", bench]);
            cargo.env("SLUICEBOX_MODULES", workspace::target().join("modules"));
            command::must(&mut cargo)?;
        }
    }
    if wanted(Part::Delay) {
        command::say("building the program as it is shipped; this takes minutes the first time");
        command::must(workspace::cargo().args(["build", "--release", "--package", "sluicebox"]))?;
        delay::measure(&workspace::target().join("release").join("sluicebox"))?;
    }
    Ok(())
}
