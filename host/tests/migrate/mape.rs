//! kubernetes-prometheus-publisher: its own queries, asked by hand of the same Prometheus, and its messages letter by letter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use serde_json::Value;
use sluicebox_testkit::http::{Answer, PageServer};
use sluicebox_testkit::servers::{Need, PrometheusServer, require};

use crate::support::kafka::{self, Record};
use crate::support::{PATIENCE, Place, until};
use crate::{printed, start};

const TOPIC: &str = "nfvi.ncsrd.kubernetes";
const ID: &str = "3ae5f2ca936f48dea5f2ca936f78de3a";

/// Of the table of that program: metric, type, unit, and the function of its queries.
const TABLE: [(&str, &str, &str, &str); 7] = [
    ("container_fs_inodes_free", "gauge", "", "avg_over_time"),
    ("container_cpu_usage_seconds_total", "counter", "seconds", "rate"),
    ("container_memory_usage_bytes", "gauge", "bytes", "avg_over_time"),
    ("container_network_receive_packets_dropped_total", "counter", "", "rate"),
    ("container_network_receive_packets_total", "counter", "packets", "rate"),
    ("container_network_transmit_packets_dropped_total", "counter", "", "rate"),
    ("container_network_transmit_packets_total", "counter", "", "rate"),
];

/// The query as that program writes it.
fn query(metric: &str, function: &str) -> String {
    format!(
        r#"sum(
      max(kube_pod_labels{{label_ow_action!=""}}) by (label_ow_action, pod, label_vim_id)
      *
      on(pod)
      group_right(label_ow_action, label_vim_id)
      label_replace(
        sum by (pod_name) ({function}({metric}{{namespace="default"}}[1m])), 
        "pod", 
        "$1", 
        "pod_name", 
        "(.+)"
      )
    ) by (pod, label_ow_action, label_vim_id)"#
    )
}

/// A message as that program writes it. The value stands as it is: a text, or the number of what was lost.
fn message(metric: &str, of_type: &str, unit: &str, timestamp: &str, value: &str) -> String {
    let inner = if metric.ends_with("_percentage") { "counter" } else { of_type };
    format!(
        "{{\"container_id\": \"{ID}\", \"type\": \"{of_type}\", \"data\": [{{\"timestamp\": \"{timestamp}\", \"unit\": \"{unit}\", \"type\": \
         \"{inner}\", \"name\": \"{metric}\", \"value\": {value}}}]}}"
    )
}

/// What is scraped after so many seconds: of one pod that an action owns, with both labels of Kubernetes 1.14 and 1.15, and of one that
/// none does.
fn page(seconds: f64) -> String {
    let mut page = format!(
        "kube_pod_labels{{namespace=\"default\",pod=\"web\",label_ow_action=\"guest_action\",label_vim_id=\"{ID}\"}} 1\n\
         kube_pod_labels{{namespace=\"default\",pod=\"other\"}} 1\n"
    );
    for (metric, of_type, ..) in TABLE {
        let container = if metric.contains("network") { "POD" } else { "main" };
        let value = match of_type {
            "gauge" => 2442.0,
            _ if metric.contains("dropped") => 5.0 * seconds,
            _ => 40.0 * seconds,
        };
        for pod in ["web", "other"] {
            let labels = format!("namespace=\"default\",pod=\"{pod}\",pod_name=\"{pod}\",container=\"{container}\"");
            writeln!(page, "{metric}{{{labels}}} {value}").unwrap();
        }
    }
    page
}

#[tokio::test]
async fn what_is_printed_for_mape_publishes_what_its_publisher_did() {
    if !(require(Need::Prometheus) && kafka::can_run()) {
        return;
    }
    let begun = Instant::now();
    let scraped = PageServer::start(Answer::Report(page(0.0).into())).await.unwrap();
    let prometheus = PrometheusServer::scraping(&scraped.address(), "/metrics").await.unwrap();
    let (place, broker) = (Place::new(), kafka::broker(TOPIC).await);
    let (url, address) = (prometheus.url(), broker.address());
    let (prometheus_host, prometheus_port) = url.trim_start_matches("http://").split_once(':').unwrap();
    let (kafka_host, kafka_port) = address.split_once(':').unwrap();
    let environment = [
        ("KAFKA_IP", kafka_host),
        ("KAFKA_PORT", kafka_port),
        ("PROMETHEUS_HOST", prometheus_host),
        ("PROMETHEUS_PORT", prometheus_port),
        ("PROMETHEUS_POLLING_STEP", "1s"),
        ("SCHEDULER_SECONDS", "2"),
    ];
    let mut program = start(&place, &printed(&["migrate", "mape"], &environment)).await;
    until(&program, "some cycles are written", async || {
        scraped.answer(Answer::Report(page(begun.elapsed().as_secs_f64()).into()));
        program.metric("sluicebox_sink_written_total", "kafka").await.unwrap_or_default() >= 4.0 * 9.0
    })
    .await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    compare(&prometheus, &kafka::read(&broker, TOPIC).await).await;
}

/// Every message with that of the old program, made of what its query finds at the same moment.
async fn compare(prometheus: &PrometheusServer, records: &[Record]) {
    assert_eq!(query("container_cpu_usage_seconds_total", "rate").len(), 400, "it is the query of that program");
    let mut found: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    let mut lost = BTreeSet::new();
    for record in records {
        let told: Value = serde_json::from_str(&record.value).unwrap();
        let datum = &told["data"][0];
        let (name, timestamp) = (datum["name"].as_str().unwrap(), datum["timestamp"].as_str().unwrap());
        assert_eq!(record.key, None, "{record:?}");
        if name.ends_with("_packet_loss_percentage") {
            let percent = datum["value"].as_f64().unwrap();
            assert!((percent - 12.5).abs() < 1e-6, "{record:?}");
            assert_eq!(record.value, message(name, name, "%", timestamp, &datum["value"].to_string()));
            lost.insert(name.to_owned());
            continue;
        }
        let (metric, of_type, unit, function) = *TABLE.iter().find(|(metric, ..)| *metric == name).expect("a metric of the page");
        let at = millis(timestamp);
        let by_hand = prometheus.query_at(&query(metric, function), at).await.unwrap();
        assert_eq!(by_hand.len(), 1, "{by_hand:?}");
        let (by_hand, value) = (by_hand[0]["value"][1].as_str().unwrap(), datum["value"].as_str().unwrap());
        // A scrape that was under way at that moment is seen by whoever asks later.
        let (wanted, is) = (by_hand.parse::<f64>().unwrap(), value.parse::<f64>().unwrap());
        assert!(value == by_hand || (of_type == "counter" && (is / wanted - 1.0).abs() < 0.2), "{value}, by hand {by_hand}");
        assert_eq!(record.value, message(metric, of_type, unit, timestamp, &format!("\"{value}\"")));
        assert!(found.entry(metric).or_default().insert(at), "{metric} at {timestamp} was told twice");
    }
    let names: BTreeSet<&str> = TABLE.into_iter().map(|(metric, ..)| metric).collect();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), names);
    let ways = ["receive", "transmit"].map(|way| format!("container_network_{way}_packet_loss_percentage"));
    assert_eq!(lost, ways.into());
    for moments in found.values() {
        let moments: Vec<i64> = moments.iter().copied().collect();
        assert!(moments.len() >= 3 && moments.windows(2).all(|two| two[1] - two[0] == 2000), "one of each cycle: {moments:?}");
    }
}

/// `2018-12-20T06:57:49.000000Z` as milliseconds since 1970.
fn millis(text: &str) -> i64 {
    let output = std::process::Command::new("date").args(["-u", "-d", text, "+%s%3N"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
