//! The broker is away, comes, dies and comes again: other sinks go on, and everything that was accepted arrives.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sluicebox_testkit::program::Program;
use support::machine::{Machine, lines, told_again};
use support::{PATIENCE, kafka, until};

const TOPIC: &str = "samples";
const POD: &str = "pod shop/web-1";

/// Two lanes that say the same; `more` is of the one that writes to the broker, and begins with a comma.
fn lanes(brokers: &str, more: &str, sink: &str) -> String {
    format!(
        "modules:\n\
         \x20 records: {{use: json-lines, settings: {{channel: {TOPIC}}}, to: [broker]{more}}}\n\
         \x20 lines: {{use: json-lines, to: [out]}}\n\
         sinks:\n\
         \x20 broker: {{kafka: {{brokers: [\"{brokers}\"], message-timeout: 2s}}{sink}}}\n\
         \x20 out: {{stdout: {{format: json}}}}\n"
    )
}

/// What was said of each subject, in order.
fn said(program: &Program) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines(program) {
        said.entry(line.key).or_default().push(line.body.to_string());
    }
    said
}

/// The same of what is in the topic.
async fn recorded(broker: &sluicebox_testkit::servers::KafkaServer) -> BTreeMap<String, Vec<String>> {
    let mut recorded: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in kafka::read(broker, TOPIC).await {
        // As the other side was read: what is compared is what was said, not how.
        let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        recorded.entry(record.key.unwrap()).or_default().push(value.to_string());
    }
    recorded
}

/// Waits until `/readyz` says this of the sink.
async fn until_sink(program: &Program, says: &str) {
    until(program, says, async || program.get("/readyz").await.unwrap().1.contains(says)).await;
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_after_each_time_that_the_broker_was_away() {
    if !kafka::can_run() {
        return;
    }
    let mut broker = kafka::broker(TOPIC).await;
    broker.kill();
    let machine = Machine::new().await;
    machine.pod(1, 2);
    let rest = machine.sources("") + &lanes(&broker.address(), ", when-full: drop-oldest", "");
    let mut program = machine.place.run(&machine.place.configure(&machine.api.url(), &rest));
    program.until_alive(PATIENCE).await.unwrap();
    told_again(&program, POD, 10).await;
    until_sink(&program, "[-] sink broker: does not take entries; they wait").await;
    for _ in 0..2 {
        broker.restart().await.unwrap();
        until_sink(&program, "[+] sink broker: takes entries").await;
        told_again(&program, POD, 5).await;
        // Ends it as a power cut would, with records under way.
        broker.kill();
        told_again(&program, POD, 5).await;
    }
    broker.restart().await.unwrap();
    told_again(&program, POD, 2).await;
    until_sink(&program, "[+] sink broker: takes entries").await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let (said, recorded) = (said(&program), recorded(&broker).await);
    assert_eq!(said.len(), 3);
    for (key, told) in &said {
        assert!(told.len() >= 27, "{key} was told {} times", told.len());
        assert_eq!(Some(told), recorded.get(key), "{key}");
    }
    assert_eq!(said.len(), recorded.len());
}

#[tokio::test]
async fn a_lane_whose_broker_is_away_drops_its_oldest_ticks_and_the_other_goes_on() {
    if !kafka::can_run() {
        return;
    }
    let mut broker = kafka::broker(TOPIC).await;
    broker.kill();
    let machine = Machine::new().await;
    machine.pod(1, 1);
    let small = ", when-full: drop-oldest, queue: {items: 3}, batch: 1";
    let rest = machine.sources("") + &lanes(&broker.address(), small, ", queue: {items: 2}");
    let mut program = machine.place.run(&machine.place.configure(&machine.api.url(), &rest));
    program.until_alive(PATIENCE).await.unwrap();
    let dropped = async || program.metric("sluicebox_lane_dropped_events_total", "reason=\"overflow\"").await.unwrap();
    until(&program, "ticks are dropped", async || dropped().await > 2.0).await;
    told_again(&program, POD, 5).await;
    let (late, ticks) = (program.metric("sluicebox_source_late_ticks_total", "cgroups").await.unwrap(), lines(&program).len());
    assert!(late < 5.0, "the source waited: {late} ticks were late, {ticks} lines");
    broker.restart().await.unwrap();
    until_sink(&program, "[+] sink broker: takes entries").await;
    told_again(&program, POD, 3).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let (said, recorded) = (said(&program), recorded(&broker).await);
    for (key, told) in &said {
        let arrived = &recorded[key];
        assert_eq!(arrived.last(), told.last(), "the newest are kept");
        assert!(arrived.len() < told.len(), "{} of {}", arrived.len(), told.len());
        let mut rest = told.iter();
        assert!(arrived.iter().all(|line| rest.any(|told| told == line)), "the order of {key}");
    }
}

#[tokio::test]
async fn a_broker_that_is_dead_at_the_end_is_named_with_what_is_lost() {
    if !kafka::can_run() {
        return;
    }
    let mut broker = kafka::broker(TOPIC).await;
    let machine = Machine::new().await;
    machine.pod(1, 1);
    let rest = machine.sources("") + &lanes(&broker.address(), ", when-full: drop-oldest", "") + "shutdown-grace: 2s\n";
    let mut program = machine.run(&rest).await;
    let written = async || program.metric("sluicebox_sink_written_total", "sink=\"broker\"").await.unwrap();
    until(&program, "something is written", async || written().await >= 10.0).await;
    broker.kill();
    let acknowledged = written().await;
    told_again(&program, POD, 5).await;
    let begin = Instant::now();
    let status = program.stop(PATIENCE).await.unwrap();
    let (took, log) = (begin.elapsed(), program.log().unwrap());
    assert!(took < Duration::from_secs(10), "{took:?} for a grace of 2 s");
    assert_eq!(status.code(), Some(1), "something accepted was lost:\n{log}");
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {log}"));
    let (late, lost) = (line("not finished at the deadline"), line("entries were not written and are lost"));
    assert!(late.contains("ERROR") && late.contains("sink broker"), "{late}");
    assert!(lost.contains("ERROR") && lost.contains("\"sink\":\"broker\""), "{lost}");
    broker.restart().await.unwrap();
    let (kept, acknowledged) = (kafka::read(&broker, TOPIC).await.len(), format!("{acknowledged:.0}").parse().unwrap());
    assert!(kept >= acknowledged, "{kept} of {acknowledged} that were written are there");
}
