//! Measures what the way through WebAssembly costs against the same work done natively, and how long an event takes to Redis.

use anyhow::Result;

use crate::modules::{self, Compiler};
use crate::{command, delay, workspace};

/// Measure modules against native closures, and the way of an event to Redis
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Only one of the two
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
    /// From a change in the API to a Redis subscriber, at 1 000 events a second
    Delay,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    modules::compile(true, arguments.compiler)?;
    if arguments.only != Some(Part::Delay) {
        let mut border = workspace::cargo();
        border.args(["bench", "--package", "sluicebox-wasm", "--bench", "border"]);
        border.env("SLUICEBOX_MODULES", workspace::target().join("modules"));
        command::must(&mut border)?;
    }
    if arguments.only != Some(Part::Border) {
        command::say("building the program as it is shipped; this takes minutes the first time");
        command::must(workspace::cargo().args(["build", "--release", "--package", "sluicebox"]))?;
        delay::measure(&workspace::target().join("release").join("sluicebox"))?;
    }
    Ok(())
}
