//! The test kit's broker is a real one: it answers, is killed and comes back with what it had. What is written to it and read from it is
//! proven where the client is: in the tests of the kafka sink.

use std::time::Duration;

use sluicebox_testkit::servers::{KafkaOptions, KafkaServer, KafkaUser, Need, require};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Asks which requests the broker knows (key 18, version 0), and waits for the length of the answer.
async fn ask(address: &str) -> std::io::Result<u32> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).await?;
    stream.read_u32().await
}

#[tokio::test]
async fn a_killed_broker_comes_back_on_the_same_port_with_its_topics() {
    if !require(Need::Kafka) {
        return;
    }
    let topics = vec![("a".to_owned(), 2)];
    let mut kafka = KafkaServer::start(KafkaOptions { topics, ..KafkaOptions::default() }).await.unwrap();
    let address = kafka.address();
    assert!(ask(&address).await.unwrap() > 0);
    kafka.kill();
    assert!(ask(&address).await.is_err());
    kafka.restart().await.unwrap();
    assert_eq!(kafka.address(), address);
    assert!(ask(&address).await.unwrap() > 0);
    let error = kafka.create_topic("a", 2).await.unwrap_err().to_string();
    assert!(error.contains("tansu topic create failed"), "{error}");
}

#[tokio::test]
async fn a_paused_broker_answers_nobody() {
    if !require(Need::Kafka) {
        return;
    }
    let kafka = KafkaServer::start(KafkaOptions::default()).await.unwrap();
    kafka.pause();
    assert!(timeout(Duration::from_millis(200), ask(&kafka.address())).await.is_err());
    kafka.resume();
    assert!(ask(&kafka.address()).await.unwrap() > 0);
}

#[tokio::test]
async fn with_users_and_tls_nothing_is_said_in_clear() {
    if !require(Need::Kafka) || !require(Need::Stunnel) {
        return;
    }
    let users = vec![KafkaUser { name: "collector".to_owned(), password: "secret".to_owned() }];
    let kafka = KafkaServer::start(KafkaOptions { users, tls: true, ..KafkaOptions::default() }).await.unwrap();
    assert!(kafka.certificate_authority().unwrap().is_file());
    assert!(ask(&kafka.address()).await.is_err(), "an answer without TLS");
}
