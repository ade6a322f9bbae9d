//! What the border costs: pod events become JSON lines, in a module and natively, in one run, for one event a call and for
//! batches of 64; and so do the samples of ticks; and reports of connections become documents and sums, and time series
//! messages. Run by `cargo xtask bench`; `-- ticks`, `-- connections` and `-- series` measure these only.

#![allow(missing_docs, reason = "a program")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it measures, prints its figures, and fails by panicking"
)]

#[path = "border/connections.rs"]
mod connections;
#[path = "border/series.rs"]
mod series;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "border/ticks.rs"]
mod ticks;
#[path = "../../../../modules/hostile/src/work.rs"]
mod work;

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sluicebox_contract::pod::{Container, ContainerKind, Phase, Pod, QosClass};
use sluicebox_contract::{Entry, Event, Message, PodEvent, Shaper as _};
use sluicebox_wasm::{Bounds, Cache, Engine, Limits, LoadOptions, Module, WasmShaper};

/// Each way is measured so often, in turns; the median counts.
const ROUNDS: usize = 31;
/// So many events for each way and round.
const EVENTS: usize = 19_200;

fn main() {
    let engine = Engine::new().expect("the engine starts");
    let bytes = support::component("hostile");
    machine();
    if std::env::args().any(|argument| argument == "ticks") {
        let module = Module::load(&engine, "hostile", &bytes, &LoadOptions::default()).expect("a module");
        return ticks::measure(&module);
    }
    if std::env::args().any(|argument| argument == "connections") {
        return connections::measure(&engine);
    }
    if std::env::args().any(|argument| argument == "series") {
        return series::measure(&engine);
    }
    let module = start_up(&engine, &bytes);
    println!();
    border(&module);
    println!();
    output(&module);
    println!();
    ticks::measure(&module);
    println!();
    connections::measure(&engine);
    println!();
    series::measure(&engine);
}

/// What the figures were measured on, and how.
fn machine() {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    println!("{processors} x {model}; cargo bench -p sluicebox-wasm --bench border");
}

/// What happens once for each module, each instance and each trap.
fn start_up(engine: &Engine, bytes: &[u8]) -> Module {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("modules");
    let cache = Cache::open(&path, Bounds::default()).expect("a cache");
    let options = LoadOptions { cache: Some(&cache), ..LoadOptions::default() };
    let load = || Module::load(engine, "hostile", bytes, &options).expect("a module");
    let (compiled, module) = timed(load);
    let (mapped, _) = timed(load);
    let code = std::fs::read_dir(&path).into_iter().flatten().flatten();
    let code: u64 = code.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    println!("a module of {} kB", bytes.len() / 1000);
    println!("  compiled and kept     {:>9.1} ms, {} kB of code", millis(compiled), code / 1000);
    println!("  taken from the cache  {:>9.2} ms", millis(mapped));

    let mut shaper = shaper(&module, "panic", 0);
    let renew = median((0..201).map(|_| timed(|| shaper.renew()).0).collect());
    println!("  instance and start    {:>9.1} us", micros(renew));
    let event = [support::named("bad")];
    let trap = || {
        let fault = shaper.shape(&event);
        (fault, shaper.renew())
    };
    let trap = median(
        (0..201)
            .map({
                let mut trap = trap;
                move |_| timed(&mut trap).0
            })
            .collect(),
    );
    println!("  panic, fault, renewed {:>9.1} us", micros(trap));
    module
}

type Shape = Box<dyn FnMut(&[Event]) -> Vec<Entry>>;

/// A way to shape a batch.
struct Way {
    name: &'static str,
    /// The name of the way that does the same work natively.
    shape: Shape,
    events: Vec<Event>,
    nanos: Vec<f64>,
}

fn border(module: &Module) {
    let line = native(&events(1, false)).pop();
    let bytes = line.map_or(0, |entry| match entry {
        Entry::Message(message) => message.body.len(),
        Entry::Document(_) | Entry::Forget(_) => 0,
    });
    println!("pod event -> JSON line of {bytes} bytes, thread CPU time, median of {ROUNDS} rounds");
    println!("{:<44} {:>12} {:>10}", "", "ns an event", "x native");
    for size in [1, 64] {
        let mut ways = vec![
            way("native closure", size, false, Box::new(native)),
            way("module, plain entries", size, false, guest(module, "work-plain", 0)),
            way("module, packed messages", size, false, guest(module, "work-packed", 0)),
            way("module, plain, with the previous pod", size, true, guest(module, "work-plain", 0)),
            way("module, nothing returned", size, false, guest(module, "work-none", 0)),
        ];
        compare(&mut ways, size, &format!("batches of {size}"));
    }
}

/// The two forms of output alone: one event in, many small messages out.
fn output(module: &Module) {
    println!("one event -> messages of about 200 bytes, {ROUNDS} rounds");
    println!("{:<44} {:>12} {:>10}", "", "ns a message", "x native");
    for size in [64, 1_000] {
        let mut ways = vec![
            way("native closure", 1, false, Box::new(move |_| (0..size).map(sample).collect())),
            way("module, plain entries", 1, false, guest(module, "emit-plain", size)),
            way("module, packed messages", 1, false, guest(module, "emit-packed", size)),
        ];
        compare(&mut ways, size, &format!("{size} messages a call"));
    }
}

fn sample(number: usize) -> Entry {
    let mut line = String::with_capacity(256);
    work::sample(&mut line, number);
    Entry::Message(Message { body: line.into_bytes(), ..Message::default() })
}

/// Measures in turns and prints the medians.
fn compare(ways: &mut [Way], size: usize, title: &str) {
    for _ in 0..ROUNDS {
        for way in &mut *ways {
            let nanos = round(way, size);
            way.nanos.push(nanos);
        }
    }
    println!("{title}");
    let medians: Vec<f64> = ways.iter().map(|way| median(way.nanos.clone())).collect();
    for (way, nanos) in ways.iter().zip(&medians) {
        let ratio = nanos / medians.first().unwrap_or(nanos);
        println!("  {:<42} {nanos:>12.0} {ratio:>10.2}", way.name);
    }
}

fn way(name: &'static str, size: usize, previous: bool, shape: Shape) -> Way {
    Way { name, shape, events: events(size, previous), nanos: Vec::new() }
}

fn round(way: &mut Way, size: usize) -> f64 {
    let calls = EVENTS / size;
    let begun = cpu();
    for _ in 0..calls {
        black_box((way.shape)(black_box(&way.events)));
    }
    cpu().saturating_sub(begun).as_nanos() as f64 / (calls * size) as f64
}

fn guest(module: &Module, work: &str, size: usize) -> Shape {
    let mut shaper = shaper(module, work, size);
    Box::new(move |events| shaper.shape(events).expect("honest work"))
}

fn shaper(module: &Module, evil: &str, size: usize) -> WasmShaper {
    let settings = format!(r#"{{"evil": "{evil}", "size": {size}}}"#);
    let mut shaper = WasmShaper::new(module.clone(), settings, support::context(), Limits::default());
    shaper.renew().expect("it starts");
    shaper
}

/// The same work without a module.
fn native(events: &[Event]) -> Vec<Entry> {
    let pods = events.iter().filter_map(|event| match event {
        Event::Pod(event) => Some(event),
        _ => None,
    });
    pods.map(|event| {
        let mut line = String::with_capacity(640);
        work::line(&mut line, fields(&event.pod));
        let key = Some(event.pod.uid.clone());
        Entry::Message(Message { channel: None, key, headers: Vec::new(), body: line.into_bytes() })
    })
    .collect()
}

fn fields(pod: &Pod) -> work::Fields<'_, impl Iterator<Item = (&str, &str)>> {
    let app = pod.containers.first();
    work::Fields {
        texts: [
            ("uid", &pod.uid),
            ("namespace", &pod.namespace),
            ("name", &pod.name),
            ("node", pod.node_name.as_deref().unwrap_or_default()),
            ("phase", if pod.phase == Some(Phase::Running) { "Running" } else { "" }),
            ("qosClass", if pod.qos_class == Some(QosClass::Burstable) { "Burstable" } else { "" }),
            ("hostIP", pod.host_ip.as_deref().unwrap_or_default()),
            ("podIP", pod.pod_ips.first().map(String::as_str).unwrap_or_default()),
            ("createdAt", pod.created_at.as_deref().unwrap_or_default()),
            ("startTime", pod.start_time.as_deref().unwrap_or_default()),
            ("container", app.map(|app| app.name.as_str()).unwrap_or_default()),
            ("image", app.map(|app| app.image.as_str()).unwrap_or_default()),
        ],
        labels: pod.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
    }
}

/// Pods as a cluster has them: three labels, one container that has not started yet.
fn events(count: usize, previous: bool) -> Vec<Event> {
    let pod = |number: usize| {
        let rich = support::rich_pod();
        let container = Container {
            name: "app".to_owned(),
            kind: ContainerKind::App,
            image: "registry.example/team/web:1.29.3".to_owned(),
            ports: Vec::new(),
            requests: Vec::new(),
            limits: Vec::new(),
            status: None,
        };
        Pod {
            name: format!("web-6d4cf56db6-{number:05}"),
            annotations: Vec::new(),
            owners: Vec::new(),
            deletion_at: None,
            reason: None,
            pod_ips: vec!["10.1.0.7".to_owned()],
            containers: vec![container],
            ..rich
        }
    };
    let event = |number: usize| match support::pod_event(pod(number)) {
        Event::Pod(event) if previous => Event::Pod(PodEvent { previous: Some(event.pod.clone()), ..event }),
        event => event,
    };
    (0..count).map(event).collect()
}

fn timed<R>(work: impl FnOnce() -> R) -> (f64, R) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed().as_nanos() as f64, result)
}

/// The time that this thread has worked; what other threads do does not count.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn millis(nanos: f64) -> f64 {
    nanos / 1e6
}

fn micros(nanos: f64) -> f64 {
    nanos / 1e3
}
