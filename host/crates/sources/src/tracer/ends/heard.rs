//! What the API server tells of pods, services and nodes, as far as it is needed to know whose an end is.

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::pod::{Container, ContainerKind};
use sluicebox_contract::{
    Change, Closed, Event, Feed, Node, Notice, ObjectEvent, ObjectKind, Pod, Service, SubjectId, UnixNanos,
};
use tokio::sync::mpsc;

use crate::{Attributes, nodes, pods, services};

/// Names and values.
pub(in crate::tracer) type Pairs = Vec<(String, String)>;

/// What was heard.
#[derive(Clone, Debug)]
pub(in crate::tracer) enum Heard {
    /// It is there, or has changed; with what the configuration names of it.
    Pod { pod: Arc<Pod>, attributes: Pairs, at: UnixNanos },
    /// It is not there any more.
    PodGone { uid: Arc<str>, at: UnixNanos },
    /// As of pods.
    Service { service: Arc<Service>, attributes: Pairs },
    /// As of pods.
    ServiceGone { uid: Arc<str> },
    /// As of pods.
    Node { node: Arc<Node>, attributes: Pairs },
    /// As of pods.
    NodeGone { name: Arc<str> },
    /// There was no room for one that is there, or it cannot be read: not all are known.
    NoRoom,
    /// All of a kind that were there at the start have been told.
    Listed(ObjectKind),
}

/// Where following puts what it hears. The queue is bounded: when nobody takes it out, the API waits.
pub(in crate::tracer) struct Teller {
    kind: ObjectKind,
    /// The node whose containers are wanted.
    node: Arc<str>,
    attributes: Attributes,
    to: mpsc::Sender<Heard>,
    meter: Arc<SourceMeter>,
    /// What was told last. When its subject is forgotten at once, there was no room for it.
    last: Option<(SubjectId, Heard)>,
    has_warned: bool,
}

impl Teller {
    /// For what is heard of this kind; `meter` counts what cannot be read.
    pub(in crate::tracer) fn new(
        kind: ObjectKind,
        node: &str,
        attributes: Attributes,
        to: mpsc::Sender<Heard>,
        meter: Arc<SourceMeter>,
    ) -> Self {
        Self { kind, node: node.into(), attributes, to, meter, last: None, has_warned: false }
    }

    fn warn_once(&mut self) {
        if !std::mem::replace(&mut self.has_warned, true) {
            let hint = "raise `max-cached-objects` or `max-cached-bytes` of the tracer, and start anew";
            tracing::warn!(
                source = "tracer",
                kind = ?self.kind,
                hint,
                "not all of the cluster is known: no end is told to lie outside of it from now on"
            );
        }
    }

    fn heard(&mut self, event: &ObjectEvent) -> Option<Heard> {
        let gone = match event.kind {
            ObjectKind::Pod => Heard::PodGone { uid: Arc::clone(&event.uid), at: event.observed_at },
            ObjectKind::Service => Heard::ServiceGone { uid: Arc::clone(&event.uid) },
            ObjectKind::Node => Heard::NodeGone { name: Arc::clone(&event.name) },
            ObjectKind::Namespace => return None,
        };
        if event.change == Change::Deleted {
            return Some(gone);
        }
        let json = event.json.as_deref()?;
        let mut refused = Vec::new();
        let attributes = self.attributes.read(json, &mut refused);
        self.meter.skipped.add(refused.len() as u64);
        let at = event.observed_at;
        let read = match event.kind {
            ObjectKind::Pod => pod(json, &self.node).map(|pod| Heard::Pod { pod: Arc::new(pod), attributes, at }),
            ObjectKind::Service => service(json).map(|service| Heard::Service { service: Arc::new(service), attributes }),
            ObjectKind::Node => node(json).map(|node| Heard::Node { node: Arc::new(node), attributes }),
            ObjectKind::Namespace => return None,
        };
        self.last = Some((event.subject, gone));
        Some(read.unwrap_or_else(|_| {
            self.meter.skipped.increment();
            Heard::NoRoom
        }))
    }
}

impl Feed for Teller {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        let last = self.last.take();
        let heard = match notice {
            Notice::Event(Event::Object(event)) | Notice::Tracked(Event::Object(event), _) => self.heard(&event),
            Notice::Listed => Some(Heard::Listed(self.kind)),
            Notice::Forgotten(id) => {
                let gone = last.filter(|(subject, _)| *subject == id).map(|(_, gone)| gone);
                if gone.is_some() {
                    self.warn_once();
                    self.to.send(Heard::NoRoom).await.map_err(|_| Closed)?;
                }
                gone
            }
            Notice::Event(_) | Notice::Tracked(..) | Notice::Defined(_) => None,
        };
        match heard {
            Some(heard) => self.to.send(heard).await.map_err(|_| Closed),
            None => Ok(()),
        }
    }
}

/// A pod with what its ends need; all else would be remembered for nothing. Processes are seen on one node only, so of a pod elsewhere
/// only the first container has a name.
fn pod(json: &str, node: &str) -> Result<Pod, String> {
    let mut pod = pods::convert::pod(json)?;
    pod.annotations.retain(|(name, _)| name.starts_with("kubernetes.io/config."));
    pod.annotations.shrink_to_fit();
    pod.owners.retain(|owner| owner.controller);
    pod.owners.shrink_to_fit();
    let is_here = pod.node_name.as_deref() == Some(node);
    if !is_here {
        let first = pod.containers.iter().position(|container| container.kind == ContainerKind::App);
        pod.containers = first.map(|first| pod.containers.swap_remove(first)).into_iter().collect();
    }
    pod.containers.iter_mut().for_each(|container| strip(container, is_here));
    Ok(Pod {
        uid: pod.uid,
        namespace: pod.namespace,
        name: pod.name,
        annotations: pod.annotations,
        owners: pod.owners,
        deletion_at: pod.deletion_at,
        node_name: pod.node_name,
        host_network: pod.host_network,
        phase: pod.phase,
        pod_ips: pod.pod_ips,
        start_time: pod.start_time,
        containers: pod.containers,
        ..Pod::default()
    })
}

fn strip(container: &mut Container, is_here: bool) {
    (container.ports, container.requests, container.limits) = (Vec::new(), Vec::new(), Vec::new());
    match &mut container.status {
        Some(status) if is_here => (status.image, status.image_id) = (String::new(), String::new()),
        status => *status = None,
    }
}

/// Likewise.
fn service(json: &str) -> Result<Service, String> {
    let service = services::convert::service(json)?;
    let (labels, annotations, selector) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Service { labels, annotations, selector, ..service })
}

/// Likewise.
fn node(json: &str) -> Result<Node, String> {
    let node = nodes::convert::node(json)?;
    Ok(Node {
        uid: node.uid,
        name: node.name,
        addresses: node.addresses,
        kernel_version: node.kernel_version,
        pod_cidrs: node.pod_cidrs,
        ..Node::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata":{"name":"p","namespace":"n","uid":"u","labels":{"a":"b"},"annotations":{"x":"y","kubernetes.io/config.hash":"h"},
        "ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"o","uid":"1"},{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"2","controller":true}]},
        "spec":{"nodeName":"here","initContainers":[{"name":"i","image":"init"}],"containers":[{"name":"a","image":"app"},{"name":"b","image":"side"}]},
        "status":{"phase":"Running","podIP":"10.0.0.1","startTime":"2021-08-17T18:29:58Z",
        "containerStatuses":[{"name":"a","image":"x","imageID":"y","containerID":"containerd://1","state":{"running":{}},"ready":true,"restartCount":0}]}}"#;

    #[test]
    fn of_a_pod_here_the_containers_are_known() {
        let pod = pod(POD, "here").unwrap();
        let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["i", "a", "b"]);
        assert_eq!(pod.containers[1].status.as_ref().unwrap().container_id.as_deref(), Some("containerd://1"));
        assert!(pod.labels.is_empty());
        assert_eq!(pod.annotations, [("kubernetes.io/config.hash".to_owned(), "h".to_owned())]);
        assert_eq!(pod.owners.iter().map(|owner| owner.name.as_str()).collect::<Vec<_>>(), ["rs"]);
    }

    #[test]
    fn of_a_node_its_addresses_and_the_ranges_of_its_pods_are_known() {
        let json = r#"{"metadata":{"name":"n","uid":"u","labels":{"a":"b"}},"spec":{"podCIDR":"10.42.3.0/24","podCIDRs":["10.42.3.0/24"]},
            "status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}],"nodeInfo":{"kernelVersion":"6.1"}}}"#;
        let node = node(json).unwrap();
        assert_eq!((node.pod_cidrs.as_slice(), node.addresses.len()), (["10.42.3.0/24".to_owned()].as_slice(), 1));
        assert!(node.labels.is_empty());
    }

    #[test]
    fn of_a_pod_elsewhere_the_image_is_known() {
        let pod = pod(POD, "there").unwrap();
        assert_eq!(pod.containers.iter().map(|container| container.image.as_str()).collect::<Vec<_>>(), ["app"]);
        assert_eq!(pod.containers[0].status, None);
    }
}
