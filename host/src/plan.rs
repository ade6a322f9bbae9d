//! The checked configuration. Pure: if a plan exists, every name in the configuration refers to something and every value can be used.

mod clashes;
mod component;
mod lane;
mod nowhere;
mod scope;
pub mod shares;
mod sink;
mod sources;
mod surroundings;
mod trust;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sluicebox_pipeline::{Bounds, WhenFull};
use sluicebox_sources::Scope;

use crate::config::yaml::Document;
use crate::config::{self, Admin, Config, Log, Problem, Queue, Sources};

pub use component::Component;
pub use lane::LanePlan;
pub use scope::feeds;
pub use sink::SinkPlan;

/// What a name may be.
pub(crate) const NAME_HINT: &str = "use 1 to 63 letters, digits, `-`, `_` and `.`, and begin with no `.`";
/// The sources that there are.
pub const SOURCES: [&str; 9] =
    ["pods", "services", "namespaces", "nodes", "inventory", "tracer", "cgroups", "prometheus", "scrape"];
/// What may wait for a module unless the configuration says otherwise.
const LANE_QUEUE: Bounds = Bounds { items: 1024, bytes: 4 << 20, when_full: WhenFull::DropSamples };
/// What may wait for a sink, likewise.
const SINK_QUEUE: Bounds = Bounds { items: 4096, bytes: 8 << 20, when_full: WhenFull::Wait };

/// What is to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The node, where the configuration names it.
    pub node_name: Option<String>,
    /// The way to the API server.
    pub kubernetes: sluicebox_sources::kubernetes::Config,
    /// How one collector is chosen for what works for the whole cluster.
    pub lease: sluicebox_sources::kubernetes::lease::Config,
    /// What is watched.
    pub sources: Sources,
    /// The modules at work.
    pub lanes: Vec<LanePlan>,
    /// Where they write.
    pub sinks: Vec<SinkPlan>,
    /// Bytes that all queues hold together.
    pub queues: usize,
    /// Probes and metrics.
    pub admin: Admin,
    /// Logging.
    pub log: Log,
    /// Where compiled modules are kept.
    pub cache_directory: Option<PathBuf>,
    /// Where dead letters and last good modules are kept.
    pub state_directory: Option<PathBuf>,
    /// How many dead letters are kept.
    pub dead_letters: config::DeadLetters,
    /// How changes are noticed.
    pub reload: config::Reload,
    /// How registries are asked, by host.
    pub registries: BTreeMap<String, sluicebox_registry::Config>,
    /// How modules are pulled.
    pub pull: sluicebox_registry::PullConfig,
    /// How modules are compiled.
    pub compiler: config::Compiler,
    /// Time for a clean end.
    pub shutdown_grace: Duration,
}

impl Plan {
    /// Whether a source or a sink needs the API server.
    pub fn needs_api(&self) -> bool {
        self.needs_api_for_objects() || self.needs_api_for_names_only() || self.needs_api_for_lease()
    }

    /// Whether nothing needs it but the choice of a collector.
    pub fn needs_api_for_lease_only(&self) -> bool {
        self.needs_api_for_lease() && !self.needs_api_for_objects() && !self.needs_api_for_names_only()
    }

    /// Whether one of several collectors is to be chosen for what watches nothing of the API server.
    pub fn needs_api_for_lease(&self) -> bool {
        let prometheus = self.sources.prometheus.as_ref().map(|prometheus| prometheus.scope);
        let scrape = self.sources.scrape.as_ref().map(|scrape| scrape.scope);
        self.lease.enabled && [prometheus, scrape].contains(&Some(Scope::Cluster))
    }

    /// Whether nothing needs it but names: those of cgroups, which could go by their paths, and those of the ends of connections.
    pub fn needs_api_for_names_only(&self) -> bool {
        !self.needs_api_for_objects() && self.sources_with_names().next().is_some()
    }

    /// The sources that need it for names only.
    pub fn sources_with_names(&self) -> impl Iterator<Item = &'static str> {
        let Sources { cgroups, tracer, .. } = &self.sources;
        let cgroups = cgroups.as_ref().is_some_and(|cgroups| cgroups.kubernetes);
        let tracer = tracer.as_ref().is_some_and(|tracer| tracer.kubernetes);
        [("tracer", tracer), ("cgroups", cgroups)].into_iter().filter(|(_, needs)| *needs).map(|(name, _)| name)
    }

    /// Whether anything cannot work without it.
    fn needs_api_for_objects(&self) -> bool {
        let Sources { pods, services, namespaces, nodes, inventory, tracer: _, cgroups: _, prometheus: _, scrape: _ } =
            &self.sources;
        let watched = pods.is_some() || services.is_some() || namespaces.is_some() || nodes.is_some() || inventory.is_some();
        watched || self.sinks.iter().any(|sink| sink.config.needs_api())
    }
}

/// Checks a configuration. What is wrong is named and left out of the plan.
pub fn plan(config: Config, document: &Document) -> (Plan, Vec<Problem>) {
    let mut check = Check { document, problems: Vec::new() };
    check.kubernetes(&config);
    check.sources(&config.sources);
    check.changes(&config);
    check.registries(&config);
    clashes::find(&mut check, &config);
    // What is there by name but could not be read is wrong where it stands, not where it is referred to.
    let (mut sources, sinks) = (check.names("/sources"), check.names("/sinks"));
    sources.retain(|name| SOURCES.contains(&name.as_str()));
    check.nothing_to_do();
    let trusted = check.trust(&config.trust);
    let mut lanes: Vec<LanePlan> = config
        .modules
        .iter()
        .filter_map(|(name, module)| check.lane(name, module, (&config.sources, &sources), &sinks, &trusted))
        .collect();
    let mut sinks: Vec<SinkPlan> = config.sinks.iter().filter_map(|(name, sink)| check.sink(name, sink)).collect();
    nowhere::find(&mut check, &lanes, &sinks);
    let queues = shares::check(&mut check, config.memory.queues, &mut lanes, &mut sinks);
    let plan = Plan {
        node_name: config.node_name,
        kubernetes: config.kubernetes,
        lease: config.lease,
        sources: config.sources,
        lanes,
        sinks,
        queues,
        admin: config.admin,
        log: config.log,
        cache_directory: config.cache_directory,
        state_directory: config.state_directory,
        dead_letters: config.dead_letters,
        reload: config.reload,
        registries: config.registries,
        pull: config.pull,
        compiler: config.compiler,
        shutdown_grace: config.shutdown_grace.0,
    };
    (plan, check.problems)
}

struct Check<'document> {
    document: &'document Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, path: &str, text: impl Into<String>, hint: impl Into<String>) {
        let text = format!("`{}`: {}", path.trim_start_matches('/').replace('/', "."), text.into());
        let hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty());
        self.problems.push(Problem { line: self.document.line(path), text, hint });
    }

    /// The names that stand under a part of the document.
    fn names(&self, path: &str) -> Vec<String> {
        let part = self.document.value.pointer(path).and_then(serde_json::Value::as_object);
        part.into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    }

    fn is_filled_list(&self, path: &str) -> bool {
        self.document.value.pointer(path).and_then(serde_json::Value::as_array).is_some_and(|list| !list.is_empty())
    }

    fn nothing_to_do(&mut self) {
        for (part, one, example) in [
            ("/sources", "source", "`sources: {pods: {}}`"),
            ("/modules", "module", "`modules: {pods: {use: json-lines, to: [out]}}`; `sluicebox modules` lists the presets"),
            ("/sinks", "sink", "`sinks: {out: {stdout: {}}}`"),
        ] {
            if self.names(part).is_empty() {
                self.problems.push(Problem::whole(format!("no {one} is configured")).hint(format!("add one, such as {example}")));
            }
        }
    }

    /// Names become labels of metrics and names of threads.
    fn name(&mut self, path: &str, name: &str) {
        if !is_name(name) {
            self.problem(path, "not a usable name", NAME_HINT);
        }
    }

    fn bounds(&mut self, path: &str, queue: Queue, default: Bounds) -> Bounds {
        if queue.items == Some(0) || queue.bytes.is_some_and(|bytes| bytes.0 == 0) {
            self.problem(path, "a queue that holds nothing", "give numbers above zero, or leave them out");
        }
        let bytes = queue.bytes.map(|bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX));
        Bounds { items: queue.items.unwrap_or(default.items), bytes: bytes.unwrap_or(default.bytes), ..default }
    }
}

/// Whether a sink, a lane or a key may have this name. Directories have such names: none may lead out of its own.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 63 && !name.starts_with('.') && name.chars().all(good)
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none is there yet".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
