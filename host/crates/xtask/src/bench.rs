//! Measures what the way through WebAssembly costs against the same work done natively.

use anyhow::Result;

use crate::modules::{self, Compiler};
use crate::{command, workspace};

/// Measure modules against the same work as native closures
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    modules::compile(true, arguments.compiler)?;
    let mut border = workspace::cargo();
    border.args(["bench", "--package", "sluicebox-wasm", "--bench", "border"]);
    border.env("SLUICEBOX_MODULES", workspace::target().join("modules"));
    command::must(&mut border)
}
