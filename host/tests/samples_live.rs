//! Lanes that want samples come, go and change while the program runs; the source goes on, and no tick is missed or told twice.

mod support;

use std::collections::BTreeSet;

use sluicebox_testkit::program::Program;
use support::machine::{Line, Machine, lines, messages, quoted, rows};
use support::{PATIENCE, SLOW, module, replace, status, status_of, until, until_within, version_of};

/// A configuration with these lanes.
fn with_lanes(machine: &Machine, lanes: &[&str]) -> String {
    let lanes: Vec<String> = lanes.iter().map(|lane| format!("  {lane}\n")).collect();
    let sinks = "sinks: {out: {stdout: {format: json}}, again: {stdout: {format: json}}}\n";
    format!("{}compiler: {{deadline: 10m}}\nmodules:\n{}{sinks}", machine.sources(""), lanes.concat())
}

/// A lane that says what it is told on a channel of its own name.
fn lane(name: &str, module: &str, sink: &str) -> String {
    format!("{name}: {{use: {module}, settings: {{channel: {name}}}, to: [{sink}]}}")
}

fn on(program: &Program, channel: &str) -> Vec<Line> {
    lines(program).into_iter().filter(|line| line.channel == channel).collect()
}

/// Waits until so much more is said on a channel.
async fn goes_on(program: &Program, channel: &str) {
    let before = on(program, channel).len();
    until(program, &format!("{channel} goes on"), async || on(program, channel).len() >= before + 9).await;
}

/// One source feeds all lanes, and belongs to none.
async fn assert_one_source(program: &Program) {
    for name in ["sluicebox_source_events_total", "sluicebox_source_subjects", "sluicebox_source_tick_seconds_count"] {
        let rows = rows(program, name).await;
        assert!(rows.len() == 1 && !rows[0].contains("lane="), "{name}: {rows:?}");
    }
}

/// When what was read, in the order in which it was told.
fn readings(lines: &[Line]) -> Vec<(String, String)> {
    lines.iter().map(|line| (line.time().to_owned(), line.key.clone())).collect()
}

/// Nothing is told twice.
fn assert_once(lines: &[Line]) {
    let readings = readings(lines);
    let different: BTreeSet<_> = readings.iter().collect();
    assert_eq!(different.len(), readings.len(), "something is told twice: {readings:?}");
}

#[tokio::test]
async fn a_lane_that_is_added_joins_the_source_that_runs_and_may_go_and_come_again() {
    let machine = Machine::new().await;
    machine.pod(1, 2);
    let (one, two) = (lane("one", "json-lines", "out"), lane("two", "json-lines", "out"));
    let mut program = machine.run(&with_lanes(&machine, &[&one])).await;
    goes_on(&program, "one").await;
    for _ in 0..2 {
        machine.place.reconfigure(&machine.api.url(), &with_lanes(&machine, &[&one, &two]));
        goes_on(&program, "two").await;
        assert_one_source(&program).await;
        machine.place.reconfigure(&machine.api.url(), &with_lanes(&machine, &[&one]));
        until(&program, "it is gone", async || status_of(&program, "two").await.is_null()).await;
        goes_on(&program, "one").await;
        assert_one_source(&program).await;
    }
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let (one, two) = (on(&program, "one"), on(&program, "two"));
    assert_once(&one);
    assert_once(&two);
    let all: BTreeSet<_> = readings(&one).into_iter().collect();
    assert!(readings(&two).iter().all(|reading| all.contains(reading)), "the other lane has heard of nothing else");
    // Counters were known before it joined: each of its first lines has an increase.
    assert!(two.iter().all(|line| line.metric("cpu-usage")["increase"].is_u64()), "{two:?}");
}

#[tokio::test]
async fn new_versions_of_json_lines_take_over_between_two_ticks_without_a_gap_or_a_double() {
    take_over("json-lines").await;
}

#[tokio::test]
async fn new_versions_of_pod_metrics_take_over_between_two_ticks_without_a_gap_or_a_double() {
    take_over("pod-metrics").await;
}

/// A lane whose module is replaced twice says the same as one beside it that stays as it is.
async fn take_over(preset: &str) {
    let machine = Machine::new().await;
    let pod = machine.pod(1, 2);
    let component = std::fs::read(module(preset)).unwrap();
    let file = machine.place.path("module.wasm");
    replace(&file, &component);
    let (one, beside) = (lane("one", &quoted(&file), "out"), lane("beside", preset, "out"));
    let mut program = machine.run(&with_lanes(&machine, &[&one, &beside])).await;
    let said = |program: &Program, channel: &str| -> Vec<(String, String)> {
        let on_channel = messages(program).filter(|message| message.channel == channel);
        on_channel.map(|message| (message.key, message.body.to_string())).collect()
    };
    let goes_on = async || {
        let before = said(&program, "one").len();
        until(&program, "it goes on", async || said(&program, "one").len() >= before + 30).await;
    };
    goes_on().await;
    for version in 1..=2_u64 {
        machine.uses(&machine.kubelet.path(&pod, None), 2_500_000 + version * 1_000);
        replace(&file, &version_of(&component, &format!("version {version}")));
        until_within(&program, SLOW, "it is swapped", async || status_of(&program, "one").await["swapped"] == version).await;
        goes_on().await;
    }
    assert_one_source(&program).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let (one, beside) = (said(&program, "one"), said(&program, "beside"));
    assert_eq!(one, beside);
    assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), one.len(), "something is told twice");
}

#[tokio::test]
async fn the_only_lane_that_begins_anew_or_makes_room_for_another_is_fed_on() {
    let machine = Machine::new().await;
    machine.pod(1, 2);
    let mut program = machine.run(&with_lanes(&machine, &[&lane("one", "json-lines", "out")])).await;
    goes_on(&program, "one").await;
    for (name, sink) in [("one", "again"), ("one", "out"), ("two", "out"), ("one", "again")] {
        let before = on(&program, name).len();
        machine.place.reconfigure(&machine.api.url(), &with_lanes(&machine, &[&lane(name, "json-lines", sink)]));
        until(&program, "it is at work", async || status_of(&program, name).await["state"] == "at-work").await;
        until(&program, "it is told", async || on(&program, name).len() > before).await;
        goes_on(&program, name).await;
        until(&program, "one source is left", async || rows(&program, "sluicebox_source_events_total").await.len() == 1).await;
        assert_one_source(&program).await;
        let (ready, text) = program.get("/readyz").await.unwrap();
        assert!(ready, "{text}");
    }
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    assert_once(&on(&program, "one"));
    assert_once(&on(&program, "two"));
}

#[tokio::test]
async fn what_of_the_source_and_its_sinks_needs_a_restart_is_named_and_the_rest_is_taken() {
    let machine = Machine::new().await;
    machine.pod(1, 1);
    let one = lane("one", "json-lines", "out");
    let before = with_lanes(&machine, &[&one]);
    let mut program = machine.run(&before).await;
    goes_on(&program, "one").await;
    let after = with_lanes(&machine, &[&one, &lane("two", "json-lines", "again")]);
    let after = after.replace("period: 200ms", "period: 300ms").replace("sinks: {", "sinks: {page: {prometheus: {}}, ");
    machine.place.reconfigure(&machine.api.url(), &after);
    goes_on(&program, "two").await;
    let waiting = status(&program).await["configuration"]["needs-restart"].clone();
    assert_eq!(waiting, serde_json::json!(["sinks.page", "sources.cgroups"]));
    // A mistake is refused as a whole, and what runs goes on.
    machine.place.reconfigure(&machine.api.url(), &before.replace("period: 200ms", "period: 1ms"));
    until(&program, "it is refused", async || program.log().unwrap().contains("1ms is too often")).await;
    goes_on(&program, "two").await;
    assert_one_source(&program).await;
    machine.place.reconfigure(&machine.api.url(), &before);
    until(&program, "it is as it was", async || status_of(&program, "two").await.is_null()).await;
    let waiting = status(&program).await["configuration"]["needs-restart"].clone();
    assert!(waiting.as_array().is_none_or(Vec::is_empty), "{waiting}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    assert_once(&on(&program, "one"));
}
