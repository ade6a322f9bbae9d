//! Follows the node and its pods, with what an inventory needs of them.

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::pod::{Container, ContainerState, ContainerStatus};
use sluicebox_contract::{Change, Closed, Event, Fault, Feed, Node, Notice, ObjectKind, Pod, Subject, SubjectId, SubjectIds};
use tokio::sync::mpsc;

use super::config::{Config, PAGE_SIZE};
use crate::kubernetes::Api;
use crate::watch::{Bounds, Follow, Forms, Mirror, Target, Typed, length, names};
use crate::{Attributes, nodes, pods};

/// What is heard and waits for being understood.
const HEARD: usize = 64;

/// What the API tells of the node and its pods.
#[derive(Debug)]
pub(super) enum Heard {
    /// It exists, or has other attributes.
    Defined(Arc<Subject>),
    /// As it is now. Whether that is new to an inventory.
    Pod(SubjectId, Arc<Pod>, bool),
    /// Likewise.
    Node(SubjectId, Arc<Node>, bool),
    /// It does not exist any more.
    Forgotten(SubjectId),
    /// All that were there at the start have been told.
    Listed(ObjectKind),
}

/// The two watches.
pub(super) struct Watches {
    pods: (Follow, Teller),
    node: (Follow, Teller),
}

impl Watches {
    /// Watches as `config` says, and where what is heard can be taken; what they count is shown at `meter`.
    pub(super) fn new(
        config: &Config,
        api: &Api,
        node: &str,
        ids: &Arc<SubjectIds>,
        meter: Arc<SourceMeter>,
    ) -> (Self, mpsc::Receiver<Heard>, Mirror) {
        let (to, heard) = mpsc::channel(HEARD);
        let meters = [Arc::<SourceMeter>::default(), Arc::default()];
        let watch = |kind, typed, attributes: &Attributes, selector, meter: &Arc<SourceMeter>| {
            let (source, path) = names(kind);
            let target = Target {
                kind,
                source,
                path,
                field_selector: Some(selector),
                first_from_cache: true,
                page_size: PAGE_SIZE,
                max_page_bytes: length(config.max_page_bytes),
                max_object_bytes: length(config.max_object_bytes),
            };
            let follow = Follow {
                api: api.clone(),
                target,
                bounds: Bounds { objects: config.max_cached_objects, bytes: length(config.max_cached_bytes) },
                forms: Forms { typed: Some(typed), json: false, keep_json: false, attributes: attributes.clone() },
                refresh: None,
                ids: Arc::clone(ids),
                meter: Arc::clone(meter),
                remembered: None,
            };
            (follow, Teller { kind, to: to.clone() })
        };
        let [of_pods, of_node] = &meters;
        let watches = Self {
            pods: watch(ObjectKind::Pod, pod, &config.attributes.pods, format!("spec.nodeName={node}"), of_pods),
            node: watch(ObjectKind::Node, self::node, &config.attributes.node, format!("metadata.name={node}"), of_node),
        };
        (watches, heard, Mirror::new(meters.to_vec(), meter))
    }

    /// Follows both, without end.
    pub(super) async fn run(self) -> Result<(), Fault> {
        let Self { pods: (pods, of_pods), node: (node, of_node) } = self;
        tokio::select! {
            ended = pods.run(of_pods, std::future::pending()) => ended,
            ended = node.run(of_node, std::future::pending()) => ended,
        }
    }
}

/// Where following puts what it hears. The queue is bounded: when nobody takes it out, the API waits.
struct Teller {
    kind: ObjectKind,
    to: mpsc::Sender<Heard>,
}

impl Feed for Teller {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        let heard = match notice {
            Notice::Defined(subject) => Heard::Defined(subject),
            Notice::Forgotten(subject) => Heard::Forgotten(subject),
            Notice::Listed => Heard::Listed(self.kind),
            Notice::Event(Event::Pod(event)) | Notice::Tracked(Event::Pod(event), _) if event.change != Change::Deleted => {
                let is_new = event.previous.as_ref() != Some(&event.pod);
                Heard::Pod(event.subject, event.pod, is_new)
            }
            Notice::Event(Event::Node(event)) | Notice::Tracked(Event::Node(event), _) if event.change != Change::Deleted => {
                let is_new = event.previous.as_ref() != Some(&event.node);
                Heard::Node(event.subject, event.node, is_new)
            }
            // What has gone is forgotten next.
            Notice::Event(_) | Notice::Tracked(..) => return Ok(()),
        };
        self.to.send(heard).await.map_err(|_| Closed)
    }
}

/// A pod with what an inventory says of it; all else would be remembered for nothing, and its changes told for nothing.
fn pod(json: &str) -> Result<Typed, String> {
    let pod = pods::convert::pod(json)?;
    let owners = pod.owners.into_iter().filter(|owner| owner.controller).collect();
    Ok(Typed::from(Pod {
        uid: pod.uid,
        namespace: pod.namespace,
        name: pod.name,
        owners,
        host_network: pod.host_network,
        phase: pod.phase,
        pod_ips: pod.pod_ips,
        containers: pod.containers.into_iter().map(container).collect(),
        ..Pod::default()
    }))
}

fn container(container: Container) -> Container {
    let status = container.status.and_then(|status| status.container_id).map(|id| ContainerStatus {
        image: String::new(),
        image_id: String::new(),
        container_id: Some(id),
        state: ContainerState::Waiting(None),
        ready: false,
        restart_count: 0,
    });
    Container { requests: Vec::new(), limits: Vec::new(), status, ..container }
}

/// Likewise.
fn node(json: &str) -> Result<Typed, String> {
    let node = nodes::convert::node(json)?;
    Ok(Typed::from(Node {
        uid: node.uid,
        name: node.name,
        labels: node.labels,
        addresses: node.addresses,
        kernel_version: node.kernel_version,
        allocatable: node.allocatable,
        ..Node::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_inventory_does_not_say_is_no_news() {
        let json = include_str!("../../fixtures/pods/everything.json");
        let (Ok(Typed::Pod(before)), Ok(Typed::Pod(after))) =
            (pod(json), pod(&json.replace("\"restartCount\": ", "\"restartCount\": 1")))
        else {
            panic!("two pods")
        };
        assert_eq!(before, after);
        assert!(before.labels.is_empty() && before.annotations.is_empty());
        assert!(before.containers.iter().any(|container| !container.ports.is_empty()));
    }
}
