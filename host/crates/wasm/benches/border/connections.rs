//! Reports of 1 000 connections: a JSON document of each, and sums by workload, from the report to the entries, in the presets and natively.
//!
//! The native ways do what a program without modules would: names and values written by the standard library and by serde, sums in
//! the standard library's map. A report comes each second, with the totals of all connections grown.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::Serialize;
use sluicebox_contract::{
    Connection, ConnectionReport, Direction, Document, End, Entry, Event, Protocol, Shaper as _, Subject, SubjectId, SubjectKind,
    Traffic, UnixNanos,
};
use sluicebox_wasm::{Engine, Limits, LoadOptions, Module, WasmShaper};

use crate::{cpu, median, support};

const CONNECTIONS: u32 = 1_000;
/// Connections of one client with one server share a row: 80 rows, as 16 clients and 5 servers make.
const CLIENTS: u32 = 16;
const SERVERS: u32 = 5;
/// Each way is measured so often, in turns; the median counts.
const ROUNDS: usize = 61;
/// So many reports for each way and round.
const REPORTS: usize = 30;

type Shape = Box<dyn FnMut(&Event) -> usize>;

/// A way to shape a report. Says how many entries it made.
struct Way {
    name: &'static str,
    shape: Shape,
    nanos: Vec<f64>,
}

pub(crate) fn measure(engine: &Engine) {
    let reports: Vec<Event> = (1..=REPORTS as u64).map(report).collect();
    println!("reports of {CONNECTIONS} connections, thread CPU time, median of {ROUNDS} rounds");
    println!("{:<44} {:>16} {:>10}", "", "ns a connection", "x native");
    agree(engine, &reports);
    let mut each = [
        way("native, serde", native_documents()),
        way("connection-transactions", guest(engine, "connection-transactions", "{}")),
        way("connection-transactions, unchanged: skip", guest(engine, "connection-transactions", r#"{"unchanged":"skip"}"#)),
    ];
    println!("a JSON document each");
    compare(&mut each, &reports);
    let mut sums = [
        way("native, sums", native_sums(false)),
        way("native, sums and connections counted once", native_sums(true)),
        way("service-map", guest(engine, "service-map", r#"{"period":"1h"}"#)),
    ];
    println!("sums by workload, {} rows", CLIENTS * SERVERS);
    compare(&mut sums, &reports);
}

fn way(name: &'static str, shape: Shape) -> Way {
    Way { name, shape, nanos: Vec::new() }
}

fn compare(ways: &mut [Way], reports: &[Event]) {
    for _ in 0..ROUNDS {
        for way in &mut *ways {
            let begun = cpu();
            for report in reports {
                black_box((way.shape)(black_box(report)));
            }
            way.nanos.push(cpu().saturating_sub(begun).as_nanos() as f64 / (reports.len() * CONNECTIONS as usize) as f64);
        }
    }
    let medians: Vec<f64> = ways.iter().map(|way| median(way.nanos.clone())).collect();
    for (way, nanos) in ways.iter().zip(&medians) {
        println!("  {:<42} {nanos:>16.1} {:>10.2}", way.name, nanos / medians.first().unwrap_or(nanos));
    }
}

/// The module makes what the native code makes.
fn agree(engine: &Engine, reports: &[Event]) {
    let mut shaper = shaper(engine, "connection-transactions", r#"{"collection":null,"prune-after":null}"#);
    let first = reports.first().expect("a report");
    let made = shaper.shape(std::slice::from_ref(first)).expect("honest work");
    let Event::Connections(report) = first else { unreachable!("a report") };
    assert_eq!(made, report.connections.iter().map(document).collect::<Vec<_>>(), "both make the same");
}

#[derive(Serialize)]
struct Values {
    #[serde(rename = "monotonic_sent_bytes")]
    sent: u64,
    #[serde(rename = "monotonic_recv_bytes")]
    received: u64,
    #[serde(rename = "monotonic_retransmits")]
    retransmits: u64,
}

fn document(connection: &Connection) -> Entry {
    let Connection { source, destination, .. } = connection;
    let name = format!("{}-{}-{}-{}", source.address, destination.address, source.port, destination.port).replace(':', "_");
    let values =
        Values { sent: connection.sent.total, received: connection.received.total, retransmits: connection.retransmits.total };
    let body = serde_json::to_vec(&values).expect("a document");
    Entry::Document(Document { collection: None, name, body })
}

fn native_documents() -> Shape {
    Box::new(|event| match event {
        Event::Connections(report) => black_box(report.connections.iter().map(document).collect::<Vec<_>>()).len(),
        _ => 0,
    })
}

#[derive(Default)]
struct Row {
    connections: u64,
    sent: u64,
    received: u64,
    retransmits: u64,
}

type Pair = (Option<SubjectId>, Option<SubjectId>, u16, Protocol, Direction);
type Seen = (IpAddr, u16, IpAddr, u16, Protocol, u32);

fn native_sums(counts: bool) -> Shape {
    let mut rows: HashMap<Pair, Row> = HashMap::new();
    let mut seen: HashSet<Seen> = HashSet::new();
    Box::new(move |event| {
        let Event::Connections(report) = event else { return 0 };
        for connection in &report.connections {
            let Connection { source, destination, .. } = connection;
            let key = (source.subject, destination.subject, destination.port, connection.protocol, connection.direction);
            let row = rows.entry(key).or_default();
            let connects = (
                source.address,
                source.port,
                destination.address,
                destination.port,
                connection.protocol,
                connection.network_namespace,
            );
            if !counts || seen.insert(connects) {
                row.connections += 1;
            }
            row.sent += connection.sent.increase;
            row.received += connection.received.increase;
            row.retransmits += connection.retransmits.increase;
        }
        rows.len()
    })
}

fn shaper(engine: &Engine, module: &str, settings: &str) -> WasmShaper {
    let bytes = support::component(module);
    let module = Module::load(engine, module, &bytes, &LoadOptions::default()).expect("a module");
    let mut shaper = WasmShaper::new(module, settings.to_owned(), support::context(), Limits::default());
    shaper.renew().expect("it starts");
    let subjects: Vec<_> = (1..=CLIENTS + SERVERS).map(subject).collect();
    shaper.define(&subjects).expect("it is told of subjects");
    shaper
}

fn guest(engine: &Engine, module: &str, settings: &str) -> Shape {
    let mut shaper = shaper(engine, module, settings);
    Box::new(move |event| shaper.shape(std::slice::from_ref(event)).expect("honest work").len())
}

fn subject(id: u32) -> Arc<Subject> {
    let attributes = [("workload-kind", "Deployment".to_owned()), ("workload-name", format!("workload-{id}"))];
    Arc::new(Subject {
        id: SubjectId(id),
        kind: SubjectKind::Pod,
        uid: format!("uid-{id}"),
        namespace: "shop".to_owned(),
        name: format!("workload-{id}-5b8c7"),
        attributes: attributes.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    })
}

fn report(second: u64) -> Event {
    let connection = |number: u32| {
        let (client, server) = (1 + number % CLIENTS, 1 + CLIENTS + number / CLIENTS % SERVERS);
        let end = |subject: u32, port: u32| End {
            subject: Some(SubjectId(subject)),
            address: IpAddr::V4(Ipv4Addr::from(0x0a2a_0000 + subject)),
            port: port as u16,
        };
        let traffic = |rate: u64| Traffic { total: rate * second, increase: rate };
        Connection {
            source: end(client, 32_768 + number),
            destination: end(server, 443),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            pid: 1_000 + client,
            network_namespace: 4_026_532_000 + client,
            sent: traffic(1_000 + u64::from(number)),
            received: traffic(7_000 + u64::from(number)),
            retransmits: traffic(0),
            last_seen_nanos: 11_457_291_007_926_789 + second * 1_000_000_000,
        }
    };
    let connections = (0..CONNECTIONS).map(connection).collect();
    let observed_at = UnixNanos(1_700_000_000_000_000_000 + second * 1_000_000_000);
    Event::Connections(Arc::new(ConnectionReport { observed_at, over_nanos: 1_000_000_000, more: false, connections }))
}
