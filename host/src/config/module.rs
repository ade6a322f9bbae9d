//! What can be said of a module at work.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::CpuShare;
use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_sources::Scope;

use super::Queue;
use super::trust::Names;

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

fn default_batch() -> usize {
    64
}
