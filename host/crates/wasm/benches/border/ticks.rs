//! Ticks of 100 subjects and 7 metrics: a JSON message of each sample, from the tick to the entries, in a module and natively.
//!
//! The module renders what a subject is called once, when it is defined. The native ways do the same work as serde does it, field by
//! field, and with the same ready fragment, which is what the module would be if there were no border.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use serde::Serialize;
use sluicebox_contract::{Entry, Event, Message, Metric, Reading, Sample, Shaper as _, Subject, SubjectId, Tick, UnixNanos};
use sluicebox_wasm::{Limits, Module, WasmShaper};

use crate::{cpu, median, support, work};

const SUBJECTS: u32 = 100;
const METRICS: [Metric; 7] = [
    Metric::CpuUsage,
    Metric::CpuUser,
    Metric::CpuSystem,
    Metric::MemoryUsage,
    Metric::MemoryWorkingSet,
    Metric::IoReadBytes,
    Metric::IoWrittenBytes,
];
/// Each way is measured so often, in turns; the median counts.
const ROUNDS: usize = 61;
/// So many ticks for each way and round.
const TICKS: usize = 40;

type Shape = Box<dyn FnMut(&Event) -> Vec<Entry>>;

/// A way to shape a tick.
struct Way {
    name: &'static str,
    shape: Shape,
    nanos: Vec<f64>,
}

pub(crate) fn measure(module: &Module) {
    let subjects: Vec<Arc<Subject>> = (1..=SUBJECTS).map(subject).collect();
    let event = event();
    println!("ticks of {SUBJECTS} subjects x {} metrics -> a JSON message each, thread CPU time, {ROUNDS} rounds", METRICS.len());
    println!("{:<44} {:>12} {:>10}", "", "ns a point", "x native");
    for addressed in [false, true] {
        let mut ways = ways(module, &subjects, addressed);
        let made: Vec<Vec<Entry>> = ways.iter_mut().map(|way| (way.shape)(&event)).collect();
        assert!(made.windows(2).all(|pair| pair.first() == pair.last()), "all ways make the same");
        let bytes: usize = made.iter().flatten().map(body).sum::<usize>() / made.iter().map(Vec::len).sum::<usize>();
        println!("messages of {bytes} bytes{}", if addressed { ", each with a channel and a key" } else { "" });
        for _ in 0..ROUNDS {
            for way in &mut ways {
                let nanos = round(way, &event);
                way.nanos.push(nanos);
            }
        }
        let medians: Vec<f64> = ways.iter().map(|way| median(way.nanos.clone())).collect();
        for (way, nanos) in ways.iter().zip(&medians) {
            let ratio = nanos / medians.first().unwrap_or(nanos);
            println!("  {:<42} {nanos:>12.1} {ratio:>10.2}", way.name);
        }
    }
}

fn round(way: &mut Way, event: &Event) -> f64 {
    let begun = cpu();
    for _ in 0..TICKS {
        black_box((way.shape)(black_box(event)));
    }
    let points = TICKS * METRICS.len() * SUBJECTS as usize;
    cpu().saturating_sub(begun).as_nanos() as f64 / points as f64
}

fn ways(module: &Module, subjects: &[Arc<Subject>], addressed: bool) -> [Way; 3] {
    let way = |name, shape| Way { name, shape, nanos: Vec::new() };
    let known: HashMap<SubjectId, Known> = subjects.iter().map(|subject| (subject.id, Known::of(subject))).collect();
    let (fields, fragments) = (known.clone(), known);
    let mut guest = guest(module, subjects, addressed);
    let serde = move |tick: &Tick| entries(tick, addressed, |line, sample| fields[&sample.subject].serde(line, tick, sample));
    let ready = move |tick: &Tick| {
        let middles: HashMap<Metric, String> =
            METRICS.into_iter().map(|metric| (metric, work::middle(metric.name(), tick.observed_at.0))).collect();
        entries(tick, addressed, |line, sample| fragments[&sample.subject].ready(line, &middles, sample))
    };
    [
        way("native, serde", native(serde)),
        way("native, ready fragments", native(ready)),
        way("module", Box::new(move |event| guest.shape(std::slice::from_ref(event)).expect("honest work"))),
    ]
}

fn native(shape: impl Fn(&Tick) -> Vec<Entry> + 'static) -> Shape {
    Box::new(move |event| match event {
        Event::Tick(tick) => shape(tick),
        _ => Vec::new(),
    })
}

fn entries(tick: &Tick, addressed: bool, write: impl Fn(&mut Vec<u8>, &Sample)) -> Vec<Entry> {
    let message = |sample: &Sample| {
        let mut body = Vec::with_capacity(256);
        write(&mut body, sample);
        let channel = addressed.then(|| "samples".to_owned());
        let key = addressed.then(|| sample.subject.0.to_string());
        Entry::Message(Message { channel, key, headers: Vec::new(), body })
    };
    tick.samples.iter().map(message).collect()
}

fn guest(module: &Module, subjects: &[Arc<Subject>], addressed: bool) -> WasmShaper {
    let work = if addressed { "work-samples-addressed" } else { "work-samples" };
    let settings = format!(r#"{{"evil": "{work}"}}"#);
    let mut shaper = WasmShaper::new(module.clone(), settings, support::context(), Limits::default());
    shaper.renew().expect("it starts");
    shaper.define(subjects).expect("it is told of subjects");
    shaper
}

/// What a native shaper would keep of a subject.
#[derive(Clone)]
struct Known {
    subject: Arc<Subject>,
    pod: String,
    qos: String,
    cgroup: String,
    fragment: String,
}

impl Known {
    fn of(subject: &Arc<Subject>) -> Self {
        let attribute = |name: &str| {
            let found = subject.attributes.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (pod, qos, cgroup) = (attribute("pod-name"), attribute("qos-class"), attribute("cgroup"));
        let mut fragment = String::new();
        let texts = [
            ("uid", subject.uid.as_str()),
            ("namespace", &subject.namespace),
            ("pod", &pod),
            ("container", &subject.name),
            ("qos", &qos),
            ("cgroup", &cgroup),
        ];
        work::fragment(&mut fragment, texts);
        Self { subject: Arc::clone(subject), pod, qos, cgroup, fragment }
    }

    fn serde(&self, line: &mut Vec<u8>, tick: &Tick, sample: &Sample) {
        let point = Point {
            uid: &self.subject.uid,
            namespace: &self.subject.namespace,
            pod: &self.pod,
            container: &self.subject.name,
            qos: &self.qos,
            cgroup: &self.cgroup,
            metric: sample.metric.name(),
            time: tick.observed_at.0,
            value: value(&sample.reading),
        };
        serde_json::to_writer(line, &point).expect("a line");
    }

    fn ready(&self, line: &mut Vec<u8>, middles: &HashMap<Metric, String>, sample: &Sample) {
        let mut text = String::from_utf8(std::mem::take(line)).expect("an empty line");
        let middle = middles.get(&sample.metric).map(String::as_str).unwrap_or_default();
        work::point(&mut text, &self.fragment, middle, value(&sample.reading));
        *line = text.into_bytes();
    }
}

#[derive(Serialize)]
struct Point<'a> {
    uid: &'a str,
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
    qos: &'a str,
    cgroup: &'a str,
    metric: &'a str,
    time: u64,
    value: u64,
}

fn value(reading: &Reading) -> u64 {
    match reading {
        Reading::Counter { increase, .. } => increase.as_ref().map_or(0, |increase| increase.amount),
        Reading::Value(value) => *value,
        Reading::Unlimited => 0,
    }
}

fn subject(id: u32) -> Arc<Subject> {
    let uid = format!("5fffd849{id:08x}");
    let mut subject = (*support::container(id, "app")).clone();
    for (name, value) in &mut subject.attributes {
        if name == "cgroup" {
            *value = format!("/kubepods/burstable/{id:06}");
        }
    }
    Arc::new(Subject { uid, ..subject })
}

fn event() -> Event {
    let sample = |subject: u32, metric: Metric| {
        let number = u64::from(subject) * 7919 + metric.index() as u64 * 104_729;
        match metric {
            Metric::MemoryUsage | Metric::MemoryWorkingSet => support::gauge(subject, metric, number * 4096),
            _ => support::counter(subject, metric, number * 1000, Some((number, 1_000_000_000))),
        }
    };
    let samples = (1..=SUBJECTS).flat_map(|subject| METRICS.map(|metric| sample(subject, metric))).collect();
    Event::Tick(Arc::new(Tick { observed_at: UnixNanos(1_700_000_000_000_000_000), online_cpus: 4, samples }))
}

fn body(entry: &Entry) -> usize {
    match entry {
        Entry::Message(message) => message.body.len(),
        Entry::Document(_) | Entry::Forget(_) => 0,
    }
}
