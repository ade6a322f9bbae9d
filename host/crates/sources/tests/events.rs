//! Kubernetes Events, against the test kit's API server and a real one.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::unique;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sluicebox_contract::Class;
use sluicebox_sources::kubernetes::events::{About, Events, Report};
use sluicebox_sources::kubernetes::{Api, Config, TokenRetrieval};
use sluicebox_testkit::api_server::{ApiServer, Kind, RequestFault, RequestFaultKind};
use sluicebox_testkit::servers::{KubeApiServer, Need, kubectl, pod, require};
use tokio::sync::OnceCell;

/// One for all tests of this program: it takes seconds to start. Its process ends with ours.
static REAL: OnceCell<KubeApiServer> = OnceCell::const_new();

async fn real() -> Option<&'static KubeApiServer> {
    if !require(Need::KubeApiServer) {
        return None;
    }
    Some(REAL.get_or_init(|| async { KubeApiServer::start().await.expect("it starts") }).await)
}

async fn fake() -> ApiServer {
    ApiServer::start().await.expect("it starts")
}

async fn events_at(server: &ApiServer, about: About) -> Events {
    let config = Config { url: Some(server.url()), ..Config::default() };
    Events::new(Api::connect(&config).await.expect("a way to the API server"), about)
}

async fn events_as(server: &KubeApiServer, token: &str, about: About) -> Events {
    let folder = tempfile::tempdir().expect("a folder").keep();
    std::fs::write(folder.join("token"), token).expect("the token");
    let config = Config {
        url: Some(server.url()),
        ca_file: Some(server.certificate_authority()),
        token_retrieval: TokenRetrieval::File(folder.join("token")),
        ..Config::default()
    };
    Events::new(Api::connect(&config).await.expect("a way to the API server"), about)
}

fn about_pod(namespace: &str, name: &str, uid: &str) -> About {
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    About::Pod { node: "n1".to_owned(), namespace, name, uid: Some(uid.to_owned()) }
}

fn about_node(name: &str) -> About {
    About::Node { name: name.to_owned() }
}

fn report(message: &str) -> Report {
    Report { reason: "ModuleReloadFailed", message: message.to_owned(), warning: true }
}

/// What the real server has about an object.
async fn listed(server: &KubeApiServer, namespace: &str, name: &str) -> Vec<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3D{name}");
    let list = server.request(Method::GET, &path, None).await.expect("a list");
    list["items"].as_array().expect("items").clone()
}

fn break_requests(server: &ApiServer, times: u32, kind: RequestFaultKind) {
    server.fail(RequestFault { watches: None, times, kind });
}

fn methods(server: &ApiServer) -> Vec<String> {
    server.requests().into_iter().map(|request| request.method).collect()
}

/// Takes out what is never the same, once it is seen to have the right form.
fn settled(mut event: Value, object: &str) -> Value {
    let number =
        event["metadata"]["name"].as_str().and_then(|name| name.strip_prefix(object)?.strip_prefix('.')?.to_owned().into());
    assert!(number.is_some_and(|number| number.len() == 16), "{event:#}");
    for field in ["firstTimestamp", "lastTimestamp"] {
        let time = event[field].as_str().expect("a time");
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
        event[field] = "some time".into();
    }
    let metadata = event["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|field, _| field == "namespace");
    for field in ["kind", "apiVersion"] {
        event.as_object_mut().expect("an event").remove(field);
    }
    // The real server writes down what is not set.
    event.as_object_mut().expect("an event").retain(|_, value| !value.is_null());
    event
}

fn expected(namespace: &str, object: &Value, instance: &str, host: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace},
        "involvedObject": object,
        "reason": "ModuleReloadFailed",
        "message": "module `shape`: it does not load",
        "type": "Warning",
        "source": {"component": "sluicebox", "host": host},
        "firstTimestamp": "some time",
        "lastTimestamp": "some time",
        "count": 1,
        "reportingComponent": "sluicebox",
        "reportingInstance": instance,
    })
}

fn expected_of_pod(namespace: &str, name: &str, uid: &str) -> Value {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid});
    expected(namespace, &object, name, "n1")
}

fn expected_of_node(name: &str) -> Value {
    expected("default", &json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": name}), name, name)
}

#[tokio::test]
async fn an_event_is_posted_about_the_pod_or_the_node() {
    let server = fake().await;
    let words = report("module `shape`: it does not load");
    events_at(&server, about_pod("shop", "a-1", "u1")).await.post(&words).await.expect("it is posted");
    events_at(&server, about_node("n1")).await.post(&words).await.expect("it is posted");
    let events = server.events();
    assert_eq!(events.len(), 2);
    assert_eq!(settled(events[0].clone(), "n1"), expected_of_node("n1"));
    assert_eq!(settled(events[1].clone(), "a-1"), expected_of_pod("shop", "a-1", "u1"));
}

#[tokio::test]
async fn a_real_server_takes_an_event_about_the_pod_or_the_node() {
    let Some(server) = real().await else {
        return;
    };
    let (space, node) = (unique("space"), unique("node"));
    server.create_namespace(&space).await.expect("a namespace");
    let words = report("module `shape`: it does not load");
    let token = server.admin_token();
    events_as(server, token, about_pod(&space, "a-1", "u1")).await.post(&words).await.expect("it is posted");
    events_as(server, token, about_node(&node)).await.post(&words).await.expect("it is posted");
    let (of_pod, of_node) = (listed(server, &space, "a-1").await, listed(server, "default", &node).await);
    assert_eq!((of_pod.len(), of_node.len()), (1, 1));
    assert_eq!(settled(of_pod[0].clone(), "a-1"), expected_of_pod(&space, "a-1", "u1"));
    assert_eq!(settled(of_node[0].clone(), &node), expected_of_node(&node));
}

/// What all of this is for.
#[tokio::test]
async fn kubectl_shows_the_events_of_a_pod_and_a_node() {
    if !require(Need::Kubectl) {
        return;
    }
    let Some(server) = real().await else {
        return;
    };
    let (space, node) = (unique("space"), unique("node"));
    server.create_namespace(&space).await.expect("a namespace");
    let body = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
    server.request(Method::POST, "/api/v1/nodes", Some(&body)).await.expect("a node");
    let created = server.create_pod(&pod(&space, "a", &node)).await.expect("a pod");
    let uid = created["metadata"]["uid"].as_str().expect("a uid");
    let token = server.admin_token();
    let of_pod = events_as(server, token, about_pod(&space, "a", uid)).await;
    of_pod.post(&report("the old version goes on")).await.expect("it is posted");
    of_pod.post(&report("the old version goes on")).await.expect("it is counted");
    let calm = Report { reason: "ModuleReloaded", message: "version 2 runs".to_owned(), warning: false };
    events_as(server, token, about_node(&node)).await.post(&calm).await.expect("it is posted");

    let config = server.kube_config(token).expect("a kubeconfig");
    let shown = shown(&config, &["describe", "pod", "a", "--namespace", &space]);
    let line = shown.lines().find(|line| line.contains("ModuleReloadFailed")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("Warning") && line.contains("(x2 over ") && line.contains("sluicebox"), "{line}");
    assert!(line.ends_with("the old version goes on"), "{line}");
    let shown = self::shown(&config, &["describe", "node", &node]);
    let line = shown.lines().find(|line| line.contains("ModuleReloaded")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("Normal") && line.ends_with("version 2 runs"), "{line}");
    let shown = self::shown(&config, &["get", "events", "--namespace", &space]);
    assert!(shown.contains("pod/a") && shown.contains("the old version goes on"), "{shown}");
}

fn shown(config: &Path, arguments: &[&str]) -> String {
    let program = kubectl().expect("a kubectl");
    let output = Command::new(program).arg("--kubeconfig").arg(config).args(arguments).output().expect("kubectl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_real_server_takes_the_longest_message_and_the_longest_name() {
    let Some(server) = real().await else {
        return;
    };
    let node = format!("{}-{}", unique("long"), "a".repeat(253));
    let node = &node[..253];
    let message = format!("line 1\nline 2: {}", "ü\u{1b}".repeat(2000));
    events_as(server, server.admin_token(), about_node(node)).await.post(&report(&message)).await.expect("it is posted");
    let events = listed(server, "default", node).await;
    let kept = events[0]["message"].as_str().expect("a message");
    assert!(kept.starts_with(r"line 1\nline 2: ü\u{1b}ü") && kept.ends_with('…'), "{kept}");
    assert!((1010..=1024).contains(&kept.len()), "{}", kept.len());
}

#[tokio::test]
async fn the_same_again_counts_up_the_event_that_is_there() {
    let server = fake().await;
    let events = events_at(&server, about_pod("shop", "a", "u1")).await;
    for message in ["one", "two", "one", "one"] {
        events.post(&report(message)).await.expect("it is posted");
    }
    assert_eq!(methods(&server), ["POST", "POST", "PATCH", "PATCH"]);
    let counts: Vec<_> = server.events().iter().map(|event| (event["message"].clone(), event["count"].clone())).collect();
    assert_eq!(counts, [(json!("one"), json!(3)), (json!("two"), json!(1))]);
}

#[tokio::test]
async fn an_event_that_was_deleted_is_posted_anew() {
    let server = fake().await;
    let events = events_at(&server, about_node("n1")).await;
    events.post(&report("one")).await.expect("it is posted");
    let name = server.events()[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    server.delete(Kind::Events, "default", &name).expect("it is deleted");
    events.post(&report("one")).await.expect("it is posted anew");
    assert_eq!(methods(&server), ["POST", "PATCH", "POST"]);
    let now = server.events();
    assert_eq!((now.len(), &now[0]["count"]), (1, &json!(1)));
    assert_ne!(now[0]["metadata"]["name"], name);
}

#[tokio::test]
async fn the_hint_names_the_right_that_is_missing() {
    let server = fake().await;
    let events = events_at(&server, about_pod("shop", "a", "u1")).await;
    break_requests(&server, 1, RequestFaultKind::Status(403, None));
    let fault = events.post(&report("one")).await.expect_err("it is refused");
    assert_eq!(fault.class, Class::Retry, "rights may be given later");
    assert!(fault.tried.starts_with("cannot create events in the namespace `shop` at http://"), "{fault}");
    let hint = fault.hint.expect("a hint");
    for words in ["namespace `shop`", "`create`", "`patch`", "`events`"] {
        assert!(hint.contains(words), "{hint}");
    }
    events.post(&report("one")).await.expect("it is posted");
    break_requests(&server, 1, RequestFaultKind::Status(403, None));
    let fault = events.post(&report("one")).await.expect_err("it is refused");
    assert!(fault.tried.starts_with("cannot patch events") && fault.hint.is_some(), "{fault}");
    events.post(&report("one")).await.expect("it is counted");
    assert_eq!(server.events()[0]["count"], 2, "what was refused is not counted twice");
}

#[tokio::test]
async fn a_real_server_says_which_right_is_missing_and_two_verbs_are_enough() {
    let Some(server) = real().await else {
        return;
    };
    let space = unique("space");
    server.create_namespace(&space).await.expect("a namespace");
    server.create_service_account(&space, "collector").await.expect("an account");
    let token = server.mint_token(&space, "collector").await.expect("a token");
    let events = events_as(server, &token, about_pod(&space, "a", "u1")).await;
    let fault = events.post(&report("one")).await.expect_err("it is refused");
    assert!(fault.cause.contains("403") && fault.cause.contains("cannot create resource \"events\""), "{fault}");
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains(&format!("namespace `{space}`"))), "{fault}");

    let version = "rbac.authorization.k8s.io/v1";
    let path = |kind: &str| format!("/apis/{version}/namespaces/{space}/{kind}");
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]);
    let role = json!({"apiVersion": version, "kind": "Role", "metadata": {"name": "events"}, "rules": rules});
    server.request(Method::POST, &path("roles"), Some(&role)).await.expect("a role");
    let binding = json!({
        "apiVersion": version,
        "kind": "RoleBinding",
        "metadata": {"name": "events"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "events"},
        "subjects": [{"kind": "ServiceAccount", "namespace": space, "name": "collector"}],
    });
    server.request(Method::POST, &path("rolebindings"), Some(&binding)).await.expect("a binding");
    let about = about_pod(&space, "a", "u1");
    let begun = Instant::now();
    // The server learns of a role a moment later. Each try has a pace of its own.
    let events = loop {
        let events = events_as(server, &token, about.clone()).await;
        match events.post(&report("one")).await {
            Ok(()) => break events,
            Err(fault) => assert!(begun.elapsed() < Duration::from_mins(1), "{fault}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    events.post(&report("one")).await.expect("it is counted");
    let listed = listed(server, &space, "a").await;
    assert_eq!((listed.len(), &listed[0]["count"]), (1, &json!(2)));
    assert_eq!(server.status_for(&token, &path("roles")).await.expect("an answer"), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_no_longer_than_five_seconds() {
    let server = fake().await;
    let events = events_at(&server, about_node("n1")).await;
    break_requests(&server, 1, RequestFaultKind::Hang);
    let begun = Instant::now();
    let fault = events.post(&report("one")).await.expect_err("it takes too long");
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(20)).contains(&took), "{took:?}");
    assert_eq!((fault.class, fault.cause.as_str()), (Class::Retry, "no answer within 5 seconds"));
    assert_eq!(server.requests().len(), 1, "it is not tried again by itself");
    events.post(&report("one")).await.expect("it is posted");
}

#[tokio::test]
async fn a_server_that_is_away_is_a_fault_to_try_again_and_a_final_refusal_is_not() {
    let server = fake().await;
    let events = events_at(&server, about_node("n1")).await;
    for (code, class) in [(422, Class::Skip), (404, Class::Skip), (401, Class::Retry), (429, Class::Retry), (500, Class::Retry)] {
        break_requests(&server, 1, RequestFaultKind::Status(code, None));
        let fault = events.post(&report("one")).await.expect_err("it is refused");
        assert_eq!((fault.class, fault.hint), (class, None), "{code}");
    }
    server.pause().await.expect("it pauses");
    assert_eq!(events.post(&report("one")).await.expect_err("nobody is there").class, Class::Retry);
    server.resume().await.expect("it goes on");
    events.post(&report("one")).await.expect("it is posted");
    assert_eq!(server.events()[0]["count"], 1);
}

#[tokio::test]
async fn an_answer_of_any_length_is_borne() {
    let server = fake().await;
    let events = events_at(&server, about_node("n1")).await;
    for text in ["x".repeat(4 << 20), String::new()] {
        break_requests(&server, 1, RequestFaultKind::Body(text));
        events.post(&report("one")).await.expect("it was taken");
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn what_is_above_the_pace_is_left_out_and_counted() {
    let server = fake().await;
    let events = events_at(&server, about_node("n1")).await;
    let begun = Instant::now();
    for number in 0..50 {
        events.post(&report(&format!("number {number}"))).await.expect("left out is no fault");
    }
    let most = 10 + begun.elapsed().as_secs() / 10 + 1;
    let posted = u64::try_from(server.events().len()).expect("a few");
    assert!((10..=most).contains(&posted), "{posted} of at most {most}");
    assert_eq!(events.left_out(), 50 - posted);
    assert_eq!(server.requests().len(), server.events().len());
}

/// Callers run it in tasks of their own.
#[tokio::test]
async fn several_post_at_once() {
    fn is_send<T: Send>(task: T) -> T {
        task
    }
    let server = fake().await;
    let events = events_at(&server, about_node("n1")).await;
    let reports: Vec<_> = (0..5).map(|number| report(&format!("number {number}"))).collect();
    let posts = reports.iter().map(|report| is_send(events.post(report)));
    assert!(futures::future::join_all(posts).await.iter().all(Result::is_ok));
    assert_eq!(server.events().len(), 5);
}
