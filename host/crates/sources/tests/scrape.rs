//! The source `scrape` with pages that are right.

mod scraped;

use std::time::Duration;

use scraped::{Bench, is_up};
use serde_json::json;
use sluicebox_contract::SeriesOrigin;
use sluicebox_testkit::http::{Answer, PageServer};

const PAGE: &str = "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\"} 5\na_total{x=\"2\"} 7\n\
    # TYPE t_seconds gauge\n# UNIT t_seconds seconds\nt_seconds 1.5 1395066363000\nbroken\n";

#[tokio::test]
async fn a_page_is_told_metric_by_metric_and_last_that_the_target_is_up() {
    let page = PageServer::start(Answer::Report(PAGE.into())).await.unwrap();
    let address = page.address();
    let target = json!({"url": format!("http://{address}/metrics?x=1"), "period": "200ms", "labels": {"zone": "z"}});
    let bench = Bench::run(&json!({"targets": {"node": target}}));
    let cycle = bench.told.cycle("node", |_| true).await;
    let own = format!("instance={address},job=node");
    let expected = [
        format!("a_total counter: a_total{{{own},x=1,zone=z}} 5"),
        format!("a_total counter: a_total{{{own},x=2,zone=z}} 7"),
        format!("t_seconds gauge seconds: t_seconds{{{own},zone=z}} 1.5"),
        format!("up gauge: up{{{own},zone=z}} 1"),
    ];
    assert_eq!(bench.told.lines(&cycle), expected);
    assert_eq!(cycle.iter().map(|report| report.more).collect::<Vec<_>>(), [true, true, false]);
    let first = &cycle[0];
    assert!(cycle.iter().all(|report| report.observed_at == first.observed_at && report.query.origin == SeriesOrigin::Scrape));
    assert_eq!(first.observed_at.0 % 200_000_000, 0);
    assert_eq!((first.start_millis, first.step_millis), (first.end_millis, 0));
    assert_eq!((first.samples[0].millis, cycle[1].samples[0].millis), (first.start_millis, 1_395_066_363_000));
    let late = first.start_millis - i64::try_from(first.observed_at.0 / 1_000_000).unwrap();
    assert!((0..150).contains(&late), "asked {late} ms after it was due");
    assert_eq!(cycle[2].warnings, ["1 lines cannot be read; the first of them begins with `broken`"]);
    let request = page.requests()[0].to_lowercase();
    for part in [
        "get /metrics?x=1 http/1.1\r\n",
        "accept: application/openmetrics-text;",
        "x-prometheus-scrape-timeout-seconds: 0.19\r\n",
        "accept-encoding: gzip",
    ] {
        assert!(request.contains(part), "{part}: {request}");
    }
    // The same series are the same subjects in each cycle.
    bench
        .told
        .cycle("node", |other| {
            other[0].observed_at != first.observed_at && other[0].samples[0].subject == first.samples[0].subject
        })
        .await;
    assert_eq!((bench.told.listed(), bench.meter.subjects.get(), bench.meter.connected.get()), (1, 4, 1));
    assert!(bench.meter.unreadable.get() >= 2);
}

#[tokio::test]
async fn open_metrics_is_told_by_its_type() {
    let body = "# TYPE a counter\na_total 1 1520879607.789 # {t=\"x\"} 1\n# EOF\n";
    let answer = Answer::Typed("application/openmetrics-text; version=1.0.0; charset=utf-8", body.into());
    let page = PageServer::start(answer).await.unwrap();
    let target = json!({"url": format!("http://{}/", page.address()), "period": "200ms", "labels": {"job": "", "instance": ""}});
    let bench = Bench::run(&json!({"targets": {"a": target}}));
    let cycle = bench.told.cycle("a", |_| true).await;
    assert_eq!(bench.told.lines(&cycle), ["a_total counter: a_total{} 1", "up gauge: up{} 1"]);
    assert_eq!(cycle[0].samples[0].millis, 1_520_879_607_789);
}

#[tokio::test]
async fn counters_are_told_as_their_growth_and_summed_up() {
    let page = |total: u32| {
        Answer::Report(format!("# TYPE a_total counter\na_total{{x=\"1\",p=\"p\"}} {total} {total}000\na_total{{x=\"2\",p=\"p\"}} 0 {total}000\nb 1\n").into())
    };
    let server = PageServer::start(page(100)).await.unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "200ms", "labels": {"job": "", "instance": ""},
        "counters": "rate", "metrics": {"a_*": {"sum-by": ["p"]}}});
    let bench = Bench::run(&json!({"targets": {"a": target}}));
    let cycle = bench.told.cycle("a", |_| true).await;
    assert_eq!(bench.told.lines(&cycle), ["up gauge: up{} 1"]);
    assert_eq!((cycle[0].query.name.as_str(), cycle[0].samples.len()), ("a_total", 0));
    server.answer(page(110));
    let cycle = bench.told.cycle("a", |cycle| !cycle[0].samples.is_empty()).await;
    assert_eq!(bench.told.lines(&cycle), ["a_total counter: {p=p} 1", "up gauge: up{} 1"]);
}

#[tokio::test]
async fn a_target_that_hangs_costs_its_own_time_only_and_a_turn_never_overlaps_the_next() {
    let (good, silent) =
        (PageServer::start(Answer::Report("a 1\n".into())).await.unwrap(), PageServer::start(Answer::Silence).await.unwrap());
    let target = |server: &PageServer| json!({"url": format!("http://{}/", server.address()), "period": "200ms"});
    let bench = Bench::run(&json!({"targets": {"good": target(&good), "silent": target(&silent)}, "parallel": 2}));
    for _ in 0..5 {
        let seen = bench.told.cycles("good").len();
        bench.told.cycle("good", |_| bench.told.cycles("good").len() > seen).await;
    }
    let cycle = bench.told.cycle("silent", |_| true).await;
    assert_eq!(bench.told.lines(&cycle)[0], "silent: it has not answered in full within 190ms");
    assert!(!is_up(&cycle) && cycle.len() == 2 && cycle[0].query.name == "silent");
    assert!(bench.told.cycles("good").iter().all(|cycle| is_up(cycle)));
    // Of what was asked, all but what is under way has ended.
    assert!(silent.requests().len() <= bench.told.cycles("silent").len() + 1);
    assert_eq!((bench.told.listed(), bench.meter.connected.get(), bench.meter.listed.get()), (0, 0, 1));
}

#[tokio::test]
async fn there_are_never_more_series_than_may_be() {
    let page: Vec<String> = (0..100).map(|number| format!("a{{x=\"{number}\"}} 1\n")).collect();
    let server = PageServer::start(Answer::Report(page.concat().into())).await.unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "200ms"});
    let bench = Bench::run(&json!({"targets": {"a": target}, "max-series": 10}));
    let cycle = bench.told.cycle("a", |_| true).await;
    assert_eq!(cycle[0].samples.len(), 10);
    assert_eq!(cycle[1].warnings, ["90 series are left out because there are more than `max-series`"]);
    assert!(bench.meter.beyond_limit.get() >= 90 && bench.meter.subjects.get() == 11);
    // Whether the target is up always has room.
    assert!(is_up(&cycle));
}

#[tokio::test]
async fn a_large_page_is_told_in_parts() {
    let page: Vec<String> = (0..20_000).map(|number| format!("a{{x=\"{number}\"}} 1\n")).collect();
    let server = PageServer::start(Answer::Report(page.concat().into())).await.unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "2s"});
    let bench = Bench::run(&json!({"targets": {"a": target}, "max-series": 30_000}));
    let cycle = bench.told.cycle("a", |_| true).await;
    assert_eq!(
        cycle.iter().map(|report| (report.samples.len(), report.more)).collect::<Vec<_>>(),
        [(16_384, true), (3_616, true), (1, false)]
    );
}

#[tokio::test]
async fn a_token_is_read_again_for_each_page() {
    let server = PageServer::start(Answer::Report("a 1\n".into())).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "200ms", "http": {"bearer-token-file": token}});
    let bench = Bench::run(&json!({"targets": {"a": target}}));
    bench.told.cycle("a", is_up).await;
    std::fs::write(&token, "two\n").unwrap();
    let begun = std::time::Instant::now();
    let sent = |text: &str| {
        server.requests().iter().any(|request| request.to_lowercase().contains(&format!("authorization: bearer {text}\r\n")))
    };
    while !sent("two") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", server.requests().last());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(sent("one"));
    std::fs::remove_file(&token).unwrap();
    let cycle = bench.told.cycle("a", |cycle| !is_up(cycle)).await;
    assert!(bench.told.lines(&cycle)[0].contains("cannot use the token file"), "{:?}", bench.told.lines(&cycle));
}
