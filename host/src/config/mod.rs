//! What the user wrote: YAML into typed configuration. Every field's text becomes the schema and the reference page.

pub mod decode;
#[cfg(test)]
mod fuzz;
pub mod load;
mod memory;
pub mod store;
pub mod trust;
pub mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sluicebox_contract::CpuShare;
use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_sinks::{config_maps, files, kafka, prometheus, redis, stdout};
use store::{SinkWhenFull, Store};
use trust::{Names, Trust};

use sluicebox_sources::{
    Scope, cgroups, inventory, kubernetes, namespaces, nodes, pods, prometheus as queries, scrape, services, tracer,
};

pub use memory::Memory;

/// A mistake in the configuration: where, what, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, where one can be named.
    pub line: Option<usize>,
    /// What is wrong.
    pub text: String,
    /// How to put it right.
    pub hint: Option<String>,
}

impl Problem {
    /// Something on this line.
    pub fn at_line(line: usize, text: impl Into<String>) -> Self {
        Self { line: Some(line), text: text.into(), hint: None }
    }

    /// Something about the whole file.
    pub fn whole(text: impl Into<String>) -> Self {
        Self { line: None, text: text.into(), hint: None }
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        write!(formatter, "{}", self.text)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The configuration of sluicebox: sources feed modules, modules feed sinks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// The name of the node on which this collector runs. Without it, and without `--node-name`, the environment variable `NODE_NAME` is
    /// taken, and without that the host name.
    pub node_name: Option<String>,
    /// How the Kubernetes API is reached.
    pub kubernetes: kubernetes::Config,
    /// How one of several collectors is chosen for what works for the whole cluster: sources and modules with `scope: cluster`. Without any
    /// of them no lease is asked for.
    pub lease: kubernetes::lease::Config,
    /// What is watched.
    pub sources: Sources,
    /// The lanes: each is one module with its settings, its sources and its sinks. The key is the lane's name, as it stands in logs
    /// and metrics.
    pub modules: BTreeMap<String, Module>,
    /// Who signs modules, and which modules must be signed.
    pub trust: Trust,
    /// Where entries are written. The key is the name by which `to` refers to it; the value names one kind of sink.
    pub sinks: BTreeMap<String, Sink>,
    /// How much memory is given to what waits.
    pub memory: Memory,
    /// Probes and metrics over HTTP.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
    /// Where compiled modules are kept, so that the next start is fast. Only the collector may write there. Without it
    /// `$CACHE_DIRECTORY`, `$XDG_CACHE_HOME/sluicebox` or `$HOME/.cache/sluicebox` is taken, the first that is set; with none of them
    /// modules are compiled at each start, into a directory that goes with the run, or into memory where none can be written.
    pub cache_directory: Option<PathBuf>,
    /// Where what must survive a restart is kept: dead letters, the last good version of each module, copies of modules that were pulled from
    /// registries (`pull.copies` bounds them), and what was announced (`at-start` of the sources `pods`, `services`, `namespaces` and `nodes`).
    /// Only the collector may write there. Without it `$STATE_DIRECTORY`, `$XDG_STATE_HOME/sluicebox` or `$HOME/.local/state/sluicebox` is taken, the first that is
    /// set; with none of them nothing is kept, and a start needs the registries that modules come from.
    pub state_directory: Option<PathBuf>,
    /// Events that stopped their module even when they were alone, or whose subject did, and entries that a sink refused for good are
    /// kept, for `sluicebox dead-letters`. When a bound is reached the oldest go, a sixteenth of it at once.
    pub dead_letters: DeadLetters,
    /// How changes of this file and of module files are noticed while the program runs.
    pub reload: Reload,
    /// How the registries are asked that modules come from (`use: oci://…`), by host and port as they stand in `use`. One that is not named is
    /// asked without a user, and with TLS unless it is on this machine (`localhost`, `127.0.0.1`, `[::1]`).
    pub registries: BTreeMap<String, sluicebox_registry::Config>,
    /// How modules are pulled from registries.
    pub pull: sluicebox_registry::PullConfig,
    /// How modules are compiled: in a process of its own, one at a time, with the lowest priority. Modules that are in the cache already
    /// are not compiled.
    pub compiler: Compiler,
    /// How long everything that was accepted may take to be written after SIGTERM. Keep it below the pod's
    /// `terminationGracePeriodSeconds`.
    pub shutdown_grace: TimeSpan,
}

/// What is watched. A source that is not named is not started.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sources {
    /// Pods, of this node or of the whole cluster. Needs the right to list and watch pods.
    #[serde(default, deserialize_with = "present")]
    pub pods: Option<pods::Config>,
    /// Services, of all namespaces. Needs the right to list and watch services.
    #[serde(default, deserialize_with = "present")]
    pub services: Option<services::Config>,
    /// Namespaces. Needs the right to list and watch namespaces.
    #[serde(default, deserialize_with = "present")]
    pub namespaces: Option<namespaces::Config>,
    /// This node or all nodes. Needs the right to list and watch nodes.
    #[serde(default, deserialize_with = "present")]
    pub nodes: Option<nodes::Config>,
    /// What runs on this node, all at once and again and again: the node, its pods with those who control them, their containers with their
    /// processes. Needs the right to list and watch pods and nodes, for `owners` also to get replicasets, jobs and whatever else controls
    /// pods here; for processes the host's (`hostPID: true`).
    #[serde(default, deserialize_with = "present")]
    pub inventory: Option<inventory::Config>,
    /// Who talks to whom, as a network tracer on this node reports it. With `kubernetes: true`, which is the default, needs the right to
    /// list and watch pods, services and nodes, and, to know who controls a pod, to get replicasets, jobs and whatever else does.
    #[serde(default, deserialize_with = "present")]
    pub tracer: Option<tracer::Config>,
    /// What pods, containers and other cgroups of this machine use. With `kubernetes: true`, which is the default, needs the right to list
    /// and watch pods.
    #[serde(default, deserialize_with = "present")]
    pub cgroups: Option<cgroups::Config>,
    /// What queries to a Prometheus find, again and again. With `scope: cluster`, which is the default, one collector of several asks; see
    /// `lease`.
    #[serde(default, deserialize_with = "present")]
    pub prometheus: Option<queries::Config>,
    /// Pages of metrics, read where they are served, such as those of cAdvisor, the kubelet and exporters on this node: for clusters without a
    /// Prometheus. With `scope: cluster` one collector of several reads them; see `lease`.
    #[serde(default, deserialize_with = "present")]
    pub scrape: Option<scrape::Config>,
}

/// One module at work.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Module {
    /// The module: the name of a preset (`sluicebox modules` lists them), the path of a component file or of a directory, which contains a `/`,
    /// or a module in an OCI registry, by tag (`oci://registry:5000/name:v1`) or by digest (`oci://registry:5000/name@sha256:…`). A directory,
    /// such as a mounted `ConfigMap`, has one file whose name ends with `.wasm`, with its signature beside it: that one is meant, and a file
    /// of another name that takes its place is taken up as a changed file is. With none or several of them what is there is refused, and what
    /// runs goes on. Names that begin with a dot do not count. A tag is looked at again every `pull.every`, and what it has come to mean takes
    /// the place of what runs as a changed file does; a digest never means anything else.
    #[serde(rename = "use")]
    pub component: String,
    /// SHA-256 of the component, 64 hexadecimal digits, as `sha256sum` and `sluicebox module inspect` print it: a component with another one
    /// is refused, wherever it comes from, and what runs goes on. A list takes each of several, so that component and configuration may change
    /// in any order. Of a module in a registry it is not what stands behind the `@` of its name, which is the digest of its manifest.
    pub sha256: Option<Names>,
    /// The keys under `trust.keys` of which one must have signed the component: a name or a list. The signature of a file is the file beside it
    /// that is named like it with `.sig` behind; `sluicebox module sign` makes it. That of a module in a registry is the annotation
    /// `sluicebox.signature` of its manifest; `sluicebox module push` takes it along. Without `signed-by`, what `trust.signed-by` says; `[]`
    /// demands none. A component that is not signed so is refused, and what runs goes on.
    pub signed_by: Option<Names>,
    /// The interfaces of the host that the module may call: `log` is the only one that there is, and granted unless this says otherwise. With
    /// `[]` it may call nothing, and a module that wants to log is refused. No module is given WASI, nor anything else.
    pub imports: Option<Vec<String>>,
    /// The module's own settings; its README explains them. Handed to it as JSON.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The sources that feed it. Without it, all sources of this configuration whose events it handles.
    pub from: Option<Vec<String>>,
    /// The sinks that take its entries, by name.
    pub to: Vec<String>,
    /// Whether it works on every collector, each for its node, or for the whole cluster on the one collector that holds the `lease`. For the
    /// cluster it has watches of its own, which take in all pods, services, namespaces and nodes, whatever the scope of those that feed the
    /// other modules; without `from` it is fed by all of these that are configured. Sources that tell of one node each (`inventory`,
    /// `tracer`, `cgroups`) cannot feed it.
    #[serde(default)]
    pub scope: Scope,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Events handed over in one call, at most. More than 256 only cost memory.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1, max = 4096))]
    pub batch: usize,
    /// What may wait for it.
    #[serde(default)]
    pub queue: Queue,
    /// What happens to its events when its queue is full. `drop-samples` drops and counts the oldest samples, as the next ones tell more
    /// and everybody would be measured late (what is scraped is such a sample, what a query has found is not); for all else the source waits, and with it every other lane that the source feeds, so that
    /// nothing is lost. `wait` makes it wait for samples, too. `drop-oldest` drops and counts the oldest events of any kind, so that the lane
    /// holds up no other.
    #[serde(default)]
    pub when_full: WhenFull,
}

/// What happens to a lane's events when its queue is full.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest samples are dropped and counted. All else waits.
    #[default]
    DropSamples,
    /// The source waits, and with it every other lane that it feeds; nothing is lost.
    Wait,
    /// The oldest events are dropped and counted, so that a slow module or sink holds up no other lane.
    DropOldest,
}

/// What a module may use. What is exceeded ends the call, and a fresh instance takes its place.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of one instance. The examples in Python and Go need a fifth of the default; what a module has needed, `module bench` says.
    pub memory: ByteSize,
    /// Time for one call of a handler.
    pub deadline: TimeSpan,
    /// Time for `start`.
    pub start_deadline: TimeSpan,
    /// Entries from one call.
    pub entries: usize,
    /// Bytes of output from one call, and of each copy between host and module.
    pub output: ByteSize,
    /// Log lines for each second; more are dropped and counted.
    pub log_lines_per_second: u32,
    /// Size of the component.
    pub component: ByteSize,
    /// Share of the processor over time, as Kubernetes writes it: `250m` is a quarter of a core. A module may use one second at once;
    /// one that wants more than its share is slowed down, and no other is: when a source has to wait for the queue of a lane that is
    /// slowed down, the lane's oldest events are left out and counted.
    pub cpu: CpuShare,
    /// A fresh instance takes the place of one that has made so many calls. Without it, none does. A module that does not save its state
    /// begins anew with it.
    #[schemars(range(min = 1))]
    pub recycle_after_calls: Option<u64>,
    /// A fresh instance takes the place of one that holds so much memory. Without it, three quarters of `memory`. A module that does
    /// not save its state begins anew with it.
    pub recycle_above_memory: Option<ByteSize>,
}

/// How much is kept of what could not be dealt with.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DeadLetters {
    /// Letters, at most; 0 keeps none.
    pub letters: usize,
    /// Bytes on disk, at most, all letters together.
    pub bytes: ByteSize,
}

/// How changes are noticed while the program runs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Reload {
    /// Time between two looks at every file. Most changes are noticed at once, because the system tells of them; this is for the others,
    /// as on network file systems. A look does not notice that a file was overwritten in place with as many bytes and its time set back
    /// (`cp -p` may do that): there SIGHUP has all files read again.
    pub poll: TimeSpan,
    /// Files must be quiet for so long before they are read: a burst of changes is one reload. After ten times that they are read anyway.
    pub debounce: TimeSpan,
    /// How long a new version of a module must work before it is one to come back to: it is then kept on disk, and takes the place of
    /// a later one that fails again and again.
    pub good_after: TimeSpan,
    /// Whether a change that is refused, and a module that is put back, are told as Kubernetes Events, too. Without it they are when the
    /// program runs in a pod. Needs the right to create and patch events.
    pub kubernetes_events: Option<bool>,
}

/// How modules are compiled.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Compiler {
    /// Memory that the process may have of its own, beside that of the collector, but within the memory limit of its container. A module
    /// that needs more is refused.
    pub memory: ByteSize,
    /// Time for compiling one module; then the process is ended, and the module is refused. On a machine that is busy with other things a
    /// process of the lowest priority takes long.
    pub deadline: TimeSpan,
}

/// What may wait.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Queue {
    /// Items, at most: 1024 for a module, 4096 for a sink unless given.
    #[schemars(range(min = 1))]
    pub items: Option<usize>,
    /// Bytes, at most, as the items weigh in memory, what is in work included. Unless given, `4MiB` for a module and `8MiB` for a sink, or its
    /// share of `memory.queues` where that is less.
    pub bytes: Option<ByteSize>,
}

/// A sink: exactly one kind, and how it is fed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sink {
    /// Publishes messages and keeps documents in Redis hashes.
    pub redis: Option<redis::Config>,
    /// Sends messages to the topics of a Kafka cluster.
    pub kafka: Option<kafka::Config>,
    /// Keeps documents as files in a directory, and appends messages to files there.
    pub files: Option<files::Config>,
    /// Keeps documents as keys of Kubernetes `ConfigMap`s.
    #[serde(default, deserialize_with = "present")]
    pub config_maps: Option<config_maps::Config>,
    /// Serves metrics that modules make, for Prometheus to scrape.
    #[serde(default, deserialize_with = "present")]
    pub prometheus: Option<prometheus::Config>,
    /// Writes entries as lines to standard output.
    #[serde(default, deserialize_with = "present")]
    pub stdout: Option<stdout::Config>,
    /// What may wait for it in memory; an item is what one call of a module has made.
    #[serde(default)]
    pub queue: Queue,
    /// What may wait for it on the disk, when it does not take what comes. Without it nothing does: what waits in memory is lost with the
    /// program.
    #[serde(default, deserialize_with = "present")]
    pub store: Option<Store>,
    /// What happens when there is no more room, in the store where there is one, else in the queue.
    #[serde(default)]
    pub when_full: SinkWhenFull,
    /// How long one write may take before it counts as failed and is tried again.
    #[serde(default = "default_write_deadline")]
    pub write_deadline: TimeSpan,
}

/// Probes and metrics over HTTP: `/metrics` (Prometheus text), `/livez`, `/readyz`. They are answered from the beginning: while modules are
/// being compiled, for which a small node may need a minute, `/livez` says yes, and `/readyz` no and why.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port to listen on; port 0 takes a free one and logs it, `null` turns it off. In a
    /// cluster probes come from outside of the pod: use `0.0.0.0:9420`.
    pub listen: Option<SocketAddr>,
}

/// What is logged, and how. Logs go to standard error.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Log {
    /// The least important level that is written.
    pub level: Level,
    /// How a line looks.
    pub format: LogFormat,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Data is lost, or somebody must act.
    Error,
    /// Unexpected, but recovered.
    Warn,
    /// Rare and worth knowing.
    #[default]
    Info,
    /// For whoever looks for a mistake.
    Debug,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 9420))) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: None,
            kubernetes: kubernetes::Config::default(),
            lease: kubernetes::lease::Config::default(),
            sources: Sources::default(),
            modules: BTreeMap::new(),
            trust: Trust::default(),
            sinks: BTreeMap::new(),
            memory: Memory::default(),
            admin: Admin::default(),
            log: Log::default(),
            cache_directory: None,
            state_directory: None,
            dead_letters: DeadLetters::default(),
            reload: Reload::default(),
            registries: BTreeMap::new(),
            pull: sluicebox_registry::PullConfig::default(),
            compiler: Compiler::default(),
            shutdown_grace: TimeSpan(Duration::from_secs(20)),
        }
    }
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self { letters: 1000, bytes: ByteSize(16 << 20) }
    }
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            poll: TimeSpan(Duration::from_secs(2)),
            debounce: TimeSpan(Duration::from_millis(200)),
            good_after: TimeSpan(Duration::from_mins(1)),
            kubernetes_events: None,
        }
    }
}

impl Default for Compiler {
    fn default() -> Self {
        Self { memory: ByteSize(512 << 20), deadline: TimeSpan(Duration::from_mins(5)) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize(64 << 20),
            deadline: TimeSpan(Duration::from_secs(1)),
            start_deadline: TimeSpan(Duration::from_secs(5)),
            entries: 65_536,
            output: ByteSize(8 << 20),
            log_lines_per_second: 20,
            component: ByteSize(32 << 20),
            cpu: CpuShare { millicores: 500 },
            recycle_after_calls: None,
            recycle_above_memory: None,
        }
    }
}

/// What is named without a value (`pods:`) is there with its defaults.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

fn default_batch() -> usize {
    64
}

fn default_write_deadline() -> TimeSpan {
    TimeSpan(Duration::from_secs(30))
}
