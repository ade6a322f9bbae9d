//! What pods use, under the names of Alumet: the figures, whose they are, and when they end.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluicebox_testkit::program::Program;
use support::clock::of_day;
use support::machine::{Machine, lines, messages, told_again};
use support::{PATIENCE, until};

/// The same ticks under the names of Alumet, `settings` beginning with a comma, and as they are.
fn lanes(settings: &str) -> String {
    format!(
        "modules:\n  points: {{use: pod-metrics, settings: {{channel: points{settings}}}, to: [out]}}\n  \
         lines: {{use: json-lines, settings: {{channel: lines}}, to: [out]}}\nsinks: {{out: {{stdout: {{format: json}}}}}}\n"
    )
}

fn points(program: &Program) -> Vec<Value> {
    messages(program).filter(|message| message.channel == "points").map(|message| message.body).collect()
}

/// The key under which the other module has said the same.
fn place(point: &Value, id: &str) -> (u64, String) {
    (of_day(point["timestamp"].as_str().unwrap()), point["attributes"][id].as_str().unwrap().to_owned())
}

/// Everything that was read, by time and uid.
fn readings(program: &Program) -> BTreeMap<(u64, String), Value> {
    lines(program).into_iter().map(|line| ((of_day(line.time()), line.key), line.body["metrics"].clone())).collect()
}

/// Compares each point with the reading that it was made of; gives the names of those that were compared.
fn compare(points: &[Value], readings: &BTreeMap<(u64, String), Value>, id: &str) -> BTreeSet<String> {
    let mut compared = BTreeSet::new();
    for point in points {
        let reading = &readings[&place(point, id)];
        let kind = point["attributes"]["kind"].as_str().unwrap_or_default();
        let processor = match kind {
            "total" => &reading["cpu-usage"],
            "user" => &reading["cpu-user"],
            _ => &reading["cpu-system"],
        };
        let name = point["metric"].as_str().unwrap();
        let expected = match name {
            "cpu_time_delta" => processor["increase"].as_f64(),
            // A core that was used all the time is 100, and a second has a billion nanoseconds.
            "cpu_percent" => processor["per-second"].as_f64().map(|nanos| nanos / 1e7),
            "memory_usage" => reading["memory-usage"].as_f64(),
            "cgroup_memory_file" => reading["memory-file"].as_f64(),
            "cgroup_memory_pagetables" => reading["memory-page-tables"].as_f64(),
            _ => continue,
        };
        let (value, expected) = (point["value"].as_f64().unwrap(), expected.unwrap());
        assert!((value - expected).abs() <= expected * 1e-9, "{point} is not {expected}");
        compared.insert(format!("{name} {kind}"));
    }
    compared
}

const COMPARED: [&str; 9] = [
    "cgroup_memory_file ",
    "cgroup_memory_pagetables ",
    "cpu_percent system",
    "cpu_percent total",
    "cpu_percent user",
    "cpu_time_delta system",
    "cpu_time_delta total",
    "cpu_time_delta user",
    "memory_usage ",
];

#[tokio::test]
async fn points_per_pod_have_the_figures_of_the_pod_over_the_time_between_its_readings() {
    let machine = Machine::new().await;
    let pod = machine.pod(1, 2);
    let mut program = machine.run(&(machine.sources("") + &lanes(""))).await;
    for step in 1..=5 {
        told_again(&program, "pod shop/web-1", 2).await;
        machine.uses(&machine.kubelet.path(&pod, None), 2_500_000 + step * 30_000);
    }
    let percent = |point: &Value| point["metric"] == "cpu_percent" && point["value"].as_f64() > Some(0.0);
    until(&program, "the processor is used", async || points(&program).iter().filter(|point| percent(point)).count() >= 9).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let points = points(&program);
    assert_eq!(compare(&points, &readings(&program), "uid").iter().collect::<Vec<_>>(), COMPARED.iter().collect::<Vec<_>>());
    let attributes = json!({"uid": pod.uid, "name": "web-1", "namespace": "shop", "node": "n1"});
    for point in &points {
        let mut known = point["attributes"].clone();
        known.as_object_mut().unwrap().remove("kind");
        assert_eq!(known, attributes, "{point}");
        assert_eq!(point["consumer"]["id"], format!("/{}", machine.kubelet.path(&pod, None)), "{point}");
    }
    // The first reading has nothing to compare with.
    let first = &points[0]["timestamp"];
    let processor = |point: &&Value| point["metric"].as_str().unwrap().starts_with("cpu_");
    assert_eq!(points.iter().filter(|point| point["timestamp"] == *first).filter(processor).count(), 0);
}

#[tokio::test]
async fn points_per_container_name_it_and_leave_the_pod_itself_out() {
    let machine = Machine::new().await;
    let pod = machine.pod(1, 2);
    let mut program = machine.run(&(machine.sources("") + &lanes(", per: container"))).await;
    for step in 1..=3 {
        told_again(&program, "container shop/web-1/main-1", 2).await;
        machine.uses(&machine.kubelet.path(&pod, Some(&pod.containers[1].1)), 2_500_000 + step * 30_000);
    }
    told_again(&program, "container shop/web-1/main-1", 2).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let points = points(&program);
    let compared = compare(&points, &readings(&program), "container_id");
    assert_eq!(compared.iter().collect::<Vec<_>>(), COMPARED.iter().collect::<Vec<_>>());
    let name = |point: &Value| point["attributes"]["container_name"].as_str().map(str::to_owned);
    let names: BTreeSet<_> = points.iter().map(name).collect();
    assert_eq!(names, BTreeSet::from([Some("main-0".to_owned()), Some("main-1".to_owned())]));
    assert!(points.iter().all(|point| point["attributes"]["uid"] == pod.uid.as_str()));
    let used = |container: &str| -> u64 {
        let of_it = points.iter().filter(|point| name(point).as_deref() == Some(container));
        let deltas = of_it.filter(|point| point["metric"] == "cpu_time_delta" && point["attributes"]["kind"] == "total");
        deltas.map(|point| point["value"].as_u64().unwrap()).sum()
    };
    assert_eq!((used("main-0"), used("main-1")), (0, 90_000_000));
}

#[tokio::test]
async fn plain_cgroups_are_told_under_their_paths_without_kubernetes() {
    let machine = Machine::new().await;
    machine.kubelet.make("system.slice/ssh.service").unwrap();
    let mut program = machine.run(&(machine.sources(", of: all, kubernetes: false") + &lanes(""))).await;
    let of_it = |point: &Value| point["consumer"]["id"] == "/system.slice/ssh.service";
    until(&program, "it is told", async || points(&program).iter().any(|point| of_it(point) && point["metric"] == "cpu_percent"))
        .await;
    assert!(points(&program).iter().filter(|point| of_it(point)).all(|point| point["attributes"]["uid"].is_null()));
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn series_end_with_their_pod() {
    let machine = Machine::new().await;
    let (pod, _) = (machine.pod(1, 1), machine.pod(2, 1));
    let lane = "modules: {series: {use: pod-metrics, settings: {form: prometheus}, to: [out]}}\n\
                sinks: {out: {stdout: {format: json}}}\n";
    let mut program = machine.run(&(machine.sources("") + lane)).await;
    let entries = || -> Vec<Value> { program.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let last = || entries().into_iter().rev().find(|entry| entry.pointer("/document/name").is_some());
    let is_told = |uid: &str| entries().iter().any(|entry| entry["document"]["name"] == uid);
    until(&program, "both are told", async || is_told(&pod.uid) && last().is_some()).await;
    machine.end(&pod);
    let is_forgotten = |entry: &Value| entry["forget"]["name"] == pod.uid.as_str();
    until(&program, "it is forgotten", async || entries().iter().any(is_forgotten)).await;
    let count = entries().len();
    until(&program, "the other goes on", async || entries().len() >= count + 3).await;
    assert_eq!(entries().iter().filter(|entry| is_forgotten(entry)).count(), 1);
    let after = entries().into_iter().skip_while(|entry| !is_forgotten(entry));
    assert!(after.skip(1).all(|entry| entry["document"]["name"] != pod.uid.as_str()), "it comes back");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
