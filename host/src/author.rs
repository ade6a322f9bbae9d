//! `sluicebox module`: the tools of those who write modules. Works on files, with the same engine that runs modules in production.

mod arguments;
mod bench;
mod bless;
pub mod cases;
mod difference;
mod events;
mod inspect;
mod layout;
mod load;
mod measure;
mod new;
mod paths;
mod push;
mod record;
mod recorded;
pub mod recording;
mod redact;
mod requests;
mod sign;
mod test;

use std::process::ExitCode;

use sluicebox_contract::quantity::ByteSize;
use sluicebox_wasm::Module;

use crate::config::{Level, Log};
use crate::log;

pub use arguments::{
    Action, BenchArguments, InspectArguments, KeygenArguments, Language, ModuleArguments, NewArguments, PushArguments,
    RecordArguments, ReplayArguments, SignArguments, TestArguments, VerifyArguments,
};

/// Does what the author wants.
pub fn module(arguments: &ModuleArguments) -> ExitCode {
    // What a module warns of belongs to what its author wants to know; `RUST_LOG=debug` shows every line that it logs.
    log::start(&Log { level: Level::Warn, ..Log::default() });
    match &arguments.action {
        Action::New(arguments) => new::new(arguments),
        Action::Test(arguments) => test::test(arguments),
        Action::Inspect(arguments) => inspect::inspect(arguments),
        Action::Bench(arguments) => bench::bench(arguments),
        Action::Record(arguments) => record::record(arguments),
        Action::Push(arguments) => push::push(arguments),
        Action::Replay(arguments) => record::replay(arguments),
        Action::Keygen(arguments) => sign::keygen(arguments),
        Action::Sign(arguments) => sign::sign(arguments),
        Action::Verify(arguments) => sign::verify(arguments),
    }
}

/// Runs one case, with the limits of a lane that says nothing: none when it holds, else what is not as expected. The error says which
/// part of the case cannot be read.
pub fn check(module: &Module, case: &cases::Case) -> Result<Option<String>, String> {
    let script = cases::script(case)?;
    let mismatches = test::run(&script, module, &load::limits(ByteSize(64 << 20)));
    let described: Vec<String> = mismatches.iter().map(test::described).collect();
    Ok((!described.is_empty()).then(|| described.join("\n")))
}
