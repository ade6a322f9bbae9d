//! What a kubelet reads out of a workload: pure, from the objects as the API server has them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::{list, text};

/// The node that the pod is on.
pub(super) const NODE: &str = "node-1";

/// The pod that a workload is a template of, and the container that is ours.
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) account: String,
    pub(super) spec: Value,
    container: Value,
}

/// Where something is mounted, and what.
pub(super) struct Mount {
    pub(super) place: String,
    pub(super) read_only: bool,
    pub(super) volume: Volume,
}

/// What is mounted.
pub(super) enum Volume {
    /// The files of a `ConfigMap`.
    ConfigMap(String),
    /// A folder for this pod.
    Empty,
    /// A folder of the node.
    Host(String),
}

impl Pod {
    /// That of the first workload with a container `sluicebox`.
    pub(super) fn of(objects: &[Value]) -> Result<Self> {
        let workload = objects.iter().find(|object| matches!(text(object, "kind"), "DaemonSet" | "Deployment"));
        let workload = workload.context("there is no DaemonSet and no Deployment")?;
        let namespace =
            workload.pointer("/metadata/namespace").and_then(Value::as_str).context("the workload has no namespace")?;
        let spec = workload.pointer("/spec/template/spec").context("the workload has no pod")?;
        let ours = list(spec, "containers").find(|container| text(container, "name") == "sluicebox");
        let container = ours.context("the pod has no container `sluicebox`")?.clone();
        let account = text(spec, "serviceAccountName").to_owned();
        Ok(Self { namespace: namespace.to_owned(), account, spec: spec.clone(), container })
    }

    /// What follows the program.
    pub(super) fn arguments(&self) -> Vec<String> {
        list(&self.container, "args").filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The variables, those of `ConfigMap`s and of the downward API included.
    pub(super) fn environment(&self, objects: &[Value]) -> Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::new();
        for from in list(&self.container, "envFrom") {
            let name = from
                .pointer("/configMapRef/name")
                .and_then(Value::as_str)
                .context("variables of something else than a ConfigMap")?;
            for (key, value) in data(objects, name)? {
                variables.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        for variable in list(&self.container, "env") {
            let field = variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
            let value = field.map_or_else(|| text(variable, "value").to_owned(), |field| self.field(field));
            variables.insert(text(variable, "name").to_owned(), value);
        }
        Ok(variables)
    }

    /// What the downward API says.
    fn field(&self, path: &str) -> String {
        match path {
            "spec.nodeName" => NODE.to_owned(),
            "status.hostIP" => "127.0.0.1".to_owned(),
            "metadata.namespace" => self.namespace.clone(),
            "metadata.name" => "sluicebox-x7".to_owned(),
            _ => "0b5e0000-0000-4000-8000-000000000011".to_owned(),
        }
    }

    /// User, group, and the group of its folders; what the container says comes before what the pod says.
    pub(super) fn user(&self) -> Result<(u64, u64, Option<u64>)> {
        let own = self.container.get("securityContext");
        let pods = self.spec.get("securityContext");
        let number = |name: &str| {
            let found = own.and_then(|context| context.get(name)).or_else(|| pods.and_then(|context| context.get(name)));
            found.and_then(Value::as_u64)
        };
        let user = number("runAsUser").context("the container does not say as which user it runs")?;
        Ok((user, number("runAsGroup").unwrap_or(0), pods.and_then(|context| context.get("fsGroup")).and_then(Value::as_u64)))
    }

    /// Whether the container is confined as everything here is to be: a read-only root, no capability, no way to more.
    pub(super) fn is_confined(&self) -> bool {
        let says = |pointer: &str| self.container.pointer(pointer).and_then(Value::as_bool);
        let drops = self.container.pointer("/securityContext/capabilities/drop").and_then(Value::as_array);
        let seccomp =
            |of: &Value| of.pointer("/securityContext/seccompProfile/type").and_then(Value::as_str) == Some("RuntimeDefault");
        says("/securityContext/readOnlyRootFilesystem") == Some(true)
            && says("/securityContext/allowPrivilegeEscalation") == Some(false)
            && drops.is_some_and(|drops| drops.iter().any(|name| name == "ALL"))
            && (seccomp(&self.container) || seccomp(&self.spec))
    }

    /// Whether it sees the node's processes.
    pub(super) fn sees_host_processes(&self) -> bool {
        self.spec.get("hostPID").and_then(Value::as_bool) == Some(true)
    }

    /// Whether it sees the node's cgroups.
    pub(super) fn reads_cgroups(&self) -> bool {
        let paths = list(&self.spec, "volumes").filter_map(|volume| volume.pointer("/hostPath/path").and_then(Value::as_str));
        paths.into_iter().any(|path| path.starts_with("/sys/fs/cgroup"))
    }

    /// What is mounted where.
    pub(super) fn mounts(&self) -> Result<Vec<Mount>> {
        list(&self.container, "volumeMounts").map(|mount| self.mount(mount)).collect()
    }

    fn mount(&self, mount: &Value) -> Result<Mount> {
        let name = text(mount, "name");
        let volume = list(&self.spec, "volumes").find(|volume| text(volume, "name") == name);
        let volume = volume.with_context(|| format!("the pod has no volume `{name}`"))?;
        let found = |pointer: &str| volume.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let volume = match (found("/configMap/name"), found("/hostPath/path")) {
            (Some(name), _) => Volume::ConfigMap(name),
            (_, Some(path)) => Volume::Host(path),
            _ => Volume::Empty,
        };
        let read_only = mount.get("readOnly").and_then(Value::as_bool) == Some(true);
        Ok(Mount { place: text(mount, "mountPath").to_owned(), read_only, volume })
    }

    /// The configuration that it reads.
    pub(super) fn configuration<'a>(&self, objects: &'a [Value]) -> Result<&'a str> {
        for mount in self.mounts()? {
            if let Volume::ConfigMap(name) = mount.volume
                && let Some(text) = data(objects, &name)?.get("sluicebox.yaml").and_then(Value::as_str)
            {
                return Ok(text);
            }
        }
        anyhow::bail!("no ConfigMap of the pod has a `sluicebox.yaml`")
    }
}

/// What a `ConfigMap` holds.
pub(super) fn data<'a>(objects: &'a [Value], name: &str) -> Result<&'a serde_json::Map<String, Value>> {
    let is_it =
        |object: &&Value| text(object, "kind") == "ConfigMap" && object.pointer("/metadata/name").is_some_and(|is| is == name);
    let map = objects.iter().find(is_it).with_context(|| format!("there is no ConfigMap `{name}`"))?;
    map.get("data").and_then(Value::as_object).with_context(|| format!("the ConfigMap `{name}` is empty"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects() -> Vec<Value> {
        let container = json!({
            "name": "sluicebox", "args": ["run"],
            "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "securityContext": {"runAsUser": 7, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/sluicebox", "readOnly": true}],
        });
        let spec = json!({
            "serviceAccountName": "me", "containers": [{"name": "other"}, container],
            "securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "config", "configMap": {"name": "config"}}],
        });
        vec![
            json!({"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "b"}}),
            json!({"kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"sluicebox.yaml": "sources: {}"}}),
            json!({"kind": "DaemonSet", "metadata": {"namespace": "n"}, "spec": {"template": {"spec": spec}}}),
        ]
    }

    #[test]
    fn a_container_comes_before_its_pod() {
        let pod = Pod::of(&objects()).unwrap();
        assert_eq!(pod.user().unwrap(), (7, 2, Some(3)));
        assert!(pod.is_confined());
        assert_eq!((pod.namespace.as_str(), pod.account.as_str()), ("n", "me"));
    }

    #[test]
    fn variables_come_from_config_maps_and_from_the_pod() {
        let objects = objects();
        let pod = Pod::of(&objects).unwrap();
        let expected = [("A", "b"), ("NODE_NAME", NODE)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pod.environment(&objects).unwrap(), BTreeMap::from(expected));
        assert_eq!(pod.configuration(&objects).unwrap(), "sources: {}");
    }
}
