//! Configurations that `sluicebox migrate` has printed, at work: they do what the older programs did with the same settings.

#[path = "migrate/alumet.rs"]
mod alumet;
#[path = "migrate/mape.rs"]
mod mape;
mod support;

use std::collections::BTreeSet;
use std::process::Command;

use hyper::http::Method;
use serde_json::Value;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{KubeApiServer, Need, RedisOptions, RedisServer, pod, require};
use sluicebox_testkit::tracer::{Answer, SIX, Tracer};
use support::{PATIENCE, Place, SLOW, binary, running};

/// Runs what is printed for these variables. What must be reached is reached by a kubeconfig of a test.
async fn run(place: &Place, system: &str, environment: &[(&str, &str)], kubeconfig: &str) -> Program {
    let printed = printed(&["migrate", system], environment);
    let reached = format!("kubernetes: {{access: kubeconfig, kubeconfig: \"{kubeconfig}\"}}");
    start(place, &printed.replace("kubernetes: {access: in-cluster}", &reached)).await
}

/// What the command prints where nothing but these variables is set.
fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(binary()).args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program with what was printed until it is ready.
async fn start(place: &Place, printed: &str) -> Program {
    let config = place.path("sluicebox.yaml");
    let state = place.path("state").display().to_string();
    let around = format!("admin: {{listen: \"127.0.0.1:0\"}}\nlog: {{format: json}}\nstate-directory: {state}\n");
    std::fs::write(&config, format!("{around}{printed}")).unwrap();
    let mut program = place.run(&config);
    program.until_ready(SLOW).await.unwrap();
    program
}

/// Of three old programs, one after the other on one API server, which takes seconds to start.
#[tokio::test]
async fn what_is_printed_does_what_was_done_before() {
    if !require(Need::Redis) || !require(Need::KubeApiServer) {
        return;
    }
    let api = KubeApiServer::start().await.unwrap();
    api.create_namespace("shop").await.unwrap();
    let kubeconfig = api.kube_config(api.admin_token()).unwrap().display().to_string();
    galileo(&api, &kubeconfig).await;
    fluent_bit(&api, &kubeconfig).await;
    connections(&api, &kubeconfig).await;
}

async fn galileo(api: &KubeApiServer, kubeconfig: &str) {
    let (place, redis) = (Place::new(), RedisServer::start(RedisOptions::default()).await.unwrap());
    let url = redis.url();
    let (host, port) = url.trim_start_matches("redis://").trim_end_matches('/').rsplit_once(':').unwrap();
    let environment = [
        ("telemd_kubernetes_adapter_redis_host", host),
        ("telemd_kubernetes_adapter_redis_port", port),
        ("telemd_kubernetes_adapter_location", "local"),
        ("KUBECONFIG", kubeconfig),
    ];
    let mut heard = redis.subscribe("galileo/events").await.unwrap();
    let mut program = run(&place, "galileo", &environment, kubeconfig).await;

    api.create_pod(&pod("shop", "web", "n1")).await.unwrap();
    api.patch_status("shop", "web", &running('a')).await.unwrap();
    api.delete_pod("shop", "web").await.unwrap();
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "pod/delete") {
        let (_, message) = heard.next().await.unwrap();
        let mut parts = message.splitn(3, ' ');
        let (_, name, json) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        assert!(json.starts_with("{\"podUid\":\"") && json.contains("\"containers\":{"), "{message}");
        let pod: Value = serde_json::from_str(json).unwrap();
        assert_eq!((&pod["namespace"], &pod["name"]), (&"shop".into(), &"web".into()), "{message}");
        names.push(name.to_owned());
    }
    names.dedup();
    assert_eq!(names.first().map(String::as_str), Some("pod/create"), "{names:?}");
    assert!(names.contains(&"pod/running".to_owned()), "{names:?}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

async fn fluent_bit(api: &KubeApiServer, kubeconfig: &str) {
    let place = Place::new();
    let meta = place.path("meta");
    let directory = meta.display().to_string();
    let environment =
        [("EXPORTER_NODE_NAME", "n1"), ("EXPORTER_DESTINATION_DIR", directory.as_str()), ("EXPORTER_RETENTION_PERIOD", "0.5s")];
    let mut program = run(&place, "fluent-bit", &environment, kubeconfig).await;
    api.create_pod(&pod("shop", "here", "n1")).await.unwrap();
    api.create_pod(&pod("shop", "elsewhere", "n2")).await.unwrap();
    let (here, elsewhere) = (meta.join("shop_here.meta"), meta.join("shop_elsewhere.meta"));
    until(&program, "the file is there", || here.exists()).await;
    assert!(!elsewhere.exists());
    api.delete_pod("shop", "here").await.unwrap();
    until(&program, "the file is gone", || !here.exists()).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

async fn connections(api: &KubeApiServer, kubeconfig: &str) {
    let place = Place::new();
    let socket = place.path("tracer.sock");
    let _tracer = Tracer::start(&socket, Answer::Report(SIX.into())).unwrap();
    let path = socket.display().to_string();
    let mut program = run(&place, "connections", &[("SOCKET_PATH", &path), ("HOSTNAME", "n1")], kubeconfig).await;
    let keys: BTreeSet<String> = [
        "172.17.0.2-172.17.0.5-14931-53",
        "172.31.14.185-172.17.0.2-15096-57768",
        "172.17.0.2-172.17.0.4-14931-53",
        "172.17.0.2-10.96.0.1-14931-53",
    ]
    .map(str::to_owned)
    .into();
    let begin = std::time::Instant::now();
    loop {
        let map = api.request(Method::GET, "/api/v1/namespaces/default/configmaps/transactions", None).await.unwrap_or_default();
        let found: BTreeSet<String> = map["data"].as_object().into_iter().flat_map(|data| data.keys().cloned()).collect();
        if found == keys {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{found:?}\n{}", program.log().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

async fn until(program: &Program, what: &str, is_so: impl Fn() -> bool) {
    support::until(program, what, async || is_so()).await;
}
