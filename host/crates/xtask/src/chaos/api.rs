//! The API server of one seed, as whoever changes pods sees it: a played one of its own, or a namespace and a node of a real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sluicebox_testkit::api_server::{ApiServer, Kind};
use sluicebox_testkit::servers::{KubeApiServer, KubeClient};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::config::MAP;

/// What somebody else has put into a `ConfigMap`, and its key.
const STRANGER: &str = "strangers";

/// Where pods are made.
pub(super) struct Api {
    pub(super) namespace: String,
    pub(super) node: String,
    pub(super) way: Way,
}

/// How it is reached.
pub(super) enum Way {
    Played(ApiServer),
    /// Whoever holds the client is the only one who changes anything.
    Real(Arc<Mutex<KubeClient>>),
}

impl Api {
    pub(super) async fn played() -> Result<Self> {
        Ok(Self { namespace: "shop".to_owned(), node: "n1".to_owned(), way: Way::Played(ApiServer::start().await?) })
    }

    /// What other seeds have left is on other nodes.
    pub(super) async fn real(server: &KubeApiServer, seed: u64) -> Result<Self> {
        let (namespace, node) = (format!("shop-{seed}"), format!("n-{seed}"));
        server.create_namespace(&namespace).await?;
        let mut client = server.client();
        let map = json!({"metadata": {"name": MAP}, "data": {STRANGER: STRANGER}});
        client.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map).await?;
        Ok(Self { namespace, node, way: Way::Real(Arc::new(Mutex::new(client))) })
    }

    /// The played one.
    pub(super) fn as_played(&self) -> Option<&ApiServer> {
        match &self.way {
            Way::Played(api) => Some(api),
            Way::Real(_) => None,
        }
    }

    /// Waits until nothing is being changed, and lets nothing be changed until this is dropped.
    pub(super) async fn hold(&self) -> Option<OwnedMutexGuard<KubeClient>> {
        match &self.way {
            Way::Played(_) => None,
            Way::Real(client) => Some(Arc::clone(client).lock_owned().await),
        }
    }

    /// A pod that runs. A real server tells first that it is there, and then that it runs.
    pub(super) async fn create_pod(&self, name: &str, address: &str, number: u64) -> Result<()> {
        let (pod, status) = (self.pod(name, number), status(address, number));
        match &self.way {
            Way::Played(api) => {
                let mut pod = pod;
                if let Some(fields) = pod.as_object_mut() {
                    fields.insert("status".to_owned(), status);
                }
                api.create_pod(pod)?;
            }
            Way::Real(client) => {
                let mut client = client.lock().await;
                client.create(&self.path(""), &pod).await?;
                client.merge(&self.path(&format!("/{name}/status")), &json!({ "status": status })).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn change_pod(&self, name: &str, number: u64) -> Result<()> {
        let patch = json!({
            "metadata": {"annotations": {"number": number.to_string()}},
            "spec": {"containers": [{"name": "main", "image": image(number)}]},
        });
        match &self.way {
            Way::Played(api) => api.patch(Kind::Pods, &self.namespace, name, &patch)?,
            Way::Real(client) => client.lock().await.merge(&self.path(&format!("/{name}")), &patch).await?,
        };
        Ok(())
    }

    pub(super) async fn delete_pod(&self, name: &str) -> Result<()> {
        match &self.way {
            Way::Played(api) => api.delete_pod(&self.namespace, name)?,
            Way::Real(client) => client.lock().await.delete_at_once(&self.path(&format!("/{name}"))).await?,
        };
        Ok(())
    }

    /// These pods as the server has them, by name.
    pub(super) async fn pods(&self, names: &[String]) -> Result<BTreeMap<String, Value>> {
        match &self.way {
            Way::Played(api) => {
                let get = |name: &String| Ok((name.clone(), api.get(Kind::Pods, &self.namespace, name)?));
                names.iter().map(get).collect()
            }
            Way::Real(client) => {
                let list = client.lock().await.get(&self.path("")).await?;
                let items = list.get("items").and_then(Value::as_array).context("the server sends no list")?;
                let name = |pod: &Value| pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(items.iter().map(|pod| (name(pod), pod.clone())).filter(|(name, _)| names.contains(name)).collect())
            }
        }
    }

    /// What is in all `ConfigMaps` together, and what is wrong with them: a key of somebody else's has to stay, and each key has one place.
    pub(super) async fn config_maps(&self) -> Result<(BTreeMap<String, String>, Vec<String>)> {
        let (mut data, mut faults) = (BTreeMap::new(), Vec::new());
        let Way::Real(client) = &self.way else { return Ok((data, faults)) };
        let list = client.lock().await.get(&format!("/api/v1/namespaces/{}/configmaps", self.namespace)).await?;
        let items = list.get("items").and_then(Value::as_array).context("the server sends no list")?;
        for (key, value) in items.iter().filter_map(|map| map.get("data")?.as_object()).flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            if data.insert(key.clone(), value).is_some() {
                faults.push(format!("the document at {key} is in two ConfigMaps"));
            }
        }
        if data.remove(STRANGER).is_none_or(|value| value != STRANGER) {
            faults.push("what somebody else has put into a ConfigMap is not there".to_owned());
        }
        Ok((data, faults))
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/pods{rest}", self.namespace)
    }

    fn pod(&self, name: &str, number: u64) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "annotations": {"number": number.to_string()}},
            "spec": {
                "nodeName": self.node, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": image(number)}],
            },
        })
    }
}

pub(super) fn image(number: u64) -> String {
    format!("nginx:{number}")
}

fn status(address: &str, number: u64) -> Value {
    json!({
        "phase": "Running", "qosClass": "BestEffort", "hostIP": "192.168.1.2", "podIP": address, "podIPs": [{"ip": address}],
        "startTime": "2026-01-01T12:00:00Z",
        "containerStatuses": [{
            "name": "main", "state": {"running": {"startedAt": "2026-01-01T12:00:01Z"}}, "lastState": {}, "ready": true,
            "restartCount": 0, "image": "docker.io/library/nginx:1.27", "imageID": "docker.io/library/nginx@sha256:4c0f",
            "containerID": format!("containerd://{number:064x}"),
        }],
    })
}
