//! Shows the whole way at work: the program, a cluster that it watches, and where the output lies.

mod cluster;
mod usage;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use tokio::time::sleep;

use crate::modules::Compiler;
use crate::{command, modules, workspace};

/// The counters that say most.
const COUNTERS: [&str; 4] = [
    "sluicebox_source_events_total",
    "sluicebox_lane_events_total",
    "sluicebox_lane_entries_total",
    "sluicebox_sink_written_total",
];

/// Run the program against an API server of the test kit and show what happens
///
/// Pods come, start, restart and go. Their `.meta` files stand in a folder, their events come to this terminal, and to Redis if one answers.
/// What the cgroups of this very machine use is appended to a table.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Address and port where a Redis may answer; nothing is started there
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6379")]
    redis: SocketAddr,
    /// A module of yours: its component, which shapes the pods in place of the presets. Its lines come to this terminal
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Time between the steps
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1500)]
    pace: u64,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = build(arguments)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(show(arguments, &binary))
}

fn build(arguments: &Arguments) -> Result<PathBuf> {
    let begin = Instant::now();
    command::say("building the modules and the program: some minutes the first time, seconds later");
    modules::compile(false, arguments.compiler)?;
    command::must(workspace::cargo().args(["build", "--package", "sluicebox"]))?;
    command::say(format!("built in {:.0} s", begin.elapsed().as_secs_f64()));
    Ok(workspace::target().join("debug").join("sluicebox"))
}

async fn show(arguments: &Arguments, binary: &Path) -> Result<()> {
    let folder = workspace::target().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let server = ApiServer::start().await?;
    cluster::begin(&server)?;
    let redis = TcpStream::connect_timeout(&arguments.redis, Duration::from_millis(300)).is_ok().then_some(arguments.redis);
    let config = folder.join("sluicebox.yaml");
    let text = match &arguments.module {
        Some(module) => of_one_module(&server.url(), &folder, module)?,
        None => configuration(&server.url(), &folder, redis),
    };
    fs::write(&config, text)?;
    introduce(&server.url(), &config, redis, arguments.redis);

    let mut program = Program::start(binary, &config, &folder.join("sluicebox.log"), |line| {
        command::say(format!("  | {line}"));
    })?;
    // A module in Python is compiled for ten seconds, on a machine that has nothing else to do.
    program.until_ready(Duration::from_mins(5)).await?;
    let pace = Duration::from_millis(arguments.pace);
    sleep(pace).await;
    for step in cluster::STEPS {
        command::say("");
        command::say(format!("--- {}", step.tells));
        (step.act)(&server)?;
        sleep(pace * step.takes).await;
        if arguments.module.is_some() {
            continue;
        }
        list(&folder.join("meta"))?;
        if usage::can_be_read() {
            usage::show(&folder.join("usage/usage.csv"))?;
        }
    }
    command::say("");
    command::say("--- SIGTERM: what was accepted is written, then the program ends");
    let counted = program.metrics(&COUNTERS).await?;
    let status = program.stop(Duration::from_secs(30)).await?;
    if !status.success() {
        bail!("the program ended with {status}; its log is {}", folder.join("sluicebox.log").display());
    }
    conclude(&folder, &counted);
    Ok(())
}

fn introduce(api: &str, config: &Path, redis: Option<SocketAddr>, tried: SocketAddr) {
    command::say(format!("an API server of the test kit listens on {api}"));
    command::say(format!("configuration: {}", config.display()));
    match redis {
        Some(address) => command::say(format!("a Redis answers on {address}: events go there as well (channel galileo/events)")),
        None => command::say(format!(
            "no Redis answers on {tried}: events come to this terminal only (start one and run again to see both)"
        )),
    }
    command::say("lines with `|` are what the program writes to its standard output:");
}

fn conclude(folder: &Path, counted: &[String]) {
    command::say("");
    command::say("what it counted:");
    for line in counted {
        command::say(format!("  {line}"));
    }
    command::say(format!("the program has ended with code 0; look at {}:", folder.display()));
    command::say("  sluicebox.yaml  the configuration; for a cluster of your own leave out `kubernetes` and `node-name`");
    command::say("  meta/           the .meta files of the pods that are still there");
    if usage::can_be_read() {
        command::say("  usage/          what the cgroups of this machine used, second by second, as CSV");
    }
    command::say("  sluicebox.log   what it logged");
}

/// The files that stand there now.
fn list(meta: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(meta).with_context(|| format!("cannot list {}", meta.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(format!("{name} ({} bytes)", entry.metadata()?.len()));
        }
    }
    names.sort();
    command::say(format!("files in meta/: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }));
    Ok(())
}

fn configuration(api: &str, folder: &Path, redis: Option<SocketAddr>) -> String {
    let (to, events) = match redis {
        Some(address) => (", events", format!("  events:\n    redis: {{url: \"redis://{address}\"}}\n")),
        None => ("", String::new()),
    };
    let (cgroups, usage, table) = if usage::can_be_read() { machine(folder) } else { Default::default() };
    format!(
        "{surroundings}\
         sources:\n  pods: {{}}\n  nodes: {{}}\n{cgroups}\
         modules:\n\
         \x20 meta:\n    use: fluent-bit-meta\n    settings: {{retention: 3s}}\n    from: [pods]\n    to: [folder]\n\
         \x20 galileo:\n    use: galileo-events\n    to: [terminal{to}]\n\
         \x20 lines:\n    use: json-lines\n    settings: {{fields: compact}}\n    from: [pods]\n    to: [terminal]\n{usage}\
         sinks:\n  folder:\n    files: {{directory: {meta}}}\n  terminal:\n    stdout: {{}}\n{events}{table}",
        surroundings = surroundings(api, folder),
        meta = folder.join("meta").display(),
    )
}

/// The module of somebody who writes one, and nothing else.
fn of_one_module(api: &str, folder: &Path, module: &Path) -> Result<String> {
    let module = module.canonicalize().with_context(|| format!("cannot find {}", module.display()))?;
    let surroundings = surroundings(api, folder);
    Ok(format!(
        "{surroundings}sources:\n  pods: {{}}\nmodules:\n  yours:\n    use: {}\n    to: [terminal]\nsinks:\n  terminal:\n    stdout: {{}}\n",
        module.display()
    ))
}

/// What has nothing to do with what is shown. Compiled modules are kept, and what was told in the last run is not: this cluster is another.
fn surroundings(api: &str, folder: &Path) -> String {
    format!(
        "# The configuration of the demo.\n\
         node-name: {node}\n\
         kubernetes:\n  access: url\n  url: {api}\n  token-retrieval: none\n\
         admin:\n  listen: 127.0.0.1:0\n\
         log:\n  format: json\n\
         cache-directory: {cache}\n\
         state-directory: {state}\n",
        node = cluster::NODE,
        state = folder.join("state").display(),
        cache = env::temp_dir().join(format!("sluicebox-demo-{}", user())).display(),
    )
}

/// The source, the module and the sink for what this machine uses. The cluster's pods have no cgroups here, so all go by their paths.
fn machine(folder: &Path) -> (&'static str, &'static str, String) {
    (
        "  cgroups: {period: 1s, of: all, kubernetes: false, metrics: [cpu, memory]}\n",
        "  usage:\n    use: pod-metrics\n    settings: {form: csv, metrics: [cpu_percent, memory_usage]}\n    to: [table]\n",
        format!("  table:\n    files: {{directory: {}, append: {{file: usage.csv}}}}\n", folder.join("usage").display()),
    )
}

/// A name for a folder that is this user's alone.
fn user() -> String {
    env::var("USER").ok().filter(|name| name.chars().all(char::is_alphanumeric)).unwrap_or_else(|| "cache".to_owned())
}
