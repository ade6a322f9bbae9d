//! Proves that an outage of a real server neither loses an entry nor changes the order.

mod entries;

use std::time::Duration;

use anyhow::{Context, Result};
use entries::{document, forget_after, message};
use sluicebox_contract::{Class, Entry, Outcome, Sink};
use sluicebox_sinks::redis::{Config, Redis};
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, Subscription, require};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const COUNT: usize = 1_000;

fn sink(server: &RedisServer) -> Redis {
    let mut config = Config::new(server.url());
    config.hash = Some("h".to_owned());
    Redis::new(&config).expect("a sink")
}

/// Writes in batches of ten, and again from where it stopped, as an outlet does. Tells how far it has come.
async fn write_all(sink: &mut Redis, entries: &[Entry], progress: &watch::Sender<usize>) {
    let mut next = 0;
    while next < entries.len() {
        let batch = &entries[next..entries.len().min(next + 10)];
        let outcome = sink.write(batch).await;
        assert_eq!(outcome.refused, []);
        match outcome.stopped {
            None => next += batch.len(),
            Some((index, fault)) => {
                assert_eq!(fault.class, Class::Retry, "{fault}");
                next += index;
                sleep(Duration::from_millis(5)).await;
            }
        }
        progress.send_replace(next);
    }
}

async fn numbers(subscription: &mut Subscription, last: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        let next = timeout(Duration::from_secs(20), subscription.next()).await.context("the last message did not come")?;
        let Ok((_, body)) = next else {
            break;
        };
        numbers.push(body.parse()?);
    }
    Ok(numbers)
}

/// Each number but the first has its predecessor somewhere before it.
fn is_in_order(numbers: &[usize]) -> bool {
    let Some(first) = numbers.first() else {
        return true;
    };
    let mut next = *first;
    numbers.iter().all(|number| {
        next = next.max(number + usize::from(*number == next));
        *number < next && number >= first
    })
}

#[test]
fn order_is_recognised() {
    assert!(is_in_order(&[]) && is_in_order(&[3, 4, 5]) && is_in_order(&[3, 4, 5, 4, 5, 6]));
    assert!(!is_in_order(&[3, 5]) && !is_in_order(&[3, 4, 2]) && !is_in_order(&[0, 1, 3, 2]));
}

#[tokio::test]
async fn connections_cut_again_and_again_lose_no_message_and_keep_the_order() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut sink = sink(&server);
    let mut subscription = server.subscribe("c").await?;
    let entries: Vec<_> = (0..COUNT).map(|number| message("c", &number.to_string())).collect();
    let (progress, mut seen) = watch::channel(0);
    let cut = async {
        for at in (50..COUNT).step_by(50) {
            seen.wait_for(|progress| *progress >= at).await?;
            server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await?;
        }
        anyhow::Ok(())
    };
    let ((), cut) = tokio::join!(write_all(&mut sink, &entries, &progress), cut);
    cut?;
    let numbers = numbers(&mut subscription, COUNT - 1).await?;
    assert!(numbers.first() == Some(&0) && is_in_order(&numbers), "{numbers:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_1000_messages_gets_the_rest_in_order_when_it_is_back() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let mut server = RedisServer::start(RedisOptions::default()).await?;
    let mut sink = sink(&server);
    let mut before = server.subscribe("c").await?;
    let entries: Vec<_> = (0..COUNT).map(|number| message("c", &number.to_string())).collect();
    let (progress, mut seen) = watch::channel(0);

    // Until it is killed.
    let kill = async {
        seen.wait_for(|progress| *progress >= 500).await?;
        server.kill();
        anyhow::Ok(())
    };
    let killed = {
        let write = write_all(&mut sink, &entries, &progress);
        tokio::pin!(write);
        let kill = async {
            kill.await?;
            sleep(Duration::from_millis(50)).await;
            anyhow::Ok(())
        };
        tokio::select! {
            () = &mut write => anyhow::bail!("all was written although nobody was there"),
            killed = kill => killed,
        }
    };
    killed?;
    let written = *progress.borrow();
    assert!((500..COUNT).contains(&written), "{written}");
    let first = numbers(&mut before, COUNT).await?;
    assert!(first.first() == Some(&0) && is_in_order(&first), "{first:?}");

    // And after it is back.
    server.restart().await?;
    let mut after = server.subscribe("c").await?;
    write_all(&mut sink, &entries[written..], &progress).await;
    let second = numbers(&mut after, COUNT - 1).await?;
    assert!(second.first() == Some(&written) && is_in_order(&second), "{second:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_killed_twice_in_the_middle_of_1000_documents_has_them_all_with_their_last_values() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let configuration = vec!["appendonly yes".to_owned(), "appendfsync always".to_owned()];
    let mut server = RedisServer::start(RedisOptions { configuration, ..RedisOptions::default() }).await?;
    let mut sink = sink(&server);
    let entries: Vec<_> = (0..COUNT).map(|number| document(&(number % 500).to_string(), &number.to_string())).collect();
    let (progress, mut seen) = watch::channel(0);
    let kill = async {
        for at in [300, 700] {
            seen.wait_for(|progress| *progress >= at).await?;
            server.kill();
            sleep(Duration::from_millis(30)).await;
            server.restart().await?;
        }
        anyhow::Ok(())
    };
    let ((), killed) = tokio::join!(write_all(&mut sink, &entries, &progress), kill);
    killed?;
    for name in 0..500 {
        let value = server.command(&["HGET", "h", &name.to_string()]).await?;
        assert_eq!(value.text(), Some((name + 500).to_string().as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_its_address() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let mut server = RedisServer::start(RedisOptions::default()).await?;
    server.kill();
    let (index, fault) = sink(&server).write(&[message("c", "1")]).await.stopped.expect("a fault");
    assert_eq!((index, fault.class), (0, Class::Retry));
    assert_eq!(
        fault.to_string(),
        format!(
            "cannot connect to redis at {}: connection refused (hint: is the server alive, and reachable from this node?)",
            server.address()
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced_without_a_fault() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let mut server = RedisServer::start(RedisOptions::default()).await?;
    let mut sink = sink(&server);
    assert_eq!(sink.write(&[message("c", "1")]).await, Outcome::written());
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await?;
    sleep(Duration::from_millis(20)).await;
    assert_eq!(sink.write(&[message("c", "2")]).await, Outcome::written());
    server.restart().await?;
    assert_eq!(sink.write(&[message("c", "3")]).await, Outcome::written());
    Ok(())
}

#[tokio::test]
async fn a_write_that_is_dropped_half_way_is_written_anew() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut sink = sink(&server);
    assert_eq!(sink.write(&[document("a", "0")]).await, Outcome::written());
    for number in 1..50 {
        let batch = [document("a", &format!("{number} given up")), document("b", "1")];
        server.pause();
        timeout(Duration::from_millis(2), sink.write(&batch)).await.expect_err("the server sleeps");
        server.resume();
        assert_eq!(sink.write(&[document("a", &number.to_string())]).await, Outcome::written());
        let value = server.command(&["HGET", "h", "a"]).await?;
        assert_eq!(value.text(), Some(number.to_string().as_str()));
    }
    Ok(())
}

/// Answers without an end, as long as somebody reads; says how much was read.
async fn answer(listener: &TcpListener, begin: &str) -> Result<usize> {
    let (mut stream, _) = listener.accept().await?;
    let chunk = vec![b'x'; 64 << 10];
    let mut sent = 0;
    if stream.write_all(begin.as_bytes()).await.is_ok() {
        while sent < (64 << 20) && stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
    }
    Ok(sent)
}

#[tokio::test]
async fn a_server_that_is_no_redis_is_read_no_further_than_redis_would_answer() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut sink = Redis::new(&Config::new(format!("redis://{}", listener.local_addr()?))).expect("a sink");
    for (begin, cause) in [
        ("$1000000000\r\n", "the answer is longer than any of redis"),
        ("*1000000000\r\n+", "the answer is longer than any of redis"),
        ("HTTP/1.1 400 Bad Request\r\n", "the answer is not that of redis"),
    ] {
        let entries = [message("c", "1")];
        let (outcome, sent) = tokio::join!(sink.write(&entries), answer(&listener, begin));
        let (index, fault) = outcome.stopped.context("nothing was written")?;
        assert_eq!((index, fault.class, fault.cause.as_str()), (0, Class::Retry, cause));
        assert!(fault.hint.is_some_and(|hint| hint.contains("`url`")));
        assert!(sent? < 32 << 20, "{begin:?}");
    }
    Ok(())
}

#[tokio::test]
async fn names_to_be_forgotten_later_do_not_pile_up_while_nobody_is_there() {
    let mut config = Config::new("redis://127.0.0.1:1");
    config.hash = Some("h".to_owned());
    let mut sink = Redis::new(&config).expect("a sink");
    let batch = |number: u32| {
        let name = |part: u32| format!("{number} {part} {}", "x".repeat(1 << 20));
        (0..8).map(|part| forget_after(&name(part), Duration::from_hours(1))).collect::<Vec<_>>()
    };
    let mut taken = 0;
    while taken < 10 && sink.write(&batch(taken)).await.stopped.is_none() {
        taken += 1;
    }
    assert!(taken < 10, "{taken} batches of 8 MiB");
}

/// Accepts the log-in, then refuses what is sent in the middle and closes, as redis does with what is too large.
async fn refuse_in_the_middle(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut begin = vec![0; 14];
    stream.read_exact(&mut begin).await?;
    stream.write_all(b"+PONG\r\n").await?;
    stream.read_exact(&mut begin).await?;
    stream.write_all(b"-ERR Protocol error: invalid bulk length\r\n").await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_heard_although_the_server_has_not_read_what_it_refuses() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut sink = Redis::new(&Config::new(format!("redis://{}", listener.local_addr()?))).expect("a sink");
    let entries = [message("c", &"x".repeat(64 << 20))];
    let (outcome, served) = tokio::join!(sink.write(&entries), refuse_in_the_middle(&listener));
    served?;
    assert_eq!(outcome.stopped, None);
    assert!(outcome.refused[0].reason.contains("invalid bulk length"), "{outcome:?}");
    Ok(())
}
