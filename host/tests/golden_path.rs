//! The whole way: from a pod in the API to Redis, a file and a line, through the compiled presets, and a clean end.

mod support;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::servers::{KubeApiServer, Need, RedisOptions, RedisServer, require};
use support::{PATIENCE, Place, pending, running, sluicebox};

fn everything(redis: &str, meta: &str) -> String {
    format!(
        "sources: {{pods: {{}}, nodes: {{refresh: 1s}}, namespaces: {{}}}}\n\
         modules:\n\
         \x20 meta: {{use: fluent-bit-meta, settings: {{retention: 5s, namespaces: true}}, from: [pods, namespaces], to: [folder]}}\n\
         \x20 galileo: {{use: galileo-events, from: [pods, nodes], to: [events, lines]}}\n\
         \x20 podwise: {{use: galileo-events, settings: {{schema: pod, channel: podwise}}, from: [pods], to: [events]}}\n\
         \x20 json: {{use: json-lines, from: [pods], to: [lines]}}\n\
         sinks:\n  folder: {{files: {{directory: \"{meta}\"}}}}\n  events: {{redis: {{url: \"{redis}\"}}}}\n  lines: {{stdout: {{}}}}\n"
    )
}

/// The same story against any API server; `begin` and the following steps are told to it.
struct Story {
    place: Place,
    redis: RedisServer,
}

impl Story {
    async fn new() -> Self {
        Self { place: Place::new(), redis: RedisServer::start(RedisOptions::default()).await.unwrap() }
    }

    /// Waits for a file: sinks work side by side, so Redis may have heard of a pod before its file is written.
    async fn written(&self, name: &str) -> String {
        let begin = std::time::Instant::now();
        loop {
            match self.meta(name) {
                Some(file) => return file,
                None => assert!(begin.elapsed() < PATIENCE, "{name} is not written"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    fn meta(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.place.path("meta").join(name)).ok()
    }
}

#[tokio::test]
async fn a_pod_s_life_reaches_redis_files_and_stdout() {
    if !require(Need::Redis) {
        return;
    }
    let story = Story::new().await;
    let api = ApiServer::start().await.unwrap();
    api.create_node(serde_json::json!({"metadata": {"name": "n1", "labels": {"b": "2", "a": "1"}}, "status": {"allocatable": {"memory": "8Gi", "cpu": "4"}}}))
        .unwrap();
    api.create_namespace(serde_json::json!({"metadata": {"name": "shop", "labels": {"team": "x"}}})).unwrap();
    let meta = story.place.path("meta");
    let config = story.place.configure(&api.url(), &everything(&story.redis.url(), &meta.display().to_string()));
    let mut heard = story.redis.subscribe("*").await.unwrap();
    let mut program = story.place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();

    api.create_pod(pending("web")).unwrap();
    api.patch_status("shop", "web", &running('a')).unwrap();
    api.patch_status("shop", "web", &running('b')).unwrap();
    api.delete_pod("shop", "web").unwrap();

    // Each channel keeps its order; the two lanes run side by side.
    let (mut containers, mut pods) = (Vec::new(), Vec::new());
    while containers.len() < 4 || pods.len() < 5 {
        let (channel, message) = heard.next().await.unwrap();
        let mut parts = message.splitn(3, ' ');
        let (time, name, json) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        assert_eq!(time.split_once('.').map(|(_, fraction)| fraction.len()), Some(7), "{message}");
        let json: Value = serde_json::from_str(json).unwrap();
        match channel.as_str() {
            "galileo/events" => containers.push(format!("{name} {}", json["containerID"].as_str().unwrap().get(13..14).unwrap())),
            "podwise" => pods.push(name.to_owned()),
            other => panic!("a message on {other}"),
        }
    }
    assert_eq!(containers, ["pod/create a", "pod/delete a", "pod/create b", "pod/delete b"]);
    assert_eq!(pods, ["pod/create", "pod/running", "pod/running", "pod/shutdown", "pod/delete"]);

    let file = story.written("shop_web.meta").await;
    assert!(file.ends_with("}\n") && file.lines().count() == 1, "{file}");
    assert!(story.written("shop.namespace_meta").await.contains(r#""team":"x""#));

    let hash = story.redis.command(&["HGETALL", "telemd.info:n1"]).await.unwrap();
    assert_eq!(hash.texts(), ["labels", r#"{"a":"1","b":"2"}"#, "allocatable", r#"{"cpu":"4","memory":"8Gi"}"#]);

    // Somebody removes the hash, as telemd does when it stops: it comes back.
    story.redis.command(&["DEL", "telemd.info:n1"]).await.unwrap();
    let mut fields = 0;
    for _ in 0..300 {
        fields = story.redis.command(&["HKEYS", "telemd.info:n1"]).await.unwrap().texts().len();
        if fields == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(fields, 2, "the hash has not come back");

    let begin = std::time::Instant::now();
    while story.meta("shop_web.meta").is_some() {
        assert!(begin.elapsed() < PATIENCE, "the file stays after its retention");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let changes = |lines: &[String]| -> Vec<String> {
        let objects = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        objects.filter_map(|line| Some(line.get("change")?.as_str()?.to_owned())).collect()
    };
    program.until_lines(PATIENCE, |lines| changes(lines).len() >= 5).await.unwrap();
    assert_eq!(changes(&program.lines()), ["added", "modified", "modified", "modified", "deleted"]);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn the_same_pods_of_a_real_api_server_reach_redis_and_files() {
    if !require(Need::Redis) || !require(Need::KubeApiServer) {
        return;
    }
    let story = Story::new().await;
    let api = KubeApiServer::start().await.unwrap();
    api.create_namespace("shop").await.unwrap();
    let meta = story.place.path("meta");
    let kubeconfig = api.kube_config(api.admin_token()).unwrap();
    let config = story.place.configure("http://unused.invalid", &everything(&story.redis.url(), &meta.display().to_string()));
    let text = std::fs::read_to_string(&config).unwrap();
    let reached = format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}", kubeconfig.display());
    let replaced: Vec<&str> =
        text.lines().map(|line| if line.starts_with("kubernetes:") { reached.as_str() } else { line }).collect();
    std::fs::write(&config, replaced.join("\n")).unwrap();
    let mut heard = story.redis.subscribe("galileo/events").await.unwrap();
    let mut program = story.place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();

    api.create_pod(&sluicebox_testkit::servers::pod("shop", "web", "n1")).await.unwrap();
    let mut status = running('a');
    status["startTime"] = "2026-01-01T12:00:00Z".into();
    api.patch_status("shop", "web", &status).await.unwrap();
    let (_, message) = heard.next().await.unwrap();
    assert!(message.contains(" pod/create {\"podUid\":\"") && message.contains("containerd://aaaa"), "{message}");
    let raw = api.get_pod("shop", "web").await.unwrap();
    let parts = |pod: &Value| [pod["metadata"].clone(), pod["spec"].clone(), pod["status"].clone()];
    let begin = std::time::Instant::now();
    loop {
        let file: Value = serde_json::from_str(&story.written("shop_web.meta").await).unwrap();
        if parts(&file) == parts(&raw) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{file}\nis not\n{raw}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    api.delete_pod("shop", "web").await.unwrap();
    let (_, message) = heard.next().await.unwrap();
    assert!(message.contains(" pod/delete "), "{message}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[test]
fn the_help_teaches() {
    let help = sluicebox(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    for word in ["run", "check", "modules", "schema", "Exit codes"] {
        assert!(text.contains(word), "{text}");
    }
}
