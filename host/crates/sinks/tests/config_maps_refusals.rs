//! Proves what the config-maps sink makes of each refusal of a real API server: what waits loses nothing and goes on when the cause is gone,
//! with the same sink.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod config_maps_cluster;
mod entries;

use std::time::Duration;

use config_maps_cluster::{shared, way, write};
use entries::{document, document_in};
use http::Method;
use serde_json::{Value, json};
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink, TimeSpan};
use sluicebox_kubernetes::{Api, Config as Kubernetes, TokenRetrieval};
use sluicebox_sinks::config_maps::{Config, ConfigMaps};
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const RIGHTS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces";

/// It waits, however often it is tried, and whoever reads it knows what to do.
async fn waits(sink: &mut ConfigMaps, entries: &[Entry], words: &str, cure: &str) -> Fault {
    let mut last = None;
    for _ in 0..2 {
        let Outcome { refused, stopped } = sink.write(entries).await;
        let (index, fault) = stopped.expect("it stops");
        assert_eq!((refused, index, fault.class), (vec![], 0, Class::Retry), "{fault}");
        assert!(fault.cause.contains(words), "{fault}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains(cure)), "{fault}");
        assert!(fault.tried.contains("ConfigMap `") && fault.tried.starts_with("cannot "), "{fault}");
        last = Some(fault);
    }
    last.expect("two tries")
}

/// What the unprivileged user may do with `ConfigMap`s.
async fn grant(server: &KubeApiServer, namespace: &str, verbs: &[&str]) {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
        "subjects": [{"kind": "User", "name": "nobody"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}});
    let path = format!("{RIGHTS}/{namespace}");
    // Both are made where they are not there yet.
    for (kind, body) in [("roles", role), ("rolebindings", binding)] {
        server.request(Method::PUT, &format!("{path}/{kind}/r"), Some(&body)).await.expect("it is taken");
    }
    // Rights are looked up in a cache.
    sleep(SECOND).await;
}

#[tokio::test]
async fn a_token_that_is_not_known_any_more_is_waited_for_until_the_file_holds_a_good_one() {
    let Some(namespace) = shared("token").await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, namespace.server.admin_token()).expect("the token");
    let reach = Kubernetes { token_retrieval: TokenRetrieval::File(file.clone()), ..way(&namespace.server, "") };
    let mut sink = ConfigMaps::new("edges".into(), &namespace.config(), "n1", Api::connect(&reach).await.expect("a way"));
    write(&mut sink, &[document("a", "1")]).await;
    std::fs::write(&file, "a-token-that-nobody-knows").expect("the token");
    // The old one is good until it is looked at again; a new way begins with what the file has.
    let mut sink = ConfigMaps::new("edges".into(), &namespace.config(), "n1", Api::connect(&reach).await.expect("a way"));
    let entries = [document("a", "2"), document("b", "2")];
    let fault = waits(&mut sink, &entries, "the API answers 401: Unauthorized", "`kubernetes.token-retrieval`").await;
    assert!(!fault.to_string().contains("nobody-knows"), "{fault}");
    std::fs::write(&file, namespace.server.admin_token()).expect("the token");
    let mut tries = 0;
    while sink.write(&entries).await.stopped.is_some() {
        tries += 1;
        assert!(tries < 3, "the token is not read again");
    }
    assert_eq!(namespace.data("m").await, "a=2 b=2");
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_waited_for() {
    let Some(namespace) = shared("taken").await else { return };
    grant(&namespace.server, "taken", &["get", "create", "patch"]).await;
    let mut sink = namespace.sink_as(namespace.server.unprivileged_token(), "n1", &namespace.config()).await;
    write(&mut sink, &[document("a", "1")]).await;
    grant(&namespace.server, "taken", &["get"]).await;
    let entries = [document("a", "2"), document("b", "2")];
    waits(&mut sink, &entries, "the API answers 403: configmaps \"m\" is forbidden", "the verb `patch`").await;
    grant(&namespace.server, "taken", &["get", "create", "patch"]).await;
    write(&mut sink, &entries).await;
    assert_eq!(namespace.data("m").await, "a=2 b=2");
}

#[tokio::test]
async fn a_quota_of_the_namespace_is_waited_for_and_one_map_over_it_holds_up_no_value_of_another() {
    let Some(namespace) = shared("quota").await else { return };
    let path = "/api/v1/namespaces/quota/resourcequotas";
    let ask =
        async |method, path: &str, body: Value| namespace.server.request(method, path, Some(&body)).await.expect("an answer");
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}});
    ask(Method::POST, path, quota).await;
    // Nobody counts here.
    let counted = json!({"status": {"hard": {"configmaps": "0"}, "used": {"configmaps": "0"}}});
    ask(Method::PATCH, &format!("{path}/q/status"), counted).await;
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    let entries = [document("a", "1")];
    waits(&mut sink, &entries, "exceeded quota: q", "see its ResourceQuota").await;
    namespace.server.request(Method::DELETE, &format!("{path}/q"), None).await.expect("it is deleted");
    let begun = Instant::now();
    // The server remembers the quota for a moment.
    while sink.write(&entries).await.stopped.is_some() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the quota stays");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(namespace.data("m").await, "a=1");
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_named() {
    let Some(namespace) = shared("leaving").await else { return };
    // Nobody ends that here.
    namespace.server.request(Method::DELETE, "/api/v1/namespaces/leaving", None).await.expect("it begins");
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    waits(&mut sink, &[document("a", "1")], "being terminated", "the namespace `leaving` is being deleted").await;
}

#[tokio::test]
async fn what_somebody_else_has_written_meanwhile_is_no_refusal() {
    let Some(namespace) = shared("conflict").await else { return };
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    write(&mut sink, &[document("a", "1")]).await;
    for number in 2..6 {
        // Another value for our key, and a version that we do not know.
        namespace.patch("m", json!({"data": {"a": "theirs", "b": number.to_string()}})).await;
        write(&mut sink, &[document("a", &number.to_string())]).await;
        assert_eq!(namespace.data("m").await, format!("a={number} b={number}"));
    }
}

#[tokio::test]
async fn the_words_of_the_server_for_what_is_too_large_are_those_that_are_known() {
    let Some(namespace) = shared("words").await else { return };
    let refusal = async |bytes: usize| {
        let body =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"a": "x".repeat(bytes)}});
        let error = namespace.server.request(Method::POST, "/api/v1/namespaces/words/configmaps", Some(&body)).await;
        format!("{:#}", error.expect_err("it is refused"))
    };
    let too_long = refusal(1_100_000).await;
    assert!(too_long.contains("422") && too_long.contains("Too long"), "{too_long}");
    // Little more than the server reads, so that it hears us out.
    let too_large = refusal(3 << 20).await;
    assert!(too_large.contains("413") && too_large.contains("Request entity too large"), "{too_large}");
}

#[tokio::test]
async fn a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let options = ["--max-mutating-requests-inflight=1", "--enable-priority-and-fairness=false"];
    let server = KubeApiServer::start_with(&options).await.expect("it starts");
    server.create_namespace("busy").await.expect("it is created");
    grant(&server, "busy", &["get", "create", "patch"]).await;
    let api = Api::connect(&way(&server, server.unprivileged_token())).await.expect("a way");
    let config = Config { namespace: "busy".to_owned(), period: TimeSpan(Duration::from_millis(100)), ..Config::new("m") };
    let mut sink = ConfigMaps::new("edges".into(), &config, "n1", api);
    write(&mut sink, &[document("a", "1")]).await;
    let occupied = server.occupy("/api/v1/namespaces/busy/configmaps").await.expect("it begins");
    sleep(Duration::from_millis(300)).await;
    let entries = [document("a", "2"), document_in("other", "a", "2")];
    let begun = Instant::now();
    waits(&mut sink, &entries, "the API answers 429", "more to do than it can").await;
    // The second try was one second after the first, as the server had asked.
    assert!(begun.elapsed() >= SECOND, "{:?}", begun.elapsed());
    drop(occupied);
    sleep(Duration::from_millis(300)).await;
    // Two at once are one too many still.
    let mut done = 0;
    while let Some((index, fault)) = sink.write(&entries[done..]).await.stopped {
        assert!(begun.elapsed() < Duration::from_mins(1), "{fault}");
        done += index;
    }
    let map = server.request(Method::GET, "/api/v1/namespaces/busy/configmaps/m", None).await.expect("it is there");
    assert_eq!(map["data"], json!({"a": "2"}));
}

#[tokio::test]
async fn a_server_whose_store_hangs_is_waited_for() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let server = KubeApiServer::start_with(&["--request-timeout=4s"]).await.expect("it starts");
    let config = Config { period: TimeSpan(Duration::from_millis(100)), ..Config::new("m") };
    let connected = async |timeout: Duration| {
        let reach = Kubernetes { request_timeout: TimeSpan(timeout), ..way(&server, server.admin_token()) };
        ConfigMaps::new("edges".into(), &config, "n1", Api::connect(&reach).await.expect("a way"))
    };
    let (mut sink, mut patient) = (connected(2 * SECOND).await, connected(20 * SECOND).await);
    write(&mut sink, &[document("a", "1")]).await;
    server.pause_store();
    let entries = [document("a", "2"), document("b", "2")];
    waits(&mut sink, &entries, "no whole answer within 2s", "`kubernetes.request-timeout`").await;
    // Whoever waits longer hears it from the server, which now and then closes the connection in place of an answer.
    let mut fault = None;
    for _ in 0..5 {
        let (_, heard) = patient.write(&[document("a", "2")]).await.stopped.expect("it stops");
        let is_closed = heard.cause.contains("connection closed before message completed");
        fault = Some(heard);
        if !is_closed {
            break;
        }
    }
    let fault = fault.expect("it was tried");
    assert!(fault.cause.starts_with("the API answers 50"), "{fault}");
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("etcd")), "{fault}");
    server.resume_store();
    let begun = Instant::now();
    while sink.write(&entries).await.stopped.is_some() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not go on");
        sleep(Duration::from_millis(200)).await;
    }
    let map = server.request(Method::GET, "/api/v1/namespaces/default/configmaps/m", None).await.expect("it is there");
    assert_eq!(map["data"], json!({"a": "2", "b": "2"}));
}
