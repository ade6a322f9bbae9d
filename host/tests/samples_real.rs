//! A process at work in the cgroup of a container: what the program says of it is what the kernel says.

mod support;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{Need, require};
use support::machine::messages;
use support::{PATIENCE, Place, until};

/// A shell in these cgroups that uses a processor as much as it may; gone with its owner.
struct Work(Child);

impl Work {
    fn burn(doors: &[PathBuf]) -> Self {
        let script = "for door; do echo $$ > \"$door\" || exit 99; done; while :; do :; done";
        let shell = Command::new("sh").args(["-c", script, "sh"]).args(doors).stdin(Stdio::null()).spawn().unwrap();
        Self(shell)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The deltas of the container's processor time, one for each tick from the second on.
fn deltas(program: &Program, id: &str) -> Vec<u64> {
    let points = messages(program).map(|message| message.body);
    let of_it = points.filter(|point| point["metric"] == "cpu_time_delta" && point["attributes"]["container_id"] == id);
    let total = of_it.filter(|point| point["attributes"]["kind"] == "total");
    total.map(|point| point["value"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn all_that_a_process_has_used_is_told_once_to_the_nanosecond() {
    if !require(Need::Cgroups) {
        return;
    }
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    // Where version 2 is all there is, files stand for the kernel: the source is proven on that kernel by tests of its own.
    let kubelet = Kubelet::new(&place.path("host")).unwrap();
    let pod = PodSpec::numbered("n1", 1, 1);
    let (id, path) = (&pod.containers[0].1, kubelet.path(&pod, Some(&pod.containers[0].1)));
    kubelet.run(&pod).unwrap();
    api.create_pod(pod.object()).unwrap();
    let rest = format!(
        "sources: {{cgroups: {{period: 200ms, root: \"{}\", metrics: [cpu, memory]}}}}\n\
         modules: {{points: {{use: pod-metrics, settings: {{per: container}}, to: [out]}}}}\n\
         sinks: {{out: {{stdout: {{format: json}}}}}}\n",
        kubelet.root().display()
    );
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(PATIENCE).await.unwrap();
    until(&program, "it is at rest", async || deltas(&program, id).len() >= 2).await;
    assert_eq!(deltas(&program, id).iter().sum::<u64>(), 0);

    let truth = if kubelet.is_real() {
        let work = Work::burn(&kubelet.files(&path, "cgroup.procs"));
        until(&program, "it works", async || deltas(&program, id).iter().filter(|delta| **delta > 0).count() >= 5).await;
        drop(work);
        let files = kubelet.files(&path, "cpuacct.usage");
        let file = files.iter().find(|file| file.is_file()).unwrap_or_else(|| panic!("none of {files:?}"));
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    } else {
        kubelet.set(&path, "cpu.stat", "usage_usec 2600000\nuser_usec 1600000\nsystem_usec 1000000\n").unwrap();
        100_000_000
    };
    until(&program, "all is told", async || deltas(&program, id).iter().sum::<u64>() >= truth).await;
    let told = deltas(&program, id).len();
    until(&program, "it is at rest again", async || deltas(&program, id).len() >= told + 3).await;
    assert_eq!(deltas(&program, id).iter().sum::<u64>(), truth);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
