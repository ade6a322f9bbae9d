//! The source `scrape` beside a real Prometheus that scrapes the same page: both tell the same series.

mod scraped;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use scraped::{Bench, is_up};
use serde_json::{Value, json};
use sluicebox_testkit::http::{Answer, PageServer};
use sluicebox_testkit::servers::{Need, NodeExporter, PrometheusServer, require};

/// Everything that a page may have.
const PAGE: &str = "# HELP a_total Help \\\\ and \\n more.\n# TYPE a_total counter\na_total{x=\"1\",e=\"\"} 5\na_total{x=\"ü\\\"\\\\\\n\\q\"} 7.25\n\
    # TYPE t gauge\nt{ b = \"2\" , a=\"1\", }   1.5e-7\nt NaN\nt{inf=\"+\"} +Inf\nt{inf=\"-\"} -Inf\nt{job=\"mine\",exported_instance=\"x\"} 1\n\
    # TYPE h histogram\nh_bucket{le=\"0.5\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1.5\nh_count 3\n\
    # TYPE s summary\ns{quantile=\"0.9\"} 3\ns_sum 5\ns_count 2\n\
    # a comment\nuntyped_thing 12345678901234567890\n# TYPE u untyped\nu 0\n";

/// By series, as `name{label=value,…}`, what Prometheus has now of this job.
async fn of_prometheus(prometheus: &PrometheusServer) -> BTreeMap<String, String> {
    let found = prometheus.query("{job=\"testkit\"}").await.unwrap();
    let series = |found: &Value| {
        let labels = found["metric"].as_object().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all: BTreeMap<String, String> = labels.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let shown: Vec<String> =
            all.iter().filter(|(name, _)| *name != "__name__").map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{}{{{}}}", all["__name__"], shown.join(",")), text(&found["value"][1]))
    };
    let made_up = |name: &str| name.starts_with("scrape_");
    found.iter().map(series).filter(|(name, _)| !made_up(name)).collect()
}

/// Waits until Prometheus has read the page.
async fn wait(prometheus: &PrometheusServer) {
    let begun = Instant::now();
    while prometheus.value("up").await.unwrap().as_deref() != Some("1") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", prometheus.last_error().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What both have of the same page. So many series must be on it, and these may differ in value from one reading to the next.
async fn compare(address: &str, least: usize, are_values_steady: bool) {
    let prometheus = PrometheusServer::scraping(address, "/metrics").await.unwrap();
    wait(&prometheus).await;
    let target = json!({"url": format!("http://{address}/metrics"), "period": "500ms", "labels": {"job": "testkit"}});
    let bench = Bench::run(&json!({"targets": {"it": target}}));
    // What comes and goes is told differently by whoever looks at another time: somewhen both have seen the same.
    let begun = Instant::now();
    loop {
        let theirs = of_prometheus(&prometheus).await;
        let cycles = bench.told.cycles("it");
        let ours: BTreeMap<String, String> = cycles
            .last()
            .into_iter()
            .flatten()
            .flat_map(|report| &report.samples)
            .map(|sample| (bench.told.series(sample.subject), sample.value.to_string()))
            .collect();
        let names = |series: &BTreeMap<String, String>| series.keys().cloned().collect::<BTreeSet<_>>();
        let (our_names, their_names) = (names(&ours), names(&theirs));
        if our_names == their_names && ours.len() > least {
            let number = |text: &String| text.parse::<f64>().unwrap();
            let differ: Vec<&String> = ours
                .iter()
                .filter(|(name, value)| number(value).to_string() != number(&theirs[*name]).to_string())
                .map(|(name, _)| name)
                .collect();
            assert!(!are_values_steady || differ.is_empty(), "{differ:?}: {ours:?} {theirs:?}");
            assert!(differ.len() * 2 < ours.len(), "{} of {} differ", differ.len(), ours.len());
            break;
        }
        let only_ours: Vec<&String> = our_names.difference(&their_names).collect();
        let only_theirs: Vec<&String> = their_names.difference(&our_names).collect();
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{} series; only ours: {only_ours:#?}, only theirs: {only_theirs:#?}",
            ours.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    check_types(&bench, &prometheus).await;
    assert_eq!((bench.meter.unreadable.get(), bench.meter.skipped.get(), bench.meter.beyond_limit.get()), (0, 0, 0));
}

/// Types are those of Prometheus's own metadata.
async fn check_types(bench: &Bench, prometheus: &PrometheusServer) {
    let metadata = prometheus.metadata().await.unwrap();
    let cycle = bench.told.cycle("it", is_up).await;
    let mut compared = 0;
    for report in cycle.iter().filter(|report| report.query.name != "up") {
        let name = report.query.metric.as_str();
        let families =
            ["", "_total", "_bucket", "_sum", "_count", "_created"].map(|suffix| name.strip_suffix(suffix).unwrap_or(name));
        let Some(theirs) = families.iter().find_map(|family| metadata.get(family)) else {
            assert_eq!(report.query.metric_type, "", "{name}");
            continue;
        };
        assert_eq!(report.query.metric_type, theirs[0]["type"], "{name}");
        assert_eq!(report.query.unit, theirs[0]["unit"], "{name}");
        compared += 1;
    }
    assert!(compared > 5, "{compared} types");
}

#[tokio::test]
async fn a_page_with_everything_is_told_as_prometheus_tells_it() {
    if !require(Need::Prometheus) {
        return;
    }
    let page = PageServer::start(Answer::Report(PAGE.into())).await.unwrap();
    compare(&page.address(), 15, true).await;
}

#[tokio::test]
async fn the_metrics_of_prometheus_itself_are_told_as_prometheus_tells_them() {
    if !require(Need::Prometheus) {
        return;
    }
    let page = PageServer::start(Answer::Report(PAGE.into())).await.unwrap();
    let one = PrometheusServer::scraping(&page.address(), "/").await.unwrap();
    wait(&one).await;
    compare(&one.address(), 300, false).await;
}

#[tokio::test]
async fn the_metrics_of_a_node_exporter_are_told_as_prometheus_tells_them() {
    if !require(Need::Prometheus) || !require(Need::NodeExporter) {
        return;
    }
    let exporter = NodeExporter::start().await.unwrap();
    compare(&exporter.address(), 300, false).await;
}
