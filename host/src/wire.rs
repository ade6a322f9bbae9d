//! Puts the parts together: the only place that names sources, lanes and sinks at once. Built from the sinks up; `feed` starts the sources.

mod feed;
mod stores;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use sluicebox_contract::meter::{DeadLetterMeter, OutletMeter};
use sluicebox_contract::{Fault, Handlers, SubjectIds};
use sluicebox_pipeline::{
    Adjust, Audience, Bounds, Changes, LaneControl, LaneHandle, LaneTerms, OutletHandle, OutletSettings, OutletTerms, Pipeline,
};
use sluicebox_sinks::{AnySink, Surroundings};
use sluicebox_sources::Scope;
use sluicebox_sources::kubernetes::Api;
use sluicebox_sources::kubernetes::lease::{self, Election, Leadership};
use sluicebox_sources::node_name::hostname;
use sluicebox_sources::resolve_node;
use sluicebox_store::{LastGood, LetterBounds, Letters};
use sluicebox_wasm::WasmShaper;
use tracing::{info, warn};

use crate::announced::Announced;
use crate::directories;
use crate::foundry::{Foundry, lane_settings};
use crate::live;
use crate::metrics::{LaneRow, Meters, SinkRow};
use crate::plan::{LanePlan, Plan, SOURCES, shares};
use crate::registries::Registries;

/// What lanes are made of, at the start and later.
pub struct Parts {
    /// What was asked for at the start.
    pub plan: Plan,
    /// The name of this node.
    pub node: String,
    /// The way to the API server, where anything needs it.
    pub api: Option<Api>,
    /// Whether this collector is the one that works for the whole cluster. None where there is no choice.
    pub leadership: Option<Leadership>,
    /// Makes modules.
    pub foundry: Foundry,
    /// Where modules come from that are no files.
    pub registries: Arc<Registries>,
    /// What is counted.
    pub meters: Arc<Meters>,
    /// Where dead letters are kept.
    pub letters: Option<Letters>,
    /// Where the last good modules are kept.
    pub last_good: Option<LastGood>,
    /// Where modules are held that may become the last good ones.
    pub on_trial: Option<LastGood>,
    /// What was announced, and is.
    pub announced: Arc<Announced>,
    /// Numbers for subjects.
    pub ids: Arc<SubjectIds>,
    /// Every sink by name.
    pub outlets: BTreeMap<String, OutletHandle>,
    /// The queue of every sink by name.
    pub sink_queues: BTreeMap<String, Arc<dyn Adjust + Send + Sync>>,
    /// The sources that are had once, by name, as soon as they run: lanes that are added join them.
    pub shared: Mutex<BTreeMap<&'static str, Audience>>,
}

/// A lane as its sources see it.
#[derive(Clone)]
pub struct Fed {
    /// The lane.
    pub lane: LaneHandle,
    /// Which events its module handles.
    pub handlers: Handlers,
    /// The sources that feed it.
    pub from: Vec<String>,
    /// The lane's name.
    pub name: String,
    /// Whether it works on every collector, or for the cluster on one.
    pub scope: Scope,
}

/// A module that is to run in a lane.
pub struct Cast {
    /// The module behind its limits.
    pub shaper: WasmShaper,
    /// What is shown of it.
    pub row: LaneRow,
    /// The sources of the lane whose events it handles.
    pub from: Vec<String>,
}

/// What is there before the first lane.
pub struct Wired {
    /// The pipeline with its sinks.
    pub pipeline: Pipeline,
    /// The way to change it.
    pub changes: Changes,
    /// What lanes are made of.
    pub parts: Parts,
    /// To be run beside the pipeline.
    pub election: Option<Election>,
}

/// The pipeline with its sinks, and what its lanes are made of. Must be called within a runtime.
pub async fn wire(plan: &Plan, node_name: Option<&str>) -> anyhow::Result<Wired> {
    let node = node(plan, node_name)?;
    let api = connect(plan).await?;
    info!(node = %node, api = api.as_ref().map_or("none is needed", |api| api.server()), "starting");
    let directory = directories::state(plan.state_directory.as_deref());
    let (wanted, name, state) = (plan.clone(), node.clone(), directory.clone());
    let open = move || {
        let foundry = Foundry::new(&wanted, &name)?;
        let directory = state.as_deref();
        let last_good = last_good(directory);
        let on_trial = directory.filter(|_| last_good.is_some()).map(|directory| directory.join("on-trial"));
        let on_trial = on_trial.and_then(|directory| self::last_good(Some(&directory)));
        let announced = Announced::open(&wanted, &name, directory)?;
        let registries = Arc::new(Registries::open(&wanted));
        anyhow::Ok((foundry, registries, letters(&wanted, directory), last_good, on_trial, announced))
    };
    let (foundry, registries, letters, last_good, on_trial, announced) =
        tokio::task::spawn_blocking(open).await.context("cannot open directories")??;
    let election = elect(plan, api.as_ref()).await;
    // The sinks work from here on: nothing is waited for any more.
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let meters = Arc::<Meters>::default();
    meters.set_registries(Arc::clone(&registries));
    if let Some(letters) = &letters {
        let meter = Arc::<DeadLetterMeter>::default();
        meters.set_dead_letters(Arc::clone(&meter), letters.clone());
        let bytes = shares::letters(plan.queues);
        pipeline.dead_letters_within(bytes, letters.clone(), meter).context("cannot start the thread that keeps dead letters")?;
    }
    let surroundings = Surroundings { node: node.clone(), api: api.clone() };
    if let Some(directory) = &directory {
        stores::orphans(plan, directory);
    }
    let outlets = outlets(plan, &surroundings, &mut pipeline, &meters, directory.as_deref())?;
    let queue = |(name, handle): (&String, &OutletHandle)| Some((name.clone(), pipeline.outlet_queue(*handle)?));
    let sink_queues = outlets.iter().filter_map(queue).collect();
    let ids = Arc::<SubjectIds>::default();
    let shared = Mutex::default();
    let leadership = election.as_ref().map(Election::leadership);
    if let Some(leadership) = &leadership {
        meters.set_leadership(leadership.clone());
    }
    let (plan, announced) = (plan.clone(), Arc::new(announced));
    let parts = Parts {
        plan,
        node,
        api,
        leadership,
        foundry,
        registries,
        meters,
        letters,
        last_good,
        on_trial,
        announced,
        ids,
        outlets,
        sink_queues,
        shared,
    };
    Ok(Wired { pipeline, changes, parts, election })
}

/// One election for each process. It asks for nothing before a source or a module wants to work for the cluster.
async fn elect(plan: &Plan, api: Option<&Api>) -> Option<Election> {
    let api = api.filter(|_| plan.lease.enabled)?;
    let identity = lease::identity(hostname().as_deref(), |variable| std::env::var(variable).ok());
    Some(Election::new(api.clone(), &plan.lease, identity, plan.shutdown_grace).await)
}

/// The way to the API server, if anything needs it.
async fn connect(plan: &Plan) -> anyhow::Result<Option<Api>> {
    if plan.needs_api() {
        let connected = Api::connect(&plan.kubernetes).await;
        return Ok(Some(connected.map_err(|fault| {
            if plan.needs_api_for_names_only() {
                or_without_names(fault, plan)
            } else if plan.needs_api_for_lease_only() {
                or_without_lease(fault)
            } else {
                fault
            }
        })?));
    }
    if !live::report::wanted(plan) {
        return Ok(None);
    }
    Ok(Api::connect(&plan.kubernetes).await.map_err(|fault| warn!(%fault, "no Kubernetes Events will tell of changes")).ok())
}

/// On a machine without Kubernetes there is no API server to be set.
fn or_without_names(fault: Fault, plan: &Plan) -> Fault {
    let sources = plan.sources_with_names().map(|name| format!("`sources.{name}`")).collect::<Vec<_>>().join(" and ");
    let cure = format!("where there is no Kubernetes, write `kubernetes: false` in {sources}");
    let hint = fault.hint.as_ref().map_or_else(|| cure.clone(), |hint| format!("{hint}; {cure}"));
    fault.hint(hint)
}

/// Likewise: whoever is alone needs not be chosen.
fn or_without_lease(fault: Fault) -> Fault {
    let cure = "for one collector alone, without Kubernetes, write `lease: {enabled: false}`, or `scope: node` in the source";
    let hint = fault.hint.as_ref().map_or_else(|| cure.to_owned(), |hint| format!("{hint}; {cure}"));
    fault.hint(hint)
}

/// The name of this node.
pub fn node(plan: &Plan, flag: Option<&str>) -> anyhow::Result<String> {
    let environment = std::env::var("NODE_NAME").ok();
    Ok(resolve_node(flag, plan.node_name.as_deref(), environment.as_deref(), hostname().as_deref())?)
}

/// Everything works without; what must survive a restart then does not.
fn letters(plan: &Plan, directory: Option<&Path>) -> Option<Letters> {
    let bounds = LetterBounds { letters: plan.dead_letters.letters, bytes: plan.dead_letters.bytes.0 };
    if bounds.letters == 0 {
        return None;
    }
    let Some(directory) = directory else {
        warn!("no state directory is configured: dead letters and last good modules are not kept");
        return None;
    };
    Letters::open(directory, bounds).map_err(|error| warn!(%error, "dead letters are not kept")).ok()
}

fn last_good(directory: Option<&Path>) -> Option<LastGood> {
    LastGood::open(directory?).map_err(|error| warn!(%error, "last good modules are not kept")).ok()
}

fn outlets(
    plan: &Plan,
    surroundings: &Surroundings,
    pipeline: &mut Pipeline,
    meters: &Meters,
    directory: Option<&Path>,
) -> anyhow::Result<BTreeMap<String, OutletHandle>> {
    let mut outlets = BTreeMap::new();
    for sink in &plan.sinks {
        let writers = plan.lanes.iter().filter(|lane| lane.to.contains(&sink.name));
        let lanes: Vec<String> = writers.map(|lane| lane.name.clone()).collect();
        if lanes.is_empty() {
            warn!(sink = %sink.name, "no module writes to this sink");
        }
        let made = AnySink::new(&sink.name, &sink.config, surroundings)?;
        let meter = Arc::<OutletMeter>::default();
        if let Some(kafka) = made.kafka_meter() {
            meter.kafka.get_or_init(|| kafka);
        }
        meters.add_sink(SinkRow { name: sink.name.clone(), meter: Arc::clone(&meter) });
        // Half of the time for stopping is for what waits in memory.
        let settings =
            OutletSettings { write_timeout: sink.write_deadline, drain: plan.shutdown_grace / 2, ..OutletSettings::default() };
        let store = sink.store.map(|store| stores::open(sink, &store, directory)).transpose()?;
        let terms = OutletTerms { settings, bounds: sink.bounds, meter, lanes, store };
        let handle = pipeline.outlet(&sink.name, made, terms);
        outlets.insert(sink.name.clone(), handle);
    }
    Ok(outlets)
}

impl Parts {
    /// The outlet of a sink.
    pub fn outlet(&self, sink: &str) -> Option<OutletHandle> {
        self.outlets.get(sink).copied()
    }

    /// What of a lane cannot be had before a restart, because it was not there at the start.
    pub fn missing(&self, lane: &LanePlan) -> Vec<String> {
        let sinks = lane.to.iter().filter(|sink| !self.outlets.contains_key(*sink)).map(|sink| format!("sink `{sink}`"));
        let sources = lane.from.iter().filter(|source| !self.has_source(source)).map(|source| format!("source `{source}`"));
        sinks.chain(sources).collect()
    }

    /// The sources that were configured at the start.
    pub fn sources(&self) -> Vec<String> {
        SOURCES.into_iter().filter(|name| self.has_source(name)).map(str::to_owned).collect()
    }

    /// Whether the source was configured at the start.
    pub fn has_source(&self, name: &str) -> bool {
        let sources = &self.plan.sources;
        match name {
            "pods" => sources.pods.is_some(),
            "services" => sources.services.is_some(),
            "namespaces" => sources.namespaces.is_some(),
            "nodes" => sources.nodes.is_some(),
            "inventory" => sources.inventory.is_some(),
            "tracer" => sources.tracer.is_some(),
            "cgroups" => sources.cgroups.is_some(),
            "prometheus" => sources.prometheus.is_some(),
            "scrape" => sources.scrape.is_some(),
            _ => false,
        }
    }

    /// Starts a lane; `joins` when the program runs already.
    pub fn start(
        &self,
        pipeline: &mut Pipeline,
        lane: &LanePlan,
        cast: Cast,
        joins: bool,
    ) -> std::io::Result<(LaneControl<WasmShaper>, Fed)> {
        let Cast { shaper, row, from } = cast;
        let handlers = sluicebox_contract::Shaper::handlers(&shaper);
        let terms = LaneTerms {
            module: row.module.clone(),
            settings: lane_settings(lane),
            // One that joins gets its bytes when those are free that others have had.
            bounds: if joins { Bounds { bytes: 0, ..lane.bounds } } else { lane.bounds },
            meter: Arc::clone(&row.meter),
            outlets: lane.to.iter().filter_map(|sink| self.outlet(sink)).collect(),
            sources: from.len(),
            joins,
        };
        let control = pipeline.lane(&lane.name, shaper, terms)?;
        self.meters.set_lane(row);
        let fed = Fed { lane: control.handle(), handlers, from, name: lane.name.clone(), scope: lane.scope };
        Ok((control, fed))
    }
}
