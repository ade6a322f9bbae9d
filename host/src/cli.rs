//! What can be typed after `sluicebox`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::author::ModuleArguments;
use crate::compile::CompileArguments;
use crate::dead_letters::DeadLettersArguments;
use crate::migrate::MigrateArguments;
use crate::stores::StoreArguments;

/// Collects what happens on a Kubernetes node, has it shaped by WebAssembly modules, and writes it to sinks.
///
/// A configuration names sources (what is watched), modules (what shapes events into entries) and sinks (where entries go). Try:
///
///   sluicebox check config.yaml      says what is wrong with a configuration; `--permissions`: and what it may not do
///   sluicebox run config.yaml        runs it until SIGTERM
///   sluicebox modules                lists the modules that the program carries
///   sluicebox module --help          says how a module is written and tested
///   sluicebox dead-letters list      lists what a module or a sink could not deal with
///   sluicebox store inspect          shows what waits on the disk for sinks that do not take it
///   sluicebox migrate --help         makes a configuration of what an older program was set to
///   sluicebox schema --reference     explains every field of a configuration
///
/// Exit codes: 0 ended as asked, 1 ended by a fault, 2 wrong configuration or command line.
#[derive(Debug, Parser)]
#[command(name = "sluicebox", version, verbatim_doc_comment, arg_required_else_help = true, max_term_width = 120)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a configuration until SIGTERM or SIGINT, then write what was accepted and exit
    ///
    /// Modules and the configuration may change meanwhile: they are watched, and read again at SIGHUP. `/status` on the admin address shows
    /// what became of a change.
    Run(ConfigArguments),
    /// Find every mistake in a configuration, without touching the network
    ///
    /// Reads the file, checks each field and each name, loads every module and starts it with its settings.
    ///
    /// With `--permissions` the API server is asked besides, and this node is looked at, as the user and with the mounts of whoever runs the
    /// command: run it in the pod. A table says of each right, file, socket and directory that the configuration needs whether it is there;
    /// below it stand the roles that grant the rights that are missing, and the mounts and security contexts that help.
    ///
    /// A right that is refused and that nothing here needs is "not granted, not needed": one to make a `ConfigMap` that is there already, or to
    /// get what commonly nothing stands above. What the configuration only does better with is told as "goes without", with what is then not
    /// named and what grants it.
    ///
    /// Exit codes: 0 all is right, 1 something is missing or the API server does not answer, 2 wrong configuration.
    Check(CheckArguments),
    /// List the modules that the program carries, or describe component files
    Modules(ModulesArguments),
    /// Make, test, inspect and measure a module that you write
    ///
    ///   sluicebox module new pod-greeter                       a folder that compiles and whose tests hold
    ///   sluicebox module test cases --module ./hello.wasm      events in, entries expected
    ///   sluicebox module inspect ./hello.wasm                  what it exports, imports and would get
    ///   sluicebox module bench ./hello.wasm                    how fast it is; fails above a budget
    ///   sluicebox module record --lane web --output real.json  events of a running collector as a case
    ///   sluicebox module replay real.json --module ./hello.wasm   what a module makes of them
    ///   sluicebox module sign --key ops.pem ./hello.wasm       so that collectors know whose it is
    ///
    /// A module may be written in any language that makes components. What it warns of stands on
    /// standard error; `RUST_LOG=debug` shows every line that it logs.
    #[command(verbatim_doc_comment)]
    Module(ModuleArguments),
    /// List, show, replay or drop what a module or a sink could not deal with
    DeadLetters(DeadLettersArguments),
    /// Inspect, verify, repair or drain what waits on the disk for sinks that do not take it
    Store(StoreArguments),
    /// Turn the settings of a program that this one takes the place of into a configuration that does the same
    ///
    ///   sluicebox migrate galileo                              from the variables of this environment
    ///   sluicebox migrate mape --env-file old.env              from a file of docker or systemd
    ///   sluicebox migrate connections --manifest old.yaml      from a Kubernetes manifest
    ///   sluicebox migrate fluent-bit -- --retention-period=5m  from flags
    ///   sluicebox migrate alumet --config alumet-config.toml   from Alumet's own file
    ///
    /// The configuration goes to standard output. Comments on top say of each old setting what became of it, and
    /// what is different. Passwords are never printed: they become variables or files. What comes from a `ConfigMap`
    /// or a Secret stays a variable of the pod. Settings that are no settings are named on standard error.
    ///
    /// Exit codes: 0 made, 2 a value that cannot be used, a setting that is missing, or a file that cannot be read.
    #[command(verbatim_doc_comment)]
    Migrate(MigrateArguments),
    /// Print the JSON Schema of the configuration
    Schema(SchemaArguments),
    /// Compile the component on standard input: what the collector starts for itself
    #[command(hide = true)]
    CompileModule(CompileArguments),
    /// Pull the module that standard input names: what the collector starts for itself
    #[command(hide = true)]
    PullModule,
}

/// A configuration, and what goes before it.
#[derive(Args, Debug)]
pub struct ConfigArguments {
    /// The configuration: a YAML file, or `-` for standard input
    #[arg(env = "SLUICEBOX_CONFIG", default_value = "/etc/sluicebox/sluicebox.yaml")]
    pub config: PathBuf,
    /// The name of this node, before what the configuration and `NODE_NAME` say
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
}

/// A configuration, and what is checked of it.
#[derive(Args, Debug)]
pub struct CheckArguments {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Ask the API server and look at this node, too: whether everything that the configuration needs is there
    #[arg(long)]
    pub permissions: bool,
}

/// Which modules.
#[derive(Args, Debug)]
pub struct ModulesArguments {
    /// Presets by name, component files, or directories with one each
    #[arg(value_name = "PRESET|FILE|DIR")]
    pub modules: Vec<String>,
}

/// In which form.
#[derive(Args, Debug)]
pub struct SchemaArguments {
    /// Print the reference page for people instead (Markdown)
    #[arg(long)]
    pub reference: bool,
}
