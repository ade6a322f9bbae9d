//! Makes a [`Node`] out of the API's JSON. Pure.

use sluicebox_contract::text::in_few_words;
use std::collections::BTreeMap;

use serde::Deserialize;
use sluicebox_contract::Node;

use crate::raw::{Metadata, Quantity, first_and_others, or_default, quantities};

/// Reads a node.
pub(crate) fn node(json: &str) -> Result<Node, String> {
    let RawNode { metadata, spec, status } = serde_json::from_str(json).map_err(in_few_words)?;
    let info = status.node_info;
    Ok(Node {
        uid: metadata.uid,
        name: metadata.name,
        labels: metadata.labels.into_iter().collect(),
        annotations: metadata.annotations.into_iter().collect(),
        created_at: metadata.creation_timestamp,
        addresses: status.addresses.into_iter().map(|address| (address.kind, address.address)).collect(),
        pod_cidrs: first_and_others(spec.pod_cidr, spec.pod_cidrs),
        unschedulable: spec.unschedulable,
        ready: status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True"),
        kernel_version: info.kernel_version,
        os_image: info.os_image,
        operating_system: info.operating_system,
        architecture: info.architecture,
        container_runtime_version: info.container_runtime_version,
        kubelet_version: info.kubelet_version,
        capacity: quantities(status.capacity),
        allocatable: quantities(status.allocatable),
    })
}

#[derive(Deserialize)]
struct RawNode {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: RawSpec,
    #[serde(default, deserialize_with = "or_default")]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pod_cidrs: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<RawAddress>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<RawCondition>,
    #[serde(deserialize_with = "or_default")]
    node_info: RawInfo,
    #[serde(deserialize_with = "or_default")]
    capacity: BTreeMap<String, Quantity>,
    #[serde(deserialize_with = "or_default")]
    allocatable: BTreeMap<String, Quantity>,
}

#[derive(Deserialize)]
struct RawAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Deserialize)]
struct RawCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawInfo {
    kernel_version: String,
    os_image: String,
    operating_system: String,
    architecture: String,
    container_runtime_version: String,
    kubelet_version: String,
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
