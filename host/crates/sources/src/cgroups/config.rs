//! What the user writes about the source `cgroups`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};

use super::cgroup::Groups;
use crate::Problem;
use crate::scope::{Scope, check_node};
use crate::watch::check_sizes;

const SHORTEST_PERIOD: Duration = Duration::from_millis(100);
const LONGEST_PERIOD: Duration = Duration::from_mins(10);
/// What waits takes memory.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Each takes memory and, at every period, time.
const MOST_CGROUPS: usize = 100_000;

/// What is measured, how often, and how it is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// How often everything is read: from 100ms to 10m. Readings are at multiples of it by the wall clock, so that all nodes read at the
    /// same moment. What is new is read besides, as soon as it is found and a few times more, so that what lives shorter is seen as well.
    pub period: TimeSpan,
    /// The host's root directory as this process sees it: `/`, or where it is mounted in a container, such as `/host`. At or below it the
    /// cgroups of the host must be mounted. Its `/proc` need not be.
    pub root: PathBuf,
    /// The cgroups of pods and containers, or all. Without it, those of pods and containers, but all when `kubernetes` is `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<Of>,
    /// Whether pods are measured, or containers, or both. Only pods have metrics of the network. Of pods, cgroups of version 1 do not tell
    /// how many processes were killed for want of memory, nor, on old kernels, what went to and from block devices: see their containers.
    pub levels: Vec<Level>,
    /// Which groups of metrics are read. What is not wanted costs nothing when it is left out here. Those of the network need the host's
    /// process ids (`hostPID: true` in a pod) and the right to look at all processes (root with `CAP_SYS_PTRACE`); pods on the host's own
    /// network have none.
    pub metrics: Groups,
    /// Whether pods and containers are named as the API server names them. `false` needs no API server: every cgroup is told under its
    /// path. A name is told once: of two cgroups that claim to be the same pod or container, the second is one that nobody knows.
    pub kubernetes: bool,
    /// What becomes of the cgroup of a pod or container that the API server has not told of within `wait`. The sandbox of a pod is such a
    /// cgroup. When the API server tells of it later, it is told under its right name from then on.
    pub when_unknown: WhenUnknown,
    /// How long a cgroup waits for its name. It is measured meanwhile, and what was measured is told once the name is known. Up to 10m.
    pub wait: TimeSpan,
    /// How many cgroups are measured at most. What is beyond is counted and left out; pods and containers go before others.
    pub max_cgroups: usize,
    /// How many files are held open at most; beyond, files are opened for each reading, which is slower. Without it, half of what the
    /// process may open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open_files: Option<usize>,
    /// The node whose pods are asked for. Without it, the node that sluicebox runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How many bytes a page of the list of pods has at most. When one has more, smaller pages are asked for.
    pub max_page_bytes: ByteSize,
    /// How many bytes an event about a pod has at most. A longer one is left out and counted.
    pub max_object_bytes: ByteSize,
}

/// Which cgroups are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// Those of pods and containers.
    Kubernetes,
    /// All, such as those of system services, too.
    All,
}

/// What of a pod is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The pod as a whole.
    Pod,
    /// Each of its containers.
    Container,
}

/// What becomes of a cgroup that nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnknown {
    /// It is left out and not measured any more.
    #[default]
    Drop,
    /// It is told under its path.
    Path,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: TimeSpan(Duration::from_secs(5)),
            root: PathBuf::from("/"),
            of: None,
            levels: vec![Level::Pod, Level::Container],
            metrics: Groups::default(),
            kubernetes: true,
            when_unknown: WhenUnknown::Drop,
            wait: TimeSpan(Duration::from_secs(30)),
            max_cgroups: 5_000,
            max_open_files: None,
            node: None,
            max_page_bytes: ByteSize(32 << 20),
            max_object_bytes: ByteSize(4 << 20),
        }
    }
}

/// How many pods a page of a list holds at most.
pub(super) const PAGE_SIZE: u32 = 250;
/// How much is remembered of the pods of one node.
pub(super) const PODS: usize = 20_000;
/// Roughly, in bytes.
pub(super) const POD_BYTES: ByteSize = ByteSize(64 << 20);

impl Config {
    /// Which cgroups are measured.
    pub(super) fn of(&self) -> Of {
        self.of.unwrap_or(if self.kubernetes { Of::Kubernetes } else { Of::All })
    }

    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.times();
        if !self.root.is_absolute() {
            problems.push(Problem::new(
                "root",
                format!("`{}` is not absolute", self.root.display()),
                "write `/`, or where the host's root directory is mounted, such as `/host`",
            ));
        }
        if self.levels.is_empty() && self.of() == Of::Kubernetes {
            problems.push(Problem::new("levels", "is empty, so nothing would be measured", "write `pod`, `container` or both"));
        }
        if self.metrics.is_empty() {
            problems.push(Problem::new("metrics", "is empty, so nothing would be measured", "write a group such as `cpu`"));
        }
        if self.max_cgroups == 0 || self.max_cgroups > MOST_CGROUPS {
            problems.push(Problem::new(
                "max-cgroups",
                format!("{} is not between 1 and {MOST_CGROUPS}", self.max_cgroups),
                "write how many cgroups this node may have, such as 5000",
            ));
        }
        if self.node.is_some() && !self.kubernetes {
            problems.push(Problem::new("node", "is given, but no pods are asked for", "remove it, or write `kubernetes: true`"));
        } else {
            problems.extend(check_node(Scope::Node, self.node.as_deref()));
        }
        problems.extend(check_sizes(PAGE_SIZE, self.max_page_bytes, self.max_object_bytes, POD_BYTES));
        problems
    }

    fn times(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.period.0 < SHORTEST_PERIOD {
            problems.push(Problem::new("period", format!("{} is too often", self.period), "write at least 100ms"));
        }
        if self.period.0 > LONGEST_PERIOD {
            problems.push(Problem::new("period", format!("{} is too rare", self.period), "write at most 10m"));
        }
        if self.wait.0 > LONGEST_WAIT {
            problems.push(Problem::new("wait", format!("{} is too long", self.wait), "write at most 10m"));
        }
        problems
    }
}
