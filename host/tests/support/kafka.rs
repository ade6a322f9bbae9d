//! Reads a topic with a client that shares nothing with the program: a Python of its own.

use std::time::Duration;

use serde::Deserialize;
use sluicebox_testkit::servers::{KafkaOptions, KafkaServer, Need, python, require};
use tokio::process::Command;
use tokio::time::timeout;

/// How long reading may take.
const WITHIN: Duration = Duration::from_mins(1);

/// Reads every partition from its beginning to its present end.
const SCRIPT: &str = r#"
import json, sys
from confluent_kafka import Consumer, KafkaError, TopicPartition

text = lambda data: None if data is None else data.decode()
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True})
left = set(consumer.list_topics(sys.argv[2], timeout=20).topics[sys.argv[2]].partitions)
consumer.assign([TopicPartition(sys.argv[2], partition, 0) for partition in left])
while left:
    for record in consumer.consume(10000, timeout=1):
        if not record.error():
            print(json.dumps({"partition": record.partition(), "key": text(record.key()), "value": text(record.value())}))
        elif record.error().code() == KafkaError._PARTITION_EOF:
            left.discard(record.partition())
        else:
            sys.exit(str(record.error()))
"#;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Record {
    pub partition: i32,
    pub key: Option<String>,
    pub value: String,
}

/// Whether a broker and a reader are to be had.
pub fn can_run() -> bool {
    require(Need::Kafka) && require(Need::ConfluentKafka)
}

/// A broker with one topic of two partitions.
pub async fn broker(topic: &str) -> KafkaServer {
    let topics = vec![(topic.to_owned(), 2)];
    KafkaServer::start(KafkaOptions { topics, ..KafkaOptions::default() }).await.unwrap()
}

/// Everything in a topic to which nobody writes; each partition in its order.
pub async fn read(broker: &KafkaServer, topic: &str) -> Vec<Record> {
    let mut command = Command::new(python().unwrap());
    command.args(["-c", SCRIPT, &broker.address(), topic]).kill_on_drop(true);
    let output = timeout(WITHIN, command.output()).await.expect("the reader ends").unwrap();
    assert!(output.status.success(), "the reader failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
