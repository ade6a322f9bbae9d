//! A hostile module in the running program: the host lives, the other lane runs on, and the operator sees module, version and reason.

mod support;

use std::path::{Path, PathBuf};

use sluicebox_testkit::api_server::ApiServer;
use support::{PATIENCE, Place, pending};

fn hostile() -> PathBuf {
    let built = std::env::var_os("SLUICEBOX_MODULES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules"), PathBuf::from);
    let path = built.join("hostile.wasm");
    assert!(path.is_file(), "{} is missing: run `cargo xtask modules --all`", path.display());
    path
}

/// Runs a hostile lane beside a good one; gives what was logged about the hostile one, and the metrics.
async fn beside(component: &Path, settings: &str, limits: &str) -> (String, String) {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}}}\n\
             modules:\n\
             \x20 bad: {{use: {}, settings: {settings}, limits: {limits}, to: [folder]}}\n\
             \x20 good: {{use: json-lines, settings: {{fields: compact}}, to: [lines]}}\n\
             sinks: {{lines: {{stdout: {{}}}}, folder: {{files: {{directory: \"{}\"}}}}}}\n",
            component.display(),
            place.path("files").display(),
        ),
    );
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    for number in 0..20 {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    program.until_lines(PATIENCE, |lines| lines.len() >= 20).await.unwrap();
    // The good lane may be faster than the bad one fails.
    for _ in 0..500 {
        if program.log().unwrap().lines().any(about_bad) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (alive, _) = program.get("/livez").await.unwrap();
    assert!(alive);
    let (_, metrics) = program.get("/metrics").await.unwrap();
    let status = program.stop(PATIENCE).await.unwrap();
    let log = program.log().unwrap();
    assert!(status.success(), "{status}\n{log}");
    let about: Vec<&str> = log.lines().filter(|line| about_bad(line)).collect();
    (about.join("\n"), metrics)
}

fn about_bad(line: &str) -> bool {
    let trouble = line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#);
    trouble && (line.contains(r#""lane":"bad""#) || line.contains(r#""sink":"folder""#))
}

/// The log names module, version and reason.
async fn told(settings: &str, limits: &str, reason: &str) {
    let (log, metrics) = beside(&hostile(), settings, limits).await;
    assert!(log.contains(reason), "`{reason}` is not in:\n{log}");
    assert!(log.contains("hostile"), "the module is not named:\n{log}");
    let row = metrics.lines().find(|line| line.starts_with("sluicebox_lane_events_total") && line.contains(r#"lane="bad""#));
    let version = row.and_then(|row| row.split("version=\"").nth(1)?.split('"').next()).unwrap();
    assert!(!version.is_empty() && log.contains(version), "version {version} is not in:\n{log}");
}

#[tokio::test]
async fn an_endless_loop_in_start_is_stopped() {
    told("{evil: loop-in-start}", "{start-deadline: 100ms}", "100ms").await;
}

#[tokio::test]
async fn an_endless_loop_in_a_handler_is_stopped() {
    told("{evil: loop}", "{deadline: 50ms}", "50ms").await;
}

#[tokio::test]
async fn a_memory_bomb_is_stopped() {
    told("{evil: memory-bomb}", "{memory: 16MiB}", "memory").await;
}

#[tokio::test]
async fn a_stack_overflow_is_stopped() {
    told("{evil: stack-overflow}", "{}", "stack").await;
}

#[tokio::test]
async fn a_panic_is_told_in_its_own_words() {
    told("{evil: panic}", "{}", "I give up").await;
}

#[tokio::test]
async fn ten_million_entries_are_refused() {
    told("{evil: many-entries, size: 10000000}", "{memory: 1GiB, deadline: 10s}", "limit").await;
}

#[tokio::test]
async fn one_entry_of_a_gibibyte_is_refused() {
    told("{evil: large-entry, size: 1073741824}", "{memory: 64MiB}", "memory").await;
}

#[tokio::test]
async fn a_file_name_that_escapes_is_refused_by_the_sink() {
    let (log, _) = beside(&hostile(), "{evil: escaping-name}", "{}").await;
    assert!(log.contains("../../x") && log.contains("refused"), "{log}");
}

#[tokio::test]
async fn a_log_flood_neither_fills_the_log_nor_slows_the_other_lane() {
    let (log, _) = beside(&hostile(), "{evil: log-flood, size: 100000}", "{deadline: 5s}").await;
    assert!(log.len() < 100_000, "{} bytes of log", log.len());
}

#[tokio::test]
async fn what_is_no_component_leaves_the_other_lane_at_work() {
    let place = Place::new();
    let whole = std::fs::read(hostile()).unwrap();
    let cut = whole.get(..whole.len() / 2).unwrap().to_vec();
    for (name, bytes) in [("text.wasm", b"hello".to_vec()), ("truncated.wasm", cut), ("empty.wasm", Vec::new())] {
        let path = place.path(name);
        std::fs::write(&path, bytes).unwrap();
        let (log, _) = beside(&path, "{}", "{}").await;
        assert!(log.contains("module not loaded") && log.contains(name) && log.contains("hint"), "{name}:\n{log}");
    }
    let (log, _) = beside(&place.path("missing.wasm"), "{}", "{}").await;
    assert!(log.contains("cannot read") && log.contains("missing.wasm"), "{log}");
}
