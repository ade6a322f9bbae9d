//! The 26 metrics of a cycle through the whole program, from a server that answers 500 for one, hangs for one and sends 50 MB for one, into a real
//! broker; and what it takes when every answer is that large.

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use sluicebox_testkit::http::{Answer, PageServer};
use sluicebox_testkit::program::Program;
use support::{PATIENCE, Place, SLOW, kafka, until, until_within};

const TOPIC: &str = "nfvi.ncsrd.kubernetes";
const MIB: u64 = 1 << 20;

/// So many series, each with one moment.
fn matrix(series: usize) -> Vec<u8> {
    let series: Vec<Value> = (0..series)
        .map(|number| json!({"metric": {"label_vim_id": format!("{number:032x}"), "pod": format!("web-{number}")}, "values": [[1545289069, "2442"]]}))
        .collect();
    json!({"status": "success", "data": {"resultType": "matrix", "result": series}}).to_string().into_bytes()
}

/// The most that the program has held.
fn peak(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn three_that_fail_cost_the_other_twenty_three_nothing() {
    if !kafka::can_run() {
        return;
    }
    let broker = kafka::broker(TOPIC).await;
    let server = PageServer::start(Answer::Report(matrix(100))).await.unwrap();
    server.answer_to("container_memory_swap%7B", Answer::Status(500, b"no".to_vec()));
    server.answer_to("container_fs_io_current%7B", Answer::Silence);
    let huge = matrix(450_000);
    assert!(huge.len() > 50_000_000, "{}", huge.len());
    server.answer_to("container_cpu_usage_seconds_total%7B", Answer::Report(huge));
    let place = Place::new();
    let rest = format!(
        "sources:\n  prometheus:\n    url: http://{}\n    scope: node\n    period: 5s\n    timeout: 4s\n    queries:\n\
         \x20     mape: {{metrics: mape-kafka, template: mape-kafka, kind: range}}\n\
         modules:\n  publisher: {{use: mape-kafka, to: [kafka]}}\nsinks:\n  kafka: {{kafka: {{brokers: [\"{}\"]}}}}\n",
        server.address(),
        broker.address(),
    );
    let mut program = place.run(&place.configure("http://127.0.0.1:9", &rest));
    program.until_ready(SLOW).await.unwrap();
    let before = peak(&program);
    until(&program, "the first query is asked", async || !server.requests().is_empty()).await;
    let begun = Instant::now();
    // 23 metrics and the loss of received and transmitted packets, of 100 containers each.
    let written = || async { program.metric("sluicebox_sink_written_total", "kafka").await.unwrap() };
    until(&program, "the others are written", async || written().await >= 2_300.0).await;
    let took = begun.elapsed();
    assert!(took.as_secs_f64() < 5.0, "within the period: {took:?}");
    until(&program, "the packets that were lost are written", async || written().await >= 2_500.0).await;
    let after_one = peak(&program);
    // Now all of them are as large as they may be, and have to be held before they are seen to be no answers.
    server.clear_rules();
    server.answer(Answer::Report(format!("[{}]", " ".repeat(8_000_000)).into_bytes()));
    let failures = || async { program.metric("sluicebox_source_retries_total", "source=\"prometheus\"").await.unwrap() };
    until_within(&program, SLOW, "a cycle has failed", async || failures().await >= 29.0).await;
    let after_all = peak(&program);
    println!(
        "23 of 26 metrics after {took:?}; held {} MiB at the start, {} MiB after one answer of 50 MB, {} MiB after 26 of 8 MB",
        before / MIB,
        after_one / MIB,
        after_all / MIB,
    );
    // Four answers of 8 MiB at once.
    assert!(after_all - before < 56 * MIB, "{} MiB more", (after_all - before) / MIB);
    assert!(program.stop(PATIENCE).await.unwrap().success());

    let records = kafka::read(&broker, TOPIC).await;
    let metrics: BTreeSet<String> = records
        .iter()
        .map(|record| serde_json::from_str::<Value>(&record.value).unwrap()["metric_type"].as_str().unwrap().to_owned())
        .collect();
    // Two of the 26 are those of lost packets.
    assert_eq!(metrics.len(), 23, "{metrics:?}");
    for missing in ["container_memory_swap", "container_fs_io_current", "container_cpu_usage_seconds_total"] {
        assert!(!metrics.contains(missing), "{missing}");
    }
}
