//! What pods and containers use, from the files of their cgroups to the output.

mod support;

use serde_json::json;
use sluicebox_testkit::kubelet::PodSpec;
use sluicebox_testkit::program::Program;
use support::machine::{Line, Machine, line, lines, seconds_between, told_again};
use support::{PATIENCE, until};

const LANE: &str = "modules: {lines: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: {format: json}}}\n";

#[tokio::test]
async fn pods_and_containers_are_told_under_the_names_of_the_api_with_the_figures_of_the_kernel() {
    let machine = Machine::new().await;
    let pod = machine.pod(1, 2);
    let mut program = machine.run(&(machine.sources("") + LANE)).await;
    let abouts = ["pod shop/web-1", "container shop/web-1/main-0", "container shop/web-1/main-1"];
    for about in abouts {
        told_again(&program, about, 3).await;
        let first = lines(&program).into_iter().find(|line| line.about() == about).unwrap();
        let metrics = &first.body["metrics"];
        for (name, value) in figures() {
            assert_eq!(metrics[name], value, "{name} of {about}: {metrics:#}");
        }
    }
    let container = line(&program, "a container", |line| line.about() == abouts[1]).await;
    let path = machine.kubelet.path(&pod, Some(&pod.containers[0].1));
    assert_eq!(container.body["uid"].as_str(), Some(pod.containers[0].1.as_str()));
    assert_eq!(container.key, pod.containers[0].1);
    assert_eq!(
        container.body["attributes"],
        json!({
            "cgroup": format!("/{path}"), "qos-class": "Burstable", "pod-uid": pod.uid, "pod-name": "web-1", "container-kind": "app",
        })
    );
    let (kept, nameless) =
        (gauge(&program, "sluicebox_source_subjects").await, gauge(&program, "sluicebox_source_nameless").await);
    assert_eq!((kept, nameless), (3, 0));
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

/// What the test kit's files say, in the units of the metrics.
fn figures() -> [(&'static str, serde_json::Value); 18] {
    [
        ("cpu-usage", json!({"total": 2_500_000_000_u64})),
        ("cpu-user", json!({"total": 1_500_000_000_u64})),
        ("cpu-system", json!({"total": 1_000_000_000_u64})),
        ("cpu-periods", json!({"total": 20})),
        ("cpu-throttled-periods", json!({"total": 3})),
        ("cpu-throttled-time", json!({"total": 40_000_000})),
        ("cpu-pressure-some", json!({"total": 120_000})),
        ("memory-usage", json!(52_428_800)),
        ("memory-limit", json!(134_217_728)),
        ("memory-working-set", json!(52_428_800 - 10_485_760)),
        ("memory-swap-limit", json!("unlimited")),
        ("memory-anonymous", json!(31_457_280)),
        ("memory-kernel-stack", json!(65_536)),
        ("memory-oom-kills", json!({"total": 1})),
        ("pids-current", json!(7)),
        ("pids-limit", json!("unlimited")),
        ("io-read-bytes", json!({"total": 1_048_576})),
        ("io-pressure-full", json!({"total": 400_000})),
    ]
}

#[tokio::test]
async fn what_is_used_between_two_ticks_is_told_once_and_as_a_rate_over_their_time() {
    let machine = Machine::new().await;
    let pod = machine.pod(1, 1);
    let container = machine.kubelet.path(&pod, Some(&pod.containers[0].1));
    let mut program = machine.run(&(machine.sources("") + LANE)).await;
    let (about, beside) = ("container shop/web-1/main-0", "pod shop/web-1");
    told_again(&program, about, 2).await;
    machine.uses(&container, 3_100_000);
    machine.kubelet.set(&container, "memory.current", "60000000\n").unwrap();
    let now =
        line(&program, "the new total", |line| line.about() == about && line.total("cpu-usage") == Some(3_100_000_000)).await;
    told_again(&program, about, 2).await;
    let told: Vec<Line> = lines(&program).into_iter().filter(|line| line.about() == about).collect();
    let increases: Vec<u64> = told.iter().filter_map(|line| line.metric("cpu-usage")["increase"].as_u64()).collect();
    assert_eq!(increases.iter().sum::<u64>(), 600_000_000, "{increases:?}");
    assert_eq!(increases.iter().filter(|increase| **increase > 0).count(), 1, "{increases:?}");
    let place = told.iter().position(|line| line.time() == now.time()).unwrap();
    let seconds = seconds_between(told[place - 1].time(), now.time());
    let rate = now.metric("cpu-usage")["per-second"].as_f64().unwrap();
    assert!((rate * seconds / 600_000_000.0 - 1.0).abs() < 0.5, "{rate} a second in {seconds} seconds");
    assert_eq!(told.last().unwrap().metric("memory-usage"), 60_000_000);
    let others = lines(&program).into_iter().filter(|line| line.about() == beside);
    let others: u64 = others.filter_map(|line| line.metric("cpu-usage")["increase"].as_u64()).sum();
    assert_eq!(others, 0, "the pod's own files have not changed");
    // A counter that begins anew is no growth.
    machine.uses(&container, 100_000);
    let anew = line(&program, "less", |line| line.about() == about && line.total("cpu-usage") == Some(100_000_000)).await;
    assert_eq!(anew.metric("cpu-usage"), &json!({"total": 100_000_000}));
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_cgroup_that_is_there_before_its_pod_is_told_from_its_first_reading_on_once_the_pod_is_known() {
    let machine = Machine::new().await;
    let pod = PodSpec::numbered("n1", 2, 1);
    machine.kubelet.run(&pod).unwrap();
    machine.pod(1, 1);
    let mut program = machine.run(&(machine.sources("") + LANE)).await;
    told_again(&program, "pod shop/web-1", 5).await;
    assert!(lines(&program).iter().all(|line| line.about().contains("web-1")), "nothing is told without its name");
    assert_eq!(gauge(&program, "sluicebox_source_nameless").await, 2);
    let known = lines(&program).last().unwrap().time().to_owned();
    machine.api.create_pod(pod.object()).unwrap();
    for about in ["pod shop/web-2", "container shop/web-2/main-0"] {
        told_again(&program, about, 1).await;
        let first = line(&program, about, |line| line.about() == about).await;
        assert!(first.time() < known.as_str(), "{} is not before {known}", first.time());
    }
    assert_eq!(gauge(&program, "sluicebox_source_nameless").await, 0);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_static_pod_is_named_by_the_hash_of_its_configuration() {
    let machine = Machine::new().await;
    let hash = "0123456789abcdef0123456789abcdef";
    let by_hash = PodSpec { uid: hash.to_owned(), ..PodSpec::numbered("n1", 3, 1) };
    machine.kubelet.run(&by_hash).unwrap();
    let mut mirror = PodSpec::numbered("n1", 3, 1).object();
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash});
    let uid = mirror["metadata"]["uid"].clone();
    machine.api.create_pod(mirror).unwrap();
    let mut program = machine.run(&(machine.sources("") + LANE)).await;
    let pod = line(&program, "the pod", |line| line.about() == "pod shop/web-3").await;
    assert_eq!(pod.body["uid"], uid, "that of the API");
    let container = line(&program, "its container", |line| line.about() == "container shop/web-3/main-0").await;
    assert_eq!(container.body["attributes"]["pod-uid"], uid);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_pod_that_goes_is_not_told_any_more_and_one_that_comes_is_told_at_once() {
    let machine = Machine::new().await;
    let (pod, _) = (machine.pod(1, 1), machine.pod(2, 1));
    let mut program = machine.run(&(machine.sources("") + LANE)).await;
    told_again(&program, "pod shop/web-1", 2).await;
    machine.end(&pod);
    until(&program, "it is gone", async || gauge(&program, "sluicebox_source_subjects").await == 2).await;
    // Of what was read before and is on its way.
    told_again(&program, "pod shop/web-2", 1).await;
    let of_it = || lines(&program).iter().filter(|line| line.about().contains("web-1")).count();
    let before = of_it();
    told_again(&program, "pod shop/web-2", 3).await;
    assert_eq!(of_it(), before);
    machine.pod(4, 1);
    told_again(&program, "container shop/web-4/main-0", 2).await;
    assert_eq!(gauge(&program, "sluicebox_source_subjects").await, 4);
    // The same name, but another pod.
    let again = PodSpec { uid: "a9a10000-0000-4000-8000-000000000001".to_owned(), ..PodSpec::numbered("n1", 1, 0) };
    machine.kubelet.run(&again).unwrap();
    machine.api.create_pod(again.object()).unwrap();
    let is_it = |line: &Line| line.body["uid"] == again.uid.as_str() && line.total("cpu-usage").is_some();
    let first = line(&program, "the other pod", is_it).await;
    assert_eq!((first.about().as_str(), first.metric("cpu-usage")), ("pod shop/web-1", &json!({"total": 2_500_000_000_u64})));
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

/// A gauge of the source.
async fn gauge(program: &Program, name: &str) -> u64 {
    let value = program.metric(name, "source=\"cgroups\"").await.unwrap();
    format!("{value:.0}").parse().unwrap()
}
