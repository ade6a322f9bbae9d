//! What a source does at its bounds: too long, too many, too fast, not understood; and what an operator reads of it.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::time::Duration;

use cluster::bench::{Bench, NODE};
use cluster::{Recorder, TYPED, during, pod, running};
use serde_json::{Value, json};
use sluicebox_contract::quantity::ByteSize;
use sluicebox_contract::{Change, Source as _};
use sluicebox_sources::Scope;
use sluicebox_sources::Wants;
use sluicebox_sources::pods::Config;
use sluicebox_testkit::api_server::{Request, RequestFaultKind, WatchFault};

/// Objects that are not understood are left out and counted; the others are told.
#[tokio::test]
async fn objects_that_are_not_understood_are_left_out() {
    let bench = Bench::with(&["a"]).await;
    let text = json!({
        "kind": "PodList",
        "metadata": {"resourceVersion": "1"},
        "items": [
            {"metadata": {"name": "nameless-uid"}},
            {"metadata": {"name": "odd", "uid": "u1", "resourceVersion": "1"}, "spec": {"containers": 7}},
            {"metadata": {"name": "fine", "uid": "u2", "resourceVersion": "1"}},
            "not even an object",
        ],
    });
    bench.fail(Some(false), 1, RequestFaultKind::Body(text.to_string()));
    let recorder = Recorder::default();
    let wants = Wants { typed: true, json: true };
    during(bench.source_as(&Config::default(), wants).await, &recorder, async {
        let lines = recorder.until_complete().await;
        assert_eq!(lines, ["define odd", "listed odd json", "define fine", "listed fine -", "listed fine json", "complete"]);
    })
    .await;
    assert_eq!(bench.meter.skipped.get(), 3);
}

/// An event that is longer than allowed is left out; those after it are told.
#[tokio::test]
async fn an_event_that_is_too_long_is_left_out() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Huge(0, 200_000));
    let config = Config { max_object_bytes: ByteSize(64 << 10), ..Config::default() };
    let recorder = Recorder::default();
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_complete().await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((bench.meter.skipped.get(), bench.meter.lists.get()), (1, 1));
}

/// A page that is longer than allowed is asked for in smaller ones.
#[tokio::test]
async fn a_page_that_is_too_long_is_asked_for_in_smaller_ones() {
    for scope in [Scope::Node, Scope::Cluster] {
        let bench = Bench::new().await;
        for number in 0..40 {
            let mut body = pod("s", &format!("pod-{number:02}"), NODE);
            body["metadata"]["annotations"]["long"] = "x".repeat(10_000).into();
            bench.server.create_pod(body).expect("it is created");
        }
        let config = Config { scope, max_page_bytes: ByteSize(64 << 10), ..Config::default() };
        let recorder = Recorder::default();
        during(bench.source_as(&config, TYPED).await, &recorder, async {
            let lines = recorder.until_complete().await;
            assert_eq!(lines.iter().filter(|line| line.starts_with("listed")).count(), 40);
        })
        .await;
        assert_eq!(bench.meter.retries.get(), 0);
    }
}

/// A pod that is longer than a page may be. Its uid stands where a real server has it: near the name.
fn long_pod(name: &str) -> Value {
    let mut body = pod("s", name, NODE);
    body["metadata"] = json!({"name": name, "namespace": "s", "uid": name, "annotations": {"long": "x".repeat(100_000)}});
    body
}

fn limits(request: &Request) -> Option<String> {
    (!request.is_watch()).then(|| request.parameter("limit").unwrap_or_else(|| "all".to_owned()))
}

/// An object that fits in no page is left out and counted; the list goes on after it, in pages as long as before.
#[tokio::test]
async fn an_object_that_fits_in_no_page_is_left_out() {
    let bench = Bench::with(&["a", "b", "y", "z"]).await;
    bench.server.create_pod(long_pod("long")).expect("it is created");
    let config =
        Config { page_size: 4, max_page_bytes: ByteSize(64 << 10), max_object_bytes: ByteSize(64 << 10), ..Config::default() };
    let recorder = Recorder::default();
    let log = cluster::log::Log;
    let source = bench.source_as(&config, TYPED).await;
    log.catch();
    during(source, &recorder, async {
        let lines = recorder.until_complete().await;
        let listed: Vec<_> = lines.iter().filter(|line| line.starts_with("listed")).collect();
        assert_eq!(listed, ["listed a Pending", "listed b Pending", "listed y Pending", "listed z Pending"]);
        bench.create("c");
        recorder.until_line("added c Pending").await;
    })
    .await;
    assert_eq!((bench.meter.skipped.get(), bench.meter.lists.get(), bench.meter.retries.get()), (1, 1, 0));
    let requests = bench.server.requests();
    assert_eq!(requests.iter().filter_map(limits).collect::<Vec<_>>(), ["all", "4", "2", "2", "1", "4"]);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("an object of a list (s/long) that is longer than 65536 bytes (`max-page-bytes`)"), "{}", lines[0]);
}

/// A pod that has become too long for a page has not gone; another one of its name has taken its place.
#[tokio::test]
async fn an_object_that_has_become_too_long_is_not_told_as_gone() {
    for (uid, gone, kept) in [("long", 0, 2), ("another", 1, 1)] {
        let bench = Bench::with(&["a"]).await;
        let mut short = long_pod("long");
        short["metadata"]["annotations"] = json!({});
        short["metadata"]["uid"] = uid.into();
        bench.server.create_pod(short).expect("it is created");
        let config = Config { max_page_bytes: ByteSize(64 << 10), max_object_bytes: ByteSize(64 << 10), ..Config::default() };
        let recorder = Recorder::default();
        during(bench.source_as(&config, TYPED).await, &recorder, async {
            recorder.until_complete().await;
            bench.server.pause().await.expect("it pauses");
            bench.delete("long");
            bench.delete("a");
            bench.server.create_pod(long_pod("long")).expect("it is created");
            bench.server.compact();
            bench.server.resume().await.expect("it resumes");
            bench.create("b");
            recorder.until_line("deleted a Pending, was Pending").await;
            recorder.until_line("added b Pending").await;
        })
        .await;
        assert_eq!(recorder.count("deleted long Pending, was Pending"), gone, "{:#?}", recorder.lines());
        assert_eq!(bench.meter.cached_objects.get(), kept);
    }
}

/// A page that does not say where the list goes on cannot be passed over: that is said, and said again.
#[tokio::test]
async fn a_page_that_cannot_be_passed_over_is_said_each_time() {
    let bench = Bench::with(&["a"]).await;
    let text = json!({"items": [long_pod("long")], "metadata": {"resourceVersion": "1"}});
    bench.fail(Some(false), 5, RequestFaultKind::Body(text.to_string()));
    let config = Config { page_size: 1, max_page_bytes: ByteSize(64 << 10), ..Config::default() };
    let recorder = Recorder::default();
    let log = cluster::log::Log;
    let source = bench.source_as(&config, TYPED).await;
    log.catch();
    during(source, &recorder, recorder.until_complete()).await;
    assert_eq!((bench.meter.skipped.get(), bench.meter.lists.get()), (4, 5));
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("raise `max-page-bytes`")).count(), 4, "{lines:#?}");
}

/// After a list that needed small pages the next one begins with long ones again.
#[tokio::test]
async fn pages_are_as_long_as_before_in_the_next_list() {
    let bench = Bench::new().await;
    for number in 0..4 {
        let mut body = pod("s", &format!("pod-{number}"), NODE);
        body["metadata"]["annotations"]["long"] = "x".repeat(20_000).into();
        bench.server.create_pod(body).expect("it is created");
    }
    bench.server.fail_next_watch(WatchFault::Gone(0));
    let config = Config { scope: Scope::Cluster, page_size: 4, max_page_bytes: ByteSize(64 << 10), ..Config::default() };
    let recorder = Recorder::default();
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_complete().await;
        bench.create("last");
        recorder.until_line("added last Pending").await;
    })
    .await;
    let requests = bench.server.requests();
    assert_eq!(requests.iter().filter_map(limits).take(4).collect::<Vec<_>>(), ["4", "2", "2", "4"]);
}

/// What does not fit in the cache is told all the same.
#[tokio::test]
async fn what_is_not_remembered_is_told_all_the_same() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let config = Config { max_cached_objects: 2, ..Config::default() };
    let recorder = Recorder::default();
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_complete().await;
        bench.server.patch_status("s", "c", &running("containerd://1", 0)).expect("it is patched");
        recorder.until_line("modified c Running").await;
        bench.delete("c");
        recorder.until_line("deleted c Running").await;
    })
    .await;
    assert_eq!(bench.meter.cached_objects.get(), 2);
    assert!(bench.meter.uncached.get() >= 2);
    let ends = recorder.count("forget c");
    assert_eq!(ends, recorder.count("define c"), "each subject that was defined is forgotten");
}

/// A feed that waits makes the source wait, and it can be stopped there.
#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let recorder = Recorder::with_room(3);
    during(bench.source().await, &recorder, async {
        recorder.until_line("define b").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(recorder.lines(), ["define a", "listed a Pending", "define b"]);
        recorder.make_room(3);
        recorder.until_line("listed c Pending").await;
    })
    .await;
    assert_eq!(recorder.lines().len(), 6);
}

/// When nobody listens any more, a source ends by itself: in the list, at the next event, and while it waits for room.
#[tokio::test]
async fn a_source_ends_when_nobody_listens() {
    for (room, told) in [(0, 0), (100, 5), (3, 3)] {
        let bench = Bench::with(&["a", "b"]).await;
        let recorder = Recorder::with_room(room);
        let run = bench.source().await.run(recorder.clone(), std::future::pending());
        let scenario = async {
            recorder.until(|lines| lines.len() == told).await;
            recorder.close();
            bench.create("c");
        };
        let (ended, ()) = tokio::time::timeout(Duration::from_secs(5), async { futures::join!(run, scenario) })
            .await
            .expect("the source ends though it is not told to stop");
        assert_eq!((ended, recorder.lines().len()), (Ok(()), told));
    }
}

/// Stopping is quick while nothing can be reached and while a request hangs.
#[tokio::test]
async fn stopping_is_quick_in_an_outage() {
    let bench = Bench::new().await;
    bench.server.pause().await.expect("it pauses");
    during(bench.source().await, &Recorder::default(), tokio::time::sleep(Duration::from_millis(300))).await;
    bench.server.resume().await.expect("it resumes");
    bench.fail(None, 1, RequestFaultKind::Hang);
    during(bench.source().await, &Recorder::default(), tokio::time::sleep(Duration::from_millis(300))).await;
}

/// A thousand changes in a row: each is told, with what was before.
#[tokio::test]
async fn a_thousand_changes_are_told_in_order() {
    let bench = Bench::with(&["a"]).await;
    let recorder = Recorder::default();
    during(bench.source_as(&Config::default(), Wants { typed: true, json: true }).await, &recorder, async {
        recorder.until_complete().await;
        for number in 1..=1000 {
            bench.server.patch_status("s", "a", &running("containerd://1", number)).expect("it is patched");
        }
        recorder.until(|lines| lines.len() >= 2003).await;
    })
    .await;
    let restarts = |pod: &sluicebox_contract::Pod| pod.containers[0].status.as_ref().map(|status| status.restart_count);
    let pods = recorder.pods();
    for (number, event) in (1..=1000).zip(pods.iter().skip(1)) {
        assert_eq!((event.change, restarts(&event.pod)), (Change::Modified, Some(number)));
        assert_eq!(event.previous.as_deref().and_then(restarts).unwrap_or(0), number - 1);
    }
    assert_eq!(recorder.objects().len(), 1001);
}

/// One warning when the API goes away, one line when it is back, however many tries lie between.
#[tokio::test]
async fn an_outage_is_two_lines_in_the_log() {
    let bench = Bench::with(&["a"]).await;
    let log = cluster::log::Log;
    let recorder = Recorder::default();
    let source = bench.source().await;
    log.catch();
    during(source, &recorder, async {
        recorder.until_complete().await;
        bench.server.pause().await.expect("it pauses");
        bench.until("some tries", |meter| meter.retries.get() >= 3).await;
        assert_eq!(bench.meter.connected.get(), 0);
        bench.server.resume().await.expect("it resumes");
        bench.until("an answer", |meter| meter.connected.get() == 1).await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("WARN") && lines[0].contains("cannot watch pods at http://127.0.0.1"), "{}", lines[0]);
    assert!(lines[1].starts_with("INFO") && lines[1].contains("the API answers again"), "{}", lines[1]);
}

/// A server that fails now this way and now that is told of once for each way.
#[tokio::test]
async fn an_outage_with_many_faces_is_told_once_for_each() {
    let bench = Bench::with(&["a"]).await;
    for code in [500, 503, 500, 503] {
        bench.fail(None, 1, RequestFaultKind::Status(code, None));
    }
    let log = cluster::log::Log;
    let recorder = Recorder::default();
    let source = bench.source().await;
    log.catch();
    during(source, &recorder, recorder.until_complete()).await;
    let lines = log.lines();
    let warned: Vec<_> = lines.iter().filter(|line| line.starts_with("WARN")).collect();
    assert!(warned.len() == 2 && warned[0].contains("500") && warned[1].contains("503"), "{lines:#?}");
}

/// Refusals say what an operator has to do.
#[tokio::test]
async fn refused_rights_come_with_a_hint() {
    for (code, hint) in [
        (401, "`kubernetes.token-retrieval`"),
        (403, "`list` and `watch` on `pods`"),
        (429, "more to do than it can"),
        (500, "see the server's log"),
        (503, "see the server's log"),
    ] {
        let bench = Bench::with(&["a"]).await;
        bench.fail(None, 1, RequestFaultKind::Status(code, None));
        let log = cluster::log::Log;
        let recorder = Recorder::default();
        let source = bench.source().await;
        log.catch();
        during(source, &recorder, recorder.until_complete()).await;
        let line = log.lines().remove(0);
        assert!(line.contains(hint) && line.contains(&format!("the API answers {code}: on purpose")), "{line}");
    }
}
