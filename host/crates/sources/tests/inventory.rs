//! What runs on a node, as the source tells it: real processes in the cgroups of pods, and an API server that comes and goes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Recorder, during};
use serde_json::{Value, json};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Event, InventoryPod, Notice, SubjectId, SubjectIds};
use sluicebox_sources::inventory::{Config, Inventory, Of};
use sluicebox_sources::kubernetes::{Api, Config as Kubernetes};
use sluicebox_testkit::api_server::{ApiServer, Kind, RequestFault, RequestFaultKind};
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::servers::{Need, require};
use tempfile::TempDir;

const NODE: &str = "n1";

struct Bench {
    server: ApiServer,
    meter: Arc<SourceMeter>,
    config: Config,
    /// What stands for the host's processes, where no real ones are wanted.
    proc: TempDir,
}

impl Bench {
    async fn new() -> Self {
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
    fn often(mut self) -> Self {
        self.config.period = TimeSpan(Duration::from_secs(1));
        self
    }

    async fn source(&self) -> Inventory {
        let kubernetes = Kubernetes { url: Some(self.server.url()), ..Kubernetes::default() };
        let api = Api::connect(&kubernetes).await.expect("a way to the API server");
        Inventory::new(&self.config, api, NODE, &Arc::new(SubjectIds::default()), Arc::clone(&self.meter))
    }

    fn create(&self, pod: &PodSpec) {
        self.server.create_pod(pod.object()).expect("it is created");
    }

    /// A process of a container, as files.
    fn process(&self, pid: u32, pod: &PodSpec, container: usize) {
        let directory = self.proc.path().join(pid.to_string());
        std::fs::create_dir_all(&directory).expect("a folder");
        let (uid, id) = (&pod.uid, &pod.containers[container].1);
        std::fs::write(directory.join("cgroup"), format!("0::/kubepods/burstable/pod{uid}/{id}\n")).expect("a file");
        std::fs::write(directory.join("stat"), format!("{pid} (a) S {}77 0\n", "0 ".repeat(18))).expect("a file");
    }
}

/// An inventory with all its parts.
struct Whole {
    parts: Vec<Arc<sluicebox_contract::Inventory>>,
    /// How many notices came before its last part.
    end: usize,
}

impl Whole {
    fn pods(&self) -> Vec<&InventoryPod> {
        self.parts.iter().flat_map(|part| &part.pods).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.pods().into_iter().map(|pod| pod.name.as_str()).collect()
    }

    fn pod(&self, name: &str) -> &InventoryPod {
        self.pods().into_iter().find(|pod| pod.name == name).expect("it is in the inventory")
    }

    fn pids(&self, name: &str) -> Vec<Vec<u32>> {
        self.pod(name).containers.iter().map(|container| container.pids.clone()).collect()
    }

    fn owners(&self, name: &str) -> Vec<String> {
        self.pod(name).owners.iter().map(|owner| format!("{} {}", owner.kind, owner.name)).collect()
    }
}

/// What was told so far. Every rule of the order of notices is held against it.
fn told(recorder: &Recorder) -> Vec<Whole> {
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
            Notice::Event(other) => panic!("{other:?}"),
        }
    }
    whole
}

/// Waits for an inventory of which this holds; only those that end after so many notices count.
async fn until_after(recorder: &Recorder, after: usize, what: &str, holds: impl Fn(&Whole) -> bool) -> Whole {
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

async fn until(recorder: &Recorder, what: &str, holds: impl Fn(&Whole) -> bool) -> Whole {
    until_after(recorder, 0, what, holds).await
}

fn text(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_first_inventory_has_everything() {
    let bench = Bench::new().await;
    let pod = PodSpec::numbered(NODE, 1, 2);
    bench.create(&pod);
    bench.create(&PodSpec::numbered("elsewhere", 2, 1));
    bench.process(40, &pod, 1);
    bench.process(9, &pod, 1);
    let recorder = Recorder::default();
    let whole = during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        until(&recorder, "an inventory", |_| true).await
    })
    .await;
    assert_eq!(whole.names(), ["web-1"]);
    let (node, told) = (whole.parts[0].node.clone().expect("the node"), whole.pod("web-1"));
    assert_eq!((node.name.as_str(), node.kernel_version.as_str()), (NODE, "6.1.0"));
    assert_eq!((text(&node.addresses).as_str(), text(&node.labels).as_str()), ("InternalIP=10.0.1.2", "arch=x zone=a"));
    assert_eq!(text(&node.allocatable), "cpu=2 memory=1Gi");
    assert_eq!(
        (told.uid.as_str(), told.phase.as_deref(), told.pod_ips.as_slice()),
        (pod.uid.as_str(), Some("Running"), &["10.42.1.95".to_owned()][..])
    );
    assert_eq!(whole.pids("web-1"), [vec![], vec![9, 40]]);
    assert_eq!(told.containers[0].id.as_deref(), Some(pod.containers[0].1.as_str()));
    assert_eq!(told.containers[0].image, "nginx:1.27");
    assert_eq!((bench.meter.listed.get(), bench.meter.connected.get(), bench.meter.cached_objects.get()), (1, 1, 2));
}

#[tokio::test]
async fn changes_are_told_at_once_and_together() {
    let bench = Bench::new().await;
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        assert_eq!(told(&recorder)[0].names(), [""; 0]);
        for number in 1..=50 {
            bench.create(&PodSpec::numbered(NODE, number, 1));
        }
        let begun = Instant::now();
        until(&recorder, "all pods", |whole| whole.pods().len() == 50).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not wait for its period");
        bench.server.patch(Kind::Nodes, "", NODE, &json!({"metadata": {"labels": {"zone": "b"}}})).expect("it is patched");
        until(&recorder, "another zone", |whole| {
            whole.parts[0].node.as_ref().is_some_and(|node| text(&node.labels).contains("zone=b"))
        })
        .await;
        bench.server.delete_pod("shop", "web-7").expect("it is deleted");
        until(&recorder, "one pod less", |whole| whole.pods().len() == 49).await;
        // What an inventory does not say changes nothing.
        let count = told(&recorder).len();
        assert!(count <= 5, "{count} inventories");
        bench
            .server
            .patch(Kind::Nodes, "", NODE, &json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
            .expect("it is patched");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(told(&recorder).len(), count);
    })
    .await;
}

#[tokio::test]
async fn attributes_are_told_with_subjects_and_inventories() {
    let mut bench = Bench::new().await;
    let attributes = |json: Value| serde_json::from_value(json).expect("attributes");
    bench.config.attributes = Of {
        pods: attributes(json!({"app": "/metadata/labels/app"})),
        node: attributes(json!({"zone": "/metadata/labels/zone"})),
    };
    bench.create(&PodSpec::numbered(NODE, 1, 1));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        let first = until(&recorder, "an inventory", |_| true).await;
        assert_eq!(text(&first.pod("web-1").attributes), "app=web");
        assert_eq!(first.parts[0].node.as_ref().map(|node| text(&node.attributes)).as_deref(), Some("zone=a"));
        bench
            .server
            .patch(Kind::Pods, "shop", "web-1", &json!({"metadata": {"labels": {"app": "mail"}}}))
            .expect("it is patched");
        until(&recorder, "another app", |whole| text(&whole.pod("web-1").attributes) == "app=mail").await;
        let lines = recorder.lines();
        for line in ["define web-1 app=web", "define n1 zone=a", "define web-1 app=mail"] {
            assert!(lines.iter().any(|told| told == line), "{line}: {lines:#?}");
        }
    })
    .await;
}

/// A `Deployment` with a `ReplicaSet`, and a pod of it.
fn owned(bench: &Bench, number: u32) -> PodSpec {
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

#[tokio::test]
async fn pods_are_told_with_those_who_control_them() {
    let mut bench = Bench::new().await;
    owned(&bench, 1);
    for (owners, expected) in [(true, vec!["ReplicaSet web-1-x", "Deployment web-1"]), (false, vec!["ReplicaSet web-1-x"])] {
        bench.config.owners = owners;
        bench.meter = Arc::default();
        let recorder = Recorder::default();
        during(bench.source().await, &recorder, async {
            recorder.until_complete().await;
            assert_eq!(told(&recorder)[0].owners("web-1"), expected);
        })
        .await;
    }
}

/// The first inventory does not wait for answers that do not come; they are told when they do.
#[tokio::test]
async fn controllers_that_are_not_known_yet_are_told_later() {
    let mut bench = Bench::new().await;
    bench.config.owners = true;
    owned(&bench, 1);
    // Two lists come first, then the question about the kinds of `apps/v1`, for as long as these times last.
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_line("define web-1").await;
        bench.server.fail(RequestFault { watches: Some(false), times: 3, kind: RequestFaultKind::Status(503, None) });
        recorder.until_complete().await;
        until(&recorder, "the Deployment", |whole| whole.owners("web-1").len() == 2).await;
    })
    .await;
}

#[tokio::test]
async fn an_api_that_goes_away_leaves_what_was_known_and_processes_are_still_seen() {
    let bench = Bench::new().await.often();
    let pod = PodSpec::numbered(NODE, 1, 1);
    bench.create(&pod);
    bench.process(5, &pod, 0);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.server.pause().await.expect("it pauses");
        bench.process(6, &pod, 0);
        until(&recorder, "a new process", |whole| whole.pids("web-1") == [vec![5, 6]]).await;
        assert_eq!(bench.meter.listed.get(), 1);
        bench.server.delete_pod("shop", "web-1").expect("it is deleted");
        bench.create(&PodSpec::numbered(NODE, 2, 1));
        bench.server.resume().await.expect("it resumes");
        until(&recorder, "the other pod", |whole| whole.names() == ["web-2"]).await;
    })
    .await;
}

#[tokio::test]
async fn an_api_that_is_away_at_first_is_waited_for() {
    let bench = Bench::new().await;
    bench.create(&PodSpec::numbered(NODE, 1, 1));
    bench.server.pause().await.expect("it pauses");
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(recorder.notices().is_empty());
        bench.server.resume().await.expect("it resumes");
        recorder.until_complete().await;
        assert_eq!(told(&recorder)[0].names(), ["web-1"]);
    })
    .await;
}

/// Whoever may see pods and not nodes is told of pods.
#[tokio::test]
async fn a_node_that_nobody_tells_of_is_not_waited_for_long() {
    let mut bench = Bench::new().await;
    bench.config.node = Some("n2".to_owned());
    bench.create(&PodSpec::numbered("n2", 1, 1));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        let first = &told(&recorder)[0];
        assert_eq!((first.names(), first.parts[0].node.is_none()), (vec!["web-1"], true));
    })
    .await;
}

#[tokio::test]
async fn a_thousand_pods_come_in_parts() {
    let bench = Bench::new().await;
    for number in 1..=1000 {
        bench.create(&PodSpec::numbered(NODE, number, 1));
    }
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        let first = &told(&recorder)[0];
        let parts: Vec<_> = first.parts.iter().map(|part| (part.pods.len(), part.more, part.node.is_some())).collect();
        assert_eq!(parts, [(512, true, true), (488, false, true)]);
        assert_eq!(first.parts[0].observed_at, first.parts[1].observed_at);
    })
    .await;
}

#[tokio::test]
async fn where_there_are_no_processes_pods_are_told_without() {
    let mut bench = Bench::new().await;
    bench.config.host_proc = PathBuf::from("/nowhere/proc");
    bench.create(&PodSpec::numbered(NODE, 1, 1));
    let (recorder, log) = (Recorder::default(), cluster::log::Log);
    log.catch();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        assert_eq!(told(&recorder)[0].pids("web-1"), [vec![0_u32; 0]]);
    })
    .await;
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("cannot read /nowhere/proc") && line.contains("`host-proc`")), "{lines:#?}");
}

/// A process in real cgroups; it ends with this.
struct Running(Child);

impl Running {
    fn in_container(kubelet: &Kubelet, pod: &PodSpec, container: usize) -> Self {
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

#[tokio::test]
async fn real_processes_are_those_of_their_containers() {
    if !require(Need::CgroupsOfVersion1) {
        return;
    }
    let kubelet = Kubelet::real().expect("real cgroups");
    let mut bench = Bench::new().await.often();
    bench.config.host_proc = PathBuf::from("/proc");
    let pod = PodSpec::numbered(NODE, 1, 2);
    kubelet.run(&pod).expect("its cgroups");
    bench.create(&pod);
    let first = [Running::in_container(&kubelet, &pod, 0), Running::in_container(&kubelet, &pod, 0)];
    let second = Running::in_container(&kubelet, &pod, 1);
    let mut pids: Vec<u32> = first.iter().map(|running| running.0.id()).collect();
    pids.sort_unstable();
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        let other = second.0.id();
        until(&recorder, "three processes", |whole| whole.pids("web-1") == [pids.clone(), vec![other]]).await;
        drop(first);
        until(&recorder, "one process", |whole| whole.pids("web-1") == [vec![], vec![other]]).await;
        let third = Running::in_container(&kubelet, &pod, 0);
        until(&recorder, "another one", |whole| whole.pids("web-1") == [vec![third.0.id()], vec![other]]).await;
    })
    .await;
    drop(second);
    kubelet.end(&pod).expect("its cgroups are removed");
}
