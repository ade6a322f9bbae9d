//! Who controls pods, as the test kit's API server and a real one tell.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluicebox_testkit::api_server::{ApiServer, Kind, RequestFault, RequestFaultKind};
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use tokio::time::timeout;

use super::*;
use crate::kubernetes::{Config, TokenRetrieval};
use crate::pods::convert;

/// A `Deployment`, its `ReplicaSet`, and what asks for them.
struct Scene {
    server: ApiServer,
    owners: Owners,
    set: Value,
}

fn reference(api_version: &str, kind: &str, owner: &Value) -> Value {
    let metadata = &owner["metadata"];
    json!([{"apiVersion": api_version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true}])
}

fn pod(owners: &Value) -> Pod {
    let json = json!({"metadata": {"name": "web-1-x", "namespace": "shop", "uid": "pod", "ownerReferences": owners}});
    convert::pod(&json.to_string()).unwrap()
}

impl Scene {
    async fn new() -> Self {
        Self::remembering(GOOD_FOR).await
    }

    async fn remembering(good_for: Duration) -> Self {
        let server = ApiServer::start().await.unwrap();
        let deployment = server.create(Kind::Deployments, json!({"metadata": {"name": "web", "namespace": "shop"}})).unwrap();
        let metadata =
            json!({"name": "web-1", "namespace": "shop", "ownerReferences": reference("apps/v1", "Deployment", &deployment)});
        let set = server.create(Kind::ReplicaSets, json!({ "metadata": metadata })).unwrap();
        let config = Config { url: Some(server.url()), ..Config::default() };
        let owners = Owners::remembering(Api::connect(&config).await.unwrap(), good_for);
        Self { server, owners, set }
    }

    fn pod(&self) -> Pod {
        pod(&reference("apps/v1", "ReplicaSet", &self.set))
    }

    fn paths(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|request| request.path).collect()
    }

    fn fail(&self, kind: RequestFaultKind, times: u32) {
        self.server.fail(RequestFault { watches: Some(false), times, kind });
    }
}

fn names(owners: &[Workload]) -> Vec<String> {
    owners.iter().map(|owner| format!("{} {} {}", owner.api_version, owner.kind, owner.name)).collect()
}

const BOTH: [&str; 2] = ["apps/v1 ReplicaSet web-1", "apps/v1 Deployment web"];

#[tokio::test]
async fn each_step_up_is_one_question_and_is_asked_once() {
    let scene = Scene::new().await;
    let pod = scene.pod();
    let before = scene.owners.known(&pod);
    assert_eq!((names(&before.owners), before.is_complete), (vec![BOTH[0].to_owned()], false));
    // A hundred pods of one Deployment come at once.
    let all = futures::future::join_all((0..100).map(|_| scene.owners.resolve(&pod))).await;
    assert!(all.iter().all(|owners| names(owners) == BOTH));
    let known = scene.owners.known(&pod);
    assert_eq!((names(&known.owners), known.is_complete), (BOTH.map(str::to_owned).to_vec(), true));
    assert_eq!(
        scene.paths(),
        ["/apis/apps/v1", "/apis/apps/v1/namespaces/shop/replicasets/web-1", "/apis/apps/v1/namespaces/shop/deployments/web"]
    );
}

#[tokio::test]
async fn nobody_is_asked_about_a_pod_of_nobody_nor_about_a_node() {
    let scene = Scene::new().await;
    assert_eq!(scene.owners.resolve(&pod(&json!([]))).await, []);
    let node = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n", "controller": true}]);
    assert_eq!(names(&scene.owners.resolve(&pod(&node)).await), ["v1 Node n1"]);
    // One that owns without controlling is no controller.
    let other = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u"}]);
    assert_eq!(scene.owners.known(&pod(&other)), Known { owners: Vec::new(), is_complete: true, is_refused: false });
    assert_eq!(scene.paths(), [""; 0]);
}

#[tokio::test]
async fn whoever_has_gone_or_is_another_has_nobody_above() {
    let scene = Scene::new().await;
    let mut other = scene.set.clone();
    other["metadata"]["uid"] = json!("another");
    let of_another = pod(&reference("apps/v1", "ReplicaSet", &other));
    assert_eq!(names(&scene.owners.resolve(&of_another).await), [BOTH[0]]);
    scene.server.delete(Kind::Deployments, "shop", "web").unwrap();
    assert_eq!(names(&scene.owners.resolve(&scene.pod()).await), BOTH);
    assert!(scene.owners.known(&scene.pod()).is_complete);
    // A kind that nobody has heard of, and a group.
    for (api_version, kind) in [("apps/v1", "Splendour"), ("example.com/v1", "Thing"), ("../v1", "Secret"), ("", "Thing")] {
        let owners =
            scene.owners.resolve(&pod(&reference(api_version, kind, &json!({"metadata": {"name": "a", "uid": kind}})))).await;
        assert_eq!(owners.len(), 1, "{api_version} {kind}");
    }
}

#[tokio::test]
async fn whoever_owns_itself_is_told_once() {
    let scene = Scene::new().await;
    let set = &scene.set["metadata"];
    let itself = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": set["uid"], "controller": true}]);
    scene.server.patch(Kind::ReplicaSets, "shop", "web-1", &json!({"metadata": {"ownerReferences": itself}})).unwrap();
    assert_eq!(names(&scene.owners.resolve(&scene.pod()).await), [BOTH[0]]);
}

#[tokio::test]
async fn where_it_may_not_be_known_the_answer_ends() {
    let scene = Scene::new().await;
    scene.fail(RequestFaultKind::Status(403, None), 1);
    assert_eq!(names(&scene.owners.resolve(&scene.pod()).await), [BOTH[0]]);
    // It is not asked again soon.
    scene.server.forget_requests();
    assert_eq!(names(&scene.owners.resolve(&scene.pod()).await), [BOTH[0]]);
    assert!(scene.owners.known(&scene.pod()).is_complete && scene.paths().is_empty());
}

#[tokio::test]
async fn what_was_refused_is_asked_again_much_later() {
    let scene = Scene::remembering(Duration::from_millis(300)).await;
    scene.fail(RequestFaultKind::Status(403, None), 1);
    scene.owners.resolve(&scene.pod()).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!scene.owners.known(&scene.pod()).is_complete);
    assert_eq!(names(&scene.owners.resolve(&scene.pod()).await), BOTH);
}

#[tokio::test]
async fn what_was_known_is_told_while_it_is_asked_again() {
    let scene = Scene::remembering(Duration::from_millis(300)).await;
    scene.owners.resolve(&scene.pod()).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    scene.server.pause().await.unwrap();
    let pod = scene.pod();
    assert!(timeout(Duration::from_millis(200), scene.owners.resolve(&pod)).await.is_err());
    let known = scene.owners.known(&pod);
    assert_eq!((names(&known.owners), known.is_complete), (BOTH.map(str::to_owned).to_vec(), false));
}

#[tokio::test]
async fn an_api_that_is_away_is_asked_until_it_is_back() {
    let scene = Scene::new().await;
    scene.server.pause().await.unwrap();
    let pod = scene.pod();
    // Whoever gives up loses nothing for the others.
    assert!(timeout(Duration::from_millis(100), scene.owners.resolve(&pod)).await.is_err());
    let back = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        scene.server.resume().await.unwrap();
    };
    let (owners, ()) = futures::join!(scene.owners.resolve(&pod), back);
    assert_eq!(names(&owners), BOTH);
}

#[tokio::test]
async fn an_answer_that_is_none_is_asked_for_again() {
    let scene = Scene::new().await;
    scene.fail(RequestFaultKind::Body("<html>".to_owned()), 1);
    assert_eq!(names(&scene.owners.resolve(&scene.pod()).await), BOTH);
}

/// Makes objects at a real server, each controlled by the one before; a kind of its own on top.
async fn real_objects(server: &KubeApiServer) -> Value {
    let path = |group: &str, plural: &str| format!("/apis/{group}/namespaces/default/{plural}");
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "rollouts", "kind": "Rollout"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    server.request(Method::POST, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Some(&definition)).await.unwrap();
    let rollout = json!({"apiVersion": "example.com/v1", "kind": "Rollout", "metadata": {"name": "web"}});
    // The server serves a new kind after a while.
    let rollout = loop {
        match server.request(Method::POST, &path("example.com/v1", "rollouts"), Some(&rollout)).await {
            Ok(rollout) => break rollout,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let owned = |name: &str, owner: Value| json!({"name": name, "ownerReferences": owner});
    let spec = json!({"selector": {"matchLabels": labels}, "template": template});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": owned("web", reference("example.com/v1", "Rollout", &rollout)), "spec": spec});
    let deployment = server.request(Method::POST, &path("apps/v1", "deployments"), Some(&deployment)).await.unwrap();
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": owned("web-1", reference("apps/v1", "Deployment", &deployment)), "spec": spec});
    server.request(Method::POST, &path("apps/v1", "replicasets"), Some(&set)).await.unwrap()
}

async fn real_owners(server: &KubeApiServer, token: &str) -> Owners {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("token"), token).unwrap();
    let config = Config {
        url: Some(server.url()),
        ca_file: Some(server.certificate_authority()),
        token_retrieval: TokenRetrieval::File(folder.join("token")),
        ..Config::default()
    };
    Owners::new(Api::connect(&config).await.unwrap())
}

#[tokio::test]
async fn a_real_api_server_tells_who_controls_whom() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let server = KubeApiServer::start().await.unwrap();
    let set = real_objects(&server).await;
    let json = json!({"metadata": {"name": "p", "namespace": "default", "uid": "pod", "ownerReferences": reference("apps/v1", "ReplicaSet", &set)}});
    let pod = convert::pod(&json.to_string()).unwrap();
    let known = real_owners(&server, server.admin_token()).await.resolve(&pod).await;
    assert_eq!(names(&known), ["apps/v1 ReplicaSet web-1", "apps/v1 Deployment web", "example.com/v1 Rollout web"]);
    // Whoever has no rights is told what the pod itself says.
    let known = real_owners(&server, server.unprivileged_token()).await.resolve(&pod).await;
    assert_eq!(names(&known), ["apps/v1 ReplicaSet web-1"]);
}
