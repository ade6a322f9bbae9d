//! A new version of a module fails somewhere on its way into the lane: the old one goes on as if nothing had been, the operator sees
//! where and why, and a good version takes over afterwards.

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sluicebox_testkit::api_server::{ApiServer, RequestFault, RequestFaultKind};
use sluicebox_wasm::digest;
use support::shop::{Refusal, Shop, Terms};
use support::{PATIENCE, Place, SLOW, digest_in, log_lines, log_since, module, pending, replace, status_of, until, until_within};

const READ: &str = "reading the component";
const LOAD: &str = "loading the component";
const REHEARSAL: &str = "the rehearsal";
const SWAP: &str = "the swap";

fn hostile() -> Vec<u8> {
    std::fs::read(module("hostile")).unwrap()
}

/// Each of these components is refused, and after each a good one takes over.
async fn components(cases: &[(&[u8], &str)]) {
    let mut shop = Shop::open(Terms::default()).await;
    for (bytes, reason) in cases {
        shop.refuses(|shop| replace(&shop.component(), bytes), Refusal { step: LOAD, reason }).await;
        shop.takes_component().await;
    }
    shop.close().await;
}

/// With each of these settings the module is refused, and after each it takes others.
async fn settings(cases: &[(&str, &str)]) {
    let mut shop = Shop::open(Terms::default()).await;
    for (settings, reason) in cases {
        shop.refuses(|shop| shop.set(settings), Refusal { step: REHEARSAL, reason }).await;
        shop.takes_settings().await;
    }
    shop.close().await;
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let whole = hostile();
    components(&[
        (b"hello", "it is not WebAssembly"),
        (b"", "the file is empty"),
        (&whole[..whole.len() / 2], "it is truncated"),
        (&wat::parse_str("(module (func (export \"start\")))").unwrap(), "a core WebAssembly module"),
    ])
    .await;
}

#[tokio::test]
async fn a_component_that_is_no_module_of_ours_is_refused() {
    let exports = |name: &str| {
        let text = format!(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i \"f\"))) \
             (instance $l (export \"start\" (func $f))) (export \"{name}\" (instance $l)))"
        );
        wat::parse_str(text).unwrap()
    };
    let wants = r#"(component (import "acme:secrets/store" (instance (export "get" (func)))))"#;
    components(&[
        (&wat::parse_str("(component)").unwrap(), "it exports nothing"),
        (&exports("acme:weather/forecast"), "it exports acme:weather/forecast"),
        (&exports("sluicebox:module/lifecycle@0.2.0"), ""),
        (&exports("sluicebox:module/lifecycle@9.0.0"), "sluicebox:module 9.0.0; this host accepts"),
        (&wat::parse_str(wants).unwrap(), "it imports acme:secrets/store"),
    ])
    .await;
}

#[tokio::test]
async fn a_component_that_does_not_compile_or_is_too_large_is_refused() {
    let mut shop = Shop::open(Terms::default()).await;
    let invalid = [hostile().as_slice(), &[1, 8], b"\0asm\x01\0\0\xff"].concat();
    shop.refuses(|shop| replace(&shop.component(), &invalid), Refusal { step: LOAD, reason: "it does not compile" }).await;
    shop.takes_component().await;
    let large = sluicebox_testkit::components::large(&hostile(), 3 << 20);
    // Not even its bytes are read.
    let refusal = Refusal { step: READ, reason: "more than the 2 MiB that a component may have" };
    shop.refuses(|shop| replace(&shop.component(), &large), refusal).await;
    // A change of the limit is a reason to try it again.
    shop.terms.limits = shop.terms.limits.replace("2MiB", "4MiB");
    shop.reconfigure();
    until_within(&shop.program, SLOW, "it is taken", async || digest_in(&shop.program, "shop").await == digest(&large)).await;
    shop.flows().await;
    shop.close().await;
}

fn remove(path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir(path).unwrap();
    } else {
        std::fs::remove_file(path).unwrap();
    }
}

/// How the file becomes one that cannot be read, and what is said of it.
type Case<'a> = (&'a dyn Fn(&Path), &'a str);

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused() {
    let mut shop = Shop::open(Terms::default()).await;
    let directory = |path: &Path| std::fs::create_dir(path).unwrap();
    let pipe = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let dangling = |path: &Path| symlink("nothing", path).unwrap();
    let circle = |path: &Path| symlink(path.file_name().unwrap(), path).unwrap();
    let cases: [Case<'_>; 5] = [
        (&|_| {}, "No such file"),
        (&directory, "has no component: it is empty"),
        (&pipe, "it is no regular file"),
        (&dangling, "No such file"),
        (&circle, "symbolic links"),
    ];
    for (make, reason) in cases {
        let bad = |shop: &mut Shop| {
            remove(&shop.component());
            make(&shop.component());
        };
        shop.refuses(bad, Refusal { step: READ, reason }).await;
        if std::fs::symlink_metadata(shop.component()).is_ok() {
            remove(&shop.component());
        }
        shop.takes_component().await;
    }
    shop.close().await;
}

#[tokio::test]
async fn a_module_that_handles_no_events_of_its_sources_is_refused() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let path = place.path("module.wasm");
    replace(&path, &hostile());
    let rest = format!(
        "sources: {{pods: {{}}, namespaces: {{}}}}\n\
         reload: {{poll: 500ms, debounce: 50ms}}\n\
         modules: {{namespaces: {{use: \"{}\", from: [namespaces], to: [out]}}}}\n\
         sinks: {{out: {{stdout: {{}}}}}}\n",
        path.display()
    );
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(PATIENCE).await.unwrap();
    // The same module without its handler for objects: the host never calls what it does not know.
    let pods_only = renamed(&hostile(), "object-handler", "absent-handler");
    replace(&path, &pods_only);
    until(&program, "it is refused", async || {
        let refused = &status_of(&program, "namespaces").await["refused"];
        refused["step"] == LOAD
            && refused["reason"] == "it handles no events of namespaces"
            && refused["digest"] == digest(&pods_only)
    })
    .await;
    assert_eq!(digest_in(&program, "namespaces").await, digest(&hostile()));
    api.create_namespace(serde_json::json!({"metadata": {"name": "shop"}})).unwrap();
    program.until_lines(PATIENCE, |lines| lines.len() == 1).await.unwrap();
    replace(&path, &hostile());
    until(&program, "the refusal is forgotten", async || status_of(&program, "namespaces").await["refused"].is_null()).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

/// The component with another name in place of this one, of the same length.
fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[tokio::test]
async fn a_module_that_does_not_start_is_refused() {
    settings(&[
        ("{evil: panic-in-start}", "I cannot start"),
        ("{evil: refuse-to-start}", "setting `colour`: unknown"),
        ("{evil: loop-in-start}", "lifecycle.start"),
        ("{evil: memory-bomb-in-start}", "memory limit of 64 MiB"),
    ])
    .await;
}

#[tokio::test]
async fn a_module_that_does_not_stand_its_subjects_is_refused() {
    settings(&[("{evil: panic-in-define}", "I know nobody"), ("{evil: loop-in-define}", "did not return within the deadline")])
        .await;
}

#[tokio::test]
async fn a_module_that_stops_in_the_rehearsal_is_refused() {
    settings(&[
        ("{evil: panic}", "I give up"),
        ("{evil: unreachable}", "`unreachable`"),
        ("{evil: stack-overflow}", "its stack of"),
        ("{evil: loop}", "did not return within the deadline of 2s"),
        ("{evil: memory-bomb}", "memory limit of 64 MiB"),
    ])
    .await;
}

#[tokio::test]
async fn a_module_that_answers_what_it_must_not_is_refused() {
    settings(&[
        ("{evil: many-entries, size: 2000}", "more than the 1000 that one call may return"),
        ("{evil: large-entry, size: 16777216}", "8 MiB"),
        ("{evil: ends-beyond}", "packed"),
        ("{evil: refuse}", "I do not like this"),
    ])
    .await;
}

#[tokio::test]
async fn a_module_that_does_not_move_its_state_is_refused() {
    settings(&[
        ("{evil: refuse-to-save}", "I have nothing"),
        ("{evil: panic-in-save}", "I keep it to myself"),
        ("{evil: loop-in-save}", "did not return within the deadline"),
        ("{evil: refuse-to-restore}", "this is not mine"),
        ("{evil: panic-in-restore}", "I remember nothing"),
        ("{evil: loop-in-restore}", "did not return within the deadline"),
    ])
    .await;
}

#[tokio::test]
async fn a_module_that_talks_too_much_or_refuses_some_events_takes_over() {
    let mut shop = Shop::open(Terms::default()).await;
    shop.flows().await;
    shop.takes("{evil: log-flood, size: 100000}").await;
    shop.takes("{evil: refuse, only: bait}").await;
    shop.api.create_pod(pending("bait")).unwrap();
    until(&shop.program, "the bait is refused", async || {
        shop.program.metric("sluicebox_lane_dropped_events_total", "reason=\"refused\"").await.unwrap() > 0.0
    })
    .await;
    shop.program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.contains("bait"))).await.unwrap();
    assert!(shop.program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn what_was_taken_back_is_refused_no_more_and_not_tried_again() {
    let mut shop = Shop::open(Terms::default()).await;
    shop.refuses(|shop| shop.set("{evil: panic}"), Refusal { step: REHEARSAL, reason: "I give up" }).await;
    shop.set("{}");
    until(&shop.program, "it is forgotten", async || status_of(&shop.program, "shop").await["refused"].is_null()).await;
    assert_eq!(status_of(&shop.program, "shop").await["swapped"], 0);
    let good = std::fs::read(shop.component()).unwrap();
    shop.refuses(|shop| replace(&shop.component(), b"hello"), Refusal { step: LOAD, reason: "it is not WebAssembly" }).await;
    // The same bytes again are no news.
    let line = log_lines(&shop.program);
    replace(&shop.component(), b"hello");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!log_since(&shop.program, line).iter().any(|line| line["message"] == "new version refused"));
    replace(&shop.component(), &good);
    until(&shop.program, "it is forgotten", async || status_of(&shop.program, "shop").await["refused"].is_null()).await;
    assert_eq!(status_of(&shop.program, "shop").await["swapped"], 0);
    shop.close().await;
}

#[tokio::test]
async fn a_module_that_refuses_to_hand_its_state_over_goes_on() {
    let mut shop = Shop::open(Terms { settings: "{evil: refuse-to-save}".to_owned(), ..Terms::default() }).await;
    shop.refuses(|shop| shop.set("{size: 1}"), Refusal { step: SWAP, reason: "I have nothing" }).await;
    shop.close().await;
}

#[tokio::test]
async fn a_module_that_dies_when_it_is_asked_for_its_state_is_replaced_without_it() {
    for evil in ["panic-in-save", "loop-in-save", "memory-bomb-in-save"] {
        let mut shop = Shop::open(Terms { settings: format!("{{evil: {evil}}}"), ..Terms::default() }).await;
        shop.flows().await;
        shop.takes_settings().await;
        let log = shop.program.log().unwrap();
        assert!(log.contains("the module's state is lost: it stopped when it was to save it"), "{evil}:\n{log}");
        shop.close().await;
    }
}

#[tokio::test]
async fn settings_that_a_module_does_not_know_are_refused() {
    let mut shop = Shop::open(Terms::default()).await;
    shop.flows().await;
    shop.terms.other = "{fields: everything}".to_owned();
    shop.reconfigure();
    shop.is_refused("other", Refusal { step: REHEARSAL, reason: "unknown variant `everything`" }).await;
    shop.flows().await;
    assert!(status_of(&shop.program, "shop").await["refused"].is_null());
    shop.terms.other = "{fields: full}".to_owned();
    shop.reconfigure();
    until(&shop.program, "others take over", async || status_of(&shop.program, "other").await["swapped"] == 1).await;
    assert!(status_of(&shop.program, "other").await["refused"].is_null());
    shop.flows().await;
    shop.close().await;
}

fn refusals(api: &ApiServer) -> Vec<Value> {
    api.events().into_iter().filter(|event| event["reason"] == "ModuleReloadRefused").collect()
}

#[tokio::test]
async fn a_kubernetes_event_tells_of_a_refusal() {
    let mut shop = Shop::open(Terms { reload: ", kubernetes-events: true".to_owned(), ..Terms::default() }).await;
    shop.refuses(|shop| shop.set("{evil: panic}"), Refusal { step: REHEARSAL, reason: "I give up" }).await;
    until(&shop.program, "an event is posted", async || !refusals(&shop.api).is_empty()).await;
    let events = refusals(&shop.api);
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.contains("lane `shop`: refused in the rehearsal: ") && message.contains("I give up"), "{message}");
    assert_eq!(events[0]["type"], "Warning");
    shop.takes_settings().await;
    assert_eq!(refusals(&shop.api).len(), 1);
    shop.close().await;
}

#[tokio::test]
async fn no_kubernetes_event_is_posted_unless_wanted() {
    let mut shop = Shop::open(Terms { reload: ", kubernetes-events: false".to_owned(), ..Terms::default() }).await;
    shop.refuses(|shop| shop.set("{evil: panic}"), Refusal { step: REHEARSAL, reason: "I give up" }).await;
    shop.takes_settings().await;
    assert!(shop.api.events().is_empty(), "{:?}", shop.api.events());
    assert!(!shop.api.requests().iter().any(|request| request.method == "POST"));
    shop.close().await;
}

#[tokio::test]
async fn an_api_server_that_takes_no_events_changes_nothing() {
    for kind in [RequestFaultKind::Status(403, None), RequestFaultKind::Hang] {
        let mut shop = Shop::open(Terms { reload: ", kubernetes-events: true".to_owned(), ..Terms::default() }).await;
        shop.flows().await;
        shop.api.fail(RequestFault { watches: Some(false), times: u32::MAX, kind });
        shop.refuses(|shop| shop.set("{evil: panic}"), Refusal { step: REHEARSAL, reason: "I give up" }).await;
        shop.takes_settings().await;
        until(&shop.program, "a warning tells of it", async || {
            let log = log_since(&shop.program, 0);
            log.iter().any(|line| line["level"] == "WARN" && line["message"] == "no Kubernetes Event tells of it")
        })
        .await;
        shop.close().await;
    }
}
