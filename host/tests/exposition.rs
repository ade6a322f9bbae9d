//! The program's own metrics, with every kind of source and sink at work: right in the eyes of Prometheus.

mod support;

use sluicebox_testkit::servers::{Need, PrometheusServer, require};
use support::machine::{Machine, lines, told_again};
use support::prometheus::{complaints, free_address};
use support::{PATIENCE, kafka, until};

#[tokio::test]
async fn prometheus_takes_the_program_s_own_metrics_and_has_nothing_to_say_against_them() {
    if !kafka::can_run() || !require(Need::Prometheus) {
        return;
    }
    let broker = kafka::broker("samples").await;
    let machine = Machine::new().await;
    machine.pod(1, 2);
    // A group of its own beside the source of pods: the API server does not tell of it.
    machine.kubelet.make("kubepods.slice/kubepods-pod00000000_0000_4000_8000_00000000000f.slice").unwrap();
    let sources = machine.sources("").replace("sources: {", "sources: {pods: {}, namespaces: {}, nodes: {}, ");
    let rest = format!(
        "{sources}modules:\n\
         \x20 lines: {{use: json-lines, from: [cgroups], to: [out, broker]}}\n\
         \x20 series: {{use: pod-metrics, settings: {{form: prometheus}}, to: [page]}}\n\
         \x20 table: {{use: pod-metrics, settings: {{form: csv}}, to: [folder]}}\n\
         \x20 events: {{use: galileo-events, from: [pods, nodes], to: [out]}}\n\
         sinks:\n\
         \x20 out: {{stdout: {{format: json}}}}\n\
         \x20 broker: {{kafka: {{brokers: [\"{}\"], topic: samples, statistics-interval: 1s}}}}\n\
         \x20 page: {{prometheus: {{listen: \"{}\"}}}}\n\
         \x20 folder: {{files: {{directory: \"{}\", append: {{file: usage.csv}}}}}}\n",
        broker.address(),
        free_address(),
        machine.place.path("table").display(),
    );
    let mut program = machine.run(&rest).await;
    told_again(&program, "pod shop/web-1", 10).await;
    let value = async |name: &str, label: &str| program.metric(name, label).await.unwrap();
    until(&program, "the client has told of itself", async || {
        value("sluicebox_sink_kafka_sent_messages_total", "broker").await > 0.0
    })
    .await;
    for (name, label, least) in [
        ("sluicebox_source_events_total", "source=\"cgroups\"", 10.0),
        ("sluicebox_source_tick_seconds_count", "source=\"cgroups\"", 10.0),
        ("sluicebox_source_subjects", "source=\"cgroups\"", 3.0),
        ("sluicebox_source_nameless", "source=\"cgroups\"", 1.0),
        ("sluicebox_lane_entries_total", "lane=\"lines\"", 30.0),
        ("sluicebox_sink_written_total", "sink=\"broker\"", 30.0),
        ("sluicebox_sink_kafka_brokers_up", "sink=\"broker\"", 1.0),
    ] {
        assert!(value(name, label).await >= least, "{name} {label} is {}", value(name, label).await);
    }
    let (_, page) = program.get("/metrics").await.unwrap();
    // Only sources that read at times, and sinks of this kind, have such numbers.
    for row in page.lines().filter(|row| row.starts_with("sluicebox_source_tick") || row.starts_with("sluicebox_source_late")) {
        assert!(row.contains("source=\"cgroups\""), "{row}");
    }
    assert!(page.lines().filter(|row| row.starts_with("sluicebox_sink_kafka_")).all(|row| row.contains("sink=\"broker\"")));
    assert_eq!(complaints(&page), "");
    assert_ne!(complaints("a_b{"), "", "the tool does look");

    let address = admin(&program.log().unwrap());
    let prometheus = PrometheusServer::scraping(&address, "/metrics").await.unwrap();
    let query = "sluicebox_source_subjects{source=\"cgroups\"}";
    until(&program, "it is scraped", async || prometheus.value(query).await.unwrap().is_some()).await;
    assert_eq!(prometheus.value(query).await.unwrap().as_deref(), Some("3"));
    assert_eq!(prometheus.last_error().await.unwrap(), "");
    assert!(lines(&program).len() > 30);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

/// Where the log says that the metrics are.
fn admin(log: &str) -> String {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.into_iter().find_map(|line| Some(line["address"].as_str()?.to_owned())).unwrap()
}
