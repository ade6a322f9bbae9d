//! Proves what the redis sink makes of each refusal of a real server: what waits loses nothing and goes on when the cause is gone, what is
//! refused for good holds up no other.

mod entries;
mod switch;

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};
use entries::{document, document_in, forget, message};
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink, TimeSpan};
use sluicebox_sinks::redis::{Config, Redis};
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, Subscription, require};
use switch::Switch;
use tempfile::tempdir;
use tokio::time::{sleep, timeout};

async fn server(configuration: &[&str]) -> Result<RedisServer> {
    let configuration = configuration.iter().map(|&line| line.to_owned()).collect();
    RedisServer::start(RedisOptions { configuration, ..RedisOptions::default() }).await
}

/// A node of a cluster, and the port on which it talks to the others: by default one that may not exist.
async fn node() -> Result<(RedisServer, u16)> {
    let bus = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok((server(&["cluster-enabled yes", &format!("cluster-port {bus}")]).await?, bus))
}

fn sink_at(url: String) -> Redis {
    let mut config = Config::new(url);
    config.hash = Some("h".to_owned());
    config.write_timeout = TimeSpan(Duration::from_millis(500));
    config.connect_timeout = TimeSpan(Duration::from_secs(2));
    Redis::new(&config).expect("a sink")
}

fn sink(server: &RedisServer) -> Redis {
    sink_at(server.url())
}

fn batch() -> [Entry; 3] {
    [document("a", "1"), document("b", "2"), document("a", "3")]
}

/// It waits, however often it is tried, and whoever reads it knows what to do.
async fn waits(sink: &mut Redis, batch: &[Entry], code: &str, cure: &str) -> Fault {
    let mut last = None;
    for _ in 0..3 {
        let Outcome { refused, stopped } = sink.write(batch).await;
        let (index, fault) = stopped.expect("a fault");
        assert_eq!((refused, index, fault.class), (vec![], 0, Class::Retry), "{fault}");
        assert!(fault.cause.starts_with(code), "{fault}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains(cure)), "{fault}");
        assert!(fault.tried.starts_with("cannot ") && fault.tried.contains("redis at 127.0.0.1:"), "{fault}");
        last = Some(fault);
    }
    last.expect("three tries")
}

/// The same sink goes on, without a restart.
async fn goes_on(sink: &mut Redis, server: &RedisServer) -> Result<()> {
    assert_eq!(sink.write(&batch()).await, Outcome::written());
    assert_eq!(server.command(&["HMGET", "h", "a", "b"]).await?.texts(), ["3", "2"]);
    Ok(())
}

async fn heard(subscription: &mut Subscription) -> Result<String> {
    Ok(timeout(Duration::from_secs(10), subscription.next()).await.context("nothing was published")??.1)
}

#[tokio::test]
async fn readonly_is_waited_for_and_after_a_fail_over_the_name_is_followed_to_the_new_primary() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (old, new) = (server(&[]).await?, server(&[]).await?);
    let switch = Switch::start(&old.address()).await?;
    let mut sink = sink_at(format!("redis://{}", switch.address()));
    assert_eq!(sink.write(&[document("before", "1")]).await, Outcome::written());
    // Nobody cuts the connections to the old one.
    old.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    waits(&mut sink, &batch(), "READONLY ", "must lead to the primary").await;
    switch.lead_to(&new.address());
    let mut tries = 0;
    while let Some((_, fault)) = sink.write(&batch()).await.stopped {
        tries += 1;
        assert!(tries < 3, "the connection to the old one is kept: {fault}");
    }
    assert_eq!(new.command(&["HMGET", "h", "a", "b"]).await?.texts(), ["3", "2"]);
    Ok(())
}

#[tokio::test]
async fn a_replica_without_its_primary_is_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&["replica-serve-stale-data no"]).await?;
    let mut sink = sink(&server);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    waits(&mut sink, &batch(), "MASTERDOWN ", "must lead to the primary").await;
    server.command(&["REPLICAOF", "NO", "ONE"]).await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn out_of_memory_is_waited_for_and_what_can_never_be_is_refused_once_there_is_room() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&[]).await?;
    let mut sink = sink(&server);
    server.command(&["SET", "text", "no hash"]).await?;
    server.command(&["HSET", "h", "old", "1"]).await?;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    // Which of them is to blame is not known before there is room: none is refused.
    let mixed = [document("a", "1"), document_in("text", "x", "1"), document("b", "2"), document("a", "3")];
    waits(&mut sink, &mixed, "OOM ", "`maxmemory`").await;
    // To forget needs no memory, and makes some.
    assert_eq!(sink.write(&[forget("old")]).await, Outcome::written());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    let outcome = sink.write(&mixed).await;
    assert_eq!(outcome.stopped, None);
    assert_eq!(outcome.refused.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [1]);
    let reason = &outcome.refused[0].reason;
    assert!(reason.contains("WRONGTYPE ") && reason.contains("`text`") && reason.contains("hint: "), "{reason}");
    assert_eq!(server.command(&["HMGET", "h", "a", "b"]).await?.texts(), ["3", "2"]);
    Ok(())
}

#[tokio::test]
async fn what_an_age_meets_without_memory_is_told_as_what_it_is() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&[]).await?;
    let mut config = Config::new(server.url());
    (config.hash, config.expire_after) = (Some("h".to_owned()), Some(TimeSpan(Duration::from_hours(1))));
    let mut sink = Redis::new(&config).expect("a sink");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    waits(&mut sink, &batch(), "OOM ", "`maxmemory`").await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn a_password_that_the_server_asks_for_from_now_on_is_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&[]).await?;
    let mut sink = sink(&server);
    assert_eq!(sink.write(&[document("before", "1")]).await, Outcome::written());
    server.command(&["CONFIG", "SET", "requirepass", "secret"]).await?;
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await?;
    assert!(sink.write(&batch()).await.stopped.is_some());
    let fault = waits(&mut sink, &batch(), "NOAUTH ", "`password-file`").await;
    assert!(!fault.to_string().contains("secret"), "{fault}");
    server.command(&["CONFIG", "SET", "requirepass", ""]).await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn a_user_who_is_removed_under_the_sink_is_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&[]).await?;
    let user = ["ACL", "SETUSER", "collector", "on", ">p", "~*", "&*", "+@all"];
    server.command(&user).await?;
    let mut sink = sink_at(format!("redis://collector:p@{}", server.address()));
    assert_eq!(sink.write(&[document("before", "1")]).await, Outcome::written());
    server.command(&["ACL", "DELUSER", "collector"]).await?;
    // The connection is cut, and that is met first.
    assert!(sink.write(&batch()).await.stopped.is_some());
    waits(&mut sink, &batch(), "WRONGPASS ", "correct `username` or the password").await;
    server.command(&user).await?;
    // The server lets nobody forget what he may not do.
    server.command(&["ACL", "SETUSER", "collector", "-hset"]).await?;
    waits(&mut sink, &batch(), "NOPERM ", "`ACL GETUSER`").await;
    server.command(&["ACL", "SETUSER", "collector", "+hset"]).await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn a_server_that_reads_its_data_is_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let mut server = server(&["key-load-delay 300", "loading-process-events-interval-bytes 1024"]).await?;
    for part in 0..16 {
        let pairs: Vec<_> = (0..500).flat_map(|number| [format!("k{part}-{number}"), "x".repeat(100)]).collect();
        let words: Vec<_> = std::iter::once("MSET").chain(pairs.iter().map(String::as_str)).collect();
        server.command(&words).await?;
    }
    server.command(&["SAVE"]).await?;
    let mut sink = sink(&server);
    assert_eq!(sink.write(&[document("before", "1")]).await, Outcome::written());
    server.kill();
    let tries = async {
        let mut causes = Vec::new();
        while let Some((index, fault)) = sink.write(&batch()).await.stopped {
            assert_eq!((index, fault.class), (0, Class::Retry), "{fault}");
            causes.push(fault.to_string());
            sleep(Duration::from_millis(10)).await;
        }
        causes
    };
    let (restarted, causes) = tokio::join!(server.restart(), timeout(Duration::from_secs(30), tries));
    restarted?;
    let causes = causes?;
    let loading = causes.iter().find(|cause| cause.contains("LOADING ")).with_context(|| format!("{causes:?}"))?;
    assert!(loading.contains("it will answer when it has done so"), "{loading}");
    assert_eq!(server.command(&["HMGET", "h", "a", "b"]).await?.texts(), ["3", "2"]);
    Ok(())
}

#[tokio::test]
async fn a_node_of_a_cluster_is_named_as_such_until_the_url_leads_elsewhere() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (first, _) = node().await?;
    let (second, bus) = node().await?;
    let alone = server(&[]).await?;
    let switch = Switch::start(&first.address()).await?;
    let mut sink = sink_at(format!("redis://{}", switch.address()));
    // No slots yet.
    waits(&mut sink, &batch(), "CLUSTERDOWN ", "part of a cluster").await;
    second.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await?;
    first.command(&["CLUSTER", "MEET", "127.0.0.1", &second.port().to_string(), &bus.to_string()]).await?;
    for _ in 0..500 {
        let info = first.command(&["CLUSTER", "INFO"]).await?;
        if info.text().is_some_and(|text| text.contains("cluster_state:ok")) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    waits(&mut sink, &batch(), "MOVED ", "use a server that stands alone").await;
    // Two hashes whose slots lie apart cannot be written in one transaction.
    switch.lead_to(&second.address());
    let apart = [document("a", "1"), document_in("elsewhere", "a", "1")];
    let met = sink.write(&apart).await.stopped.or(sink.write(&apart).await.stopped).context("a cluster")?;
    assert_eq!(met.1.class, Class::Retry);
    switch.lead_to(&alone.address());
    for _ in 0..2 {
        sink.write(&batch()).await;
    }
    goes_on(&mut sink, &alone).await
}

#[tokio::test]
async fn a_server_that_cannot_save_takes_messages_and_lets_documents_wait() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let data = tempdir()?;
    let in_the_way = data.path().join("dump.rdb/x");
    let server = server(&["save 3600 1", &format!("dir {}", data.path().display())]).await?;
    fs::create_dir_all(&in_the_way)?;
    let save = async |status: &str| {
        server.command(&["BGSAVE"]).await.ok();
        for _ in 0..500 {
            let info = server.command(&["INFO", "persistence"]).await?.to_string();
            if info.contains("rdb_bgsave_in_progress:0") && info.contains(&format!("rdb_last_bgsave_status:{status}")) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the server does not tell of {status}")
    };
    save("err").await?;
    let mut sink = sink(&server);
    waits(&mut sink, &batch(), "MISCONF ", "cannot save to its disk").await;
    // Also on a connection of its own.
    let mut subscription = server.subscribe("c").await?;
    assert_eq!(sink_at(server.url()).write(&[message("c", "1")]).await, Outcome::written());
    assert_eq!(heard(&mut subscription).await?, "1");
    fs::remove_dir_all(data.path().join("dump.rdb"))?;
    save("ok").await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn a_script_that_keeps_the_server_busy_is_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&["busy-reply-threshold 10"]).await?;
    let mut sink = sink(&server);
    let tries = async {
        // The script has to begin, and to be noticed.
        while sink.write(&[document("before", "1")]).await.stopped.is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        waits(&mut sink, &batch(), "BUSY ", "`SCRIPT KILL`").await;
        server.command(&["SCRIPT", "KILL"]).await
    };
    let (script, killed) =
        tokio::join!(server.command(&["EVAL", "while true do end", "0"]), timeout(Duration::from_secs(20), tries));
    script.expect_err("it is killed");
    killed??;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn too_few_replicas_are_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&[]).await?;
    let mut sink = sink(&server);
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await?;
    waits(&mut sink, &batch(), "NOREPLICAS ", "`min-replicas-to-write`").await;
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn a_server_that_is_full_of_clients_is_waited_for() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&["maxclients 2"]).await?;
    let mut sink = sink(&server);
    let others = (server.subscribe("*").await?, server.subscribe("*").await?);
    waits(&mut sink, &batch(), "ERR max number of clients", "`maxclients`").await;
    drop(others);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(sink.write(&batch()).await, Outcome::written());
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_told_to_let_writers_wait_makes_entries_wait() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&[]).await?;
    let mut sink = sink(&server);
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]).await?;
    waits(&mut sink, &batch(), "no answer within 500ms", "the server hangs").await;
    server.command(&["CLIENT", "UNPAUSE"]).await?;
    goes_on(&mut sink, &server).await
}

#[tokio::test]
async fn a_command_that_the_server_does_not_have_is_named() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = server(&["rename-command HSET \"\""]).await?;
    waits(&mut sink(&server), &batch(), "ERR unknown command", "renamed").await;
    Ok(())
}
