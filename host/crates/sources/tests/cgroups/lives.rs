//! What comes and goes, and under which names.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use sluicebox_contract::Metric::CpuUsage;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Reading, SubjectKind};
use sluicebox_sources::cgroups::Config;
use sluicebox_sources::kubernetes::{self, Api};
use sluicebox_testkit::api_server::ApiServer;

use super::group::{self, Group};
use super::work::Work;
use super::{MIB, NODE, Told, alone, by_path, during, shared};

/// The period is five times as long as it lives; what it used is told all the same.
#[tokio::test]
async fn a_pod_that_lives_for_a_second_is_seen() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let told = Told::about(&uid);
    let config = Config { period: TimeSpan(Duration::from_secs(5)), ..by_path() };
    during(&config, None, &told, async |_| {
        told.until("the first reading", |record| record.listed.then_some(())).await;
        let pod = group::pod(&uid);
        let container = pod.container(&group::container_id());
        let path = container.path.clone();
        let work = Work::burn(&container);
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(work);
        drop((container, pod));
        told.until("it is gone", |record| (record.defined >= 2 && record.subjects.is_empty()).then_some(())).await;
        let record = told.record();
        let readings = record.readings(&path, CpuUsage);
        assert!(matches!(readings[0], Reading::Counter { increase: None, .. }), "{readings:?}");
        assert!(record.increase(&path, CpuUsage) > 20_000_000, "{readings:?}");
    })
    .await;
}

/// More than any queue of the kernel's file events holds without being read.
#[tokio::test]
async fn after_a_burst_of_thousands_the_right_ones_are_left() {
    let Some(_turn) = alone().await else { return };
    let uid = group::uid();
    let parent = group::pod(&uid);
    let told = Told::about(&uid).of_those_that_are_there();
    during(&by_path(), None, &told, async |meter| {
        told.until("the parent", |record| record.subject(&parent.path).map(drop)).await;
        let before = memory();
        let survivors = tokio::task::spawn_blocking({
            let parent = parent.path.clone();
            move || burst(&parent, 5_000)
        });
        let survivors = survivors.await.expect("a burst");
        let expected: BTreeSet<String> = survivors.iter().map(|group| group.path.clone()).chain([parent.path.clone()]).collect();
        told.until("the survivors", |record| {
            let paths: BTreeSet<String> = record.subjects.values().map(|subject| subject.name.clone()).collect();
            (paths == expected).then_some(())
        })
        .await;
        told.fresh(&parent.path).await;
        for path in &expected {
            assert!(told.record().count(path, CpuUsage) > 0, "{path}");
        }
        let grown = memory().saturating_sub(before);
        assert!(grown < 64 * MIB, "memory has grown by {grown} bytes");
        assert_eq!(meter.unreadable.get(), 0);
    })
    .await;
}

/// Makes so many containers, removes them, and leaves some that came in between.
fn burst(pod: &str, containers: usize) -> Vec<Group> {
    let (mut survivors, mut doomed) = (Vec::new(), Vec::new());
    for number in 0..containers {
        let container = group::container_of(pod, &group::container_id());
        if number % (containers / 5) == 7 {
            survivors.push(container);
        } else {
            doomed.push(container);
        }
        if doomed.len() == 500 {
            doomed.clear();
        }
    }
    survivors
}

/// Bytes of this process that are in memory.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test]
async fn what_vanishes_while_it_is_read_is_no_error() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let told = Told::about(&uid);
    let config = Config { period: TimeSpan(Duration::from_millis(100)), ..by_path() };
    during(&config, None, &told, async |meter| {
        told.fresh(&pod.path).await;
        let ticks = told.record().ticks;
        while told.record().ticks < ticks + 20 {
            let path = pod.path.clone();
            let churn = tokio::task::spawn_blocking(move || {
                drop((0..20).map(|_| group::container_of(&path, &group::container_id())).collect::<Vec<_>>());
            });
            churn.await.expect("cgroups come and go");
        }
        told.until("only the pod is left", |record| (record.subjects.len() == 1).then_some(())).await;
        assert_eq!((meter.unreadable.get(), meter.retries.get()), (0, 0));
        assert!(told.record().defined > 20, "some have lived long enough to be seen");
    })
    .await;
}

/// With everything between: the API server's pods, the kernel's cgroups.
#[tokio::test]
async fn pods_and_containers_have_the_names_of_the_api_server() {
    let Some(_turn) = shared().await else { return };
    let server = ApiServer::start().await.expect("the server starts");
    let reach = kubernetes::Config { url: Some(server.url()), ..Default::default() };
    let api = Api::connect(&reach).await.expect("a way to it");
    let id = group::container_id();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": "till"},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "registry.test/image:1"}]},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "registry.test/image:1", "imageID": "", "containerID": format!("containerd://{id}"),
            "ready": true, "restartCount": 0, "state": {"running": {}},
        }]},
    });
    let pod = server.create_pod(pod).expect("a pod");
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    let pod = group::pod(uid);
    let container = pod.container(&id);
    let told = Told::about(uid);
    during(&Config { kubernetes: true, ..by_path() }, Some(api), &told, async |_| {
        for (group, kind, uid, name) in [(&pod, SubjectKind::Pod, uid, "till"), (&container, SubjectKind::Container, &id, "main")]
        {
            told.fresh(&group.path).await;
            let record = told.record();
            let subject = record.subject(&group.path).expect("a subject");
            assert_eq!((subject.kind, subject.uid.as_str(), &*subject.namespace, &*subject.name), (kind, uid, "shop", name));
        }
    })
    .await;
}
