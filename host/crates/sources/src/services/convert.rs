//! Makes a [`Service`] out of the API's JSON. Pure.

use sluicebox_contract::text::in_few_words;
use std::collections::BTreeMap;

use serde::Deserialize;
use sluicebox_contract::Service;
use sluicebox_contract::service::ServicePort;

use crate::raw::{Metadata, Quantity, first_and_others, given, or_default};

/// What stands for the address of a service that has none.
const HEADLESS: &str = "None";

/// Reads a service.
pub(crate) fn service(json: &str) -> Result<Service, String> {
    let RawService { metadata, spec, status } = serde_json::from_str(json).map_err(in_few_words)?;
    let mut cluster_ips = first_and_others(spec.cluster_ip, spec.cluster_ips);
    cluster_ips.retain(|address| address != HEADLESS);
    Ok(Service {
        uid: metadata.uid,
        namespace: metadata.namespace,
        name: metadata.name,
        labels: metadata.labels.into_iter().collect(),
        annotations: metadata.annotations.into_iter().collect(),
        created_at: metadata.creation_timestamp,
        service_type: given(spec.service_type).unwrap_or_else(|| "ClusterIP".to_owned()),
        cluster_ips,
        external_ips: first_and_others(None, spec.external_ips.into_iter().chain(balancers(status.load_balancer))),
        external_name: given(spec.external_name),
        ports: spec.ports.into_iter().map(port).collect(),
        selector: spec.selector.into_iter().collect(),
    })
}

#[derive(Deserialize)]
struct RawService {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: RawSpec,
    #[serde(default, deserialize_with = "or_default")]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    #[serde(rename = "type")]
    service_type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    external_ips: Vec<String>,
    external_name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawPort>,
    #[serde(deserialize_with = "or_default")]
    selector: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: Option<String>,
    port: u16,
    /// A number or a name.
    target_port: Option<Quantity>,
    node_port: Option<u16>,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    #[serde(deserialize_with = "or_default")]
    load_balancer: RawLoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancer {
    #[serde(deserialize_with = "or_default")]
    ingress: Vec<RawIngress>,
}

#[derive(Deserialize)]
struct RawIngress {
    ip: Option<String>,
    hostname: Option<String>,
}

/// Some clouds give an address, others a name, and some both.
fn balancers(balancer: RawLoadBalancer) -> impl Iterator<Item = String> {
    balancer.ingress.into_iter().flat_map(|ingress| [given(ingress.ip), given(ingress.hostname)]).flatten()
}

fn port(raw: RawPort) -> ServicePort {
    ServicePort {
        name: given(raw.name),
        port: raw.port,
        target_port: given(raw.target_port.map(Quantity::text)),
        node_port: raw.node_port.filter(|port| *port != 0),
        protocol: given(raw.protocol).unwrap_or_else(|| "TCP".to_owned()),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
