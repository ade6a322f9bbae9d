//! The same ticks, at once to every kind of sink: all say the same.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{Need, PrometheusServer, RedisOptions, RedisServer, Subscription, require};
use support::clock::{of_day, of_unix_day};
use support::machine::{Machine, lines, quoted, told_again};
use support::prometheus::{complaints, free_address, page as page_at};
use support::{PATIENCE, kafka, until};

const TOPIC: &str = "pods";

fn lanes(broker: &str, redis: &str, page: &str, folder: &Path) -> String {
    format!(
        "modules:\n\
         \x20 records: {{use: pod-metrics, settings: {{topic: {TOPIC}}}, to: [broker]}}\n\
         \x20 table: {{use: pod-metrics, settings: {{form: csv}}, to: [folder]}}\n\
         \x20 series: {{use: pod-metrics, settings: {{form: prometheus}}, to: [page]}}\n\
         \x20 telemd: {{use: telemd, to: [events]}}\n\
         \x20 lines: {{use: json-lines, to: [out]}}\n\
         sinks:\n\
         \x20 broker: {{kafka: {{brokers: [\"{broker}\"]}}}}\n\
         \x20 folder: {{files: {{directory: {}, append: {{file: usage.csv, max-bytes: 20KiB, keep: 100}}}}}}\n\
         \x20 page: {{prometheus: {{listen: \"{page}\"}}}}\n\
         \x20 events: {{redis: {{url: \"{redis}\"}}}}\n\
         \x20 out: {{stdout: {{format: json}}}}\n",
        quoted(folder)
    )
}

/// A point as every form has it: when, whose, what, and of which kind.
type Points = BTreeMap<(u64, String, String, String), f64>;

#[tokio::test]
async fn a_broker_a_file_a_page_and_a_subscriber_are_told_the_same_figures() {
    if !kafka::can_run() || !require(Need::Redis) || !require(Need::Prometheus) {
        return;
    }
    let (broker, redis) = (kafka::broker(TOPIC).await, RedisServer::start(RedisOptions::default()).await.unwrap());
    let mut heard = redis.subscribe("telem/*").await.unwrap();
    let machine = Machine::new().await;
    let pods = [machine.pod(1, 2), machine.pod(2, 1)];
    let (page, folder) = (free_address(), machine.place.path("table"));
    let rest = machine.sources("") + &lanes(&broker.address(), &redis.url(), &page, &folder);
    let mut program = machine.run(&rest).await;
    let prometheus = PrometheusServer::scraping(&page, "/metrics").await.unwrap();
    for step in 1..=8_u64 {
        for (number, pod) in (1..).zip(&pods) {
            machine.uses(&machine.kubelet.path(pod, None), 2_500_000 + step * number * 10_000);
            machine.uses(&machine.kubelet.path(pod, Some(&pod.containers[0].1)), 2_500_000 + step * number * 1_000);
            machine.kubelet.set(&machine.kubelet.path(pod, None), "memory.current", &format!("{}\n", step * 4096)).unwrap();
        }
        told_again(&program, "pod shop/web-2", 2).await;
    }
    scraped(&program, &prometheus).await;
    let text = page_at(&page).await;
    assert!(!complaints(&text).contains("error while"), "{}\n{text}", complaints(&text));
    assert!(complaints(&format!("{text}{text}")).contains("error while"), "the tool does look");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());

    let truth = truth(&program);
    assert!(truth.len() > 100, "{truth:?}");
    assert!((growth(&truth, &pods[1].uid) - 160_000_000.0).abs() < 0.5, "all that was used, once");
    assert_eq!(of_records(&kafka::read(&broker, TOPIC).await, &truth), truth);
    assert_eq!(of_table(&folder, &truth), truth);
    compare_with_heard(&program, &mut heard).await;
}

/// What `json-lines` says of pods, under the names of the other module.
fn truth(program: &Program) -> Points {
    let mut points = Points::new();
    for line in lines(program).into_iter().filter(|line| line.body["subject"] == "pod") {
        let mut put = |metric: &str, kind: &str, value: &Value| {
            if let Some(value) = value.as_f64() {
                points.insert((of_day(line.time()), line.key.clone(), metric.to_owned(), kind.to_owned()), value);
            }
        };
        put("memory_usage", "", line.metric("memory-usage"));
        put("cgroup_memory_anonymous", "", line.metric("memory-anonymous"));
        for (kind, metric) in [("total", "cpu-usage"), ("user", "cpu-user"), ("system", "cpu-system")] {
            put("cpu_time_delta", kind, &line.metric(metric)["increase"]);
        }
    }
    points
}

/// How much time of the processor a pod has used.
fn growth(points: &Points, uid: &str) -> f64 {
    let of_it = points.iter().filter(|((_, whose, what, kind), _)| whose == uid && what == "cpu_time_delta" && kind == "total");
    of_it.map(|(_, value)| value).sum()
}

/// Puts a point there if it is of a metric that the truth knows; none comes twice.
fn put(points: &mut Points, truth: &Points, point: (u64, String, String, String), value: f64) {
    if truth.keys().any(|(_, _, metric, _)| *metric == point.2) {
        let what = format!("{point:?}");
        assert_eq!(points.insert(point, value), None, "{what} is told twice");
    }
}

fn of_records(records: &[kafka::Record], truth: &Points) -> Points {
    let mut points = Points::new();
    for record in records {
        let point: Value = serde_json::from_str(&record.value).unwrap();
        let text = |pointer: &str| point.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(record.key.as_deref(), Some(text("/attributes/uid").as_str()));
        let key = (of_day(&text("/timestamp")), text("/attributes/uid"), text("/metric"), text("/attributes/kind"));
        put(&mut points, truth, key, point["value"].as_f64().unwrap());
    }
    points
}

/// Of the file and all that were rotated away; each begins with the heading.
fn of_table(folder: &Path, truth: &Points) -> Points {
    let mut points = Points::new();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<_> =
        files.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("usage.csv")).collect();
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let mut rows = text.lines().map(|row| row.split(';').collect::<Vec<_>>());
        let heading = rows.next().unwrap();
        let column = |name: &str| heading.iter().position(|column| *column == name).unwrap_or_else(|| panic!("{heading:?}"));
        let columns = ["timestamp", "uid", "metric", "kind", "value"].map(column);
        for row in rows {
            let [time, uid, metric, kind, value] = columns.map(|column| row[column].to_owned());
            let metric = metric.strip_suffix("_ns").or(metric.strip_suffix("_B")).unwrap_or(&metric).to_owned();
            put(&mut points, truth, (of_day(&time), uid, metric, kind), value.parse().unwrap());
        }
    }
    points
}

/// The numbers that do not change any more reach a real Prometheus.
async fn scraped(program: &Program, prometheus: &PrometheusServer) {
    for (query, expected) in [
        (r#"memory_usage_alumet_bytes{name="web-2",namespace="shop",node="n1"}"#, "32768"),
        (r#"cgroup_memory_anonymous_alumet_bytes{name="web-1"}"#, "31457280"),
        (r#"cpu_time_delta_alumet_nanoseconds{name="web-1",kind="total"}"#, "0"),
        ("count(memory_usage_alumet_bytes)", "2"),
    ] {
        until(program, query, async || prometheus.value(query).await.unwrap().as_deref() == Some(expected)).await;
    }
    assert_eq!(prometheus.last_error().await.unwrap(), "");
}

/// What a subscriber has heard of containers is what was told of them at that time.
async fn compare_with_heard(program: &Program, heard: &mut Subscription) {
    let mut truth = BTreeMap::new();
    for line in lines(program).into_iter().filter(|line| line.body["subject"] == "container") {
        let disk = line.total("io-read-bytes").zip(line.total("io-written-bytes")).map(|(read, written)| read + written);
        let memory = line.metric("memory-usage").as_u64();
        for (name, value) in [("cpu", line.total("cpu-usage")), ("memory", memory), ("blkio", disk)] {
            let channel = format!("telem/n1/kubernetes_cgrp_{name}/{}", line.key);
            // A file that was just being written may have been empty.
            truth.extend(value.map(|value| ((of_day(line.time()), channel), value)));
        }
    }
    assert!(truth.len() > 100, "{truth:?}");
    for _ in 0..truth.len() {
        let (channel, message) = heard.next().await.unwrap();
        let (time, value) = message.split_once(' ').unwrap();
        let told = truth.remove(&(of_unix_day(time), channel.clone()));
        assert_eq!(told.map(|told| format!("{told}.000000")).as_deref(), Some(value), "{channel}: {message}");
    }
    assert!(truth.is_empty());
}
