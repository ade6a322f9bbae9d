//! The collector was away: what came, changed and went meanwhile is told when it is back, and nothing that was told before.

mod support;

use std::path::Path;
use std::time::Duration;

use sluicebox_testkit::api_server::{RequestFault, RequestFaultKind};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use support::announced::{News, Town, crc32, news, remember_a_pod_of_the_future, until_gone, until_told, until_written};
use support::{PATIENCE, pending, running, sluicebox};

/// Four pods of which everybody has heard.
async fn four_pods(town: &Town, config: &Path) -> Program {
    for name in ["changes", "goes", "is-replaced", "stays"] {
        town.api.create_pod(pending(name)).unwrap();
    }
    let mut heard = town.listen("news").await;
    let program = town.run(config).await;
    town.api.patch_status("shop", "stays", &running('a')).unwrap();
    while heard.next().await.unwrap().1.split(' ').nth(1) != Some("pod/running") {}
    program
}

fn meanwhile(town: &Town) {
    town.api.patch_status("shop", "changes", &running('b')).unwrap();
    town.api.delete_pod("shop", "goes").unwrap();
    town.api.delete_pod("shop", "is-replaced").unwrap();
    town.api.create_pod(pending("is-replaced")).unwrap();
    town.api.create_pod(pending("comes")).unwrap();
}

fn what_happened() -> News {
    news(&[("changes", &["running"]), ("goes", &["delete"]), ("is-replaced", &["delete", "create"]), ("comes", &["create"])])
}

async fn end(mut program: Program) {
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn what_happened_while_the_collector_was_away_is_told_and_nothing_twice() {
    if !require(Need::Redis) {
        return;
    }
    for kill in [false, true] {
        let mut town = Town::new().await;
        let config = town.configure("", "");
        let mut program = four_pods(&town, &config).await;
        until_written(&program, 4.0).await;
        if kill {
            // What was written to Redis a moment ago may not be known to be: it would be told twice.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            program.kill().unwrap();
        } else {
            end(program).await;
        }
        meanwhile(&town);
        let mut heard = town.listen("news").await;
        let program = town.run(&config).await;
        assert_eq!(town.told(&mut heard).await, what_happened(), "killed: {kill}");
        for (result, count) in [("unchanged", 1.0), ("changed", 1.0), ("gone", 2.0)] {
            let found = program.metric("sluicebox_source_reconciled_total", &format!("result=\"{result}\"")).await.unwrap();
            assert!((found - count).abs() < 0.1, "{result}: {found}");
        }
        // What is announced after the start is as well.
        town.api.delete_pod("shop", "stays").unwrap();
        town.api.patch_status("shop", "comes", &running('c')).unwrap();
        assert_eq!(town.told(&mut heard).await, news(&[("stays", &["shutdown", "delete"]), ("comes", &["running"])]));
        end(program).await;
        for _ in 0..2 {
            let program = town.run(&config).await;
            assert_eq!(town.told(&mut heard).await, News::new(), "nothing has happened");
            end(program).await;
        }
    }
}

#[tokio::test]
async fn what_one_sink_was_told_is_told_as_gone_though_another_one_is_dead() {
    if !require(Need::Redis) {
        return;
    }
    let mut town = Town::new().await;
    town.sink = "}, dead: {redis: {url: \"redis://127.0.0.1:1\"}";
    let twin = "  twin: {use: galileo-events, settings: {schema: pod, channel: news}, to: [dead]}\n";
    let config = town.configure("", twin);
    town.api.create_pod(pending("goes")).unwrap();
    town.api.create_pod(pending("stays")).unwrap();
    let mut heard = town.listen("news").await;
    let mut program = town.run(&config).await;
    assert_eq!(town.told(&mut heard).await, news(&[("goes", &["create"]), ("stays", &["create"])]));
    tokio::time::sleep(Duration::from_millis(500)).await;
    program.kill().unwrap();
    town.api.delete_pod("shop", "goes").unwrap();
    let mut heard = town.listen("news").await;
    let program = town.run(&config).await;
    let mut told = town.told(&mut heard).await;
    // What has not been told to everybody is told once more, and what has gone as gone.
    told.retain(|name, _| !name.starts_with("marker"));
    assert_eq!(told, news(&[("goes", &["delete"]), ("stays", &["create"])]));
    drop(program);
}

/// A town with four pods where Redis refuses what happens, until the collector ends in this way.
async fn outage(sink: &'static str, kill: bool) -> (Town, std::path::PathBuf) {
    let mut town = Town::new().await;
    town.sink = sink;
    let config = town.configure("", "");
    let mut program = four_pods(&town, &config).await;
    until_written(&program, 4.0).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    town.redis.command(&["ACL", "SETUSER", "default", "-publish"]).await.unwrap();
    meanwhile(&town);
    let refuses = async || program.get("/readyz").await.unwrap().1.contains("does not take entries");
    support::until(&program, "refusals", refuses).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    if kill {
        program.kill().unwrap();
    } else {
        // With a store nothing that was accepted is lost.
        let code = i32::from(sink.is_empty());
        assert_eq!(program.stop(PATIENCE).await.unwrap().code(), Some(code), "{}", program.log().unwrap());
    }
    town.redis.command(&["ACL", "SETUSER", "default", "+publish"]).await.unwrap();
    (town, config)
}

#[tokio::test]
async fn what_was_not_written_is_told_again_however_the_collector_ended() {
    if !require(Need::Redis) {
        return;
    }
    for kill in [true, false] {
        let (mut town, config) = outage("", kill).await;
        let mut heard = town.listen("news").await;
        let program = town.run(&config).await;
        assert_eq!(town.told(&mut heard).await, what_happened(), "killed: {kill}");
        end(program).await;
    }
}

#[tokio::test]
async fn what_waits_in_the_store_of_a_sink_is_announced_and_not_told_twice() {
    if !require(Need::Redis) {
        return;
    }
    for kill in [true, false] {
        let (mut town, config) = outage(", store: {}", kill).await;
        let mut heard = town.listen("news").await;
        let program = town.run(&config).await;
        // As it was watched, not as it is found afterwards.
        let watched = [
            ("changes", &["running"][..]),
            ("goes", &["shutdown", "delete"]),
            ("is-replaced", &["shutdown", "delete", "create"]),
            ("comes", &["create"]),
        ];
        assert_eq!(town.told(&mut heard).await, news(&watched), "killed: {kill}");
        let found = program.metric("sluicebox_source_reconciled_total", "result=\"unchanged\"").await.unwrap();
        assert!((found - 4.0).abs() < 0.1, "all are as they were announced: {found}");
        end(program).await;
    }
}

#[tokio::test]
async fn a_replay_tells_everything_that_is_there_and_not_what_has_gone() {
    if !require(Need::Redis) {
        return;
    }
    let mut town = Town::new().await;
    end(four_pods(&town, &town.configure("", "")).await).await;
    meanwhile(&town);
    let all = [
        ("changes", &["running", "create"][..]),
        ("is-replaced", &["create"]),
        ("comes", &["create"]),
        ("stays", &["running", "create"]),
    ];
    let mut heard = town.listen("news").await;
    // The second time, it is not known either what was announced by a replay.
    for at_start in ["at-start: replay", "at-start: replay", "at-start: reconcile"] {
        let program = town.run(&town.configure(at_start, "")).await;
        assert_eq!(town.told(&mut heard).await, news(&all), "{at_start}");
        end(program).await;
    }
    let program = town.run(&town.configure("at-start: reconcile", "")).await;
    assert_eq!(town.told(&mut heard).await, News::new());
    end(program).await;
}

#[tokio::test]
async fn a_lane_that_was_not_there_before_hears_everything_even_if_the_collector_is_killed_at_once() {
    if !require(Need::Redis) {
        return;
    }
    let mut town = Town::new().await;
    end(four_pods(&town, &town.configure("", "")).await).await;
    meanwhile(&town);
    let more = "\x20 more: {use: galileo-events, settings: {schema: pod, channel: more}, to: [redis]}\n";
    let config = town.configure("", more);
    // It sees what is there, and is killed before it has told anybody.
    town.redis.command(&["ACL", "SETUSER", "default", "-publish"]).await.unwrap();
    let mut program = town.place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    program.kill().unwrap();
    town.redis.command(&["ACL", "SETUSER", "default", "+publish"]).await.unwrap();
    let (mut heard, mut more) = (town.listen("news").await, town.listen("more").await);
    let program = town.run(&config).await;
    let all = news(&[
        ("changes", &["running", "create"]),
        ("goes", &["delete"]),
        ("is-replaced", &["delete", "create"]),
        ("comes", &["create"]),
        ("stays", &["running", "create"]),
    ]);
    assert_eq!(town.told(&mut heard).await, all);
    let told = until_told(&mut more, "marker-1").await;
    assert_eq!(told, all);
    end(program).await;
    until_gone(&mut more, "marker-1").await;
    let program = town.run(&config).await;
    assert_eq!(town.told(&mut heard).await, News::new());
    assert_eq!(until_told(&mut more, "marker-2").await, News::new());
    end(program).await;
}

#[tokio::test]
async fn what_is_remembered_and_cannot_be_used_is_told_again_or_refused() {
    if !require(Need::Redis) {
        return;
    }
    let mut town = Town::new().await;
    let config = town.configure("", "");
    let mut heard = town.listen("news").await;
    end(four_pods(&town, &config).await).await;
    town.told_so_far(&mut heard, "pod/running").await;
    let file = town.place.path("state/announced/pods.announced");
    let good = std::fs::read(&file).unwrap();
    let all =
        news(&[("changes", &["create"]), ("goes", &["create"]), ("is-replaced", &["create"]), ("stays", &["running", "create"])]);

    std::fs::write(&file, "what is this").unwrap();
    let program = town.run(&config).await;
    assert!(program.log().unwrap().contains("it does not begin as it should"), "{}", program.log().unwrap());
    assert_eq!(town.told(&mut heard).await, all);
    end(program).await;

    // The watch of another node, to which these pods do not belong.
    std::fs::write(&file, &good).unwrap();
    let program = town.run(&town.configure("node: n2", "")).await;
    assert!(program.log().unwrap().contains("it is about node n1, and now that is node n2"), "{}", program.log().unwrap());
    end(program).await;

    let mut newer = good;
    newer[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let sum = crc32(&newer[..12]);
    newer[12..16].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&file, &newer).unwrap();
    let refused = sluicebox(&["run", config.to_str().unwrap()]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    for part in ["announced/pods.announced", "a later version of sluicebox has written it (format 9)", "move the file away"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), newer);
}

#[tokio::test]
async fn files_of_what_has_gone_are_forgotten_after_their_retention_and_the_others_stay() {
    let place = support::Place::new();
    let api = sluicebox_testkit::api_server::ApiServer::start().await.unwrap();
    let meta = place.path("meta");
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}, namespaces: {{}}}}\n\
             modules: {{meta: {{use: fluent-bit-meta, settings: {{retention: 2s, namespaces: true}}, to: [folder]}}}}\n\
             sinks: {{folder: {{files: {{directory: \"{}\"}}}}}}\n",
            meta.display()
        ),
    );
    let there = |name: &str| meta.join(name).exists();
    for name in ["stays", "goes", "is-replaced"] {
        api.create_pod(pending(name)).unwrap();
        api.create_namespace(serde_json::json!({"metadata": {"name": name}})).unwrap();
    }
    let names = |name: &str| [format!("shop_{name}.meta"), format!("{name}.namespace_meta")];
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    let all: Vec<String> = ["stays", "goes", "is-replaced"].into_iter().flat_map(names).collect();
    support::until(&program, "files", async || all.iter().all(|name| there(name))).await;
    end(program).await;

    api.delete_pod("shop", "goes").unwrap();
    api.delete_pod("shop", "is-replaced").unwrap();
    api.create_pod(pending("is-replaced")).unwrap();
    api.delete(sluicebox_testkit::api_server::Kind::Namespaces, "", "goes").unwrap();
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    assert!(names("goes").iter().all(|name| there(name)), "they have their retention yet");
    support::until(&program, "files go", async || !names("goes").iter().any(|name| there(name))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(names("stays").iter().chain(&names("is-replaced")).all(|name| there(name)));
    let new = api.get(sluicebox_testkit::api_server::Kind::Pods, "shop", "is-replaced").unwrap();
    let file = std::fs::read_to_string(meta.join("shop_is-replaced.meta")).unwrap();
    assert!(file.contains(new["metadata"]["uid"].as_str().unwrap()));
    end(program).await;
}

/// The configuration for a real server.
fn real(town: &Town, api: &KubeApiServer) -> std::path::PathBuf {
    let config = town.configure_at("http://unused.invalid", "", "");
    let kubeconfig = api.kube_config(api.admin_token()).unwrap();
    let reached = format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}", kubeconfig.display());
    let text = std::fs::read_to_string(&config).unwrap();
    let lines: Vec<&str> =
        text.lines().map(|line| if line.starts_with("kubernetes:") { reached.as_str() } else { line }).collect();
    std::fs::write(&config, lines.join("\n")).unwrap();
    config
}

#[tokio::test]
async fn the_same_with_a_real_api_server() {
    if !require(Need::Redis) || !require(Need::KubeApiServer) {
        return;
    }
    let town = Town::new().await;
    let api = KubeApiServer::start().await.unwrap();
    api.create_namespace("shop").await.unwrap();
    let pod = |name: &str| sluicebox_testkit::servers::pod("shop", name, "n1");
    for name in ["changes", "goes", "is-replaced", "stays"] {
        api.create_pod(&pod(name)).await.unwrap();
    }
    let config = real(&town, &api);
    let mut heard = town.listen("news").await;
    let program = town.run(&config).await;
    api.create_pod(&pod("marker")).await.unwrap();
    let told = until_told(&mut heard, "marker").await;
    assert_eq!(told.keys().collect::<Vec<_>>(), ["changes", "goes", "is-replaced", "stays"]);
    end(program).await;

    api.patch_status("shop", "changes", &running('b')).await.unwrap();
    for name in ["goes", "is-replaced"] {
        api.delete_pod("shop", name).await.unwrap();
    }
    for name in ["is-replaced", "comes"] {
        api.create_pod(&pod(name)).await.unwrap();
    }
    let mut heard = town.listen("news").await;
    let program = town.run(&config).await;
    api.create_pod(&pod("last")).await.unwrap();
    assert_eq!(until_told(&mut heard, "last").await, what_happened());
    end(program).await;
}

#[tokio::test]
async fn the_first_list_is_not_older_than_what_was_announced_unless_the_server_has_no_such_version() {
    if !require(Need::Redis) {
        return;
    }
    let mut town = Town::new().await;
    let config = town.configure("", "");
    end(four_pods(&town, &config).await).await;
    let lists = |town: &Town| {
        let requests = town.api.requests().into_iter().filter(|request| !request.is_watch());
        requests.map(|request| request.query).collect::<Vec<_>>()
    };
    assert!(lists(&town)[0].contains("resourceVersion=0"), "{:?}", lists(&town));
    town.api.forget_requests();
    end(town.run(&config).await).await;
    let asked = lists(&town);
    assert!(asked.len() == 1 && asked[0].contains("resourceVersionMatch=NotOlderThan"), "{asked:?}");
    assert!(!asked[0].contains("resourceVersion=0"), "{asked:?}");

    town.api.forget_requests();
    town.api.fail(RequestFault { watches: Some(false), times: 1, kind: RequestFaultKind::Status(504, None) });
    let mut heard = town.listen("news").await;
    let program = town.run(&config).await;
    assert_eq!(town.told(&mut heard).await, News::new());
    let asked = lists(&town);
    assert!(asked.len() == 2 && asked[1].contains("limit=") && !asked[1].contains("resourceVersion"), "{asked:?}");
    end(program).await;
}

#[tokio::test]
async fn a_real_server_that_never_comes_to_the_version_is_asked_for_what_it_has() {
    if !require(Need::Redis) || !require(Need::KubeApiServer) {
        return;
    }
    let town = Town::new().await;
    let api = KubeApiServer::start().await.unwrap();
    api.create_namespace("shop").await.unwrap();
    api.create_pod(&sluicebox_testkit::servers::pod("shop", "here", "n1")).await.unwrap();
    let config = real(&town, &api);
    remember_a_pod_of_the_future(&town);
    let mut heard = town.listen("news").await;
    let program = town.run(&config).await;
    api.create_pod(&sluicebox_testkit::servers::pod("shop", "last", "n1")).await.unwrap();
    assert_eq!(until_told(&mut heard, "last").await, news(&[("here", &["create"]), ("elsewhere", &["delete"])]));
    end(program).await;
}
