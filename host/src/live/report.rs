//! What went wrong with a change, told where people of a cluster look: as Kubernetes Events.

use std::sync::Arc;

use sluicebox_sources::kubernetes::events::{Events, Report, about};
use tracing::{debug, warn};

use crate::plan::Plan;
use crate::wire::Parts;

/// Whether Kubernetes Events are posted, as far as the plan says.
pub fn wanted(plan: &Plan) -> bool {
    plan.reload.kubernetes_events.unwrap_or_else(|| std::env::var_os("KUBERNETES_SERVICE_HOST").is_some())
}

/// Posts Kubernetes Events, or does not.
pub(super) struct Reporter {
    events: Option<Arc<Events>>,
}

impl Reporter {
    /// As the configuration says; without a word from it, where the program runs in a pod.
    pub(super) fn new(parts: &Parts) -> Self {
        let environment = |name: &str| std::env::var(name).ok();
        let api = parts.api.as_ref().filter(|_| wanted(&parts.plan));
        let events = api.map(|api| Arc::new(Events::new(api.clone(), about(&parts.node, environment))));
        Self { events }
    }

    /// The work of posting a warning; ends within its own deadline.
    pub(super) fn post(&self, reason: &'static str, message: String) -> Option<impl Future<Output = ()> + Send + 'static> {
        let events = Arc::clone(self.events.as_ref()?);
        Some(async move {
            match events.post(&Report { reason, message, warning: true }).await {
                Ok(()) => debug!(reason, "event posted"),
                Err(fault) => warn!(reason, %fault, "no Kubernetes Event tells of it"),
            }
        })
    }
}
