//! What a source does when the API server misbehaves: against the test kit's server, which misbehaves on demand.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::time::{Duration, Instant};

use cluster::bench::Bench;
use cluster::{Recorder, TYPED, during, pod};
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_sources::Scope;
use sluicebox_sources::kubernetes::Config as Kubernetes;
use sluicebox_sources::pods::Config;
use sluicebox_testkit::api_server::{Request, RequestFaultKind, WatchFault};

/// B20, D35: the requests ask for one node's pods in all namespaces.
#[tokio::test]
async fn b20_d35_the_requests_name_the_node() {
    let bench = Bench::new().await;
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.until("a watch", |_| bench.server.requests().len() >= 2).await;
    })
    .await;
    let requests = bench.server.requests();
    for request in &requests {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/api/v1/pods"));
        assert_eq!(request.parameter("fieldSelector").as_deref(), Some("spec.nodeName=n1"));
        assert!(request.query.contains("fieldSelector=spec.nodeName%3Dn1"), "{}", request.query);
        assert_eq!(request.bearer, None);
    }
    assert!(!requests[0].is_watch() && requests[1].is_watch());
    assert_eq!(requests[1].parameter("allowWatchBookmarks").as_deref(), Some("true"));
    assert_eq!(requests[1].parameter("sendInitialEvents"), None);
}

/// A list of many pods is asked for in pages; a list of one node's may come from the server's cache.
#[tokio::test]
async fn a_cluster_is_listed_in_pages() {
    let bench = Bench::with(&["a", "b", "c", "d", "e"]).await;
    let recorder = Recorder::default();
    let config = Config { scope: Scope::Cluster, page_size: 2, ..Config::default() };
    during(bench.source_as(&config, TYPED).await, &recorder, recorder.until_complete()).await;
    let lists: Vec<_> = bench.server.requests().into_iter().filter(|request| !request.is_watch()).collect();
    assert_eq!(lists.len(), 3);
    assert!(lists.iter().all(|request| request.parameter("limit").as_deref() == Some("2")));
    assert_eq!(recorder.lines().iter().filter(|line| line.starts_with("listed")).count(), 5);
    assert_eq!(bench.meter.lists.get(), 1);
}

/// B22: an API server that is not there yet is waited for, not asked in a loop.
#[tokio::test]
async fn b22_refused_at_the_start_is_tried_again_with_pauses() {
    let bench = Bench::with(&["a"]).await;
    bench.server.pause().await.expect("it pauses");
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let tries = bench.meter.retries.get();
        assert!((2..=6).contains(&tries), "{tries} tries in two seconds");
        assert_eq!((bench.meter.connected.get(), bench.meter.listed.get()), (0, 0));
        bench.server.resume().await.expect("it resumes");
        recorder.until_complete().await;
    })
    .await;
    assert_eq!((bench.meter.connected.get(), bench.meter.listed.get()), (1, 1));
}

/// B21: after 410 the list is read again, and nothing is told of what has not changed.
#[tokio::test]
async fn b21_410_at_the_third_event_leads_to_a_new_list() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Gone(3));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        for name in ["b", "c", "d"] {
            bench.create(name);
        }
        bench.until("a second list", |meter| meter.lists.get() == 2).await;
        bench.create("e");
        let lines = recorder.until_line("added e Pending").await;
        assert_eq!(lines.iter().filter(|line| line.starts_with("added")).count(), 4);
        assert!(!lines.iter().any(|line| line.starts_with("deleted") || line.starts_with("modified")), "{lines:#?}");
    })
    .await;
}

/// B21: the same when the refusal is a plain answer.
#[tokio::test]
async fn b21_410_as_an_answer_leads_to_a_new_list() {
    let bench = Bench::with(&["a"]).await;
    bench.server.answer_gone_by_status();
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.server.pause().await.expect("it pauses");
        bench.delete("a");
        bench.create("b");
        bench.server.compact();
        bench.server.resume().await.expect("it resumes");
        recorder.until_line("added b Pending").await;
        recorder.until_line("deleted a Pending, was Pending").await;
    })
    .await;
    assert_eq!(bench.meter.lists.get(), 2);
}

/// A bookmark spares a quiet watcher the new list.
#[tokio::test]
async fn a_bookmark_keeps_the_version_fresh() {
    let bench = Bench::with(&["a"]).await;
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.until("a watch", |_| bench.server.requests().iter().any(Request::is_watch)).await;
        // What happens on other nodes makes versions old.
        for number in 0..5 {
            bench.server.create_pod(pod("s", &format!("far-{number}"), "n2")).expect("it is created");
        }
        bench.server.bookmark();
        tokio::time::sleep(Duration::from_millis(200)).await;
        bench.server.compact();
        bench.server.break_watches();
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!(bench.meter.lists.get(), 1);
}

/// A line that is no JSON: what it said is lost, so the list is read again.
#[tokio::test]
async fn garbage_leads_to_a_new_list() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Garbage(0));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.delete("a");
        recorder.until_line("forget a").await;
    })
    .await;
    assert_eq!((bench.meter.lists.get(), bench.meter.retries.get()), (2, 1));
}

/// A connection that breaks off in the middle of a line loses nothing and needs no list.
#[tokio::test]
async fn a_line_that_is_cut_comes_again() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Cut(1));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        for name in ["b", "c", "d"] {
            bench.create(name);
        }
        let lines = recorder.until_line("added d Pending").await;
        assert_eq!(lines.iter().filter(|line| line.starts_with("added")).count(), 3);
    })
    .await;
    assert_eq!(bench.meter.lists.get(), 1);
}

/// A watch that says nothing for too long is opened again.
#[tokio::test]
async fn a_stalled_watch_is_opened_again() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Stall(0));
    let kubernetes = Kubernetes { watch_idle_timeout: TimeSpan(Duration::from_millis(700)), ..bench.kubernetes() };
    let recorder = Recorder::default();
    during(bench.source_by(&kubernetes, &Config::default(), TYPED).await, &recorder, async {
        recorder.until_complete().await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((bench.meter.lists.get(), bench.meter.retries.get()), (1, 0));
}

/// A watch that ends at once, again and again, does not become a busy loop.
#[tokio::test]
async fn watches_that_end_at_once_are_not_opened_in_a_loop() {
    let bench = Bench::with(&["a"]).await;
    for _ in 0..1000 {
        bench.server.fail_next_watch(WatchFault::End(0));
    }
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    })
    .await;
    let requests = bench.server.requests().len();
    assert!((3..=8).contains(&requests), "{requests} requests in two seconds");
}

/// 429 with a time to wait, and 500 for a while: waited for, then all is told.
#[tokio::test]
async fn refusals_for_a_while_are_waited_for() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(false), 1, RequestFaultKind::Status(429, Some(Duration::from_secs(1))));
    bench.fail(Some(false), 2, RequestFaultKind::Status(500, None));
    bench.fail(Some(true), 1, RequestFaultKind::Status(503, None));
    let begun = Instant::now();
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait as asked");
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((bench.meter.retries.get(), bench.meter.lists.get()), (4, 1));
    assert_eq!(recorder.lines().iter().filter(|line| *line == "listed a Pending").count(), 1);
}

/// A watch that is refused with a time to wait is opened again when that is over, and nothing is asked before.
#[tokio::test]
async fn a_watch_is_not_asked_for_before_the_time_that_the_api_asks_for() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(true), 2, RequestFaultKind::Status(429, Some(Duration::from_secs(2))));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.until("a refusal", |meter| meter.retries.get() == 1).await;
        let begun = Instant::now();
        let asked = bench.server.requests().len();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(bench.server.requests().len(), asked);
        bench.create("b");
        recorder.until_line("added b Pending").await;
        assert!(begun.elapsed() >= Duration::from_millis(3_900), "{:?}", begun.elapsed());
    })
    .await;
    assert_eq!((bench.meter.lists.get(), bench.meter.retries.get()), (1, 2));
}

/// Whoever never answers is given up, and asked again.
#[tokio::test]
async fn a_request_that_is_never_answered_is_given_up() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(false), 1, RequestFaultKind::Hang);
    bench.fail(Some(true), 1, RequestFaultKind::Hang);
    let kubernetes = Kubernetes { request_timeout: TimeSpan(Duration::from_millis(300)), ..bench.kubernetes() };
    let recorder = Recorder::default();
    during(bench.source_by(&kubernetes, &Config::default(), TYPED).await, &recorder, async {
        recorder.until_complete().await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!(bench.meter.retries.get(), 2);
}

/// A list whose pages become too old in the middle is begun again; nothing is told twice.
#[tokio::test]
async fn a_list_that_becomes_too_old_is_begun_again() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let recorder = Recorder::with_room(3);
    let config = Config { scope: Scope::Cluster, page_size: 1, ..Config::default() };
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_line("define b").await;
        bench.server.compact();
        bench.delete("a");
        recorder.make_room(100);
        let lines = recorder.until_complete().await;
        assert_eq!(lines.iter().filter(|line| line.starts_with("listed")).count(), 3, "{lines:#?}");
        assert!(lines.contains(&"deleted a Pending, was Pending".to_owned()));
    })
    .await;
}

/// A watch that is refused for good is not asked for again in the same form.
#[tokio::test]
async fn a_watch_that_is_refused_for_good_leads_to_a_new_list() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(true), 1, RequestFaultKind::Status(400, None));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((bench.meter.lists.get(), bench.meter.retries.get()), (2, 1));
    let lists: Vec<_> = bench.server.requests().into_iter().filter(|request| !request.is_watch()).collect();
    assert_eq!(lists[1].parameter("resourceVersion"), None);
}

/// The same when the refusal comes as an event, and sounds like one for a while: a version from before etcd was restored.
#[tokio::test]
async fn a_watch_that_fails_again_and_again_leads_to_a_new_list() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(true), 2, RequestFaultKind::Status(504, None));
    bench.server.fail_next_watch(WatchFault::Error(0, 500));
    bench.server.fail_next_watch(WatchFault::Error(0, 500));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.until("a second list", |meter| meter.lists.get() == 2).await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!(bench.meter.retries.get(), 4);
}

/// A continue token that is refused is not sent again.
#[tokio::test]
async fn a_page_that_is_refused_for_good_leads_to_a_new_list() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let recorder = Recorder::with_room(3);
    let config = Config { scope: Scope::Cluster, page_size: 1, ..Config::default() };
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_line("define b").await;
        bench.fail(Some(false), 1, RequestFaultKind::Status(400, None));
        recorder.make_room(100);
        let lines = recorder.until_complete().await;
        assert_eq!(lines.iter().filter(|line| line.starts_with("listed")).count(), 3, "{lines:#?}");
    })
    .await;
    assert_eq!(bench.meter.lists.get(), 2);
    let lists: Vec<_> = bench.server.requests().into_iter().filter(|request| !request.is_watch()).collect();
    assert_eq!((lists[2].parameter("continue").is_some(), lists[3].parameter("continue")), (true, None));
}

/// A server that has no list in its cache is asked for one as it is now.
#[tokio::test]
async fn a_list_from_the_cache_that_is_refused_is_asked_for_without_the_cache() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(false), 1, RequestFaultKind::Status(400, None));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, recorder.until_complete()).await;
    let requests = bench.server.requests();
    let versions: Vec<_> = requests.iter().take(2).map(|request| request.parameter("resourceVersion")).collect();
    assert_eq!(versions, [Some("0".to_owned()), None]);
    assert_eq!(bench.meter.lists.get(), 1);
}

/// Whoever may not watch is not sent to list: that would not help, and a server with many such watchers would feel it.
#[tokio::test]
async fn a_watch_that_is_forbidden_for_a_while_needs_no_new_list() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(true), 1, RequestFaultKind::Status(403, None));
    bench.fail(Some(true), 1, RequestFaultKind::Status(429, None));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((bench.meter.lists.get(), bench.meter.retries.get()), (1, 2));
}

/// An answer that is no list at all is an outage, not the end.
#[tokio::test]
async fn an_answer_that_is_no_list_is_tried_again() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(false), 1, RequestFaultKind::Body("<html>welcome to the hotel</html>".to_owned()));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, recorder.until_complete()).await;
    assert_eq!(bench.meter.retries.get(), 1);
}
