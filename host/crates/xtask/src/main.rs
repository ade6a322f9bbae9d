//! The developers' commands: `cargo xtask <command>`. This file is the list of them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to a person through its output")]

mod bench;
mod build;
mod chaos;
mod check;
mod command;
mod console;
mod cross;
mod delay;
mod demo;
mod deploy;
mod footprint;
mod fuzz;
mod lab;
mod languages;
mod modules;
mod newcomer;
mod remap;
mod reproducible;
mod sbom;
mod test;
mod test_failures;
mod toolchain;
mod typing;
mod versions;
mod walls;
mod workspace;

use std::process::{Command as Process, ExitCode};

use clap::{Parser, Subcommand};

/// What a developer of sluicebox does, from a clean machine with Rust to a tested program.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Modules(modules::Arguments),
    Build(build::Arguments),
    Sbom(sbom::Arguments),
    Lab(lab::Arguments),
    Test(test::Arguments),
    Check(check::Arguments),
    /// Run what CI runs: checks and all tests, where anything that is left out is a failure
    Ci,
    Chaos(chaos::Arguments),
    Demo(demo::Arguments),
    Deploy(deploy::Arguments),
    Bench(bench::Arguments),
    Fuzz(fuzz::Arguments),
    Languages(languages::Arguments),
    Newcomer(newcomer::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Modules(arguments) => modules::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Sbom(arguments) => sbom::run(&arguments),
        Command::Lab(arguments) => lab::run(&arguments),
        Command::Test(arguments) => return test::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ci => command::must(&mut Process::new(workspace::root().join(".ci/run"))),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Deploy(arguments) => deploy::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Languages(arguments) => languages::run(&arguments),
        Command::Newcomer(arguments) => newcomer::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
