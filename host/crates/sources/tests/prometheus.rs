//! Queries to a Prometheus that answers rightly: a real one, and one that answers what it is told to.

mod asked;
mod scraped;

use std::time::Duration;

use asked::{Asking, is_well, mape, matrix, report};
use serde_json::json;
use sluicebox_contract::{Bounds, SeriesOrigin};
use sluicebox_testkit::http::{Answer, PageServer};
use sluicebox_testkit::servers::{Need, PrometheusOptions, PrometheusServer, require};

/// The first line of a request, without its path up to the query.
fn query_of(request: &str) -> (String, String) {
    let line = request.lines().next().unwrap_or_default();
    let (path, rest) = line.split_once('?').unwrap_or((line, ""));
    let query = rest.split('&').find_map(|pair| pair.strip_prefix("query=")).unwrap_or_default();
    (path.to_owned(), query.to_owned())
}

#[tokio::test]
async fn a_cycle_is_26_requests_in_the_order_of_the_table() {
    let server = PageServer::start(Answer::Report(matrix(4))).await.unwrap();
    let asking =
        Asking::run(&json!({"url": format!("http://{}/", server.address()), "period": "1s", "parallel": 1, "queries": mape()}));
    let cycle = asking.told.cycle("1s", |cycle| cycle.len() == 26).await;
    assert!(is_well(&cycle));
    let requests = server.requests();
    let first: Vec<_> = requests.iter().take(26).map(|request| query_of(request)).collect();
    assert!(first.iter().all(|(path, _)| path == "GET /api/v1/query_range"), "{first:?}");
    let names: Vec<&str> = cycle.iter().map(|report| report.query.name.as_str()).collect();
    for ((_, query), name) in first.iter().zip(&names) {
        assert!(query.contains(name), "{name} is not asked for by {query}");
    }
    assert_eq!((names[0], names[25]), ("container_fs_inodes_free", "container_network_transmit_packet_loss_percentage"));
    // Four sets of labels are four subjects, however many queries find them.
    assert_eq!(asking.meter.subjects.get(), 4);
    assert_eq!(report(&cycle, "container_memory_usage_bytes").samples.len(), 8);
    assert_eq!(report(&cycle, "container_memory_usage_bytes").query.unit, "bytes");
}

#[tokio::test]
async fn cycles_follow_each_other_at_multiples_of_the_period_and_tell_no_moment_twice() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s",
        "queries": {"a": {"query": "up", "kind": "range", "step": "500ms", "type": "gauge", "unit": ""}}}));
    asking.told.cycle("1s", |cycle| cycle[0].end_millis > 0).await;
    while asking.told.cycles("1s").len() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cycles = asking.told.cycles("1s");
    for pair in cycles.windows(2) {
        let (before, after) = (&pair[0][0], &pair[1][0]);
        assert_eq!(after.start_millis, before.end_millis + 500);
        assert_eq!((after.end_millis % 1000, after.step_millis), (0, 500));
        assert_eq!(after.observed_at.0, u64::try_from(after.end_millis).unwrap() * 1_000_000);
    }
    assert_eq!(asking.told.listed(), 1);
}

#[tokio::test]
async fn what_an_outage_has_cost_is_asked_for_when_it_is_over() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s",
        "queries": {"a": {"query": "up", "kind": "range", "type": "gauge", "unit": ""}}}));
    let well = asking.told.cycle("1s", is_well).await;
    server.answer(Answer::Status(503, b"away".to_vec()));
    let last = loop {
        let cycles = asking.told.cycles("1s");
        if cycles.iter().filter(|cycle| !is_well(cycle)).count() >= 2 {
            break cycles.iter().rfind(|cycle| is_well(cycle)).unwrap()[0].end_millis;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(last >= well[0].end_millis);
    server.answer(Answer::Report(matrix(1)));
    let back = asking.told.cycle("1s", |cycle| is_well(cycle) && cycle[0].end_millis > last).await;
    assert_eq!(back[0].start_millis, last + 1000, "every moment since is asked for");
    assert!(back[0].end_millis - back[0].start_millis >= 2000);
}

#[tokio::test]
async fn whoever_takes_over_asks_for_what_was_left_untold() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let config = json!({"url": format!("http://{}", server.address()), "period": "1s", "catch-up": "45s",
        "queries": {"a": {"query": "up", "kind": "range", "type": "gauge", "unit": ""}}});
    let asking = Asking::take_over(&config, Some(Duration::from_secs(15)));
    let first = asking.told.cycle("1s", is_well).await;
    let turn =
        |cycle: &[std::sync::Arc<sluicebox_contract::SeriesReport>]| i64::try_from(cycle[0].observed_at.0 / 1_000_000).unwrap();
    assert_eq!(first[0].start_millis, turn(&first) - 47_000);
    // In pieces, each of which begins where the one before has ended.
    assert_eq!(first[0].end_millis - first[0].start_millis, 31_000);
    asking.told.cycle("1s", |cycle| cycle[0].start_millis == turn(cycle) && cycle[0].end_millis == turn(cycle)).await;
    for pair in asking.told.cycles("1s").windows(2) {
        assert_eq!(pair[1][0].start_millis, pair[0][0].end_millis + 1000);
    }
}

#[tokio::test]
async fn a_large_answer_comes_in_parts_that_are_one_cycle() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    server.answer_to("large", Answer::Report(matrix(20_000)));
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "2s", "max-series": 30_000,
        "queries": {"large": {"query": "large", "type": "gauge", "unit": ""}, "small": {"query": "small", "type": "gauge", "unit": ""}}}));
    let cycle = asking.told.cycle("2s", is_well).await;
    let counts: Vec<_> = cycle.iter().filter(|report| report.query.name == "large").map(|report| report.samples.len()).collect();
    assert_eq!(counts, [16_384, 16_384, 7_232]);
    assert!(cycle.iter().rev().skip(1).all(|report| report.more) && !cycle.last().unwrap().more);
    assert_eq!(asking.meter.subjects.get(), 20_000);
}

#[tokio::test]
async fn warnings_and_parts_of_answers_are_passed_on() {
    let server = PageServer::start(Answer::Report(
        br#"{"status":"success","warnings":["store-2 is away"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}"#.to_vec(),
    ))
    .await
    .unwrap();
    server.answer_to("half", Answer::Report(
        br#"{"status":"error","errorType":"timeout","error":"too slow","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"+Inf"]}]}}"#.to_vec(),
    ));
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s",
        "queries": {"half": {"query": "half"}, "whole": {"query": "whole"}}}));
    let cycle = asking.told.cycle("1s", |cycle| cycle.len() == 2).await;
    let (half, whole) = (report(&cycle, "half"), report(&cycle, "whole"));
    assert_eq!((whole.warnings.as_slice(), whole.failure.as_deref()), (&["store-2 is away".to_owned()][..], None));
    assert!(whole.samples[0].value.is_nan());
    assert_eq!(half.failure.as_deref(), Some("it says that it failed: timeout: too slow"));
    assert!(half.samples[0].value.is_infinite());
}

#[tokio::test]
async fn series_beyond_the_limit_are_left_out_and_said_so() {
    let server = PageServer::start(Answer::Report(matrix(7))).await.unwrap();
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s", "max-series": 5,
        "queries": {"a": {"query": "up", "type": "gauge", "unit": ""}}}));
    let cycle = asking.told.cycle("1s", |cycle| !cycle[0].warnings.is_empty()).await;
    assert_eq!(
        (cycle[0].samples.len(), cycle[0].warnings[0].as_str()),
        (10, "2 series were left out: there is no room for more")
    );
    assert!(asking.meter.beyond_limit.get() >= 2);
}

#[tokio::test]
async fn queries_can_be_posted_with_parameters_and_headers() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let asking =
        Asking::run(&json!({"url": format!("http://{}/select/0/prometheus", server.address()), "period": "1s", "method": "post",
        "http": {"headers": {"X-Scope-OrgID": "edge"}}, "parameters": {"partial_response": "true"},
        "queries": {"a": {"query": "up", "type": "gauge", "unit": ""}}}));
    asking.told.cycle("1s", is_well).await;
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /select/0/prometheus/api/v1/query HTTP/1.1"), "{request}");
    let request = request.to_lowercase();
    for part in ["x-scope-orgid: edge", "content-type: application/x-www-form-urlencoded", "user-agent: sluicebox/"] {
        assert!(request.contains(part), "{part} is missing in {request}");
    }
}

#[tokio::test]
async fn a_proxy_takes_the_requests() {
    let proxy = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let asking = Asking::run(&json!({"url": "http://prometheus.invalid:9090", "period": "1s",
        "http": {"proxy": format!("http://{}", proxy.address())}, "queries": {"a": {"query": "up", "type": "gauge", "unit": ""}}}));
    asking.told.cycle("1s", is_well).await;
    assert!(proxy.requests()[0].starts_with("GET http://prometheus.invalid:9090/api/v1/query?query=up"));
}

#[tokio::test]
async fn a_real_prometheus_tells_values_types_and_units() {
    if !require(Need::Prometheus) {
        return;
    }
    let prometheus =
        PrometheusServer::start(PrometheusOptions { scrapes_itself: true, ..PrometheusOptions::default() }).await.unwrap();
    let asking = Asking::run(&json!({"url": prometheus.url(), "period": "1s", "queries": {
        "up": {"query": "up"},
        "requests": {"query": "sum by (code) (prometheus_http_requests_total)", "metric": "prometheus_http_requests_total", "unit": "requests"},
        "scalar": {"query": "scalar(vector(0.1)) + 0.2"},
        "range": {"query": "up", "metric": "up", "kind": "range", "step": "200ms"},
        "nothing": {"query": "no_such_metric"},
        "nan": {"query": "vector(0) / 0"},
        "wrong": {"query": "sum(("}
    }}));
    let is_full = |cycle: &[std::sync::Arc<sluicebox_contract::SeriesReport>]| {
        cycle.len() == 7 && !report(cycle, "up").samples.is_empty() && !report(cycle, "requests").query.metric_type.is_empty()
    };
    let cycle = asking.told.cycle("1s", is_full).await;
    let up = report(&cycle, "up");
    // Nobody tells of what `up` is: Prometheus makes it.
    assert_eq!((up.samples[0].value, up.query.metric_type.as_str(), up.query.origin), (1.0, "", SeriesOrigin::InstantQuery));
    assert!(asking.told.series(up.samples[0].subject).starts_with("up{instance=127.0.0.1:"));
    let requests = report(&cycle, "requests");
    assert_eq!((requests.query.metric_type.as_str(), requests.query.unit.as_str()), ("counter", "requests"));
    assert_eq!(report(&cycle, "scalar").samples[0].value.to_bits(), (0.1_f64 + 0.2).to_bits());
    let range = report(&cycle, "range");
    assert_eq!((range.samples.len(), range.step_millis), (5, 200));
    assert!(report(&cycle, "nothing").samples.is_empty() && report(&cycle, "nothing").failure.is_none());
    assert!(report(&cycle, "nan").samples[0].value.is_nan());
    let wrong = report(&cycle, "wrong").failure.clone().unwrap();
    assert!(wrong.contains("400") && wrong.contains("parse error"), "{wrong}");
    // The value is the one that the same query finds by hand.
    let by_hand = prometheus.query_at("sum by (code) (prometheus_http_requests_total)", requests.end_millis).await.unwrap();
    assert_eq!(by_hand.len(), requests.samples.len());
    for sample in &requests.samples {
        let labels = asking.told.series(sample.subject);
        let found =
            by_hand.iter().find(|series| labels.contains(&format!("code={}", series["metric"]["code"].as_str().unwrap())));
        assert_eq!(found.unwrap()["value"][1].as_str().unwrap().parse::<f64>().unwrap().to_bits(), sample.value.to_bits());
    }
}

#[tokio::test]
async fn a_real_prometheus_behind_tls_and_a_password_is_asked_with_them() {
    if !require(Need::Prometheus) {
        return;
    }
    let options = PrometheusOptions { scrapes_itself: false, tls: true, password: true, ..PrometheusOptions::default() };
    let prometheus = PrometheusServer::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    let run = |http: serde_json::Value| {
        Asking::run(&json!({"url": prometheus.url(), "period": "1s", "http": http,
            "queries": {"one": {"query": "vector(1)", "type": "gauge", "unit": ""}}}))
    };
    let ca = prometheus.certificate_authority().unwrap();
    std::fs::write(&password, "wrong\n").unwrap();
    let asking = run(json!({"ca-file": ca, "basic-auth": {"username": "admin", "password-file": &password}}));
    let failed = asking.told.cycle("1s", |cycle| cycle[0].failure.is_some()).await;
    assert!(failed[0].failure.as_ref().unwrap().contains("401"), "{failed:?}");
    // What was put right is taken up without a restart.
    std::fs::write(&password, "test\n").unwrap();
    assert_eq!(asking.told.cycle("1s", is_well).await[0].samples[0].value.to_bits(), 1.0_f64.to_bits());

    let stranger = run(json!({"basic-auth": {"username": "admin", "password-file": &password}}));
    let failed = stranger.told.cycle("1s", |cycle| cycle[0].failure.is_some()).await;
    assert!(failed[0].failure.as_ref().unwrap().contains("certificate"), "{failed:?}");
    let trusting = run(
        json!({"tls-verify": "never-and-i-accept-the-risk", "basic-auth": {"username": "admin", "password-file": &password}}),
    );
    trusting.told.cycle("1s", is_well).await;
    let missing = run(json!({"ca-file": folder.path().join("none"), "bearer-token-file": folder.path().join("token")}));
    let failed = missing.told.cycle("1s", |cycle| cycle[0].failure.is_some()).await;
    assert!(failed[0].failure.as_ref().unwrap().contains("none"), "{failed:?}");
}

/// What kube-state-metrics and cAdvisor tell of a pod with two containers, today and before Kubernetes 1.16, and of one of the same name elsewhere.
const PAGE: &str = r#"# TYPE kube_pod_labels gauge
kube_pod_labels{namespace="default",pod="web",label_ow_action="act",label_vim_id="v1"} 1
kube_pod_labels{namespace="default",pod="plain",label_ow_action="",label_vim_id=""} 1
# TYPE container_memory_usage_bytes gauge
container_memory_usage_bytes{namespace="default",pod="web",container="app",id="/a"} 100
container_memory_usage_bytes{namespace="default",pod="web",container="sidecar",id="/b"} 20
container_memory_usage_bytes{namespace="default",pod="web",container="POD",id="/c"} 1
container_memory_usage_bytes{namespace="default",pod="web",container="",id="/"} 121
container_memory_usage_bytes{namespace="other",pod="web",container="app",id="/d"} 5000
container_memory_usage_bytes{namespace="default",pod="plain",container="app",id="/e"} 9
container_memory_usage_bytes{namespace="default",pod_name="web",container_name="app",id="/f"} 7
# TYPE container_network_receive_packets_total counter
container_network_receive_packets_total{namespace="default",pod="web",interface="eth0"} 3
container_network_receive_packets_total{namespace="default",pod_name="web",interface="eth0"} 3
"#;

#[tokio::test]
async fn the_templates_for_mape_find_each_container_once_on_a_real_prometheus() {
    if !require(Need::Prometheus) {
        return;
    }
    let page = PageServer::start(Answer::Typed("text/plain; version=0.0.4", PAGE.into())).await.unwrap();
    let prometheus = PrometheusServer::scraping(&page.address(), "/metrics").await.unwrap();
    for (template, memory) in [("mape-kafka", 120.0), ("mape-kafka-pod-name", 7.0)] {
        let asking = Asking::run(&json!({"url": prometheus.url(), "period": "1s",
            "queries": {"mape": {"metrics": "mape-kafka", "template": template, "kind": "range"}}}));
        let found = |cycle: &[std::sync::Arc<sluicebox_contract::SeriesReport>]| {
            cycle.len() == 26 && !report(cycle, "container_network_receive_packets_total").samples.is_empty()
        };
        let cycle = asking.told.cycle("1s", found).await;
        assert!(is_well(&cycle), "{template}: {cycle:?}");
        let samples = &report(&cycle, "container_memory_usage_bytes").samples;
        assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [memory], "{template}");
        let labels = asking.told.series(samples[0].subject);
        assert_eq!(labels, "{label_ow_action=act,label_vim_id=v1,pod=web}", "{template}");
        let packets = &report(&cycle, "container_network_receive_packets_total").samples;
        assert_eq!(packets.iter().map(|sample| sample.value).collect::<Vec<_>>(), [0.0], "{template}");
    }
}

/// A page in Prometheus' protobuf form with one native histogram, written by hand: three observations, of which one is next to zero, one in
/// (0.5, 1] and one in (1, 2]. The fields are those of `io.prometheus.client.MetricFamily`.
fn page_with_a_native_histogram() -> Vec<u8> {
    let part = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).expect("short")][..], bytes].concat();
    let histogram = [
        &[0x08, 3][..], // sample_count
        &[0x11],
        &2.5_f64.to_le_bytes(), // sample_sum
        &[0x28, 0],             // schema
        &[0x31],
        &0.001_f64.to_le_bytes(),         // zero_threshold
        &[0x38, 1],                       // zero_count
        &part(0x62, &[0x08, 0, 0x10, 2]), // positive_span: offset 0, length 2
        &part(0x6a, &[2, 0]),             // positive_delta: 1, 0
    ]
    .concat();
    let metric = part(0x22, &part(0x3a, &histogram));
    let family = [part(0x0a, b"latency_seconds"), vec![0x18, 4], metric].concat();
    [vec![u8::try_from(family.len()).expect("short")], family].concat()
}

/// How a page says that it is in that form.
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

#[tokio::test]
async fn a_real_prometheus_tells_a_native_histogram() {
    if !require(Need::Prometheus) {
        return;
    }
    let page = PageServer::start(Answer::Typed(PROTOBUF, page_with_a_native_histogram())).await.unwrap();
    let options = PrometheusOptions {
        scrapes: Some((page.address(), "/metrics".to_owned())),
        native_histograms: true,
        ..PrometheusOptions::default()
    };
    let prometheus = PrometheusServer::start(options).await.unwrap();
    let asking = Asking::run(&json!({"url": prometheus.url(), "period": "1s", "queries": {
        "latency": {"query": "latency_seconds"}, "over_time": {"query": "latency_seconds", "kind": "range", "type": "histogram", "unit": "seconds"}}}));
    let is_there = |cycle: &[std::sync::Arc<sluicebox_contract::SeriesReport>]| {
        cycle.len() == 2 && cycle.iter().all(|report| !report.histograms.is_empty())
    };
    let cycle = asking.told.cycle("1s", is_there).await;
    for name in ["latency", "over_time"] {
        let [histogram] = report(&cycle, name).histograms.as_slice() else { panic!("one: {cycle:?}") };
        assert!(report(&cycle, name).samples.is_empty());
        let numbers = |bucket: &sluicebox_contract::NativeBucket| {
            (bucket.bounds, [bucket.lower, bucket.upper, bucket.count].map(f64::to_bits))
        };
        let expected = [
            (Bounds::ClosedBoth, [-0.001, 0.001, 1.0].map(f64::to_bits)),
            (Bounds::OpenLeft, [0.5, 1.0, 1.0].map(f64::to_bits)),
            (Bounds::OpenLeft, [1.0, 2.0, 1.0].map(f64::to_bits)),
        ];
        assert_eq!(histogram.buckets.iter().map(numbers).collect::<Vec<_>>(), expected);
        assert_eq!([histogram.count, histogram.sum].map(f64::to_bits), [3.0, 2.5].map(f64::to_bits));
        assert!(asking.told.series(histogram.subject).starts_with("latency_seconds{"));
    }
}
