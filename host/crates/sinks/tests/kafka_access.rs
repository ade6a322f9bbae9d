//! Proves how the kafka sink gets in: users, passwords that change, and TLS that is verified.

mod entries;
mod kafka_reader;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use entries::message;
use kafka_reader::{can_run, config, read_with, read_with_tls, sink, stopped, written};
use serde_json::json;
use sluicebox_sinks::kafka::{Config, SaslMechanism, TlsVerify};
use sluicebox_testkit::servers::{KafkaOptions, KafkaServer, KafkaUser, Need, require};
use tempfile::tempdir;

fn topics() -> Vec<(String, u32)> {
    vec![("t".to_owned(), 1)]
}

fn user() -> KafkaUser {
    KafkaUser { name: "collector".to_owned(), password: "secret".to_owned() }
}

fn with_log_in(mut config: Config) -> Config {
    config.sasl_mechanism = Some(SaslMechanism::ScramSha256);
    config.username = Some("collector".to_owned());
    config
}

#[tokio::test]
async fn a_wrong_password_is_told_and_the_right_one_is_taken_up_when_it_stands_in_the_file() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = KafkaServer::start(KafkaOptions { topics: topics(), users: vec![user()], ..KafkaOptions::default() }).await?;
    let folder = tempdir()?;
    let file = folder.path().join("password");
    let mut config = with_log_in(config(&server.address()));
    config.password_file = Some(file.clone());
    let mut sink = sink(&config);
    let batch = [message("t", "1")];

    let fault = stopped(&mut sink, &batch).await;
    assert!(fault.tried.contains("cannot read the password from"), "{fault}");
    fs::write(&file, "wrong\n")?;
    let fault = stopped(&mut sink, &batch).await;
    assert!(fault.cause.contains("uthentication") && !fault.cause.contains("wrong"), "{fault}");
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("`password-file` is read again")), "{fault}");
    fs::write(&file, "secret\n")?;
    written(&mut sink, &batch).await;
    let settings = json!({ "bootstrap.servers": server.address(), "security.protocol": "sasl_plaintext", "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "collector", "sasl.password": "secret" });
    assert_eq!(read_with(settings, "t").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_wants_a_log_in_does_not_take_entries_without() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let server = KafkaServer::start(KafkaOptions { topics: topics(), users: vec![user()], ..KafkaOptions::default() }).await?;
    let fault = stopped(&mut sink(&config(&server.address())), &[message("t", "1")]).await;
    assert!(fault.tried.starts_with("cannot write to kafka at 127.0.0.1:"), "{fault}");
    Ok(())
}

#[tokio::test]
async fn tls_is_verified_unless_somebody_accepts_the_risk() -> Result<()> {
    if !can_run() || !require(Need::Stunnel) {
        return Ok(());
    }
    let server = KafkaServer::start(KafkaOptions { topics: topics(), tls: true, ..KafkaOptions::default() }).await?;
    let authority = server.certificate_authority().context("an authority")?;
    let other = KafkaServer::start(KafkaOptions { tls: true, ..KafkaOptions::default() }).await?;
    let folder = tempdir()?;
    let file = folder.path().join("ca.crt");
    let batch = [message("t", "1")];
    let mut secure = config(&server.address());
    secure.tls = true;

    // The system's authorities have not signed it.
    let fault = stopped(&mut sink(&secure), &batch).await;
    assert!(fault.cause.contains("certificate verify failed"), "{fault}");
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("`ca-file`")), "{fault}");

    // Nor has another one; when the right one stands in the file, it is taken up.
    fs::copy(other.certificate_authority().context("an authority")?, &file)?;
    secure.ca_file = Some(file.clone());
    let mut patient = sink(&secure);
    let fault = stopped(&mut patient, &batch).await;
    assert!(fault.cause.contains("certificate verify failed"), "{fault}");
    fs::copy(authority, &file)?;
    written(&mut patient, &batch).await;

    secure.ca_file = None;
    secure.tls_verify = TlsVerify::NeverAndIAcceptTheRisk;
    written(&mut sink(&secure), &[message("t", "2")]).await;
    assert_eq!(read_with_tls(&server.address(), authority, "t").await?.len(), 2);

    fs::write(&file, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")?;
    secure.ca_file = Some(file);
    secure.tls_verify = TlsVerify::NotTheHostName;
    let fault = stopped(&mut sink(&secure), &batch).await;
    assert!(fault.tried.starts_with("cannot make a client for kafka at localhost:"), "{fault}");
    Ok(())
}

#[tokio::test]
async fn tls_and_no_tls_do_not_understand_each_other_and_say_so() -> Result<()> {
    if !can_run() || !require(Need::Stunnel) {
        return Ok(());
    }
    let batch = [message("t", "1")];
    let server = KafkaServer::start(KafkaOptions { topics: topics(), tls: true, ..KafkaOptions::default() }).await?;
    let fault = stopped(&mut sink(&config(&server.address())), &batch).await;
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("`tls: true`")), "{fault}");
    let server = KafkaServer::start(KafkaOptions::default()).await?;
    let mut secure = config(&server.address());
    secure.tls = true;
    secure.message_timeout.0 = Duration::from_secs(2);
    let fault = stopped(&mut sink(&secure), &batch).await;
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("does this port speak TLS")), "{fault}");
    Ok(())
}
