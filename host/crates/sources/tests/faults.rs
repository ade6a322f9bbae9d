//! What a source does when the API server misbehaves: against the test kit's server, which misbehaves on demand.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect fails"
)]

mod cluster;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Recorder, TYPED, during, pod, running};
use serde_json::json;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_contract::{Change, SubjectIds};
use sluicebox_sources::kubernetes::{Api, Config as Kubernetes};
use sluicebox_sources::pods::{Config, Pods, Scope, Wants};
use sluicebox_testkit::api_server::{ApiServer, RequestFault, RequestFaultKind, WatchFault};

const NODE: &str = "n1";

/// A server, and a source that watches one of its nodes.
struct Bench {
    server: ApiServer,
    meter: Arc<SourceMeter>,
}

impl Bench {
    async fn new() -> Self {
        Self {
            server: ApiServer::start().await.expect("the server starts"),
            meter: Arc::default(),
        }
    }

    /// With these pods in namespace `s`.
    async fn with(names: &[&str]) -> Self {
        let bench = Self::new().await;
        for name in names {
            bench.create(name);
        }
        bench
    }

    fn create(&self, name: &str) {
        self.server
            .create_pod(pod("s", name, NODE))
            .expect("it is created");
    }

    fn delete(&self, name: &str) {
        self.server.delete_pod("s", name).expect("it is deleted");
    }

    fn kubernetes(&self) -> Kubernetes {
        Kubernetes {
            url: Some(self.server.url()),
            ..Kubernetes::default()
        }
    }

    async fn source(&self) -> Pods {
        self.source_as(&Config::default(), TYPED).await
    }

    async fn source_as(&self, config: &Config, wants: Wants) -> Pods {
        self.source_by(&self.kubernetes(), config, wants).await
    }

    async fn source_by(&self, kubernetes: &Kubernetes, config: &Config, wants: Wants) -> Pods {
        let api = Api::connect(kubernetes)
            .await
            .expect("a way to the API server");
        Pods::new(
            config,
            api,
            NODE,
            wants,
            Arc::new(SubjectIds::default()),
            Arc::clone(&self.meter),
        )
    }

    fn fail(&self, watches: Option<bool>, times: u32, kind: RequestFaultKind) {
        self.server.fail(RequestFault {
            watches,
            times,
            kind,
        });
    }

    async fn until(&self, what: &str, holds: impl Fn(&SourceMeter) -> bool) {
        let begun = Instant::now();
        while !holds(&self.meter) {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{what}: {:#?}",
                self.meter
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// B20, D35: the requests ask for one node's pods in all namespaces.
#[tokio::test]
async fn b20_d35_the_requests_name_the_node() {
    let bench = Bench::new().await;
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        bench
            .until("a watch", |_| bench.server.requests().len() >= 2)
            .await;
    })
    .await;
    let requests = bench.server.requests();
    for request in &requests {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("GET", "/api/v1/pods")
        );
        assert_eq!(
            request.parameter("fieldSelector").as_deref(),
            Some("spec.nodeName=n1")
        );
        assert!(
            request.query.contains("fieldSelector=spec.nodeName%3Dn1"),
            "{}",
            request.query
        );
        assert_eq!(request.bearer, None);
    }
    assert!(!requests[0].is_watch() && requests[1].is_watch());
    assert_eq!(
        requests[1].parameter("allowWatchBookmarks").as_deref(),
        Some("true")
    );
    assert_eq!(requests[1].parameter("sendInitialEvents"), None);
}

/// A list of many pods is asked for in pages; a list of one node's may come from the server's cache.
#[tokio::test]
async fn a_cluster_is_listed_in_pages() {
    let bench = Bench::with(&["a", "b", "c", "d", "e"]).await;
    let recorder = Recorder::default();
    let config = Config {
        scope: Scope::Cluster,
        page_size: 2,
        ..Config::default()
    };
    during(
        bench.source_as(&config, TYPED).await,
        &recorder,
        recorder.until_complete(),
    )
    .await;
    let lists: Vec<_> = bench
        .server
        .requests()
        .into_iter()
        .filter(|request| !request.is_watch())
        .collect();
    assert_eq!(lists.len(), 3);
    assert!(
        lists
            .iter()
            .all(|request| request.parameter("limit").as_deref() == Some("2"))
    );
    assert_eq!(
        recorder
            .lines()
            .iter()
            .filter(|line| line.starts_with("listed"))
            .count(),
        5
    );
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
        assert_eq!(
            (bench.meter.connected.get(), bench.meter.listed.get()),
            (0, 0)
        );
        bench.server.resume().await.expect("it resumes");
        recorder.until_complete().await;
    })
    .await;
    assert_eq!(
        (bench.meter.connected.get(), bench.meter.listed.get()),
        (1, 1)
    );
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
        bench
            .until("a second list", |meter| meter.lists.get() == 2)
            .await;
        bench.create("e");
        let lines = recorder.until_line("added e Pending").await;
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("added"))
                .count(),
            4
        );
        assert!(
            !lines
                .iter()
                .any(|line| line.starts_with("deleted") || line.starts_with("modified")),
            "{lines:#?}"
        );
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
        bench
            .until("a watch", |_| {
                bench
                    .server
                    .requests()
                    .iter()
                    .any(sluicebox_testkit::api_server::Request::is_watch)
            })
            .await;
        // What happens on other nodes makes versions old.
        for number in 0..5 {
            bench
                .server
                .create_pod(pod("s", &format!("far-{number}"), "n2"))
                .expect("it is created");
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
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("added"))
                .count(),
            3
        );
    })
    .await;
    assert_eq!(bench.meter.lists.get(), 1);
}

/// A watch that says nothing for too long is opened again.
#[tokio::test]
async fn a_stalled_watch_is_opened_again() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Stall(0));
    let kubernetes = Kubernetes {
        watch_idle_timeout: TimeSpan(Duration::from_millis(700)),
        ..bench.kubernetes()
    };
    let recorder = Recorder::default();
    during(
        bench
            .source_by(&kubernetes, &Config::default(), TYPED)
            .await,
        &recorder,
        async {
            recorder.until_complete().await;
            bench.create("b");
            recorder.until_line("added b Pending").await;
        },
    )
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
    assert!(
        (3..=8).contains(&requests),
        "{requests} requests in two seconds"
    );
}

/// 429 with a time to wait, and 500 for a while: waited for, then all is told.
#[tokio::test]
async fn refusals_for_a_while_are_waited_for() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(
        Some(false),
        1,
        RequestFaultKind::Status(429, Some(Duration::from_secs(1))),
    );
    bench.fail(Some(false), 2, RequestFaultKind::Status(500, None));
    bench.fail(Some(true), 1, RequestFaultKind::Status(503, None));
    let begun = Instant::now();
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        recorder.until_complete().await;
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "it did not wait as asked"
        );
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    assert_eq!((bench.meter.retries.get(), bench.meter.lists.get()), (4, 1));
    assert_eq!(
        recorder
            .lines()
            .iter()
            .filter(|line| *line == "listed a Pending")
            .count(),
        1
    );
}

/// Whoever never answers is given up, and asked again.
#[tokio::test]
async fn a_request_that_is_never_answered_is_given_up() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(Some(false), 1, RequestFaultKind::Hang);
    bench.fail(Some(true), 1, RequestFaultKind::Hang);
    let kubernetes = Kubernetes {
        request_timeout: TimeSpan(Duration::from_millis(300)),
        ..bench.kubernetes()
    };
    let recorder = Recorder::default();
    during(
        bench
            .source_by(&kubernetes, &Config::default(), TYPED)
            .await,
        &recorder,
        async {
            recorder.until_complete().await;
            bench.create("b");
            recorder.until_line("added b Pending").await;
        },
    )
    .await;
    assert_eq!(bench.meter.retries.get(), 2);
}

/// A list whose pages become too old in the middle is begun again; nothing is told twice.
#[tokio::test]
async fn a_list_that_becomes_too_old_is_begun_again() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let recorder = Recorder::with_room(3);
    let config = Config {
        scope: Scope::Cluster,
        page_size: 1,
        ..Config::default()
    };
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_line("define b").await;
        bench.server.compact();
        bench.delete("a");
        recorder.make_room(100);
        let lines = recorder.until_complete().await;
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("listed"))
                .count(),
            3,
            "{lines:#?}"
        );
        assert!(lines.contains(&"deleted a Pending, was Pending".to_owned()));
    })
    .await;
}

/// An answer that is no list at all is an outage, not the end.
#[tokio::test]
async fn an_answer_that_is_no_list_is_tried_again() {
    let bench = Bench::with(&["a"]).await;
    bench.fail(
        Some(false),
        1,
        RequestFaultKind::Body("<html>welcome to the hotel</html>".to_owned()),
    );
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, recorder.until_complete()).await;
    assert_eq!(bench.meter.retries.get(), 1);
}

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
    let wants = Wants {
        typed: true,
        json: true,
    };
    during(
        bench.source_as(&Config::default(), wants).await,
        &recorder,
        async {
            let lines = recorder.until_complete().await;
            assert_eq!(
                lines,
                [
                    "define odd",
                    "listed odd json",
                    "define fine",
                    "listed fine -",
                    "listed fine json",
                    "complete"
                ]
            );
        },
    )
    .await;
    assert_eq!(bench.meter.skipped.get(), 3);
}

/// An event that is longer than allowed is left out; those after it are told.
#[tokio::test]
async fn an_event_that_is_too_long_is_left_out() {
    let bench = Bench::with(&["a"]).await;
    bench.server.fail_next_watch(WatchFault::Huge(0, 200_000));
    let config = Config {
        max_object_bytes: ByteSize(64 << 10),
        ..Config::default()
    };
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
        let config = Config {
            scope,
            max_page_bytes: ByteSize(64 << 10),
            ..Config::default()
        };
        let recorder = Recorder::default();
        during(bench.source_as(&config, TYPED).await, &recorder, async {
            let lines = recorder.until_complete().await;
            assert_eq!(
                lines
                    .iter()
                    .filter(|line| line.starts_with("listed"))
                    .count(),
                40
            );
        })
        .await;
        assert_eq!(bench.meter.retries.get(), 0);
    }
}

/// What does not fit in the cache is told all the same.
#[tokio::test]
async fn what_is_not_remembered_is_told_all_the_same() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let config = Config {
        max_cached_objects: 2,
        ..Config::default()
    };
    let recorder = Recorder::default();
    during(bench.source_as(&config, TYPED).await, &recorder, async {
        recorder.until_complete().await;
        bench
            .server
            .patch_status("s", "c", &running("containerd://1", 0))
            .expect("it is patched");
        recorder.until_line("modified c Running").await;
        bench.delete("c");
        recorder.until_line("deleted c Running").await;
    })
    .await;
    assert_eq!(bench.meter.cached_objects.get(), 2);
    assert!(bench.meter.uncached.get() >= 2);
    let ends = recorder.count("forget c");
    assert_eq!(
        ends,
        recorder.count("define c"),
        "each subject that was defined is forgotten"
    );
}

/// A feed that waits makes the source wait, and it can be stopped there.
#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let bench = Bench::with(&["a", "b", "c"]).await;
    let recorder = Recorder::with_room(3);
    during(bench.source().await, &recorder, async {
        recorder.until_line("define b").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            recorder.lines(),
            ["define a", "listed a Pending", "define b"]
        );
        recorder.make_room(3);
        recorder.until_line("listed c Pending").await;
    })
    .await;
    assert_eq!(recorder.lines().len(), 6);
}

/// Stopping is quick while nothing can be reached and while a request hangs.
#[tokio::test]
async fn stopping_is_quick_in_an_outage() {
    let bench = Bench::new().await;
    bench.server.pause().await.expect("it pauses");
    during(
        bench.source().await,
        &Recorder::default(),
        tokio::time::sleep(Duration::from_millis(300)),
    )
    .await;
    bench.server.resume().await.expect("it resumes");
    bench.fail(None, 1, RequestFaultKind::Hang);
    during(
        bench.source().await,
        &Recorder::default(),
        tokio::time::sleep(Duration::from_millis(300)),
    )
    .await;
}

/// A thousand changes in a row: each is told, with what was before.
#[tokio::test]
async fn a_thousand_changes_are_told_in_order() {
    let bench = Bench::with(&["a"]).await;
    let recorder = Recorder::default();
    during(
        bench
            .source_as(
                &Config::default(),
                Wants {
                    typed: true,
                    json: true,
                },
            )
            .await,
        &recorder,
        async {
            recorder.until_complete().await;
            for number in 1..=1000 {
                bench
                    .server
                    .patch_status("s", "a", &running("containerd://1", number))
                    .expect("it is patched");
            }
            recorder.until(|lines| lines.len() >= 2003).await;
        },
    )
    .await;
    let restarts = |pod: &sluicebox_contract::Pod| {
        pod.containers[0]
            .status
            .as_ref()
            .map(|status| status.restart_count)
    };
    let pods = recorder.pods();
    for (number, event) in (1..=1000).zip(pods.iter().skip(1)) {
        assert_eq!(
            (event.change, restarts(&event.pod)),
            (Change::Modified, Some(number))
        );
        assert_eq!(
            event.previous.as_deref().and_then(restarts).unwrap_or(0),
            number - 1
        );
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
        bench
            .until("some tries", |meter| meter.retries.get() >= 3)
            .await;
        assert_eq!(bench.meter.connected.get(), 0);
        bench.server.resume().await.expect("it resumes");
        bench
            .until("an answer", |meter| meter.connected.get() == 1)
            .await;
        bench.create("b");
        recorder.until_line("added b Pending").await;
    })
    .await;
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].starts_with("WARN") && lines[0].contains("cannot watch pods at http://127.0.0.1"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("INFO") && lines[1].contains("the API answers again"),
        "{}",
        lines[1]
    );
}

/// 401 and 403 say what an operator has to do.
#[tokio::test]
async fn refused_rights_come_with_a_hint() {
    for (code, hint) in [
        (401, "`kubernetes.token-retrieval`"),
        (403, "`list` and `watch` on `pods`"),
    ] {
        let bench = Bench::with(&["a"]).await;
        bench.fail(None, 1, RequestFaultKind::Status(code, None));
        let log = cluster::log::Log;
        let recorder = Recorder::default();
        let source = bench.source().await;
        log.catch();
        during(source, &recorder, recorder.until_complete()).await;
        let line = log.lines().remove(0);
        assert!(
            line.contains(hint) && line.contains(&format!("the API answers {code}: on purpose")),
            "{line}"
        );
    }
}
