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
async fn beside(component: &Path, settings: &str, limits: &str, awaited: &str) -> (String, String) {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}}}\n\
             modules:\n\
             \x20 bad: {{use: {}, settings: {settings}, limits: {limits}, queue: {{items: 8}}, batch: 4, when-full: drop-oldest, to: [folder]}}\n\
             \x20 good: {{use: json-lines, settings: {{fields: compact}}, to: [lines]}}\n\
             sinks: {{lines: {{stdout: {{}}}}, folder: {{files: {{directory: \"{}\"}}}}}}\n",
            component.display(),
            place.path("files").display(),
        ),
    );
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    // More events than the bad lane's queue holds.
    for number in 0..100 {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    program.until_lines(PATIENCE, |lines| lines.len() >= 100).await.unwrap();
    // The good lane may be faster than the bad one fails.
    for _ in 0..12_000 {
        if program.log().unwrap().lines().any(|line| about_bad(line) && line.contains(awaited)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (alive, _) = program.get("/livez").await.unwrap();
    assert!(alive);
    let (_, metrics) = program.get("/metrics").await.unwrap();
    let status = program.stop(PATIENCE).await.unwrap();
    let log = program.log().unwrap();
    // An end that leaves events of the bad lane unshaped is no clean end.
    let unshaped = log.contains("events left unshaped");
    assert_eq!(status.code(), Some(i32::from(unshaped)), "{status}\n{log}");
    let about: Vec<&str> = log.lines().filter(|line| about_bad(line)).collect();
    (about.join("\n"), metrics)
}

fn about_bad(line: &str) -> bool {
    let trouble = line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#);
    trouble && (line.contains(r#""lane":"bad""#) || line.contains(r#""sink":"folder""#))
}

/// The log names module, version and reason.
async fn told(settings: &str, limits: &str, reason: &str) {
    let (log, metrics) = beside(&hostile(), settings, limits, reason).await;
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
    told("{evil: many-entries, size: 10000000, only: pod-99}", "{memory: 2GiB, deadline: 60s}", "8 MiB").await;
}

#[tokio::test]
async fn one_entry_of_a_gibibyte_is_refused() {
    told("{evil: large-entry, size: 1073741824, only: pod-99}", "{memory: 3GiB, deadline: 60s}", "8 MiB").await;
}

#[tokio::test]
async fn a_file_name_that_escapes_is_refused_by_the_sink() {
    let (log, _) = beside(&hostile(), "{evil: escaping-name}", "{}", "../../x").await;
    let line = log.lines().find(|line| line.contains("sink refused an entry for good")).unwrap_or_else(|| panic!("{log}"));
    for part in ["../../x", r#""lane":"bad""#, "hostile.wasm"] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
    assert!(log.lines().count() < 40, "{} lines for 100 refusals", log.lines().count());
}

#[tokio::test]
async fn a_log_flood_does_not_fill_the_log() {
    let (log, _) = beside(&hostile(), "{evil: log-flood, size: 100000}", "{deadline: 5s}", "refused").await;
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
        let (log, _) = beside(&path, "{}", "{}", "not loaded").await;
        assert!(log.contains("module not loaded") && log.contains(name) && log.contains("hint"), "{name}:\n{log}");
    }
    let (log, _) = beside(&place.path("missing.wasm"), "{}", "{}", "not loaded").await;
    assert!(log.contains("cannot read") && log.contains("missing.wasm"), "{log}");
}

#[tokio::test]
async fn an_import_that_is_not_granted_and_another_version_leave_the_other_lane_at_work() {
    let place = Place::new();
    for (name, text, reason) in [
        (
            "sockets.wasm",
            r#"(component (import "wasi:sockets/network@0.2.6" (instance)) (import "acme:secrets/store" (instance (export "get" (func)))))"#,
            "acme:secrets/store",
        ),
        (
            "future.wasm",
            r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))
               (instance $l (export "start" (func $f))) (export "sluicebox:module/lifecycle@9.0.0" (instance $l)))"#,
            "sluicebox:module 9.0.0; this host accepts",
        ),
    ] {
        let path = place.path(name);
        std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        let (log, _) = beside(&path, "{}", "{}", "not loaded").await;
        assert!(log.contains("module not loaded") && log.contains(name) && log.contains(reason), "{name}:\n{log}");
    }
}
