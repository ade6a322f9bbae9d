//! Proves what a missing topic costs: whoever the settings name is waited for, others only for a while.

mod entries;
mod kafka_reader;

use std::time::Duration;

use anyhow::Result;
use entries::{document_in, forget_in, message};
use kafka_reader::{config, read, sink, written};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluicebox_contract::{Entry, Outcome, Sink};
use sluicebox_sinks::kafka::Kafka;
use sluicebox_testkit::servers::{Need, require};
use tokio::time::{Instant, sleep, timeout};

type Mock = MockCluster<'static, DefaultProducerContext>;

const MISSING: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
const DENIED: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
const FINE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

fn mock() -> Result<Mock> {
    let mock = MockCluster::new(1)?;
    mock.create_topic("t", 1, 1)?;
    Ok(mock)
}

/// Writes for this time, as an outlet does; says how the last try ended.
async fn write_for(sink: &mut Kafka, time: Duration, entries: &[Entry]) -> Outcome {
    let begun = Instant::now();
    loop {
        let outcome = sink.write(entries).await;
        if outcome.stopped.is_none() || begun.elapsed() >= time {
            return outcome;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_topic_that_is_away_for_a_moment_costs_no_entry_and_one_that_stays_away_does() -> Result<()> {
    for error in [MISSING, DENIED] {
        let mock = mock()?;
        let mut config = config(&mock.bootstrap_servers());
        config.topic_timeout.0 = Duration::from_secs(8);
        config.extra.insert("topic.metadata.refresh.interval.ms".to_owned(), "200".to_owned());
        let mut sink = sink(&config);
        written(&mut sink, &[message("t", "1")]).await;
        // For longer than the client itself is patient.
        mock.topic_error("t", error)?;
        let outcome = write_until_stopped(&mut sink).await;
        assert_eq!(outcome.refused, []);
        mock.topic_error("t", FINE)?;
        let begun = Instant::now();
        assert_eq!(write_for(&mut sink, Duration::from_mins(1), &[message("t", "2")]).await, Outcome::written());
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        // And now for good: it is refused in the end, and from then on at once.
        mock.topic_error("t", error)?;
        let begun = Instant::now();
        write_until_stopped(&mut sink).await;
        let outcome = write_for(&mut sink, Duration::from_mins(1), &[message("t", "3")]).await;
        assert_eq!((outcome.refused.len(), outcome.stopped), (1, None));
        assert!(begun.elapsed() >= Duration::from_secs(7), "{:?}", begun.elapsed());
        let outcome = sink.write(&[message("t", "4")]).await;
        assert_eq!((outcome.refused.len(), outcome.stopped), (1, None));
    }
    Ok(())
}

/// Writes until the topic is known to be away.
async fn write_until_stopped(sink: &mut Kafka) -> Outcome {
    let begun = Instant::now();
    loop {
        let outcome = sink.write(&[message("t", "away")]).await;
        if outcome.stopped.is_some() || !outcome.refused.is_empty() {
            return outcome;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody notices that the topic is away");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn topics_that_the_settings_name_are_waited_for_although_entries_name_them_too() -> Result<()> {
    let mock = mock()?;
    let base = config(&mock.bootstrap_servers());
    let mut as_topic = base.clone();
    as_topic.topic = Some("t".to_owned());
    let mut as_allowed = base.clone();
    as_allowed.allowed_topics = Some(vec!["x*".to_owned(), "t".to_owned()]);
    let mut by_pattern = base;
    by_pattern.allowed_topics = Some(vec!["t*".to_owned()]);
    for (config, waits) in [(as_topic, true), (as_allowed, true), (by_pattern, false)] {
        mock.topic_error("t", DENIED)?;
        let mut sink = sink(&config);
        let outcome = write_for(&mut sink, 3 * config.topic_timeout.0, &[message("t", "1")]).await;
        assert_eq!((outcome.stopped.is_some(), outcome.refused.len()), (waits, usize::from(!waits)), "{outcome:?}");
        mock.topic_error("t", FINE)?;
        if waits {
            written(&mut sink, &[message("t", "1")]).await;
        }
    }
    Ok(())
}

/// What is in the topic now, as names of documents with and without a value.
async fn names(mock: &Mock) -> Result<Vec<String>> {
    let records = read(&mock.bootstrap_servers(), "t").await?;
    let shown = |sign: &str, key: Option<String>| format!("{sign}{}", key.unwrap_or_default());
    Ok(records.into_iter().map(|record| shown(if record.value.is_some() { "+" } else { "-" }, record.key)).collect())
}

#[tokio::test]
async fn a_document_is_forgotten_although_its_record_was_sent_with_one_that_is_refused() -> Result<()> {
    const LARGE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    for (errors, forgotten) in [(&[LARGE][..], &["-a", "-b", "-c"][..]), (&[LARGE, FINE, LARGE, FINE], &["-a", "-c"])] {
        let mock = mock()?;
        let mut config = config(&mock.bootstrap_servers());
        // So that they are sent together.
        config.linger.0 = Duration::from_millis(300);
        let mut sink = sink(&config);
        let soon = Duration::from_secs(1);
        let entries: Vec<_> =
            ["a", "b", "c"].iter().flat_map(|name| [document_in("t", name, "1"), forget_in("t", name, soon)]).collect();
        written(&mut sink, &entries).await;
        mock.request_errors(RDKafkaApiKey::Produce, errors);
        sleep(soon).await;
        timeout(Duration::from_secs(30), sink.upkeep()).await.expect("they are due")?;
        let found = names(&mock).await?;
        assert_eq!(
            found.get(3..),
            Some(forgotten.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().as_slice()),
            "{found:?}"
        );
    }
    Ok(())
}
