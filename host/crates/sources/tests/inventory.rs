//! What runs on a node, as the source tells it: real processes in the cgroups of pods, and an API server that comes and goes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod on_a_node;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Recorder, during};
use on_a_node::{Bench, NODE, Running, owned, text, told, until};
use serde_json::{Value, json};
use sluicebox_sources::inventory::Of;
use sluicebox_testkit::api_server::{Kind, RequestFault, RequestFaultKind};
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::servers::{Need, require};

#[tokio::test]
async fn the_first_inventory_has_everything() {
    let bench = Bench::new().await;
    let pod = PodSpec::numbered(NODE, 1, 2);
    bench.create(&pod);
    bench.create(&PodSpec::numbered("elsewhere", 2, 1));
    bench.process(40, &pod, 1);
    bench.process(9, &pod, 1);
    let recorder = Recorder::default();
    let whole = during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        until(&recorder, "an inventory", |_| true).await
    })
    .await;
    assert_eq!(whole.names(), ["web-1"]);
    let (node, told) = (whole.parts[0].node.clone().expect("the node"), whole.pod("web-1"));
    assert_eq!((node.name.as_str(), node.kernel_version.as_str()), (NODE, "6.1.0"));
    assert_eq!((text(&node.addresses).as_str(), text(&node.labels).as_str()), ("InternalIP=10.0.1.2", "arch=x zone=a"));
    assert_eq!(text(&node.allocatable), "cpu=2 memory=1Gi");
    assert_eq!(
        (told.uid.as_str(), told.phase.as_deref(), told.pod_ips.as_slice()),
        (pod.uid.as_str(), Some("Running"), &["10.42.1.95".to_owned()][..])
    );
    assert_eq!(whole.pids("web-1"), [vec![], vec![9, 40]]);
    assert_eq!(told.containers[0].id.as_deref(), Some(pod.containers[0].1.as_str()));
    assert_eq!(told.containers[0].image, "nginx:1.27");
    assert_eq!((bench.meter.listed.get(), bench.meter.connected.get(), bench.meter.cached_objects.get()), (1, 1, 2));
}

#[tokio::test]
async fn changes_are_told_at_once_and_together() {
    let bench = Bench::new().await;
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        assert_eq!(told(&recorder)[0].names(), [""; 0]);
        for number in 1..=50 {
            bench.create(&PodSpec::numbered(NODE, number, 1));
        }
        let begun = Instant::now();
        until(&recorder, "all pods", |whole| whole.pods().len() == 50).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not wait for its period");
        bench.server.patch(Kind::Nodes, "", NODE, &json!({"metadata": {"labels": {"zone": "b"}}})).expect("it is patched");
        until(&recorder, "another zone", |whole| {
            whole.parts[0].node.as_ref().is_some_and(|node| text(&node.labels).contains("zone=b"))
        })
        .await;
        bench.server.delete_pod("shop", "web-7").expect("it is deleted");
        until(&recorder, "one pod less", |whole| whole.pods().len() == 49).await;
        // What an inventory does not say changes nothing.
        let count = told(&recorder).len();
        assert!(count <= 5, "{count} inventories");
        bench
            .server
            .patch(Kind::Nodes, "", NODE, &json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
            .expect("it is patched");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(told(&recorder).len(), count);
    })
    .await;
}

#[tokio::test]
async fn attributes_are_told_with_subjects_and_inventories() {
    let mut bench = Bench::new().await;
    let attributes = |json: Value| serde_json::from_value(json).expect("attributes");
    bench.config.attributes = Of {
        pods: attributes(json!({"app": "/metadata/labels/app"})),
        node: attributes(json!({"zone": "/metadata/labels/zone"})),
    };
    bench.create(&PodSpec::numbered(NODE, 1, 1));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        let first = until(&recorder, "an inventory", |_| true).await;
        assert_eq!(text(&first.pod("web-1").attributes), "app=web");
        assert_eq!(first.parts[0].node.as_ref().map(|node| text(&node.attributes)).as_deref(), Some("zone=a"));
        bench
            .server
            .patch(Kind::Pods, "shop", "web-1", &json!({"metadata": {"labels": {"app": "mail"}}}))
            .expect("it is patched");
        until(&recorder, "another app", |whole| text(&whole.pod("web-1").attributes) == "app=mail").await;
        let lines = recorder.lines();
        for line in ["define web-1 app=web", "define n1 zone=a", "define web-1 app=mail"] {
            assert!(lines.iter().any(|told| told == line), "{line}: {lines:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn pods_are_told_with_those_who_control_them() {
    let mut bench = Bench::new().await;
    owned(&bench, 1);
    for (owners, expected) in [(true, vec!["ReplicaSet web-1-x", "Deployment web-1"]), (false, vec!["ReplicaSet web-1-x"])] {
        bench.config.owners = owners;
        bench.meter = Arc::default();
        let recorder = Recorder::default();
        during(bench.source().await, &recorder, async {
            recorder.until_complete().await;
            assert_eq!(told(&recorder)[0].owners("web-1"), expected);
        })
        .await;
    }
}

/// The first inventory does not wait for answers that do not come; they are told when they do.
#[tokio::test]
async fn controllers_that_are_not_known_yet_are_told_later() {
    let mut bench = Bench::new().await;
    bench.config.owners = true;
    owned(&bench, 1);
    // Two lists come first, then the question about the kinds of `apps/v1`, for as long as these times last.
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_line("define web-1").await;
        bench.server.fail(RequestFault { watches: Some(false), times: 3, kind: RequestFaultKind::Status(503, None) });
        recorder.until_complete().await;
        until(&recorder, "the Deployment", |whole| whole.owners("web-1").len() == 2).await;
    })
    .await;
}

#[tokio::test]
async fn an_api_that_goes_away_leaves_what_was_known_and_processes_are_still_seen() {
    let bench = Bench::new().await.often();
    let pod = PodSpec::numbered(NODE, 1, 1);
    bench.create(&pod);
    bench.process(5, &pod, 0);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.server.pause().await.expect("it pauses");
        bench.process(6, &pod, 0);
        until(&recorder, "a new process", |whole| whole.pids("web-1") == [vec![5, 6]]).await;
        assert_eq!(bench.meter.listed.get(), 1);
        bench.server.delete_pod("shop", "web-1").expect("it is deleted");
        bench.create(&PodSpec::numbered(NODE, 2, 1));
        bench.server.resume().await.expect("it resumes");
        until(&recorder, "the other pod", |whole| whole.names() == ["web-2"]).await;
    })
    .await;
}

#[tokio::test]
async fn an_api_that_is_away_at_first_is_waited_for() {
    let bench = Bench::new().await;
    bench.create(&PodSpec::numbered(NODE, 1, 1));
    bench.server.pause().await.expect("it pauses");
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(recorder.notices().is_empty());
        bench.server.resume().await.expect("it resumes");
        recorder.until_complete().await;
        assert_eq!(told(&recorder)[0].names(), ["web-1"]);
    })
    .await;
}

/// Whoever may see pods and not nodes is told of pods.
#[tokio::test]
async fn a_node_that_nobody_tells_of_is_not_waited_for_long() {
    let mut bench = Bench::new().await;
    bench.config.node = Some("n2".to_owned());
    bench.create(&PodSpec::numbered("n2", 1, 1));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        let first = &told(&recorder)[0];
        assert_eq!((first.names(), first.parts[0].node.is_none()), (vec!["web-1"], true));
    })
    .await;
}

#[tokio::test]
async fn a_thousand_pods_come_in_parts() {
    let bench = Bench::new().await;
    for number in 1..=1000 {
        bench.create(&PodSpec::numbered(NODE, number, 1));
    }
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        let first = &told(&recorder)[0];
        let parts: Vec<_> = first.parts.iter().map(|part| (part.pods.len(), part.more, part.node.is_some())).collect();
        assert_eq!(parts, [(512, true, true), (488, false, true)]);
        assert_eq!(first.parts[0].observed_at, first.parts[1].observed_at);
    })
    .await;
}

#[tokio::test]
async fn where_there_are_no_processes_pods_are_told_without() {
    let mut bench = Bench::new().await;
    bench.config.host_proc = PathBuf::from("/nowhere/proc");
    bench.create(&PodSpec::numbered(NODE, 1, 1));
    let (recorder, log) = (Recorder::default(), cluster::log::Log);
    log.catch();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        assert_eq!(told(&recorder)[0].pids("web-1"), [vec![0_u32; 0]]);
    })
    .await;
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("cannot read /nowhere/proc") && line.contains("`host-proc`")), "{lines:#?}");
}

#[tokio::test]
async fn real_processes_are_those_of_their_containers() {
    if !require(Need::CgroupsOfVersion1) {
        return;
    }
    let kubelet = Kubelet::real().expect("real cgroups");
    let mut bench = Bench::new().await.often();
    bench.config.host_proc = PathBuf::from("/proc");
    let pod = PodSpec::numbered(NODE, 1, 2);
    kubelet.run(&pod).expect("its cgroups");
    bench.create(&pod);
    let first = [Running::in_container(&kubelet, &pod, 0), Running::in_container(&kubelet, &pod, 0)];
    let second = Running::in_container(&kubelet, &pod, 1);
    let mut pids: Vec<u32> = first.iter().map(|running| running.0.id()).collect();
    pids.sort_unstable();
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        let other = second.0.id();
        until(&recorder, "three processes", |whole| whole.pids("web-1") == [pids.clone(), vec![other]]).await;
        drop(first);
        until(&recorder, "one process", |whole| whole.pids("web-1") == [vec![], vec![other]]).await;
        let third = Running::in_container(&kubelet, &pod, 0);
        until(&recorder, "another one", |whole| whole.pids("web-1") == [vec![third.0.id()], vec![other]]).await;
    })
    .await;
    drop(second);
    kubelet.end(&pod).expect("its cgroups are removed");
}
