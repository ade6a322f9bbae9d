//! Who a cgroup is, as the source tells it: whichever comes first, and whatever the API server does.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod measured;

use std::collections::HashSet;
use std::time::Duration;

use cluster::{Recorder, during};
use measured::tree::{CONTAINER, pod_path, pod_uid};
use measured::{Bench, Root, millis, pod, told, until, until_lines};
use serde_json::json;
use sluicebox_contract::{Metric, SubjectKind};
use sluicebox_sources::cgroups::{Level, Of, WhenUnknown};
use sluicebox_testkit::api_server::{RequestFault, RequestFaultKind};
use sluicebox_testkit::servers::{Need, require};

fn container(number: usize) -> String {
    format!("{number:04}{}", CONTAINER.split_at(4).1)
}

#[tokio::test]
async fn pods_and_containers_have_the_names_of_the_api_in_every_version() {
    for root in [Root::version_2(), Root::version_1(), Root::hybrid()] {
        let bench = Bench::on(root).await;
        let uid = pod_uid(1);
        bench.create(pod(&uid, "a", &["main"]));
        bench.runs("a", &[("main", CONTAINER)]);
        bench.root.make_pod(&uid, &[CONTAINER]);
        let recorder = Recorder::default();
        let told = during(bench.source().await, &recorder, until_lines(&recorder, &["complete"])).await;
        assert_eq!(told.lines, ["+pod s/a", "+container s/main", "complete"]);
        let (pod, container) = (told.subject("a"), told.subject("main"));
        assert_eq!((pod.kind, pod.uid.as_str()), (SubjectKind::Pod, uid.as_str()));
        assert_eq!((container.kind, container.uid.as_str()), (SubjectKind::Container, CONTAINER));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pod.attributes, [pair("cgroup", &pod_path(&uid)), pair("qos-class", "Burstable")]);
        assert_eq!(
            container.attributes,
            [
                pair("cgroup", &format!("{}/{CONTAINER}", pod_path(&uid))),
                pair("qos-class", "Burstable"),
                pair("pod-uid", &uid),
                pair("pod-name", "a"),
                pair("container-kind", "app"),
            ]
        );
        assert_eq!((bench.meter.listed.get(), bench.meter.connected.get(), bench.meter.reads.get()), (1, 1, 1));
        assert_eq!((bench.meter.subjects.get(), bench.meter.nameless.get(), bench.meter.unreadable.get()), (2, 0, 0));
    }
}

/// The kernel makes and removes these one hierarchy after the other.
#[tokio::test]
async fn real_cgroups_have_the_names_of_the_api_however_they_come_and_go() {
    if !require(Need::Cgroups) {
        return;
    }
    let root = Root::real().expect("real cgroups");
    let bench = Bench::on(root).await;
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until_lines(&recorder, &["complete"]).await;
        for number in 0..50 {
            let (uid, id, name) = (pod_uid(number), container(number), format!("pod-{number}"));
            bench.root.make_pod(&uid, &[&id]);
            bench.create(pod(&uid, &name, &["main"]));
            bench.runs(&name, &[("main", &id)]);
        }
        until(&recorder, |told| told.subjects.len() == 100).await;
        until(&recorder, |told| (0..50).all(|number| told.readings(&format!("pod-{number}"), Metric::CpuUsage).len() > 1)).await;
        for number in 0..50 {
            bench.root.remove(&pod_path(&pod_uid(number)));
        }
        let gone = |told: &measured::Told| told.lines.iter().filter(|line| line.starts_with('-')).count();
        until(&recorder, |told| gone(told) == 100).await;
    })
    .await;
    assert_eq!((bench.meter.unreadable.get(), bench.meter.waited_in_vain.get(), bench.meter.subjects.get()), (0, 0, 0));
}

#[tokio::test]
async fn a_static_pod_is_known_by_the_hash_of_its_configuration() {
    let bench = Bench::new().await;
    let hash = "0123456789abcdef0123456789abcdef";
    let mut mirror = pod(&pod_uid(1), "static", &["main"]);
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash});
    bench.create(mirror.clone());
    bench.runs("static", &[("main", CONTAINER)]);
    bench.root.make_pod(hash, &[CONTAINER]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        let told = until_lines(&recorder, &["+pod s/static", "+container s/main", "complete"]).await;
        assert_eq!(told.subject("static").uid, pod_uid(1), "that of the API");
        bench.server.delete_pod("s", "static").expect("it is deleted");
        mirror["metadata"]["uid"] = pod_uid(2).into();
        bench.create(mirror);
        until_lines(&recorder, &["complete", "-s/static", "+pod s/static"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_the_api_tells_of_later_loses_nothing() {
    let bench = Bench::new().await;
    let uid = pod_uid(1);
    bench.root.make_pod(&uid, &[CONTAINER]);
    let recorder = Recorder::default();
    let told = during(bench.source().await, &recorder, async {
        until(&recorder, |told| told.lines == ["complete"] && told.ticks.len() >= 3).await;
        bench.root.write(&pod_path(&uid), "cpu.stat", "usage_usec 6000\n");
        let ticks = told(&recorder).ticks.len();
        until(&recorder, |told| told.ticks.len() >= ticks + 3).await;
        assert_eq!(bench.meter.nameless.get(), 2);
        bench.create(pod(&uid, "a", &["main"]));
        until_lines(&recorder, &["complete", "+pod s/a"]).await;
        bench.runs("a", &[("main", CONTAINER)]);
        until_lines(&recorder, &["+pod s/a", "+container s/main"]).await;
        bench.root.write(&pod_path(&uid), "cpu.stat", "usage_usec 9000\n");
        until(&recorder, |told| told.growth("a", Metric::CpuUsage) == 4_000_000).await
    })
    .await;
    let first = told.ticks.iter().position(|tick| !tick.samples.is_empty()).expect("samples");
    assert!(told.ticks[first].observed_at < told.ticks[first - 1].observed_at, "what waited has the time of its reading");
    assert_eq!((bench.meter.waited_in_vain.get(), bench.meter.uncached.get()), (0, 0));
}

#[tokio::test]
async fn what_the_api_does_not_tell_of_is_left_out_or_told_under_its_path() {
    for (when_unknown, lines) in [(WhenUnknown::Drop, 1), (WhenUnknown::Path, 3)] {
        let mut bench = Bench::new().await;
        (bench.config.when_unknown, bench.config.wait) = (when_unknown, millis(300));
        let uid = pod_uid(1);
        bench.root.make_pod(&uid, &[CONTAINER]);
        let recorder = Recorder::default();
        during(bench.source().await, &recorder, async {
            let told = until(&recorder, |told| told.lines.len() == lines && told.ticks.len() > 8).await;
            let path = pod_path(&uid);
            if when_unknown == WhenUnknown::Path {
                assert_eq!(told.lines[1..], [format!("+cgroup {path}"), format!("+cgroup {path}/{CONTAINER}")]);
            }
            bench.create(pod(&uid, "late", &["main"]));
            until_lines(&recorder, &["complete", "+pod s/late"]).await;
            // The first one after a pause has nothing to compare with.
            until(&recorder, |told| told.readings("late", Metric::CpuUsage).len() > 1).await;
            bench.root.write(&path, "cpu.stat", "usage_usec 7000\n");
            let told = until(&recorder, |told| told.growth("late", Metric::CpuUsage) > 0).await;
            assert_eq!(told.lines.contains(&format!("-{path}")), when_unknown == WhenUnknown::Path);
        })
        .await;
    }
}

/// A sandbox is a container that stands in no status.
#[tokio::test]
async fn the_sandbox_of_a_pod_is_left_out() {
    let mut bench = Bench::new().await;
    bench.config.wait = millis(200);
    let uid = pod_uid(1);
    bench.create(pod(&uid, "a", &["main"]));
    bench.runs("a", &[("main", CONTAINER)]);
    bench.root.make_pod(&uid, &[CONTAINER, &container(7)]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until(&recorder, |told| told.ticks.len() > 8).await;
        assert_eq!(told(&recorder).lines, ["+pod s/a", "+container s/main", "complete"]);
        assert_eq!((bench.meter.subjects.get(), bench.meter.nameless.get()), (2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_container_that_is_started_again_is_another_one() {
    let bench = Bench::new().await;
    let (uid, again) = (pod_uid(1), container(2));
    bench.create(pod(&uid, "a", &["main"]));
    bench.runs("a", &[("main", CONTAINER)]);
    bench.root.make_pod(&uid, &[CONTAINER]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until_lines(&recorder, &["+container s/main", "complete"]).await;
        bench.root.remove(&format!("{}/{CONTAINER}", pod_path(&uid)));
        until_lines(&recorder, &["complete", "-s/main"]).await;
        bench.root.make_container(&uid, &again);
        bench.runs("a", &[("main", &again)]);
        let told = until_lines(&recorder, &["-s/main", "+container s/main"]).await;
        let ids: HashSet<&str> = told.subjects.values().map(|subject| subject.uid.as_str()).collect();
        assert_eq!(ids, HashSet::from([uid.as_str(), CONTAINER, again.as_str()]));
        assert!(!told.lines.contains(&"-s/a".to_owned()), "the pod stays");
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_is_made_anew_under_its_name_is_another_one() {
    let bench = Bench::new().await;
    bench.create(pod(&pod_uid(1), "a", &[]));
    bench.root.make_pod(&pod_uid(1), &[]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until_lines(&recorder, &["+pod s/a", "complete"]).await;
        bench.server.delete_pod("s", "a").expect("it is deleted");
        bench.create(pod(&pod_uid(2), "a", &[]));
        // The old one is still ending.
        bench.root.make_pod(&pod_uid(2), &[]);
        until_lines(&recorder, &["complete", "+pod s/a"]).await;
        bench.root.remove(&pod_path(&pod_uid(1)));
        let told = until_lines(&recorder, &["complete", "+pod s/a", "-s/a"]).await;
        assert_eq!(told.subjects.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn while_the_api_is_away_readings_wait() {
    let bench = Bench::new().await;
    bench.server.fail(RequestFault { watches: Some(false), times: 3, kind: RequestFaultKind::Status(503, None) });
    bench.create(pod(&pod_uid(1), "a", &[]));
    bench.root.make_pod(&pod_uid(1), &[]);
    let recorder = Recorder::default();
    let told = during(bench.source().await, &recorder, async {
        let told = until(&recorder, |told| told.ticks.len() > 3).await;
        assert!(told.lines.is_empty() && bench.meter.listed.get() == 0 && bench.meter.connected.get() == 0);
        until_lines(&recorder, &["+pod s/a", "complete"]).await
    })
    .await;
    assert!(bench.meter.retries.get() >= 3);
    assert!(told.readings("a", Metric::MemoryUsage).len() > 3, "those that waited are there");
}

/// D36
#[tokio::test]
async fn a_pod_without_a_node_is_no_obstacle() {
    let bench = Bench::new().await;
    let mut named = pod(&pod_uid(1), "a", &[]);
    named["metadata"]["resourceVersion"] = "1".into();
    let unscheduled = json!({"metadata": {"name": "b", "namespace": "s", "uid": "u", "resourceVersion": "1"}});
    let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": [unscheduled, named]});
    bench.server.fail(RequestFault { watches: Some(false), times: 1, kind: RequestFaultKind::Body(list.to_string()) });
    bench.root.make_pod(&pod_uid(1), &[]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, until_lines(&recorder, &["+pod s/a", "complete"])).await;
    assert_eq!(bench.meter.skipped.get(), 0);
}

#[tokio::test]
async fn five_hundred_containers_are_all_told() {
    let bench = Bench::new().await;
    for number in 0..100 {
        let uid = pod_uid(number);
        let ids: Vec<String> = (0..5).map(|which| container(number * 5 + which)).collect();
        let names = ["a", "b", "c", "d", "e"];
        bench.create(pod(&uid, &format!("pod-{number}"), &names));
        let running: Vec<_> = names.iter().zip(&ids).map(|(name, id)| (*name, id.as_str())).collect();
        bench.runs(&format!("pod-{number}"), &running);
        bench.root.make_pod(&uid, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until(&recorder, |told| told.subjects.len() == 600).await;
        until(&recorder, |told| told.ticks.last().is_some_and(|tick| tick.by_subject().count() == 600)).await;
    })
    .await;
    assert_eq!((bench.meter.subjects.get(), bench.meter.nameless.get()), (600, 0));
}

#[tokio::test]
async fn without_an_api_server_everything_has_its_path() {
    let mut bench = Bench::new().await;
    bench.config.kubernetes = false;
    bench.root.make("/system.slice/some.service", &[]);
    bench.root.make_pod(&pod_uid(1), &[]);
    let recorder = Recorder::default();
    let told = during(bench.source().await, &recorder, until_lines(&recorder, &["complete"])).await;
    let path = pod_path(&pod_uid(1));
    for expected in ["+cgroup /system.slice/some.service", &format!("+cgroup {path}")] {
        assert!(told.lines.iter().any(|line| line == expected), "{:#?}", told.lines);
    }
    let attributes: Vec<_> = told.subject(&path).attributes.iter().map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    assert_eq!(attributes, [["cgroup", &path], ["qos-class", "Burstable"], ["pod-uid", &pod_uid(1)]]);
    assert_eq!(bench.meter.connected.get(), 1);
    assert_eq!(bench.server.requests().len(), 0);
}

#[tokio::test]
async fn only_the_levels_that_are_wanted_are_told() {
    for (level, line) in [(Level::Pod, "+pod s/a"), (Level::Container, "+container s/main")] {
        let mut bench = Bench::new().await;
        bench.config.levels = vec![level];
        bench.create(pod(&pod_uid(1), "a", &["main"]));
        bench.runs("a", &[("main", CONTAINER)]);
        bench.root.make_pod(&pod_uid(1), &[CONTAINER]);
        let recorder = Recorder::default();
        let told = during(bench.source().await, &recorder, until_lines(&recorder, &["complete"])).await;
        assert_eq!(told.lines, [line, "complete"]);
    }
}

#[tokio::test]
async fn more_cgroups_than_allowed_are_counted_and_taken_up_when_there_is_room() {
    let mut bench = Bench::new().await;
    (bench.config.kubernetes, bench.config.of, bench.config.max_cgroups) = (false, Some(Of::Kubernetes), 2);
    for number in 0..3 {
        bench.root.make_pod(&pod_uid(number), &[]);
    }
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        let told = until_lines(&recorder, &["complete"]).await;
        assert_eq!((told.subjects.len(), bench.meter.beyond_limit.get(), bench.meter.uncached.get()), (2, 1, 0));
        let first = told.lines[0].trim_start_matches("+cgroup ").to_owned();
        bench.root.remove(&first);
        let told = until(&recorder, |told| told.subjects.len() == 3).await;
        assert!(told.lines.contains(&format!("-{first}")));
    })
    .await;
}

/// Others than pods and containers give way, whichever comes first.
#[tokio::test]
async fn pods_and_containers_have_room_before_others() {
    let mut bench = Bench::new().await;
    (bench.config.kubernetes, bench.config.max_cgroups) = (false, 3);
    bench.root.make("/a.slice/some.service", &[]);
    bench.root.make_pod(&pod_uid(1), &[]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        let told = until_lines(&recorder, &["complete"]).await;
        let first = format!("+cgroup {}", pod_path(&pod_uid(1)));
        assert!(told.lines.contains(&first) && told.lines.len() == 4, "{:#?}", told.lines);
        bench.root.make_pod(&pod_uid(2), &[CONTAINER]);
        let [second, container] = ["", CONTAINER].map(|inside| format!("{}/{inside}", pod_path(&pod_uid(2))));
        until(&recorder, |told| {
            let has = |path: &str| told.lines.contains(&format!("+cgroup {}", path.trim_end_matches('/')));
            has(&second) && has(&container) && told.lines.iter().filter(|line| line.starts_with('-')).count() == 2
        })
        .await;
        assert!(measured::told(&recorder).lines.iter().all(|line| !line.starts_with("-/kubepods/burstable/pod")));
        bench.root.remove(&pod_path(&pod_uid(2)));
        bench.until("others are back", |meter| meter.subjects.get() == 3).await;
        assert!(bench.meter.beyond_limit.get() > 2);
    })
    .await;
}

#[tokio::test]
async fn the_wait_of_a_short_run_ends() {
    let mut bench = Bench::new().await;
    bench.config.wait = millis(300);
    bench.root.make_pod(&pod_uid(1), &[]);
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until(&recorder, |told| told.ticks.len() >= 2).await;
        bench.root.remove(&pod_path(&pod_uid(1)));
        bench.until("it is not waited for any more", |meter| meter.nameless.get() == 0).await;
        tokio::time::timeout(Duration::from_secs(20), until(&recorder, |told| told.ticks.len() > 8)).await.expect("it goes on");
    })
    .await;
    assert_eq!(told(&recorder).lines, ["complete"]);
}
