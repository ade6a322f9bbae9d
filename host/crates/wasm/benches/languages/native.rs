//! The reference without a border: the same crate, called with the same events, which are in its hands already.

use std::collections::VecDeque;

use namespace_lines::{NamespaceLines, Settings};
use sluicebox_sdk as sdk;
use sluicebox_sdk::{Module as _, Pods as _, Samples as _, Subjects as _};

use crate::{CONTAINERS, PODS};

/// Calls that are ready before the time is taken: a module takes what it is given.
const READY: usize = 256;

/// Nanoseconds for each pod and for each container of a tick.
pub(crate) fn measure() -> (f64, f64) {
    let mut module = NamespaceLines::start(Settings::default(), &sdk::Context::default()).expect("it starts");
    let pods: Vec<_> = (0..PODS).map(pod).collect();
    let pod = batches(&pods, PODS, |events| module.pods(events).expect("pods"));
    module.define((1..=CONTAINERS).map(subject).collect());
    module.metrics(sdk::cases::metrics());
    let tick = tick(&sdk::cases::metrics());
    let container = batches(&tick, CONTAINERS as usize, |tick| module.samples(tick).expect("a tick"));
    (pod, container)
}

/// The median over many short turns, so that making the events is not counted.
fn batches<E: Clone>(events: &E, items: usize, mut call: impl FnMut(E) -> sdk::Entries) -> f64 {
    let mut turns: Vec<f64> = (0..15)
        .map(|_| {
            let mut ready: VecDeque<E> = (0..READY).map(|_| events.clone()).collect();
            let begun = crate::cpu();
            while let Some(events) = ready.pop_front() {
                std::hint::black_box(call(events));
            }
            crate::cpu().saturating_sub(begun).as_nanos() as f64 / (READY * items) as f64
        })
        .collect();
    turns.sort_by(f64::total_cmp);
    turns[turns.len() / 2]
}

fn pod(number: usize) -> sdk::PodEvent {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let container = sdk::Container {
        name: "app".to_owned(),
        kind: sdk::ContainerKind::App,
        image: "registry.example/team/web:1.29.3".to_owned(),
        ports: Vec::new(),
        requests: vec![label("cpu", "250m"), label("memory", "64Mi")],
        limits: vec![label("memory", "128Mi")],
        status: None,
    };
    sdk::PodEvent::added(sdk::Pod {
        uid: "11111111-2222-3333-4444-555555555555".to_owned(),
        namespace: "default".to_owned(),
        name: format!("web-6d4cf56db6-{number:05}"),
        labels: vec![label("app", "web"), label("tier", "front"), label("version", "ü")],
        node_name: Some("node-1".to_owned()),
        phase: Some(sdk::Phase::Running),
        containers: vec![container],
        ..sdk::Pod::default()
    })
}

fn subject(id: u32) -> sdk::Subject {
    sdk::Subject {
        id,
        kind: sdk::SubjectKind::Container,
        uid: "u".to_owned(),
        namespace: "default".to_owned(),
        name: "app".to_owned(),
        attributes: vec![("pod-name".to_owned(), format!("web-6d4cf56db6-{id:05}"))],
    }
}

fn tick(metrics: &[sdk::Metric]) -> sdk::Tick {
    let metric = |name: &str| metrics.iter().find(|metric| metric.name == name).expect("a metric").id;
    let (cpu, memory) = (metric("cpu-usage"), metric("memory-usage"));
    let samples = |id: u32| {
        let increase = sdk::Increase { amount: 250_000_000 + u64::from(id), over_nanoseconds: 1_000_000_000, per_second: 2.5e8 };
        let counter = sdk::Counter { total: 5_000_000_000, increase: Some(increase) };
        let of = |metric, reading| sdk::Sample { subject: id, metric, reading };
        [of(cpu, sdk::Reading::Counter(counter)), of(memory, sdk::Reading::Value(7_340_032 + u64::from(id)))]
    };
    sdk::Tick { observed_at_unix_nanos: 5, online_cpus: 4, samples: (1..=CONTAINERS).flat_map(samples).collect() }
}
