//! Makes a [`Pod`] out of the API's JSON. Pure.
//!
//! It reads just the fields that a [`Pod`] has, into structs of its own: a field that it does not know cannot make a pod unreadable,
//! and nothing is allocated for what nobody asks for, such as managed fields, probes, volumes and environment.

use sluicebox_contract::text::in_few_words;
use std::collections::BTreeMap;

use serde::Deserialize;
use sluicebox_contract::Pod;
use sluicebox_contract::pod::{
    Container, ContainerKind, ContainerPort, ContainerState, ContainerStatus, Owner, Phase, QosClass, Terminated,
};

use crate::raw::{Metadata, Quantity, first_and_others, given, or_default, quantities};

/// Reads a pod.
pub(crate) fn pod(json: &str) -> Result<Pod, String> {
    let raw: RawPod = serde_json::from_str(json).map_err(in_few_words)?;
    let RawPod { metadata, spec, status } = raw;
    Ok(Pod {
        uid: metadata.uid,
        namespace: metadata.namespace,
        name: metadata.name,
        labels: metadata.labels.into_iter().collect(),
        annotations: metadata.annotations.into_iter().collect(),
        owners: metadata.owner_references.into_iter().map(Owner::from).collect(),
        created_at: metadata.creation_timestamp,
        deletion_at: metadata.deletion_timestamp,
        node_name: given(spec.node_name),
        service_account: given(spec.service_account_name),
        host_network: spec.host_network,
        qos_class: status.qos_class.as_deref().and_then(qos_class),
        phase: given(status.phase).as_deref().map(phase),
        reason: given(status.reason),
        host_ip: given(status.host_ip),
        pod_ips: first_and_others(status.pod_ip, status.pod_ips.into_iter().filter_map(|address| address.ip)),
        start_time: status.start_time,
        containers: containers(spec.init_containers, ContainerKind::Init, &status.init_container_statuses)
            .chain(containers(spec.containers, ContainerKind::App, &status.container_statuses))
            .chain(containers(spec.ephemeral_containers, ContainerKind::Ephemeral, &status.ephemeral_container_statuses))
            .collect(),
    })
}

#[derive(Deserialize)]
struct RawPod {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: RawSpec,
    #[serde(default, deserialize_with = "or_default")]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    node_name: Option<String>,
    service_account_name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    host_network: bool,
    #[serde(deserialize_with = "or_default")]
    init_containers: Vec<RawContainer>,
    #[serde(deserialize_with = "or_default")]
    containers: Vec<RawContainer>,
    #[serde(deserialize_with = "or_default")]
    ephemeral_containers: Vec<RawContainer>,
}

#[derive(Deserialize)]
struct RawContainer {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    image: String,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<RawPort>,
    #[serde(default, deserialize_with = "or_default")]
    resources: RawResources,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: Option<String>,
    container_port: u16,
    host_port: Option<u16>,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawResources {
    #[serde(deserialize_with = "or_default")]
    requests: BTreeMap<String, Quantity>,
    #[serde(deserialize_with = "or_default")]
    limits: BTreeMap<String, Quantity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    qos_class: Option<String>,
    phase: Option<String>,
    reason: Option<String>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<RawAddress>,
    start_time: Option<String>,
    #[serde(deserialize_with = "or_default")]
    init_container_statuses: Vec<RawContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<RawContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    ephemeral_container_statuses: Vec<RawContainerStatus>,
}

#[derive(Deserialize)]
struct RawAddress {
    ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainerStatus {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    image: String,
    #[serde(rename = "imageID", default, deserialize_with = "or_default")]
    image_id: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    state: RawState,
    #[serde(default, deserialize_with = "or_default")]
    ready: bool,
    #[serde(default, deserialize_with = "or_default")]
    restart_count: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawState {
    waiting: Option<RawWaiting>,
    running: Option<RawRunning>,
    terminated: Option<RawTerminated>,
}

#[derive(Deserialize)]
struct RawWaiting {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRunning {
    started_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTerminated {
    #[serde(default, deserialize_with = "or_default")]
    exit_code: i32,
    reason: Option<String>,
    finished_at: Option<String>,
}

fn qos_class(text: &str) -> Option<QosClass> {
    match text {
        "Guaranteed" => Some(QosClass::Guaranteed),
        "Burstable" => Some(QosClass::Burstable),
        "BestEffort" => Some(QosClass::BestEffort),
        _ => None,
    }
}

fn phase(text: &str) -> Phase {
    match text {
        "Pending" => Phase::Pending,
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        _ => Phase::Unknown,
    }
}

fn containers(specs: Vec<RawContainer>, kind: ContainerKind, statuses: &[RawContainerStatus]) -> impl Iterator<Item = Container> {
    specs.into_iter().map(move |spec| {
        let status = statuses.iter().find(|status| status.name == spec.name).map(container_status);
        Container {
            name: spec.name,
            kind,
            image: spec.image,
            ports: spec.ports.into_iter().map(port).collect(),
            requests: quantities(spec.resources.requests),
            limits: quantities(spec.resources.limits),
            status,
        }
    })
}

fn port(raw: RawPort) -> ContainerPort {
    ContainerPort {
        name: given(raw.name),
        port: raw.container_port,
        host_port: raw.host_port.filter(|port| *port != 0),
        protocol: given(raw.protocol).unwrap_or_else(|| "TCP".to_owned()),
    }
}

fn container_status(raw: &RawContainerStatus) -> ContainerStatus {
    ContainerStatus {
        image: raw.image.clone(),
        image_id: raw.image_id.clone(),
        container_id: given(raw.container_id.clone()),
        state: container_state(&raw.state),
        ready: raw.ready,
        restart_count: raw.restart_count,
    }
}

/// None of the three stands for waiting, says the API.
fn container_state(raw: &RawState) -> ContainerState {
    match (&raw.running, &raw.terminated, &raw.waiting) {
        (Some(running), _, _) => ContainerState::Running(running.started_at.clone()),
        (None, Some(terminated), _) => ContainerState::Terminated(Terminated {
            exit_code: terminated.exit_code,
            reason: given(terminated.reason.clone()),
            finished_at: terminated.finished_at.clone(),
        }),
        (None, None, waiting) => ContainerState::Waiting(waiting.as_ref().and_then(|waiting| given(waiting.reason.clone()))),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
