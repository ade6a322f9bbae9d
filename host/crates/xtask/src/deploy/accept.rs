//! What can be shown without running anything: a real API server takes every manifest, and the program every configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::cases::Case;
use super::cluster::Cluster;
use super::pod::Pod;
use super::tools::Tools;
use crate::workspace::{list, text};
use crate::{command, workspace};

/// Since which minor version of Kubernetes an image can be mounted.
const IMAGE_VOLUMES: u32 = 33;
/// Values that switch on what no file of values does.
const OPTIONS: &str = "image.pullSecrets[0]=registry,env[0].name=A,env[0].value=b,secretMounts[0].name=redis,secretMounts[0].mountPath=/etc/redis,\
                       rbac.events=true,rbac.lease=true,modules.configMap=mine,state.type=hostPath,hostPID=true,\
                       podMonitor.create=true,podMonitor.labels.release=prometheus,dashboard.create=true,\
                       config.log.level=debug,networkPolicy.apiServerPorts={16443}";
/// Values that cannot work, and what the chart says of them.
const REFUSED: [(&str, &str); 27] = [
    ("config.admin.listen=0.0.0.0:9999", "the probes ask port 9420"),
    ("config.admin.listen=null", "the probes ask port 9420"),
    ("config.sources.pods.scope=node", "config.modules is missing"),
    ("config.state-directory=/elsewhere", "where nothing is mounted"),
    ("config.shutdown-grace=1m", "terminationGracePeriodSeconds is 30"),
    ("config.foo=1", "'foo' not allowed"),
    ("priorityClass.name=system-node-critical", "priorityClass.create=false"),
    ("fullnameOverride=UP_per", "/fullnameOverride"),
    ("podLabels.a=1", "/podLabels/a"),
    ("podLabels.app\\.kubernetes\\.io/name=x", "app.kubernetes.io/name"),
    ("podAnnotations.a=true", "/podAnnotations/a"),
    ("nodeSelector.a=1", "/nodeSelector/a"),
    ("env[0].name=NODE_NAME", "the chart itself sets"),
    ("ports[0].name=admin,ports[0].containerPort=1", "/ports/0/name"),
    ("ports[0].name=a,ports[0].containerPort=9420", "/ports/0/containerPort"),
    ("state.sizeLimit=lots", "/state/sizeLimit"),
    ("image.tag=a b", "/image/tag"),
    ("image.repository=", "/image/repository"),
    ("mode=cluster,state.type=hostPath", "share the folder"),
    ("serviceAccount.create=false", "serviceAccount.name is missing"),
    ("podSecurityContext.runAsUser=0", "runAsNonRoot=false"),
    ("modules.image.reference=", "modules.image.reference is missing"),
    ("resources.limits.memory=banana", "/resources/limits/memory"),
    ("maxUnavailable=200%", "/maxUnavailable"),
    (
        "mode=cluster,config.sources.pods.scope=node,config.modules.a.use=b,config.sinks.c.stdout=d",
        "config.sources.pods has `scope: node`",
    ),
    (
        "mode=cluster,config.sources.services.a=b,config.modules.a.use=b,config.sinks.c.stdout=d",
        "nothing in `config` has `scope: cluster`",
    ),
    (
        "mode=cluster,config.sources.scrape.a=b,config.modules.a.scope=cluster,config.sinks.c.stdout=d",
        "config.sources.scrape has",
    ),
];
const IMAGE_OPTIONS: &str = "modules.image.reference=registry.example/modules:1,modules.image.pullPolicy=IfNotPresent";

/// What looks at manifests.
pub(super) struct Acceptance<'a> {
    pub(super) binary: &'a Path,
    pub(super) tools: &'a Tools,
    pub(super) cluster: &'a Cluster,
    pub(super) folder: &'a Path,
}

impl Acceptance<'_> {
    /// Overlays, components and the chart.
    pub(super) fn all(&self, cases: &[&Case]) -> Result<()> {
        let chart = workspace::root().join("deploy/chart");
        command::capture(Command::new("python3").arg(chart.join("readme.py")).arg("--check"))?;
        command::say(format!("the API server is {}", self.cluster.version()));
        self.cluster.define_pod_monitors()?;
        for case in cases {
            self.accept(&format!("overlay {}", case.overlay), &self.tools.kustomize(&case.path())?)?;
        }
        self.components()?;
        self.chart(&chart.join("sluicebox"))
    }

    /// Has the server take the objects, and the program their configuration.
    fn accept(&self, name: &str, manifests: &str) -> Result<()> {
        let objects = self.cluster.accept(manifests).with_context(|| name.to_owned())?;
        for monitor in objects.iter().filter(|object| text(object, "kind") == "PodMonitor") {
            ensure!(is_whole(monitor), "{name}: the server knows less of a PodMonitor than stands in it: {monitor}");
        }
        check(self.binary, &objects).with_context(|| format!("the configuration of {name}"))?;
        command::say(format!("{name}: {} objects accepted, the configuration is right", objects.len()));
        Ok(())
    }

    /// Each component, added to the collector of a node.
    fn components(&self) -> Result<()> {
        let kustomize = workspace::root().join("deploy/kustomize");
        for component in folders(&kustomize.join("components"))? {
            let name = component.file_name().unwrap_or_default().display().to_string();
            if name == "module-image" && !self.has_image_volumes("component module-image") {
                continue;
            }
            let place = self.folder.join("component");
            fs::create_dir_all(&place)?;
            let place = fs::canonicalize(place)?;
            let (base, component) = (from(&place, &kustomize.join("base/node"))?, from(&place, &component)?);
            fs::write(place.join("kustomization.yaml"), format!("resources: [\"{base}\"]\ncomponents: [\"{component}\"]\n"))?;
            self.accept(&format!("component {name}"), &self.tools.kustomize(&place)?)?;
        }
        Ok(())
    }

    /// The chart, as it stands, with each file of values, and with what none of them switches on.
    fn chart(&self, chart: &Path) -> Result<()> {
        command::capture(Command::new(&self.tools.helm).arg("lint").arg(chart))?;
        let template = |arguments: &[&str]| self.tools.template(chart, self.cluster.version(), arguments);
        self.accept("chart default", &template(&[])?)?;
        let cluster = template(&["--set", "mode=cluster"])?;
        ensure!(cluster.contains("scope: cluster"), "the chart's Deployment looks at one node as it stands");
        self.accept("chart as a Deployment", &cluster)?;
        for (values, words) in REFUSED {
            let said = template(&["--set", values]).err().map(|error| error.to_string());
            ensure!(said.as_ref().is_some_and(|said| said.contains(words)), "chart with `{values}`: not `{words}`, but {said:?}");
        }
        for file in folders(&chart.join("values"))? {
            let name = file.file_stem().unwrap_or_default().display();
            self.accept(&format!("chart {name}"), &template(&["--values", &file.display().to_string()])?)?;
        }
        self.accept("chart with options", &template(&["--set", OPTIONS])?)?;
        if self.has_image_volumes("chart with modules of an image") {
            self.accept("chart with modules of an image", &template(&["--set", IMAGE_OPTIONS])?)?;
        }
        Ok(())
    }

    fn has_image_volumes(&self, what: &str) -> bool {
        let version = self.cluster.version();
        let has = self.cluster.minor() >= IMAGE_VOLUMES;
        if !has {
            command::say(format!(
                "{what}: NOT TRIED: this API server ({version}) is older than image volumes (v1.{IMAGE_VOLUMES})"
            ));
        }
        has
    }
}

/// Has the program look at the configuration that the pod would be given, with its variables.
fn check(binary: &Path, objects: &[Value]) -> Result<()> {
    let pod = Pod::of(objects)?;
    let mut checked = Command::new(binary);
    checked.arg("check").arg("-").envs(pod.environment(objects)?);
    command::with_input(&mut checked, pod.configuration(objects)?).map(|_| ())
}

/// Whether the server has kept what says where metrics are: what its definition does not name it drops without a word.
fn is_whole(monitor: &Value) -> bool {
    let spec = monitor.get("spec").unwrap_or(&Value::Null);
    let whole = |endpoint: &Value| ["port", "path", "interval"].iter().all(|field| !text(endpoint, field).is_empty());
    spec.pointer("/selector/matchLabels/app.kubernetes.io~1name").is_some()
        && list(spec, "podMetricsEndpoints").next().is_some()
        && list(spec, "podMetricsEndpoints").all(whole)
}

/// What is in a folder, in the order of names.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The way to a folder from another one: kustomize takes no path from the root.
fn from(place: &Path, folder: &Path) -> Result<String> {
    let folder = fs::canonicalize(folder).with_context(|| format!("cannot find {}", folder.display()))?;
    let up = "../".repeat(place.components().count().saturating_sub(1));
    Ok(format!("{up}{}", folder.display().to_string().trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_monitor_that_has_lost_a_field_is_not_whole() {
        let labels = json!({"matchLabels": {"app.kubernetes.io/name": "sluicebox"}});
        let of = |endpoints: Value| json!({"spec": {"selector": labels, "podMetricsEndpoints": endpoints}});
        assert!(is_whole(&of(json!([{"port": "admin", "path": "/metrics", "interval": "30s"}]))));
        assert!(!is_whole(&of(json!([{"port": "admin", "path": "/metrics"}]))));
        assert!(!is_whole(&of(json!([]))));
        assert!(!is_whole(&json!({})));
    }

    #[test]
    fn the_way_from_one_folder_to_another_leads_over_the_root() {
        assert_eq!(from(Path::new("/a/b"), Path::new("/proc")).unwrap(), "../../proc");
    }
}
