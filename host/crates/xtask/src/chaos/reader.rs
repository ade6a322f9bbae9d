//! What is in a topic, read as it comes by a client that shares nothing with the program: a Python of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use sluicebox_testkit::servers::python;

use super::clock::now_milliseconds;

/// Reads every partition from its beginning, for ever.
const SCRIPT: &str = r#"
import os, sys, threading
from confluent_kafka import Consumer, TopicPartition

# Nobody listens any more once the other end of this is closed.
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()

consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "reader", "enable.auto.commit": False, "log_level": 0,
    "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "fetch.wait.max.ms": 50, "fetch.error.backoff.ms": 50, "topic.metadata.refresh.interval.ms": 2000})
consumer.assign([TopicPartition(sys.argv[2], partition, 0) for partition in range(int(sys.argv[3]))])
while True:
    for record in consumer.consume(1000, timeout=0.05):
        if not record.error():
            sys.stdout.write(record.value().decode() + "\n")
    sys.stdout.flush()
"#;

/// The process that reads, and what it has read. It ends with its owner.
pub(super) struct Reader {
    child: Child,
    /// With the time at which each has come, in milliseconds since 1970.
    lines: Arc<Mutex<Vec<(i64, String)>>>,
}

impl Reader {
    pub(super) fn start(broker: &str, topic: &str, partitions: u32) -> Result<Self> {
        let mut command = Command::new(python()?);
        command.args(["-c", SCRIPT, broker, topic, &partitions.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot run python")?;
        let output = child.stdout.take().context("the reader has no output")?;
        let lines = Arc::<Mutex<Vec<(i64, String)>>>::default();
        let read = Arc::clone(&lines);
        // It ends when the process does.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                read.lock().unwrap_or_else(PoisonError::into_inner).push((now_milliseconds(), line));
            }
        });
        Ok(Self { child, lines })
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Vec<(i64, String)> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
