//! What turns events into entries: a module behind its limits.

use std::sync::Arc;

use crate::{Entry, Event, Fault, ObjectKind, Subject, SubjectId};

/// Which events a module wants to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each of them is there or not")]
pub struct Handlers {
    /// Subjects, as they are defined and forgotten.
    pub subjects: bool,
    /// Pods, typed.
    pub pods: bool,
    /// Services, typed.
    pub services: bool,
    /// Nodes, typed.
    pub nodes: bool,
    /// Kubernetes objects as the API's own JSON: namespaces, and pods, services and nodes unless these are taken typed.
    pub objects: bool,
    /// Samples of what is used.
    pub samples: bool,
    /// Who talks to whom.
    pub connections: bool,
    /// What runs on this node.
    pub inventory: bool,
    /// Time series.
    pub series: bool,
}

impl Handlers {
    /// Whether it takes objects of this kind typed.
    pub fn takes_typed(&self, kind: ObjectKind) -> bool {
        match kind {
            ObjectKind::Pod => self.pods,
            ObjectKind::Service => self.services,
            ObjectKind::Node => self.nodes,
            ObjectKind::Namespace => false,
        }
    }

    /// Whether it takes objects of this kind as JSON: each is given once, typed where that is wanted.
    pub fn takes_json(&self, kind: ObjectKind) -> bool {
        self.objects && !self.takes_typed(kind)
    }

    /// Whether it takes no events at all.
    pub fn is_empty(&self) -> bool {
        *self == Self { subjects: self.subjects, ..Self::default() }
    }
}

/// What a module asks its successor to remember: saved by one instance, restored in the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The version of its form, as the module numbers it; a successor that does not know it refuses.
    pub version: u32,
    /// Its content, in a form that only the module knows.
    pub data: Vec<u8>,
}

/// Shapes events into entries. Lives on a thread of its own, so its calls block; each of them ends within the shaper's own
/// deadline. Knows no sink. After a fault of class `Replace` only [`Shaper::renew`] may be called.
pub trait Shaper: Send + 'static {
    /// Which events it wants.
    fn handlers(&self) -> Handlers;

    /// These subjects exist from now on. Called before the first event that names one, and with all of them after `renew`.
    fn define(&mut self, subjects: &[Arc<Subject>]) -> Result<(), Fault>;

    /// No later event names these.
    fn forget(&mut self, subjects: &[SubjectId]) -> Result<(), Fault>;

    /// Shapes a batch, which is never empty. All events are of one variant of [`Event`]; what is about many subjects is a batch of its own.
    fn shape(&mut self, batch: &[Event]) -> Result<Vec<Entry>, Fault>;

    /// Puts a fresh instance, started with its settings and knowing no subject, in place of the present one. Also the way in
    /// which the first instance is made.
    fn renew(&mut self) -> Result<(), Fault>;

    /// What the instance wants its successor to remember; none when it keeps nothing. The instance is still to be used after it.
    fn save(&mut self) -> Result<Option<Saved>, Fault> {
        Ok(None)
    }

    /// Whether it takes what a predecessor has saved. One that does not is not given it.
    fn takes_state(&self) -> bool {
        true
    }

    /// Hands over what the predecessor has saved: after `renew` and `define`, before the first event. A fault of class `Skip` says
    /// that the module refuses it; the instance is then without it, and still to be used.
    fn restore(&mut self, saved: &Saved) -> Result<(), Fault> {
        let _ = saved;
        Ok(())
    }

    /// Bytes of memory that the instance holds; zero where that is not known, or without an instance.
    fn memory_bytes(&self) -> usize {
        0
    }
}
