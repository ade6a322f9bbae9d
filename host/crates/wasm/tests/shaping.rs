//! A well-behaved module: what goes in, what comes out, what is kept between calls and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use sluicebox_contract::{Class, Entry, Event, Handlers, Metric, Reading, Sample, Shaper as _, SubjectId};
use sluicebox_wasm::Limits;
use support::{
    answer, answer_about, container, counter, gauge, hostile, logged, named, object, pod_event, rich_pod, started, subject, tick,
};

#[test]
fn pods_become_entries() {
    let mut shaper = started("{}", Limits::default());
    let all = Handlers {
        subjects: true,
        pods: true,
        services: true,
        nodes: true,
        objects: true,
        samples: true,
        connections: true,
        inventory: true,
        series: true,
    };
    assert_eq!(shaper.handlers(), all);
    let entries = shaper.shape(&[named("a"), pod_event(rich_pod())]).unwrap();
    assert_eq!(entries, [answer(1, "a"), answer(1, "web-0")]);
}

#[test]
fn objects_become_entries() {
    let mut shaper = started("{}", Limits::default());
    let entries = shaper.shape(&[object("a", None), object("b", Some(r#"{"kind":"Namespace"}"#))]).unwrap();
    assert_eq!(entries, [answer(1, "a"), answer(1, r#"{"kind":"Namespace"}"#)]);
}

/// What the hostile module says of the only thing in an event.
fn said(event: Event) -> Vec<String> {
    let mut shaper = started("{}", Limits::default());
    let entries = shaper.shape(&[event]).unwrap().into_iter();
    let body = |entry| match entry {
        Entry::Message(message) => String::from_utf8(message.body).unwrap(),
        other => panic!("{other:?}"),
    };
    entries.map(body).collect()
}

#[test]
fn connections_cross_the_border_field_by_field() {
    let all = said(support::connections(vec![support::connection(2, None), support::connection(0, Some(7))]));
    let begin = "at 5 over 7 more false: Connection { source: End { subject: 2, address: Address { high: 0, low: 281470849515521 }, \
                 port: 5000 }, destination: End { subject: 0, address: Address { high: 2306139568115548160, low: 1 }, port: 443 }, \
                 protocol: Protocol::Udp, direction: Direction::Local, pid: 9, network-namespace: 4026531840, \
                 sent: Traffic { total: 3, increase: 1 }, received: Traffic { total: 18446744073709551615, increase: 2 }, \
                 retransmits: Traffic { total: 0, increase: 0 }, last-seen-nanoseconds-since-boot: 11 }";
    assert_eq!(all[0].replace('_', "-"), begin.replace('_', "-"));
    assert!(all[1].contains("source: End { subject: 0,") && all[1].contains("destination: End { subject: 7,"), "{}", all[1]);
    assert_eq!(said(support::connections(Vec::new())), Vec::<String>::new());
}

#[test]
fn time_series_cross_the_border_field_by_field() {
    let all = said(support::series());
    let head = "SeriesReport { observed-at-unix-nanos: 5, query: Query { cycle: \"20s\", name: \"memory\", metric: \"container-memory\", \
                metric-type: \"gauge\", unit: \"bytes\", origin: Origin::RangeQuery }, start-unix-milliseconds: -1, \
                end-unix-milliseconds: 2, step-milliseconds: 3, warnings: [\"careful\"], failure: Some(\"half\"), samples: [], \
                histograms: [], more: true }";
    let others = [
        "Sample { subject: 1, unix-milliseconds: -7, value: NaN }",
        "Sample { subject: 2, unix-milliseconds: 8, value: inf }",
        "Histogram { subject: 2, unix-milliseconds: 9, count: 2.0, sum: -0.5, \
         buckets: [Bucket { bounds: Bounds::OpenLeft, lower: 0.25, upper: 0.5, count: 2.0 }] }",
    ];
    let all: Vec<String> = all.into_iter().map(|text| text.replace('_', "-")).collect();
    assert_eq!(all, [&[head], &others[..]].concat());
}

#[test]
fn services_nodes_and_inventories_cross_the_border_field_by_field() {
    let texts = |all: Vec<String>, expected: &[&str]| {
        let text = all.concat().replace('_', "-");
        for part in expected {
            assert!(text.contains(part), "`{part}` is missing in {text}");
        }
    };
    texts(
        said(support::service_event()),
        &[
            "change: Change::Modified",
            r#"service: Service { uid: "s", namespace: "default", name: "web", labels: [("a", "b")], annotations: [("c", "d")]"#,
            r#"service-type: "NodePort", cluster-ips: ["10.96.0.1"], external-ips: ["192.0.2.1"], external-name: Some("example.org")"#,
            r#"ServicePort { name: Some("https"), port: 443, target-port: Some("web"), node-port: Some(30443), protocol: "TCP" }"#,
            r#"selector: [("app", "web")]"#,
            r#"previous: Some(Service { uid: "s", namespace: "default", name: "before""#,
        ],
    );
    texts(
        said(support::node_event()),
        &[
            r#"addresses: [("InternalIP", "192.168.0.1")], pod-cidrs: ["10.42.0.0/24"], unschedulable: true, ready: true"#,
            r#"kernel-version: "6.1.0", os-image: "Debian", operating-system: "linux", architecture: "amd64""#,
            r#"container-runtime-version: "containerd://1.6", kubelet-version: "v1.33.0", capacity: [("cpu", "4")], allocatable: [("cpu", "3")]"#,
            "previous: None",
        ],
    );
    texts(
        said(support::inventory()),
        &[
            r#"InventoryNode { subject: 1, uid: "n", name: "edge-1", addresses: [("InternalIP", "192.168.0.1")], kernel-version: "6.1.0", labels: [("a", "b")], allocatable: [("cpu", "3")], attributes: [("zone", "a")] }"#,
            r#"InventoryPod { subject: 2, uid: "u", namespace: "shop", name: "web-0", pod-ips: ["10.42.0.7"], host-network: true, phase: Some("Running")"#,
            r#"owners: [Workload { api-version: "apps/v1", kind: "Deployment", name: "web", uid: "o" }]"#,
            r#"InventoryContainer { name: "app", kind: "app", id: Some("c1"), image: "web:1", pids: [77, 78], ports: [InventoryPort { name: None, port: 80, host-port: Some(8080), protocol: "TCP" }] }"#,
            r#"attributes: [("team", "blue")]"#,
        ],
    );
}

#[test]
fn state_lives_from_call_to_call_and_ends_with_the_instance() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")]);
    shaper.renew().unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn subjects_are_defined_and_forgotten() {
    let mut shaper = started("{}", Limits::default());
    shaper.define(&[subject(7, "pod seven"), subject(9, "pod nine")]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer_about(Some("pod seven"), 1, "a")]);
    shaper.forget(&[SubjectId(7)]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")]);
}

#[test]
fn every_form_of_a_sample_crosses() {
    let mut shaper = started("{}", Limits::default());
    shaper.define(&[container(3, "app"), subject(4, "pod four")]).unwrap();
    let unlimited = Sample { subject: SubjectId(3), metric: Metric::MemoryLimit, reading: Reading::Unlimited };
    let samples = vec![
        counter(3, Metric::CpuUsage, u64::MAX, Some((500, 2_000_000_000))),
        counter(3, Metric::CpuUser, 7, None),
        gauge(3, Metric::MemoryUsage, u64::MAX),
        unlimited,
        counter(3, Metric::NetworkTransmittedDropped, 1, Some((1, 3))),
        gauge(4, Metric::PidsCurrent, 0),
    ];
    let entries = shaper.shape(&[tick(samples)]).unwrap();
    let app = concat!(
        "app cgroup=/kubepods.slice/kubepods-burstable.slice/cri-containerd-000003.scope",
        " qos-class=Burstable pod-name=web-6d4cf56db6-00003",
    );
    let said = concat!(
        "at 5 of 4: cpu-usage=18446744073709551615 +500 in 2000000000 is 250 cpu-user=7 memory-usage=18446744073709551615",
        " memory-limit=unlimited network-transmitted-dropped=1 +1 in 3 is 333333333.3333333",
    );
    assert_eq!(entries, [answer_about(Some(app), 1, said), answer_about(Some("pod four"), 1, "at 5 of 4: pids-current=0")]);
}

#[test]
fn a_fresh_instance_knows_the_metrics_before_it_knows_any_subject() {
    let mut shaper = started("{}", Limits::default());
    for _ in 0..2 {
        let entries = shaper.shape(&[tick(vec![gauge(9, Metric::MemoryFile, 1)])]).unwrap();
        assert_eq!(entries, [answer(1, "at 5 of 4: memory-file=1")]);
        shaper.renew().unwrap();
    }
}

#[test]
fn an_empty_tick_reaches_the_module() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.shape(&[tick(Vec::new())]).unwrap(), []);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")], "it was the second call");
}

#[test]
fn two_ticks_in_a_batch_are_refused_and_so_is_a_tick_with_others() {
    let mut shaper = started("{}", Limits::default());
    let one = || tick(vec![gauge(9, Metric::MemoryFile, 1)]);
    for (batch, cause) in [
        (vec![one(), one()], "more than one event that is about many"),
        (vec![one(), named("a")], "more than one kind"),
        (vec![object("b", None), one()], "more than one kind"),
    ] {
        let fault = shaper.shape(&batch).unwrap_err();
        assert_eq!(fault.class, Class::Skip);
        assert!(fault.cause.contains(cause), "{fault}");
    }
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn a_module_without_the_handler_is_given_no_tick() {
    let engine = sluicebox_wasm::Engine::new().unwrap();
    let module = support::load(&engine, "fluent-bit-meta");
    let mut shaper = sluicebox_wasm::WasmShaper::new(module, "{}".to_owned(), support::context(), Limits::default());
    assert!(!shaper.handlers().samples);
    shaper.renew().unwrap();
    let fault = shaper.shape(&[tick(Vec::new())]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert!(
        fault.to_string().contains("sample-handler.handle") && fault.cause.contains("does not export this handler"),
        "{fault}"
    );
}

#[test]
fn a_batch_of_two_kinds_is_refused_and_the_instance_lives() {
    let mut shaper = started("{}", Limits::default());
    let fault = shaper.shape(&[named("a"), object("b", None)]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert!(fault.cause.contains("more than one kind"), "{fault}");
    let report = || support::connections(Vec::new());
    let fault = shaper.shape(&[report(), report()]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert!(fault.cause.contains("more than one event that is about many"), "{fault}");
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn an_empty_batch_never_reaches_the_module() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.shape(&[]).unwrap(), []);
    shaper.define(&[]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn before_the_first_renew_there_is_no_instance() {
    let mut shaper = hostile("{}", Limits::default());
    let fault = shaper.shape(&[named("a")]).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert!(fault.cause.contains("no instance"), "{fault}");
    support::assert_recovers(&mut shaper);
}

#[test]
fn the_context_reaches_the_module_and_its_words_reach_the_log() {
    let lines = logged(|| drop(started("{}", Limits::default())));
    let line = lines.iter().find(|line| line.contains("lane test on node-1 fed by pods")).unwrap();
    for part in ["DEBUG module: ", "lane=test", "module=hostile", "version="] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

#[test]
fn a_shaper_moves_to_another_thread() {
    let mut shaper = started("{}", Limits::default());
    let entries = std::thread::spawn(move || shaper.shape(&[named("a")])).join().unwrap().unwrap();
    assert_eq!(entries, [answer(1, "a")]);
}

#[test]
fn shapers_of_one_module_share_nothing() {
    let engine = sluicebox_wasm::Engine::new().unwrap();
    let module = support::load(&engine, "hostile");
    let new = || sluicebox_wasm::WasmShaper::new(module.clone(), "{}".to_owned(), support::context(), Limits::default());
    let (mut one, mut other) = (new(), new());
    one.renew().unwrap();
    other.renew().unwrap();
    assert_eq!(one.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    assert_eq!(one.shape(&[named("a")]).unwrap(), [answer(2, "a")]);
    assert_eq!(other.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}
