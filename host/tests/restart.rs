//! The collector goes and comes back: files keep their retention, stale ones go, and a power cut breaks none.

mod support;

use std::time::Duration;

use sluicebox_testkit::api_server::ApiServer;
use support::{PATIENCE, Place, pending, running};

fn config(meta: &std::path::Path, at_start: &str, retention: &str) -> String {
    format!(
        "sources: {{pods: {{at-start: {at_start}}}}}\nmodules: {{meta: {{use: fluent-bit-meta, settings: {{retention: {retention}}}, to: [folder]}}}}\n\
         sinks: {{folder: {{files: {{directory: \"{}\", remove-unclaimed: {{suffix: .meta, after: 1s}}}}}}}}\n",
        meta.display()
    )
}

async fn until(what: &str, good: impl Fn() -> bool) {
    for _ in 0..1_500 {
        if good() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn b9_b12_what_vanished_while_the_collector_was_away_goes_and_what_is_there_stays() {
    // A replay does not tell what has gone: its file belongs to nothing then. Told that it has gone, it has its retention.
    for (at_start, retention) in [("replay", "1h"), ("reconcile", "1s")] {
        let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
        let meta = place.path("meta");
        let there = |name: &str| meta.join(name).exists();
        for name in ["stays", "vanishes"] {
            api.create_pod(pending(name)).unwrap();
        }
        let config = place.configure(&api.url(), &config(&meta, at_start, retention));
        let mut program = place.run(&config);
        until("no files", || there("shop_stays.meta") && there("shop_vanishes.meta")).await;
        assert!(program.stop(PATIENCE).await.unwrap().success());

        api.delete_pod("shop", "vanishes").unwrap();
        std::fs::write(meta.join("test-file.meta"), "stale").unwrap();
        std::fs::write(meta.join("default.namespace_meta"), "kept").unwrap();
        let mut program = place.run(&config);
        until("stale files stay", || !there("shop_vanishes.meta") && !there("test-file.meta")).await;
        assert!(there("shop_stays.meta") && there("default.namespace_meta"));
        assert!(program.stop(PATIENCE).await.unwrap().success());
    }
}

#[tokio::test]
async fn a_retention_that_has_begun_goes_on_after_a_restart() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let meta = place.path("meta");
    let file = meta.join("shop_web.meta");
    let config = place.configure(&api.url(), &config(&meta, "reconcile", "6s"));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("web")).unwrap();
    until("no file", || file.exists()).await;
    api.delete_pod("shop", "web").unwrap();
    let deleted = std::time::Instant::now();
    until("no retention", || meta.join(".sluicebox-retention").exists()).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());

    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    // Longer than what belongs to nothing stays: this file is waiting for its own time.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(file.exists(), "gone after {:?}", deleted.elapsed());
    until("the file stays after its retention", || !file.exists()).await;
    assert!(deleted.elapsed() >= Duration::from_millis(5_900), "{:?}", deleted.elapsed());
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn kill_9_under_load_never_leaves_a_broken_file() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let meta = place.path("meta");
    let config = place.configure(&api.url(), &config(&meta, "reconcile", "1h"));
    for number in 0..20 {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    for round in 0..10_u64 {
        let mut program = place.run(&config);
        program.until_ready(PATIENCE).await.unwrap();
        for number in 0..20 {
            let digit = char::from_digit(u32::try_from(round).unwrap(), 16).unwrap();
            api.patch_status("shop", &format!("pod-{number}"), &running(digit)).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(round * 3)).await;
        program.kill().unwrap();
        for entry in std::fs::read_dir(&meta).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "meta") {
                let text = std::fs::read_to_string(&path).unwrap();
                let pod: serde_json::Value =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}: {text}"));
                assert!(text.ends_with('\n') && pod["metadata"]["uid"].is_string());
            }
        }
    }
}

#[tokio::test]
async fn a_sink_that_is_away_does_not_hold_up_the_other_sink() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let meta = place.path("meta");
    // Nothing listens on port 1, and its lane may hold only a few events.
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}}}\n\
             modules:\n\
             \x20 meta: {{use: fluent-bit-meta, to: [folder]}}\n\
             \x20 events: {{use: json-lines, settings: {{channel: c}}, queue: {{items: 4}}, when-full: drop-oldest, to: [away]}}\n\
             sinks:\n  folder: {{files: {{directory: \"{}\"}}}}\n  away: {{redis: {{url: \"redis://127.0.0.1:1\"}}, queue: {{items: 2}}}}\n\
             shutdown-grace: 1s\n",
            meta.display()
        ),
    );
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 0..500 {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    until("files are missing", || std::fs::read_dir(&meta).is_ok_and(|files| files.count() >= 500)).await;
    let dropped = program.metric("sluicebox_lane_dropped_events_total", "reason=\"overflow\"").await.unwrap();
    assert!(dropped > 400.0, "{dropped}");
    assert_eq!(program.stop(PATIENCE).await.unwrap().code(), Some(1), "what waited for the sink is lost");
}
