//! The reader: what Fluent Bit's filter makes of the files that both forms of the overlay write for pods of a real API server.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use sluicebox_testkit::fluent_bit::{Filter, Settings};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use support::{PATIENCE, Place, until};

const FORMS: [&str; 2] = ["sidecar/component", "daemonset"];
const FOLDER: &str = "/var/kube_meta";
/// Reads a file again whenever it is asked.
const AGAIN: Settings = Settings { use_kubelet: false, owner_references: false, ttl: Some(std::time::Duration::ZERO) };

fn overlay(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize/overlays/fluent-bit").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The configuration of a form, with folders, port and API server of this test, and with further settings of the module.
fn configure(place: &Place, form: &str, kubeconfig: &str, settings: &str) -> std::path::PathBuf {
    let ours = format!("directory: {}", place.path("meta").display());
    let text = overlay(&format!("{form}/sluicebox.yaml"))
        .replace(&format!("directory: {FOLDER}"), &ours)
        .replace("retention: \"${RETENTION:-1m}\"", &format!("retention: 2s{settings}"))
        .replace("/var/lib/sluicebox/state", &place.path("state").display().to_string())
        .replace("/var/cache/sluicebox/modules", &support::cache().display().to_string())
        .replace("0.0.0.0:9420", "127.0.0.1:0");
    assert!(text.contains(&ours) && text.contains("retention: 2s"), "{text}");
    let path = place.path("sluicebox.yaml");
    let around = format!("node-name: n1\nkubernetes: {{access: kubeconfig, kubeconfig: \"{kubeconfig}\"}}\n");
    std::fs::write(&path, around + &text).unwrap();
    path
}

/// Two containers and one that prepares them.
fn created() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"note": "<&>"}},
        "spec": {
            "nodeName": "n1", "automountServiceAccountToken": false,
            "initContainers": [{"name": "prepare", "image": "busybox:1"}],
            "containers": [{"name": "main", "image": "nginx:1.27"}, {"name": "late", "image": "late:1"}],
        },
    })
}

/// One container runs, the other is still to be pulled.
fn started() -> Value {
    let runs = json!({"running": {"startedAt": "2026-01-01T12:00:01Z"}});
    let waits = json!({"waiting": {"reason": "ContainerCreating"}});
    let status = |name: &str, image: &str, image_id: &str, state: &Value| json!({"name": name, "image": image, "imageID": image_id, "state": state, "lastState": {}, "ready": false, "restartCount": 0});
    json!({
        "phase": "Running", "podIP": "10.42.1.95", "podIPs": [{"ip": "10.42.1.95"}],
        "initContainerStatuses": [status("prepare", "docker.io/library/busybox:1", "docker.io/library/busybox@sha256:b0", &runs)],
        "containerStatuses": [
            status("main", "docker.io/library/nginx:1.27", "docker.io/library/nginx@sha256:4c0f", &runs),
            status("late", "late:1", "", &waits),
        ],
    })
}

/// What a line of this container's log gets as `kubernetes`.
fn record(filter: &mut Filter, container: &str) -> Option<Value> {
    filter.record(&format!("web-0_shop_{container}-{}.log", "a".repeat(64))).unwrap()
}

/// Waits until a line gets what is expected, in this order of keys.
async fn reads(program: &Program, filter: &mut Filter, container: &str, expected: &Value) {
    let expected = expected.to_string();
    let mut last = String::new();
    until(program, &format!("{container}: {expected}"), async || {
        last = record(filter, container).map(|record| record.to_string()).unwrap_or_default();
        last == expected
    })
    .await;
}

/// The record of a container, with what is known of its image.
fn expected(uid: &str, container: &str, image: Option<(&str, Option<&str>)>) -> Value {
    let mut record = json!({
        "pod_name": "web-0", "namespace_name": "shop", "pod_id": uid, "labels": {"app": "web"}, "annotations": {"note": "<&>"}, "host": "n1",
    });
    if image.is_some() {
        record["pod_ip"] = "10.42.1.95".into();
    }
    record["container_name"] = container.into();
    record["docker_id"] = "a".repeat(64).into();
    if let Some(hash) = image.and_then(|(_, hash)| hash) {
        record["container_hash"] = hash.into();
    }
    if let Some((image, _)) = image {
        record["container_image"] = image.into();
    }
    record
}

/// An API server with the namespace of the pods, and the way to it.
async fn cluster() -> Option<(KubeApiServer, String)> {
    if !require(Need::KubeApiServer) {
        return None;
    }
    let api = KubeApiServer::start().await.unwrap();
    api.create_namespace("shop").await.unwrap();
    let kubeconfig = api.kube_config(api.admin_token()).unwrap().display().to_string();
    Some((api, kubeconfig))
}

#[tokio::test]
async fn both_forms_tell_fluent_bit_of_a_pod_from_its_beginning_to_the_end_of_the_retention() {
    let Some((api, kubeconfig)) = cluster().await else { return };
    for form in FORMS {
        let place = Place::new();
        let mut filter = Filter::new(place.path("meta"), AGAIN);
        let mut program = place.run(&configure(&place, form, &kubeconfig, ""));
        program.until_ready(support::SLOW).await.unwrap();
        assert_eq!(record(&mut filter, "main"), None, "{form}");

        let pod = api.create_pod(&created()).await.unwrap();
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        reads(&program, &mut filter, "main", &expected(uid, "main", None)).await;
        api.patch_status("shop", "web-0", &started()).await.unwrap();
        let nginx = ("docker.io/library/nginx:1.27", Some("docker.io/library/nginx@sha256:4c0f"));
        reads(&program, &mut filter, "main", &expected(uid, "main", Some(nginx))).await;
        // The hash of the one before is not taken for its own.
        reads(&program, &mut filter, "late", &expected(uid, "late", Some(("late:1", None)))).await;
        let busybox = ("docker.io/library/busybox:1", Some("docker.io/library/busybox@sha256:b0"));
        reads(&program, &mut filter, "prepare", &expected(uid, "prepare", Some(busybox))).await;

        let begun = std::time::Instant::now();
        api.delete_pod("shop", "web-0").await.unwrap();
        until(&program, "the file goes", async || record(&mut filter, "main").is_none()).await;
        assert!(begun.elapsed() >= std::time::Duration::from_secs(2), "{form}: gone before the retention was over");
        assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    }
}

#[tokio::test]
async fn a_filter_that_never_looks_again_keeps_a_whole_record_when_files_wait_for_image_ids() {
    let Some((api, kubeconfig)) = cluster().await else { return };
    let place = Place::new();
    let mut filter = Filter::new(place.path("meta"), Settings::default());
    let mut program = place.run(&configure(&place, "daemonset", &kubeconfig, ", wait-for-image-ids: true"));
    program.until_ready(support::SLOW).await.unwrap();

    api.create_pod(&created()).await.unwrap();
    api.patch_status("shop", "web-0", &started()).await.unwrap();
    let mut status = started();
    status["containerStatuses"][1]["imageID"] = "late@sha256:1a".into();
    api.patch_status("shop", "web-0", &status).await.unwrap();
    let mut seen = None;
    until(&program, "there is a record", async || {
        seen = record(&mut filter, "late");
        seen.is_some()
    })
    .await;
    let seen = seen.unwrap();
    assert_eq!((&seen["pod_ip"], &seen["container_hash"]), (&"10.42.1.95".into(), &"late@sha256:1a".into()), "{seen}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_filter_that_expects_a_kubelet_s_list_finds_the_pod_in_it() {
    let Some((api, kubeconfig)) = cluster().await else { return };
    let place = Place::new();
    let mut filter = Filter::new(place.path("meta"), Settings { use_kubelet: true, ..AGAIN });
    let mut program = place.run(&configure(&place, "sidecar/component", &kubeconfig, ", use-kubelet: true"));
    program.until_ready(support::SLOW).await.unwrap();
    let pod = api.create_pod(&created()).await.unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    reads(&program, &mut filter, "main", &expected(uid, "main", None)).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[test]
fn the_filter_of_the_example_reads_where_the_collector_writes() {
    let filter = overlay("sidecar/example/fluent-bit.conf");
    let setting = |name: &str| {
        let mut words = filter.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.find_map(|words| (words.first() == Some(&name)).then(|| words.get(1).map(|word| (*word).to_owned()))).flatten()
    };
    assert_eq!(setting("Kube_meta_preload_cache_dir").as_deref(), Some(FOLDER));
    // With it the files would have to be lists.
    assert_eq!(setting("Use_Kubelet"), None);
    let mounts = overlay("sidecar/component/daemon-set.yaml");
    assert!(mounts.contains(&format!("{{name: kube-meta, mountPath: {FOLDER}, readOnly: true}}")), "{mounts}");
    assert!(mounts.contains(&format!("{{name: kube-meta, mountPath: {FOLDER}}}")), "{mounts}");
}
