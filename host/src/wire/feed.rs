//! Starts the sources that feed lanes, each only when a lane wants it.

use std::sync::{Arc, PoisonError};

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, ObjectKind, Source};
use sluicebox_pipeline::{LaneHandle, Pipeline};
use sluicebox_sources::kubernetes::Api;
use sluicebox_sources::{Cgroups, Inventory, Namespaces, Nodes, Pods, Services, Tracer, Wants};

use super::{Fed, Parts};
use crate::metrics::{Meters, SourceRow};

/// What a source is started with.
struct Place {
    lanes: Vec<LaneHandle>,
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
    /// everything that exists; sources that are had once it joins.
    pub fn feed(&self, pipeline: &mut Pipeline, lanes: &[Fed], of: Option<&str>) -> Result<(), Fault> {
        if let Some(api) = &self.api {
            self.feed_objects(pipeline, lanes, of, api);
        }
        self.feed_shared(pipeline, lanes)
    }

    /// A source for each kind of object.
    fn feed_objects(&self, pipeline: &mut Pipeline, lanes: &[Fed], of: Option<&str>, api: &Api) {
        let Self { plan, node, ids, .. } = self;
        if let Some(config) = &plan.sources.pods
            && let Some(place) = self.place("pods", lanes, of)
        {
            let wants = wants("pods", ObjectKind::Pod, lanes);
            let pods = Pods::new(config, api.clone(), node, wants, Arc::clone(ids), Arc::clone(&place.meter));
            pipeline.source_and_then("pods", pods, &place.lanes, place.at_end());
        }
        if let Some(config) = &plan.sources.services
            && let Some(place) = self.place("services", lanes, of)
        {
            let wants = wants("services", ObjectKind::Service, lanes);
            let services = Services::new(config, api.clone(), wants, Arc::clone(ids), Arc::clone(&place.meter));
            pipeline.source_and_then("services", services, &place.lanes, place.at_end());
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
            let wants = wants("nodes", ObjectKind::Node, lanes);
            let nodes = Nodes::new(config, api.clone(), node, wants, Arc::clone(ids), Arc::clone(&place.meter));
            pipeline.source_and_then("nodes", nodes, &place.lanes, place.at_end());
        }
    }

    /// Sources that are had once for all lanes: what they look at costs each time that it is looked at, or can be looked at by one only.
    fn feed_shared(&self, pipeline: &mut Pipeline, lanes: &[Fed]) -> Result<(), Fault> {
        let Self { plan, node, ids, .. } = self;
        if let (Some(config), Some(api)) = (&plan.sources.inventory, &self.api) {
            let inventory = |meter| Ok(Inventory::new(config, api.clone(), node, ids, meter));
            self.share(pipeline, "inventory", lanes, inventory)?;
        }
        if let Some(config) = &plan.sources.tracer {
            let api = self.api.clone().filter(|_| config.kubernetes);
            let tracer = |meter| Tracer::new(config, api, node, Arc::clone(ids), meter);
            self.share(pipeline, "tracer", lanes, tracer)?;
        }
        if let Some(config) = &plan.sources.cgroups {
            let api = self.api.clone().filter(|_| config.kubernetes);
            let cgroups = |meter| Cgroups::new(config, api, node, Arc::clone(ids), meter);
            self.share(pipeline, "cgroups", lanes, cgroups)?;
        }
        Ok(())
    }

    /// Has the lanes that want it join the source; it is made when it does not run.
    fn share<S: Source>(
        &self,
        pipeline: &mut Pipeline,
        name: &'static str,
        lanes: &[Fed],
        make: impl FnOnce(Arc<SourceMeter>) -> Result<S, Fault>,
    ) -> Result<(), Fault> {
        let mut running = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanting = fed_by(name, lanes);
        if let Some(audience) = running.get(name) {
            // One that has ended takes nobody in.
            wanting.retain(|lane| !pipeline.join(audience, lane.lane));
        }
        let wanting: Vec<Fed> = wanting.into_iter().cloned().collect();
        let Some(place) = self.place(name, &wanting, None) else { return Ok(()) };
        let source = make(Arc::clone(&place.meter)).inspect_err(|_| self.meters.remove_source(&place.meter))?;
        running.insert(name, pipeline.source_to_join(name, source, &place.lanes, place.at_end()));
        Ok(())
    }

    /// None when no lane wants the source.
    fn place(&self, name: &str, lanes: &[Fed], of: Option<&str>) -> Option<Place> {
        let fed = fed_by(name, lanes);
        if fed.is_empty() {
            return None;
        }
        let meter = Arc::<SourceMeter>::default();
        self.meters.add_source(SourceRow { name: name.to_owned(), lane: of.map(str::to_owned), meter: Arc::clone(&meter) });
        let lanes = fed.iter().map(|lane| lane.lane).collect();
        Some(Place { lanes, meter, meters: Arc::clone(&self.meters) })
    }
}

/// In which forms these lanes want objects of a kind: each lane takes one of the two.
fn wants(source: &str, kind: ObjectKind, lanes: &[Fed]) -> Wants {
    let fed = fed_by(source, lanes);
    Wants {
        typed: fed.iter().any(|lane| lane.handlers.takes_typed(kind)),
        json: fed.iter().any(|lane| lane.handlers.takes_json(kind)),
    }
}

fn fed_by<'lanes>(source: &str, lanes: &'lanes [Fed]) -> Vec<&'lanes Fed> {
    lanes.iter().filter(|lane| lane.from.iter().any(|name| name == source)).collect()
}
