//! Measures what the way through WebAssembly costs against the same work done natively.

use anyhow::{Result, bail};

/// Measure modules against the same work as native closures
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    bail!("the benchmark is not part of this build")
}
