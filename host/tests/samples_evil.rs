//! A module that cannot bear the samples of one subject: only those are left out, kept, and told when it is mended.

mod support;

use serde_json::Value;
use sluicebox_testkit::kubelet::PodSpec;
use sluicebox_testkit::program::Program;
use support::machine::Machine;
use support::{PATIENCE, module, status_of, until};

/// The hostile module strikes where it meets this subject, which it knows by all that it was told of it.
fn known_as(machine: &Machine, pod: &PodSpec) -> String {
    format!("{} cgroup=/{} qos-class=Burstable", pod.name, machine.kubelet.path(pod, None))
}

fn rest(machine: &Machine, settings: &str) -> String {
    format!(
        "{}modules:\n  evil: {{use: \"{}\", settings: {settings}, to: [out]}}\n  lines: {{use: json-lines, to: [out]}}\n\
         sinks: {{out: {{stdout: {{format: json}}}}}}\n",
        machine.sources(", metrics: [cpu, memory]"),
        module("hostile").display()
    )
}

/// What the hostile module, and no other, has said of the subject that it knows by this.
fn said_of(program: &Program, known: &str) -> Vec<String> {
    let output = program.lines().clone();
    let messages = output.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].clone());
    let of_it = messages.filter(|message| message["channel"] == known);
    of_it.map(|message| message["body"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_samples_of_one_pod_that_stop_the_module_are_kept_and_all_others_are_told() {
    let machine = Machine::new().await;
    let pods: Vec<PodSpec> = (1..=4).map(|number| machine.pod(number, 1)).collect();
    let evil = known_as(&machine, &pods[1]);
    let mut program = machine.run(&rest(&machine, &format!("{{evil: panic, only: \"{evil}\"}}"))).await;
    for pod in [&pods[0], &pods[2], &pods[3]] {
        let known = known_as(&machine, pod);
        until(&program, &format!("{} is told", pod.name), async || said_of(&program, &known).len() >= 5).await;
    }
    assert_eq!(said_of(&program, &evil), [""; 0]);
    until(&program, "letters are kept", async || machine.letters(&["list"]).await.lines().count() > 3).await;
    let table = machine.letters(&["list"]).await;
    for row in table.lines().skip(1) {
        assert!(row.contains(" samples of pod shop/web-2 ") && row.contains("I give up"), "{table}");
    }
    let status = status_of(&program, "lines").await;
    assert_eq!(status["state"], "at-work", "{status:#}");
    assert!(program.metric("sluicebox_lane_dropped_events_total", "reason=\"deadly\"").await.unwrap() > 2.0);

    machine.place.reconfigure(&machine.api.url(), &rest(&machine, "{}"));
    until(&program, "it is mended", async || !said_of(&program, &evil).is_empty()).await;
    let listed = machine.letters(&["list", "--json"]).await;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = machine.letters(&["show", listed[0]["id"].as_str().unwrap()]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let observed = &shown["held"]["event"]["event"]["tick"]["observed-at-unix-nanos"];
    let replayed = machine.letters(&["replay", "--all"]).await;
    assert_eq!(replayed.matches(" replayed\n").count(), listed.len(), "{replayed}");
    let of_then = || said_of(&program, &evil).iter().filter(|said| said.starts_with(&format!("at {observed} of 4:"))).count();
    until(&program, "what was kept is told, with its time", async || of_then() == 1).await;
    assert_eq!(machine.letters(&["list"]).await, "no dead letters\n");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn the_samples_of_one_pod_that_the_module_refuses_are_counted_and_all_others_are_told() {
    let machine = Machine::new().await;
    let pods: Vec<PodSpec> = (1..=3).map(|number| machine.pod(number, 1)).collect();
    let evil = known_as(&machine, &pods[2]);
    let mut program = machine.run(&rest(&machine, &format!("{{evil: refuse, only: \"{evil}\"}}"))).await;
    for pod in &pods[..2] {
        let known = known_as(&machine, pod);
        until(&program, &format!("{} is told", pod.name), async || said_of(&program, &known).len() >= 5).await;
    }
    assert_eq!(said_of(&program, &evil), [""; 0]);
    assert!(program.metric("sluicebox_lane_dropped_events_total", "reason=\"refused\"").await.unwrap() > 3.0);
    assert_eq!(machine.letters(&["list"]).await, "no dead letters\n");
    let log = program.log().unwrap();
    let told = log.lines().find(|line| line.contains("I do not like this")).unwrap_or_else(|| panic!("{log}"));
    assert!(told.contains("web-3"), "the log names the subject: {told}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
