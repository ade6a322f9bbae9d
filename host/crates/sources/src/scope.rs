//! Whether a source watches what belongs to one node or what is in the cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::kubernetes::is_object_name;

/// One node or the whole cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// What belongs to one node: for a collector that runs on every node.
    #[default]
    Node,
    /// What is in the cluster: told by one collector, which the `lease` chooses where there are several.
    Cluster,
}

/// What is wrong with the choice of a node.
pub(crate) fn check_node(scope: Scope, node: Option<&str>) -> Vec<Problem> {
    let problem = |cause: String, cure: &str| vec![Problem::new("node", cause, cure)];
    match (scope, node) {
        (Scope::Cluster, Some(_)) => {
            problem("is given, but the scope is the cluster".to_owned(), "remove it, or write `scope: node`")
        }
        (Scope::Node, Some(node)) if !is_object_name(node) => {
            problem(format!("`{node}` is no name of a node"), "write the name as `kubectl get nodes` shows it")
        }
        _ => Vec::new(),
    }
}
