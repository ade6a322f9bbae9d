//! What the cluster will never take is kept as dead letters and sent when somebody has mended the cause; what it takes goes on.

mod support;

use std::collections::BTreeSet;

use support::machine::{Machine, told_again};
use support::{PATIENCE, kafka, until};

#[tokio::test]
async fn messages_for_a_topic_that_does_not_exist_are_kept_and_sent_once_it_does() {
    if !kafka::can_run() {
        return;
    }
    let broker = kafka::broker("samples").await;
    let machine = Machine::new().await;
    machine.pod(1, 1);
    let rest = format!(
        "{}modules:\n\
         \x20 lost: {{use: json-lines, settings: {{channel: misspelt}}, to: [broker]}}\n\
         \x20 records: {{use: json-lines, settings: {{channel: samples}}, to: [other]}}\n\
         \x20 lines: {{use: json-lines, to: [out]}}\n\
         sinks:\n\
         \x20 broker: {{kafka: {{brokers: [\"{address}\"], topic-timeout: 1s}}}}\n\
         \x20 other: {{kafka: {{brokers: [\"{address}\"]}}}}\n\
         \x20 out: {{stdout: {{format: json}}}}\n",
        machine.sources(", metrics: [cpu]"),
        address = broker.address(),
    );
    let mut program = machine.run(&rest).await;
    until(&program, "letters are kept", async || machine.letters(&["list"]).await.lines().count() > 4).await;
    let table = machine.letters(&["list", "--lane", "lost"]).await;
    assert!(table.lines().skip(1).all(|row| row.contains("message") && row.contains(" to broker ")), "{table}");
    assert!(table.contains("misspelt"), "the reason names the topic: {table}");
    assert_eq!(machine.letters(&["list", "--lane", "records"]).await, "no dead letters\n");
    let written = async |sink: &str| program.metric("sluicebox_sink_written_total", &format!("sink=\"{sink}\"")).await.unwrap();
    let before = written("other").await;
    told_again(&program, "pod shop/web-1", 2).await;
    until(&program, "what has a topic goes on", async || written("other").await > before).await;
    assert!(written("broker").await < 0.5);

    broker.create_topic("misspelt", 2).await.unwrap();
    until(&program, "the topic is found", async || written("broker").await > 0.0).await;
    let said = machine.letters(&["replay", "--all"]).await;
    assert!(said.lines().all(|line| line.ends_with(" replayed")), "{said}");
    assert_eq!(machine.letters(&["list"]).await, "no dead letters\n");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    let of = async |topic: &str| -> BTreeSet<String> {
        kafka::read(&broker, topic).await.into_iter().map(|record| record.value).collect()
    };
    assert_eq!(of("misspelt").await, of("samples").await, "in the end nothing is missing");
}
