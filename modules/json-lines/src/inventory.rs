//! A line for the node and for each pod of an inventory.

use serde_json::{Map, Value, json};
use sluicebox_sdk::{Inventory, InventoryContainer, InventoryNode, InventoryPod, InventoryPort, Packed, Pair, Rfc3339, Workload};

use crate::Fields;

/// Appends the lines of an inventory.
pub(crate) fn write(inventory: &Inventory, fields: Fields, lines: &mut Packed) {
    let time = Rfc3339(inventory.observed_at_unix_nanos).to_string();
    if let Some(node) = &inventory.node {
        let line = node_line(&time, node, fields).to_string();
        lines.push(&node.uid, |lines| lines.push_str(&line));
    }
    for pod in &inventory.pods {
        let line = pod_line(&time, pod, fields).to_string();
        lines.push(&pod.uid, |lines| lines.push_str(&line));
    }
}

fn node_line(time: &str, node: &InventoryNode, fields: Fields) -> Value {
    let mut line = json!({
        "time": time, "kind": "inventory", "subject": "node", "name": node.name,
        "addresses": node.addresses, "kernel-version": node.kernel_version, "attributes": object(&node.attributes),
    });
    if let (Fields::Full, Value::Object(line)) = (fields, &mut line) {
        line.insert("uid".to_owned(), node.uid.as_str().into());
        line.insert("labels".to_owned(), object(&node.labels));
        line.insert("allocatable".to_owned(), object(&node.allocatable));
    }
    line
}

fn pod_line(time: &str, pod: &InventoryPod, fields: Fields) -> Value {
    let mut line = json!({
        "time": time, "kind": "inventory", "subject": "pod", "namespace": pod.namespace, "name": pod.name,
        "ips": pod.pod_ips, "phase": pod.phase,
        "owners": pod.owners.iter().map(owner).collect::<Vec<_>>(),
        "containers": pod.containers.iter().map(|container| self::container(container, fields)).collect::<Vec<_>>(),
        "attributes": object(&pod.attributes),
    });
    if let (Fields::Full, Value::Object(line)) = (fields, &mut line) {
        line.insert("uid".to_owned(), pod.uid.as_str().into());
        line.insert("host-network".to_owned(), pod.host_network.into());
    }
    line
}

fn owner(owner: &Workload) -> String {
    format!("{}/{}", owner.kind, owner.name)
}

fn container(container: &InventoryContainer, fields: Fields) -> Value {
    let mut written = json!({
        "name": container.name, "image": container.image, "pids": container.pids,
        "ports": container.ports.iter().map(port).collect::<Vec<_>>(),
    });
    if let (Fields::Full, Value::Object(written)) = (fields, &mut written) {
        written.insert("kind".to_owned(), container.kind.as_str().into());
        written.insert("id".to_owned(), json!(container.id));
    }
    written
}

fn port(port: &InventoryPort) -> String {
    format!("{}/{}", port.port, port.protocol)
}

fn object(pairs: &[Pair]) -> Value {
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect::<Map<_, _>>())
}
