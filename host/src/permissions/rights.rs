//! Which rights at the API server a plan needs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sluicebox_sinks::config_maps;
use sluicebox_sources::Scope;
use sluicebox_sources::kubernetes::TokenRetrieval;
use sluicebox_sources::kubernetes::access::Deed;

use crate::plan::{Component, LanePlan, Plan};

/// What is needed, and by which parts of the configuration.
pub(super) type Rights = BTreeMap<Deed, BTreeSet<String>>;

/// What is known besides the plan.
pub(super) struct Around<'a> {
    /// The name of this node.
    pub(super) node: &'a str,
    /// The sources that feed each lane with events that its module handles, in the order of the plan.
    pub(super) fed: &'a [Vec<String>],
    /// Namespace and name of the Lease.
    pub(super) lease: (&'a str, &'a str),
    /// Where Kubernetes Events would live, if they are posted.
    pub(super) events: Option<&'a str>,
}

const READ: [&str; 2] = ["list", "watch"];
/// What controls pods in clusters without further kinds. Nobody is asked about a node, which controls static pods.
const CONTROLLERS: [(&str, &str); 7] = [
    ("apps", "replicasets"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
    ("", "replicationcontrollers"),
];

/// Everything that is asked of the API server.
pub(super) fn rights(plan: &Plan, around: &Around<'_>) -> Rights {
    let mut need = Need { rights: Rights::new() };
    for (lane, fed) in plan.lanes.iter().zip(around.fed) {
        for source in fed {
            need.source(plan, around, source, lane.scope);
        }
    }
    if plan.lease.enabled && works_for_the_cluster(plan, around) {
        let (namespace, name) = around.lease;
        let in_namespace = |verb, name: Option<&str>| Deed {
            group: "coordination.k8s.io",
            resource: "leases",
            namespace: Some(namespace.to_owned()),
            name: name.map(str::to_owned),
            verb,
        };
        need.add("lease", in_namespace("create", None));
        need.add("lease", in_namespace("get", Some(name)));
        need.add("lease", in_namespace("update", Some(name)));
    }
    for sink in &plan.sinks {
        if let sluicebox_sinks::Config::ConfigMaps(config) = &sink.config {
            let writers = plan.lanes.iter().filter(|lane| lane.to.contains(&sink.name));
            need.config_maps(&format!("sinks.{}", sink.name), config, writers);
        }
    }
    if let Some(namespace) = around.events {
        for verb in ["create", "patch"] {
            let deed = Deed { namespace: Some(namespace.to_owned()), ..everywhere("", "events", verb) };
            need.add("reload.kubernetes-events", deed);
        }
    }
    need.rights
}

/// Whether anything runs for the lease.
fn works_for_the_cluster(plan: &Plan, around: &Around<'_>) -> bool {
    let sources = &plan.sources;
    let scope = |source: &str| match source {
        "pods" => sources.pods.as_ref().map(|pods| pods.scope),
        "nodes" => sources.nodes.as_ref().map(|nodes| nodes.scope),
        "prometheus" => sources.prometheus.as_ref().map(|prometheus| prometheus.scope),
        "scrape" => sources.scrape.as_ref().map(|scrape| scrape.scope),
        _ => None,
    };
    let lanes = plan.lanes.iter().zip(around.fed);
    let mut scopes = lanes.flat_map(|(lane, fed)| fed.iter().map(|source| (lane.scope, scope(source))));
    scopes.any(|(lane, source)| lane == Scope::Cluster || source == Some(Scope::Cluster))
}

/// The targets of the source `scrape` that are kubelets and come to know the service account: a kubelet asks the API server about whoever comes
/// with a token, also where the program itself has nothing to ask there.
pub(super) fn kubelets(plan: &Plan) -> impl Iterator<Item = &str> {
    let targets = plan.sources.scrape.iter().flat_map(|scrape| &scrape.targets);
    let kubelets = targets.filter(|(_, target)| {
        let is_of_the_account = target.http.bearer_token_file.as_deref() == Some(TokenRetrieval::usual_file());
        let is_of_a_kubelet = target.url.split_once("://").is_some_and(|(_, rest)| {
            rest.split_once('/').is_some_and(|(host, path)| host.ends_with(":10250") && path.starts_with("metrics"))
        });
        is_of_the_account && is_of_a_kubelet
    });
    kubelets.map(|(name, _)| name.as_str())
}

struct Need {
    rights: Rights,
}

impl Need {
    fn add(&mut self, by: &str, deed: Deed) {
        self.rights.entry(deed).or_default().insert(by.to_owned());
    }

    fn read(&mut self, by: &str, resource: &'static str, name: Option<&str>) {
        for verb in READ {
            self.add(by, Deed { name: name.map(str::to_owned), ..everywhere("", resource, verb) });
        }
    }

    fn owners(&mut self, by: &str) {
        for (group, resource) in CONTROLLERS {
            self.add(by, everywhere(group, resource, "get"));
        }
    }

    /// What a source asks that feeds a lane of this scope.
    fn source(&mut self, plan: &Plan, around: &Around<'_>, source: &str, lane: Scope) {
        let by = format!("sources.{source}");
        let sources = &plan.sources;
        match source {
            // Pods of one node are chosen by a field; the right to them is the right to all.
            "pods" => self.read(&by, "pods", None),
            "services" => self.read(&by, "services", None),
            "namespaces" => self.read(&by, "namespaces", None),
            "nodes" => {
                let Some(config) = &sources.nodes else { return };
                let one = lane == Scope::Node && config.scope == Scope::Node;
                let node = config.node.as_deref().unwrap_or(around.node);
                self.read(&by, "nodes", one.then_some(node));
            }
            "inventory" => {
                let Some(config) = &sources.inventory else { return };
                self.read(&by, "pods", None);
                self.read(&by, "nodes", Some(config.node.as_deref().unwrap_or(around.node)));
                if config.owners {
                    self.owners(&by);
                }
            }
            "tracer" => {
                let Some(config) = sources.tracer.as_ref().filter(|config| config.kubernetes) else { return };
                let node = config.node.as_deref().unwrap_or(around.node);
                self.read(&by, "pods", None);
                self.read(&by, "services", None);
                self.read(&by, "nodes", (config.scope == Scope::Node).then_some(node));
                if config.workloads {
                    self.owners(&by);
                }
            }
            "cgroups" if sources.cgroups.as_ref().is_some_and(|config| config.kubernetes) => self.read(&by, "pods", None),
            "scrape" => self.scrape(plan),
            _ => {}
        }
    }

    fn scrape(&mut self, plan: &Plan) {
        for name in kubelets(plan) {
            self.add(&format!("sources.scrape.targets.{name}"), everywhere("", "nodes/metrics", "get"));
        }
    }

    fn config_maps<'a>(&mut self, by: &str, config: &config_maps::Config, writers: impl Iterator<Item = &'a LanePlan>) {
        let deed = |verb, name| Deed { namespace: Some(config.namespace.clone()), name, ..everywhere("", "configmaps", verb) };
        self.add(by, deed("create", None));
        let mut names: BTreeSet<String> = config.names().into_iter().collect();
        let mut are_known = true;
        for lane in writers {
            match collection(lane) {
                Some(Collection::Named(name)) => {
                    names.extend(config_maps::Config { name: Some(name), ..config.clone() }.names());
                }
                Some(Collection::Sinks) => {}
                None => are_known = false,
            }
        }
        // Which ones a module of the user's names is for itself to know.
        let names: Vec<Option<String>> = if are_known { names.into_iter().map(Some).collect() } else { vec![None] };
        for name in names {
            self.add(by, deed("get", name.clone()));
            self.add(by, deed("patch", name));
        }
    }
}

/// Where a module keeps its documents.
enum Collection {
    Named(String),
    Sinks,
}

/// That of the presets that make documents for `ConfigMap`s.
fn collection(lane: &LanePlan) -> Option<Collection> {
    let Component::Preset(preset) = lane.component else { return None };
    let usual = match preset.name {
        "connection-transactions" => "transactions",
        "pod-metadata" => "metadata",
        _ => return None,
    };
    let settings: serde_json::Value = serde_json::from_str(&lane.settings).ok()?;
    match settings.get("collection") {
        None => Some(Collection::Named(usual.to_owned())),
        Some(serde_json::Value::String(name)) => Some(Collection::Named(name.clone())),
        Some(_) => Some(Collection::Sinks),
    }
}

fn everywhere(group: &'static str, resource: &'static str, verb: &'static str) -> Deed {
    Deed { group, resource, namespace: None, name: None, verb }
}
