//! Files and the records that the real process made of them.

use serde_json::json;
use tempfile::TempDir;

use super::*;

const IDENTIFIER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

const ETCD: &str = r#"{"kind":"Pod","metadata":{"name":"etcd-docker-desktop","namespace":"kube-system","uid":"f71653b6","labels":{"tier":"control-plane"},
    "annotations":{"kubernetes.io/config.source":"file"},"ownerReferences":[{"kind":"Node"}]},"spec":{"nodeName":"docker-desktop"},
    "status":{"podIP":"192.168.65.3","containerStatuses":[{"name":"etcd","image":"k8s.gcr.io/etcd:3.3.15-0",
    "imageID":"docker-pullable://k8s.gcr.io/etcd@sha256:12c2","containerID":"docker://b"}]}}"#;

/// A folder with the file of one pod.
struct Scene {
    folder: TempDir,
    filter: Filter,
}

impl Scene {
    fn new(file: &str, settings: Settings) -> Self {
        let folder = TempDir::new().unwrap();
        let scene = Self { filter: Filter::new(folder.path(), settings), folder };
        scene.write(file);
        scene
    }

    fn write(&self, file: &str) {
        std::fs::write(self.folder.path().join("kube-system_etcd-docker-desktop.meta"), file).unwrap();
    }

    fn record(&mut self, container: &str) -> Option<Value> {
        self.filter.record(&format!("etcd-docker-desktop_kube-system_{container}-{IDENTIFIER}.log")).unwrap()
    }
}

fn record(file: &str) -> Option<Value> {
    Scene::new(file, Settings::default()).record("etcd")
}

/// Image and hash of a container, with these as the statuses of the pod.
fn image(statuses: &str, container: &str) -> [Option<String>; 2] {
    let file = format!(r#"{{"status":{statuses}}}"#);
    let record = Scene::new(&file, Settings::default()).record(container).unwrap();
    ["container_image", "container_hash"].map(|key| Some(record.get(key)?.as_str()?.to_owned()))
}

fn some(image: &str, hash: &str) -> [Option<String>; 2] {
    [image, hash].map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
}

#[test]
fn c1_a_pod_gives_a_whole_record_with_its_keys_in_order() {
    let expected = format!(
        r#"{{"pod_name":"etcd-docker-desktop","namespace_name":"kube-system","pod_id":"f71653b6","labels":{{"tier":"control-plane"}},"annotations":{{"kubernetes.io/config.source":"file"}},"host":"docker-desktop","pod_ip":"192.168.65.3","container_name":"etcd","docker_id":"{IDENTIFIER}","container_hash":"k8s.gcr.io/etcd@sha256:12c2","container_image":"k8s.gcr.io/etcd:3.3.15-0"}}"#
    );
    assert_eq!(record(ETCD).unwrap().to_string(), expected);
}

#[test]
fn c2_a_file_that_is_missing_empty_or_cut_off_gives_no_record() {
    let mut scene = Scene::new("", Settings::default());
    assert_eq!(scene.record("etcd"), None);
    scene.write(ETCD.get(..ETCD.len() / 2).unwrap());
    assert_eq!(scene.record("etcd"), None);
    std::fs::remove_file(scene.folder.path().join("kube-system_etcd-docker-desktop.meta")).unwrap();
    assert_eq!(scene.record("etcd"), None);
    // That there was none is not remembered.
    scene.write(ETCD);
    assert!(scene.record("etcd").is_some());
}

#[test]
fn c3_c4_what_is_not_in_the_file_is_not_in_the_record() {
    let mut expected = json!({
        "pod_name": "etcd-docker-desktop", "namespace_name": "kube-system", "container_name": "etcd", "docker_id": IDENTIFIER,
    });
    assert_eq!(record("{}").as_ref(), Some(&expected));
    // A list without `Use_Kubelet` says as little.
    assert_eq!(record(&format!(r#"{{"items":[{ETCD}]}}"#)).as_ref(), Some(&expected));
    let metadata = r#"{"metadata":{"name":"etcd-docker-desktop","namespace":"kube-system","uid":"u-mo","labels":{"a":"b"}}}"#;
    expected["pod_id"] = "u-mo".into();
    expected["labels"] = json!({"a": "b"});
    assert_eq!(record(metadata), Some(expected));
}

#[test]
fn c5_c6_c7_a_hash_is_what_follows_a_scheme_or_all_of_it() {
    let of = |id: &str| image(&format!(r#"{{"containerStatuses":[{{"name":"a","image":"a:1","imageID":"{id}"}}]}}"#), "a");
    assert_eq!(of("docker.io/library/a@sha256:12"), some("a:1", "docker.io/library/a@sha256:12"));
    assert_eq!(of("docker-pullable://k8s.gcr.io/etcd@sha256:12"), some("a:1", "k8s.gcr.io/etcd@sha256:12"));
    assert_eq!(of(""), some("a:1", ""));
    assert_eq!(of("no-colon"), some("a:1", ""));
}

#[test]
fn c9_sorted_keys_give_a_container_that_has_not_started_the_hash_of_another() {
    let in_order =
        r#"{"containerStatuses":[{"name":"a","image":"a:1","imageID":"x@sha256:a"},{"name":"b","image":"b:1","imageID":""}]}"#;
    assert_eq!(image(in_order, "b"), some("b:1", ""));
    let sorted =
        r#"{"containerStatuses":[{"image":"a:1","imageID":"x@sha256:a","name":"a"},{"image":"b:1","imageID":"","name":"b"}]}"#;
    assert_eq!(image(sorted, "b"), some("b:1", "x@sha256:a"));
}

#[test]
fn c10_containers_that_prepare_others_are_found() {
    let statuses = r#"{"initContainerStatuses":[{"name":"i","image":"i:1","imageID":"x@sha256:i"}],"containerStatuses":[{"name":"a","image":"a:1","imageID":"x@sha256:a"}]}"#;
    assert_eq!(image(statuses, "i"), some("i:1", "x@sha256:i"));
    assert_eq!(image(statuses, "a"), some("a:1", "x@sha256:a"));
    assert_eq!(image(statuses, "other"), some("", ""));
}

#[test]
fn c11_c12_null_stays_and_the_first_document_counts() {
    let first = r#"{"metadata":{"labels":null,"annotations":null}}"#;
    let record = record(&format!(" {first}\n{ETCD}")).unwrap();
    assert_eq!((record.get("labels"), record.get("annotations")), (Some(&Value::Null), Some(&Value::Null)));
    assert_eq!(record.get("pod_id"), None);
}

#[test]
fn c13_c14_a_file_is_read_again_only_when_its_time_is_over() {
    let file = |uid: &str| format!(r#"{{"metadata":{{"uid":"{uid}"}}}}"#);
    let second = |settings| {
        let mut scene = Scene::new(&file("1"), settings);
        scene.record("etcd");
        scene.write(&file("2"));
        scene.record("etcd").unwrap()["pod_id"].clone()
    };
    assert_eq!(second(Settings::default()), "1");
    assert_eq!(second(Settings { ttl: Some(Duration::ZERO), ..Settings::default() }), "2");
}

#[test]
fn c17_c18_with_a_kubelet_the_file_is_a_list_and_anything_else_a_crash() {
    let settings = Settings { use_kubelet: true, ..Settings::default() };
    let list = format!(r#"{{"items":[{{"metadata":{{"name":"other","namespace":"kube-system"}}}},{ETCD}]}}"#);
    assert_eq!(Scene::new(&list, settings).record("etcd"), record(ETCD));
    let log = format!("etcd-docker-desktop_kube-system_etcd-{IDENTIFIER}.log");
    assert!(Scene::new(ETCD, settings).filter.record(&log).unwrap_err().to_string().contains("crashes"));
}

#[test]
fn owners_and_namespaces_are_told_where_they_are_asked_for() {
    let settings = Settings { owner_references: true, ..Settings::default() };
    let mut scene = Scene::new(ETCD, settings);
    assert_eq!(scene.record("etcd").unwrap()["ownerReferences"], json!([{"kind": "Node"}]));
    assert_eq!(scene.filter.namespace("shop"), None);
    std::fs::write(scene.folder.path().join("shop.namespace_meta"), r#"{"metadata":{"labels":{"team":"x"}}}"#).unwrap();
    assert_eq!(scene.filter.namespace("shop"), Some(json!({"name": "shop", "labels": {"team": "x"}})));
}
