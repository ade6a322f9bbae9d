//! Hands damaged bytes to everything that reads the outside, for as long as is wanted.

use anyhow::Result;

use crate::command::{must, say};
use crate::modules::{self, Compiler};
use crate::workspace;

/// Tests whose path has this in it are those.
const NAME: &str = "fuzz::";

/// Run the fuzz tests for longer than `cargo test` does, optimised
///
/// Each goes on for so many seconds and says in the end how many inputs it has tried. A failure names its seed: `SLUICEBOX_FUZZ_SEED=<seed> cargo
/// test <the test>` does it again.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How long each test goes on
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed; another one than last time finds something else
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only those whose path has this in it, such as `scrape::fuzz::`
    #[arg(long)]
    only: Option<String>,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    modules::compile(true, arguments.compiler)?;
    say(format!("each test goes on for {} s, from seed {} on", arguments.seconds, arguments.from));
    // Those beside the code, then those that use a package as others do.
    let only = arguments.only.as_deref();
    for (targets, name) in [(["--lib", "--bins"].as_slice(), only.or(Some(NAME))), (["--test", "fuzz"].as_slice(), only)] {
        let mut cargo = workspace::cargo();
        // Checks of overflow stay.
        cargo.args(["test", "--workspace", "--no-fail-fast", "--config", "profile.dev.opt-level=2"]).args(targets);
        cargo.args(name).args(["--", "--nocapture"]);
        cargo.env("SLUICEBOX_MODULES", workspace::target().join("modules"));
        cargo.env("SLUICEBOX_FUZZ_SECONDS", arguments.seconds.to_string());
        cargo.env("SLUICEBOX_FUZZ_FROM", arguments.from.to_string());
        must(&mut cargo)?;
    }
    Ok(())
}
