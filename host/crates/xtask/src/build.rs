//! Builds the program with the modules that it embeds.

use anyhow::Result;

use crate::modules::Compiler;
use crate::{command, modules, workspace};

/// Build the modules, then the program `sluicebox`
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Optimised, as it is shipped
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    modules::compile(false, arguments.compiler)?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", "sluicebox"]);
    if arguments.release {
        cargo.arg("--release");
    }
    command::must(&mut cargo)
}
