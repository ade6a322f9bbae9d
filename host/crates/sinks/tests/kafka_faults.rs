//! Proves how the kafka sink meets what a real cluster does at bad times, as librdkafka's mock cluster plays it.

mod entries;
mod kafka_reader;

use std::time::Duration;

use anyhow::Result;
use entries::{document_in, forget_in, message};
use kafka_reader::{config, firsts, keyed, read, sink, stopped, write_all, written};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluicebox_contract::{ByteSize, Document, Entry, Outcome, Sink};
use sluicebox_sinks::kafka::{Acks, Compression};
use sluicebox_testkit::servers::{Need, require};
use tokio::time::{Instant, sleep, timeout};

type Mock = MockCluster<'static, DefaultProducerContext>;

const PRODUCE: RDKafkaApiKey = RDKafkaApiKey::Produce;
const INIT: RDKafkaApiKey = RDKafkaApiKey::InitProducerId;

fn mock(brokers: i32, topics: &[(&str, i32)]) -> Result<Mock> {
    let mock = MockCluster::new(brokers)?;
    for (topic, partitions) in topics {
        mock.create_topic(topic, *partitions, brokers)?;
    }
    Ok(mock)
}

fn numbered(count: usize, keys: usize) -> Vec<Entry> {
    (0..count).map(|number| keyed("t", &(number % keys).to_string(), &number.to_string())).collect()
}

/// Everything is there, each once, in order for each key.
async fn check(mock: &Mock, count: usize, keys: usize) -> Result<()> {
    let records = read(&mock.bootstrap_servers(), "t").await?;
    assert_eq!(records.len(), count);
    for (key, numbers) in firsts(&records) {
        assert!(numbers.is_sorted() && numbers.len() == count / keys, "key {key}: {numbers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_compression_can_be_read() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let body = "compress me ".repeat(100);
    let all = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for compression in all {
        let mut config = config(&mock.bootstrap_servers());
        config.compression = compression;
        let entries: Vec<_> = (0..10).map(|_| message("t", &body)).collect();
        written(&mut sink(&config), &entries).await;
    }
    let read = read(&mock.bootstrap_servers(), "t").await?;
    assert_eq!(read.len(), 10 * all.len());
    assert!(read.iter().all(|record| record.value.as_ref() == Some(&body)));
    Ok(())
}

#[tokio::test]
async fn what_passes_by_itself_loses_nothing_doubles_nothing_and_keeps_the_order() -> Result<()> {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as LOADING, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as NO_COORDINATOR,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE as NO_LEADER, RD_KAFKA_RESP_ERR_NO_ERROR as FINE,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND as REPLICAS_AFTER,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER,
    };
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    for errors in [&[REPLICAS, REPLICAS, REPLICAS][..], &[NO_LEADER, FINE, NO_LEADER], &[NOT_LEADER, FINE, FINE, REPLICAS_AFTER]]
    {
        let mock = mock(3, &[("t", 4)])?;
        mock.request_errors(INIT, &[NO_COORDINATOR, LOADING]);
        mock.request_errors(PRODUCE, errors);
        let mut sink = sink(&config(&mock.bootstrap_servers()));
        write_all(&mut sink, &numbered(2_000, 20), 250).await;
        check(&mock, 2_000, 20).await?;
    }
    Ok(())
}

#[tokio::test]
async fn brokers_that_go_and_come_one_after_the_other_change_no_order() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(3, &[("t", 6)])?;
    let mut sink = sink(&config(&mock.bootstrap_servers()));
    let entries = numbered(3_000, 30);
    for (number, part) in entries.chunks(500).enumerate() {
        let broker = i32::try_from(number % 3 + 1)?;
        mock.broker_down(broker)?;
        timeout(Duration::from_millis(200), write_all(&mut sink, part, 100)).await.ok();
        mock.broker_up(broker)?;
        // The same again, as an outlet would: what was written of it is there twice.
        write_all(&mut sink, part, 100).await;
    }
    let records = read(&mock.bootstrap_servers(), "t").await?;
    for (key, numbers) in firsts(&records) {
        assert!(numbers.is_sorted() && numbers.len() == 100, "key {key}: {numbers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_cluster_costs_tries_and_no_doubles() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let mut config = config(&mock.bootstrap_servers());
    config.message_timeout.0 = Duration::from_millis(200);
    let mut sink = sink(&config);
    let entries = numbered(10, 1);
    written(&mut sink, &entries[..1]).await;
    mock.broker_round_trip_time(1, Duration::from_secs(1))?;
    let fault = stopped(&mut sink, &entries[1..]).await;
    assert!(fault.cause.starts_with("no acknowledgement within 200ms"), "{fault}");
    assert!(write_all(&mut sink, &entries[1..], 10).await > 0);
    mock.broker_round_trip_time(1, Duration::ZERO)?;
    check(&mock, 10, 1).await
}

#[tokio::test]
async fn a_client_that_cannot_go_on_is_replaced_and_nothing_is_lost() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let mut sink = sink(&config(&mock.bootstrap_servers()));
    let entries = numbered(100, 5);
    written(&mut sink, &entries[..50]).await;
    mock.request_errors(PRODUCE, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let fault = stopped(&mut sink, &entries[50..]).await;
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("a new client")), "{fault}");
    written(&mut sink, &entries[50..]).await;
    check(&mock, 100, 5).await
}

#[tokio::test]
async fn a_document_that_is_sent_again_is_still_forgotten_in_its_time_and_not_before_it_is_there() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let mut sink = sink(&config(&mock.bootstrap_servers()));
    written(&mut sink, &[document_in("t", "b", "1")]).await;
    mock.request_errors(PRODUCE, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let entries = [document_in("t", "a", "1"), forget_in("t", "a", Duration::from_millis(10))];
    stopped(&mut sink, &entries).await;
    timeout(Duration::from_millis(50), sink.upkeep()).await.expect_err("the document is to be written first");
    written(&mut sink, &entries[..1]).await;
    let found = async |value: Option<&str>| {
        let records = read(&mock.bootstrap_servers(), "t").await?;
        let last = records.last().map(|record| (record.key.as_deref() == Some("a"), record.value.as_deref() == value));
        anyhow::Ok(last == Some((true, true)))
    };
    timeout(Duration::from_secs(20), sink.upkeep()).await.ok();
    assert!(found(None).await?);
    Ok(())
}

#[tokio::test]
async fn a_right_to_idempotence_that_is_missing_is_named_and_taken_up_when_it_is_there() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    mock.request_errors(INIT, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 2]);
    let mut sink = sink(&config(&mock.bootstrap_servers()));
    for _ in 0..2 {
        let fault = stopped(&mut sink, &[message("t", "0")]).await;
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("`IdempotentWrite`")), "{fault}");
    }
    written(&mut sink, &numbered(1, 1)).await;
    check(&mock, 1, 1).await
}

#[tokio::test]
async fn who_names_a_topic_without_the_right_to_it_is_refused_and_the_topic_of_the_settings_is_waited_for() -> Result<()> {
    const DENIED: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    let mock = mock(1, &[("t", 1), ("default", 1)])?;
    let mut config = config(&mock.bootstrap_servers());
    config.topic = Some("default".to_owned());
    let mut sink = sink(&config);
    mock.request_errors(PRODUCE, &[DENIED]);
    // A right may be withdrawn for a moment only.
    let fault = stopped(&mut sink, &[message("t", "1")]).await;
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("grant `Write`")), "{fault}");
    sleep(config.topic_timeout.0).await;
    mock.request_errors(PRODUCE, &[DENIED]);
    let Outcome { refused, stopped: None } = sink.write(&[message("t", "1")]).await else { panic!("it names the topic") };
    assert!(refused[0].reason.contains("grant `Write`"), "{refused:?}");
    mock.request_errors(PRODUCE, &[DENIED]);
    let entry = Entry::Document(Document { name: "n".to_owned(), ..Document::default() });
    let fault = stopped(&mut sink, std::slice::from_ref(&entry)).await;
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("grant `Write`")), "{fault}");
    written(&mut sink, &[entry]).await;
    Ok(())
}

#[tokio::test]
async fn a_batch_that_is_refused_for_one_of_its_records_costs_only_that_one() -> Result<()> {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as LARGE, RD_KAFKA_RESP_ERR_NO_ERROR as FINE};
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let mut config = config(&mock.bootstrap_servers());
    // So that they are sent together.
    config.linger.0 = Duration::from_millis(200);
    let mut sink = sink(&config);
    mock.request_errors(PRODUCE, &[LARGE, FINE, LARGE, FINE]);
    let outcome = sink.write(&numbered(3, 1)).await;
    assert_eq!(outcome.stopped, None);
    assert_eq!(outcome.refused.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [1]);
    let values: Vec<_> = read(&mock.bootstrap_servers(), "t").await?.into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, ["0", "2"]);
    Ok(())
}

#[tokio::test]
async fn without_idempotence_nothing_is_lost() -> Result<()> {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_NO_ERROR as FINE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as REPLICAS};
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let mut config = config(&mock.bootstrap_servers());
    (config.idempotence, config.acks, config.linger.0) = (false, Acks::Leader, Duration::ZERO);
    config.batch_size = ByteSize(200);
    let mut sink = sink(&config);
    mock.request_errors(PRODUCE, &[FINE, REPLICAS, FINE, REPLICAS, REPLICAS]);
    write_all(&mut sink, &numbered(500, 1), 250).await;
    let records = read(&mock.bootstrap_servers(), "t").await?;
    assert_eq!(firsts(&records)["0"].len(), 500);
    Ok(())
}

#[tokio::test]
async fn more_than_the_client_has_room_for_goes_through_bit_by_bit() -> Result<()> {
    if !require(Need::ConfluentKafka) {
        return Ok(());
    }
    let mock = mock(1, &[("t", 1)])?;
    let mut config = config(&mock.bootstrap_servers());
    (config.message_max_bytes, config.queue_size) = (ByteSize(200_000), ByteSize(200_000));
    let entries: Vec<_> = (0..50).map(|number| keyed("t", "k", &format!("{number:060000}"))).collect();
    assert_eq!(sink(&config).write(&entries).await, Outcome::written());
    check(&mock, 50, 1).await
}

#[tokio::test]
async fn a_module_that_names_ever_new_topics_does_not_make_the_client_grow_without_end() -> Result<()> {
    let mock = mock(1, &[])?;
    let mut sink = sink(&config(&mock.bootstrap_servers()));
    let begun = Instant::now();
    for part in 0..6 {
        let entries: Vec<_> = (0..250).map(|number| message(&format!("topic-{part}-{number}"), "1")).collect();
        written(&mut sink, &entries).await;
    }
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    Ok(())
}
