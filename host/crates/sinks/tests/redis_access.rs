//! Proves how the redis sink gets in: users, passwords that change, and TLS that is verified.

mod entries;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use entries::{document_in, message};
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink, TimeSpan};
use sluicebox_sinks::redis::{Config, Redis, TlsVerify};
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, RedisUser, require};
use tempfile::tempdir;
use tokio::time::timeout;

fn batch() -> [Entry; 1] {
    [message("galileo/events", "1")]
}

fn sink(config: &Config) -> Redis {
    assert_eq!(config.problems(), []);
    Redis::new(config).expect("a sink")
}

async fn refused(sink: &mut Redis) -> Fault {
    let (index, fault) = sink.write(&batch()).await.stopped.expect("a fault");
    assert_eq!((index, fault.class), (0, Class::Retry));
    fault
}

async fn accepted(sink: &mut Redis) {
    assert_eq!(sink.write(&batch()).await, Outcome::written());
}

async fn cut(server: &RedisServer) -> Result<()> {
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_user_whose_password_lies_in_a_file_goes_on_after_it_was_changed() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let user = RedisUser {
        name: "collector".to_owned(),
        password: "first".to_owned(),
        rights: "resetchannels &galileo/* -@all +publish".to_owned(),
    };
    let password = Some("closed".to_owned());
    let server = RedisServer::start(RedisOptions { password, users: vec![user], ..RedisOptions::default() }).await?;
    let folder = tempdir()?;
    let file = folder.path().join("password");
    let mut config = Config::new(server.url());
    config.username = Some("collector".to_owned());
    config.password_file = Some(file.clone());
    let mut sink = sink(&config);

    let fault = refused(&mut sink).await;
    assert!(fault.tried.contains("cannot read the password from"), "{fault}");
    fs::write(&file, "")?;
    assert_eq!(refused(&mut sink).await.cause, "it is empty");
    fs::write(&file, "x".repeat(65_537))?;
    assert_eq!(refused(&mut sink).await.cause, "it is larger than 64KiB");
    fs::write(&file, "wrong\n")?;
    let fault = refused(&mut sink).await;
    assert!(fault.tried.starts_with("cannot log in to redis at 127.0.0.1:") && fault.cause.starts_with("WRONGPASS "), "{fault}");
    assert!(fault.hint.is_some_and(|hint| hint.contains("`password-file` is read again")));
    fs::write(&file, "first\r\n")?;
    accepted(&mut sink).await;

    // Rotation: the server first, then the file; then the connections are cut.
    server.command(&["ACL", "SETUSER", "collector", "resetpass", ">second"]).await?;
    cut(&server).await?;
    assert!(refused(&mut sink).await.cause.starts_with("WRONGPASS "));
    fs::write(&file, "second")?;
    accepted(&mut sink).await;
    Ok(())
}

#[tokio::test]
async fn the_password_of_the_default_user_may_stand_in_the_settings_or_in_the_url() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let password = Some("open".to_owned());
    let server = RedisServer::start(RedisOptions { password, ..RedisOptions::default() }).await?;
    let mut config = Config::new(server.url());
    let fault = refused(&mut sink(&config)).await;
    assert!(fault.cause.starts_with("NOAUTH ") && fault.hint.is_some(), "{fault}");
    config.password = Some("open".to_owned());
    accepted(&mut sink(&config)).await;
    accepted(&mut sink(&Config::new(format!("redis://:open@{}", server.address())))).await;
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let user = RedisUser {
        name: "collector".to_owned(),
        password: "p".to_owned(),
        rights: "resetchannels &other ~* -@all +hset".to_owned(),
    };
    let server = RedisServer::start(RedisOptions { users: vec![user], ..RedisOptions::default() }).await?;
    let mut config = Config::new(server.url());
    config.username = Some("collector".to_owned());
    config.password = Some("p".to_owned());
    let mut sink = sink(&config);
    let fault = refused(&mut sink).await;
    assert!(fault.cause.contains("NOPERM") && fault.hint.is_some_and(|hint| hint.contains("ACL GETUSER")));
    // One document needs no transaction, and so no right to one.
    assert_eq!(sink.write(&[document_in("h", "a", "1")]).await, Outcome::written());
    Ok(())
}

#[tokio::test]
async fn an_entry_for_a_place_that_the_user_may_not_reach_holds_up_no_other() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let user = RedisUser {
        name: "collector".to_owned(),
        password: "p".to_owned(),
        rights: "resetchannels &galileo/* ~ours* -@all +publish +hset +hdel +multi +exec".to_owned(),
    };
    let server = RedisServer::start(RedisOptions { users: vec![user], ..RedisOptions::default() }).await?;
    let mut config = Config::new(server.url());
    config.username = Some("collector".to_owned());
    config.password = Some("p".to_owned());
    let mut sink = sink(&config);
    let batch = [
        message("galileo/a", "1"),
        message("other", "2"),
        message("galileo/a", "3"),
        document_in("theirs", "a", "1"),
        document_in("ours", "a", "1"),
        document_in("theirs", "b", "1"),
        document_in("ours", "b", "1"),
        // Alone in its group, without a transaction.
        message("galileo/a", "4"),
        document_in("theirs", "c", "1"),
    ];
    let outcome = sink.write(&batch).await;
    assert_eq!(outcome.stopped, None);
    assert_eq!(outcome.refused.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [1, 3, 5, 8]);
    let reason = &outcome.refused[0].reason;
    assert!(reason.contains("NOPERM ") && reason.contains("`ACL GETUSER`"), "{reason}");
    assert_eq!(server.command(&["HKEYS", "ours"]).await?.texts(), ["a", "b"]);

    // What the user may not do at all lies in no entry.
    server.command(&["ACL", "SETUSER", "collector", "-publish"]).await?;
    assert!(refused(&mut sink).await.cause.contains("'publish'"));
    Ok(())
}

async fn with_tls(configuration: &[&str]) -> Result<(RedisServer, Config)> {
    let configuration = configuration.iter().map(|&line| line.to_owned()).collect();
    let server = RedisServer::start(RedisOptions { tls: true, configuration, ..RedisOptions::default() }).await?;
    let config = Config::new(server.tls_url().context("TLS was asked for")?);
    Ok((server, config))
}

fn authority(server: &RedisServer) -> Result<&Path> {
    server.certificate_authority().context("TLS was asked for")
}

#[tokio::test]
async fn a_server_is_accepted_with_its_own_authority_and_with_no_other() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut config) = with_tls(&[]).await?;
    let (other, _) = with_tls(&[]).await?;

    let fault = refused(&mut sink(&config)).await;
    assert!(fault.tried.starts_with("cannot"), "{fault}");
    config.ca_file = Some(authority(&other)?.to_owned());
    let fault = refused(&mut sink(&config)).await;
    assert!(fault.tried.starts_with("cannot talk TLS to redis at localhost:") && fault.hint.is_some(), "{fault}");
    config.ca_file = Some(authority(&server)?.to_owned());
    accepted(&mut sink(&config)).await;
    config.ca_file = None;
    config.tls_verify = TlsVerify::NeverAndIAcceptTheRisk;
    accepted(&mut sink(&config)).await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut config) = with_tls(&[]).await?;
    config.url = config.url.replace("localhost", "127.0.0.2");
    // Loopback is one big host: somebody listens at 127.0.0.2 only if the server does.
    server.command(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]).await?;
    config.ca_file = Some(authority(&server)?.to_owned());
    let fault = refused(&mut sink(&config)).await;
    assert!(fault.cause.contains("certificate") && fault.hint.is_some_and(|hint| hint.contains("for the host in `url`")));
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let server = RedisServer::start(RedisOptions::default()).await?;
    let mut config = Config::new(format!("rediss://{}", server.address()));
    config.tls_verify = TlsVerify::NeverAndIAcceptTheRisk;
    config.connect_timeout = TimeSpan(Duration::from_millis(300));
    let mut subscription = server.subscribe("*").await?;
    let fault = refused(&mut sink(&config)).await;
    assert!(fault.hint.is_some_and(|hint| hint.contains("does this port speak TLS")));
    let heard = timeout(Duration::from_millis(50), subscription.next()).await;
    heard.expect_err("nothing was published");
    Ok(())
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_the_one_of_the_settings() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut config) = with_tls(&["tls-auth-clients yes"]).await?;
    let authority = authority(&server)?.to_owned();
    config.ca_file = Some(authority.clone());
    refused(&mut sink(&config)).await;
    // The server's own certificate comes from the authority that it trusts.
    config.client_certificate_file = Some(authority.with_file_name("server.crt"));
    config.client_key_file = Some(authority.with_file_name("server.key"));
    accepted(&mut sink(&config)).await;
    Ok(())
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named_and_read_again_at_the_next_try() -> Result<()> {
    if !require(Need::Redis) {
        return Ok(());
    }
    let (server, mut config) = with_tls(&[]).await?;
    let folder = tempdir()?;
    let file = folder.path().join("ca.crt");
    config.ca_file = Some(file.clone());
    let mut sink = sink(&config);
    assert!(refused(&mut sink).await.tried.contains("ca.crt"));
    fs::write(&file, "no certificate\n")?;
    let fault = refused(&mut sink).await;
    assert!(fault.tried.contains("ca.crt") && fault.cause == "there is no certificate in it", "{fault}");
    fs::File::create(&file)?.set_len((1 << 20) + 1)?;
    assert_eq!(refused(&mut sink).await.cause, "it is larger than 1MiB");
    fs::copy(authority(&server)?, &file)?;
    accepted(&mut sink).await;
    Ok(())
}
