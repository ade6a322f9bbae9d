use sluicebox_contract::ServicePort;
use sluicebox_contract::pod::{ContainerState, ContainerStatus, Phase};

use super::*;

pub(in crate::tracer::ends) fn at(second: u64) -> UnixNanos {
    UnixNanos(second * 1_000_000_000)
}

/// A pod of the uid `u-<name>`, with one container of the id `c-<name>`.
pub(in crate::tracer::ends) fn pod(name: &str, address: &str) -> Pod {
    let status = ContainerStatus {
        image: String::new(),
        image_id: String::new(),
        container_id: Some(format!("containerd://c-{name}")),
        state: ContainerState::Running(None),
        ready: true,
        restart_count: 0,
    };
    let container = sluicebox_contract::pod::Container {
        name: "main".to_owned(),
        kind: sluicebox_contract::pod::ContainerKind::App,
        image: format!("{name}:1"),
        ports: Vec::new(),
        requests: Vec::new(),
        limits: Vec::new(),
        status: Some(status),
    };
    Pod {
        uid: format!("u-{name}"),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        pod_ips: Some(address.to_owned()).filter(|address| !address.is_empty()).into_iter().collect(),
        phase: Some(Phase::Running),
        node_name: Some("here".to_owned()),
        containers: vec![container],
        ..Pod::default()
    }
}

pub(in crate::tracer::ends) fn service(name: &str, address: &str, port: u16) -> Service {
    let port = ServicePort { name: None, port, target_port: None, node_port: None, protocol: "TCP".to_owned() };
    Service {
        uid: format!("s-{name}"),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        service_type: "ClusterIP".to_owned(),
        cluster_ips: vec![address.to_owned()],
        ports: vec![port],
        ..Service::default()
    }
}

pub(in crate::tracer::ends) fn node(name: &str, address: &str) -> Node {
    let addresses = vec![("Hostname".to_owned(), "10.9.9.9".to_owned()), ("InternalIP".to_owned(), address.to_owned())];
    Node { uid: format!("n-{name}"), name: name.to_owned(), addresses, kernel_version: "6.1.0".to_owned(), ..Node::default() }
}

impl Cluster {
    /// Hears of a pod.
    pub(in crate::tracer::ends) fn with_pod(&mut self, pod: Pod, second: u64) {
        self.hear(Heard::Pod { pod: Arc::new(pod), attributes: Vec::new(), at: at(second) });
    }

    pub(in crate::tracer::ends) fn with_service(&mut self, service: Service) {
        self.hear(Heard::Service { service: Arc::new(service), attributes: Vec::new() });
    }

    pub(in crate::tracer::ends) fn with_node(&mut self, node: Node) {
        self.hear(Heard::Node { node: Arc::new(node), attributes: Vec::new() });
    }

    /// Hears that it has gone.
    pub(in crate::tracer::ends) fn without_pod(&mut self, uid: &str, second: u64) {
        self.hear(Heard::PodGone { uid: uid.into(), at: at(second) });
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn check_holder(cluster: &Cluster, address: &str, second: u64, expected: Option<&str>) {
    let expected = expected.map_or(Holder::Nobody, |uid| Holder::Pod(uid.into()));
    assert_eq!(cluster.pod_by_address(ip(address), at(second)), expected, "{address} at {second}");
}

#[test]
fn a_pod_has_its_address_until_it_goes_and_is_known_for_a_while_after() {
    let mut cluster = Cluster::default();
    cluster.with_pod(pod("a", "10.0.0.1"), 10);
    cluster.without_pod("u-a", 20);
    check_holder(&cluster, "10.0.0.1", 15, Some("u-a"));
    check_holder(&cluster, "10.0.0.1", 25, None);
    assert!(cluster.pod("u-a").is_some() && cluster.pod_by_container("c-a").is_some());
    cluster.expire(at(25), Duration::from_secs(4));
    assert!(cluster.pod("u-a").is_none() && cluster.pod_by_container("c-a").is_none());
    check_holder(&cluster, "10.0.0.1", 15, None);
}

#[test]
fn an_address_changes_with_the_pod_and_is_free_when_the_pod_has_ended() {
    let mut cluster = Cluster::default();
    cluster.with_pod(pod("a", ""), 1);
    cluster.with_pod(pod("a", "10.0.0.1"), 2);
    cluster.with_pod(pod("a", "10.0.0.2"), 3);
    check_holder(&cluster, "10.0.0.1", 2, Some("u-a"));
    check_holder(&cluster, "10.0.0.1", 3, None);
    cluster.with_pod(Pod { phase: Some(Phase::Succeeded), ..pod("a", "10.0.0.2") }, 4);
    check_holder(&cluster, "10.0.0.2", 3, Some("u-a"));
    check_holder(&cluster, "10.0.0.2", 4, None);
    cluster.with_pod(pod("b", "10.0.0.2"), 5);
    cluster.without_pod("u-a", 6);
    check_holder(&cluster, "10.0.0.2", 7, Some("u-b"));
}

#[test]
fn a_pod_on_the_network_of_its_node_has_no_address() {
    let mut cluster = Cluster::default();
    cluster.with_pod(Pod { host_network: true, ..pod("a", "10.0.0.1") }, 1);
    check_holder(&cluster, "10.0.0.1", 1, None);
    assert_eq!(cluster.pod_by_key(&PodKey::Uid("u-a".to_owned())).map(AsRef::as_ref), Some("u-a"));
}

#[test]
fn a_pod_had_its_address_from_when_it_began_to_start() {
    let mut cluster = Cluster::default();
    let start_time = Some("1970-01-01T00:00:05Z".to_owned());
    cluster.with_pod(Pod { start_time, ..pod("a", "10.0.0.1") }, 8);
    check_holder(&cluster, "10.0.0.1", 4, None);
    check_holder(&cluster, "10.0.0.1", 5, Some("u-a"));
}

#[test]
fn a_static_pod_is_found_by_its_hash() {
    let mut cluster = Cluster::default();
    let annotations = vec![(HASHES[0].to_owned(), "h".to_owned())];
    cluster.with_pod(Pod { annotations, ..pod("a", "") }, 1);
    assert_eq!(cluster.pod_by_key(&PodKey::ConfigHash("h".to_owned())).map(AsRef::as_ref), Some("u-a"));
    cluster.without_pod("u-a", 2);
    cluster.expire(at(100), Duration::from_secs(1));
    assert_eq!(cluster.pod_by_key(&PodKey::ConfigHash("h".to_owned())), None);
    assert!(cluster.hashes.is_empty() && cluster.gone.is_empty());
}

#[test]
fn one_that_comes_back_is_not_forgotten() {
    let mut cluster = Cluster::default();
    cluster.with_pod(pod("a", "10.0.0.1"), 1);
    cluster.without_pod("u-a", 2);
    cluster.with_pod(pod("a", "10.0.0.1"), 3);
    cluster.expire(at(100), Duration::from_secs(1));
    check_holder(&cluster, "10.0.0.1", 50, Some("u-a"));
}

#[test]
fn a_service_is_found_by_its_address_and_says_whether_it_serves_a_port() {
    let mut cluster = Cluster::default();
    cluster.with_service(service("web", "10.96.0.1", 443));
    let found = |cluster: &Cluster, address: &str, port, protocol| match cluster.service_by_address(ip(address), port, protocol) {
        Owner::Nobody => "nobody".to_owned(),
        Owner::Unclear => "unclear".to_owned(),
        Owner::One(uid) => uid.to_string(),
    };
    assert_eq!(found(&cluster, "10.96.0.1", 443, Protocol::Tcp), "s-web");
    assert_eq!(found(&cluster, "10.96.0.1", 443, Protocol::Other), "s-web");
    assert_eq!(found(&cluster, "10.96.0.1", 443, Protocol::Udp), "unclear");
    assert_eq!(found(&cluster, "10.96.0.1", 80, Protocol::Tcp), "unclear");
    cluster.with_service(service("web", "10.96.0.2", 443));
    assert_eq!(found(&cluster, "10.96.0.1", 443, Protocol::Tcp), "nobody");
    cluster.hear(Heard::ServiceGone { uid: "s-web".into() });
    assert_eq!(found(&cluster, "10.96.0.2", 443, Protocol::Tcp), "nobody");
}

#[test]
fn services_may_share_an_address_and_are_told_apart_by_their_ports() {
    let mut cluster = Cluster::default();
    cluster.with_service(service("web", "192.0.2.1", 443));
    cluster.with_service(service("dns", "192.0.2.1", 53));
    let found = |cluster: &Cluster, port| cluster.service_by_address(ip("192.0.2.1"), port, Protocol::Tcp);
    assert_eq!(found(&cluster, 443), Owner::One("s-web".into()));
    assert_eq!(found(&cluster, 53), Owner::One("s-dns".into()));
    cluster.hear(Heard::ServiceGone { uid: "s-dns".into() });
    assert_eq!(found(&cluster, 443), Owner::One("s-web".into()));
    assert_eq!(found(&cluster, 53), Owner::Unclear);
    cluster.with_service(service("other", "192.0.2.1", 443));
    assert_eq!(found(&cluster, 443), Owner::Unclear);
}

#[test]
fn ranges_and_addresses_of_pods_that_have_gone_are_of_the_cluster() {
    let mut cluster = Cluster::new(&["10.96.0.0/12".to_owned()]);
    cluster.with_node(Node { pod_cidrs: vec!["10.42.0.0/24".to_owned()], ..node("one", "192.168.0.1") });
    cluster.with_pod(pod("a", "172.16.0.1"), 1);
    cluster.without_pod("u-a", 2);
    for (address, expected) in [("10.96.7.7", true), ("10.42.0.9", true), ("172.16.0.1", true), ("10.43.0.9", false)] {
        assert_eq!(cluster.has_room_for(ip(address)), expected, "{address}");
    }
    cluster.hear(Heard::NodeGone { name: "one".into() });
    cluster.expire(at(100), Duration::from_secs(1));
    assert!(!cluster.has_room_for(ip("10.42.0.9")) && !cluster.has_room_for(ip("172.16.0.1")));
}

#[test]
fn a_node_is_found_by_its_addresses_and_not_by_its_names() {
    let mut cluster = Cluster::default();
    cluster.with_node(node("one", "192.168.0.1"));
    assert_eq!(cluster.node_by_address(ip("192.168.0.1")), Owner::One("one".into()));
    assert_eq!(cluster.node_by_address(ip("10.9.9.9")), Owner::Nobody);
    cluster.with_node(node("two", "192.168.0.1"));
    assert_eq!(cluster.node_by_address(ip("192.168.0.1")), Owner::Unclear);
    cluster.hear(Heard::NodeGone { name: "one".into() });
    assert_eq!(cluster.node_by_address(ip("192.168.0.1")), Owner::One("two".into()));
}

#[test]
fn where_there_was_no_room_for_some_not_all_are_known() {
    let mut cluster = Cluster::default();
    for kind in [ObjectKind::Pod, ObjectKind::Service, ObjectKind::Node] {
        cluster.hear(Heard::Listed(kind));
    }
    assert!(cluster.is_complete());
    cluster.hear(Heard::NoRoom);
    assert!(cluster.is_listed() && !cluster.is_complete());
}

#[test]
fn it_is_listed_when_all_kinds_are() {
    let mut cluster = Cluster::default();
    for kind in [ObjectKind::Pod, ObjectKind::Service] {
        cluster.hear(Heard::Listed(kind));
        assert!(!cluster.is_listed());
    }
    cluster.hear(Heard::Listed(ObjectKind::Node));
    assert!(cluster.is_listed());
}

#[test]
fn pods_that_have_gone_are_bounded() {
    let mut cluster = Cluster::default();
    for number in 0..MOST_GONE + 100 {
        cluster.with_pod(pod(&number.to_string(), ""), 1);
        cluster.without_pod(&format!("u-{number}"), 1);
        cluster.expire(at(1), Duration::from_mins(1));
    }
    assert_eq!(cluster.pods.len(), MOST_GONE);
}

#[test]
fn addresses_of_services_and_nodes_that_have_gone_are_of_the_cluster_for_a_while() {
    let mut cluster = Cluster::default();
    let history = Duration::from_mins(1);
    for (name, address) in [("web", "10.96.0.1"), ("api", "10.96.0.2")] {
        cluster.hear(Heard::Service { service: Arc::new(service(name, address, 80)), attributes: Vec::new() });
    }
    cluster.hear(Heard::Node { node: Arc::new(node("one", "192.0.2.1")), attributes: Vec::new() });
    cluster.hear(Heard::ServiceGone { uid: "s-web".into() });
    let moved = Arc::new(service("api", "10.96.0.3", 80));
    cluster.hear(Heard::Service { service: moved, attributes: Vec::new() });
    cluster.hear(Heard::NodeGone { name: "one".into() });
    let known = |cluster: &Cluster| ["10.96.0.1", "10.96.0.2", "192.0.2.1"].map(|address| cluster.has_room_for(ip(address)));
    cluster.expire(at(1_000), history);
    cluster.expire(at(1_060), history);
    assert_eq!(known(&cluster), [true; 3]);
    assert!(!cluster.has_room_for(ip("10.96.0.3")), "that one is somebody's");
    cluster.expire(at(1_061), history);
    assert_eq!(known(&cluster), [false; 3]);
}

#[test]
fn addresses_that_have_gone_are_bounded() {
    let mut freed = Freed::default();
    let mut address = |number: usize| freed.insert(IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap())));
    (0..MOST_FREED + 10).for_each(&mut address);
    assert_eq!(freed.since.len(), MOST_FREED);
    assert!(freed.know(ip("203.0.113.1")), "it may have been one of those for which there was no room");
}
