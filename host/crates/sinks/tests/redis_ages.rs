//! Proves that documents of hashes expire when nobody puts them again, with a real server.

mod entries;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use entries::{document, document_in, forget, forget_after};
use sluicebox_contract::{Class, Outcome, Sink, TimeSpan};
use sluicebox_sinks::redis::{Config, Redis};
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, RedisUser, Reply, require};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

fn config(server: &RedisServer) -> Config {
    let mut config = Config::new(server.url());
    config.hash = Some("h".to_owned());
    config.expire_after = Some(TimeSpan(SECOND * 3));
    config
}

fn sink(config: &Config) -> Redis {
    assert_eq!(config.problems(), []);
    Redis::new(config).expect("a sink")
}

async fn write(sink: &mut Redis, names: &[&str]) {
    let entries: Vec<_> = names.iter().map(|name| document(name, "1")).collect();
    assert_eq!(sink.write(&entries).await, Outcome::written());
}

/// Lets sinks do their own work for a while.
async fn work(sink: &mut Redis, span: Duration) {
    let work = async {
        loop {
            sink.upkeep().await.expect("it works");
        }
    };
    let _elapsed: Result<(), _> = timeout(span, work).await;
}

/// Texts of a list, in order.
async fn list(server: &RedisServer, words: &[&str]) -> Result<Vec<String>> {
    let Reply::List(list) = server.command(words).await? else {
        anyhow::bail!("{words:?} is answered by no list");
    };
    let mut texts: Vec<_> = list.iter().filter_map(Reply::text).map(ToOwned::to_owned).collect();
    texts.sort_unstable();
    Ok(texts)
}

/// The fields of a hash; those that have an age are the same.
async fn fields(server: &RedisServer, hash: &str) -> Result<String> {
    let fields = list(server, &["HKEYS", hash]).await?;
    assert_eq!(list(server, &["ZRANGE", &format!("{hash}:ages"), "0", "-1"]).await?, fields);
    Ok(fields.join(" "))
}

#[tokio::test]
async fn a_document_goes_when_nobody_puts_it_again() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut sink = sink(&config(&server));
    write(&mut sink, &["a", "b", "c", "d"]).await;
    assert_eq!(sink.write(&[document_in("other", "e", "1"), forget("c"), forget_after("d", SECOND)]).await, Outcome::written());
    assert_eq!((fields(&server, "h").await?, fields(&server, "other").await?), ("a b d".to_owned(), "e".to_owned()));
    for _ in 0..5 {
        work(&mut sink, SECOND).await;
        write(&mut sink, &["a"]).await;
    }
    assert_eq!((fields(&server, "h").await?, fields(&server, "other").await?), ("a".to_owned(), String::new()));
    Ok(())
}

#[tokio::test]
async fn what_a_dead_writer_has_put_is_removed_by_another() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let many: Vec<_> = (0..2_500).map(|number| format!("dead-{number}")).collect();
    let mut dies = sink(&config(&server));
    write(&mut dies, &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    drop(dies);
    let mut lives = sink(&config(&server));
    let mut also = sink(&config(&server));
    for _ in 0..5 {
        write(&mut lives, &["lives"]).await;
        write(&mut also, &["also"]).await;
        tokio::join!(work(&mut lives, SECOND), work(&mut also, SECOND));
    }
    assert_eq!(fields(&server, "h").await?, "also lives");
    // One that has been restarted, and has nothing to write.
    drop((lives, also));
    work(&mut sink(&config(&server)), SECOND * 5).await;
    assert_eq!(fields(&server, "h").await?, "");
    Ok(())
}

#[tokio::test]
async fn two_writers_of_one_hash_lose_nothing_while_old_documents_are_removed() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut config = config(&server);
    config.expire_after = Some(TimeSpan(SECOND));
    let writer = async |name: &str| {
        let mut sink = sink(&config);
        for round in 0..60 {
            let entries: Vec<_> =
                (0..50).map(|number| document(&format!("{name}-{}", round * 7 + number), &round.to_string())).collect();
            assert_eq!(sink.write(&entries).await, Outcome::written());
            work(&mut sink, Duration::from_millis(50)).await;
        }
        (0..50).map(|number| format!("{name}-{}", 59 * 7 + number)).collect::<Vec<_>>()
    };
    let (one, two) = tokio::join!(writer("one"), writer("two"));
    let there = list(&server, &["HKEYS", "h"]).await?;
    for name in one.iter().chain(&two) {
        assert!(there.contains(name), "{name} was put just now");
    }
    assert!(there.len() < 600, "{} fields: the old ones have gone", there.len());
    assert_eq!(list(&server, &["ZRANGE", "h:ages", "0", "-1"]).await?, there);
    Ok(())
}

#[tokio::test]
async fn without_the_setting_nothing_is_different() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let rights = "~h +hset +hdel +multi +exec".to_owned();
    let user = RedisUser { name: "u".to_owned(), password: "p".to_owned(), rights };
    let server = RedisServer::start(RedisOptions { users: vec![user], ..RedisOptions::default() }).await?;
    let mut config = config(&server);
    (config.username, config.password) = (Some("u".to_owned()), Some("p".to_owned()));
    config.expire_after = None;
    let mut plain = sink(&config);
    write(&mut plain, &["a", "b"]).await;
    work(&mut plain, SECOND / 5).await;
    assert_eq!(list(&server, &["KEYS", "*"]).await?, ["h"]);
    // With it, what has no age stays.
    config.expire_after = Some(TimeSpan(SECOND));
    server.command(&["ACL", "SETUSER", "u", "~h:ages", "+zadd", "+zrem", "+zrangebyscore", "+time", "+eval"]).await?;
    let mut aging = sink(&config);
    write(&mut aging, &["c"]).await;
    work(&mut aging, SECOND * 3).await;
    assert_eq!(list(&server, &["HKEYS", "h"]).await?, ["a", "b"]);
    Ok(())
}

#[tokio::test]
async fn the_right_that_is_missing_is_named_and_nothing_is_written_without_an_age() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let rights = "~h +hset +hdel +multi +exec".to_owned();
    let user = RedisUser { name: "u".to_owned(), password: "p".to_owned(), rights };
    let server = RedisServer::start(RedisOptions { users: vec![user], ..RedisOptions::default() }).await?;
    let mut config = config(&server);
    (config.username, config.password) = (Some("u".to_owned()), Some("p".to_owned()));
    let mut sink = sink(&config);
    let mut steps = BTreeMap::new();
    for (grant, words) in
        [("+time", "cannot read the clock"), ("+zadd", "cannot write to `h:ages`"), ("~h:ages", "cannot write to `h:ages`")]
    {
        let (index, fault) = sink.write(&[document("a", "1")]).await.stopped.context("it stops")?;
        assert!(index == 0 && fault.class == Class::Retry && fault.tried.starts_with(words), "{grant}: {fault}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("`expire-after` needs the rights `+zadd")), "{fault}");
        server.command(&["ACL", "SETUSER", "u", grant]).await?;
        steps.insert(grant, fault.cause);
    }
    assert!(steps.values().all(|cause| cause.starts_with("NOPERM ")), "{steps:?}");
    assert_eq!(list(&server, &["HKEYS", "h"]).await?, Vec::<String>::new());
    assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
    let fault = sink.upkeep().await.expect_err("no script may run");
    assert!(fault.to_string().contains("cannot remove what is old from `h`") && fault.class == Class::Retry, "{fault}");
    server.command(&["ACL", "SETUSER", "u", "+eval", "+zrem", "+zrangebyscore"]).await?;
    work(&mut sink, SECOND * 5).await;
    assert_eq!(fields(&server, "h").await?, "");
    Ok(())
}

#[tokio::test]
async fn something_else_in_the_place_of_the_ages_is_named() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    server.command(&["SET", "h:ages", "x"]).await?;
    let mut sink = sink(&config(&server));
    let (_, fault) = sink.write(&[document("a", "1")]).await.stopped.context("it stops")?;
    assert!(fault.class == Class::Retry && fault.to_string().contains("which must be nothing else's"), "{fault}");
    server.command(&["DEL", "h:ages"]).await?;
    write(&mut sink, &["a"]).await;
    assert_eq!(fields(&server, "h").await?, "a");
    Ok(())
}
