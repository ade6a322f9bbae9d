//! What the tests of the engine share: the compiled modules, events, and a log that can be read.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use sluicebox_contract::pod::{
    Container, ContainerKind, ContainerPort, ContainerState, ContainerStatus, Owner, Phase, Pod, QosClass,
};
use sluicebox_contract::{
    Bounds, Change, Class, Connection, ConnectionReport, Direction, End, Entry, Event, Fault, Increase, Inventory,
    InventoryContainer, InventoryNode, InventoryPod, Message, Metric, NativeBucket, NativeHistogram, Node, NodeEvent,
    ObjectEvent, ObjectKind, PodEvent, Protocol, Reading, Sample, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, Service,
    ServiceEvent, ServicePort, Shaper as _, Subject, SubjectId, SubjectKind, Tick, Traffic, UnixNanos, Workload,
};
use sluicebox_wasm::{Context, Engine, Limits, LoadOptions, Module, WasmShaper};
use tracing_subscriber::filter::LevelFilter;

/// The bytes of a compiled module.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let folder = std::env::var_os("SLUICEBOX_MODULES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| root.join(target).join("modules"));
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "cannot read the compiled module {}: {error} (hint: `cargo xtask modules --all` makes it; SLUICEBOX_MODULES names another folder)",
            path.display()
        )
    })
}

/// The component with another version of the package in all of its names. Both have the same length, so that nothing moves.
pub(crate) fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (format!("@{from}"), format!("@{to}"));
    assert_eq!(from.len(), to.len());
    let mut renamed = component.to_vec();
    for place in 0..renamed.len() {
        if let Some(name) = renamed.get_mut(place..place + from.len()).filter(|name| *name == from.as_bytes()) {
            name.copy_from_slice(to.as_bytes());
        }
    }
    renamed
}

pub(crate) fn load(engine: &Engine, name: &str) -> Module {
    Module::load(engine, name, &component(name), &LoadOptions::default()).unwrap()
}

/// The hostile module with these settings, not started.
pub(crate) fn hostile(settings: &str, limits: Limits) -> WasmShaper {
    let engine = Engine::new().unwrap();
    WasmShaper::new(load(&engine, "hostile"), settings.to_owned(), context(), limits)
}

/// The hostile module with these settings, started.
pub(crate) fn started(settings: &str, limits: Limits) -> WasmShaper {
    let mut shaper = hostile(settings, limits);
    shaper.renew().unwrap();
    shaper
}

pub(crate) fn context() -> Context {
    Context { lane: "test".to_owned(), node_name: "node-1".to_owned(), sources: vec!["pods".to_owned()] }
}

/// An event about a pod with nothing but a name.
pub(crate) fn named(name: &str) -> Event {
    pod_event(Pod { name: name.to_owned(), ..Pod::default() })
}

pub(crate) fn pod_event(pod: Pod) -> Event {
    Event::Pod(PodEvent {
        subject: SubjectId(7),
        change: Change::Added,
        observed_at: UnixNanos(1),
        pod: Arc::new(pod),
        previous: None,
    })
}

pub(crate) fn object(name: &str, json: Option<&str>) -> Event {
    Event::Object(ObjectEvent {
        subject: SubjectId(8),
        kind: ObjectKind::Namespace,
        change: Change::Listed,
        observed_at: UnixNanos(1),
        uid: "u".into(),
        namespace: "".into(),
        name: name.into(),
        json: json.map(Into::into),
    })
}

pub(crate) fn subject(id: u32, name: &str) -> Arc<Subject> {
    let (uid, namespace) = ("u".to_owned(), "default".to_owned());
    let attributes = Vec::new();
    Arc::new(Subject { id: SubjectId(id), kind: SubjectKind::Pod, uid, namespace, name: name.to_owned(), attributes })
}

/// A container as the source of samples tells of it.
pub(crate) fn container(id: u32, name: &str) -> Arc<Subject> {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    let attributes = vec![
        pair("cgroup", format!("/kubepods.slice/kubepods-burstable.slice/cri-containerd-{id:06}.scope")),
        pair("qos-class", "Burstable".to_owned()),
        pair("pod-name", format!("web-6d4cf56db6-{id:05}")),
    ];
    Arc::new(Subject { kind: SubjectKind::Container, attributes, ..(*subject(id, name)).clone() })
}

/// A tick with these samples.
pub(crate) fn tick(samples: Vec<Sample>) -> Event {
    Event::Tick(Arc::new(Tick { observed_at: UnixNanos(5), online_cpus: 4, samples }))
}

/// A report of these connections.
pub(crate) fn connections(connections: Vec<Connection>) -> Event {
    Event::Connections(Arc::new(ConnectionReport { observed_at: UnixNanos(5), over_nanos: 7, more: false, connections }))
}

/// What a query found of two series.
pub(crate) fn series() -> Event {
    let query = SeriesQuery {
        cycle: "20s".to_owned(),
        name: "memory".to_owned(),
        metric: "container_memory".to_owned(),
        metric_type: "gauge".to_owned(),
        unit: "bytes".to_owned(),
        origin: SeriesOrigin::RangeQuery,
    };
    let bucket = NativeBucket { bounds: Bounds::OpenLeft, lower: 0.25, upper: 0.5, count: 2.0 };
    Event::Series(Arc::new(SeriesReport {
        observed_at: UnixNanos(5),
        query: Arc::new(query),
        start_millis: -1,
        end_millis: 2,
        step_millis: 3,
        warnings: vec!["careful".to_owned()],
        failure: Some("half".to_owned()),
        samples: vec![
            SeriesSample { subject: SubjectId(1), millis: -7, value: f64::NAN },
            SeriesSample { subject: SubjectId(2), millis: 8, value: f64::INFINITY },
        ],
        histograms: vec![NativeHistogram { subject: SubjectId(2), millis: 9, count: 2.0, sum: -0.5, buckets: vec![bucket] }],
        more: true,
    }))
}

/// A connection between these subjects; zero is nobody.
pub(crate) fn connection(source: u32, destination: Option<u32>) -> Connection {
    let end = |subject: Option<u32>, address: &str, port| End {
        subject: subject.filter(|id| *id != 0).map(SubjectId),
        address: address.parse().unwrap(),
        port,
    };
    Connection {
        source: end(Some(source), "10.0.0.1", 5000),
        destination: end(destination, "2001:db8::1", 443),
        protocol: Protocol::Udp,
        direction: Direction::Local,
        pid: 9,
        network_namespace: 4_026_531_840,
        sent: Traffic { total: 3, increase: 1 },
        received: Traffic { total: u64::MAX, increase: 2 },
        retransmits: Traffic::default(),
        last_seen_nanos: 11,
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A service with every field.
pub(crate) fn service_event() -> Event {
    let port = ServicePort {
        name: Some("https".to_owned()),
        port: 443,
        target_port: Some("web".to_owned()),
        node_port: Some(30443),
        protocol: "TCP".to_owned(),
    };
    let service = Service {
        uid: "s".to_owned(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        labels: pairs(&[("a", "b")]),
        annotations: pairs(&[("c", "d")]),
        created_at: Some("2026-01-01T00:00:00Z".to_owned()),
        service_type: "NodePort".to_owned(),
        cluster_ips: vec!["10.96.0.1".to_owned()],
        external_ips: vec!["192.0.2.1".to_owned()],
        external_name: Some("example.org".to_owned()),
        ports: vec![port],
        selector: pairs(&[("app", "web")]),
    };
    let service = Arc::new(service);
    let previous = Some(Arc::new(Service { name: "before".to_owned(), ..(*service).clone() }));
    Event::Service(ServiceEvent { subject: SubjectId(7), change: Change::Modified, observed_at: UnixNanos(1), service, previous })
}

/// A node with every field.
pub(crate) fn node_event() -> Event {
    let node = Node {
        uid: "n".to_owned(),
        name: "edge-1".to_owned(),
        labels: pairs(&[("a", "b")]),
        annotations: pairs(&[("c", "d")]),
        created_at: Some("2026-01-01T00:00:00Z".to_owned()),
        addresses: pairs(&[("InternalIP", "192.168.0.1")]),
        pod_cidrs: vec!["10.42.0.0/24".to_owned()],
        unschedulable: true,
        ready: true,
        kernel_version: "6.1.0".to_owned(),
        os_image: "Debian".to_owned(),
        operating_system: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        container_runtime_version: "containerd://1.6".to_owned(),
        kubelet_version: "v1.33.0".to_owned(),
        capacity: pairs(&[("cpu", "4")]),
        allocatable: pairs(&[("cpu", "3")]),
    };
    Event::Node(NodeEvent {
        subject: SubjectId(7),
        change: Change::Listed,
        observed_at: UnixNanos(1),
        node: Arc::new(node),
        previous: None,
    })
}

/// An inventory with every field.
pub(crate) fn inventory() -> Event {
    let node = InventoryNode {
        subject: SubjectId(1),
        uid: "n".to_owned(),
        name: "edge-1".to_owned(),
        addresses: pairs(&[("InternalIP", "192.168.0.1")]),
        kernel_version: "6.1.0".to_owned(),
        labels: pairs(&[("a", "b")]),
        allocatable: pairs(&[("cpu", "3")]),
        attributes: pairs(&[("zone", "a")]),
    };
    let port = ContainerPort { name: None, port: 80, host_port: Some(8080), protocol: "TCP".to_owned() };
    let container = InventoryContainer {
        name: "app".to_owned(),
        kind: ContainerKind::App,
        id: Some("c1".to_owned()),
        image: "web:1".to_owned(),
        pids: vec![77, 78],
        ports: vec![port],
    };
    let owner = Workload {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
        uid: "o".to_owned(),
    };
    let pod = InventoryPod {
        subject: SubjectId(2),
        uid: "u".to_owned(),
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        pod_ips: vec!["10.42.0.7".to_owned()],
        host_network: true,
        phase: Some("Running".to_owned()),
        owners: vec![owner],
        containers: vec![container],
        attributes: pairs(&[("team", "blue")]),
    };
    Event::Inventory(Arc::new(Inventory { observed_at: UnixNanos(5), more: true, node: Some(node), pods: vec![pod] }))
}

pub(crate) fn counter(subject: u32, metric: Metric, total: u64, increase: Option<(u64, u64)>) -> Sample {
    let increase = increase.map(|(amount, over_nanos)| Increase { amount, over_nanos });
    Sample { subject: SubjectId(subject), metric, reading: Reading::Counter { total, increase } }
}

pub(crate) fn gauge(subject: u32, metric: Metric, value: u64) -> Sample {
    Sample { subject: SubjectId(subject), metric, reading: Reading::Value(value) }
}

/// The hostile module's answer to an event when it behaves.
pub(crate) fn answer(call: u32, name: &str) -> Entry {
    answer_about(None, call, name)
}

pub(crate) fn answer_about(subject: Option<&str>, call: u32, name: &str) -> Entry {
    Entry::Message(Message {
        channel: subject.map(str::to_owned),
        key: Some(call.to_string()),
        headers: Vec::new(),
        body: name.into(),
    })
}

/// A pod in which every field is set.
pub(crate) fn rich_pod() -> Pod {
    let text = |text: &str| Some(text.to_owned());
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let status = |state| ContainerStatus {
        image: "docker.io/library/nginx:1.29".to_owned(),
        image_id: "docker.io/library/nginx@sha256:0123".to_owned(),
        container_id: text("containerd://abc"),
        state,
        ready: true,
        restart_count: 3,
    };
    let container = |name: &str, kind, status| Container {
        name: name.to_owned(),
        kind,
        image: "nginx:1.29".to_owned(),
        ports: vec![ContainerPort { name: text("http"), port: 80, host_port: Some(8080), protocol: "TCP".to_owned() }],
        requests: vec![pair("cpu", "250m"), pair("memory", "64Mi")],
        limits: vec![pair("memory", "128Mi")],
        status,
    };
    Pod {
        uid: "11111111-2222-3333-4444-555555555555".to_owned(),
        namespace: "default".to_owned(),
        name: "web-0".to_owned(),
        labels: vec![pair("app", "web"), pair("tier", "front"), pair("version", "ü")],
        annotations: vec![pair("note", "two\nlines")],
        owners: vec![Owner {
            api_version: "apps/v1".to_owned(),
            kind: "StatefulSet".to_owned(),
            name: "web".to_owned(),
            uid: "o".to_owned(),
            controller: true,
        }],
        created_at: text("2026-01-01T00:00:00Z"),
        deletion_at: text("2026-01-02T00:00:00Z"),
        node_name: text("node-1"),
        service_account: text("default"),
        host_network: true,
        qos_class: Some(QosClass::Burstable),
        phase: Some(Phase::Running),
        reason: text("Evicted"),
        host_ip: text("10.0.0.1"),
        pod_ips: vec!["10.1.0.7".to_owned(), "fd00::7".to_owned()],
        start_time: text("2026-01-01T00:00:01Z"),
        containers: vec![
            container("init", ContainerKind::Init, None),
            container("app", ContainerKind::App, Some(status(ContainerState::Running(text("2026-01-01T00:00:02Z"))))),
            container("side", ContainerKind::Ephemeral, Some(status(ContainerState::Waiting(text("CrashLoopBackOff"))))),
        ],
    }
}

/// The shaper shapes again after `renew`, in a fresh instance.
#[track_caller]
pub(crate) fn assert_recovers(shaper: &mut WasmShaper) {
    shaper.renew().unwrap();
    assert_eq!(shaper.shape(&[named("good")]).unwrap(), [answer(1, "good")]);
}

/// Whether the fault is as the operator should read it.
#[track_caller]
pub(crate) fn assert_says(fault: &Fault, words: &[&str]) {
    let text = fault.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

/// The host's own memory, in bytes: resident pages.
pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Limits with time enough for a slow machine to reach the limit that is meant.
pub(crate) fn patient() -> Limits {
    Limits { call_deadline: Duration::from_mins(1), ..Limits::default() }
}

/// Does this evil to a batch; gives the fault and the shaper. A batch named `good` is shaped well.
#[track_caller]
pub(crate) fn suffer(evil: &str, size: usize, limits: Limits) -> (Fault, WasmShaper) {
    let mut shaper = started(&format!(r#"{{"evil": "{evil}", "size": {size}, "only": "bad"}}"#), limits);
    let fault = shaper.shape(&[named("bad")]).unwrap_err();
    (fault, shaper)
}

/// The fault is the death of an instance, names the module, its version and the call, and says these words.
#[track_caller]
pub(crate) fn assert_died(fault: &Fault, words: &[&str]) {
    assert_eq!(fault.class, Class::Replace, "{fault}");
    assert_says(fault, &["cannot call pod-handler.handle of module `hostile` (version ", "with 1 item"]);
    assert_says(fault, words);
}

/// Lines that the host logs while `work` runs on this thread.
pub(crate) fn logged(work: impl FnOnce()) -> Vec<String> {
    // One subscriber for the process, one buffer for each thread: subscribers of single threads lose lines when other threads
    // meet the same place first.
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
        let subscriber = subscriber.with_ansi(false).without_time();
        subscriber.with_writer(|| ThreadLines).init();
    });
    LINES.set(Vec::new());
    work();
    let text = String::from_utf8(LINES.take()).unwrap();
    text.lines().map(str::to_owned).collect()
}

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLines;

impl Write for ThreadLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
