//! What sources observe, and what flows through the queues of the lanes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Pod, Subject, SubjectId, Tick, UnixNanos};

/// One thing that a source tells the lanes. Order matters and is kept.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A subject exists from here on; comes before the first event that names it.
    Defined(Arc<Subject>),
    /// A fact was observed.
    Event(Event),
    /// No later event names this subject.
    Forgotten(SubjectId),
    /// The source has told everything that was there when it began; comes once for each source and run.
    Listed,
}

/// A fact observed on this node or in the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A pod, with its fields typed.
    Pod(PodEvent),
    /// A Kubernetes object of any kind, as the API's own JSON.
    Object(ObjectEvent),
    /// What many subjects use, as numbers.
    Tick(Arc<Tick>),
}

impl Event {
    /// What the event is about; of a tick, what its first sample is about, none when it has none.
    pub fn subject(&self) -> Option<SubjectId> {
        match self {
            Self::Pod(event) => Some(event.subject),
            Self::Object(event) => Some(event.subject),
            Self::Tick(tick) => tick.first_subject(),
        }
    }

    /// The same event under another number: ids change from run to run. Of a tick, all samples are then about this one subject.
    #[must_use]
    pub fn about(mut self, subject: SubjectId) -> Self {
        match &mut self {
            Self::Pod(event) => event.subject = subject,
            Self::Object(event) => event.subject = subject,
            Self::Tick(tick) => Arc::make_mut(tick).samples.iter_mut().for_each(|sample| sample.subject = subject),
        }
        self
    }

    /// The event without what it says of other subjects; none when nothing is left of it.
    #[must_use]
    pub fn only(&self, keep: impl Fn(SubjectId) -> bool) -> Option<Self> {
        match self {
            Self::Tick(tick) if tick.samples.iter().all(|sample| keep(sample.subject)) => Some(self.clone()),
            Self::Tick(tick) => {
                Some(tick.only(keep)).filter(|tick| !tick.samples.is_empty()).map(|tick| Self::Tick(Arc::new(tick)))
            }
            Self::Pod(PodEvent { subject, .. }) | Self::Object(ObjectEvent { subject, .. }) => {
                keep(*subject).then(|| self.clone())
            }
        }
    }

    /// Two events that say of half of its subjects each what it says of all; none when it is about one at most.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let Self::Tick(tick) = self else { return None };
        tick.halves().map(|(left, right)| (Self::Tick(Arc::new(left)), Self::Tick(Arc::new(right))))
    }

    /// In how many events it can be divided by [`Event::halves`].
    pub fn parts(&self) -> usize {
        match self {
            Self::Tick(tick) => tick.by_subject().count().max(1),
            Self::Pod(_) | Self::Object(_) => 1,
        }
    }

    /// When the host observed it.
    pub fn observed_at(&self) -> UnixNanos {
        match self {
            Self::Pod(event) => event.observed_at,
            Self::Object(event) => event.observed_at,
            Self::Tick(tick) => tick.observed_at,
        }
    }

    /// Roughly how many bytes the event holds in memory; what the queues are bounded by.
    pub fn weight(&self) -> usize {
        match self {
            Self::Pod(event) => event.pod.weight(),
            Self::Object(event) => 256 + event.json.as_ref().map_or(0, |json| json.len()),
            Self::Tick(tick) => tick.weight(),
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
