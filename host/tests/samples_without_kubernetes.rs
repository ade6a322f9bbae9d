//! A machine without Kubernetes: every cgroup is told under its path, and no API server is looked for.

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;

use sluicebox_testkit::servers::{Need, require};
use support::machine::{Line, Machine, lines, messages, quoted, told_again};
use support::{PATIENCE, Place, until};

const LANE: &str = "modules: {lines: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: {format: json}}}\n";

#[tokio::test]
async fn paths_are_the_names_and_no_connection_is_tried() {
    let machine = Machine::new().await;
    let pod = machine.pod(1, 1);
    machine.kubelet.make("system.slice/ssh.service").unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let api = format!("http://{}", server.local_addr().unwrap());
    let config = machine.place.configure(&api, &(machine.sources(", of: all, kubernetes: false") + LANE));
    let mut program = machine.place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    let paths = [
        "/system.slice/ssh.service".to_owned(),
        format!("/{}", machine.kubelet.path(&pod, None)),
        format!("/{}", machine.kubelet.path(&pod, Some(&pod.containers[0].1))),
    ];
    for path in &paths {
        told_again(&program, &format!("cgroup {path}"), 2).await;
    }
    let service = lines(&program).into_iter().find(|line| line.key == paths[0]).unwrap();
    assert_eq!((service.total("cpu-usage"), service.metric("memory-usage").as_u64()), (Some(2_500_000_000), Some(52_428_800)));
    let (ready, text) = program.get("/readyz").await.unwrap();
    assert!(ready, "{text}");
    assert!(server.accept().is_err(), "somebody has connected to the API server");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn nothing_needs_to_be_said_of_kubernetes() {
    let machine = Machine::new().await;
    machine.pod(1, 1);
    // Whoever looked for a way to the API server would stumble over this.
    let config = machine.place.path("sluicebox.yaml");
    let text = machine.place.configuration("unused", &(machine.sources(", kubernetes: false, metrics: [cpu, memory]") + LANE));
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("kubernetes:")).collect();
    let nowhere = format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}\n", quoted(&machine.place.path("none")));
    for kubernetes in ["", nowhere.as_str()] {
        std::fs::write(&config, kubernetes.to_owned() + &text.join("\n")).unwrap();
        let mut program = machine.place.run(&config);
        program.until_ready(PATIENCE).await.unwrap();
        until(&program, "both cgroups are told", async || lines(&program).len() >= 4).await;
        assert!(lines(&program).iter().all(|line| line.body["subject"] == "cgroup"));
        let warnings = program.log().unwrap().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
        assert_eq!(warnings, 0, "{}", program.log().unwrap());
        assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    }
}

#[tokio::test]
async fn where_names_are_wanted_and_no_way_to_the_api_is_known_the_program_says_so() {
    let machine = Machine::new().await;
    let config = machine.place.configure("unused", &(machine.sources("") + LANE));
    let text = std::fs::read_to_string(&config).unwrap();
    let nowhere = format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}", quoted(&machine.place.path("none")));
    let text: Vec<&str> =
        text.lines().map(|line| if line.starts_with("kubernetes:") { nowhere.as_str() } else { line }).collect();
    std::fs::write(&config, text.join("\n")).unwrap();
    let mut program = machine.place.run(&config);
    let status = program.ended(PATIENCE).await.unwrap();
    let log = program.log().unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    let told = log.lines().find(|line| line.contains("ERROR")).unwrap_or_else(|| panic!("{log}"));
    assert!(told.contains("none") && told.contains("write `kubernetes: false` in `sources.cgroups`"), "{told}");
}

#[tokio::test]
async fn this_very_machine_shows_what_its_groups_use() {
    if !require(Need::Cgroups) {
        return;
    }
    let place = Place::new();
    let rest = format!("sources: {{cgroups: {{period: 500ms, of: all, kubernetes: false}}}}\n{LANE}");
    let mut program = place.run(&place.configure("http://127.0.0.1:1", &rest));
    program.until_ready(PATIENCE).await.unwrap();
    until(&program, "two ticks", async || times(&lines(&program)).len() >= 3).await;
    let told = lines(&program);
    assert!(told.iter().all(|line| line.body["subject"] == "cgroup" && line.key.starts_with('/')), "{:?}", told.first());
    let used: u64 = told.iter().filter_map(|line| line.metric("cpu-usage")["increase"].as_u64()).max().unwrap_or_default();
    assert!(used > 0, "a machine that runs tests uses its processors");
    assert!(told.iter().any(|line| line.metric("memory-usage").as_u64().is_some_and(|bytes| bytes > 1 << 20)));
    // What is on the output is whole.
    assert_eq!(messages(&program).count(), program.lines().len());
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

fn times(lines: &[Line]) -> BTreeSet<String> {
    lines.iter().map(|line| line.time().to_owned()).collect()
}
