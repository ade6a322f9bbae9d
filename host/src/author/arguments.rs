//! What can be typed after `sluicebox module`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sluicebox_contract::quantity::ByteSize;

/// What a module's author wants to do.
#[derive(Args, Debug)]
pub struct ModuleArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What a module's author wants to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run case files through a module: events in, entries expected
    ///
    /// A case is a JSON file that needs no Rust to write:
    ///
    ///   {
    ///     "about": "A new pod is greeted.",
    ///     "settings": {},
    ///     "steps": [
    ///       {"events": [{"pod": {"change": "added", "pod": {"uid": "u1", "namespace": "shop", "name": "web"}}}],
    ///        "expect": [{"message": {"body": "hello web"}}]}
    ///     ]
    ///   }
    ///
    /// Steps are taken in order by one instance. Others than `events` are `tick` (samples), `report` (connections), `inventory`,
    /// `series`, `define`, `forget`, `restart` and `swap`; `expect-error` in place of `expect` is a refusal whose text contains this.
    /// guest-sdk/README.md says everything. Each difference is shown as lines: `-` was expected, `+` came, `^` marks the place.
    ///
    ///   sluicebox module test cases --module ./hello.wasm           every case of the folder
    ///   sluicebox module test cases --module ./hello.wasm --bless   what came is from now on expected
    ///   sluicebox module test modules/telemd --module telemd        a preset, with the cases beside it
    ///
    /// Exit codes: 0 everything came as expected, 1 something else came, 2 wrong command line, module or case.
    #[command(verbatim_doc_comment)]
    Test(TestArguments),
}

/// Which cases, and which module.
#[derive(Args, Debug)]
pub struct TestArguments {
    /// Case files, folders of them, or folders that have a folder `cases`
    #[arg(value_name = "CASES|DIR", required = true)]
    pub cases: Vec<PathBuf>,
    /// A component file, or a preset by its name
    #[arg(long, short, value_name = "FILE|PRESET")]
    pub module: String,
    /// Write what came into the case files, in place of what they expect; the rest of their text stays as it is
    #[arg(long)]
    pub bless: bool,
    /// Memory that the module may have; modules in Python need about `256MiB`
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub memory: ByteSize,
}
