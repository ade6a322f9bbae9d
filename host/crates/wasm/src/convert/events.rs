//! Events and subjects on their way into the guest.

use std::sync::Arc;

use bumpalo::Bump;
use sluicebox_contract::pod::{self, Pod};
use sluicebox_contract::{self as contract, Event, ObjectEvent, PodEvent, Subject};

use crate::bindings::exports::sluicebox::module::{object_handler, pod_handler, subjects as guest};
use crate::bindings::sluicebox::module::types;

/// The pods among the events.
pub(crate) fn pods<'a>(arena: &'a Bump, events: &'a [Event]) -> Vec<pod_handler::PodEvent<'a>> {
    let pods = events.iter().filter_map(|event| if let Event::Pod(event) = event { Some(pod_event(arena, event)) } else { None });
    pods.collect()
}

/// The objects among the events.
pub(crate) fn objects(events: &[Event]) -> Vec<object_handler::ObjectEvent<'_>> {
    let objects =
        events.iter().filter_map(|event| if let Event::Object(event) = event { Some(object_event(event)) } else { None });
    objects.collect()
}

/// Subjects.
pub(crate) fn subjects<'a>(arena: &'a Bump, subjects: &'a [Arc<Subject>]) -> Vec<guest::Subject<'a>> {
    subjects.iter().map(|subject| self::subject(arena, subject)).collect()
}

fn subject<'a>(arena: &'a Bump, subject: &'a Subject) -> guest::Subject<'a> {
    guest::Subject {
        id: subject.id.0,
        kind: match subject.kind {
            contract::SubjectKind::Pod => guest::SubjectKind::Pod,
            contract::SubjectKind::Namespace => guest::SubjectKind::Namespace,
            contract::SubjectKind::Node => guest::SubjectKind::Node,
            contract::SubjectKind::Container => guest::SubjectKind::Container,
            contract::SubjectKind::Cgroup => guest::SubjectKind::Cgroup,
            contract::SubjectKind::Service => guest::SubjectKind::Service,
            contract::SubjectKind::Outside => guest::SubjectKind::Outside,
            contract::SubjectKind::Series => guest::SubjectKind::Series,
        },
        uid: &subject.uid,
        namespace: &subject.namespace,
        name: &subject.name,
        attributes: pairs(arena, &subject.attributes),
    }
}

fn pod_event<'a>(arena: &'a Bump, event: &'a PodEvent) -> pod_handler::PodEvent<'a> {
    pod_handler::PodEvent {
        subject: event.subject.0,
        change: change(event.change),
        observed_at_unix_nanos: event.observed_at.0,
        pod: pod(arena, &event.pod),
        previous: event.previous.as_ref().map(|previous| pod(arena, previous)),
    }
}

fn object_event(event: &ObjectEvent) -> object_handler::ObjectEvent<'_> {
    object_handler::ObjectEvent {
        subject: event.subject.0,
        kind: match event.kind {
            contract::ObjectKind::Pod => object_handler::ObjectKind::Pod,
            contract::ObjectKind::Namespace => object_handler::ObjectKind::Namespace,
            contract::ObjectKind::Node => object_handler::ObjectKind::Node,
            contract::ObjectKind::Service => object_handler::ObjectKind::Service,
        },
        change: change(event.change),
        observed_at_unix_nanos: event.observed_at.0,
        uid: &event.uid,
        namespace: &event.namespace,
        name: &event.name,
        json: event.json.as_deref(),
    }
}

pub(super) fn change(change: contract::Change) -> types::Change {
    match change {
        contract::Change::Listed => types::Change::Listed,
        contract::Change::Added => types::Change::Added,
        contract::Change::Modified => types::Change::Modified,
        contract::Change::Deleted => types::Change::Deleted,
    }
}

fn pod<'a>(arena: &'a Bump, pod: &'a Pod) -> pod_handler::Pod<'a> {
    pod_handler::Pod {
        uid: &pod.uid,
        namespace: &pod.namespace,
        name: &pod.name,
        labels: pairs(arena, &pod.labels),
        annotations: pairs(arena, &pod.annotations),
        owners: arena.alloc_slice_fill_iter(pod.owners.iter().map(owner)),
        created_at: pod.created_at.as_deref(),
        deletion_at: pod.deletion_at.as_deref(),
        node_name: pod.node_name.as_deref(),
        service_account: pod.service_account.as_deref(),
        host_network: pod.host_network,
        qos_class: pod.qos_class.map(qos_class),
        phase: pod.phase.map(phase),
        reason: pod.reason.as_deref(),
        host_ip: pod.host_ip.as_deref(),
        pod_ips: arena.alloc_slice_fill_iter(pod.pod_ips.iter().map(String::as_str)),
        start_time: pod.start_time.as_deref(),
        containers: arena.alloc_slice_fill_iter(pod.containers.iter().map(|container| self::container(arena, container))),
    }
}

/// The border takes pairs by reference.
pub(super) fn pairs<'a>(arena: &'a Bump, pairs: &'a [(String, String)]) -> &'a [&'a (String, String)] {
    arena.alloc_slice_fill_iter(pairs.iter())
}

fn owner(owner: &pod::Owner) -> pod_handler::Owner<'_> {
    pod_handler::Owner { kind: &owner.kind, name: &owner.name, uid: &owner.uid, controller: owner.controller }
}

fn qos_class(class: pod::QosClass) -> pod_handler::QosClass {
    match class {
        pod::QosClass::Guaranteed => pod_handler::QosClass::Guaranteed,
        pod::QosClass::Burstable => pod_handler::QosClass::Burstable,
        pod::QosClass::BestEffort => pod_handler::QosClass::BestEffort,
    }
}

fn phase(phase: pod::Phase) -> pod_handler::Phase {
    match phase {
        pod::Phase::Pending => pod_handler::Phase::Pending,
        pod::Phase::Running => pod_handler::Phase::Running,
        pod::Phase::Succeeded => pod_handler::Phase::Succeeded,
        pod::Phase::Failed => pod_handler::Phase::Failed,
        pod::Phase::Unknown => pod_handler::Phase::Unknown,
    }
}

fn container<'a>(arena: &'a Bump, container: &'a pod::Container) -> pod_handler::Container<'a> {
    pod_handler::Container {
        name: &container.name,
        kind: match container.kind {
            pod::ContainerKind::Init => pod_handler::ContainerKind::Init,
            pod::ContainerKind::App => pod_handler::ContainerKind::App,
            pod::ContainerKind::Ephemeral => pod_handler::ContainerKind::Ephemeral,
        },
        image: &container.image,
        ports: arena.alloc_slice_fill_iter(container.ports.iter().map(port)),
        requests: pairs(arena, &container.requests),
        limits: pairs(arena, &container.limits),
        status: container.status.as_ref().map(status),
    }
}

fn port(port: &pod::ContainerPort) -> pod_handler::ContainerPort<'_> {
    pod_handler::ContainerPort {
        name: port.name.as_deref(),
        port: port.port,
        host_port: port.host_port,
        protocol: &port.protocol,
    }
}

fn status(status: &pod::ContainerStatus) -> pod_handler::ContainerStatus<'_> {
    pod_handler::ContainerStatus {
        image: &status.image,
        image_id: &status.image_id,
        container_id: status.container_id.as_deref(),
        state: match &status.state {
            pod::ContainerState::Waiting(reason) => pod_handler::ContainerState::Waiting(reason.as_deref()),
            pod::ContainerState::Running(since) => pod_handler::ContainerState::Running(since.as_deref()),
            pod::ContainerState::Terminated(terminated) => pod_handler::ContainerState::Terminated(pod_handler::Terminated {
                exit_code: terminated.exit_code,
                reason: terminated.reason.as_deref(),
                finished_at: terminated.finished_at.as_deref(),
            }),
        },
        ready: status.ready,
        restart_count: status.restart_count,
    }
}
