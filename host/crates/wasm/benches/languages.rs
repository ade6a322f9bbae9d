//! The example of `guest-sdk/examples` in each language: how large it is, how long it takes to compile, what an instance
//! holds, and what an event costs. Run by `cargo xtask languages`, which makes the components.

#![allow(missing_docs, reason = "a program")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "it measures, prints its figures, and fails by panicking"
)]

#[path = "languages/made.rs"]
mod made;
#[path = "languages/native.rs"]
mod native;
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sluicebox_contract::pod::{Container, ContainerKind};
use sluicebox_contract::{Event, Metric, PodEvent, Sample, Shaper as _, Subject};
use sluicebox_wasm::{Engine, Limits, LoadOptions, Module, WasmShaper};
use support::{container, counter, gauge};

/// The median of so many rounds counts.
const ROUNDS: usize = 15;
/// A round takes at least so long, and has one call at least.
const ROUND: Duration = Duration::from_millis(20);
/// Pods in a call, as a lane has them when there is much to do.
const PODS: usize = 64;
/// What is measured is how quick a module is, and not whether it keeps a deadline on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Containers in a tick, with two samples each: a full node.
const CONTAINERS: u32 = 100;

fn main() {
    println!(
        "{PODS} pods in a call, and ticks of {CONTAINERS} containers; each makes one line. Compiled in the process, on one thread.\n"
    );
    println!(
        "{:<12} {:>11} {:>9} {:>11} {:>10} {:>10} {:>9} {:>15}",
        "language", "component", "compiled", "started", "linear", "resident", "ns / pod", "ns / container"
    );
    let (pod, container) = native::measure();
    println!("{:<12} {:>11} {:>9} {:>11} {:>10} {:>10} {pod:>9.0} {container:>15.0}", "native Rust", "-", "-", "-", "-", "-");
    let engine = Engine::new().expect("the engine starts");
    for language in made::LANGUAGES {
        match made::component(language) {
            Ok(component) => row(&engine, language, &component),
            Err(why) => println!("{language:<12} NOT RUN: {}", why.lines().next().unwrap_or_default()),
        }
    }
}

/// Prints what there is to say of one.
fn row(engine: &Engine, language: &str, component: &[u8]) {
    let begun = Instant::now();
    let module = Module::load(engine, language, component, &LoadOptions::default()).expect("it is a module");
    let compiled = begun.elapsed();

    let resident = support::resident();
    let mut shaper = WasmShaper::new(
        module,
        "{}".to_owned(),
        support::context(),
        Limits { call_deadline: PATIENCE, start_deadline: PATIENCE, ..Limits::default() },
    );
    let begun = Instant::now();
    shaper.renew().expect("it starts");
    let started = begun.elapsed();
    shaper.define(&subjects()).expect("subjects");
    let (pods, tick) = (pods(), [tick()]);
    let pod = nanos(|| shaper.shape(&pods).expect("pods").len(), PODS);
    let container = nanos(|| shaper.shape(&tick).expect("a tick").len(), CONTAINERS as usize);
    let memory = support::resident().saturating_sub(resident);
    println!(
        "{language:<12} {:>8} kB {:>6.0} ms {:>8.2} ms {:>7.1} MB {:>7.1} MB {pod:>9.0} {container:>15.0}",
        component.len() / 1000,
        millis(compiled),
        millis(started),
        shaper.memory_bytes() as f64 / 1e6,
        memory as f64 / 1e6,
    );
}

/// What one item of a call costs, each of which makes one entry; time of this thread only.
fn nanos(mut call: impl FnMut() -> usize, items: usize) -> f64 {
    assert_eq!(call(), items, "each makes a line");
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (begun, wall, mut calls) = (cpu(), Instant::now(), 0_usize);
            while calls == 0 || wall.elapsed() < ROUND {
                black_box(call());
                calls += 1;
            }
            cpu().saturating_sub(begun).as_nanos() as f64 / (calls * items) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Pods as a cluster has them: three labels, one container, nothing known before.
fn pods() -> Vec<Event> {
    let event = |number: usize| {
        let Event::Pod(event) = support::pod_event(support::rich_pod()) else { unreachable!("a pod") };
        let container = Container {
            name: "app".to_owned(),
            kind: ContainerKind::App,
            image: "registry.example/team/web:1.29.3".to_owned(),
            ..event.pod.containers[1].clone()
        };
        let name = format!("web-6d4cf56db6-{number:05}");
        let pod = Arc::new(sluicebox_contract::Pod { name, containers: vec![container], ..(*event.pod).clone() });
        Event::Pod(PodEvent { pod, ..event })
    };
    (0..PODS).map(event).collect()
}

fn subjects() -> Vec<Arc<Subject>> {
    (1..=CONTAINERS).map(|id| container(id, "app")).collect()
}

fn tick() -> Event {
    let samples = |id: u32| -> [Sample; 2] {
        let total = 5_000_000_000 + u64::from(id);
        let cpu = counter(id, Metric::CpuUsage, total, Some((250_000_000 + u64::from(id), 1_000_000_000)));
        [cpu, gauge(id, Metric::MemoryUsage, 7_340_032 + u64::from(id))]
    };
    support::tick((1..=CONTAINERS).flat_map(samples).collect())
}

/// The time that this thread has worked; what other threads do does not count.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
