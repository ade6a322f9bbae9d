//! Who is at the ends of connections: real processes in real cgroups and network namespaces, named by an API server, with a tracer that
//! serves what one would have recorded of them.

mod traced;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicebox_contract::SubjectKind;
use sluicebox_sources::Scope;
use sluicebox_testkit::api_server::Kind;
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::servers::{Need, require};
use sluicebox_testkit::tracer::Answer;
use traced::{Bench, NODE, millis};

fn pod(uid: &str, name: &str, address: &str, more: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": format!("{name}:1")}]},
        "status": {"phase": "Running", "podIP": address, "startTime": "2026-01-01T12:00:00Z"},
    });
    merge(&mut pod, more);
    pod
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn row(pid: u32, namespace: u32, source: (&str, u16), destination: (&str, u16)) -> Value {
    json!({
        "pid": pid, "type": 0, "family": 0, "net_ns": namespace, "source": source.0, "sport": source.1, "dest": destination.0,
        "dport": destination.1, "direction": 2, "monotonic_sent_bytes": 1, "monotonic_recv_bytes": 2, "monotonic_retransmits": 0,
    })
}

fn report(rows: &[Value]) -> Answer {
    Answer::Report(json!({"connections": rows}).to_string().into_bytes())
}

async fn cluster() -> Bench {
    let bench = Bench::with_cluster(r#"{"connections":[]}"#).await;
    let server = bench.server.as_ref().expect("an API server");
    for (name, address) in [(NODE, "192.168.0.1"), ("n2", "192.168.0.2")] {
        let addresses = json!([{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]);
        let status = json!({"addresses": addresses, "nodeInfo": {"kernelVersion": "6.1.0"}});
        server.create_node(json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "status": status})).expect("created");
    }
    let service = json!({
        "metadata": {"name": "api", "namespace": "shop", "uid": "s1"},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 443, "protocol": "TCP"}]},
    });
    server.create(Kind::Services, service).expect("created");
    bench
}

#[tokio::test]
async fn ends_are_told_by_their_addresses() {
    let bench = cluster().await;
    let server = bench.server.as_ref().unwrap();
    server.create_pod(pod("u1", "web", "10.0.0.1", json!({}))).unwrap();
    server.create_pod(pod("u2", "far", "10.0.0.2", json!({"spec": {"nodeName": "n2"}}))).unwrap();
    server.create_pod(pod("u3", "proxy", "192.168.0.1", json!({"spec": {"hostNetwork": true}}))).unwrap();
    server.create_pod(pod("u4", "done", "10.0.0.4", json!({"status": {"phase": "Succeeded"}}))).unwrap();
    bench.peer.answer(report(&[
        row(0, 0, ("10.0.0.1", 1), ("10.0.0.2", 80)),
        row(0, 0, ("10.0.0.1", 2), ("10.96.0.1", 443)),
        row(0, 0, ("10.0.0.1", 3), ("10.96.0.1", 444)),
        row(0, 0, ("10.0.0.1", 4), ("192.168.0.2", 22)),
        row(0, 0, ("192.168.0.1", 5), ("10.0.0.2", 80)),
        row(0, 0, ("10.0.0.1", 6), ("10.0.0.4", 80)),
        row(0, 0, ("10.0.0.1", 7), ("93.184.216.34", 80)),
    ]));
    let _source = bench.run().await;
    let expected = [
        "node n1 > pod far",
        "pod web > ?",
        "pod web > node n2",
        // The pod that has ended has lost its address.
        "pod web > outside outside",
        "pod web > outside outside",
        "pod web > pod far",
        "pod web > service api",
    ];
    bench.told.until("all are known", |told| told.pairs() == expected).await;
    let subjects = bench.told.subjects();
    let find = |kind, name: &str| subjects.iter().find(|subject| subject.kind == kind && subject.name == name).unwrap();
    let attributes = |kind, name: &str| {
        let attributes = &find(kind, name).attributes;
        attributes.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(attributes(SubjectKind::Pod, "web"), ["pod-ip=10.0.0.1", "node-name=n1", "image=web:1"]);
    assert_eq!(attributes(SubjectKind::Service, "api"), ["service-type=ClusterIP", "cluster-ip=10.96.0.1", "ports=443/TCP"]);
    assert_eq!(attributes(SubjectKind::Node, "n2"), ["node-ip=192.168.0.2", "kernel-version=6.1.0"]);
    assert_eq!(find(SubjectKind::Pod, "web").uid, "u1");
    assert_eq!(bench.told.listed(), 1);
}

#[tokio::test]
async fn an_address_that_is_used_again_is_that_of_the_new_pod() {
    let bench = cluster().await;
    let server = bench.server.as_ref().unwrap();
    server.create_pod(pod("u1", "old", "10.0.0.1", json!({}))).unwrap();
    bench.peer.answer(report(&[row(0, 0, ("10.0.0.1", 1), ("192.168.0.2", 22))]));
    let _source = bench.run().await;
    bench.told.until("the old one is told", |told| told.pairs() == ["pod old > node n2"]).await;
    server.delete_pod("shop", "old").unwrap();
    bench.told.until("nobody has it", |told| told.pairs() == ["? > node n2"]).await;
    server.create_pod(pod("u2", "new", "10.0.0.1", json!({}))).unwrap();
    bench.told.until("the new one is told", |told| told.pairs() == ["pod new > node n2"]).await;
}

#[tokio::test]
async fn with_one_node_only_nothing_is_said_of_what_is_elsewhere() {
    let mut bench = cluster().await;
    bench.config.scope = Scope::Node;
    let server = bench.server.as_ref().unwrap();
    server.create_pod(pod("u1", "web", "10.0.0.1", json!({}))).unwrap();
    server.create_pod(pod("u2", "far", "10.0.0.2", json!({"spec": {"nodeName": "n2"}}))).unwrap();
    bench.peer.answer(report(&[
        row(0, 0, ("10.0.0.1", 1), ("10.0.0.2", 80)),
        row(0, 0, ("10.0.0.1", 2), ("93.184.216.34", 80)),
        row(0, 0, ("10.0.0.1", 3), ("10.96.0.1", 443)),
    ]));
    let _source = bench.run().await;
    bench.told.until("they are told", |told| told.pairs() == ["pod web > ?", "pod web > ?", "pod web > service api"]).await;
}

#[tokio::test]
async fn while_the_api_server_is_away_connections_are_told_and_their_ends_are_not() {
    let mut bench = cluster().await;
    bench.config.period = millis(500);
    let server = bench.server.as_ref().unwrap();
    server.create_pod(pod("u1", "web", "10.0.0.1", json!({}))).unwrap();
    server.pause().await.unwrap();
    bench.peer.answer(report(&[row(0, 0, ("10.0.0.1", 1), ("93.184.216.34", 80))]));
    let _source = bench.run().await;
    bench.told.until("it is told all the same", |told| told.pairs() == ["? > ?"]).await;
    server.resume().await.unwrap();
    bench.told.until("they are known", |told| told.pairs() == ["pod web > outside outside"]).await;
}

/// A process in a network namespace of its own, or in that of the host.
struct Sleeper(Child);

impl Sleeper {
    fn new(own_namespace: bool) -> Self {
        let mut command = Command::new(if own_namespace { "unshare" } else { "sleep" });
        command.args(if own_namespace { &["--net", "sleep", "120"][..] } else { &["120"] });
        let sleeper = Self(command.stdin(Stdio::null()).spawn().expect("it starts"));
        let host = fs::metadata("/proc/self/ns/net").expect("a namespace").ino();
        let begun = Instant::now();
        while own_namespace && u64::from(sleeper.namespace()) == host {
            assert!(begun.elapsed() < Duration::from_secs(10), "it got no namespace of its own");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        sleeper
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn namespace(&self) -> u32 {
        let namespace = fs::metadata(format!("/proc/{}/ns/net", self.pid())).expect("it runs");
        u32::try_from(namespace.ino()).expect("the kernel numbers namespaces with 32 bits")
    }

    fn join(&self, kubelet: &Kubelet, pod: &PodSpec, container: &str) {
        for file in kubelet.files(&kubelet.path(pod, Some(container)), "cgroup.procs") {
            fs::write(&file, self.pid().to_string()).expect("it joins the cgroup");
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn real_processes_are_known_by_their_cgroups_and_namespaces() {
    if !require(Need::NetworkNamespaces) {
        return;
    }
    let Some(kubelet) = Kubelet::real() else {
        let _unheard = std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN: no cgroups of version 1 can be made here\n");
        return;
    };
    let bench = cluster().await;
    let server = bench.server.as_ref().unwrap();
    // Two pods with networks of their own, of which one has a container that nobody has told of (as a sandbox is), and two on the host's.
    let pods: Vec<PodSpec> = (1..=4).map(|number| PodSpec::numbered(NODE, number, 1)).collect();
    let addresses = ["10.0.0.1", "10.0.0.2", "192.168.0.1", "192.168.0.1"];
    for (pod, address) in pods.iter().zip(addresses) {
        kubelet.run(pod).unwrap();
        let mut object = pod.object();
        let host_network = address == "192.168.0.1";
        merge(
            &mut object,
            json!({"spec": {"hostNetwork": host_network}, "status": {"podIP": address, "podIPs": [{"ip": address}]}}),
        );
        server.create_pod(object).unwrap();
    }
    let container = |pod: &PodSpec| pod.containers[0].1.clone();
    let sleepers: Vec<Sleeper> = [true, true, false, false].into_iter().map(Sleeper::new).collect();
    for (sleeper, pod) in sleepers.iter().zip(&pods) {
        sleeper.join(&kubelet, pod, &container(pod));
    }
    let plain = Sleeper::new(false);
    let [one, two, third, fourth] = sleepers.as_slice() else { unreachable!("four") };
    bench.peer.answer(report(&[
        // By its process; the other side sees the same connection.
        row(one.pid(), one.namespace(), ("10.0.0.1", 5000), ("10.0.0.2", 80)),
        row(two.pid(), two.namespace(), ("10.0.0.2", 80), ("10.0.0.1", 5000)),
        // Two pods with one address, told apart by their processes, and a process of the node itself.
        row(third.pid(), third.namespace(), ("192.168.0.1", 6000), ("192.168.0.2", 1)),
        row(fourth.pid(), fourth.namespace(), ("192.168.0.1", 6001), ("192.168.0.2", 2)),
        row(plain.pid(), plain.namespace(), ("192.168.0.1", 6002), ("192.168.0.2", 3)),
        // By its namespace: the process has ended, or is another one by now.
        row(4_000_000, two.namespace(), ("10.9.9.9", 7000), ("192.168.0.2", 4)),
        row(plain.pid(), two.namespace(), ("10.9.9.9", 7001), ("192.168.0.2", 5)),
        // On loopback of one pod.
        row(one.pid(), one.namespace(), ("127.0.0.1", 8000), ("127.0.0.1", 80)),
    ]));
    let _source = bench.run().await;
    let expected = [
        "container main-0 > container main-0",
        "container main-0 > container main-0",
        "container main-0 > node n2",
        "container main-0 > node n2",
        "container main-0 > pod web-1",
        "node n1 > node n2",
        "pod web-2 > node n2",
        "pod web-2 > node n2",
    ];
    bench.told.until("all are known", |told| told.pairs() == expected).await;
    // Which container it is, its subject tells.
    let report = bench.told.reports().pop().unwrap();
    let subjects = bench.told.subjects();
    let uid = |port: u16| {
        let connection = report.connections.iter().find(|connection| connection.source.port == port).unwrap();
        subjects.iter().find(|subject| Some(subject.id) == connection.source.subject).unwrap().uid.clone()
    };
    assert_eq!(uid(5000), container(&pods[0]));
    assert_eq!((uid(6000), uid(6001)), (container(&pods[2]), container(&pods[3])));
    assert_eq!(uid(6002), format!("uid-{NODE}"));
    drop(sleepers);
}
