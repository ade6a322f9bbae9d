//! What can be typed after `sluicebox dead-letters`.

use clap::{Args, Subcommand};
use sluicebox_contract::TimeSpan;

use crate::place::Place;

/// Which dead letters, and what to do with them.
#[derive(Args, Debug)]
pub struct DeadLettersArguments {
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List what could not be dealt with, the oldest first
    ///
    /// An event is there because it stopped its module even when it was alone; an entry, because its sink refused it for good. What
    /// waits for a replay is listed, too.
    List(ListArguments),
    /// Print whole letters as JSON: the reason, the module, and the event or entry itself
    Show(ShowArguments),
    /// Have the running collector try letters again, and say how it went
    ///
    /// Do this when the cause is mended: a new version of the module, a sink that takes the entry now. Events are shaped by the module
    /// that their lane has now, entries go to their sink. What dies again is kept as before, with the new reason. The collector must be
    /// running with the same state directory; letters that it has not taken yet stay asked for.
    ///
    /// Exit codes: 0 all were replayed, 1 some died again or were not taken, 2 no such letter or directory.
    Replay(ReplayArguments),
    /// Remove letters for good
    Drop(DropArguments),
}

/// What to list.
#[derive(Args, Debug)]
pub struct ListArguments {
    /// Only letters of this lane
    #[arg(long)]
    pub lane: Option<String>,
    /// One JSON object for each letter, one on a line
    #[arg(long)]
    pub json: bool,
}

/// What to show.
#[derive(Args, Debug)]
pub struct ShowArguments {
    /// Ids from `list`, or their beginnings
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// Some letters, or all.
#[derive(Args, Debug)]
pub struct Chosen {
    /// Ids from `list`, or their beginnings
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<String>,
    /// All letters
    #[arg(long)]
    pub all: bool,
    /// With `--all`: only letters of this lane
    #[arg(long, requires = "all", conflicts_with = "ids")]
    pub lane: Option<String>,
}

/// What to try again.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// Which letters.
    #[command(flatten)]
    pub chosen: Chosen,
    /// How long to wait for a sign of the collector; `0s` only asks, and does not wait for the outcome
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub wait: TimeSpan,
}

/// What to remove.
#[derive(Args, Debug)]
pub struct DropArguments {
    /// Which letters.
    #[command(flatten)]
    pub chosen: Chosen,
}
