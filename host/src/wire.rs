//! Puts the parts together: the only file that names sources, modules and sinks at once. Built from the sinks up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use sluicebox_contract::meter::{LaneMeter, OutletMeter, SourceMeter};
use sluicebox_contract::{Handlers, ModuleIdentity, SubjectIds};
use sluicebox_pipeline::{LaneHandle, LaneSettings, LaneTerms, OutletHandle, OutletSettings, OutletTerms, Pipeline};
use sluicebox_sinks::AnySink;
use sluicebox_sources::kubernetes::Api;
use sluicebox_sources::node_name::hostname;
use sluicebox_sources::{Namespaces, Nodes, Pods, Wants, resolve_node};
use sluicebox_wasm::{Bounds, Cache, Context, Engine, Limits, LoadError, LoadOptions, Module, WasmShaper};
use tracing::{error, info, warn};

use crate::config;
use crate::plan::{Component, LanePlan, Plan};
use crate::telemetry::{LaneMeters, Meters};

/// A lane that runs, as the sources see it.
struct Running {
    handle: LaneHandle,
    handlers: Handlers,
    from: Vec<String>,
}

/// Everything that a plan asks for, started, with what it counts. Must be called within a runtime.
pub async fn wire(plan: &Plan, node_name: Option<&str>) -> anyhow::Result<(Pipeline, Arc<Meters>)> {
    let node = node(plan, node_name)?;
    let api = Api::connect(&plan.kubernetes).await?;
    info!(node = %node, api = %api.server(), "starting");
    let modules = load_all(plan).await?;
    let mut pipeline = Pipeline::default();
    let mut meters = Meters::default();
    let outlets = outlets(plan, &mut pipeline, &mut meters)?;
    let lanes = lanes(plan, modules, &node, &outlets, &mut pipeline, &mut meters)?;
    sources(plan, &node, &api, &lanes, &mut pipeline, &mut meters);
    Ok((pipeline, Arc::new(meters)))
}

/// The name of this node.
pub fn node(plan: &Plan, flag: Option<&str>) -> anyhow::Result<String> {
    let environment = std::env::var("NODE_NAME").ok();
    Ok(resolve_node(flag, plan.node_name.as_deref(), environment.as_deref(), hostname().as_deref())?)
}

fn outlets(plan: &Plan, pipeline: &mut Pipeline, meters: &mut Meters) -> anyhow::Result<Vec<(String, OutletHandle)>> {
    let mut outlets = Vec::new();
    for sink in &plan.sinks {
        let lanes = plan.lanes.iter().filter(|lane| lane.to.contains(&sink.name)).count();
        if lanes == 0 {
            warn!(sink = %sink.name, "no module writes to this sink");
            continue;
        }
        let meter = Arc::<OutletMeter>::default();
        meters.sinks.push((sink.name.clone(), Arc::clone(&meter)));
        let settings = OutletSettings { write_timeout: sink.write_deadline, ..OutletSettings::default() };
        let terms = OutletTerms { settings, bounds: sink.bounds, meter, lanes };
        let handle = pipeline.outlet(&sink.name, AnySink::new(&sink.name, &sink.config)?, terms);
        outlets.push((sink.name.clone(), handle));
    }
    Ok(outlets)
}

/// Loads the module of every lane. Compiling takes its time, so it is done beside the executor: probes are answered meanwhile.
async fn load_all(plan: &Plan) -> anyhow::Result<Vec<Result<Module, LoadError>>> {
    let engine = Engine::new()?;
    let (lanes, directory) = (plan.lanes.clone(), plan.cache_directory.clone());
    let load_each = move || {
        let cache = cache(directory.as_deref());
        lanes.iter().map(|lane| load(&engine, lane, cache.as_ref())).collect()
    };
    tokio::task::spawn_blocking(load_each).await.context("cannot load the modules")
}

fn lanes(
    plan: &Plan,
    modules: Vec<Result<Module, LoadError>>,
    node: &str,
    outlets: &[(String, OutletHandle)],
    pipeline: &mut Pipeline,
    meters: &mut Meters,
) -> anyhow::Result<Vec<Running>> {
    let mut running = Vec::new();
    for (lane, module) in plan.lanes.iter().zip(modules) {
        let meter = Arc::<LaneMeter>::default();
        let mut row = LaneMeters {
            name: lane.name.clone(),
            module: lane.component.to_string(),
            version: String::new(),
            meter: Arc::clone(&meter),
            failure: None,
        };
        match module {
            Ok(module) => {
                module.version().clone_into(&mut row.version);
                info!(lane = %lane.name, module = %lane.component, version = %row.version, "module loaded");
                let handlers = module.handlers();
                let to = outlets.iter().filter(|(name, _)| lane.to.contains(name)).map(|(_, handle)| *handle).collect();
                let settings = LaneSettings { batch: lane.batch, ..LaneSettings::default() };
                let from = useful(lane, handlers);
                let identity = ModuleIdentity {
                    name: row.module.clone(),
                    version: row.version.clone(),
                    digest: module.describe().digest.clone(),
                };
                let sources = from.len();
                let terms =
                    LaneTerms { module: identity, settings, bounds: lane.bounds, meter, outlets: to, sources, joins: false };
                let handle = pipeline
                    .lane(&lane.name, shaper(module, lane, node), terms)
                    .with_context(|| format!("cannot start a thread for module `{}`", lane.name))?
                    .handle();
                running.push(Running { handle, handlers, from });
            }
            // The others are not to blame for it.
            Err(error) => {
                error!(lane = %lane.name, module = %lane.component, %error, "module not loaded: its lane does not run");
                row.failure = Some(error.to_string());
            }
        }
        meters.lanes.push(row);
    }
    Ok(running)
}

/// Loads the module of a lane.
pub fn load(engine: &Engine, lane: &LanePlan, cache: Option<&Cache>) -> Result<Module, LoadError> {
    let component_bytes = usize::try_from(lane.limits.component.0).unwrap_or(usize::MAX);
    let options = LoadOptions { cache, component_bytes, ..LoadOptions::default() };
    match &lane.component {
        Component::Preset(preset) => Module::load(engine, preset.name, preset.component, &options),
        Component::File(path) => Module::load_file(engine, &lane.component.to_string(), path, &options),
    }
}

/// A module behind the lane's limits.
pub fn shaper(module: Module, lane: &LanePlan, node: &str) -> WasmShaper {
    let context = Context { lane: lane.name.clone(), node_name: node.to_owned(), sources: lane.from.clone() };
    WasmShaper::new(module, lane.settings.clone(), context, limits(&lane.limits))
}

/// The sources of a lane whose events its module handles.
pub fn useful(lane: &LanePlan, handlers: Handlers) -> Vec<String> {
    lane.from.iter().filter(|source| handlers.objects || (*source == "pods" && handlers.pods)).cloned().collect()
}

fn limits(limits: &config::Limits) -> Limits {
    let bytes = |size: sluicebox_contract::quantity::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    Limits {
        memory_bytes: bytes(limits.memory),
        call_deadline: limits.deadline.0,
        start_deadline: limits.start_deadline.0,
        entries_per_call: limits.entries,
        output_bytes_per_call: bytes(limits.output),
        log_lines_per_second: limits.log_lines_per_second,
        ..Limits::default()
    }
}

/// Where compiled modules are kept. Without a cache everything works, only slower at the start.
fn cache(directory: Option<&Path>) -> Option<Cache> {
    let directory = directory.map(Path::to_owned).or_else(usual_cache)?;
    match Cache::open(&directory, Bounds::default()) {
        Ok(cache) => Some(cache),
        Err(error) => {
            warn!(%error, "compiled modules are not kept: each start compiles them");
            None
        }
    }
}

fn usual_cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    variable("CACHE_DIRECTORY")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("sluicebox")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache/sluicebox")))
}

fn sources(plan: &Plan, node: &str, api: &Api, lanes: &[Running], pipeline: &mut Pipeline, meters: &mut Meters) {
    let ids = Arc::<SubjectIds>::default();
    let mut place = |name: &'static str| {
        let fed: Vec<&Running> = lanes.iter().filter(|lane| lane.from.iter().any(|source| source == name)).collect();
        if fed.is_empty() {
            warn!(source = name, "no module takes events of this source: it is not started");
            return None;
        }
        let wants = Wants {
            typed: fed.iter().any(|lane| lane.handlers.pods),
            json: fed.iter().any(|lane| lane.handlers.objects && !lane.handlers.pods),
        };
        let meter = Arc::<SourceMeter>::default();
        meters.sources.push((name.to_owned(), Arc::clone(&meter)));
        Some((fed.iter().map(|lane| lane.handle).collect::<Vec<_>>(), wants, meter))
    };
    if let Some(config) = &plan.sources.pods
        && let Some((lanes, wants, meter)) = place("pods")
    {
        pipeline.source("pods", Pods::new(config, api.clone(), node, wants, Arc::clone(&ids), meter), &lanes);
    }
    if let Some(config) = &plan.sources.namespaces
        && let Some((lanes, _, meter)) = place("namespaces")
    {
        pipeline.source("namespaces", Namespaces::new(config, api.clone(), Arc::clone(&ids), meter), &lanes);
    }
    if let Some(config) = &plan.sources.nodes
        && let Some((lanes, _, meter)) = place("nodes")
    {
        pipeline.source("nodes", Nodes::new(config, api.clone(), node, Arc::clone(&ids), meter), &lanes);
    }
}
