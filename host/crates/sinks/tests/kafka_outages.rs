//! Proves that an outage of a real broker loses no record, changes no order and stops nobody.

mod entries;
mod kafka_reader;

use std::time::Duration;

use anyhow::Result;
use entries::message;
use kafka_reader::{broker, can_run, config, firsts, keyed, read, sink, stopped, write_all, written};
use sluicebox_contract::{Outcome, Sink};
use sluicebox_testkit::servers::{Need, require};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const COUNT: usize = 100_000;
const KEYS: usize = 97;

#[tokio::test]
async fn a_broker_killed_twice_in_the_middle_of_100_000_messages_has_each_of_them_in_the_order_of_its_key() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut server = broker(&[("t", 4)]).await?;
    let address = server.address();
    let mut sink = sink(&config(&address));
    let entries: Vec<_> = (0..COUNT).map(|number| keyed("t", &format!("key {}", number % KEYS), &number.to_string())).collect();
    let (progress, mut seen) = watch::channel(0);

    let write = async {
        // As many as an outlet hands over at once, and some slices of it between two looks at the broker.
        let mut stops = 0;
        for (part, entries) in entries.chunks(2_560).enumerate() {
            stops += write_all(&mut sink, entries, 256).await;
            progress.send_replace(part * 2_560);
        }
        stops
    };
    let kill = async {
        for at in [COUNT / 4, COUNT / 2] {
            seen.wait_for(|progress| *progress >= at).await?;
            server.kill();
            // Longer than the sink is patient, once; then shorter.
            sleep(Duration::from_millis(if at == COUNT / 4 { 3_000 } else { 100 })).await;
            server.restart().await?;
        }
        anyhow::Ok(())
    };
    let (stops, killed) = tokio::join!(write, kill);
    killed?;
    assert!(stops > 0, "nobody noticed that the broker was away");

    let records = read(&address, "t").await?;
    assert!(records.len() >= COUNT);
    let firsts = firsts(&records);
    for key in 0..KEYS {
        let expected: Vec<_> = (key..COUNT).step_by(KEYS).collect();
        let found = &firsts[format!("key {key}").as_str()];
        assert!(*found == expected, "key {key}: {} of {} messages, or not in order", found.len(), expected.len());
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_is_named_with_the_cause_and_gets_everything_when_it_is_there() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut server = broker(&[("t", 1)]).await?;
    server.kill();
    let mut sink = sink(&config(&server.address()));
    let begun = Instant::now();
    let fault = stopped(&mut sink, &[message("t", "1"), message("t", "2")]).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let address = server.address();
    assert_eq!(fault.tried, format!("cannot write to kafka at {address}"));
    assert!(fault.cause.contains(&address) && fault.cause.contains("refused"), "{fault}");
    assert!(fault.hint.is_some());
    server.restart().await?;
    // What was with the client is not sent again.
    written(&mut sink, &[message("t", "1"), message("t", "2")]).await;
    let values: Vec<_> = read(&address, "t").await?.into_iter().filter_map(|record| record.value).collect();
    assert_eq!(values, ["1", "2"]);
    Ok(())
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told() {
    let fault = stopped(&mut sink(&config("nowhere.invalid:9092")), &[message("t", "1")]).await;
    assert!(fault.cause.contains("nowhere.invalid") && fault.hint.as_ref().is_some_and(|hint| hint.contains("DNS")), "{fault}");
}

#[tokio::test]
async fn whoever_takes_the_connection_and_says_nothing_costs_a_write_its_time_and_no_more() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let mut config = config(&silent.local_addr()?.to_string());
    config.message_timeout.0 = Duration::from_secs(1);
    let mut sink = sink(&config);
    for _ in 0..2 {
        let begun = Instant::now();
        let fault = stopped(&mut sink, &[message("t", "1")]).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(fault.cause, "no acknowledgement within 1s");
    }
    // Nor does the end of the sink wait for it.
    let begun = Instant::now();
    drop(sink);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn writes_that_are_dropped_and_made_again_write_each_message_once() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = broker(&[("t", 3)]).await?;
    let mut sink = sink(&config(&server.address()));
    let entries: Vec<_> = (0..5_000).map(|number| keyed("t", &format!("{}", number % 7), &number.to_string())).collect();
    written(&mut sink, &[message("t", "first")]).await;
    let mut dropped = 0;
    for batch in entries.chunks(250) {
        server.pause();
        for _ in 0..3 {
            timeout(Duration::from_millis(20), sink.write(batch)).await.expect_err("the broker sleeps");
            dropped += 1;
        }
        server.resume();
        assert_eq!(sink.write(batch).await, Outcome::written());
    }
    assert_eq!(dropped, 60);
    let records: Vec<_> = read(&server.address(), "t").await?.into_iter().filter(|record| record.key.is_some()).collect();
    assert_eq!(records.len(), entries.len());
    for (key, numbers) in firsts(&records) {
        assert!(numbers.is_sorted(), "key {key}");
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_speaks_something_else_is_no_reason_to_panic() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0").await?;
    let mut sink = sink(&config(&other.local_addr()?.to_string()));
    let entries = [message("t", "1")];
    let answer = async {
        loop {
            let (mut stream, _) = other.accept().await?;
            let answer = b"\x7f\xff\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await?;
        }
        #[allow(unreachable_code, reason = "it says what the block returns")]
        anyhow::Ok(())
    };
    let fault = tokio::select! {
        fault = stopped(&mut sink, &entries) => fault,
        ended = answer => { ended?; anyhow::bail!("nobody asked") }
    };
    assert!(fault.tried.starts_with("cannot write to kafka at 127.0.0.1:"), "{fault}");
    Ok(())
}

#[tokio::test]
async fn what_is_with_the_client_at_the_end_is_given_up_at_once() -> Result<()> {
    if !require(Need::Kafka) {
        return Ok(());
    }
    let server = broker(&[("t", 1)]).await?;
    let mut sink = sink(&config(&server.address()));
    written(&mut sink, &[message("t", "1")]).await;
    server.pause();
    timeout(Duration::from_millis(100), sink.write(&[message("t", "2")])).await.expect_err("the broker sleeps");
    let begun = Instant::now();
    let meter = sink.meter();
    drop(sink);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    // The client itself ends too, beside the executor.
    while std::sync::Arc::strong_count(&meter) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the client does not end");
        sleep(Duration::from_millis(20)).await;
    }
    server.resume();
    Ok(())
}
