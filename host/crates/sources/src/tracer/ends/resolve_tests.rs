use std::collections::HashMap;

use super::super::cluster::tests::{at, node, pod, service};
use super::super::heard::Heard;
use super::*;
use crate::cgroups::place::{PodKey, Qos};
use crate::processes::Process;
use crate::tracer::row::{DirectionCodes, read};
use sluicebox_contract::{Notice, ObjectKind, Pod};

const HOST: u32 = 1;

/// A process in a container of the pod `u-<pod>`, or on the node.
fn process(pod: Option<&str>, network_namespace: u32) -> Process {
    let place =
        pod.map(|pod| Place::Container { key: PodKey::Uid(format!("u-{pod}")), qos: Qos::Burstable, id: format!("c-{pod}") });
    Process { place, network_namespace: Some(network_namespace), started: 1 }
}

struct World {
    cluster: Cluster,
    pictures: Vec<Processes>,
    subjects: Subjects,
    names: HashMap<SubjectId, String>,
    knows_outside: bool,
    slept: Duration,
}

impl World {
    /// The node `here` (192.168.0.1), two pods of it with processes 10 and 20 in namespaces of their own, a pod on the node's network with
    /// process 30, the kubelet with process 40; a node and a pod elsewhere, a service.
    fn new() -> Self {
        let mut cluster = Cluster::default();
        cluster.with_pod(pod("web", "10.0.0.1"), 1);
        cluster.with_pod(pod("db", "10.0.0.2"), 1);
        cluster.with_pod(Pod { host_network: true, ..pod("proxy", "192.168.0.1") }, 1);
        cluster.with_pod(pod("far", "10.0.1.1"), 1);
        cluster.with_service(service("api", "10.96.0.1", 443));
        cluster.with_node(node("here", "192.168.0.1"));
        cluster.with_node(node("there", "192.168.0.2"));
        for kind in [ObjectKind::Pod, ObjectKind::Service, ObjectKind::Node] {
            cluster.hear(Heard::Listed(kind));
        }
        let found = HashMap::from([
            (1, process(None, HOST)),
            (10, process(Some("web"), 100)),
            (20, process(Some("db"), 200)),
            (30, process(Some("proxy"), HOST)),
            (40, process(None, HOST)),
        ]);
        let pictures = vec![Processes::new(found, Some(HOST), 0)];
        Self {
            cluster,
            pictures,
            subjects: Subjects::new(Arc::default()),
            names: HashMap::new(),
            knows_outside: true,
            slept: Duration::ZERO,
        }
    }

    /// Another look, which finds these processes and the first one, and one of the pod `far`.
    fn look(&mut self, found: &[(u32, Process)]) {
        let always = [(1, process(None, HOST)), (11, process(Some("far"), 900))];
        let found = always.into_iter().chain(found.iter().cloned()).collect();
        self.pictures.insert(0, Processes::new(found, Some(HOST), 0));
        self.pictures.truncate(2);
    }

    /// `<source> > <destination>` for each of these rows, by what they are called.
    fn tell(&mut self, rows: &[String]) -> Vec<String> {
        let rows: Vec<Reported> = rows.iter().map(|row| read(row.as_bytes(), DirectionCodes::Datadog).unwrap()).collect();
        let Self { cluster, pictures, subjects, names, knows_outside, slept } = self;
        let resolver = Resolver {
            cluster,
            pictures,
            node: "here",
            knows_outside: *knows_outside,
            now: Instant::now(),
            slept: *slept,
            ticks_per_second: 100,
        };
        let mut sides = Sides::default();
        let sources: Vec<Source> = rows
            .iter()
            .map(|row| {
                let source = resolver.source(row, at(50), subjects);
                sides.learn(row, source);
                source
            })
            .collect();
        let destinations: Vec<_> = rows.iter().map(|row| resolver.destination(row, &sides, at(50), subjects)).collect();
        for notice in subjects.take_notices() {
            let Notice::Defined(subject) = notice else { panic!("{notice:?}") };
            let kind = serde_json::to_value(subject.kind).unwrap();
            let pod = subject.attributes.iter().find(|(name, _)| name == "pod-name").map(|(_, pod)| format!("{pod}/"));
            names.insert(subject.id, format!("{} {}{}", kind.as_str().unwrap(), pod.unwrap_or_default(), subject.name));
        }
        let name = |id: Option<SubjectId>| id.map_or("?".to_owned(), |id| names[&id].clone());
        sources
            .iter()
            .zip(destinations)
            .map(|(source, destination)| format!("{} > {}", name(source.subject), name(destination)))
            .collect()
    }

    #[track_caller]
    fn check(&mut self, row: &str, expected: &str) {
        assert_eq!(self.tell(&[row.to_owned()]), [expected], "{row}");
    }
}

fn row(pid: u32, namespace: u32, source: &str, destination: &str) -> String {
    let split = |text: &str| text.rsplit_once(':').map(|(address, port)| (address.to_owned(), port.to_owned())).unwrap();
    let ((source, sport), (dest, dport)) = (split(source), split(destination));
    format!(
        r#"{{"pid":{pid},"net_ns":{namespace},"type":0,"source":"{source}","sport":{sport},"dest":"{dest}","dport":{dport},"direction":2}}"#
    )
}

#[test]
fn a_container_is_known_by_its_process_and_a_pod_by_its_address() {
    let mut world = World::new();
    world.check(&row(10, 100, "10.0.0.1:5000", "10.0.1.1:80"), "container web/main > pod far");
    world.check(&row(0, 0, "10.0.0.1:5000", "10.0.0.2:80"), "pod web > pod db");
}

#[test]
fn a_pod_is_known_by_its_network_namespace_when_its_process_is_not() {
    World::new().check(&row(99, 100, "10.0.0.99:5000", "10.0.1.1:80"), "pod web > pod far");
    World::new().check(&row(0, 200, "10.0.0.99:5000", "10.0.1.1:80"), "pod db > pod far");
}

#[test]
fn pods_on_the_network_of_the_node_are_told_apart_by_their_processes() {
    let mut world = World::new();
    world.check(&row(30, HOST, "192.168.0.1:5000", "10.0.0.2:80"), "container proxy/main > pod db");
    world.check(&row(40, HOST, "192.168.0.1:5001", "10.0.0.2:80"), "node here > pod db");
    world.check(&row(0, HOST, "192.168.0.1:5002", "10.0.0.2:80"), "node here > pod db");
}

#[test]
fn a_number_that_another_process_has_by_now_says_nothing() {
    let mut world = World::new();
    // The process 10 is in another namespace than the one of the connection.
    world.check(&row(10, 200, "10.0.0.2:5000", "10.0.1.1:80"), "pod db > pod far");
    world.check(&row(10, 777, "10.0.0.2:5000", "10.0.1.1:80"), "pod db > pod far");
}

#[test]
fn a_process_that_has_ended_is_known_by_the_look_before() {
    let mut world = World::new();
    world.look(&[]);
    world.check(&row(30, HOST, "192.168.0.1:5000", "10.0.0.2:80"), "container proxy/main > pod db");
}

#[test]
fn a_destination_is_whoever_sees_the_connection_from_the_other_side() {
    let mut world = World::new();
    let told = world.tell(&[
        row(10, 100, "10.0.0.1:5000", "192.168.0.1:8080"),
        row(30, HOST, "192.168.0.1:8080", "10.0.0.1:5000"),
        row(20, 200, "10.0.0.2:6000", "192.168.0.1:10250"),
    ]);
    assert_eq!(
        told,
        [
            "container web/main > container proxy/main",
            "container proxy/main > container web/main",
            "container db/main > node here"
        ]
    );
}

#[test]
fn two_that_claim_the_same_side_are_not_told_apart() {
    let mut world = World::new();
    let told = world.tell(&[
        row(30, HOST, "192.168.0.1:8080", "10.0.0.1:5000"),
        row(40, HOST, "192.168.0.1:8080", "10.0.0.1:5000"),
        row(10, 100, "10.0.0.1:5000", "192.168.0.1:8080"),
    ]);
    // What is left is that the address is that of the node.
    assert_eq!(told[2], "container web/main > node here");
}

#[test]
fn a_service_is_known_by_its_address_and_port() {
    let mut world = World::new();
    world.check(&row(10, 100, "10.0.0.1:5000", "10.96.0.1:443"), "container web/main > service api");
    world.check(&row(10, 100, "10.0.0.1:5000", "10.96.0.1:80"), "container web/main > ?");
}

#[test]
fn what_is_none_of_the_cluster_is_outside_once_all_of_it_is_known() {
    let mut world = World::new();
    world.check(&row(10, 100, "10.0.0.1:5000", "192.168.0.2:80"), "container web/main > node there");
    world.check(&row(10, 100, "10.0.0.1:5000", "93.184.216.34:80"), "container web/main > outside outside");
    for address in ["0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255"] {
        world.check(&row(10, 100, "10.0.0.1:5000", &format!("{address}:80")), "container web/main > ?");
    }
    for address in ["fe80::1", "ff02::1", "::"] {
        world.check(&row(10, 100, "10.0.0.1:5000", &format!("{address}:80")), "container web/main > ?");
    }
    world.knows_outside = false;
    world.check(&row(10, 100, "10.0.0.1:5000", "93.184.216.34:80"), "container web/main > ?");
}

#[test]
fn loopback_stays_within_the_network_namespace() {
    let mut world = World::new();
    world.check(&row(10, 100, "127.0.0.1:5000", "127.0.0.1:80"), "container web/main > pod web");
    world.check(&row(40, HOST, "127.0.0.1:5000", "127.0.0.1:80"), "node here > ?");
    world.check(&row(0, 0, "127.0.0.1:5000", "127.0.0.1:80"), "? > ?");
    let told = world.tell(&[
        row(40, HOST, "127.0.0.1:5000", "127.0.0.1:80"),
        row(30, HOST, "127.0.0.1:80", "127.0.0.1:5000"),
        // The same addresses and ports in another namespace.
        row(20, 200, "127.0.0.1:5000", "127.0.0.1:80"),
    ]);
    assert_eq!(told, ["node here > container proxy/main", "container proxy/main > node here", "container db/main > pod db"]);
}

#[test]
fn an_address_that_was_used_again_is_that_of_the_pod_that_had_it_then() {
    let mut world = World::new();
    world.cluster.without_pod("u-far", 60);
    world.cluster.with_pod(pod("new", "10.0.1.1"), 70);
    // Something was last seen of the connection at 50.
    world.check(&row(10, 100, "10.0.0.1:5000", "10.0.1.1:80"), "container web/main > pod far");
}

#[test]
fn the_sandbox_of_a_pod_is_the_pod_and_an_unknown_pod_is_nobody() {
    let mut world = World::new();
    let place =
        |key: &str, id: &str| Some(Place::Container { key: PodKey::Uid(key.to_owned()), qos: Qos::Burstable, id: id.to_owned() });
    let found = HashMap::from([
        (1, process(None, HOST)),
        (50, Process { place: place("u-web", "sandbox"), network_namespace: Some(100), started: 1 }),
        (60, Process { place: place("u-unknown", "c-unknown"), network_namespace: Some(300), started: 1 }),
    ]);
    world.pictures = vec![Processes::new(found, Some(HOST), 0)];
    world.check(&row(50, 100, "10.0.0.1:5000", "10.0.0.2:80"), "pod web > pod db");
    world.check(&row(60, 300, "10.0.0.77:5000", "10.0.0.2:80"), "? > pod db");
}

#[test]
fn a_number_that_has_changed_hands_between_two_looks_says_nothing() {
    let mut world = World::new();
    let younger = |pod, namespace| Process { started: 777, ..process(pod, namespace) };
    world.look(&[(30, younger(None, HOST)), (10, younger(Some("db"), 200))]);
    // By its address.
    world.check(&row(30, HOST, "192.168.0.1:5000", "10.0.0.2:80"), "node here > pod db");
    world.check(&row(10, 0, "10.0.0.1:5000", "10.0.0.2:80"), "pod web > pod db");
}

#[test]
fn a_process_that_is_younger_than_the_connection_has_not_made_it() {
    let mut world = World::new();
    world.look(&[(70, Process { started: 500, ..process(Some("proxy"), HOST) })]);
    let seen = |nanos: u64| {
        let row = row(70, HOST, "192.168.0.1:5000", "10.0.0.2:80");
        format!(r#"{},"last_update_epoch":{nanos}}}"#, row.trim_end_matches('}'))
    };
    world.check(&seen(4_900_000_000), "node here > pod db");
    world.check(&seen(5_100_000_000), "container proxy/main > pod db");
    // Starts count the time for which the node slept.
    world.slept = Duration::from_secs(1);
    world.check(&seen(4_100_000_000), "container proxy/main > pod db");
    world.check(&seen(3_900_000_000), "node here > pod db");
}

#[test]
fn a_namespace_whose_number_is_given_again_does_not_bring_back_the_pod_before() {
    let mut world = World::new();
    // The process of `web` has ended, and one of `db` has its namespace's number; the last look has not seen that yet.
    world.look(&[]);
    world.check(&row(0, 100, "10.0.0.2:5000", "10.0.1.1:80"), "pod db > pod far");
    world.check(&row(0, 100, "10.0.0.1:5000", "10.0.1.1:80"), "pod web > pod far");
    world.check(&row(0, 100, "10.9.9.9:5000", "10.0.1.1:80"), "? > pod far");
    // Nor does the process, while the address is another pod's.
    let mut world = World::new();
    world.check(&row(10, 100, "10.0.0.2:5000", "10.0.1.1:80"), "pod db > pod far");
}

#[test]
fn where_the_namespace_of_the_node_is_not_known_it_is_still_no_pods() {
    let mut world = World::new();
    let found = HashMap::from([
        (1, Process { network_namespace: None, ..process(None, HOST) }),
        (30, process(Some("proxy"), HOST)),
        (40, Process { network_namespace: None, ..process(None, HOST) }),
    ]);
    world.pictures = vec![Processes::new(found, None, 0)];
    world.check(&row(40, HOST, "192.168.0.1:5000", "10.0.0.2:80"), "node here > pod db");
    world.check(&row(0, HOST, "192.168.0.1:5000", "10.0.0.2:80"), "node here > pod db");
    world.check(&row(30, HOST, "192.168.0.1:5000", "10.0.0.2:80"), "container proxy/main > pod db");
}

#[test]
fn processes_that_are_not_the_hosts_say_nothing() {
    let mut world = World::new();
    // As in a container with process numbers of its own: its first process is its own, or nothing is known of pods.
    for first in [process(Some("web"), 100), process(None, 100)] {
        world.pictures = vec![Processes::new(HashMap::from([(1, first)]), None, 0)];
        world.check(&row(1, 0, "192.168.0.1:5000", "10.0.0.2:80"), "node here > pod db");
        world.check(&row(1, 0, "10.9.9.9:5000", "10.0.0.2:80"), "? > pod db");
    }
}

#[test]
fn what_may_be_of_the_cluster_is_not_said_to_be_outside() {
    let mut world = World::new();
    world
        .cluster
        .with_node(sluicebox_contract::Node { pod_cidrs: vec!["10.0.9.0/24".to_owned()], ..node("there", "192.168.0.2") });
    world.cluster.without_pod("u-far", 40);
    for address in ["10.0.9.7", "10.0.1.1"] {
        world.check(&row(10, 100, "10.0.0.1:5000", &format!("{address}:80")), "container web/main > ?");
    }
    // One node has the address of another: whose it is cannot be known.
    world.cluster.with_node(node("third", "192.168.0.2"));
    world.check(&row(10, 100, "10.0.0.1:5000", "192.168.0.2:80"), "container web/main > ?");
    // The address of a node on which a service is served, at another port.
    world.cluster.with_service(service("edge", "192.168.0.1", 443));
    world.check(&row(10, 100, "10.0.0.1:5000", "192.168.0.1:443"), "container web/main > service edge");
    world.check(&row(10, 100, "10.0.0.1:5000", "192.168.0.1:22"), "container web/main > node here");
}
