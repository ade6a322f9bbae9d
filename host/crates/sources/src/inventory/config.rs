//! What the user writes about the source `inventory`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};

use crate::scope::{Scope, check_node};
use crate::watch::check_sizes;
use crate::{Attributes, Problem};

const SHORTEST_PERIOD: Duration = Duration::from_secs(1);
const LONGEST_PERIOD: Duration = Duration::from_hours(1);
/// How many pods a page of a list holds at most.
pub(super) const PAGE_SIZE: u32 = 250;

/// What is told of this node, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// How often everything is told: from 1s to 1h. A change of a pod or of the node is told besides, a moment later, but not more than
    /// once in a second.
    pub period: TimeSpan,
    /// The node. Without it, the node that sluicebox runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where the host's processes are to be seen: `/proc` if sluicebox has the host's process ids (`hostPID: true` in a pod), else where the
    /// host's `/proc` is mounted. Where they cannot be seen, containers are told without processes.
    pub host_proc: PathBuf,
    /// Whether the API server is asked who controls the controllers of pods, such as the `Deployment` of a `ReplicaSet`. Needs the right to get
    /// each of these kinds. Without it, each pod is told with its own controller only.
    pub owners: bool,
    /// Fields that are told with the node and with each pod, and with their subjects.
    pub attributes: Of,
    /// How many bytes a page of the list of pods has at most. When one has more, smaller pages are asked for.
    pub max_page_bytes: ByteSize,
    /// How many bytes an event about a pod or the node has at most. A longer one is left out and counted.
    pub max_object_bytes: ByteSize,
    /// How many pods are remembered at most. What is beyond is left out and counted.
    pub max_cached_objects: usize,
    /// How many bytes they take at most, roughly.
    pub max_cached_bytes: ByteSize,
}

/// Fields of the node and of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Of {
    /// Of each pod: a name of one's own, and where the field stands in the API's JSON, as a JSON Pointer, such as `app:
    /// /metadata/labels/app`. At most 32; a value of more than 4 KiB is left out and counted.
    pub pods: Attributes,
    /// Of the node, likewise, such as `zone: /metadata/labels/topology.kubernetes.io~1zone`, where `~1` is a slash.
    pub node: Attributes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            period: TimeSpan(Duration::from_secs(10)),
            node: None,
            host_proc: PathBuf::from("/proc"),
            owners: true,
            attributes: Of::default(),
            max_page_bytes: ByteSize(32 << 20),
            max_object_bytes: ByteSize(4 << 20),
            max_cached_objects: 10_000,
            max_cached_bytes: ByteSize(32 << 20),
        }
    }
}

impl Config {
    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = check_node(Scope::Node, self.node.as_deref());
        if self.period.0 < SHORTEST_PERIOD {
            problems.push(Problem::new("period", format!("{} is too often", self.period), "write at least 1s"));
        }
        if self.period.0 > LONGEST_PERIOD {
            problems.push(Problem::new("period", format!("{} is too rare", self.period), "write at most 1h"));
        }
        if !self.host_proc.is_absolute() {
            problems.push(Problem::new(
                "host-proc",
                format!("`{}` is not absolute", self.host_proc.display()),
                "write `/proc`, or where the host's is mounted, such as `/host/proc`",
            ));
        }
        problems.extend(self.attributes.pods.problems("attributes.pods"));
        problems.extend(self.attributes.node.problems("attributes.node"));
        problems.extend(check_sizes(PAGE_SIZE, self.max_page_bytes, self.max_object_bytes, self.max_cached_bytes));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).unwrap();
        config.problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn mistakes_are_all_named() {
        assert_eq!(problems("{}"), [""; 0]);
        let many =
            r#"{"period": "1ms", "node": "A", "host-proc": "proc", "attributes": {"pods": {"a": "b"}, "node": {"B": "/c"}}}"#;
        assert_eq!(
            problems(many),
            [
                "node: `A` is no name of a node",
                "period: 1ms is too often",
                "host-proc: `proc` is not absolute",
                "attributes.pods.a: `b` does not begin with `/`",
                "attributes.node: `B` is no name of an attribute",
            ]
        );
        assert_eq!(problems(r#"{"period": "2h"}"#), ["period: 2h is too rare"]);
    }
}
