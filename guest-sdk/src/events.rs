//! Short ways to make what a native test hands to a module.

use crate::{Change, Pod, PodEvent};

impl PodEvent {
    /// A pod that has come: subject 1, time 0, nothing known before.
    pub fn added(pod: Pod) -> Self {
        Self { subject: 1, change: Change::Added, observed_at_unix_nanos: 0, pod, previous: None }
    }

    /// What comes next: the pod is `pod` now, and was what it is in this event.
    #[must_use]
    pub fn then(&self, change: Change, pod: Pod) -> Self {
        Self { change, pod, previous: Some(self.pod.clone()), ..self.clone() }
    }
}
