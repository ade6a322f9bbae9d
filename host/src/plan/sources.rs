//! What is wrong with the sources by themselves.

use super::Check;
use crate::config::Sources;

impl Check<'_> {
    pub(super) fn sources(&mut self, sources: &Sources) {
        let problems = [
            ("pods", sources.pods.as_ref().map(sluicebox_sources::pods::Config::problems)),
            ("services", sources.services.as_ref().map(sluicebox_sources::services::Config::problems)),
            ("namespaces", sources.namespaces.as_ref().map(sluicebox_sources::namespaces::Config::problems)),
            ("nodes", sources.nodes.as_ref().map(sluicebox_sources::nodes::Config::problems)),
            ("inventory", sources.inventory.as_ref().map(sluicebox_sources::inventory::Config::problems)),
            ("tracer", sources.tracer.as_ref().map(sluicebox_sources::tracer::Config::problems)),
            ("cgroups", sources.cgroups.as_ref().map(sluicebox_sources::cgroups::Config::problems)),
            ("prometheus", sources.prometheus.as_ref().map(sluicebox_sources::prometheus::Config::problems)),
            ("scrape", sources.scrape.as_ref().map(sluicebox_sources::scrape::Config::problems)),
        ];
        for (source, problems) in problems {
            for problem in problems.into_iter().flatten() {
                let path = format!("/sources/{source}/{}", problem.field.replace('.', "/"));
                // A list is only empty because what stands in it could not be read, which is named there.
                if !self.is_filled_list(&path) {
                    self.problem(&path, problem.cause, problem.cure);
                }
            }
        }
    }
}
