//! The inventory of this node on its way into the guest.

use bumpalo::Bump;
use sluicebox_contract::pod::{ContainerKind, ContainerPort};
use sluicebox_contract::{Inventory, InventoryContainer, InventoryNode, InventoryPod, Workload};

use super::cluster::texts;
use super::events::pairs;
use crate::bindings::exports::sluicebox::module::inventory_handler as guest;

/// All of it.
pub(crate) fn inventory<'a>(arena: &'a Bump, inventory: &'a Inventory) -> guest::Inventory<'a> {
    guest::Inventory {
        observed_at_unix_nanos: inventory.observed_at.0,
        node: inventory.node.as_ref().map(|node| self::node(arena, node)),
        pods: arena.alloc_slice_fill_iter(inventory.pods.iter().map(|pod| self::pod(arena, pod))),
        more: inventory.more,
    }
}

fn node<'a>(arena: &'a Bump, node: &'a InventoryNode) -> guest::InventoryNode<'a> {
    guest::InventoryNode {
        subject: node.subject.0,
        uid: &node.uid,
        name: &node.name,
        addresses: pairs(arena, &node.addresses),
        kernel_version: &node.kernel_version,
        labels: pairs(arena, &node.labels),
        allocatable: pairs(arena, &node.allocatable),
        attributes: pairs(arena, &node.attributes),
    }
}

fn pod<'a>(arena: &'a Bump, pod: &'a InventoryPod) -> guest::InventoryPod<'a> {
    guest::InventoryPod {
        subject: pod.subject.0,
        uid: &pod.uid,
        namespace: &pod.namespace,
        name: &pod.name,
        pod_ips: texts(arena, &pod.pod_ips),
        host_network: pod.host_network,
        phase: pod.phase.as_deref(),
        owners: arena.alloc_slice_fill_iter(pod.owners.iter().map(workload)),
        containers: arena.alloc_slice_fill_iter(pod.containers.iter().map(|container| self::container(arena, container))),
        attributes: pairs(arena, &pod.attributes),
    }
}

fn workload(workload: &Workload) -> guest::Workload<'_> {
    guest::Workload { api_version: &workload.api_version, kind: &workload.kind, name: &workload.name, uid: &workload.uid }
}

fn container<'a>(arena: &'a Bump, container: &'a InventoryContainer) -> guest::InventoryContainer<'a> {
    guest::InventoryContainer {
        name: &container.name,
        kind: match container.kind {
            ContainerKind::Init => "init",
            ContainerKind::App => "app",
            ContainerKind::Ephemeral => "ephemeral",
        },
        id: container.id.as_deref(),
        image: &container.image,
        pids: &container.pids,
        ports: arena.alloc_slice_fill_iter(container.ports.iter().map(port)),
    }
}

fn port(port: &ContainerPort) -> guest::InventoryPort<'_> {
    guest::InventoryPort { name: port.name.as_deref(), port: port.port, host_port: port.host_port, protocol: &port.protocol }
}
