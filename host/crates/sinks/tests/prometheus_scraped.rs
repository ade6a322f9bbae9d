//! Proves against Prometheus itself that the prometheus sink's page is what it takes.

mod entries;
mod prometheus_page;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use entries::{document, forget};
use prometheus_page::{PATIENCE, Scraped};
use sluicebox_testkit::servers::{Need, PrometheusServer, promtool, require};

const NASTY: &str = r#"# HELP disk_free_bytes What is free, in C:\\DIR\nand elsewhere: "all".
# TYPE disk_free_bytes gauge
disk_free_bytes{path="C:\\DIR\\\n\"ü\"",empty=""} -1.5e-7 1700000000000
disk_free_bytes{path="}, {"} NaN
disk_free_bytes{path="+"} +Inf
disk_free_bytes{path="-"} -Inf -1
# HELP request_duration_seconds How long requests take.
# TYPE request_duration_seconds histogram
request_duration_seconds_count{code="200"} 3
request_duration_seconds_sum{code="200"} 5.5e+1
request_duration_seconds_bucket{le="+Inf",code="200"} 3
request_duration_seconds_bucket{le="10",code="200"} 2
request_duration_seconds_bucket{le="2.5",code="200"} 1
request_duration_seconds_bucket{code="500",le="+Inf"} 0
request_duration_seconds_count{code="500"} 0
# HELP gc_duration_seconds How long the collector takes.
# TYPE gc_duration_seconds summary
gc_duration_seconds_count 2
gc_duration_seconds{quantile="1"} 9.00719925474099267e15
gc_duration_seconds{quantile="0.50"} NaN
gc_duration_seconds_sum 4"#;

fn pod(index: usize) -> String {
    let mut text = String::new();
    for (metric, kind) in [("container_cpu_seconds_total", "counter"), ("container_memory_bytes", "gauge")] {
        writeln!(text, "# HELP {metric} Of a container.\n# TYPE {metric} {kind}").expect("a text");
        for container in 0..10 {
            writeln!(text, "{metric}{{pod=\"pod-{index}\",container=\"{container}\"}} {index}.{container}").expect("a text");
        }
    }
    text
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_a_great_page() {
    if !require(Need::Prometheus) {
        return;
    }
    let mut scraped = Scraped::start().await;
    let mut documents: Vec<_> = (0..500).map(|index| document(&format!("pod-{index}"), &pod(index))).collect();
    documents.push(document("nasty", NASTY));
    scraped.write(&documents).await;
    let page = scraped.page();
    assert_eq!(page.lines().filter(|line| !line.starts_with('#')).count(), 500 * 20 + 15);
    let (accepted, said) = check(&page);
    assert!(accepted, "{said}");
    // The tool does look.
    assert!(!check(&format!("{page}# TYPE container_memory_bytes gauge\n")).0);
}

fn check(page: &str) -> (bool, String) {
    let mut tool = Command::new(promtool().expect("promtool"));
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("promtool runs");
    tool.stdin.take().expect("an input").write_all(page.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("it ends");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[tokio::test]
async fn prometheus_scrapes_values_and_sees_a_forgotten_group_vanish() {
    if !require(Need::Prometheus) {
        return;
    }
    let mut scraped = Scraped::start().await;
    scraped
        .write(&[
            document("pod-1", &pod(1)),
            document("pod-2", &pod(2)),
            document("nasty", &NASTY.replace(" 1700000000000", "").replace(" -1\n", "\n")),
        ])
        .await;
    let prometheus = PrometheusServer::scraping(&scraped.address.to_string(), "/metrics").await.expect("a Prometheus");
    let memory = r#"container_memory_bytes{pod="pod-2",container="7"}"#;
    assert_eq!(until(&prometheus, memory, |value| value.is_some()).await.as_deref(), Some("2.7"));
    for (query, value) in [
        (r#"disk_free_bytes{path="C:\\DIR\\\n\"ü\""}"#, "-0.00000015"),
        (r#"disk_free_bytes{path="+"}"#, "+Inf"),
        (r#"disk_free_bytes{path="}, {"}"#, "NaN"),
        (r#"request_duration_seconds_bucket{le="2.5"}"#, "1"),
        (r#"gc_duration_seconds{quantile="0.50"}"#, "NaN"),
        ("count(container_cpu_seconds_total)", "20"),
        ("scrape_samples_scraped", "55"),
    ] {
        let found = prometheus.value(query).await.expect("an answer");
        assert!(
            found.as_deref() == Some(value) || found.as_deref() == Some("-1.5e-07").filter(|_| value.starts_with("-0.")),
            "{query}: {found:?}"
        );
    }
    assert_eq!(prometheus.last_error().await.expect("a target"), "");

    scraped.write(&[forget("pod-2"), document("pod-1", &pod(1).replace(" 1.7", " 8"))]).await;
    // A series that is not on the next page is stale at once: no query finds it any more.
    assert_eq!(until(&prometheus, memory, |value| value.is_none()).await, None);
    let other = r#"container_memory_bytes{pod="pod-1",container="7"}"#;
    assert_eq!(until(&prometheus, other, |value| value.is_some_and(|value| value == "8")).await.as_deref(), Some("8"));
}

/// Asks until the answer is as wanted, or time is up.
async fn until(prometheus: &PrometheusServer, query: &str, wanted: impl Fn(Option<&str>) -> bool) -> Option<String> {
    let begun = Instant::now();
    loop {
        let value = prometheus.value(query).await.expect("an answer");
        if wanted(value.as_deref()) || begun.elapsed() > PATIENCE {
            return value;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
