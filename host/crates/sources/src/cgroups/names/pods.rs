//! Follows the pods of this node. The same following as that of the source `pods`, with an end of its own: what is heard goes to the names.

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::pod::Pod;
use sluicebox_contract::{Change, Closed, Event, Feed, Notice, ObjectKind, SubjectIds};
use tokio::sync::mpsc;

use super::runs::add_earlier;
use crate::Attributes;
use crate::cgroups::config::{Config, PAGE_SIZE, POD_BYTES, PODS};
use crate::kubernetes::Api;
use crate::pods::convert;
use crate::watch::{Bounds, Follow, Forms, Target, Typed, length, names};

/// What the API tells of the pods of this node.
#[derive(Debug)]
pub(in crate::cgroups) enum Heard {
    /// It is there, or has changed.
    Present(Arc<Pod>),
    /// It is not there any more.
    Deleted(Arc<Pod>),
    /// All that were there at the start have been told.
    Listed,
}

/// Where following puts what it hears. The queue is bounded: when the names do not keep up, the API waits.
pub(in crate::cgroups) struct Teller(pub(in crate::cgroups) mpsc::Sender<Heard>);

impl Feed for Teller {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        let heard = match notice {
            Notice::Event(Event::Pod(event)) | Notice::Tracked(Event::Pod(event), _) if event.change == Change::Deleted => {
                Heard::Deleted(event.pod)
            }
            Notice::Event(Event::Pod(event)) | Notice::Tracked(Event::Pod(event), _) => Heard::Present(event.pod),
            Notice::Listed => Heard::Listed,
            Notice::Event(_) | Notice::Tracked(..) | Notice::Defined(_) | Notice::Forgotten(_) => return Ok(()),
        };
        self.0.send(heard).await.map_err(|_| Closed)
    }
}

/// Follows the pods of this node; `meter` counts for them alone.
pub(in crate::cgroups) fn follow(config: &Config, api: Api, node: &str, meter: Arc<SourceMeter>) -> Follow {
    let (source, path) = names(ObjectKind::Pod);
    let node = config.node.as_deref().unwrap_or(node);
    Follow {
        api,
        target: Target {
            kind: ObjectKind::Pod,
            source,
            path,
            field_selector: Some(format!("spec.nodeName={node}")),
            first_from_cache: true,
            page_size: PAGE_SIZE,
            max_page_bytes: length(config.max_page_bytes),
            max_object_bytes: length(config.max_object_bytes),
        },
        bounds: Bounds { objects: PODS, bytes: length(POD_BYTES) },
        forms: Forms {
            typed: Some(|json| name_of(json).map(Typed::from)),
            json: false,
            keep_json: false,
            attributes: Attributes::default(),
        },
        refresh: None,
        // Subjects of their own, which nobody is told.
        ids: Arc::new(SubjectIds::default()),
        meter,
        remembered: None,
    }
}

/// A pod with what its names need; all else would be remembered for nothing.
fn name_of(json: &str) -> Result<Pod, String> {
    let mut pod = convert::pod(json)?;
    add_earlier(&mut pod, json);
    let keep = |(name, _): &(String, String)| name.starts_with("kubernetes.io/config.");
    pod.annotations.retain(keep);
    pod.annotations.shrink_to_fit();
    for container in &mut pod.containers {
        container.image = String::new();
        (container.ports, container.requests, container.limits) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(status) = &mut container.status {
            (status.image, status.image_id) = (String::new(), String::new());
        }
    }
    Ok(Pod {
        uid: pod.uid,
        namespace: pod.namespace,
        name: pod.name,
        annotations: pod.annotations,
        containers: pod.containers,
        ..Pod::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_but_names() {
        let json = include_str!("../../../fixtures/pods/everything.json");
        let pod = name_of(json).unwrap();
        assert!(pod.labels.is_empty() && pod.owners.is_empty());
        assert!(pod.annotations.iter().all(|(name, _)| name.starts_with("kubernetes.io/config.")), "{:?}", pod.annotations);
        assert!(pod.containers.iter().all(|container| container.image.is_empty() && !container.name.is_empty()));
        assert!(
            pod.containers.iter().any(|container| container.status.as_ref().is_some_and(|status| status.container_id.is_some()))
        );
        assert!(pod.weight() < convert::pod(json).unwrap().weight());
    }

    #[test]
    fn the_hash_of_a_static_pod_is_kept() {
        let json = r#"{"metadata":{"name":"p","uid":"u","annotations":{"a":"b","kubernetes.io/config.hash":"h"}}}"#;
        assert_eq!(name_of(json).unwrap().annotations, [("kubernetes.io/config.hash".to_owned(), "h".to_owned())]);
    }
}
