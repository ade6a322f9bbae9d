//! Shows the whole way at work: the program, a cluster that it watches, and where the output lies.

use anyhow::{Result, bail};

/// Run the program against an API server of the test kit and show what happens
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    bail!("the demo is not part of this build")
}
