//! Cycles of 26 queries that find 100 series each: a message of each series as MAPE reads it, from the report to the entries, in the
//! preset and natively.
//!
//! The native way does what a program without modules would: serde writes each message from the labels of its series, with Python's white
//! space, and the standard library writes times and values. Each series has two samples, as the preset's queries find.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde_json::ser::Formatter;
use sluicebox_contract::{
    Entry, Event, Message, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, Shaper as _, Subject, SubjectId, SubjectKind,
    UnixNanos,
};
use sluicebox_wasm::{Engine, Limits, LoadOptions, Module, WasmShaper};

use crate::{cpu, median, support};

const SERIES: u32 = 100;
const METRICS: usize = 26;
/// Each way is measured so often, in turns; the median counts.
const ROUNDS: usize = 61;
/// So many cycles for each way and round.
const CYCLES: u64 = 4;
const TOPIC: &str = "nfvi.ncsrd.kubernetes";

type Shape = Box<dyn FnMut(&Event) -> Vec<Entry>>;

/// A way to shape a report.
struct Way {
    name: &'static str,
    shape: Shape,
    nanos: Vec<f64>,
}

pub(crate) fn measure(engine: &Engine) {
    let reports: Vec<Event> = (1..=CYCLES).flat_map(|cycle| (0..METRICS).map(move |metric| report(cycle, metric))).collect();
    println!("cycles of {METRICS} queries that find {SERIES} series of two samples, thread CPU time, median of {ROUNDS} rounds");
    println!("{:<44} {:>16} {:>10}", "", "ns a message", "x native");
    let mut ways = [
        way("native, serde", native()),
        way("mape-kafka, packet-loss: false", guest(engine, r#"{"packet-loss": false}"#)),
        way("mape-kafka", guest(engine, "{}")),
    ];
    agree(&mut ways, &reports);
    for _ in 0..ROUNDS {
        for way in &mut ways {
            let begun = cpu();
            for report in &reports {
                black_box((way.shape)(black_box(report)));
            }
            way.nanos.push(cpu().saturating_sub(begun).as_nanos() as f64 / (reports.len() * SERIES as usize) as f64);
        }
    }
    let medians: Vec<f64> = ways.iter().map(|way| median(way.nanos.clone())).collect();
    for (way, nanos) in ways.iter().zip(&medians) {
        println!("  {:<42} {nanos:>16.1} {:>10.2}", way.name, nanos / medians.first().unwrap_or(nanos));
    }
}

fn way(name: &'static str, shape: Shape) -> Way {
    Way { name, shape, nanos: Vec::new() }
}

/// The module makes what the native code makes.
fn agree(ways: &mut [Way], reports: &[Event]) {
    let [native, module, _] = ways else { unreachable!("three ways") };
    for report in reports {
        assert_eq!((native.shape)(report), (module.shape)(report), "both make the same");
    }
}

#[derive(Serialize)]
struct Told<'told> {
    container_id: &'told str,
    metric_type: &'told str,
    r#type: &'told str,
    data: Vec<Datum<'told>>,
}

#[derive(Serialize)]
struct Datum<'told> {
    r#type: &'told str,
    name: &'told str,
    timestamp: String,
    unit: &'told str,
    value: String,
}

fn native() -> Shape {
    let labels: HashMap<SubjectId, HashMap<String, String>> = (1..=SERIES)
        .map(|id| {
            let subject = subject(id);
            (subject.id, subject.attributes.iter().cloned().collect())
        })
        .collect();
    Box::new(move |event| {
        let Event::Series(report) = event else { return Vec::new() };
        let SeriesQuery { metric, metric_type, unit, .. } = report.query.as_ref();
        let series = report.samples.chunk_by(|one, other| one.subject == other.subject);
        let message = |samples: &[SeriesSample]| {
            let container_id = labels.get(&samples.first()?.subject)?.get("label_vim_id")?;
            let datum = |sample: &SeriesSample| Datum {
                r#type: metric_type,
                name: metric,
                timestamp: timestamp(sample.millis),
                unit,
                value: sample.value.to_string(),
            };
            let told = Told { container_id, metric_type: metric, r#type: metric_type, data: samples.iter().map(datum).collect() };
            let mut body = Vec::with_capacity(512);
            told.serialize(&mut serde_json::Serializer::with_formatter(&mut body, Python)).expect("a message");
            let key = Some(container_id.clone());
            Some(Entry::Message(Message { channel: Some(TOPIC.to_owned()), key, headers: Vec::new(), body }))
        };
        series.filter_map(message).collect()
    })
}

/// The white space of Python.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn timestamp(millis: i64) -> String {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}000Z", era * 400 + year)
}

fn guest(engine: &Engine, settings: &str) -> Shape {
    let bytes = support::component("mape-kafka");
    let module = Module::load(engine, "mape-kafka", &bytes, &LoadOptions::default()).expect("a module");
    let mut shaper = WasmShaper::new(module, settings.to_owned(), support::context(), Limits::default());
    shaper.renew().expect("it starts");
    let subjects: Vec<_> = (1..=SERIES).map(subject).collect();
    shaper.define(&subjects).expect("it is told of subjects");
    Box::new(move |event| shaper.shape(std::slice::from_ref(event)).expect("honest work"))
}

fn subject(id: u32) -> Arc<Subject> {
    let attributes = [
        ("label_ow_action", "guest_5g-media_action_ping".to_owned()),
        ("label_vim_id", format!("{:032x}", u128::from(id) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced)),
        ("pod", format!("offload-invoker-{id:032x}")),
    ];
    Arc::new(Subject {
        id: SubjectId(id),
        kind: SubjectKind::Series,
        uid: String::new(),
        namespace: String::new(),
        name: String::new(),
        attributes: attributes.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    })
}

/// What a query finds: whole numbers for every second metric, as of bytes, and fractions for the others, as rates are.
fn report(cycle: u64, metric: usize) -> Event {
    const PACKETS: [&str; 4] = [
        "container_network_receive_packets_dropped_total",
        "container_network_receive_packets_total",
        "container_network_transmit_packets_dropped_total",
        "container_network_transmit_packets_total",
    ];
    let name = PACKETS
        .get(metric)
        .map_or_else(|| format!("container_of_some_kind_{metric:02}_seconds_total"), |name| (*name).to_owned());
    let unit = if name == PACKETS[1] { "packets" } else { "" };
    let query = SeriesQuery {
        cycle: "20s".to_owned(),
        metric: name.clone(),
        name,
        metric_type: "counter".to_owned(),
        unit: unit.to_owned(),
        origin: SeriesOrigin::RangeQuery,
    };
    let end = 1_700_000_000_000 + 20_000 * cycle.cast_signed();
    let sample = |subject: u32, ago: i64| {
        let number = f64::from(subject) * 4096.0 + cycle as f64;
        let value = if metric.is_multiple_of(2) { number } else { number / 61.3 };
        SeriesSample { subject: SubjectId(subject), millis: end - ago, value }
    };
    Event::Series(Arc::new(SeriesReport {
        observed_at: UnixNanos(end.cast_unsigned() * 1_000_000),
        query: Arc::new(query),
        start_millis: end - 20_000,
        end_millis: end,
        step_millis: 20_000,
        warnings: Vec::new(),
        failure: None,
        samples: (1..=SERIES).flat_map(|subject| [sample(subject, 20_000), sample(subject, 0)]).collect(),
        histograms: Vec::new(),
        more: metric + 1 < METRICS,
    }))
}
