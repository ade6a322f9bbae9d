//! An object of any kind with its fields typed, and the event that tells of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Change, Event, Node, NodeEvent, Pod, PodEvent, Service, ServiceEvent, SubjectId, UnixNanos};

/// An object with its fields typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Typed {
    /// A pod.
    Pod(Arc<Pod>),
    /// A service.
    Service(Arc<Service>),
    /// A node.
    Node(Arc<Node>),
}

impl From<Pod> for Typed {
    fn from(pod: Pod) -> Self {
        Self::Pod(Arc::new(pod))
    }
}

impl From<Service> for Typed {
    fn from(service: Service) -> Self {
        Self::Service(Arc::new(service))
    }
}

impl From<Node> for Typed {
    fn from(node: Node) -> Self {
        Self::Node(Arc::new(node))
    }
}

impl Typed {
    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        match self {
            Self::Pod(pod) => pod.weight(),
            Self::Service(service) => service.weight(),
            Self::Node(node) => node.weight(),
        }
    }

    /// That it is so now, and was as `previous` before.
    #[must_use]
    pub fn event(self, previous: Option<Self>, subject: SubjectId, change: Change, observed_at: UnixNanos) -> Event {
        match self {
            Self::Pod(pod) => {
                let previous = previous.and_then(|previous| if let Self::Pod(pod) = previous { Some(pod) } else { None });
                Event::Pod(PodEvent { subject, change, observed_at, pod, previous })
            }
            Self::Service(service) => {
                let previous =
                    previous.and_then(|previous| if let Self::Service(service) = previous { Some(service) } else { None });
                Event::Service(ServiceEvent { subject, change, observed_at, service, previous })
            }
            Self::Node(node) => {
                let previous = previous.and_then(|previous| if let Self::Node(node) = previous { Some(node) } else { None });
                Event::Node(NodeEvent { subject, change, observed_at, node, previous })
            }
        }
    }
}
