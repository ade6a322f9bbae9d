//! A report of connections is about many subjects: a connection that stops the module is left out, the others are shaped; what is
//! about a subject that the module does not stand is left out with it.

mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use sluicebox_contract::{
    Connection, ConnectionReport, Direction, End, Event, Held, Notice, Protocol, SubjectId, Traffic, UnixNanos,
};
use sluicebox_pipeline::LaneSettings;
use support::stage::{Shelf, Stage, until};
use support::{Recorder, Scripted, lane_terms, lines, subject};

fn stage(shaper: Scripted, shelf: &Shelf) -> Stage {
    let settings = LaneSettings { batch: 64, ..lane_terms(&[]).settings };
    Stage::with(shaper, Recorder::default(), settings, Some(shelf.clone()))
}

/// Connections from these ports; the sources are the subjects of the same numbers where these are below 100, else nobody's.
fn report(ports: impl IntoIterator<Item = u16>) -> Notice {
    let end = |subject: Option<u32>, port| End { subject: subject.map(SubjectId), address: Ipv4Addr::LOCALHOST.into(), port };
    let connection = |port: u16| Connection {
        source: end(Some(u32::from(port)).filter(|id| *id < 100), port),
        destination: end(None, 80),
        protocol: Protocol::Tcp,
        direction: Direction::Outgoing,
        pid: 1,
        network_namespace: 1,
        sent: Traffic::default(),
        received: Traffic::default(),
        retransmits: Traffic::default(),
        last_seen_nanos: 0,
    };
    let connections = ports.into_iter().map(connection).collect();
    Notice::Event(Event::Connections(Arc::new(ConnectionReport {
        observed_at: UnixNanos::now(),
        over_nanos: 0,
        more: false,
        connections,
    })))
}

async fn tell(stage: &Stage, notices: impl IntoIterator<Item = Notice>) {
    for notice in notices {
        stage.tell.send(notice).await.unwrap();
    }
}

fn calls(log: &support::Log) -> Vec<usize> {
    let names = |line: &String| line.strip_prefix("shape ").map(|names| names.split(' ').count());
    lines(log).iter().filter_map(names).collect()
}

#[tokio::test]
async fn a_connection_that_stops_the_module_is_left_out_alone_and_kept() {
    let shaper = Scripted { deadly: [177].into(), ..Scripted::default() };
    let shelf = Shelf::default();
    let stage = stage(shaper, &shelf);
    tell(&stage, [report(101..=200)]).await;
    until("all is shaped", || stage.meter.entries.get() + stage.meter.deadly.get() >= 100).await;
    until("all is written", || stage.outlet_meter.written.get() == stage.meter.entries.get()).await;
    let written: BTreeSet<String> = lines(&stage.sink.log).into_iter().filter(|line| line != "settled").collect();
    let expected: BTreeSet<String> = (101..=200).filter(|port| *port != 177).map(|port| port.to_string()).collect();
    assert_eq!(written, expected);
    assert!(stage.meter.traps.get() <= 8, "one trap for each halving: {}", stage.meter.traps.get());
    until("the letter", || !shelf.letters().is_empty()).await;
    let letters = shelf.letters();
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    let Held::Event { event: Event::Connections(report), .. } = &letter.held else { panic!("connections: {letter:?}") };
    assert_eq!(report.connections.iter().map(|connection| connection.source.port).collect::<Vec<_>>(), [177]);
}

#[tokio::test]
async fn a_subject_whose_connections_stop_the_module_each_time_is_left_out_without_another_try() {
    let shaper = Scripted { deadly: [3].into(), ..Scripted::default() };
    let stage = stage(shaper, &Shelf::default());
    tell(&stage, (1..=8).map(subject)).await;
    for round in 1..=10 {
        tell(&stage, [report(1..=8)]).await;
        until("the round is shaped", || stage.meter.entries.get() >= round * 7).await;
    }
    assert!(stage.meter.traps.get() <= 3 * 4, "three reports halved down to the one: {}", stage.meter.traps.get());
    assert_eq!(stage.meter.deadly.get(), 10, "its connections are counted each time");
}

#[tokio::test]
async fn a_report_of_very_many_connections_comes_in_parts_and_reports_are_calls_of_their_own() {
    let shaper = Scripted { tells_calls: true, untold: true, ..Scripted::default() };
    let log = shaper.log.clone();
    let stage = stage(shaper, &Shelf::default());
    tell(&stage, [report(1000..=5999), report(1..=2), report(1..=2)]).await;
    until("all is shaped", || stage.meter.entries.get() == 5_004).await;
    assert_eq!(calls(&log), [2_500, 2_500, 2, 2]);
}
