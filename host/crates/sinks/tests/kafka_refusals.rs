//! Proves what the kafka sink makes of the refusals of Apache Kafka itself, and of another real broker.

mod entries;
mod kafka_reader;

use std::time::Duration;

use anyhow::Result;
use entries::message;
use kafka_reader::{broker, can_run, config, keyed, read, sink, stopped, written};
use sluicebox_contract::{Class, Document, Entry, Fault, Message, Outcome, Sink};
use sluicebox_sinks::kafka::{Compression, Config, Kafka};
use sluicebox_testkit::servers::{ApacheKafka, Need, require};
use tokio::time::{Instant, sleep};

/// The client cannot read the shorter answers of so old a broker.
const ENDING: &str = "with-a-name-that-is-long-enough-for-old-answers-to-be-read";

fn topic(name: &str) -> String {
    format!("{name}-{ENDING}")
}

/// As for a broker that does not say which version it is.
fn old(server: &ApacheKafka) -> Config {
    let mut config = config(&server.address());
    (config.idempotence, config.compression) = (false, Compression::None);
    config.message_timeout.0 = Duration::from_secs(3);
    // So that they are sent together.
    config.linger.0 = Duration::from_millis(100);
    for (name, value) in [("api.version.request", "false"), ("broker.version.fallback", "0.9.0")] {
        config.extra.insert(name.to_owned(), value.to_owned());
    }
    config
}

fn says(fault: &Fault, words: &str, cure: &str) {
    assert!(fault.class == Class::Retry && fault.to_string().contains(words), "{fault}");
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains(cure)), "{fault}");
}

/// What does not name its topic.
fn for_default(body: &str) -> Entry {
    Entry::Message(Message { key: Some("k".to_owned()), body: body.into(), ..Message::default() })
}

/// Writes until the topic counts as one that does not exist.
async fn refused(sink: &mut Kafka, batch: &[Entry]) -> Outcome {
    let begun = Instant::now();
    loop {
        let outcome = sink.write(batch).await;
        if outcome.stopped.is_none() {
            return outcome;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{outcome:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_apache_kafka_refuses_is_waited_for_or_refused_by_what_it_lies_in() -> Result<()> {
    if !require(Need::ApacheKafka) {
        return Ok(());
    }
    let server = ApacheKafka::start().await?;
    let [small, insync, denied, missing] = ["small", "insync", "denied", "missing"].map(topic);
    server.create_topic(&small, &["max.message.bytes=1000"]).await?;
    server.create_topic(&insync, &["min.insync.replicas=2"]).await?;
    server.create_topic(&denied, &[]).await?;
    server.permit(&denied, false).await?;
    too_large(&server, &small).await;
    too_few_replicas(&server, &insync).await?;
    no_right(&server, &denied).await?;
    no_topic(&server, &missing).await
}

/// Refused alone, and the others of its batch are written.
async fn too_large(server: &ApacheKafka, small: &str) {
    let mut sink = sink(&old(server));
    let batch = [keyed(small, "k", "1"), keyed(small, "k", &"x".repeat(5_000)), keyed(small, "k", "3")];
    let outcome = sink.write(&batch).await;
    assert_eq!((outcome.stopped, outcome.refused.len()), (None, 1));
    let (index, reason) = (outcome.refused[0].index, &outcome.refused[0].reason);
    assert!(index == 1 && reason.contains("Message size too large") && reason.contains("`max.message.bytes`"), "{reason}");
}

/// Waited for, and written when one is enough.
async fn too_few_replicas(server: &ApacheKafka, insync: &str) -> Result<()> {
    let mut sink = sink(&old(server));
    let batch = [keyed(insync, "k", "1"), keyed(insync, "k", "2")];
    for _ in 0..2 {
        says(&stopped(&mut sink, &batch).await, "no acknowledgement within 3s", "`min.insync.replicas`");
    }
    server.configure(insync, "min.insync.replicas=1").await?;
    written(&mut sink, &batch).await;
    Ok(())
}

/// Waited for where the settings name the topic; refused after a while where only the entry does.
async fn no_right(server: &ApacheKafka, denied: &str) -> Result<()> {
    let mut by_entry = sink(&old(server));
    let outcome = refused(&mut by_entry, &[keyed(denied, "k", "1")]).await;
    let reason = &outcome.refused[0].reason;
    assert!(reason.contains("Topic authorization failed") && reason.contains("grant `Write`"), "{reason}");
    let mut by_settings = sink(&Config { topic: Some(denied.to_owned()), ..old(server) });
    for _ in 0..2 {
        says(&stopped(&mut by_settings, &[for_default("2")]).await, "Topic authorization failed", "grant `Write`");
    }
    server.permit(denied, true).await?;
    written(&mut by_settings, &[for_default("2")]).await;
    written(&mut by_entry, &[keyed(denied, "k", "3")]).await;
    Ok(())
}

async fn no_topic(server: &ApacheKafka, missing: &str) -> Result<()> {
    let mut by_entry = sink(&old(server));
    let outcome = refused(&mut by_entry, &[keyed(missing, "k", "1")]).await;
    assert!(outcome.refused[0].reason.contains("create the topic"), "{outcome:?}");
    let mut by_settings = sink(&Config { topic: Some(missing.to_owned()), ..old(server) });
    for _ in 0..2 {
        says(&stopped(&mut by_settings, &[for_default("2")]).await, "nknown topic", "create the topic");
    }
    server.create_topic(missing, &[]).await?;
    written(&mut by_settings, &[for_default("2")]).await;
    Ok(())
}

#[tokio::test]
async fn a_real_topic_that_is_missing_is_waited_for_or_refused_by_who_names_it() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("there", 1)]).await?;
    let mut by_settings = sink(&Config { topic: Some("late".to_owned()), ..config(&server.address()) });
    let document = Entry::Document(Document { name: "n".to_owned(), body: "1".into(), ..Document::default() });
    let batch = [document, keyed("there", "k", "1")];
    for _ in 0..2 {
        says(&stopped(&mut by_settings, &batch).await, "nknown topic", "create the topic");
    }
    server.create_topic("late", 1).await?;
    written(&mut by_settings, &batch).await;
    assert_eq!(read(&server.address(), "late").await?.len(), 1);

    let mut by_entry = sink(&config(&server.address()));
    let outcome = refused(&mut by_entry, &[message("nowhere", "1"), keyed("there", "k", "2")]).await;
    assert_eq!(outcome.refused.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [0]);
    assert!(outcome.refused[0].reason.contains("`nowhere`"), "{outcome:?}");
    server.create_topic("nowhere", 1).await?;
    let begun = Instant::now();
    // News of a new topic take their time.
    while !by_entry.write(&[message("nowhere", "2")]).await.refused.is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the topic is there");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
