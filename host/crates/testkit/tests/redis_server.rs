//! The test kit's redis-server is a real one: it loses, refuses and comes back as one does.

use std::time::Duration;

use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, RedisUser, Reply, require};

#[tokio::test]
async fn what_is_published_arrives_in_order() {
    if !require(Need::Redis) {
        return;
    }
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let mut heard = redis.subscribe("a/*").await.unwrap();
    for number in 0..100 {
        let sent = redis.command(&["PUBLISH", "a/b", &number.to_string()]).await.unwrap();
        assert_eq!(sent, Reply::Number(1));
    }
    for number in 0..100 {
        assert_eq!(heard.next().await.unwrap(), ("a/b".to_owned(), number.to_string()));
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_on_the_same_port() {
    if !require(Need::Redis) {
        return;
    }
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let address = redis.address();
    redis.command(&["HSET", "names", "field", "value"]).await.unwrap();
    redis.kill();
    assert!(redis.command(&["PING"]).await.is_err());
    redis.restart().await.unwrap();
    assert_eq!(redis.address(), address);
    assert_eq!(redis.command(&["HGET", "names", "field"]).await.unwrap(), Reply::Nothing);
}

#[tokio::test]
async fn a_paused_server_answers_nobody() {
    if !require(Need::Redis) {
        return;
    }
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    redis.pause();
    let asked = tokio::time::timeout(Duration::from_millis(200), redis.command(&["PING"])).await;
    assert!(asked.is_err());
    redis.resume();
    assert_eq!(redis.command(&["PING"]).await.unwrap().text(), Some("PONG"));
}

#[tokio::test]
async fn users_passwords_and_tls_can_be_had() {
    if !require(Need::Redis) {
        return;
    }
    let options = RedisOptions {
        tls: true,
        password: Some("secret".to_owned()),
        users: vec![RedisUser {
            name: "edge".to_owned(),
            password: "edge-secret".to_owned(),
            rights: "&galileo/* +publish".to_owned(),
        }],
        ..RedisOptions::default()
    };
    let redis = RedisServer::start(options).await.unwrap();
    let users = redis.command(&["ACL", "USERS"]).await.unwrap();
    assert_eq!(users.texts(), ["default", "edge", "testkit"]);

    let cli = std::process::Command::new("openssl")
        .args(["s_client", "-verify_return_error", "-verify_hostname", "localhost", "-CAfile"])
        .arg(redis.certificate_authority().unwrap())
        .args(["-connect", &format!("localhost:{}", redis.tls_port().unwrap())])
        .stdin(std::process::Stdio::null())
        .output();
    // Where there is no openssl, the sinks' own tests are the proof.
    if let Ok(output) = cli {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_why() {
    if !require(Need::Redis) {
        return;
    }
    let options = RedisOptions { configuration: vec!["maxmemory plenty".to_owned()], ..RedisOptions::default() };
    let error = RedisServer::start(options).await.unwrap_err().to_string();
    assert!(error.contains("maxmemory plenty"), "{error}");
}
