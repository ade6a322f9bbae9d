//! Names of cgroups that are not where they are looked for first, and names that several cgroups claim.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod measured;

use std::collections::HashSet;

use cluster::{Recorder, during};
use measured::tree::{CONTAINER, pod_path, pod_uid};
use measured::{Bench, millis, pod, until, until_lines};
use serde_json::json;

/// A run that was replaced before the API told of it stands beside the one that followed.
#[tokio::test]
async fn a_run_that_was_replaced_at_once_has_its_name() {
    let bench = Bench::new().await;
    let (uid, again) = (pod_uid(1), CONTAINER.replace('3', "4"));
    bench.create(pod(&uid, "a", &["main"]));
    bench.root.make_pod(&uid, &[CONTAINER]);
    let recorder = Recorder::default();
    let told = during(bench.source().await, &recorder, async {
        until_lines(&recorder, &["+pod s/a", "complete"]).await;
        until(&recorder, |told| told.ticks.len() > 2).await;
        bench.root.remove(&format!("{}/{CONTAINER}", pod_path(&uid)));
        bench.root.make_container(&uid, &again);
        let last = json!({"terminated": {"exitCode": 1, "containerID": format!("containerd://{CONTAINER}")}});
        let status = json!({"name": "main", "containerID": format!("containerd://{again}"), "lastState": last});
        bench.server.patch_status("s", "a", &json!({"containerStatuses": [status]})).expect("it is patched");
        until(&recorder, |told| told.lines.iter().filter(|line| *line == "+container s/main").count() == 2).await
    })
    .await;
    let ids: HashSet<&str> = told.subjects.values().map(|subject| subject.uid.as_str()).collect();
    assert_eq!(ids, HashSet::from([uid.as_str(), CONTAINER, again.as_str()]));
}

/// As a runtime that names pods in a way of its own.
#[tokio::test]
async fn a_pod_may_be_known_by_its_containers_alone() {
    let bench = Bench::new().await;
    bench.create(pod(&pod_uid(1), "a", &["main"]));
    bench.root.make_pod(&pod_uid(2), &[CONTAINER]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until_lines(&recorder, &["complete"]).await;
        bench.runs("a", &[("main", CONTAINER)]);
        let told = until_lines(&recorder, &["complete", "+pod s/a", "+container s/main"]).await;
        assert_eq!((told.subject("a").uid.clone(), bench.meter.nameless.get()), (pod_uid(1), 0));
    })
    .await;
}

#[tokio::test]
async fn of_two_cgroups_of_one_pod_one_is_told() {
    let mut bench = Bench::new().await;
    bench.config.wait = millis(200);
    bench.create(pod(&pod_uid(1), "a", &[]));
    bench.root.make_pod(&pod_uid(1), &[]);
    bench.root.make(&format!("/old{}", pod_path(&pod_uid(1))), &[]);
    let (recorder, log) = (Recorder::default(), cluster::log::Log);
    log.catch();
    during(bench.source().await, &recorder, async {
        let told = until(&recorder, |told| told.ticks.len() > 8).await;
        assert_eq!(told.lines, ["+pod s/a", "complete"]);
        assert!(told.ticks.iter().all(|tick| tick.by_subject().count() <= 1));
        assert_eq!((bench.meter.subjects.get(), bench.meter.nameless.get()), (1, 1));
        let warning = log.until("is told under no name").await;
        assert!(warning.contains(&format!("/old{}", pod_path(&pod_uid(1)))) && warning.contains("hint="), "{warning}");
        bench.root.remove(&pod_path(&pod_uid(1)));
        until_lines(&recorder, &["complete", "-s/a", "+pod s/a"]).await;
        assert_eq!(log.lines().iter().filter(|line| line.contains("told under no name")).count(), 1);
    })
    .await;
}
