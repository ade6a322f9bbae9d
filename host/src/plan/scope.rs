//! What can feed a module that works for the whole cluster, on one collector of several.

use sluicebox_sources::Scope;

use super::{Check, list};
use crate::config::Sources;
use crate::config::yaml::step;

/// Those that tell of one node each.
const OF_A_NODE: [&str; 3] = ["inventory", "tracer", "cgroups"];

/// Whether a source can feed a module of this scope.
pub fn feeds(source: &str, scope: Scope, configured: &Sources) -> bool {
    let prometheus = configured.prometheus.as_ref().map(|prometheus| prometheus.scope);
    let scrape = configured.scrape.as_ref().map(|scrape| scrape.scope);
    match (scope, source) {
        (Scope::Node, _) => true,
        // They are had once for all modules, so their own scope decides.
        (Scope::Cluster, "prometheus") => prometheus != Some(Scope::Node),
        (Scope::Cluster, "scrape") => scrape != Some(Scope::Node),
        (Scope::Cluster, source) => !OF_A_NODE.contains(&source),
    }
}

impl Check<'_> {
    /// Keeps the sources that can feed a module that works for the cluster.
    pub(super) fn of_the_cluster(&mut self, path: &str, is_explicit: bool, from: &mut Vec<String>, configured: &Sources) {
        let others: Vec<String> = from.iter().filter(|name| !feeds(name, Scope::Cluster, configured)).cloned().collect();
        from.retain(|name| feeds(name, Scope::Cluster, configured));
        if others.is_empty() || !is_explicit && !from.is_empty() {
            return;
        }
        let text = format!("a module for the whole cluster cannot be fed by {}, which tells of one node", list(&others));
        let cure = "leave `scope` out: the module then works on every collector, each for its node; or name sources such as `pods` in `from`";
        self.problem(&step(path, "scope"), text, cure);
    }
}
