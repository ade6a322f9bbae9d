//! A cluster whose pods come, change and go all the time, each change with a number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sluicebox_testkit::api_server::ApiServer;
use tokio::time::sleep;

use super::clock::now_milliseconds;
use super::events::Change;
use super::random::Random;

pub(super) const NAMESPACE: &str = "shop";

/// What the cluster was made to be.
#[derive(Default)]
pub(super) struct Truth {
    /// The number of the last change of each pod that is there.
    pub(super) there: BTreeMap<String, u64>,
    /// The address of each pod that ever was, with its name.
    pub(super) addresses: BTreeMap<String, String>,
    /// Changes so far.
    pub(super) changes: u64,
    /// Those that have put a pod, by number.
    pub(super) put: BTreeMap<u64, Change>,
    /// Pods that have gone.
    pub(super) gone: Vec<Gone>,
    /// When each pod that is there came, and its address.
    came: BTreeMap<String, (i64, String)>,
    /// What has happened, for whoever looks for a cause.
    pub(super) log: Vec<String>,
    /// Pods so far.
    pods: u64,
}

/// A pod that has gone, and when.
pub(super) struct Gone {
    pub(super) address: String,
    pub(super) came: i64,
    pub(super) went: i64,
}

/// Changes pods until it is told that it is over.
pub(super) struct Cluster {
    pub(super) api: Arc<ApiServer>,
    pub(super) truth: Mutex<Truth>,
    most: usize,
    pace: u64,
    pub(super) over: std::sync::atomic::AtomicBool,
}

impl Cluster {
    pub(super) fn new(api: Arc<ApiServer>, most: usize, pace: u64) -> Arc<Self> {
        Arc::new(Self { api, truth: Mutex::default(), most, pace, over: false.into() })
    }

    pub(super) async fn live(self: Arc<Self>, seed: u64) {
        // Another way through the numbers than the plan's.
        let mut random = Random::new(!seed);
        while !self.over.load(std::sync::atomic::Ordering::Relaxed) {
            // A pod that is not there cannot be changed: that would be a mistake of ours, and the checks would tell.
            let _changed = self.change(&mut random);
            sleep(Duration::from_millis(random.between(1, self.pace))).await;
        }
    }

    fn change(&self, random: &mut Random) -> Result<()> {
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("web-{}", random.index(self.most));
        truth.changes += 1;
        let number = truth.changes;
        let change = Change { name: name.clone(), at: now_milliseconds() };
        if !truth.there.contains_key(&name) {
            truth.pods += 1;
            let address = format!("10.{}.{}.{}", truth.pods >> 16 & 255, truth.pods >> 8 & 255, truth.pods & 255);
            self.api.create_pod(pod(&name, &address, number))?;
            truth.log.push(format!("{} {number} {name} comes at {address}", change.at));
            truth.addresses.insert(address.clone(), name.clone());
            truth.came.insert(name.clone(), (change.at, address));
            truth.there.insert(name, number);
            truth.put.insert(number, change);
        } else if random.percent(15) {
            self.api.delete_pod(NAMESPACE, &name)?;
            truth.log.push(format!("{} {number} {name} goes", change.at));
            truth.there.remove(&name);
            if let Some((came, address)) = truth.came.remove(&name) {
                truth.gone.push(Gone { address, came, went: change.at });
            }
        } else {
            let patch = json!({
                "metadata": {"annotations": {"number": number.to_string()}},
                "spec": {"containers": [{"name": "main", "image": image(number)}]},
            });
            truth.log.push(format!("{} {number} {name} changes", change.at));
            self.api.patch(sluicebox_testkit::api_server::Kind::Pods, NAMESPACE, &name, &patch)?;
            truth.there.insert(name, number);
            truth.put.insert(number, change);
        }
        Ok(())
    }

    /// The pods that are there, as the API server has them, by name.
    pub(super) fn pods(&self) -> Result<BTreeMap<String, Value>> {
        let truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        let get = |name: &String| Ok((name.clone(), self.api.get(sluicebox_testkit::api_server::Kind::Pods, NAMESPACE, name)?));
        truth.there.keys().map(get).collect()
    }
}

pub(super) fn image(number: u64) -> String {
    format!("nginx:{number}")
}

fn pod(name: &str, address: &str, number: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {"number": number.to_string()}},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": image(number)}]},
        "status": {
            "phase": "Running", "qosClass": "BestEffort", "hostIP": "192.168.1.2", "podIP": address, "podIPs": [{"ip": address}],
            "startTime": "2026-01-01T12:00:00Z",
            "containerStatuses": [{
                "name": "main", "state": {"running": {"startedAt": "2026-01-01T12:00:01Z"}}, "lastState": {}, "ready": true,
                "restartCount": 0, "image": "docker.io/library/nginx:1.27", "imageID": "docker.io/library/nginx@sha256:4c0f",
                "containerID": format!("containerd://{number:064x}"),
            }],
        },
    })
}
