//! What the user wrote: YAML into typed configuration. Every field's text becomes the schema and the reference page.

mod admin;
pub mod decode;
#[cfg(test)]
mod fuzz;
pub mod load;
mod log;
mod memory;
mod module;
mod problem;
mod sink;
pub mod store;
pub mod trust;
pub mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_sources::{
    cgroups, inventory, kubernetes, namespaces, nodes, pods, prometheus as queries, scrape, services, tracer,
};
use trust::Trust;

pub use admin::Admin;
pub use log::{Level, Log, LogFormat};
pub use memory::Memory;
pub use module::{Limits, Module, WhenFull};
pub use problem::Problem;
pub use sink::Sink;

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

/// What is named without a value (`pods:`) is there with its defaults.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}
