//! Which addresses an object has for itself. Pure.

use std::net::IpAddr;

use sluicebox_sdk::{InventoryPod, Node, Phase, Pod, Service};

/// None for a pod that shares its node's, and for one that has ended: its address may be somebody else's by now.
pub(crate) fn of_pod(pod: &Pod) -> Vec<IpAddr> {
    let ended = matches!(pod.phase, Some(Phase::Succeeded | Phase::Failed));
    if pod.host_network || ended { Vec::new() } else { parsed(&pod.pod_ips) }
}

/// The same of an inventory.
pub(crate) fn of_listed_pod(pod: &InventoryPod) -> Vec<IpAddr> {
    let ended = matches!(pod.phase.as_deref(), Some("Succeeded" | "Failed"));
    if pod.host_network || ended { Vec::new() } else { parsed(&pod.pod_ips) }
}

/// None for a headless service, and for one that stands for a name.
pub(crate) fn of_service(service: &Service) -> Vec<IpAddr> {
    let has_its_own = service.service_type != "ExternalName" && !service.ports.is_empty();
    if has_its_own { parsed(&service.cluster_ips) } else { Vec::new() }
}

/// The first internal one.
pub(crate) fn of_node(addresses: &[(String, String)]) -> Vec<IpAddr> {
    let internal = addresses.iter().find(|(kind, _)| kind == "InternalIP");
    internal.and_then(|(_, address)| address.parse().ok()).into_iter().collect()
}

/// The same of the API's node.
pub(crate) fn of_whole_node(node: &Node) -> Vec<IpAddr> {
    of_node(&node.addresses)
}

/// The name of the document about an address: `_` in place of the colons, which a `ConfigMap` does not take.
pub(crate) fn name(address: IpAddr) -> String {
    address.to_string().replace(':', "_")
}

// `None`, which a headless service has, is no address.
fn parsed(addresses: &[String]) -> Vec<IpAddr> {
    addresses.iter().filter_map(|address| address.parse().ok()).collect()
}
