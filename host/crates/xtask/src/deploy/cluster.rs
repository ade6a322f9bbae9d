//! A real API server, and what is asked of it: by kubectl, as whoever installs would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sluicebox_testkit::servers::KubeApiServer;

use super::pod::Pod;
use super::tools::Tools;
use crate::{command, workspace};

/// Where the overlays and, here, the chart install.
pub(super) const NAMESPACE: &str = "sluicebox";
/// The oldest version that is supported, and the one of the lab: some of its builds do not say so themselves.
const OLDEST: &str = "v1.20.2";
/// Where the Fluent Bit of the example is.
const LOGGING: &str = "logging";

pub(super) struct Cluster {
    pub(super) api: KubeApiServer,
    kubectl: PathBuf,
    kube_config: PathBuf,
    folder: PathBuf,
    /// Such as `v1.20.2`.
    version: String,
}

impl Cluster {
    /// Starts it, with the namespaces that a dry run needs to be there.
    pub(super) async fn start(tools: &Tools, folder: &Path) -> Result<Self> {
        let api = KubeApiServer::start().await.context("`cargo xtask lab` gets an API server")?;
        let kube_config = api.kube_config(api.admin_token())?;
        for namespace in [NAMESPACE, LOGGING] {
            api.create_namespace(namespace).await?;
        }
        let folder = folder.to_owned();
        let mut cluster = Self { api, kubectl: tools.kubectl.clone(), kube_config, folder, version: String::new() };
        let version: Value =
            serde_json::from_str(&cluster.ask(&["get", "--raw", "/version"])?).context("cannot read its version")?;
        let version = workspace::text(&version, "gitVersion");
        if version.starts_with("v1.") { version } else { OLDEST }.clone_into(&mut cluster.version);
        Ok(cluster)
    }

    /// Of Kubernetes, such as `v1.20.2`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The second number of the version.
    pub(super) fn minor(&self) -> u32 {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
    }

    /// Tells the server what a `PodMonitor` is, as far as ours say something: the definition belongs to Prometheus' operator.
    pub(super) fn define_pod_monitors(&self) -> Result<()> {
        self.apply(include_str!("pod-monitor.json"))?;
        let name = "customresourcedefinition/podmonitors.monitoring.coreos.com";
        self.ask(&["wait", "--for=condition=established", "--timeout=60s", name]).map(|_| ())
    }

    /// The port of loopback at which it listens.
    pub(super) fn port(&self) -> Result<String> {
        let url = self.api.url();
        url.rsplit_once(':').map(|(_, port)| port.to_owned()).context("the API server's address has no port")
    }

    /// Has the server say what it would make of manifests, without keeping anything.
    pub(super) fn accept(&self, manifests: &str) -> Result<Vec<Value>> {
        self.send(manifests, &["apply", "--server-side", "--force-conflicts", "--dry-run=server"])
    }

    /// Has the server keep them.
    pub(super) fn apply(&self, manifests: &str) -> Result<Vec<Value>> {
        self.send(manifests, &["apply", "--server-side", "--force-conflicts"])
    }

    /// Has the server say whether it would take the pod that the workload is a template of.
    pub(super) fn accept_pod(&self, pod: &Pod) -> Result<()> {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "tried", "namespace": pod.namespace}, "spec": pod.spec,
        });
        self.send(&object.to_string(), &["create", "--dry-run=server"]).map(|_| ())
    }

    /// Has the server keep another state of an object.
    pub(super) fn replace(&self, object: &Value) -> Result<()> {
        self.send(&object.to_string(), &["replace"]).map(|_| ())
    }

    /// Removes roles, bindings and workloads; what else there is does no harm to what comes next.
    pub(super) fn remove(&self, objects: &[Value]) -> Result<()> {
        let ends = |object: &&Value| {
            let kind = workspace::text(object, "kind");
            kind.ends_with("Role")
                || kind.ends_with("RoleBinding")
                || matches!(kind, "DaemonSet" | "Deployment" | "NetworkPolicy")
        };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.iter().filter(ends).collect::<Vec<_>>()});
        let file = self.file(&list.to_string())?;
        self.ask(&["delete", "--ignore-not-found", "--wait=false", "-f", &file.display().to_string()]).map(|_| ())
    }

    /// What kubectl prints.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl.arg("--kubeconfig").arg(&self.kube_config).arg("--cache-dir").arg(self.folder.join("kubectl"));
        command::capture(kubectl.args(arguments))
    }

    fn send(&self, manifests: &str, arguments: &[&str]) -> Result<Vec<Value>> {
        let file = self.file(manifests)?;
        let mut all = arguments.to_vec();
        let path = file.display().to_string();
        all.extend(["-o", "json", "-f", &path]);
        let answer = self.ask(&all)?;
        let value: Value = serde_json::from_str(&answer).context("cannot read what kubectl printed")?;
        match value.get("items").and_then(Value::as_array) {
            Some(items) => Ok(items.clone()),
            None => Ok(vec![value]),
        }
    }

    fn file(&self, text: &str) -> Result<PathBuf> {
        let file = self.folder.join("manifests");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}
