//! Starts the sources that feed lanes, each only when a lane wants it.

use std::slice;
use std::sync::{Arc, PoisonError};

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, ObjectKind, Remembered, Source};
use sluicebox_pipeline::{LaneHandle, Pipeline};
use sluicebox_sources::kubernetes::Api;
use sluicebox_sources::kubernetes::lease::Leadership;
use sluicebox_sources::{
    Cgroups, Elected, Inventory, Namespaces, Nodes, Pods, Prometheus, Scope, Scrape, Services, Tracer, Wants, prometheus,
};

use super::{Fed, Parts};
use crate::announced::heard_by;
use crate::metrics::{Meters, SourceRow};

/// What a source is started with.
struct Place {
    lanes: Vec<LaneHandle>,
    meter: Arc<SourceMeter>,
    meters: Arc<Meters>,
}

/// The lanes that sources are started for.
struct Served<'parts> {
    lanes: &'parts [Fed],
    /// The lane that has them alone.
    of: Option<&'parts str>,
    /// Of the lanes, whatever that of a source is.
    scope: Scope,
    api: &'parts Api,
}

impl Served<'_> {
    /// What feeds a lane that works for the cluster takes in all of it.
    fn widen(&self, scope: &mut Scope, node: &mut Option<String>) {
        if self.scope == Scope::Cluster {
            *scope = Scope::Cluster;
            *node = None;
        }
    }
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
    /// everything that exists, as has one that works for the cluster; sources that are had once it joins.
    pub fn feed(&self, pipeline: &mut Pipeline, lanes: &[Fed], of: Option<&str>) -> Result<(), Fault> {
        if let Some(api) = &self.api {
            let (for_the_cluster, others): (Vec<Fed>, Vec<Fed>) =
                lanes.iter().cloned().partition(|lane| lane.scope == Scope::Cluster);
            self.feed_objects(pipeline, &Served { lanes: &others, of, scope: Scope::Node, api });
            for lane in &for_the_cluster {
                let of = Some(lane.name.as_str());
                self.feed_objects(pipeline, &Served { lanes: slice::from_ref(lane), of, scope: Scope::Cluster, api });
            }
        }
        self.feed_shared(pipeline, lanes)
    }

    /// A source for each kind of object.
    fn feed_objects(&self, pipeline: &mut Pipeline, served: &Served<'_>) {
        let Self { plan, node, ids, .. } = self;
        let Served { lanes, scope, api, .. } = *served;
        if let Some(config) = &plan.sources.pods {
            let mut config = config.clone();
            served.widen(&mut config.scope, &mut config.node);
            let (scope, wants) = (config.scope, wants("pods", ObjectKind::Pod, lanes));
            let (api, node, ids) = (api.clone(), node.clone(), Arc::clone(ids));
            let make = move |meter, remembered| {
                Pods::new(&config, api.clone(), &node, wants, Arc::clone(&ids), meter).remembering(remembered)
            };
            self.start_source(pipeline, "pods", served, scope, make);
        }
        if let Some(config) = &plan.sources.services {
            let wants = wants("services", ObjectKind::Service, lanes);
            let (config, api, ids) = (config.clone(), api.clone(), Arc::clone(ids));
            let make = move |meter, remembered| {
                Services::new(&config, api.clone(), wants, Arc::clone(&ids), meter).remembering(remembered)
            };
            self.start_source(pipeline, "services", served, scope, make);
        }
        if let Some(config) = &plan.sources.namespaces {
            let (config, api, ids) = (config.clone(), api.clone(), Arc::clone(ids));
            let make =
                move |meter, remembered| Namespaces::new(&config, api.clone(), Arc::clone(&ids), meter).remembering(remembered);
            self.start_source(pipeline, "namespaces", served, scope, make);
        }
        if let Some(config) = &plan.sources.nodes {
            let mut config = config.clone();
            served.widen(&mut config.scope, &mut config.node);
            let (scope, wants) = (config.scope, wants("nodes", ObjectKind::Node, lanes));
            let (api, node, ids) = (api.clone(), node.clone(), Arc::clone(ids));
            let make = move |meter, remembered| {
                Nodes::new(&config, api.clone(), &node, wants, Arc::clone(&ids), meter).remembering(remembered)
            };
            self.start_source(pipeline, "nodes", served, scope, make);
        }
    }

    /// Starts a source if a lane wants it. One of the cluster works on one collector only, and is made anew each time that it is this one.
    fn start_source<S: Source>(
        &self,
        pipeline: &mut Pipeline,
        name: &'static str,
        served: &Served<'_>,
        scope: Scope,
        mut make: impl FnMut(Arc<SourceMeter>, Option<Remembered>) -> S + Send + 'static,
    ) {
        let Some(place) = self.place(name, served.lanes, served.of) else { return };
        let meter = Arc::clone(&place.meter);
        if let Some(leadership) = self.leadership(scope) {
            // Another collector may have announced meanwhile.
            let source = Elected::looking_on(leadership, meter, move |meter| Ok(make(meter, None)));
            pipeline.source_and_then(name, source, &place.lanes, place.at_end());
        } else {
            let remembered = self.remembered(name, served, &meter);
            pipeline.source_and_then(name, make(meter, remembered), &place.lanes, place.at_end());
        }
    }

    /// What a source has announced before. One that a lane has alone tells it everything.
    fn remembered(&self, name: &str, served: &Served<'_>, meter: &Arc<SourceMeter>) -> Option<Remembered> {
        if served.of.is_some() {
            return None;
        }
        let names: Vec<&str> = fed_by(name, served.lanes).iter().map(|lane| lane.name.as_str()).collect();
        self.announced.take(name, &heard_by(&self.plan, &names), meter)
    }

    /// What decides whether a source of this scope works here. None where it does in any case.
    fn leadership(&self, scope: Scope) -> Option<Leadership> {
        self.leadership.clone().filter(|_| scope == Scope::Cluster)
    }

    /// As [`Parts::share`], for a source that has a scope: one of the cluster works on one collector only. `make` makes one for each term;
    /// what is wrong with it from the beginning is told now.
    fn share_scoped<S: Source>(
        &self,
        pipeline: &mut Pipeline,
        name: &'static str,
        lanes: &[Fed],
        scope: Scope,
        mut make: impl FnMut(Arc<SourceMeter>) -> Result<S, Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        let Some(leadership) = self.leadership(scope) else {
            return self.share(pipeline, name, lanes, make);
        };
        self.share(pipeline, name, lanes, |meter| {
            drop(make(Arc::clone(&meter))?);
            Ok(Elected::new(leadership, meter, make))
        })
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
        if let Some(config) = &plan.sources.prometheus {
            let (wanted, node, ids) = (config.clone(), node.clone(), Arc::clone(ids));
            let silence = self.leadership(config.scope).map(|leadership| leadership.longest_silence());
            let terms = prometheus::Terms { silence, courses: prometheus::Courses::default() };
            let prometheus = move |meter| Prometheus::new(&wanted, &node, terms.clone(), Arc::clone(&ids), meter);
            self.share_scoped(pipeline, "prometheus", lanes, config.scope, prometheus)?;
        }
        if let Some(config) = &plan.sources.scrape {
            let (wanted, ids) = (config.clone(), Arc::clone(ids));
            let scrape = move |meter| Scrape::new(&wanted, Arc::clone(&ids), meter);
            self.share_scoped(pipeline, "scrape", lanes, config.scope, scrape)?;
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
