//! A start with a module that may not run: its lane does not, the others do, and nothing that was kept gets around it.

mod support;

use std::fs;

use sluicebox::trust::keys::PrivateKey;
use sluicebox::trust::signature::{path, text};
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_wasm::digest;
use support::{
    PATIENCE, Place, SLOW, digest_in, log_since, module, pending, replace, status_of, until, until_within, version_of,
};

fn versions() -> [Vec<u8>; 2] {
    let component = fs::read(module("hostile")).unwrap();
    [version_of(&component, "one"), version_of(&component, "two")]
}

fn trust(key: &PrivateKey) -> String {
    let lines = key.public().pem().trim_end().replace('\n', "\n      ");
    format!("trust:\n  keys:\n    ops: |\n      {lines}\n")
}

fn rest(place: &Place, lane: &str, more: &str) -> String {
    format!(
        "sources: {{pods: {{}}}}\nreload: {{poll: 300ms, debounce: 50ms, good-after: 300ms}}\n\
         modules:\n\x20 lines: {{use: \"{}\", {lane} to: [out]}}\n\x20 other: {{use: json-lines, to: [out]}}\n\
         sinks: {{out: {{stdout: {{}}}}}}\n{more}",
        place.path("module.wasm").display()
    )
}

#[tokio::test]
async fn a_lane_whose_module_may_not_run_begins_when_it_may() {
    let [component, _] = versions();
    let key = PrivateKey::generate().unwrap();
    let asking = wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance (export "get" (func)))))"#).unwrap();
    let zeros = format!("sha256: \"{}\",", "0".repeat(64));
    for (bytes, lane, more, reason) in [
        (&component, zeros.as_str(), String::new(), "but the configuration pins 0000"),
        (&component, "signed-by: ops,", trust(&key), "it must be signed by `ops`, but there is no "),
        (&component, "imports: [],", String::new(), "it imports sluicebox:module/log@0.2.0; granted: nothing"),
        (&asking, "", String::new(), "it imports wasi:sockets/tcp@0.2.0; granted: sluicebox:module/log"),
    ] {
        let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
        replace(&place.path("module.wasm"), bytes);
        let mut program = place.run(&place.configure(&api.url(), &rest(&place, lane, &more)));
        program.until_alive(PATIENCE).await.unwrap();
        until(&program, "it is refused", async || {
            status_of(&program, "lines").await["refused"]["reason"].as_str().is_some_and(|text| text.contains(reason))
        })
        .await;
        let (ready, said) = program.get("/readyz").await.unwrap();
        assert!(!ready && said.contains(reason), "{said}");
        api.create_pod(pending("pod-0")).unwrap();
        program.until_lines(PATIENCE, |lines| lines.len() == 1 && lines[0].starts_with('{')).await.unwrap();
        // What it lacks is given: another file, a signature, a pin, a grant.
        replace(&place.path("module.wasm"), &component);
        replace(&path(&place.path("module.wasm")), text(&key.sign(&component)).as_bytes());
        let good =
            if lane.starts_with("sha256") { format!("sha256: {},", digest(&component)) } else { lane.replace("[]", "[log]") };
        place.reconfigure(&api.url(), &rest(&place, &good, &more));
        until_within(&program, SLOW, "it runs", async || digest_in(&program, "lines").await == digest(&component)).await;
        program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line == "pod-0")).await.unwrap();
        assert!(program.stop(PATIENCE).await.unwrap().success());
    }
}

/// One version has worked and was kept; then another file takes its place while nothing runs.
async fn after_a_start_with_another_file(lane: &str, more: &str, key: &PrivateKey) -> (Place, ApiServer) {
    let [one, two] = versions();
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let file = place.path("module.wasm");
    replace(&file, &one);
    replace(&path(&file), text(&key.sign(&one)).as_bytes());
    let mut program = place.run(&place.configure(&api.url(), &rest(&place, lane, more)));
    program.until_alive(PATIENCE).await.unwrap();
    api.create_pod(pending("pod-0")).unwrap();
    until(&program, "it is kept", async || {
        log_since(&program, 0).iter().any(|line| line["message"] == "module kept as the last good one" && line["lane"] == "lines")
    })
    .await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    replace(&file, &two);
    (place, api)
}

#[tokio::test]
async fn the_last_good_module_takes_the_place_of_one_that_is_not_the_pinned_one() {
    let [one, _] = versions();
    let key = PrivateKey::generate().unwrap();
    let lane = format!("sha256: {},", digest(&one));
    let (place, _api) = after_a_start_with_another_file(&lane, "", &key).await;
    let mut program = place.run(&place.path("sluicebox.yaml"));
    program.until_alive(PATIENCE).await.unwrap();
    until(&program, "the last good one runs", async || digest_in(&program, "lines").await == digest(&one)).await;
    let status = status_of(&program, "lines").await;
    assert_eq!(
        (status["from"].as_str(), status["refused"]["step"].as_str()),
        (Some("last-good"), Some("verifying the component")),
        "{status:#}"
    );
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn the_last_good_module_is_kept_with_its_signature() {
    let [one, _] = versions();
    let key = PrivateKey::generate().unwrap();
    let (place, api) = after_a_start_with_another_file("signed-by: ops,", &trust(&key), &key).await;
    let mut program = place.run(&place.path("sluicebox.yaml"));
    program.until_alive(PATIENCE).await.unwrap();
    until(&program, "the last good one runs", async || digest_in(&program, "lines").await == digest(&one)).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());

    // Whose key is not trusted any more, his modules do not come back.
    let other = PrivateKey::generate().unwrap();
    let config = place.reconfigure(&api.url(), &rest(&place, "signed-by: ops,", &trust(&other)));
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    until(&program, "the lane does not run", async || {
        let status = status_of(&program, "lines").await;
        status["refused"]["step"] == "verifying the component" && status["state"] != "at-work"
    })
    .await;
    until(&program, "that is told", async || {
        program.log().unwrap().contains("the last good module may not take its place either")
    })
    .await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn the_last_good_module_is_no_way_around_a_pin() {
    let [one, _] = versions();
    let key = PrivateKey::generate().unwrap();
    let (place, api) = after_a_start_with_another_file("", "", &key).await;
    let lane = format!("sha256: \"{}\",", "0".repeat(64));
    let config = place.reconfigure(&api.url(), &rest(&place, &lane, ""));
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    until(&program, "it is refused", async || status_of(&program, "lines").await["refused"]["step"] == "verifying the component")
        .await;
    assert_ne!(digest_in(&program, "lines").await, digest(&one));
    assert!(program.log().unwrap().contains("the last good module may not take its place either"));
    assert!(program.stop(PATIENCE).await.unwrap().success());
}
