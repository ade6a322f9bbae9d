//! Services and nodes on their way into the guest.

use bumpalo::Bump;
use sluicebox_contract::{Event, Node, Service, ServicePort};

use super::events::{change, pairs};
use crate::bindings::exports::sluicebox::module::{node_handler, service_handler};

/// The services among the events.
pub(crate) fn services<'a>(arena: &'a Bump, events: &'a [Event]) -> Vec<service_handler::ServiceEvent<'a>> {
    let services = events.iter().filter_map(|event| {
        let Event::Service(event) = event else { return None };
        Some(service_handler::ServiceEvent {
            subject: event.subject.0,
            change: change(event.change),
            observed_at_unix_nanos: event.observed_at.0,
            service: service(arena, &event.service),
            previous: event.previous.as_ref().map(|previous| service(arena, previous)),
        })
    });
    services.collect()
}

/// The nodes among the events.
pub(crate) fn nodes<'a>(arena: &'a Bump, events: &'a [Event]) -> Vec<node_handler::NodeEvent<'a>> {
    let nodes = events.iter().filter_map(|event| {
        let Event::Node(event) = event else { return None };
        Some(node_handler::NodeEvent {
            subject: event.subject.0,
            change: change(event.change),
            observed_at_unix_nanos: event.observed_at.0,
            node: node(arena, &event.node),
            previous: event.previous.as_ref().map(|previous| node(arena, previous)),
        })
    });
    nodes.collect()
}

fn service<'a>(arena: &'a Bump, service: &'a Service) -> service_handler::Service<'a> {
    service_handler::Service {
        uid: &service.uid,
        namespace: &service.namespace,
        name: &service.name,
        labels: pairs(arena, &service.labels),
        annotations: pairs(arena, &service.annotations),
        created_at: service.created_at.as_deref(),
        service_type: &service.service_type,
        cluster_ips: texts(arena, &service.cluster_ips),
        external_ips: texts(arena, &service.external_ips),
        external_name: service.external_name.as_deref(),
        ports: arena.alloc_slice_fill_iter(service.ports.iter().map(port)),
        selector: pairs(arena, &service.selector),
    }
}

fn port(port: &ServicePort) -> service_handler::ServicePort<'_> {
    service_handler::ServicePort {
        name: port.name.as_deref(),
        port: port.port,
        target_port: port.target_port.as_deref(),
        node_port: port.node_port,
        protocol: &port.protocol,
    }
}

fn node<'a>(arena: &'a Bump, node: &'a Node) -> node_handler::Node<'a> {
    node_handler::Node {
        uid: &node.uid,
        name: &node.name,
        labels: pairs(arena, &node.labels),
        annotations: pairs(arena, &node.annotations),
        created_at: node.created_at.as_deref(),
        addresses: pairs(arena, &node.addresses),
        pod_cidrs: texts(arena, &node.pod_cidrs),
        unschedulable: node.unschedulable,
        ready: node.ready,
        kernel_version: &node.kernel_version,
        os_image: &node.os_image,
        operating_system: &node.operating_system,
        architecture: &node.architecture,
        container_runtime_version: &node.container_runtime_version,
        kubelet_version: &node.kubelet_version,
        capacity: pairs(arena, &node.capacity),
        allocatable: pairs(arena, &node.allocatable),
    }
}

pub(super) fn texts<'a>(arena: &'a Bump, texts: &'a [String]) -> &'a [&'a str] {
    arena.alloc_slice_fill_iter(texts.iter().map(String::as_str))
}
