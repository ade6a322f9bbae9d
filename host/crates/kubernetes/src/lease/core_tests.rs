//! The rules one by one.

use serde_json::{Value, json};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn terms() -> Terms {
    Terms { duration: 15 * SECOND, renew_deadline: 10 * SECOND, retry_period: 2 * SECOND }
}

fn core(identity: &str, now: Instant) -> Core {
    Core::new(terms(), identity.to_owned(), 7, now)
}

fn record(holder: Option<&str>, version: u64) -> Record {
    let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "1970-01-01T00:00:00.000000Z"});
    read(&json!({"metadata": {"resourceVersion": version.to_string()}, "spec": spec}))
}

pub(super) fn read(object: &Value) -> Record {
    Record::read(object.to_string().as_bytes()).unwrap()
}

/// A candidate that holds the lease in version 1 since `now`.
fn holder(now: Instant) -> Core {
    let mut core = core("a", now);
    core.take(Answer::Missing, now, now);
    assert_eq!(core.act(now), Action::Create);
    core.take(Answer::Written(record(Some("a"), 1)), now, now);
    assert!(core.term().is_some());
    core
}

#[tokio::test]
async fn whoever_finds_nothing_creates_it_and_holds_it() {
    let now = Instant::now();
    let mut core = core("a", now);
    assert_eq!(core.act(now), Action::Read);
    core.take(Answer::Missing, now, now);
    assert_eq!(core.act(now), Action::Create);
    core.take(Answer::Written(record(Some("a"), 1)), now, now + SECOND);
    let term = core.term().unwrap();
    assert_eq!((term.number, term.until), (1, now + 10 * SECOND), "the deadline counts from before the request was sent");
    assert!(matches!(core.act(now + SECOND), Action::Wait(until) if until <= now + 3 * SECOND));
    assert_eq!(core.act(now + 3 * SECOND), Action::Renew);
}

#[tokio::test]
async fn a_term_that_is_not_renewed_ends_before_others_may_begin() {
    let now = Instant::now();
    let mut core = holder(now);
    for second in [3, 5, 7, 9] {
        let at = now + second * SECOND;
        assert_ne!(core.act(at), Action::Wait(at));
        core.take(Answer::Failed { wait: None }, at, at);
        assert!(core.term().is_some());
        assert!(core.deadline(at) <= now + 10 * SECOND, "no request outlasts the term");
    }
    assert!(matches!(core.act(now + 9 * SECOND), Action::Wait(until) if until <= now + 10 * SECOND));
    core.act(now + 10 * SECOND);
    assert_eq!((core.term(), core.take_loss(), core.take_loss()), (None, Some(Loss::Deadline), None));
}

#[tokio::test]
async fn a_renewal_that_is_answered_too_late_begins_another_term_or_none() {
    let now = Instant::now();
    let mut core = holder(now);
    let sent = now + 3 * SECOND;
    core.take(Answer::Written(record(Some("a"), 2)), sent, now + 11 * SECOND);
    let term = core.term().unwrap();
    assert_eq!((term.number, term.until), (2, sent + 10 * SECOND));
    core.take(Answer::Written(record(Some("a"), 3)), sent, now + 14 * SECOND);
    assert_eq!(core.term(), None, "it was over when the answer came");
}

#[tokio::test]
async fn whoever_stands_by_begins_when_the_record_was_unchanged_for_its_duration() {
    let now = Instant::now();
    let mut core = core("b", now);
    core.take(Answer::Found(record(Some("a"), 1)), now, now);
    core.take(Answer::Found(record(Some("a"), 2)), now, now + 5 * SECOND);
    for second in 6..20 {
        let at = now + second * SECOND;
        assert!(!matches!(core.act(at), Action::Take | Action::Create), "{second}");
        if core.act(at) == Action::Read {
            core.take(Answer::Found(record(Some("a"), 2)), at, at);
        }
    }
    assert_eq!(core.act(now + 20 * SECOND), Action::Take);
    core.take(Answer::Conflict, now, now + 20 * SECOND);
    assert_eq!(core.act(now + 21 * SECOND), Action::Read, "somebody was faster: look again");
}

#[tokio::test]
async fn whoever_has_not_seen_the_record_change_lets_others_go_first() {
    let now = Instant::now();
    let mut core = core("b", now);
    core.take(Answer::Found(record(Some("a"), 1)), now, now);
    assert_eq!(core.act(now + 16 * SECOND), Action::Read);
    assert_eq!(core.act(now + 17 * SECOND), Action::Take);
}

#[tokio::test]
async fn a_lease_in_nobodys_hands_is_taken_at_once() {
    let now = Instant::now();
    let mut core = core("b", now);
    core.take(Answer::Found(record(Some("a"), 1)), now, now);
    core.take(Answer::Found(record(None, 2)), now, now + SECOND);
    assert_eq!(core.act(now + SECOND), Action::Take);
}

#[tokio::test]
async fn a_lease_that_is_deleted_while_held_is_not_free() {
    let now = Instant::now();
    let mut waits = core("b", now);
    waits.take(Answer::Found(record(Some("a"), 1)), now, now);
    waits.take(Answer::Missing, now, now + SECOND);
    assert_ne!(waits.act(now + 16 * SECOND), Action::Create);
    waits.take(Answer::Missing, now, now + 16 * SECOND);
    assert_eq!(waits.act(now + 17 * SECOND), Action::Create);
    let mut holds = holder(now);
    holds.take(Answer::Missing, now, now + SECOND);
    assert_eq!(holds.act(now + SECOND), Action::Create, "its holder makes it anew");
    assert!(holds.term().is_some());
}

#[tokio::test]
async fn another_name_in_the_record_ends_the_term_at_once() {
    let now = Instant::now();
    let mut core = holder(now);
    core.take(Answer::Found(record(Some("b"), 9)), now, now + SECOND);
    assert_eq!((core.term(), core.take_loss()), (None, Some(Loss::Taken(Some("b".to_owned())))));
    assert!(matches!(core.act(now + SECOND), Action::Wait(_)));
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    let now = Instant::now();
    let mut core = holder(now);
    let at = now + 3 * SECOND;
    core.take(Answer::Failed { wait: None }, at, at);
    assert_eq!(core.act(at + 2 * SECOND), Action::Read);
    core.take(Answer::Found(record(Some("a"), 2)), at, at + 2 * SECOND);
    assert_eq!(core.term().unwrap().until, now + 10 * SECOND, "to read is not to renew");
    assert_eq!(core.act(at + 2 * SECOND), Action::Renew);
}

#[tokio::test]
async fn an_answer_that_names_somebody_else_is_no_success() {
    let now = Instant::now();
    let mut core = core("a", now);
    core.take(Answer::Missing, now, now);
    core.take(Answer::Written(record(Some("proxy"), 1)), now, now);
    assert_eq!(core.term(), None);
    assert!(matches!(core.act(now), Action::Wait(_)));
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_obeyed_up_to_the_duration() {
    let now = Instant::now();
    let mut core = core("a", now);
    core.take(Answer::Failed { wait: Some(5 * SECOND) }, now, now);
    assert_eq!(core.act(now), Action::Wait(now + 5 * SECOND));
    core.take(Answer::Failed { wait: Some(Duration::MAX) }, now, now);
    assert_eq!(core.act(now), Action::Wait(now + 15 * SECOND));
}
