//! Builds the program with the modules that it embeds.

use anyhow::Result;

use crate::modules::Compiler;
use crate::{command, cross, modules, workspace};

/// Build the modules, then the program `sluicebox`
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Optimised, as it is shipped
    #[arg(long)]
    release: bool,
    /// The platform of the program, such as aarch64-unknown-linux-gnu; it is then in `target/PLATFORM`
    ///
    /// For another one than this machine's it takes the C compiler of the package crossbuild-essential-arm64 or -amd64.
    #[arg(long, value_name = "PLATFORM")]
    target: Option<String>,
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
    if let Some(target) = &arguments.target {
        cross::prepare(&mut cargo, target)?;
        cargo.args(["--target", target]);
    }
    command::must(&mut cargo)
}
