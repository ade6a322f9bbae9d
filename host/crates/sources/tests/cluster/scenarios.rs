//! What a source must do whatever API server it talks to. Run against the fake one and a real one.

use serde_json::{Value, json};
use sluicebox_contract::Change;
use sluicebox_contract::quantity::ByteSize;
use sluicebox_sources::Scope;
use sluicebox_sources::pods::Config;

#[allow(unused_imports, reason = "test programs without scenarios do not need them")]
pub(crate) use super::kinds::{
    namespaces_are_told, nodes_are_told_and_repeated, nodes_are_told_in_both_forms_with_their_attributes,
    services_are_told_with_what_was_before,
};
use super::{
    Cluster, JSON, Recorder, TYPED, Watched, during, pod, pods_by, pods_of, pods_with, running, unique, with_token_file,
};

/// Makes a test of every scenario. `$start` gives a cluster, or none if there cannot be one here.
#[macro_export]
macro_rules! scenarios {
    ($start:path, $($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            let Some(mut cluster) = $start(stringify!($name)).await else { return };
            cluster::scenarios::$name(&mut cluster).await;
        })*
    };
    ($start:path) => {
        scenarios!(
            $start,
            what_is_there_is_listed_and_what_comes_is_added,
            b4_b5_a_pod_comes_changes_and_goes,
            a_restarted_container_has_another_id,
            a18_b12_what_went_during_a_gap_is_deleted_once,
            a18_b12_b21_what_went_before_the_history_was_forgotten_is_found_by_a_new_list,
            a36_b20_a_node_sees_its_own_pods_only,
            a_cluster_sees_all_pods,
            b1_unknown_fields_and_the_order_of_keys_are_kept,
            five_hundred_pods_come_in_pages,
            a_pod_that_fits_in_no_page_is_left_out,
            a_rotated_token_file_is_read_again,
            namespaces_are_told,
            nodes_are_told_and_repeated,
            nodes_are_told_in_both_forms_with_their_attributes,
            services_are_told_with_what_was_before,
        );
    };
}

async fn place(cluster: &impl Cluster) -> (String, String) {
    let (namespace, node) = (unique("space"), unique("node"));
    cluster.create_namespace(&namespace).await;
    (namespace, node)
}

pub(crate) async fn what_is_there_is_listed_and_what_comes_is_added(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    cluster.create_pod(pod(&space, "a", &node)).await;
    cluster.create_pod(pod(&space, "b", &node)).await;
    cluster.settle(&node, 2).await;
    let Watched { gate: _gate, meter, source } = pods_of(cluster, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        assert_eq!((meter.listed.get(), meter.connected.get(), meter.cached_objects.get()), (1, 1, 2));
        cluster.create_pod(pod(&space, "c", &node)).await;
        let lines = recorder.until_line("added c Pending").await;
        // A list out of the server's cache comes in no order.
        let (first, second) = if lines[0] == "define a" { ("a", "b") } else { ("b", "a") };
        let listed = [first, second].map(|name| [format!("define {name}"), format!("listed {name} Pending")]);
        assert_eq!(lines[..4], listed.concat());
        assert_eq!(lines[4..], ["complete", "define c", "added c Pending"]);
        let pods = recorder.pods();
        assert!(pods.iter().all(|event| event.previous.is_none() && event.observed_at.0 > 0));
        assert_eq!(pods[0].pod.labels, [("app".to_owned(), "demo".to_owned()), ("zebra".to_owned(), "1".to_owned())]);
    })
    .await;
    assert_eq!((meter.events.get(), meter.lists.get(), meter.retries.get(), meter.skipped.get()), (3, 1, 0, 0));
}

pub(crate) async fn b4_b5_a_pod_comes_changes_and_goes(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    let Watched { gate: _gate, source, .. } = pods_of(cluster, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        let created = cluster.create_pod(pod(&space, "a", &node)).await;
        recorder.until_line("added a Pending").await;
        cluster.patch_status(&space, "a", running("containerd://1", 0)).await;
        recorder.until_line("modified a Running, was Pending").await;
        cluster.delete_pod(&space, "a").await;
        let lines = recorder.until_line("forget a").await;
        let expected = [
            "complete",
            "define a",
            "added a Pending",
            "modified a Running, was Pending",
            // The API shows a pod ending before it shows it gone.
            "modified a Running, was Running",
            "deleted a Running, was Running",
            "forget a",
        ];
        assert_eq!(lines, expected);
        let pods = recorder.pods();
        assert!(pods[1].pod.deletion_at.is_none() && pods[2].pod.deletion_at.is_some());
        assert_eq!(pods[0].pod.pod_ips, Vec::<String>::new());
        assert_eq!(pods[1].pod.pod_ips, ["10.42.1.95"]);
        assert_eq!(created["metadata"]["uid"], *pods[0].pod.uid);
        assert_eq!(pods[2].pod.uid, pods[0].pod.uid);
    })
    .await;
}

pub(crate) async fn a_restarted_container_has_another_id(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    cluster.create_pod(pod(&space, "a", &node)).await;
    cluster.patch_status(&space, "a", running("containerd://1", 0)).await;
    let Watched { gate: _gate, source, .. } = pods_of(cluster, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until(|lines| lines.iter().any(|line| line.contains("a Running"))).await;
        cluster.patch_status(&space, "a", running("containerd://2", 1)).await;
        recorder.until_line("modified a Running, was Running").await;
        let event = recorder.pods().pop().expect("an event");
        let status = |pod: &sluicebox_contract::Pod| {
            let status = pod.containers[0].status.clone().expect("a status");
            (status.container_id, status.restart_count)
        };
        assert_eq!(status(&event.pod), (Some("containerd://2".to_owned()), 1));
        assert_eq!(event.previous.as_deref().map(status), Some((Some("containerd://1".to_owned()), 0)));
    })
    .await;
}

/// What happens while the API cannot be reached: one pod goes, one changes, one comes, one is replaced under its name.
async fn gap(cluster: &impl Cluster, space: &str, node: &str) {
    cluster.delete_pod(space, "gone").await;
    cluster.patch_status(space, "changed", running("containerd://1", 0)).await;
    cluster.delete_pod(space, "replaced").await;
    cluster.create_pod(pod(space, "replaced", node)).await;
    cluster.create_pod(pod(space, "new", node)).await;
}

async fn assert_gap_was_told(recorder: &Recorder) {
    recorder.until_line("added new Pending").await;
    recorder.until_line("forget gone").await;
    recorder.until_line("added replaced Pending").await;
    for line in [
        "deleted gone Pending, was Pending",
        "forget gone",
        "modified changed Running, was Pending",
        "deleted replaced Pending, was Pending",
        "forget replaced",
        "added replaced Pending",
        "added new Pending",
    ] {
        assert_eq!(recorder.count(line), 1, "{line} in {:#?}", recorder.lines());
    }
    assert!(
        !recorder.lines().iter().any(|line| line.contains("kept") && !line.starts_with("listed") && !line.starts_with("define"))
    );
    let replaced: Vec<_> =
        recorder.pods().into_iter().filter(|event| event.pod.name == "replaced" && event.change != Change::Modified).collect();
    let uids: Vec<_> = replaced.iter().map(|event| (event.change, event.pod.uid.clone())).collect();
    assert_eq!(uids[0].1, uids[1].1);
    assert_eq!((uids[1].0, uids[2].0), (Change::Deleted, Change::Added));
    assert_ne!(uids[1].1, uids[2].1);
    assert_ne!(replaced[0].subject, replaced[2].subject);
}

async fn four_pods(cluster: &impl Cluster, space: &str, node: &str) {
    for name in ["gone", "changed", "replaced", "kept"] {
        cluster.create_pod(pod(space, name, node)).await;
    }
    cluster.settle(node, 4).await;
}

pub(crate) async fn a18_b12_what_went_during_a_gap_is_deleted_once(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    four_pods(cluster, &space, &node).await;
    let Watched { gate, meter, source } = pods_of(cluster, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        gate.close();
        gap(cluster, &space, &node).await;
        gate.open();
        assert_gap_was_told(&recorder).await;
    })
    .await;
    assert_eq!(meter.lists.get(), 1, "the watch went on where it was");
}

pub(crate) async fn a18_b12_b21_what_went_before_the_history_was_forgotten_is_found_by_a_new_list(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    four_pods(cluster, &space, &node).await;
    let Watched { gate, meter, source } = pods_of(cluster, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        gate.close();
        gap(cluster, &space, &node).await;
        cluster.forget_history().await;
        gate.open();
        assert_gap_was_told(&recorder).await;
        assert_eq!(recorder.count("complete"), 1);
    })
    .await;
    assert!(meter.lists.get() >= 2, "{} lists", meter.lists.get());
    assert_eq!(meter.cached_objects.get(), 4);
}

pub(crate) async fn a36_b20_a_node_sees_its_own_pods_only(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    let other = unique("other");
    cluster.create_pod(pod(&space, "mine", &node)).await;
    cluster.create_pod(pod(&space, "theirs", &other)).await;
    cluster.settle(&other, 1).await;
    cluster.settle(&node, 1).await;
    let config = Config { node: Some(node.clone()), ..Config::default() };
    let Watched { gate: _gate, source, .. } = pods_with(cluster, &config, "the-host-is-elsewhere", TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        cluster.create_pod(pod(&space, "theirs-too", &other)).await;
        // An unscheduled pod belongs to nobody (D36 is about readers that choke on one).
        let mut unscheduled = pod(&space, "nobodys", "");
        unscheduled["spec"].as_object_mut().expect("a spec").remove("nodeName");
        cluster.create_pod(unscheduled).await;
        cluster.create_pod(pod(&space, "mine-too", &node)).await;
        let lines = recorder.until_line("added mine-too Pending").await;
        assert_eq!(lines, ["define mine", "listed mine Pending", "complete", "define mine-too", "added mine-too Pending"]);
    })
    .await;
}

pub(crate) async fn a_cluster_sees_all_pods(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    let name = unique("there");
    cluster.create_pod(pod(&space, &name, &node)).await;
    let config = Config { scope: Scope::Cluster, page_size: 3, ..Config::default() };
    let Watched { gate: _gate, source, .. } = pods_with(cluster, &config, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        assert_eq!(recorder.count(&format!("listed {name} Pending")), 1);
        let unscheduled = unique("unscheduled");
        let mut body = pod(&space, &unscheduled, "");
        body["spec"].as_object_mut().expect("a spec").remove("nodeName");
        cluster.create_pod(body).await;
        recorder.until_line(&format!("added {unscheduled} Pending")).await;
        let event = recorder.pods().into_iter().find(|event| event.pod.name == unscheduled).expect("the event");
        assert_eq!(event.pod.node_name, None);
    })
    .await;
}

pub(crate) async fn b1_unknown_fields_and_the_order_of_keys_are_kept(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    let Watched { gate: _gate, source, .. } = pods_of(cluster, &node, JSON).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        let mut body = pod(&space, "a", &node);
        body["spec"]["aFieldOfTomorrow"] = json!({"z": 1, "a": [null, 1.5]});
        cluster.create_pod(body).await;
        let lines = recorder.until_line("added a json").await;
        assert_eq!(lines, ["complete", "define a", "added a json"]);
        let event = recorder.objects().pop().expect("an event");
        let json = event.json.expect("its JSON");
        assert!(!json.contains('\n'));
        let told: Value = serde_json::from_str(&json).expect("JSON");
        // Texts, as comparing values would not see the order of keys.
        assert_eq!(told.to_string(), cluster.get_pod(&space, "a").await.to_string());
        assert_eq!((&*event.namespace, &*event.name), (&*space, "a"));
        assert_eq!(told["metadata"]["uid"], *event.uid);
    })
    .await;
}

pub(crate) async fn five_hundred_pods_come_in_pages(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    for number in 0..500 {
        cluster.create_pod(pod(&space, &format!("pod-{number:03}"), &node)).await;
    }
    cluster.settle(&node, 500).await;
    let config = Config { scope: Scope::Cluster, page_size: 100, ..Config::default() };
    let Watched { gate: _gate, meter, source } = pods_with(cluster, &config, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        let mine = recorder.pods().into_iter().filter(|event| event.pod.namespace == space && event.change == Change::Listed);
        assert_eq!(mine.count(), 500);
        cluster.delete_pod(&space, "pod-250").await;
        recorder.until_line("forget pod-250").await;
    })
    .await;
    assert_eq!((meter.uncached.get(), meter.retries.get()), (0, 0));
}

pub(crate) async fn a_pod_that_fits_in_no_page_is_left_out(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    for name in ["a", "long", "z"] {
        let mut body = pod(&space, name, &node);
        if name == "long" {
            body["metadata"]["annotations"]["long"] = "x".repeat(100_000).into();
        }
        cluster.create_pod(body).await;
    }
    cluster.settle(&node, 3).await;
    let bytes = ByteSize(64 << 10);
    let config = Config { max_page_bytes: bytes, max_object_bytes: bytes, ..Config::default() };
    let Watched { gate: _gate, meter, source } = pods_with(cluster, &config, &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        let lines = recorder.until_complete().await;
        assert_eq!(lines, ["define a", "listed a Pending", "define z", "listed z Pending", "complete"]);
        cluster.create_pod(pod(&space, "b", &node)).await;
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((meter.lists.get(), meter.skipped.get(), meter.retries.get()), (1, 1, 0));
}

pub(crate) async fn a_rotated_token_file_is_read_again(cluster: &mut impl Cluster) {
    let (space, node) = place(cluster).await;
    let tokens = cluster.two_tokens().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    // Files end in a line break, headers cannot.
    std::fs::write(&file, format!("{}\n", tokens[0])).expect("the token");
    let gate = super::Gate::to(cluster.address()).await;
    let kubernetes = with_token_file(cluster.config(gate.address()), &file);
    let Watched { gate, source, .. } = pods_by(gate, &kubernetes, &Config::default(), &node, TYPED).await;
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        gate.close();
        cluster.refuse_the_first(&tokens).await;
        std::fs::write(&file, &tokens[1]).expect("the token");
        cluster.create_pod(pod(&space, "a", &node)).await;
        gate.open();
        recorder.until_line("added a Pending").await;
    })
    .await;
}
