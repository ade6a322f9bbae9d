//! From a real Prometheus through the preset into a real broker of Kafka's protocol, read back by a client of its own and compared with the
//! same queries made by hand.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::servers::{Need, PrometheusServer, require};
use support::kafka::{self, Record};
use support::{PATIENCE, Place, SLOW, until};

const TOPIC: &str = "nfvi.ncsrd.kubernetes";
const ID: &str = "3ae5f2ca936f48dea5f2ca936f78de3a";

/// A message as MAPE's consumers read it.
struct Message {
    container: String,
    metric: String,
    /// Times in milliseconds, and values.
    data: Vec<(i64, String)>,
}

fn message(record: &Record) -> Message {
    let value: Value = serde_json::from_str(&record.value).unwrap_or_else(|error| panic!("{error}: {}", record.value));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let datum = |datum: &Value| (millis(datum["timestamp"].as_str().unwrap()), text(&datum["value"]));
    Message {
        container: text(&value["container_id"]),
        metric: text(&value["metric_type"]),
        data: value["data"].as_array().unwrap().iter().map(datum).collect(),
    }
}

/// `2018-12-20T06:57:49.000000Z` as milliseconds since 1970.
fn millis(text: &str) -> i64 {
    let output = std::process::Command::new("date").args(["-u", "-d", text, "+%s%3N"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Whose queries are asked by the program, as they are asked by hand. They are about a program of ours, which Prometheus scrapes.
const QUERIES: [(&str, &str); 3] = [
    ("lane_memory_bytes", "sluicebox_lane_memory_bytes"),
    ("source_events", "rate(sluicebox_source_events_total[5s])"),
    ("no_number", "0 / sum(sluicebox_source_events_total * 0)"),
];

fn labelled(query: &str) -> String {
    format!("label_replace(sum({query}), \"label_vim_id\", \"{ID}\", \"\", \"\")")
}

#[tokio::test]
async fn what_is_published_is_what_the_same_query_finds_by_hand() {
    if !(require(Need::Prometheus) && kafka::can_run()) {
        return;
    }
    let (api, broker) = (ApiServer::start().await.unwrap(), kafka::broker(TOPIC).await);
    let watched = Place::new();
    let config = watched.configure(
        &api.url(),
        "sources: {pods: {refresh: 1s}}\nmodules: {lines: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: {}}}\n",
    );
    let mut other = watched.run(&config);
    other.until_ready(SLOW).await.unwrap();
    api.create_pod(support::pending("web")).unwrap();
    let prometheus = PrometheusServer::scraping(other.address(), "/metrics").await.unwrap();
    let mut queries = String::new();
    for (name, query) in QUERIES {
        let query = labelled(query);
        writeln!(queries, "      {name}: {{query: '{query}', kind: range, step: 500ms, type: gauge, unit: bytes}}").unwrap();
    }
    let place = Place::new();
    let rest = format!(
        "sources:\n  prometheus:\n    url: {}\n    scope: node\n    period: 1s\n    queries:\n{queries}\
         modules:\n  publisher: {{use: mape-kafka, to: [kafka]}}\nsinks:\n  kafka: {{kafka: {{brokers: [\"{}\"]}}}}\n",
        prometheus.url(),
        broker.address(),
    );
    let config = place.configure(&api.url(), &rest);
    let mut program = place.run(&config);
    program.until_ready(SLOW).await.unwrap();
    until(&program, "some messages are written", async || {
        program.metric("sluicebox_sink_written_total", "kafka").await.unwrap() >= 12.0
    })
    .await;
    assert!(program.stop(PATIENCE).await.unwrap().success());

    let records = kafka::read(&broker, TOPIC).await;
    assert!(records.iter().all(|record| record.key.as_deref() == Some(ID)));
    let mut told: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for Message { container, metric, data } in records.iter().map(message) {
        assert_eq!(container, ID);
        let (_, query) = QUERIES.iter().find(|(name, _)| *name == metric).expect("a metric that was asked for");
        for (at, value) in data {
            let by_hand = prometheus.query_at(&labelled(query), at).await.unwrap();
            assert_eq!(by_hand[0]["value"][1], Value::from(value.as_str()), "{metric} at {at}");
            assert!(told.entry(metric.clone()).or_default().insert(at), "{metric} at {at} was told twice");
        }
    }
    // What is no number is left out; all else is there, and no moment between the first and the last is missing.
    assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), ["lane_memory_bytes", "source_events"]);
    for (metric, moments) in &told {
        let (first, last) = (moments.first().unwrap(), moments.last().unwrap());
        assert_eq!(usize::try_from((last - first) / 500).unwrap() + 1, moments.len(), "{metric}: {moments:?}");
        assert!(moments.len() >= 8, "{metric}: {moments:?}");
    }
    assert!(other.stop(PATIENCE).await.unwrap().success());
}
