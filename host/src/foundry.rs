//! Makes modules and instances for lanes: the engine, the compiler's process and the cache of compiled code, held together.

use std::borrow::Cow;
use std::path::Path;

use sluicebox_contract::{Handlers, ModuleIdentity};
use sluicebox_pipeline::LaneSettings;
use sluicebox_registry::PullError;
use sluicebox_registry::layout::{self, SIGNATURE};
use sluicebox_store::Good;
use sluicebox_wasm::{
    Bounds, Cache, Compiler, Context, Engine, EngineError, Limits, LoadError, LoadOptions, Module, Refusal, WasmShaper, digest,
    read_component,
};
use tracing::warn;

use crate::plan::{Component, LanePlan, Plan};
use crate::registries::Registries;
use crate::trust::Distrust;
use crate::trust::signature::{Place, Signature};
use crate::{config, directories, folder};

/// What modules are made with.
pub struct Foundry {
    engine: Engine,
    cache: Option<Cache>,
    compiler: Compiler,
    node: String,
}

impl Foundry {
    /// Opens the cache. Blocks.
    pub fn new(plan: &Plan, node: &str) -> Result<Self, EngineError> {
        Ok(Self {
            engine: Engine::new()?,
            cache: cache(plan.cache_directory.as_deref()),
            compiler: Compiler::this_program(plan.compiler.memory.0, plan.compiler.deadline.0),
            node: node.to_owned(),
        })
    }

    /// Loads a component under the name that the lane's configuration gives it; compiles it in a process of its own. Blocks.
    pub fn load(&self, lane: &LanePlan, component: &[u8]) -> Result<Module, LoadError> {
        let component_bytes = most_bytes(lane);
        let grants = lane.demands.grants;
        let options = LoadOptions { cache: self.cache.as_ref(), component_bytes, compiler: Some(&self.compiler), grants };
        Module::load(&self.engine, &lane.component.to_string(), component, &options)
    }

    /// A module behind the lane's limits. Runs nothing of it.
    pub fn shaper(&self, module: Module, lane: &LanePlan) -> WasmShaper {
        shaper(module, lane, &self.node)
    }
}

/// A component as it was found, from wherever it comes: what is examined here is what is compiled.
pub struct Material {
    /// Its bytes.
    pub component: Cow<'static, [u8]>,
    /// Their SHA-256.
    pub digest: String,
    /// What was found of a signature, if it was looked for.
    pub signature: Option<Signature>,
    /// The digest of the manifest that it was pulled with, if it was.
    pub manifest: Option<String>,
}

impl Material {
    /// A component with what was found of its signature. Takes a moment for a large one.
    pub fn new(component: Cow<'static, [u8]>, signature: Option<Signature>) -> Self {
        Self { digest: digest(&component), component, signature, manifest: None }
    }

    /// What was kept, with the signature that was kept with it.
    pub fn kept(good: Good) -> Self {
        let found = Ok(good.signature.map(String::into_bytes));
        let signature = Signature { place: Place::Kept, found };
        Self { component: good.component, digest: good.module.digest, signature: Some(signature), manifest: None }
    }

    /// Says why the component may not run in this lane, if it may not. Takes a moment for a large one.
    pub fn examine(&self, lane: &LanePlan) -> Result<(), Distrust> {
        lane.demands.examine(&self.component, &self.digest, self.signature.as_ref())
    }
}

/// The lane's component, and its signature if there must be one. Blocks.
pub fn read(lane: &LanePlan, registries: &Registries) -> Result<Material, LoadError> {
    match &lane.component {
        Component::Preset(preset) => Ok(Material::new(Cow::Borrowed(preset.component), None)),
        Component::File(path) => {
            let name = lane.component.to_string();
            let file = folder::file(&name, path)?;
            let component = read_component(&name, &file, most_bytes(lane))?;
            let signature = lane.demands.want_signature().then(|| Signature::beside(&file));
            Ok(Material::new(Cow::Owned(component), signature))
        }
        Component::Registry(reference) => {
            let pulled = registries.component(reference, most_bytes(lane));
            let (manifest, component) = pulled.map_err(|error| not_pulled(&lane.component.to_string(), &error))?;
            Ok(pulled_material(lane, &manifest, component))
        }
    }
}

/// The version of a lane's module that was accepted before what its registry has now; none where that is it, and where it comes from elsewhere.
/// Blocks.
pub fn before(lane: &LanePlan, registries: &Registries) -> Option<Material> {
    let Component::Registry(reference) = &lane.component else { return None };
    let (manifest, component) = registries.before(reference, most_bytes(lane))?;
    Some(pulled_material(lane, &manifest, component))
}

fn pulled_material(lane: &LanePlan, manifest: &str, component: Vec<u8>) -> Material {
    let signature =
        lane.demands.want_signature().then(|| Signature::annotated(layout::annotation(manifest.as_bytes(), SIGNATURE)));
    Material { manifest: Some(layout::digest(manifest.as_bytes())), ..Material::new(Cow::Owned(component), signature) }
}

/// Why a module of a registry cannot be had.
pub fn not_pulled(module: &str, error: &PullError) -> LoadError {
    let refusal = Refusal::NotPulled { cause: error.to_string(), cure: error.hint() };
    LoadError { module: module.to_owned(), refusal }
}

/// How many bytes the lane's component may have.
pub fn most_bytes(lane: &LanePlan) -> usize {
    usize::try_from(lane.limits.component.0).unwrap_or(usize::MAX)
}

/// A module behind the lane's limits. Runs nothing of it.
pub fn shaper(module: Module, lane: &LanePlan, node: &str) -> WasmShaper {
    let context = Context { lane: lane.name.clone(), node_name: node.to_owned(), sources: lane.from.clone() };
    WasmShaper::new(module, lane.settings.clone(), context, limits(&lane.limits))
}

/// Which module it is, under the name that the configuration gives it.
pub fn identity(lane: &LanePlan, module: &Module) -> ModuleIdentity {
    let digest = module.describe().digest.clone();
    ModuleIdentity { name: lane.component.to_string(), version: module.version().to_owned(), digest }
}

/// The sources of a lane whose events its module handles.
pub fn useful(lane: &LanePlan, handlers: Handlers) -> Vec<String> {
    let is_of_use = |source: &&String| match source.as_str() {
        "cgroups" => handlers.samples,
        "tracer" => handlers.connections,
        "inventory" => handlers.inventory,
        "prometheus" | "scrape" => handlers.series,
        "pods" => handlers.objects || handlers.pods,
        "services" => handlers.objects || handlers.services,
        "nodes" => handlers.objects || handlers.nodes,
        _ => handlers.objects,
    };
    lane.from.iter().filter(is_of_use).cloned().collect()
}

/// How the lane works.
pub fn lane_settings(lane: &LanePlan) -> LaneSettings {
    let memory = bytes(lane.limits.memory);
    LaneSettings {
        batch: lane.batch,
        share: lane.limits.cpu,
        recycle_after_calls: lane.limits.recycle_after_calls,
        recycle_above_bytes: Some(lane.limits.recycle_above_memory.map_or(memory / 4 * 3, bytes)),
        ..LaneSettings::default()
    }
}

fn limits(limits: &config::Limits) -> Limits {
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

fn bytes(size: sluicebox_contract::quantity::ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// Where compiled modules are kept. Without a usable directory they are kept for this run only.
pub fn cache(directory: Option<&Path>) -> Option<Cache> {
    if let Some(directory) = directories::cache(directory) {
        match Cache::open(&directory, Bounds::default()) {
            Ok(cache) => return Some(cache),
            Err(error) => warn!(%error, "compiled modules are not kept: each start compiles them"),
        }
    }
    match Cache::temporary(&std::env::temp_dir(), Bounds::default()) {
        Ok(cache) => Some(cache),
        Err(error) => {
            warn!(%error, "compiled modules lie in memory: no directory can be written");
            None
        }
    }
}
