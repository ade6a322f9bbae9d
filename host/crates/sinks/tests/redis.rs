//! Proves against a real server what the redis sink writes, and what it makes of refusals.

mod entries;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use entries::{document, document_in, forget, forget_after, forget_in, message};
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink, TimeSpan};
use sluicebox_sinks::redis::{Config, Redis};
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, Subscription, require};
use tokio::time::timeout;

const AT_ONCE: Duration = Duration::ZERO;

fn config(server: &RedisServer) -> Config {
    let mut config = Config::new(server.url());
    config.hash = Some("h".to_owned());
    config
}

fn sink(config: &Config) -> Redis {
    Redis::new(config).expect("a sink")
}

async fn plain() -> Result<(RedisServer, Redis)> {
    let server = RedisServer::start(RedisOptions::default()).await?;
    let sink = sink(&config(&server));
    Ok((server, sink))
}

async fn stop(sink: &mut Redis, batch: &[Entry]) -> (usize, Fault) {
    sink.write(batch).await.stopped.expect("a fault")
}

async fn heard(subscription: &mut Subscription) -> Result<(String, String)> {
    timeout(Duration::from_secs(10), subscription.next()).await.context("nothing was published")?
}

async fn hash(server: &RedisServer, name: &str) -> Result<BTreeMap<String, String>> {
    let reply = server.command(&["HGETALL", name]).await?;
    let texts = reply.texts();
    let pairs = texts.chunks(2).filter_map(|pair| Some(((*pair.first()?).to_owned(), (*pair.get(1)?).to_owned())));
    Ok(pairs.collect())
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn messages_reach_a_subscriber_in_order() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut config = config(&server);
    config.channel = Some("galileo/default".to_owned());
    let mut sink = sink(&config);
    let mut subscription = server.subscribe("galileo/*").await?;
    let mut batch: Vec<_> = (0..3_000).map(|number| message("galileo/events", &number.to_string())).collect();
    let Entry::Message(mut without_channel) = message("", "last\r\n") else { unreachable!() };
    without_channel.channel = None;
    batch.push(Entry::Message(without_channel));
    assert_eq!(sink.write(&batch).await, Outcome::written());
    for number in 0..3_000 {
        assert_eq!(heard(&mut subscription).await?, ("galileo/events".to_owned(), number.to_string()));
    }
    assert_eq!(heard(&mut subscription).await?, ("galileo/default".to_owned(), "last\r\n".to_owned()));
    Ok(())
}

#[tokio::test]
async fn documents_are_fields_of_a_hash_until_they_are_forgotten() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    let batch = [
        document_in("telemd.info:a", "labels", "{}"),
        document("x", "1"),
        document("x", "2"),
        document("y", "3"),
        forget("y"),
        forget("never"),
    ];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(hash(&server, "telemd.info:a").await?, fields(&[("labels", "{}")]));
    assert_eq!(hash(&server, "h").await?, fields(&[("x", "2")]));
    assert_eq!(sink.write(&[forget_in("telemd.info:a", "labels", AT_ONCE)]).await, Outcome::written());
    assert_eq!(hash(&server, "telemd.info:a").await?, fields(&[]));
    Ok(())
}

#[tokio::test]
async fn what_names_neither_channel_nor_hash_is_refused_and_the_rest_goes_on() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut sink = sink(&Config::new(server.url()));
    let Entry::Message(mut nowhere) = message("", "x") else { unreachable!() };
    nowhere.channel = None;
    let batch = [Entry::Message(nowhere), document("x", "1"), document_in("h", "x", "1"), forget("x")];
    let outcome = sink.write(&batch).await;
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| (refusal.index, refusal.reason.as_str())).collect();
    assert_eq!(
        refused,
        [
            (0, "it names no channel, and the sink has no `channel`: set one of the two"),
            (1, "it names no collection, and the sink has no `hash`"),
            (3, "it names no collection, and the sink has no `hash`"),
        ]
    );
    assert_eq!(hash(&server, "h").await?, fields(&[("x", "1")]));
    Ok(())
}

#[tokio::test]
async fn a_reader_sees_all_documents_of_a_run_or_none() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    let write = async {
        for number in 0..500 {
            let number = number.to_string();
            let batch = [document("labels", &number), document("allocatable", &number)];
            assert_eq!(sink.write(&batch).await, Outcome::written());
        }
    };
    let read = async {
        loop {
            let seen = hash(&server, "h").await?;
            anyhow::ensure!(seen.get("labels") == seen.get("allocatable"), "half a pair: {seen:?}");
        }
    };
    tokio::select! {
        () = write => Ok(()),
        failed = read => failed,
    }
}

#[tokio::test]
async fn a_key_of_another_type_refuses_just_its_own_entries() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    server.command(&["SET", "taken", "text"]).await?;
    let batch = [
        document("a", "1"),
        document_in("taken", "a", "1"),
        message("c", "1"),
        document_in("taken", "b", "1"),
        document("b", "2"),
    ];
    let outcome = sink.write(&batch).await;
    assert_eq!(outcome.stopped, None);
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| refusal.index).collect();
    assert_eq!(refused, [1, 3]);
    assert!(outcome.refused[0].reason.starts_with("redis refuses it: WRONGTYPE "), "{outcome:?}");
    assert_eq!(hash(&server, "h").await?, fields(&[("a", "1"), ("b", "2")]));
    Ok(())
}

#[tokio::test]
async fn an_entry_that_is_too_large_for_the_server_is_refused_and_the_rest_follows() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let configuration = vec!["proto-max-bulk-len 1mb".to_owned()];
    let server = RedisServer::start(RedisOptions { configuration, ..RedisOptions::default() }).await?;
    let mut sink = sink(&config(&server));
    let mut subscription = server.subscribe("c").await?;
    let batch = [message("c", "before"), message("c", &"x".repeat(2 << 20)), message("c", "after")];
    let (written, refused) = write_all(&mut sink, &batch).await;
    assert_eq!((written, refused), (2, vec![1]));
    assert_eq!(heard(&mut subscription).await?.1, "before");
    assert_eq!(heard(&mut subscription).await?.1, "after");
    let batch = [document("a", "1"), document("b", &"x".repeat(2 << 20)), document("c", "3")];
    let (written, refused) = write_all(&mut sink, &batch).await;
    assert_eq!((written, refused), (2, vec![1]));
    assert_eq!(hash(&server, "h").await?, fields(&[("a", "1"), ("c", "3")]));
    Ok(())
}

/// Writes again from where it stopped, as an outlet does; how many were written, and which were refused.
async fn write_all(sink: &mut Redis, batch: &[Entry]) -> (usize, Vec<usize>) {
    let mut refused = Vec::new();
    let mut next = 0;
    for _ in 0..10 {
        let outcome = sink.write(&batch[next..]).await;
        let done = outcome.stopped.as_ref().map_or(batch.len(), |(index, _)| next + index);
        refused.extend(outcome.refused.iter().map(|refusal| next + refusal.index).filter(|index| *index < done));
        next = done;
        if outcome.stopped.is_none() {
            break;
        }
    }
    assert_eq!(next, batch.len(), "not written in 10 tries");
    (next - refused.len(), refused)
}

#[tokio::test]
async fn a_replica_is_tried_again_with_a_hint_until_it_is_a_primary() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    let batch = [document("a", "1"), document("b", "2")];
    let (index, fault) = stop(&mut sink, &batch).await;
    assert_eq!((index, fault.class), (0, Class::Retry));
    assert!(fault.cause.starts_with("READONLY "), "{fault}");
    assert!(fault.hint.is_some_and(|hint| hint.contains("must lead to the primary")));
    server.command(&["REPLICAOF", "NO", "ONE"]).await?;
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(hash(&server, "h").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_server_without_memory_stops_documents_but_not_the_messages_before_them() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    let batch = [message("c", "1"), document("a", "1"), document("b", "2"), message("c", "2")];
    let mut subscription = server.subscribe("c").await?;
    let (index, fault) = stop(&mut sink, &batch).await;
    assert_eq!((index, fault.class), (1, Class::Retry));
    assert!(fault.cause.starts_with("OOM ") && fault.hint.is_some(), "{fault}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    assert_eq!(hash(&server, "h").await?.len(), 0);
    assert_eq!(sink.write(&batch[index..]).await, Outcome::written());
    assert_eq!((heard(&mut subscription).await?.1, heard(&mut subscription).await?.1), ("1".to_owned(), "2".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_document_that_fits_is_written_before_the_one_that_may_not_be() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    // The command itself is not granted for any other key: that is for the operator to cure.
    server.command(&["ACL", "SETUSER", "default", "-hset", "+hset|h"]).await?;
    let mut sink = sink(&config(&server));
    let batch = [document("a", "1"), document("b", "2"), document_in("secret", "c", "3"), document("d", "4")];
    let (index, fault) = stop(&mut sink, &batch).await;
    assert_eq!((index, fault.class), (2, Class::Retry));
    assert!(fault.cause.starts_with("NOPERM ") && fault.tried.contains("`secret`"), "{fault}");
    assert_eq!(hash(&server, "h").await?, fields(&[("a", "1"), ("b", "2")]));
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_refused_for_now_stops_and_those_behind_it_are_not_repeated() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    server.command(&["ACL", "SETUSER", "default", "-publish", "+publish|open"]).await?;
    let mut sink = sink(&config(&server));
    let mut subscription = server.subscribe("*").await?;
    let batch = [message("open", "1"), message("closed", "2"), message("open", "3")];
    let (index, fault) = stop(&mut sink, &batch).await;
    assert_eq!((index, fault.class), (1, Class::Retry));
    assert!(fault.to_string().contains("NOPERM") && fault.to_string().contains("`closed`"), "{fault}");
    for _ in 0..20 {
        assert_eq!(stop(&mut sink, &batch[1..]).await.0, 0);
    }
    server.command(&["ACL", "SETUSER", "default", "+publish"]).await?;
    assert_eq!(sink.write(&batch[1..]).await, Outcome::written());
    let mut bodies = Vec::new();
    while bodies.last().is_none_or(|body| body != "3") || bodies.len() < 4 {
        bodies.push(heard(&mut subscription).await?.1);
    }
    assert_eq!(bodies, ["1", "3", "2", "3"]);
    Ok(())
}

#[tokio::test]
async fn a_field_is_forgotten_when_its_time_has_come_unless_it_is_put_again() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    let soon = Duration::from_millis(200);
    let batch = [
        document("a", "1"),
        document("b", "1"),
        document("c", "1"),
        forget_after("a", soon),
        forget_after("b", soon),
        forget_after("c", soon),
        document("b", "2"),
    ];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    assert_eq!(hash(&server, "h").await?.len(), 3);
    assert_eq!(sink.write(&[document("c", "2")]).await, Outcome::written());
    sink.upkeep().await?;
    assert_eq!(hash(&server, "h").await?, fields(&[("b", "2"), ("c", "2")]));
    timeout(Duration::from_millis(400), sink.upkeep()).await.expect_err("nothing is left to be done");
    Ok(())
}

#[tokio::test]
async fn what_is_due_is_forgotten_once_the_server_is_back() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let configuration = vec!["appendonly yes".to_owned(), "appendfsync always".to_owned()];
    let mut server = RedisServer::start(RedisOptions { configuration, ..RedisOptions::default() }).await?;
    let mut sink = sink(&config(&server));
    let batch = [document("a", "1"), document("b", "1"), forget_after("b", Duration::from_millis(50))];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    server.kill();
    let fault = sink.upkeep().await.expect_err("nobody is there");
    assert_eq!(fault.class, Class::Retry);
    server.restart().await?;
    sink.upkeep().await?;
    assert_eq!(hash(&server, "h").await?, fields(&[("a", "1")]));
    Ok(())
}

#[tokio::test]
async fn the_server_meets_no_command_that_it_does_not_know() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut sink) = plain().await?;
    let batch = [message("c", "1"), document("a", "1"), document("b", "1"), forget("a")];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    let errors = server.command(&["INFO", "errorstats"]).await?;
    assert_eq!(errors.text().unwrap_or_default().trim(), "# Errorstats");
    let statistics = server.command(&["INFO", "commandstats"]).await?;
    assert!(!statistics.text().unwrap_or_default().contains("setinfo"), "{statistics}");
    Ok(())
}

#[tokio::test]
async fn the_database_of_the_settings_is_used_and_one_that_is_not_there_is_named() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut config = config(&server);
    config.database = Some(3);
    assert_eq!(sink(&config).write(&[document("a", "1")]).await, Outcome::written());
    assert_eq!(hash(&server, "h").await?, fields(&[]));
    assert!(server.command(&["INFO", "keyspace"]).await?.text().unwrap_or_default().contains("db3:keys=1"));
    config.database = Some(99);
    let (_, fault) = stop(&mut sink(&config), &[document("a", "1")]).await;
    assert!(fault.tried.starts_with("cannot select the database of redis at 127.0.0.1:"), "{fault}");
    assert!(fault.hint.is_some_and(|hint| hint.contains("`database`")));
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_is_an_address() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("redis.sock");
    let configuration = vec![format!("unixsocket {}", socket.display())];
    let server = RedisServer::start(RedisOptions { configuration, ..RedisOptions::default() }).await?;
    let mut sink = sink(&Config::new(format!("unix://{}", socket.display())));
    assert_eq!(sink.write(&[document_in("h", "a", "1")]).await, Outcome::written());
    assert_eq!(hash(&server, "h").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut config = config(&server);
    config.connect_timeout = TimeSpan(Duration::from_millis(200));
    config.write_timeout = TimeSpan(Duration::from_millis(200));
    let mut sink = sink(&config);
    assert_eq!(sink.write(&[document("a", "0")]).await, Outcome::written());
    server.pause();
    let (index, fault) = stop(&mut sink, &[document("a", "1")]).await;
    assert_eq!((index, fault.cause.as_str()), (0, "no answer within 200ms"));
    let (_, fault) = stop(&mut sink, &[document("a", "2")]).await;
    assert!(fault.tried.starts_with("cannot connect to redis at 127.0.0.1:"), "{fault}");
    server.resume();
    let (_, refused) = write_all(&mut sink, &[document("a", "3")]).await;
    assert_eq!(refused, Vec::<usize>::new());
    // What was given up was carried out before, not after: the last word holds.
    assert_eq!(hash(&server, "h").await?, fields(&[("a", "3")]));
    Ok(())
}
