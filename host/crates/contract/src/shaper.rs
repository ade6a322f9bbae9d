//! What turns events into entries: a module behind its limits.

use std::sync::Arc;

use crate::{Entry, Event, Fault, Subject, SubjectId};

/// Which events a module wants to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handlers {
    /// Subjects, as they are defined and forgotten.
    pub subjects: bool,
    /// Pods, typed.
    pub pods: bool,
    /// Kubernetes objects as the API's own JSON: namespaces, nodes, and pods unless `pods` is set, too.
    pub objects: bool,
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

    /// Shapes a batch. All events are of one variant of [`Event`], and never empty.
    fn shape(&mut self, batch: &[Event]) -> Result<Vec<Entry>, Fault>;

    /// Puts a fresh instance, started with its settings and knowing no subject, in place of the present one. Also the way in
    /// which the first instance is made.
    fn renew(&mut self) -> Result<(), Fault>;
}
