//! What the tests of inventories need: a node with an API server and processes, a source, and what it has told.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Event, InventoryPod, Notice, SubjectId, SubjectIds};
use sluicebox_sources::inventory::{Config, Inventory};
use sluicebox_sources::kubernetes::{Api, Config as Kubernetes};
use sluicebox_testkit::api_server::{ApiServer, Kind};
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use tempfile::TempDir;

use crate::cluster::Recorder;

pub(crate) const NODE: &str = "n1";

pub(crate) struct Bench {
    pub(crate) server: ApiServer,
    pub(crate) meter: Arc<SourceMeter>,
    pub(crate) config: Config,
    /// What stands for the host's processes, where no real ones are wanted.
    pub(crate) proc: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let server = ApiServer::start().await.expect("the server starts");
        let node = json!({
            "metadata": {"name": NODE, "labels": {"zone": "a", "arch": "x"}},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.1.2"}], "nodeInfo": {"kernelVersion": "6.1.0"},
                "allocatable": {"memory": "1Gi", "cpu": "2"}},
        });
        server.create_node(node).expect("it is created");
        let proc = tempfile::tempdir().expect("a folder");
        let config = Config {
            period: TimeSpan(Duration::from_mins(10)),
            host_proc: proc.path().to_owned(),
            owners: false,
            ..Config::default()
        };
        Self { server, meter: Arc::default(), config, proc }
    }

    /// With another inventory each second.
    pub(crate) fn often(mut self) -> Self {
        self.config.period = TimeSpan(Duration::from_secs(1));
        self
    }

    pub(crate) async fn source(&self) -> Inventory {
        let kubernetes = Kubernetes { url: Some(self.server.url()), ..Kubernetes::default() };
        let api = Api::connect(&kubernetes).await.expect("a way to the API server");
        Inventory::new(&self.config, api, NODE, &Arc::new(SubjectIds::default()), Arc::clone(&self.meter))
    }

    pub(crate) fn create(&self, pod: &PodSpec) {
        self.server.create_pod(pod.object()).expect("it is created");
    }

    /// A process of a container, as files.
    pub(crate) fn process(&self, pid: u32, pod: &PodSpec, container: usize) {
        let directory = self.proc.path().join(pid.to_string());
        std::fs::create_dir_all(&directory).expect("a folder");
        let (uid, id) = (&pod.uid, &pod.containers[container].1);
        std::fs::write(directory.join("cgroup"), format!("0::/kubepods/burstable/pod{uid}/{id}\n")).expect("a file");
        std::fs::write(directory.join("stat"), format!("{pid} (a) S {}77 0\n", "0 ".repeat(18))).expect("a file");
    }
}

/// An inventory with all its parts.
pub(crate) struct Whole {
    pub(crate) parts: Vec<Arc<sluicebox_contract::Inventory>>,
    /// How many notices came before its last part.
    pub(crate) end: usize,
}

impl Whole {
    pub(crate) fn pods(&self) -> Vec<&InventoryPod> {
        self.parts.iter().flat_map(|part| &part.pods).collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.pods().into_iter().map(|pod| pod.name.as_str()).collect()
    }

    pub(crate) fn pod(&self, name: &str) -> &InventoryPod {
        self.pods().into_iter().find(|pod| pod.name == name).expect("it is in the inventory")
    }

    pub(crate) fn pids(&self, name: &str) -> Vec<Vec<u32>> {
        self.pod(name).containers.iter().map(|container| container.pids.clone()).collect()
    }

    pub(crate) fn owners(&self, name: &str) -> Vec<String> {
        self.pod(name).owners.iter().map(|owner| format!("{} {}", owner.kind, owner.name)).collect()
    }
}

/// What was told so far. Every rule of the order of notices is held against it.
pub(crate) fn told(recorder: &Recorder) -> Vec<Whole> {
    let (mut exist, mut whole, mut parts) = (BTreeSet::<SubjectId>::new(), Vec::new(), Vec::new());
    for (end, notice) in recorder.notices().into_iter().enumerate() {
        match notice {
            Notice::Defined(subject) => drop(exist.insert(subject.id)),
            Notice::Forgotten(subject) => assert!(exist.remove(&subject), "only what exists is forgotten"),
            Notice::Listed => assert_eq!(whole.len(), 1, "it comes after the first inventory"),
            Notice::Event(Event::Inventory(part)) => {
                assert!(part.subjects().all(|subject| exist.contains(&subject)), "defined before it is named");
                let more = part.more;
                parts.push(part);
                if !more {
                    whole.push(Whole { parts: std::mem::take(&mut parts), end });
                }
            }
            Notice::Event(other) | Notice::Tracked(other, _) => panic!("{other:?}"),
        }
    }
    whole
}

/// Waits for an inventory of which this holds; only those that end after so many notices count.
pub(crate) async fn until_after(recorder: &Recorder, after: usize, what: &str, holds: impl Fn(&Whole) -> bool) -> Whole {
    let begun = Instant::now();
    loop {
        if let Some(found) = told(recorder).into_iter().find(|whole| whole.end >= after && holds(whole)) {
            return found;
        }
        let last = told(recorder).pop().map(|whole| whole.parts);
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}; the last was {last:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn until(recorder: &Recorder, what: &str, holds: impl Fn(&Whole) -> bool) -> Whole {
    until_after(recorder, 0, what, holds).await
}

pub(crate) fn text(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A `Deployment` with a `ReplicaSet`, and a pod of it.
pub(crate) fn owned(bench: &Bench, number: u32) -> PodSpec {
    let reference = |kind: &str, owner: &Value| {
        let metadata = &owner["metadata"];
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true}])
    };
    let create = |kind, name: String, owners: Value| {
        bench
            .server
            .create(kind, json!({"metadata": {"name": name, "namespace": "shop", "ownerReferences": owners}}))
            .expect("it is created")
    };
    let deployment = create(Kind::Deployments, format!("web-{number}"), json!([]));
    let set = create(Kind::ReplicaSets, format!("web-{number}-x"), reference("Deployment", &deployment));
    let pod = PodSpec::numbered(NODE, number, 1);
    let mut object = pod.object();
    object["metadata"]["ownerReferences"] = reference("ReplicaSet", &set);
    bench.server.create_pod(object).expect("it is created");
    pod
}

/// A process in real cgroups; it ends with this.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn in_container(kubelet: &Kubelet, pod: &PodSpec, container: usize) -> Self {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("it starts");
        let path = kubelet.path(pod, Some(&pod.containers[container].1));
        for file in kubelet.files(&path, "cgroup.procs") {
            std::fs::write(file, child.id().to_string()).expect("it joins");
        }
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}
