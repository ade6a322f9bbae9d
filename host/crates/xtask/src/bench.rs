//! Measures what the way through WebAssembly costs against the same work done natively, what reading cgroups costs against bare reads, what
//! compiling costs, what changes of modules do to events that flow, what the program holds, and how long an event takes to Redis.

use anyhow::Result;

use crate::modules::{self, Compiler};
use crate::{command, delay, footprint, workspace};

/// Measure modules against native closures, cgroups against bare reads, compiling, swaps under load, memory, and the way of an event to Redis
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
    /// Reading cgroups, against a loop that only reads the same files (as root: real cgroups)
    Cgroups,
    /// Time and memory of compiling a module, in the process and beside it
    Compile,
    /// Events that flow while modules are swapped and compiled, and beside a greedy neighbour (two minutes)
    Live,
    /// What the program holds and uses on a full node: 110 pods, three modules (two minutes)
    Footprint,
    /// From a change in the API to a Redis subscriber, at 1 000 events a second
    Delay,
    /// Storage libraries as queues on the disk, beside our own; only when asked for, as they are built for nothing else
    Storage,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.only == Some(Part::Storage) {
        return storage();
    }
    modules::compile(true, arguments.compiler)?;
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    for (part, package, bench) in [
        (Part::Border, "sluicebox-wasm", "border"),
        (Part::Cgroups, "sluicebox-sources", "cgroups"),
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
    if wanted(Part::Footprint) || wanted(Part::Delay) {
        command::say("building the program as it is shipped; this takes minutes the first time");
        command::must(workspace::cargo().args(["build", "--release", "--package", "sluicebox"]))?;
    }
    let program = workspace::target().join("release").join("sluicebox");
    if wanted(Part::Footprint) {
        footprint::measure(&program)?;
    }
    if wanted(Part::Delay) {
        delay::measure(&program)?;
    }
    Ok(())
}

/// They have a workspace of their own, and work in the target folder, as what is in memory has no disk to fill.
fn storage() -> Result<()> {
    let folder = workspace::target().join("storage");
    std::fs::create_dir_all(&folder)?;
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--locked", "--manifest-path"]);
    cargo.arg(workspace::root().join("host/crates/store/libraries/Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", workspace::target()).current_dir(folder);
    command::must(&mut cargo)
}
