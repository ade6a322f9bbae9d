//! Starts the sources that feed lanes, each only when a lane wants it.

use std::sync::{Arc, PoisonError};

use sluicebox_contract::Fault;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_pipeline::{LaneHandle, Pipeline};
use sluicebox_sources::{Cgroups, Namespaces, Nodes, Pods, Wants};

use super::{Fed, Parts};
use crate::metrics::{Meters, SourceRow};

/// What a source is started with.
struct Place {
    lanes: Vec<LaneHandle>,
    wants: Wants,
    meter: Arc<SourceMeter>,
    meters: Arc<Meters>,
}

impl Place {
    /// What is to be done when the source has ended.
    fn at_end(&self) -> impl FnOnce() + Send + 'static {
        let (meters, ended) = (Arc::clone(&self.meters), Arc::clone(&self.meter));
        move || meters.remove_source(&ended)
    }
}

impl Parts {
    /// Starts the sources that feed these lanes. A lane that was added while the program runs has sources `of` its own, which tell it
    /// everything that exists; the source of samples it joins.
    pub fn feed(&self, pipeline: &mut Pipeline, lanes: &[Fed], of: Option<&str>) -> Result<(), Fault> {
        let Self { plan, node, ids, .. } = self;
        if let Some(api) = &self.api {
            if let Some(config) = &plan.sources.pods
                && let Some(place) = self.place("pods", lanes, of)
            {
                let pods = Pods::new(config, api.clone(), node, place.wants, Arc::clone(ids), Arc::clone(&place.meter));
                pipeline.source_and_then("pods", pods, &place.lanes, place.at_end());
            }
            if let Some(config) = &plan.sources.namespaces
                && let Some(place) = self.place("namespaces", lanes, of)
            {
                let namespaces = Namespaces::new(config, api.clone(), Arc::clone(ids), Arc::clone(&place.meter));
                pipeline.source_and_then("namespaces", namespaces, &place.lanes, place.at_end());
            }
            if let Some(config) = &plan.sources.nodes
                && let Some(place) = self.place("nodes", lanes, of)
            {
                let nodes = Nodes::new(config, api.clone(), node, Arc::clone(ids), Arc::clone(&place.meter));
                pipeline.source_and_then("nodes", nodes, &place.lanes, place.at_end());
            }
        }
        self.feed_samples(pipeline, lanes)
    }

    /// One source of samples for all lanes: reading is what they cost, and everything would be read twice.
    fn feed_samples(&self, pipeline: &mut Pipeline, lanes: &[Fed]) -> Result<(), Fault> {
        const NAME: &str = "cgroups";
        let Some(config) = &self.plan.sources.cgroups else { return Ok(()) };
        let mut running = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanting = fed_by(NAME, lanes);
        if let Some(audience) = &*running {
            // One that has ended takes nobody in.
            wanting.retain(|lane| !pipeline.join(audience, lane.lane));
        }
        let wanting: Vec<Fed> = wanting.into_iter().cloned().collect();
        let Some(place) = self.place(NAME, &wanting, None) else { return Ok(()) };
        let api = self.api.clone().filter(|_| config.kubernetes);
        let cgroups = Cgroups::new(config, api, &self.node, Arc::clone(&self.ids), Arc::clone(&place.meter))
            .inspect_err(|_| self.meters.remove_source(&place.meter))?;
        *running = Some(pipeline.source_to_join(NAME, cgroups, &place.lanes, place.at_end()));
        Ok(())
    }

    /// None when no lane wants the source.
    fn place(&self, name: &str, lanes: &[Fed], of: Option<&str>) -> Option<Place> {
        let fed = fed_by(name, lanes);
        if fed.is_empty() {
            return None;
        }
        let typed = fed.iter().any(|lane| lane.handlers.pods);
        let json = fed.iter().any(|lane| lane.handlers.objects && !lane.handlers.pods);
        let meter = Arc::<SourceMeter>::default();
        self.meters.add_source(SourceRow { name: name.to_owned(), lane: of.map(str::to_owned), meter: Arc::clone(&meter) });
        let lanes = fed.iter().map(|lane| lane.lane).collect();
        Some(Place { lanes, wants: Wants { typed, json }, meter, meters: Arc::clone(&self.meters) })
    }
}

fn fed_by<'lanes>(source: &str, lanes: &'lanes [Fed]) -> Vec<&'lanes Fed> {
    lanes.iter().filter(|lane| lane.from.iter().any(|name| name == source)).collect()
}
