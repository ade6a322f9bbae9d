//! Who talks to whom, through the whole program: a tracer's reports and what the API server knows, into a real Redis and into `ConfigMap`s of a
//! real API server, read as the reader of the replaced program reads them.

mod support;

use std::collections::BTreeMap;

use hyper::http::Method;
use serde_json::{Value, json};
use sluicebox_testkit::api_server::{ApiServer, Kind};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{KubeApiServer, Need, RedisOptions, RedisServer, Reply, require};
use sluicebox_testkit::tracer::{Answer, SIX, Tracer};
use support::{PATIENCE, Place, SLOW, until, until_within};

type Documents = BTreeMap<String, String>;

fn node() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "ExternalIP", "address": "8.8.8.8"}, {"type": "InternalIP", "address": "172.31.14.185"}],
            "nodeInfo": {"kernelVersion": "4.14.104", "machineID": "", "systemUUID": "", "bootID": "", "osImage": "", "containerRuntimeVersion": "",
                "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"}},
    })
}

fn service(name: &str, address: &str, port: u16, protocol: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "ClusterIP", "clusterIP": address, "ports": [{"name": "main", "port": port, "protocol": protocol}]},
    })
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "n1", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": format!("k8s.gcr.io/{name}:1.3.1")}]},
    })
}

fn running(address: &str) -> Value {
    json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": "2026-01-01T12:00:00Z"})
}

fn sources(socket: &std::path::Path) -> String {
    format!(
        "sources:\n  pods: {{}}\n  services: {{}}\n  nodes: {{}}\n  tracer: {{socket: {}, period: 200ms}}\n",
        socket.display()
    )
}

async fn hash(redis: &RedisServer, name: &str) -> Documents {
    let Reply::List(items) = redis.command(&["HGETALL", name]).await.unwrap() else { panic!("a hash") };
    let text = |reply: &Reply| match reply {
        Reply::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    items.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

/// What `meta data` made of the two: a key is that of a transaction if it parts into four at `-`.
fn joined(transactions: &Documents, metadata: &Documents) -> Vec<String> {
    let name = |address: &str| {
        let known: Value = metadata.get(address).map(|value| serde_json::from_str(value).unwrap()).unwrap_or_default();
        let parts = ["kubernetes", "service", "node"];
        let name = parts.iter().find_map(|part| known[part]["name"].as_str());
        name.unwrap_or("?").to_owned()
    };
    let mut lines = Vec::new();
    for (key, value) in transactions {
        let [source, destination, _, port] = key.split('-').collect::<Vec<_>>()[..] else { continue };
        let values: Value = serde_json::from_str(value).unwrap();
        let sent = values["monotonic_sent_bytes"].as_u64().unwrap();
        lines.push(format!("{} > {}:{port} {sent}", name(source), name(destination)));
    }
    lines.sort();
    lines
}

const JOINED: [&str; 6] = [
    "coredns > coredns-b:53 2391",
    "coredns > db:53 2049",
    "coredns > db:53 2843",
    "coredns > db:53 3079",
    "coredns > kubernetes:53 2166",
    "n1 > coredns:57768 7324757",
];

#[tokio::test]
async fn connections_and_metadata_are_kept_in_redis() {
    if !require(Need::Redis) {
        return;
    }
    let (api, redis) = (ApiServer::start().await.unwrap(), RedisServer::start(RedisOptions::default()).await.unwrap());
    api.create_node(node()).unwrap();
    let mut kubernetes = service("kubernetes", "10.96.0.1", 443, "TCP");
    kubernetes["metadata"]["uid"] = json!("s1");
    api.create(Kind::Services, kubernetes).unwrap();
    for (name, address, uid) in [("coredns", "172.17.0.2", "u1"), ("coredns-b", "172.17.0.4", "u2"), ("db", "172.17.0.5", "u3")] {
        let mut pod = pod(name);
        pod["status"] = running(address);
        pod["metadata"]["uid"] = json!(uid);
        api.create_pod(pod).unwrap();
    }
    let place = Place::new();
    let mut tracer = Tracer::start(&place.path("tracer.sock"), Answer::Report(SIX.into())).unwrap();
    let rest = format!(
        "{}modules:\n\
         \x20 transactions: {{use: connection-transactions, from: [tracer], settings: {{prune-after: 2s}}, to: [store]}}\n\
         \x20 by-process: {{use: connection-transactions, from: [tracer], settings: {{key: process, collection: by-process}}, to: [store]}}\n\
         \x20 joined: {{use: connection-transactions, from: [tracer], settings: {{form: joined, collection: joined}}, to: [store]}}\n\
         \x20 metadata: {{use: pod-metadata, settings: {{retention: 1s}}, to: [store]}}\n\
         \x20 map: {{use: service-map, from: [tracer], settings: {{period: 1s}}, to: [out]}}\n\
         sinks:\n  store: {{redis: {{url: \"{}\"}}}}\n  out: {{stdout: {{}}}}\n",
        sources(&place.path("tracer.sock")),
        redis.url()
    );
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(SLOW).await.unwrap();
    until(&program, "all is kept", async || {
        hash(&redis, "transactions").await.len() == 6 && hash(&redis, "metadata").await.len() == 5
    })
    .await;
    let (transactions, metadata) = (hash(&redis, "transactions").await, hash(&redis, "metadata").await);
    assert_eq!(
        transactions["172.17.0.2-172.17.0.5-57574-53"],
        r#"{"monotonic_sent_bytes":2843,"monotonic_recv_bytes":5256,"monotonic_retransmits":0}"#
    );
    assert_eq!(
        metadata["172.17.0.2"],
        r#"{"kubernetes":{"name":"coredns","uid":"u1","image":"k8s.gcr.io/coredns:1.3.1"},"service":{},"node":{}}"#
    );
    assert_eq!(
        metadata["10.96.0.1"],
        r#"{"kubernetes":{},"service":{"name":"kubernetes","type":"ClusterIP","ports":"443/TCP"},"node":{}}"#
    );
    assert_eq!(metadata["172.31.14.185"], r#"{"kubernetes":{},"service":{},"node":{"name":"n1","kernel":"4.14.104"}}"#);
    assert_eq!(joined(&transactions, &metadata), JOINED);
    let by_process = hash(&redis, "by-process").await;
    assert_eq!(
        by_process.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "172.17.0.2-10.96.0.1-14931-53",
            "172.17.0.2-172.17.0.4-14931-53",
            "172.17.0.2-172.17.0.5-14931-53",
            "172.31.14.185-172.17.0.2-15096-57768",
        ]
    );
    let whole: Value = serde_json::from_str(&hash(&redis, "joined").await["172.31.14.185-172.17.0.2-15000-57768"]).unwrap();
    assert_eq!(whole["ipsrc"], "172.31.14.185");
    assert_eq!(whole["datadrc"]["node"]["name"], "n1");
    assert_eq!(whole["datadest"]["kubernetes"]["name"], "coredns");

    // The tracer dies, and comes again with fewer connections; a pod goes.
    tracer.stop();
    until(&program, "its absence is counted", async || {
        program.metric("sluicebox_source_retries_total", "source=\"tracer\"").await.unwrap() > 0.0
    })
    .await;
    let fewer =
        SIX.split_once(r#",{"pid":14931,"type":1,"family":0,"net_ns":4026532528,"source":"172.17.0.2","dest":"10.96.0.1""#);
    tracer.answer(Answer::Report(format!("{}]}}", fewer.unwrap().0).into()));
    tracer.restart().unwrap();
    api.delete_pod("default", "db").unwrap();
    until(&program, "what is over is forgotten", async || {
        !hash(&redis, "transactions").await.contains_key("172.17.0.2-10.96.0.1-60839-53")
            && !hash(&redis, "metadata").await.contains_key("172.17.0.5")
    })
    .await;
    assert_eq!(hash(&redis, "transactions").await.len(), 5);
    until(&program, "the map is told", async || program.lines().iter().any(|line| line.contains("\"coredns\""))).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

async fn data(api: &KubeApiServer, name: &str) -> Documents {
    let Ok(map) = api.request(Method::GET, &format!("/api/v1/namespaces/default/configmaps/{name}"), None).await else {
        return Documents::new();
    };
    let data = map["data"].as_object().cloned().unwrap_or_default();
    data.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn connections_and_metadata_are_kept_in_config_maps() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let api = KubeApiServer::start().await.unwrap();
    let created = api.request(Method::POST, "/api/v1/nodes", Some(&node())).await.unwrap();
    let status = json!({"status": node()["status"]});
    api.request(Method::PATCH, &format!("/api/v1/nodes/{}/status", created["metadata"]["name"].as_str().unwrap()), Some(&status))
        .await
        .unwrap();
    for (name, address) in [("coredns", "172.17.0.2"), ("coredns-b", "172.17.0.4"), ("db", "172.17.0.5")] {
        api.create_pod(&pod(name)).await.unwrap();
        api.patch_status("default", name, &running(address)).await.unwrap();
    }
    // The server gives addresses out of its own range, so the tracer has seen one of these.
    let kubernetes = api.request(Method::GET, "/api/v1/namespaces/default/services/kubernetes", None).await.unwrap();
    let address = kubernetes["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let place = Place::new();
    let socket = place.path("tracer.sock");
    let _tracer = Tracer::start(&socket, Answer::Report(SIX.replace("10.96.0.1", &address).into())).unwrap();
    let config = place.path("sluicebox.yaml");
    let kube_config = api.kube_config(api.admin_token()).unwrap();
    let rest = format!(
        "node-name: n1\nkubernetes: {{access: kubeconfig, kubeconfig: {}}}\nadmin: {{listen: \"127.0.0.1:0\"}}\nlog: {{format: json}}\n\
         state-directory: {}\n{}modules:\n\
         \x20 transactions: {{use: connection-transactions, from: [tracer], to: [maps]}}\n\
         \x20 metadata: {{use: pod-metadata, settings: {{retention: 1s}}, to: [maps]}}\n\
         sinks:\n  maps: {{config-maps: {{period: 500ms, resync: 1s}}}}\n",
        kube_config.display(),
        place.path("state").display(),
        sources(&socket),
    );
    std::fs::write(&config, rest).unwrap();
    let mut program = place.run(&config);
    program.until_ready(SLOW).await.unwrap();
    complete(&program, &api).await;
    // Somebody deletes one: it is made again with all that belongs there.
    api.request(Method::DELETE, "/api/v1/namespaces/default/configmaps/metadata", None).await.unwrap();
    complete(&program, &api).await;
    api.delete_pod("default", "db").await.unwrap();
    until(&program, "the pod is forgotten", async || !data(&api, "metadata").await.contains_key("172.17.0.5")).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

async fn complete(program: &Program, api: &KubeApiServer) {
    until_within(program, SLOW, "all is kept", async || {
        joined(&data(api, "transactions").await, &data(api, "metadata").await) == JOINED
    })
    .await;
}
