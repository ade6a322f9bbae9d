//! The fake API server over HTTP, as kubectl and watchers see it.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

use std::time::Duration;

use serde_json::{Value, json};
use sluicebox_testkit::api_server::{ApiServer, Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a request; what comes until the end, or for a while, is read.
async fn ask(server: &ApiServer, method: &str, path: &str, body: &str) -> String {
    let address = server.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    let _over = tokio::time::timeout(Duration::from_millis(400), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status and the JSON of an answer.
async fn json(server: &ApiServer, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(server, method, path, &body).await;
    let code = answer.get(9..12).expect("a status line").parse().expect("a status");
    let (_, text) = answer.split_once("\r\n\r\n").expect("a body");
    (code, serde_json::from_str(text).expect("JSON"))
}

#[tokio::test]
async fn objects_are_created_changed_and_deleted_by_http() {
    let server = ApiServer::start().await.expect("it starts");
    let pods = "/api/v1/namespaces/shop/pods";
    let body = json!({"spec": {"zeta": 1, "nodeName": "n1", "alpha": [1.5]}, "metadata": {"name": "a"}});
    let (code, created) = json(&server, "POST", pods, body.clone()).await;
    assert_eq!((code, &created["metadata"]["namespace"], &created["status"]["phase"]), (201, &json!("shop"), &json!("Pending")));
    assert!(
        created
            .to_string()
            .starts_with(r#"{"kind":"Pod","apiVersion":"v1","spec":{"zeta":1,"nodeName":"n1","alpha":[1.5]},"metadata":{"#)
    );
    assert_eq!(json(&server, "POST", pods, body.clone()).await.0, 409);

    let a = "/api/v1/namespaces/shop/pods/a";
    let (code, patched) = json(&server, "PATCH", &format!("{a}/status"), json!({"status": {"phase": "Running"}})).await;
    assert_eq!((code, &patched["status"]["phase"]), (200, &json!("Running")));
    assert_eq!(json(&server, "PUT", a, created).await.0, 409, "the version is an old one");
    let (code, dying) = json(&server, "DELETE", a, Value::Null).await;
    assert_eq!((code, &dying["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(30)));
    assert_eq!(json(&server, "GET", a, Value::Null).await.0, 200);
    assert_eq!(json(&server, "DELETE", a, json!({"gracePeriodSeconds": 0})).await.0, 200);
    let (code, status) = json(&server, "GET", a, Value::Null).await;
    assert_eq!((code, &status["reason"]), (404, &json!("NotFound")));
}

#[tokio::test]
async fn lists_come_in_pages_of_one_version() {
    let server = ApiServer::start().await.expect("it starts");
    for name in ["c", "a", "b"] {
        server.create_pod(json!({"metadata": {"name": name}, "spec": {"nodeName": "n1"}})).expect("it is created");
    }
    server.create_pod(json!({"metadata": {"name": "far"}, "spec": {"nodeName": "n2"}})).expect("it is created");
    let path = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=2";
    let (_, first) = json(&server, "GET", path, Value::Null).await;
    let names = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first["items"][0].get("kind").is_none());
    server.delete_pod("default", "c").expect("it is deleted");
    let token = first["metadata"]["continue"].as_str().expect("a token").replace(' ', "%20");
    let (_, second) = json(&server, "GET", &format!("{path}&continue={token}"), Value::Null).await;
    assert_eq!(
        (names(&second), &second["metadata"]["resourceVersion"]),
        (vec!["c".to_owned()], &first["metadata"]["resourceVersion"])
    );
    server.compact();
    let (code, status) = json(&server, "GET", &format!("{path}&continue={token}"), Value::Null).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn a_watch_goes_on_from_a_version_until_it_has_gone() {
    let server = ApiServer::start().await.expect("it starts");
    let pod = |name: &str, node: &str| json!({"metadata": {"name": name}, "spec": {"nodeName": node}});
    let first = server.create_pod(pod("a", "n1")).expect("it is created");
    let version = first["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
    server.create_pod(pod("far", "n2")).expect("it is created");
    server.create_pod(pod("waits", "")).expect("it is created");
    server.patch(Kind::Pods, "default", "waits", &json!({"spec": {"nodeName": "n1"}})).expect("it is scheduled");
    server.delete_pod("default", "a").expect("it is deleted");
    let path = format!("/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn1&resourceVersion={version}");
    let answer = ask(&server, "GET", &path, "").await;
    let seen: Vec<(&str, &str)> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("{\"type\":\""))
        .map(|line| (line.split('"').next().unwrap_or_default(), if line.contains("\"name\":\"a\"") { "a" } else { "waits" }))
        .collect();
    assert_eq!(seen, [("ADDED", "waits"), ("MODIFIED", "a"), ("DELETED", "a")]);
    server.compact();
    let answer = ask(&server, "GET", &path, "").await;
    assert!(answer.contains(r#"{"type":"ERROR""#) && answer.contains(r#""code":410"#), "{answer}");
    let answer = ask(&server, "GET", "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn1", "").await;
    assert!(answer.contains(r#"{"type":"ADDED""#), "what is there comes first: {answer}");
}

/// The most memory that this process has had, in MiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// A list in pages costs its objects once, and the history does not grow without end: who is too far behind is told so.
#[tokio::test]
async fn fifty_thousand_pods_are_borne() {
    let server = ApiServer::start().await.expect("it starts");
    let name = |number: usize| format!("pod-{number:05}");
    let mut version = String::new();
    for number in 0..50_000 {
        let pod = json!({"metadata": {"name": name(number)}, "spec": {"nodeName": "n1"}});
        let pod = server.create_pod(pod).expect("it is created");
        if number % 10_000 == 0 {
            pod["metadata"]["resourceVersion"].as_str().expect("a version").clone_into(&mut version);
        }
    }
    let (mut token, mut pages, mut pods) = (String::new(), 0, 0);
    while pages == 0 || !token.is_empty() {
        let (_, page) = json(&server, "GET", &format!("/api/v1/pods?limit=500&continue={token}"), Value::Null).await;
        token = page["metadata"]["continue"].as_str().unwrap_or_default().replace(' ', "%20");
        pods += page["items"].as_array().expect("items").len();
        pages += 1;
    }
    assert_eq!((pages, pods), (100, 50_000));
    // A reader that does not keep up holds nothing back.
    let address = server.url().trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).await.expect("a connection");
    let path = format!("/api/v1/pods?watch=true&resourceVersion={version}");
    slow.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.expect("it is sent");
    for phase in ["Running", "Succeeded"] {
        for number in 0..50_000 {
            server.patch_status("default", &name(number), &json!({"phase": phase})).expect("it is patched");
            if number % 1000 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    let answer = ask(&server, "GET", &path, "").await;
    assert!(answer.contains(r#""code":410"#), "the version has gone: {answer}");
    let memory = most_memory();
    assert!(memory < 800, "{memory} MiB");
}

#[tokio::test]
async fn events_are_posted_where_their_object_lives_and_selected_by_it() {
    let server = ApiServer::start().await.expect("it starts");
    let event = |name: &str, object: Value| json!({"metadata": {"name": name}, "involvedObject": object, "reason": "Tested"});
    let of_pod = json!({"kind": "Pod", "namespace": "shop", "name": "a"});
    let shop = "/api/v1/namespaces/shop/events";
    assert_eq!(json(&server, "POST", shop, event("a.1", of_pod.clone())).await.0, 201);
    assert_eq!(json(&server, "POST", "/api/v1/namespaces/default/events", event("a.2", of_pod)).await.0, 422);
    let of_node = json!({"kind": "Node", "name": "n1"});
    assert_eq!(json(&server, "POST", "/api/v1/namespaces/default/events", event("n1.1", of_node.clone())).await.0, 201);
    assert_eq!(json(&server, "POST", shop, event("n1.2", of_node)).await.0, 422);
    let names: Vec<_> = server.events().iter().map(|event| event["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["n1.1", "a.1"]);

    let (_, list) = json(&server, "GET", "/api/v1/events?fieldSelector=involvedObject.name%3Da", Value::Null).await;
    assert_eq!((&list["kind"], list["items"].as_array().map(Vec::len)), (&json!("EventList"), Some(1)));
    assert_eq!(json(&server, "GET", "/api/v1/pods?fieldSelector=involvedObject.name%3Da", Value::Null).await.0, 400);
    let (code, patched) = json(&server, "PATCH", &format!("{shop}/a.1"), json!({"count": 2})).await;
    assert_eq!((code, &patched["count"], &patched["reason"]), (200, &json!(2), &json!("Tested")));
}
