//! The checked configuration. Pure: if a plan exists, every name in the configuration refers to something and every value can be used.

mod clashes;
mod component;
mod nowhere;
mod scope;
pub mod shares;
mod trust;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sluicebox_contract::TimeSpan;
use sluicebox_pipeline::{Bounds, WhenFull};
use sluicebox_registry::Reference;
use sluicebox_sources::Scope;

use crate::config::store::{SinkWhenFull, Store, Sync};
use crate::config::yaml::{Document, step};
use crate::config::{self, Admin, Config, Limits, Log, Module, Problem, Queue, Sink, Sources};
use crate::presets;

/// What a name may be.
pub(crate) const NAME_HINT: &str = "use 1 to 63 letters, digits, `-`, `_` and `.`, and begin with no `.`";
use crate::trust::Demands;

pub use component::Component;
pub use scope::feeds;
use trust::Trusted;

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

/// One module at work.
#[derive(Clone, Debug)]
pub struct LanePlan {
    /// The lane's name.
    pub name: String,
    /// The module.
    pub component: Component,
    /// What its component must have.
    pub demands: Demands,
    /// A JSON object.
    pub settings: String,
    /// The sources that feed it, by their names in the configuration.
    pub from: Vec<String>,
    /// Whether the user has named the sources: then each of them must be of use.
    pub from_is_explicit: bool,
    /// Whether it works on every collector, or for the cluster on one.
    pub scope: Scope,
    /// Names of sinks of this plan.
    pub to: Vec<String>,
    /// What the module may use.
    pub limits: Limits,
    /// Events for one call, at most.
    pub batch: usize,
    /// What may wait for it.
    pub bounds: Bounds,
    /// Whether its bytes are no share, but what the configuration says.
    pub has_own_bytes: bool,
}

/// What says how a sink is fed, beside its kind.
const FEEDING: [&str; 4] = ["queue", "store", "when-full", "write-deadline"];

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    /// The sink's name.
    pub name: String,
    /// Its kind and settings.
    pub config: sluicebox_sinks::Config,
    /// What may wait for it.
    pub bounds: Bounds,
    /// Whether its bytes are no share, but what the configuration says.
    pub has_own_bytes: bool,
    /// Time for one write.
    pub write_deadline: Duration,
    /// What may wait for it on the disk.
    pub store: Option<Store>,
    /// What happens when there is no more room.
    pub when_full: SinkWhenFull,
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

    fn sources(&mut self, sources: &Sources) {
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

    fn lane(
        &mut self,
        name: &str,
        module: &Module,
        (configured, sources): (&Sources, &[String]),
        sinks: &[String],
        trusted: &Trusted,
    ) -> Option<LanePlan> {
        let path = step("/modules", name);
        self.name(&path, name);
        let component = self.component(&step(&path, "use"), &module.component);
        let mut from = self.from(&step(&path, "from"), module.from.as_deref(), sources);
        if module.scope == Scope::Cluster {
            self.of_the_cluster(&path, module.from.is_some(), &mut from, configured);
        }
        self.to(&step(&path, "to"), &module.to, sinks);
        let bounds = self.bounds(&step(&path, "queue"), module.queue, LANE_QUEUE);
        let when_full = match module.when_full {
            config::WhenFull::DropSamples => WhenFull::DropSamples,
            config::WhenFull::Wait => WhenFull::Wait,
            config::WhenFull::DropOldest => WhenFull::DropOldest,
        };
        self.limits(&step(&path, "limits"), &module.limits);
        if !(1..=4096).contains(&module.batch) {
            self.problem(&step(&path, "batch"), format!("{} is not between 1 and 4096", module.batch), "leave it out for 64");
        }
        let demands = self.demands(&path, module, component.as_ref(), trusted);
        let component = component?;
        Some(LanePlan {
            name: name.to_owned(),
            component,
            demands,
            settings: serde_json::Value::Object(module.settings.clone()).to_string(),
            from,
            from_is_explicit: module.from.is_some(),
            scope: module.scope,
            to: module.to.clone(),
            limits: module.limits.clone(),
            batch: module.batch,
            bounds: Bounds { when_full, ..bounds },
            has_own_bytes: module.queue.bytes.is_some(),
        })
    }

    /// Names become labels of metrics and names of threads.
    fn name(&mut self, path: &str, name: &str) {
        if !is_name(name) {
            self.problem(path, "not a usable name", NAME_HINT);
        }
    }

    fn component(&mut self, path: &str, text: &str) -> Option<Component> {
        if let Some(reference) = Reference::find(text) {
            let hint = "write it like `oci://registry:5000/name:tag`, or with `@sha256:` and a digest in place of the tag";
            return reference.map(Component::Registry).map_err(|error| self.problem(path, error.to_string(), hint)).ok();
        }
        if text.contains('/') {
            return Some(Component::File(PathBuf::from(text)));
        }
        if let Some(preset) = presets::find(text) {
            return Some(Component::Preset(preset));
        }
        let names: Vec<String> = presets::PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
        let hint = match presets::PRESETS.iter().min_by_key(|preset| strsim::damerau_levenshtein(preset.name, text)) {
            Some(preset) if strsim::damerau_levenshtein(preset.name, text) <= text.len() / 2 => {
                format!("did you mean `{}`?", preset.name)
            }
            _ if std::path::Path::new(text).extension().is_some_and(|extension| extension == "wasm") => {
                format!("a file is given by a path with a `/`: `./{text}`")
            }
            _ => "a file is given by a path with a `/`".to_owned(),
        };
        self.problem(path, format!("there is no preset `{text}`; there are {}", names.join(", ")), hint);
        None
    }

    fn from(&mut self, path: &str, from: Option<&[String]>, sources: &[String]) -> Vec<String> {
        let Some(from) = from else {
            return sources.to_vec();
        };
        if from.is_empty() {
            self.problem(path, "names no source", "leave `from` out to be fed from all sources");
        }
        let mut found = Vec::new();
        for (index, name) in from.iter().enumerate() {
            match sources.iter().find(|source| *source == name) {
                Some(source) if !found.contains(source) => found.push(source.clone()),
                Some(_) => {}
                None => self.problem(
                    &format!("{path}/{index}"),
                    format!("there is no source `{name}` in this configuration"),
                    format!("add `{name}: {{}}` under `sources`, or name one of those there: {}", list(sources)),
                ),
            }
        }
        found
    }

    fn to(&mut self, path: &str, to: &[String], sinks: &[String]) {
        if to.is_empty() {
            self.problem(path, "names no sink", "name at least one of those under `sinks`");
        }
        for (index, name) in to.iter().enumerate() {
            if !sinks.contains(name) {
                let hint = format!("add it under `sinks`, or name one of those there: {}", list(sinks));
                self.problem(&format!("{path}/{index}"), format!("there is no sink `{name}`"), hint);
            }
            if to.iter().take(index).any(|other| other == name) {
                self.problem(&format!("{path}/{index}"), format!("`{name}` stands here twice"), "keep one of them");
            }
        }
    }

    fn bounds(&mut self, path: &str, queue: Queue, default: Bounds) -> Bounds {
        if queue.items == Some(0) || queue.bytes.is_some_and(|bytes| bytes.0 == 0) {
            self.problem(path, "a queue that holds nothing", "give numbers above zero, or leave them out");
        }
        let bytes = queue.bytes.map(|bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX));
        Bounds { items: queue.items.unwrap_or(default.items), bytes: bytes.unwrap_or(default.bytes), ..default }
    }

    fn limits(&mut self, path: &str, limits: &Limits) {
        if limits.memory.0 < 1 << 20 {
            self.problem(
                &step(path, "memory"),
                format!("{} is too little for any module", limits.memory),
                "give at least `1MiB`",
            );
        }
        for (name, deadline) in [("deadline", limits.deadline), ("start-deadline", limits.start_deadline)] {
            if deadline.0 < Duration::from_millis(20) || deadline.0 > Duration::from_mins(5) {
                let hint = "deadlines are kept to about 10 ms: give `20ms` to `5m`";
                self.problem(&step(path, name), format!("{deadline} cannot be kept"), hint);
            }
        }
        if limits.cpu.millicores == 0 {
            self.problem(&step(path, "cpu"), "no processor at all", "give at least `1m`; `1` is a whole core");
        }
        if limits.recycle_after_calls == Some(0) {
            self.problem(&step(path, "recycle-after-calls"), "an instance that may not be called", "leave it out for never");
        }
        if let Some(mark) = limits.recycle_above_memory.filter(|mark| mark.0 > limits.memory.0) {
            let text = format!("{mark} is never reached: `memory` is {}", limits.memory);
            self.problem(&step(path, "recycle-above-memory"), text, "give less, or leave it out for three quarters");
        }
        if limits.entries == 0 || limits.output.0 == 0 || limits.component.0 == 0 {
            self.problem(path, "a limit of zero", "leave it out for the default");
        }
    }

    fn sink(&mut self, name: &str, sink: &Sink) -> Option<SinkPlan> {
        let before = self.problems.len();
        let path = step("/sinks", name);
        self.name(&path, name);
        let bounds = self.bounds(&step(&path, "queue"), sink.queue, SINK_QUEUE);
        let kinds = [
            sink.redis.clone().map(sluicebox_sinks::Config::Redis),
            sink.files.clone().map(sluicebox_sinks::Config::Files),
            sink.config_maps.clone().map(sluicebox_sinks::Config::ConfigMaps),
            sink.stdout.clone().map(sluicebox_sinks::Config::Stdout),
            sink.kafka.clone().map(sluicebox_sinks::Config::Kafka),
            sink.prometheus.clone().map(sluicebox_sinks::Config::Prometheus),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let (Some(config), None) = (kinds.next(), kinds.next()) else {
            // One kind that could not be read has been named where it stands.
            let kinds = self.names(&path).iter().filter(|name| !FEEDING.contains(&name.as_str())).count();
            if kinds != 1 {
                let text = "a sink is exactly one of `redis`, `kafka`, `files`, `config-maps`, `prometheus`, `stdout`";
                self.problem(&path, text, "name one kind, such as `stdout: {}`");
            }
            return None;
        };
        for problem in config.problems() {
            let path = format!("{path}/{}", problem.field.replace('.', "/"));
            self.problem(&path, problem.cause, problem.cure);
        }
        let write_deadline = sink.write_deadline.0;
        if write_deadline < Duration::from_millis(100) {
            let text = format!("{} is too short for any write", sink.write_deadline);
            self.problem(&step(&path, "write-deadline"), text, "give at least `100ms`, or leave it out");
        }
        if let Some(store) = &sink.store {
            self.store(&step(&path, "store"), store, &config);
        }
        let Sink { store, when_full, .. } = *sink;
        let has_own_bytes = sink.queue.bytes.is_some();
        let in_memory = match (store, when_full) {
            // What has no room goes to the store, and waits while that has none.
            (Some(_), _) | (None, SinkWhenFull::Block) => WhenFull::Wait,
            (None, SinkWhenFull::DropOldest) => WhenFull::DropOldest,
            (None, SinkWhenFull::DropNewest) => WhenFull::DropNewest,
        };
        let bounds = Bounds { when_full: in_memory, ..bounds };
        let plan = || SinkPlan { name: name.to_owned(), config, bounds, has_own_bytes, write_deadline, store, when_full };
        (self.problems.len() == before).then(plan)
    }

    fn store(&mut self, path: &str, store: &Store, sink: &sluicebox_sinks::Config) {
        if matches!(sink, sluicebox_sinks::Config::Prometheus(_)) {
            let text = "a page of metrics is kept in memory, and nothing ever waits for it";
            self.problem(path, text, "leave the store out");
        }
        if store.bytes.0 < 1 << 20 {
            self.problem(&step(path, "bytes"), format!("{} is too little", store.bytes), "give at least `1MiB`");
        } else if store.bytes.0 > 1 << 40 {
            let text = format!("{} is more than the disk of a node has", store.bytes);
            self.problem(&step(path, "bytes"), text, "give at most `1TiB`");
        }
        if store.sync == Sync::Every(Duration::ZERO) {
            self.problem(&step(path, "sync"), "no time is no time to wait for", "give `always`, or a time such as `1s`");
        }
        if store.entries_per_second == 0 {
            self.problem(&step(path, "entries-per-second"), "nothing would ever be read", "give at least 1, or leave it out");
        }
    }

    /// What is about changes while the program runs.
    fn changes(&mut self, config: &Config) {
        let spans = [
            ("/reload/poll", config.reload.poll, Duration::from_millis(100), Duration::from_hours(1)),
            ("/reload/debounce", config.reload.debounce, Duration::from_millis(10), Duration::from_mins(1)),
            ("/reload/good-after", config.reload.good_after, Duration::from_millis(100), Duration::from_hours(24)),
            ("/compiler/deadline", config.compiler.deadline, Duration::from_secs(1), Duration::from_mins(30)),
        ];
        for (path, span, least, most) in spans {
            if span.0 < least || span.0 > most {
                let hint = format!("give {} to {}, or leave it out", TimeSpan(least), TimeSpan(most));
                self.problem(path, format!("{span} is of no use"), hint);
            }
        }
        if config.compiler.memory.0 < 64 << 20 {
            let text = format!("{} is too little for any module", config.compiler.memory);
            self.problem("/compiler/memory", text, "give at least `64MiB`, or leave it out");
        }
    }

    fn registries(&mut self, config: &Config) {
        for (host, registry) in &config.registries {
            for problem in registry.problems(host) {
                self.problem(&step(&step("/registries", host), &problem.field), problem.cause, problem.cure);
            }
        }
        for problem in config.pull.problems() {
            self.problem(&step("/pull", &problem.field), problem.cause, problem.cure);
        }
    }

    fn kubernetes(&mut self, config: &Config) {
        for problem in config.kubernetes.problems() {
            let path = format!("/kubernetes/{}", problem.field.replace('.', "/"));
            self.problem(&path, problem.cause, problem.cure);
        }
        for problem in config.lease.problems() {
            self.problem(&step("/lease", &problem.field), problem.cause, problem.cure);
        }
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
