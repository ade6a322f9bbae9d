//! The program: reads the command line and hands over.

use std::process::ExitCode;

use clap::Parser as _;
use sluicebox::cli::{Arguments, Command};

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => sluicebox::run::run(&arguments),
        Command::Check(arguments) => sluicebox::check::check(&arguments),
        Command::Modules(arguments) => sluicebox::modules::modules(&arguments),
        Command::Module(arguments) => sluicebox::author::module(&arguments),
        Command::DeadLetters(arguments) => sluicebox::dead_letters::dead_letters(&arguments),
        Command::Store(arguments) => sluicebox::stores::store_command(&arguments),
        Command::Migrate(arguments) => sluicebox::migrate::migrate(&arguments),
        Command::Schema(arguments) => sluicebox::schema::print(&arguments),
        Command::PullModule => sluicebox::pull::pull_module(),
        Command::CompileModule(arguments) => sluicebox::compile::compile_module(&arguments),
    }
}
