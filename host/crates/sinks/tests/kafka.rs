//! Proves what becomes of entries on a real broker, as another client reads it.

mod entries;
mod kafka_reader;

use std::time::Duration;

use anyhow::Result;
use entries::{document, document_in, forget, forget_after, forget_in, message};
use kafka_reader::{Read, broker, can_run, config, keyed, read, sink, stopped, written};
use sluicebox_contract::{ByteSize, Entry, Message, Outcome, Refusal, Sink};
use sluicebox_sinks::kafka::Kafka;
use tokio::time::{Instant, sleep, timeout};

fn record(key: Option<&str>, value: Option<&str>) -> Read {
    let text = |text: Option<&str>| text.map(str::to_owned);
    Read { partition: 0, key: text(key), value: text(value), headers: vec![] }
}

#[tokio::test]
async fn messages_arrive_with_key_and_headers_in_the_topic_that_they_name() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("default", 1), ("named", 1)]).await?;
    let mut config = config(&server.address());
    config.topic = Some("default".to_owned());
    let headers = vec![("type".to_owned(), "a".to_owned()), ("type".to_owned(), "ü".to_owned()), (String::new(), String::new())];
    let full =
        Message { channel: Some("named".to_owned()), key: Some("k".to_owned()), headers: headers.clone(), body: b"1".to_vec() };
    let bare = Message { body: b"2".to_vec(), ..Message::default() };
    let empty = Message { key: Some(String::new()), ..Message::default() };
    written(&mut sink(&config), &[Entry::Message(full), Entry::Message(bare), Entry::Message(empty)]).await;
    assert_eq!(read(&server.address(), "named").await?, [Read { headers, ..record(Some("k"), Some("1")) }]);
    assert_eq!(read(&server.address(), "default").await?, [record(None, Some("2")), record(Some(""), Some(""))]);
    Ok(())
}

#[tokio::test]
async fn documents_are_under_their_name_and_are_forgotten_by_a_record_without_a_value() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("default", 1), ("other", 1)]).await?;
    let mut config = config(&server.address());
    config.topic = Some("default".to_owned());
    let mut sink = sink(&config);
    let (soon, begun) = (Duration::from_secs(2), Instant::now());
    let entries = [
        document("a", "1"),
        document_in("other", "b", "2"),
        forget("a"),
        forget_in("other", "b", soon),
        forget_after("kept", soon),
        document("kept", "3"),
        forget_after("never", Duration::MAX),
    ];
    written(&mut sink, &entries).await;
    timeout(Duration::from_secs(20), sink.upkeep()).await.expect("it is due")?;
    assert!(begun.elapsed() >= soon, "too early");
    assert_eq!(read(&server.address(), "other").await?, [record(Some("b"), Some("2")), record(Some("b"), None)]);
    timeout(Duration::from_millis(100), sink.upkeep()).await.expect_err("nothing more is due");
    assert_eq!(
        read(&server.address(), "default").await?,
        [record(Some("a"), Some("1")), record(Some("a"), None), record(Some("kept"), Some("3"))]
    );
    Ok(())
}

#[tokio::test]
async fn what_is_due_is_forgotten_although_there_is_always_something_to_write() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 1), ("u", 1)]).await?;
    let mut sink = sink(&config(&server.address()));
    written(&mut sink, &[document_in("t", "a", "1"), forget_in("t", "a", Duration::from_millis(1))]).await;
    sleep(Duration::from_millis(2)).await;
    // The first hands it over, the second hears of it at the latest.
    written(&mut sink, &[message("u", "1")]).await;
    written(&mut sink, &[message("u", "2"), document_in("t", "b", "1")]).await;
    let read = read(&server.address(), "t").await?;
    assert!(read.contains(&record(Some("a"), None)), "{read:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_goes_to_the_partition_where_java_puts_it() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    // From the tests of Kafka's own `Utils.murmur2`.
    let hashes = [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let server = broker(&[("t", 7)]).await?;
    let entries: Vec<_> = hashes.iter().map(|(key, _)| keyed("t", key, "")).collect();
    written(&mut sink(&config(&server.address())), &entries).await;
    let read = read(&server.address(), "t").await?;
    for (key, hash) in hashes {
        let found = read.iter().find(|record| record.key.as_deref() == Some(key)).expect("written");
        assert_eq!(found.partition, (hash & i32::MAX) % 7, "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_or_has_no_place_is_refused_and_the_rest_goes_on() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 1)]).await?;
    let mut config = config(&server.address());
    config.message_max_bytes = ByteSize(10_000);
    let mut sink = sink(&config);
    let nowhere = Entry::Message(Message::default());
    let entries = [message("t", "1"), message("t", &"x".repeat(10_001)), message("a b", ""), nowhere, message("t", "2")];
    let Outcome { refused, stopped } = sink.write(&entries).await;
    assert_eq!(stopped, None);
    let reasons: Vec<_> = refused.iter().map(|Refusal { index, reason }| format!("{index}: {reason}")).collect();
    assert_eq!(
        reasons,
        [
            "1: kafka refuses it for the topic `t`: Broker: Message size too large (hint: it is larger than `message-max-bytes` of the sink \
             or `max.message.bytes` of the topic)",
            "2: the topic `a b` has a character that no topic may have",
            "3: it names no channel, and the sink has no `topic`: set one of the two",
        ]
    );
    assert_eq!(read(&server.address(), "t").await?, [record(None, Some("1")), record(None, Some("2"))]);
    Ok(())
}

#[tokio::test]
async fn an_entry_that_names_an_unknown_topic_is_refused_and_the_rest_goes_on() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 1)]).await?;
    let mut sink = sink(&config(&server.address()));
    let entries = [message("t", "1"), message("nowhere", "2"), message("t", "3")];
    // It may be a topic that has just been made.
    let begun = Instant::now();
    let Outcome { refused, stopped: Some((1, _)) } = sink.write(&entries).await else { panic!("it was not waited for") };
    assert_eq!(refused, []);
    let mut rest = sink.write(&entries[1..]).await;
    while rest.stopped.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{rest:?}");
        sleep(Duration::from_millis(50)).await;
        rest = sink.write(&entries[1..]).await;
    }
    for (place, refused) in [(0, rest.refused), (1, sink.write(&entries).await.refused)] {
        assert_eq!((refused.len(), refused[0].index), (1, place));
        assert!(refused[0].reason.contains("topic `nowhere`") && refused[0].reason.contains("create the topic"), "{refused:?}");
    }
    assert_eq!(read(&server.address(), "t").await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn entries_wait_for_the_topic_of_the_settings_until_it_is_there() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 1)]).await?;
    let mut config = config(&server.address());
    config.topic = Some("later".to_owned());
    let mut sink = sink(&config);
    let entries: Vec<_> = (0..3).map(|number| document("a", &number.to_string())).collect();
    let fault = stopped(&mut sink, &entries).await;
    assert!(fault.tried.starts_with("cannot write to the topic `later` of kafka at 127.0.0.1:"), "{fault}");
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("create the topic")), "{fault}");
    server.create_topic("later", 1).await?;
    written(&mut sink, &entries).await;
    let values: Vec<_> = read(&server.address(), "later").await?.into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, ["0", "1", "2"]);
    Ok(())
}

#[tokio::test]
async fn the_client_tells_of_itself() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 1)]).await?;
    let mut config = config(&server.address());
    config.statistics_interval.0 = Duration::from_secs(1);
    let mut sink: Kafka = sink(&config);
    let meter = sink.meter();
    written(&mut sink, &[message("t", "12345"), message("t", "")]).await;
    let begun = Instant::now();
    while meter.sent_messages.get() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{meter:?}");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((meter.brokers_up.get(), meter.queued_messages.get()), (1, 0));
    assert!(meter.sent_bytes.get() >= 5 && meter.round_trip_micros.get() > 0, "{meter:?}");
    drop(sink);
    let begun = Instant::now();
    while meter.brokers_up.get() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the client does not end");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
