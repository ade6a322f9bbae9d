//! Elections on the test kit's API server, with everything that can go wrong with a request and a Lease.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod elections;

use std::time::Duration;

use cluster::log::Log;
use elections::{DURATION, RENEW_DEADLINE, RETRY_PERIOD, Replica, SLACK, Spells, config, never_two, stories, two};
use serde_json::{Value, json};
use sluicebox_sources::kubernetes;
use sluicebox_testkit::api_server::{ApiServer, Kind, RequestFault, RequestFaultKind};
use tokio::time::{Instant, sleep, timeout};

async fn server() -> (ApiServer, kubernetes::Config) {
    let server = ApiServer::start().await.expect("it starts");
    let config = kubernetes::Config { url: Some(server.url()), ..kubernetes::Config::default() };
    (server, config)
}

fn fail(server: &ApiServer, method: &'static str, times: u32, kind: RequestFaultKind) {
    server.fail_at(method, "/leases", RequestFault { watches: None, times, kind });
}

fn lease(server: &ApiServer) -> Value {
    server.get(Kind::Leases, "n", "replicas").expect("a lease")
}

/// A record in somebody else's hand.
fn foreign(server: &ApiServer, spec: &Value) {
    let object = json!({"metadata": {"name": "replicas", "namespace": "n"}, "spec": spec});
    match server.create(Kind::Leases, object.clone()) {
        Ok(_) => {}
        Err(_) => drop(server.update(Kind::Leases, object).expect("it is written")),
    }
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_works() {
    let (_server, api) = server().await;
    stories::of_two_that_begin_at_once_one_works(&api, &config("n")).await;
}

#[tokio::test]
async fn what_is_given_back_is_taken_at_once() {
    let (server, api) = server().await;
    stories::what_is_given_back_is_taken_at_once(&api, &config("n")).await;
    assert_eq!(lease(&server)["spec"]["leaseTransitions"], 1);
}

#[tokio::test]
async fn another_works_when_the_holder_was_killed() {
    let (_server, api) = server().await;
    stories::another_works_when_the_holder_was_killed(&api, &config("n")).await;
}

#[tokio::test]
async fn work_ends_in_time_though_the_election_is_stuck() {
    let (_server, api) = server().await;
    stories::work_ends_in_time_though_the_election_is_stuck(&api, &config("n")).await;
}

#[tokio::test]
async fn nobody_asks_for_a_lease_that_nobody_wants_and_what_is_not_wanted_any_more_is_given_back() {
    let (server, api) = server().await;
    let connected = kubernetes::Api::connect(&api).await.expect("a way");
    let mut election = kubernetes::lease::Election::new(connected, &config("n"), "a".to_owned(), Duration::ZERO).await;
    let leadership = election.leadership();
    let story = async {
        sleep(3 * RETRY_PERIOD).await;
        assert_eq!((server.requests().len(), leadership.prolong().is_some()), (0, false));
        let candidacy = leadership.stand();
        // Who does not hold it has nothing to hold on to.
        assert!(leadership.prolong().is_none());
        candidacy.until_held().await;
        let second = leadership.stand();
        drop(candidacy);
        sleep(RETRY_PERIOD).await;
        assert!(leadership.term().is_some());
        drop(second);
        sleep(RETRY_PERIOD).await;
        assert_eq!((leadership.term(), lease(&server)["spec"].get("holderIdentity")), (None, None));
        server.forget_requests();
        sleep(3 * RETRY_PERIOD).await;
        assert_eq!(server.requests(), []);
        let again = leadership.stand();
        assert_eq!(again.until_held().await, 2);
    };
    tokio::select! {
        never = election.run() => match never {},
        () = story => {}
    }
}

#[tokio::test]
async fn whoever_stops_holds_on_to_its_term_and_takes_no_other() {
    let (server, api) = server().await;
    let connected = kubernetes::Api::connect(&api).await.expect("a way");
    let mut election = kubernetes::lease::Election::new(connected, &config("n"), "a".to_owned(), Duration::ZERO).await;
    let leadership = election.leadership();
    let story = async {
        let candidacy = leadership.stand();
        candidacy.until_held().await;
        let prolonged = leadership.prolong();
        drop(candidacy);
        sleep(2 * RENEW_DEADLINE).await;
        assert!(leadership.term().is_some() && prolonged.is_some(), "it is renewed for whoever holds on");
        // The term is lost while it still writes: that one ends, and no other begins.
        foreign(&server, &json!({"holderIdentity": "z", "leaseDurationSeconds": 1}));
        let lost = timeout(RENEW_DEADLINE, leadership.until_lost(1)).await;
        assert!(lost.is_ok(), "{:?}", leadership.show());
        server.forget_requests();
        sleep(3 * DURATION).await;
        assert_eq!((leadership.term(), server.requests()), (None, vec![]));
    };
    tokio::select! {
        never = election.run() => match never {},
        () = story => {}
    }
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_before_the_others_begin() {
    // Whether it counts as a failure: to be told that somebody was faster is an answer.
    let kinds = [
        (RequestFaultKind::Hang, true),
        (RequestFaultKind::Status(500, None), true),
        (RequestFaultKind::Status(429, Some(Duration::from_hours(1))), true),
        (RequestFaultKind::Status(409, None), false),
        (RequestFaultKind::Status(403, None), true),
        (RequestFaultKind::Body("<html>a proxy's idea of an answer</html>".to_owned()), true),
        (RequestFaultKind::Body(json!({"metadata": {"resourceVersion": "1"}}).to_string()), false),
        (RequestFaultKind::Body("x".repeat(1 << 20)), true),
    ];
    for (kind, counts) in kinds {
        let (server, api) = server().await;
        let spells = Spells::default();
        let holder = Replica::start("holder", &api, &config("n"), &spells).await;
        holder.until_held().await;
        fail(&server, "PUT", u32::MAX, kind.clone());
        let broken = Instant::now();
        let lost = holder.until_lost().await - broken;
        assert!(lost <= RENEW_DEADLINE + SLACK / 4, "{kind:?}: {lost:?}");
        // It may have the lease again as soon as it can renew it.
        server.heal();
        holder.until_held().await;
        never_two(&spells);
        assert!(holder.leadership.meter().terms.get() == 2, "{kind:?}");
        assert_eq!(holder.leadership.meter().renewal_failures.get() > 0, counts, "{kind:?}");
    }
}

#[tokio::test]
async fn a_holder_whose_requests_are_lost_is_followed_by_another_and_never_accompanied() {
    let (server, api) = server().await;
    let spells = Spells::default();
    let (first, second) = two(&api, &config("n"), &spells).await;
    // Both are cut off; then one of them gets through again.
    fail(&server, "", 12, RequestFaultKind::Hang);
    first.until_lost().await;
    let begin = Instant::now();
    while first.leadership.term().is_none() && second.leadership.term().is_none() {
        assert!(begin.elapsed() < 4 * DURATION + SLACK);
        sleep(Duration::from_millis(5)).await;
    }
    sleep(DURATION).await;
    never_two(&spells);
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_write_costs_nothing() {
    let (server, api) = server().await;
    let spells = Spells::default();
    fail(&server, "POST", 1, RequestFaultKind::Unanswered);
    let holder = Replica::start("holder", &api, &config("n"), &spells).await;
    holder.until_held().await;
    for _ in 0..3 {
        fail(&server, "PUT", 1, RequestFaultKind::Unanswered);
        sleep(2 * RETRY_PERIOD + RENEW_DEADLINE / 2).await;
    }
    sleep(RENEW_DEADLINE).await;
    assert_eq!((holder.leadership.term(), lease(&server)["spec"]["leaseTransitions"].clone()), (Some(1), json!(0)));
}

#[tokio::test]
async fn slow_answers_are_waited_for() {
    let (server, api) = server().await;
    let spells = Spells::default();
    fail(&server, "", u32::MAX, RequestFaultKind::Late(Duration::from_millis(250)));
    let (first, second) = two(&api, &config("n"), &spells).await;
    second.stands_by_for(2 * DURATION).await;
    assert_eq!(first.leadership.term(), Some(1));
}

#[tokio::test]
async fn a_missing_right_is_named_once() {
    let (server, api) = server().await;
    Log.catch();
    fail(&server, "", 5, RequestFaultKind::Status(403, None));
    let replica = Replica::start("holder", &api, &config("n"), &Spells::default()).await;
    let line = Log.until("trying again").await;
    for words in [
        "cannot get the lease `replicas` in the namespace `n`",
        "the API answers 403",
        "`get`, `create` and `update`",
        "`leases`",
    ] {
        assert!(line.contains(words), "{words} is not in {line}");
    }
    replica.until_held().await;
    Log.until("lease held").await;
    let lines = Log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("403")).count(), 1, "{lines:#?}");
}

#[tokio::test]
async fn what_fails_after_somebody_else_has_worked_is_news_and_so_is_another_right() {
    let (server, api) = server().await;
    Log.catch();
    let count = |text: &str| Log.lines().iter().filter(|line| line.contains(text) && line.contains("trying again")).count();
    // Nobody renews it, and this one may not take it; then somebody does, for long.
    foreign(&server, &json!({"holderIdentity": "z", "leaseDurationSeconds": 1}));
    fail(&server, "PUT", 2, RequestFaultKind::Status(403, None));
    let replica = Replica::start("a", &api, &config("n"), &Spells::default()).await;
    Log.until("cannot update").await;
    let others = async {
        loop {
            foreign(&server, &json!({"holderIdentity": "y", "leaseDurationSeconds": DURATION.as_secs()}));
            sleep(RETRY_PERIOD).await;
        }
    };
    drop(timeout(2 * DURATION, others).await);
    assert_eq!((replica.leadership.term(), count("cannot update"), count("cannot get")), (None, 1, 0));
    fail(&server, "PUT", 2, RequestFaultKind::Status(403, None));
    fail(&server, "GET", 2, RequestFaultKind::Status(403, None));
    Log.until("lease held").await;
    assert_eq!((count("cannot update"), count("cannot get")), (2, 1), "{:#?}", Log.lines());
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_named() {
    let (server, api) = server().await;
    Log.catch();
    fail(&server, "POST", u32::MAX, RequestFaultKind::Status(404, None));
    let _replica = Replica::start("holder", &api, &config("n"), &Spells::default()).await;
    assert!(Log.until("trying again").await.contains("is there a namespace `n`?"));
}

#[tokio::test]
async fn a_lease_that_is_deleted_while_held_is_made_anew_by_its_holder() {
    let (server, api) = server().await;
    let spells = Spells::default();
    let (first, second) = two(&api, &config("n"), &spells).await;
    for _ in 0..3 {
        second.stands_by_for(2 * RETRY_PERIOD).await;
        server.delete(Kind::Leases, "n", "replicas").expect("it is deleted");
        second.stands_by_for(DURATION).await;
        assert_eq!((first.leadership.term(), &lease(&server)["spec"]["holderIdentity"]), (Some(1), &json!(first.name)));
    }
    never_two(&spells);
}

#[tokio::test]
async fn odd_records_neither_stall_nor_hurt() {
    let odd = [
        json!(null),
        json!({}),
        json!("text"),
        json!({"holderIdentity": "x", "leaseDurationSeconds": -5}),
        json!({"holderIdentity": "x", "leaseDurationSeconds": "long", "renewTime": 7, "leaseTransitions": -3}),
        json!({"holderIdentity": "x", "leaseDurationSeconds": 1, "renewTime": "yesterday", "acquireTime": []}),
        json!({"holderIdentity": "x", "leaseTransitions": i64::MAX}),
        json!({"holderIdentity": ["x"], "leaseDurationSeconds": {}}),
    ];
    for spec in odd {
        let (server, api) = server().await;
        foreign(&server, &spec);
        let spells = Spells::default();
        let begin = Instant::now();
        let replica = Replica::start("a", &api, &config("n"), &spells).await;
        replica.until_held().await;
        assert!(begin.elapsed() <= DURATION + 2 * RETRY_PERIOD + SLACK, "{spec}: {:?}", begin.elapsed());
        assert_eq!(lease(&server)["spec"]["holderIdentity"], "a", "{spec}");
    }
}

#[tokio::test]
async fn a_holder_that_asks_for_endless_patience_is_named() {
    let (server, api) = server().await;
    Log.catch();
    foreign(&server, &json!({"holderIdentity": "x\u{1b}[31m", "leaseDurationSeconds": i64::MAX}));
    let replica = Replica::start("a", &api, &config("n"), &Spells::default()).await;
    let line = Log.until("asks for more patience").await;
    assert!(line.contains("9223372036854775807") && !line.contains('\u{1b}'), "{line}");
    replica.stands_by_for(DURATION).await;
}

/// The wall clock of whoever holds the lease is an hour ahead, or behind.
#[tokio::test]
async fn the_time_of_day_of_another_replica_changes_nothing() {
    for renewed in ["2038-01-19T03:14:07.000000Z", "1999-12-31T23:59:59.000000Z", "not a time"] {
        let (server, api) = server().await;
        let record = |count: u32| json!({"holderIdentity": "x", "leaseDurationSeconds": DURATION.as_secs(), "renewTime": renewed, "acquireTime": renewed, "leaseTransitions": count});
        foreign(&server, &record(0));
        let replica = Replica::start("a", &api, &config("n"), &Spells::default()).await;
        // It lives: the record changes, though its time does not.
        for count in 1..12 {
            replica.stands_by_for(Duration::from_millis(400)).await;
            foreign(&server, &record(count));
        }
        let last = Instant::now();
        let pause = replica.until_held().await - last;
        assert!(pause <= DURATION + RETRY_PERIOD + SLACK && pause >= DURATION, "{renewed}: {pause:?}");
    }
}

#[tokio::test]
async fn whoever_takes_the_lease_by_force_has_it() {
    let (server, api) = server().await;
    let spells = Spells::default();
    let holder = Replica::start("a", &api, &config("n"), &spells).await;
    holder.until_held().await;
    let mut object = lease(&server);
    object["spec"]["holderIdentity"] = "x".into();
    server.update(Kind::Leases, object).expect("it is written");
    let taken = Instant::now();
    let lost = holder.until_lost().await - taken;
    assert!(lost <= RETRY_PERIOD + SLACK, "{lost:?}");
    holder.stands_by_for(DURATION.saturating_sub(SLACK)).await;
}
