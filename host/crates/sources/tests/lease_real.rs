//! Elections on a real API server: handed over, killed, cut off, frozen, deleted, with clocks that are an hour off, and without rights.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod elections;

use std::net::SocketAddr;
use std::time::Duration;

use cluster::log::Log;
use cluster::{Gate, unique};
use elections::{DURATION, RENEW_DEADLINE, RETRY_PERIOD, Replica, SLACK, Spells, config, never_two, stories, two};
use http::Method;
use serde_json::{Value, json};
use sluicebox_sources::kubernetes::lease::Config;
use sluicebox_sources::kubernetes::{self, TokenRetrieval};
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

/// One for all tests of this program: it takes seconds to start. Its process ends with ours.
static REAL: OnceCell<KubeApiServer> = OnceCell::const_new();

async fn real() -> Option<(&'static KubeApiServer, Config)> {
    if !require(Need::KubeApiServer) {
        return None;
    }
    let server = REAL.get_or_init(|| async { KubeApiServer::start().await.expect("it starts") }).await;
    let namespace = unique("lease");
    server.create_namespace(&namespace).await.expect("a namespace");
    Some((server, config(&namespace)))
}

fn address(server: &KubeApiServer) -> SocketAddr {
    server.url().trim_start_matches("https://").parse().expect("an address")
}

/// The way to the server by this address.
fn by(server: &KubeApiServer, address: SocketAddr, token: &str) -> kubernetes::Config {
    let file = tempfile::tempdir().expect("a folder").keep().join("token");
    std::fs::write(&file, token).expect("the token");
    kubernetes::Config {
        url: Some(format!("https://{address}")),
        ca_file: Some(server.certificate_authority()),
        token_retrieval: TokenRetrieval::File(file),
        ..kubernetes::Config::default()
    }
}

fn straight(server: &KubeApiServer) -> kubernetes::Config {
    by(server, address(server), server.admin_token())
}

fn collection(config: &Config) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", config.namespace.as_deref().expect("a namespace"))
}

fn path(config: &Config) -> String {
    format!("{}/{}", collection(config), config.name)
}

async fn lease(server: &KubeApiServer, config: &Config) -> Value {
    server.request(Method::GET, &path(config), None).await.expect("a lease")
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_works() {
    let Some((server, config)) = real().await else { return };
    stories::of_two_that_begin_at_once_one_works(&straight(server), &config).await;
    let spec = lease(server, &config).await["spec"].clone();
    assert_eq!((&spec["leaseDurationSeconds"], &spec["leaseTransitions"]), (&json!(DURATION.as_secs()), &json!(0)), "{spec}");
}

#[tokio::test]
async fn what_is_given_back_is_taken_at_once() {
    let Some((server, config)) = real().await else { return };
    stories::what_is_given_back_is_taken_at_once(&straight(server), &config).await;
}

#[tokio::test]
async fn another_works_when_the_holder_was_killed() {
    let Some((server, config)) = real().await else { return };
    stories::another_works_when_the_holder_was_killed(&straight(server), &config).await;
}

#[tokio::test]
async fn work_ends_in_time_though_the_election_is_stuck() {
    let Some((server, config)) = real().await else { return };
    stories::work_ends_in_time_though_the_election_is_stuck(&straight(server), &config).await;
}

#[tokio::test]
async fn a_holder_that_is_cut_off_stops_before_another_begins() {
    let Some((server, config)) = real().await else { return };
    let spells = Spells::default();
    let gate = Gate::to(address(server)).await;
    let cut_off = Replica::start("cut-off", &by(server, gate.address(), server.admin_token()), &config, &spells).await;
    cut_off.until_held().await;
    let other = Replica::start("other", &straight(server), &config, &spells).await;
    sleep(RETRY_PERIOD).await;
    gate.close();
    let cut = Instant::now();
    let (lost, held) = tokio::join!(cut_off.until_lost(), other.until_held());
    println!("cut off: stops after {:?}, another works after {:?}", lost - cut, held - cut);
    assert!(lost - cut <= RENEW_DEADLINE + SLACK / 4 && held - cut <= DURATION + RETRY_PERIOD + SLACK);
    gate.open();
    cut_off.stands_by_for(DURATION).await;
    assert!(other.leadership.term().is_some());
    never_two(&spells);
}

#[tokio::test]
async fn a_frozen_api_server_leaves_nobody_at_work_and_then_one() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let server = KubeApiServer::start().await.expect("it starts");
    let (api, spells, config) = (straight(&server), Spells::default(), config("default"));
    let (first, second) = two(&api, &config, &spells).await;
    server.pause();
    let paused = Instant::now();
    let lost = first.until_lost().await - paused;
    assert!(lost <= RENEW_DEADLINE + SLACK / 4, "{lost:?}");
    second.stands_by_for(2 * DURATION).await;
    server.resume();
    let begin = Instant::now();
    while first.leadership.term().is_none() && second.leadership.term().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody works: {:?}", server.last_words());
        sleep(Duration::from_millis(5)).await;
    }
    println!("frozen for {:?}; goes on {:?} after it was thawed", begin - paused, begin.elapsed());
    sleep(DURATION).await;
    never_two(&spells);
}

#[tokio::test]
async fn a_lease_that_is_deleted_while_held_is_made_anew_by_its_holder() {
    let Some((server, config)) = real().await else { return };
    let spells = Spells::default();
    let (first, second) = two(&straight(server), &config, &spells).await;
    for _ in 0..3 {
        second.stands_by_for(2 * RETRY_PERIOD).await;
        server.request(Method::DELETE, &path(&config), None).await.expect("it is deleted");
        second.stands_by_for(DURATION).await;
        let holder = lease(server, &config).await["spec"]["holderIdentity"].clone();
        assert_eq!((first.leadership.term(), holder), (Some(1), json!(first.name)));
    }
    never_two(&spells);
}

/// The clock of whoever holds the lease is an hour ahead, or behind.
#[tokio::test]
async fn the_time_of_day_of_another_replica_changes_nothing() {
    for renewed in ["2038-01-19T03:14:07.000000Z", "1999-12-31T23:59:59.000000Z"] {
        let Some((server, config)) = real().await else { return };
        let record = |count: u32| {
            let times = json!({"holderIdentity": "x", "leaseDurationSeconds": DURATION.as_secs(), "renewTime": renewed, "acquireTime": renewed,
                "leaseTransitions": count});
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": config.name}, "spec": times})
        };
        server.request(Method::POST, &collection(&config), Some(&record(0))).await.expect("it is created");
        let replica = Replica::start("a", &straight(server), &config, &Spells::default()).await;
        for count in 1..12 {
            replica.stands_by_for(Duration::from_millis(400)).await;
            server.request(Method::PATCH, &path(&config), Some(&record(count))).await.expect("it is renewed");
        }
        let last = Instant::now();
        let pause = replica.until_held().await - last;
        assert!(pause <= DURATION + RETRY_PERIOD + SLACK && pause + SLACK / 4 >= DURATION, "{renewed}: {pause:?}");
    }
}

#[tokio::test]
async fn what_others_have_put_there_stays() {
    let Some((server, config)) = real().await else { return };
    let labelled = json!({"metadata": {"name": config.name, "labels": {"team": "edge"}, "annotations": {"a": "b"}}});
    server.request(Method::POST, &collection(&config), Some(&labelled)).await.expect("it is created");
    let replica = Replica::start("a", &straight(server), &config, &Spells::default()).await;
    replica.until_held().await;
    sleep(3 * RETRY_PERIOD).await;
    let metadata = lease(server, &config).await["metadata"].clone();
    assert_eq!((&metadata["labels"], &metadata["annotations"]), (&json!({"team": "edge"}), &json!({"a": "b"})));
}

#[tokio::test]
async fn the_rights_that_are_named_are_enough_and_without_them_they_are_named() {
    let Some((server, config)) = real().await else { return };
    let namespace = config.namespace.as_deref().expect("a namespace");
    server.create_service_account(namespace, "edge").await.expect("an account");
    let token = server.mint_token(namespace, "edge").await.expect("a token");
    Log.catch();
    let replica = Replica::start("a", &by(server, address(server), &token), &config, &Spells::default()).await;
    let line = Log.until("trying again").await;
    assert!(line.contains("403") && line.contains("`get` is missing") && line.contains("coordination.k8s.io"), "{line}");
    let version = "rbac.authorization.k8s.io/v1";
    let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]);
    let role = json!({"apiVersion": version, "kind": "Role", "metadata": {"name": "lease"}, "rules": rules});
    let binding = json!({
        "apiVersion": version, "kind": "RoleBinding", "metadata": {"name": "lease"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lease"},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": "edge"}],
    });
    for (resource, object) in [("roles", role), ("rolebindings", binding)] {
        let path = format!("/apis/{version}/namespaces/{namespace}/{resource}");
        server.request(Method::POST, &path, Some(&object)).await.expect("it is created");
    }
    let mut replica = replica;
    replica.until_held().await;
    sleep(3 * RETRY_PERIOD).await;
    assert_eq!(replica.leadership.term(), Some(1), "it is renewed");
    replica.stop().await;
    assert_eq!(lease(server, &config).await["spec"].get("holderIdentity"), None, "it is given back");
}
