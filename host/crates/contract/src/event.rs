//! What sources observe, and what flows through the queues of the lanes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ConnectionReport, Inventory, NodeEvent, Pod, Receipt, SeriesOrigin, SeriesReport, ServiceEvent, Subject, SubjectId, Tick,
    UnixNanos,
};

/// One thing that a source tells the lanes. Order matters and is kept.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A subject exists from here on; comes before the first event that names it, and again when its attributes have changed.
    Defined(Arc<Subject>),
    /// A fact was observed.
    Event(Event),
    /// A fact was observed, and its source wants to know that it was dealt with.
    Tracked(Event, Receipt),
    /// No later event names this subject.
    Forgotten(SubjectId),
    /// The source has told everything that was there when it began; comes once for each source and run.
    Listed,
}

impl Notice {
    /// The event that it is, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(event) | Self::Tracked(event, _) => Some(event),
            Self::Defined(_) | Self::Forgotten(_) | Self::Listed => None,
        }
    }
}

/// A fact observed on this node or in the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A pod, with its fields typed.
    Pod(PodEvent),
    /// A service, with its fields typed.
    Service(ServiceEvent),
    /// A node, with its fields typed.
    Node(NodeEvent),
    /// A Kubernetes object of any kind, as the API's own JSON.
    Object(ObjectEvent),
    /// What many subjects use, as numbers.
    Tick(Arc<Tick>),
    /// Who talks to whom.
    Connections(Arc<ConnectionReport>),
    /// What runs on this node.
    Inventory(Arc<Inventory>),
    /// Time series that a query found.
    Series(Arc<SeriesReport>),
}

impl Event {
    /// What it is called in logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pod(_) => "pod",
            Self::Service(_) => "service",
            Self::Node(_) => "node",
            Self::Object(_) => "object",
            Self::Tick(_) => "tick",
            Self::Connections(_) => "connections",
            Self::Inventory(_) => "inventory",
            Self::Series(_) => "series",
        }
    }

    /// Whether it is about many subjects at once: such an event is a batch of its own.
    pub fn is_about_many(&self) -> bool {
        match self {
            Self::Tick(_) | Self::Connections(_) | Self::Inventory(_) | Self::Series(_) => true,
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => false,
        }
    }

    /// Whether the next one of its kind tells more, so that one that is late had better be left out. What a query has found no other one
    /// finds again.
    pub fn is_superseded(&self) -> bool {
        match self {
            Self::Tick(_) | Self::Connections(_) | Self::Inventory(_) => true,
            Self::Series(report) => report.query.origin == SeriesOrigin::Scrape,
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => false,
        }
    }

    /// What the event is about; of one that is about many, what its first part is about, none where it has none.
    pub fn subject(&self) -> Option<SubjectId> {
        match self {
            Self::Pod(event) => Some(event.subject),
            Self::Service(event) => Some(event.subject),
            Self::Node(event) => Some(event.subject),
            Self::Object(event) => Some(event.subject),
            Self::Tick(tick) => tick.first_subject(),
            Self::Connections(report) => report.connections.first().and_then(|connection| connection.subjects().next()),
            Self::Inventory(inventory) => inventory.pods.first().map(|pod| pod.subject).or_else(|| inventory.subjects().next()),
            Self::Series(report) => report.subjects().next(),
        }
    }

    /// Whether it says something of a subject of which this holds.
    pub fn names(&self, mut is: impl FnMut(SubjectId) -> bool) -> bool {
        match self {
            Self::Tick(tick) => tick.by_subject().filter_map(<[_]>::first).any(|first| is(first.subject)),
            Self::Connections(report) => report.connections.iter().any(|connection| connection.subjects().any(&mut is)),
            Self::Inventory(inventory) => inventory.subjects().any(is),
            Self::Series(report) => report.subjects().any(is),
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => self.subject().is_some_and(is),
        }
    }

    /// The same event under another number: ids change from run to run. Of one that is about many, all of it is then about this one
    /// subject; of connections, only the sources are.
    #[must_use]
    pub fn about(mut self, subject: SubjectId) -> Self {
        match &mut self {
            Self::Pod(event) => event.subject = subject,
            Self::Service(event) => event.subject = subject,
            Self::Node(event) => event.subject = subject,
            Self::Object(event) => event.subject = subject,
            Self::Tick(tick) => Arc::make_mut(tick).samples.iter_mut().for_each(|sample| sample.subject = subject),
            Self::Connections(report) => {
                for connection in &mut Arc::make_mut(report).connections {
                    // Who is at the other end is not known any more.
                    connection.source.subject = connection.source.subject.map(|_| subject);
                    connection.destination.subject = None;
                }
            }
            Self::Inventory(inventory) => {
                let inventory = Arc::make_mut(inventory);
                inventory.node.iter_mut().for_each(|node| node.subject = subject);
                inventory.pods.iter_mut().for_each(|pod| pod.subject = subject);
            }
            Self::Series(report) => {
                let report = Arc::make_mut(report);
                report.samples.iter_mut().for_each(|sample| sample.subject = subject);
                report.histograms.iter_mut().for_each(|histogram| histogram.subject = subject);
            }
        }
        self
    }

    /// The event without what it says of other subjects; none when nothing is left of it.
    #[must_use]
    pub fn only(&self, keep: impl Fn(SubjectId) -> bool) -> Option<Self> {
        if !self.names(|subject| !keep(subject)) {
            return Some(self.clone());
        }
        match self {
            Self::Tick(tick) => {
                Some(tick.only(keep)).filter(|tick| !tick.samples.is_empty()).map(|tick| Self::Tick(Arc::new(tick)))
            }
            Self::Connections(report) => Some(report.only(keep))
                .filter(|report| !report.connections.is_empty())
                .map(|report| Self::Connections(Arc::new(report))),
            Self::Inventory(inventory) => Some(inventory.only(keep))
                .filter(|inventory| inventory.subjects().next().is_some())
                .map(|inventory| Self::Inventory(Arc::new(inventory))),
            Self::Series(report) => {
                Some(report.only(keep)).filter(|report| report.items() > 0).map(|report| Self::Series(Arc::new(report)))
            }
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => None,
        }
    }

    /// Two events that say of half of its subjects each what it says of all; none when it is about one at most.
    pub fn halves(&self) -> Option<(Self, Self)> {
        match self {
            Self::Tick(tick) => tick.halves().map(|(left, right)| (Self::Tick(Arc::new(left)), Self::Tick(Arc::new(right)))),
            Self::Connections(report) => {
                report.halves().map(|(left, right)| (Self::Connections(Arc::new(left)), Self::Connections(Arc::new(right))))
            }
            Self::Inventory(inventory) => {
                inventory.halves().map(|(left, right)| (Self::Inventory(Arc::new(left)), Self::Inventory(Arc::new(right))))
            }
            Self::Series(report) => {
                report.halves().map(|(left, right)| (Self::Series(Arc::new(left)), Self::Series(Arc::new(right))))
            }
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => None,
        }
    }

    /// In how many events it can be divided by [`Event::halves`].
    pub fn parts(&self) -> usize {
        match self {
            Self::Tick(tick) => tick.by_subject().count().max(1),
            Self::Connections(report) => report.connections.len().max(1),
            Self::Inventory(inventory) => inventory.pods.len().max(1),
            Self::Series(report) => report.subjects().count().max(1),
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => 1,
        }
    }

    /// How many things it says, such as samples or connections.
    pub fn items(&self) -> usize {
        match self {
            Self::Tick(tick) => tick.samples.len(),
            Self::Connections(report) => report.connections.len(),
            Self::Inventory(inventory) => inventory.pods.len(),
            Self::Series(report) => report.items(),
            Self::Pod(_) | Self::Service(_) | Self::Node(_) | Self::Object(_) => 1,
        }
    }

    /// When the host observed it.
    pub fn observed_at(&self) -> UnixNanos {
        match self {
            Self::Pod(event) => event.observed_at,
            Self::Service(event) => event.observed_at,
            Self::Node(event) => event.observed_at,
            Self::Object(event) => event.observed_at,
            Self::Tick(tick) => tick.observed_at,
            Self::Connections(report) => report.observed_at,
            Self::Inventory(inventory) => inventory.observed_at,
            Self::Series(report) => report.observed_at,
        }
    }

    /// Roughly how many bytes the event holds in memory; what the queues are bounded by.
    pub fn weight(&self) -> usize {
        match self {
            Self::Pod(event) => event.pod.weight(),
            Self::Service(event) => event.service.weight(),
            Self::Node(event) => event.node.weight(),
            Self::Object(event) => 256 + event.json.as_ref().map_or(0, |json| json.len()),
            Self::Tick(tick) => tick.weight(),
            Self::Connections(report) => report.weight(),
            Self::Inventory(inventory) => inventory.weight(),
            Self::Series(report) => report.weight(),
        }
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was there when the host began to watch.
    Listed,
    /// It has come.
    Added,
    /// It is there and has changed, or its source repeats it.
    Modified,
    /// It has gone.
    Deleted,
}

/// A change of a pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PodEvent {
    /// The pod's subject.
    pub subject: SubjectId,
    /// What happened.
    pub change: Change,
    /// When the host observed it; kept through queues and outages.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// The pod as it is now; its last known state when it has gone.
    pub pod: Arc<Pod>,
    /// The pod as it was in the event before; none in the first event about it.
    pub previous: Option<Arc<Pod>>,
}

/// Which kind of Kubernetes object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// `v1/Pod`
    Pod,
    /// `v1/Namespace`
    Namespace,
    /// `v1/Node`
    Node,
    /// `v1/Service`
    Service,
}

/// A change of a Kubernetes object, as the API's own JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectEvent {
    /// The object's subject.
    pub subject: SubjectId,
    /// The object's kind.
    pub kind: ObjectKind,
    /// What happened.
    pub change: Change,
    /// When the host observed it; kept through queues and outages.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// `metadata.namespace`; empty for what lives in no namespace.
    #[serde(default)]
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// The object on one line, unknown fields and key order kept. None when it has gone while the host was not watching: only its
    /// identity is known then.
    pub json: Option<Arc<str>>,
}
