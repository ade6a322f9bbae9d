//! Reads topics with a client that is not ours: Confluent's for Python.
#![allow(dead_code, reason = "each test file uses a part of them")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use sluicebox_contract::{Class, Entry, Fault, Message, Outcome, Sink};
use sluicebox_sinks::kafka::{Config, Kafka};
use sluicebox_testkit::servers::{KafkaOptions, KafkaServer, Need, python, require};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

const WITHIN: Duration = Duration::from_mins(1);

const SCRIPT: &str = r#"
import json, sys
from confluent_kafka import Consumer, KafkaError, TopicPartition

text = lambda data: None if data is None else data.decode()
settings = {"group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True}
consumer = Consumer(settings | json.loads(sys.argv[1]))
topic = sys.argv[2]
left = set(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
while left:
    records = consumer.consume(10000, timeout=1)
    for record in records:
        if not record.error():
            headers = [[name, text(value)] for name, value in record.headers() or []]
            print(json.dumps([record.partition(), text(record.key()), text(record.value()), headers]))
        elif record.error().code() == KafkaError._PARTITION_EOF:
            left.discard(record.partition())
        else:
            sys.exit(str(record.error()))
"#;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// Whether a broker and a reader are to be had.
pub(crate) fn can_run() -> bool {
    require(Need::Kafka) && require(Need::ConfluentKafka)
}

pub(crate) async fn broker(topics: &[(&str, u32)]) -> Result<KafkaServer> {
    let topics = topics.iter().map(|(topic, partitions)| ((*topic).to_owned(), *partitions)).collect();
    KafkaServer::start(KafkaOptions { topics, ..KafkaOptions::default() }).await
}

/// Settings with which a test does not take long.
pub(crate) fn config(address: &str) -> Config {
    let mut config = Config::new(address.split(','));
    config.message_timeout.0 = Duration::from_secs(10);
    config.topic_timeout.0 = Duration::from_secs(1);
    config
}

pub(crate) fn sink(config: &Config) -> Kafka {
    assert_eq!(config.problems(), []);
    Kafka::new("events".into(), config)
}

pub(crate) fn keyed(topic: &str, key: &str, body: &str) -> Entry {
    let (channel, key) = (Some(topic.to_owned()), Some(key.to_owned()));
    Entry::Message(Message { channel, key, body: body.into(), ..Message::default() })
}

/// Everything in a topic, partition by partition in order.
pub(crate) async fn read(address: &str, topic: &str) -> Result<Vec<Read>> {
    read_with(json!({ "bootstrap.servers": address }), topic).await
}

/// The same through TLS.
pub(crate) async fn read_with_tls(address: &str, authority: &Path, topic: &str) -> Result<Vec<Read>> {
    let settings = json!({ "bootstrap.servers": address, "security.protocol": "ssl", "ssl.ca.location": authority });
    read_with(settings, topic).await
}

/// The same with further settings.
pub(crate) async fn read_with(settings: serde_json::Value, topic: &str) -> Result<Vec<Read>> {
    let mut command = Command::new(python()?);
    command.args(["-c", SCRIPT, &settings.to_string(), topic]).kill_on_drop(true);
    let output = timeout(WITHIN, command.output()).await.context("the reader hangs")??;
    ensure!(output.status.success(), "the reader failed: {}", String::from_utf8_lossy(&output.stderr));
    let records = String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(records)
}

/// Writes in batches, and again from where it stopped, as an outlet does; gives up after a minute. Says how often it stopped.
pub(crate) async fn write_all(sink: &mut Kafka, entries: &[Entry], batch: usize) -> usize {
    let (mut next, mut stops, begun) = (0, 0, Instant::now());
    while next < entries.len() {
        let batch = &entries[next..entries.len().min(next + batch)];
        let outcome = sink.write(batch).await;
        assert_eq!(outcome.refused, []);
        match outcome.stopped {
            None => next += batch.len(),
            Some((index, fault)) => {
                assert_eq!(fault.class, Class::Retry, "{fault}");
                assert!(begun.elapsed() < WITHIN, "{fault}");
                stops += 1;
                next += index;
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    stops
}

/// Writes until it is written; gives up after a minute.
pub(crate) async fn written(sink: &mut Kafka, entries: &[Entry]) {
    write_all(sink, entries, entries.len()).await;
}

/// Writes, and is stopped.
pub(crate) async fn stopped(sink: &mut Kafka, entries: &[Entry]) -> Fault {
    let Outcome { refused, stopped } = sink.write(entries).await;
    let (index, fault) = stopped.expect("a fault");
    assert_eq!((refused, index, fault.class), (vec![], 0, Class::Retry));
    fault
}

/// The numbers that were read for each key, without those that came again.
pub(crate) fn firsts(records: &[Read]) -> HashMap<&str, Vec<usize>> {
    let mut seen = std::collections::HashSet::new();
    let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
    for record in records {
        let (key, value) = (record.key.as_deref().expect("a key"), record.value.as_deref().expect("a value"));
        if seen.insert((key, value)) {
            numbers.entry(key).or_default().push(value.parse().expect("a number"));
        }
    }
    numbers
}
