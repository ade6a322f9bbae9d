//! The program: reads the command line and hands over.

use std::process::ExitCode;

use clap::Parser as _;
use sluicebox::cli::{Arguments, Command};

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        // Whatever still writes to standard output then is not waited for.
        Command::Run(arguments) => return sluicebox::run::run(&arguments),
        Command::Check(arguments) => sluicebox::check::check(&arguments),
        Command::Modules(arguments) => sluicebox::modules::modules(&arguments),
        Command::Module(arguments) => sluicebox::author::module(&arguments),
        Command::DeadLetters(arguments) => sluicebox::dead_letters::dead_letters(&arguments),
        Command::Store(arguments) => sluicebox::stores::store_command(&arguments),
        Command::Migrate(arguments) => sluicebox::migrate::migrate(&arguments),
        Command::Schema(arguments) => sluicebox::schema::print(&arguments),
        Command::PullModule => return sluicebox::pull::pull_module(),
        Command::CompileModule(arguments) => return sluicebox::compile::compile_module(&arguments),
    };
    sluicebox::say::ended(code)
}
