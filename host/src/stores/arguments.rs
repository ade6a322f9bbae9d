//! What can be typed after `sluicebox store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::place::Place;

/// Which stores, and what to do with them.
#[derive(Args, Debug)]
pub struct StoreArguments {
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with stores.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show what waits for each sink, or what waits for one of them; also while the collector runs
    Inspect(InspectArguments),
    /// Read everything, and say whether all of it is as it was written; also while the collector runs
    ///
    /// Exit codes: 0 it is, 1 something is damaged, 2 no such store.
    Verify(VerifyArguments),
    /// Cut back what cannot be read, as the collector does when it starts, and say what is lost
    ///
    /// The collector must not run. The damaged files are copied first.
    ///
    /// Exit codes: 0 it is whole now, 1 it could not be repaired, 2 no such store.
    Repair(RepairArguments),
    /// Take out everything that waits for a sink, as JSON lines, and leave the store empty
    ///
    /// Each line has the lane, the module, when the event was observed, and the entry. The collector must not run. An entry leaves the store
    /// once its line is written.
    ///
    /// Exit codes: 0 it is empty, 1 something stays in it, 2 no such store.
    Drain(DrainArguments),
}

/// What to show.
#[derive(Args, Debug)]
pub struct InspectArguments {
    /// A sink: shows each file of its store
    #[arg(value_name = "SINK")]
    pub sink: Option<String>,
    /// Print the first entries that wait for the sink as JSON, one on a line: so many
    #[arg(long, value_name = "NUMBER", requires = "sink", num_args = 0..=1, default_missing_value = "10")]
    pub entries: Option<u64>,
}

/// What to verify.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// Only the stores of these sinks
    #[arg(value_name = "SINK")]
    pub sinks: Vec<String>,
}

/// What to repair.
#[derive(Args, Debug)]
pub struct RepairArguments {
    /// The sink
    #[arg(value_name = "SINK")]
    pub sink: String,
    /// Copy the damaged files into this directory, which is made where it is missing, instead of into `damaged` in the store; what is there
    /// stays
    #[arg(long, value_name = "DIRECTORY")]
    pub aside: Option<PathBuf>,
}

/// What to take out.
#[derive(Args, Debug)]
pub struct DrainArguments {
    /// The sink
    #[arg(value_name = "SINK")]
    pub sink: String,
    /// Append to this file instead of writing to standard output; it is forced onto the disk before an entry leaves the store
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}
