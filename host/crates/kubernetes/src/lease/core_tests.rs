//! The rules one by one, and random schedules of candidates with slow, lost and refused requests on a simulated server.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde_json::{Value, json};

use super::*;
use crate::lease::record;

const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms { duration: 15 * SECOND, renew_deadline: 10 * SECOND, retry_period: 2 * SECOND }
}

fn core(identity: &str, now: Instant) -> Core {
    Core::new(terms(), identity.to_owned(), 7, now)
}

fn record(holder: Option<&str>, version: u64) -> Record {
    let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "1970-01-01T00:00:00.000000Z"});
    read(&json!({"metadata": {"resourceVersion": version.to_string()}, "spec": spec}))
}

fn read(object: &Value) -> Record {
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

/// A Lease on a server, as etcd would keep it.
#[derive(Default)]
struct Server {
    version: u64,
    object: Option<Value>,
}

impl Server {
    fn serve(&mut self, request: &Request) -> Answer {
        self.version += 1;
        let written = |server: &mut Self, mut object: Value| {
            object["metadata"]["resourceVersion"] = server.version.to_string().into();
            server.object = Some(object.clone());
            Answer::Written(read(&object))
        };
        match (request, self.object.clone()) {
            (Request::Read, Some(object)) => Answer::Found(read(&object)),
            (Request::Read, None) => Answer::Missing,
            (Request::Create(object), None) => written(self, object.clone()),
            (Request::Create(_), Some(_)) | (Request::Replace(_), None) => Answer::Conflict,
            (Request::Replace(object), Some(kept)) => {
                let fits = object["metadata"]["resourceVersion"] == kept["metadata"]["resourceVersion"];
                if fits { written(self, object.clone()) } else { Answer::Conflict }
            }
        }
    }
}

enum Request {
    Read,
    Create(Value),
    Replace(Value),
}

/// What happens at a moment, in milliseconds.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Wakes(usize),
    Arrives(usize, u64),
    Answered(usize, u64),
    Dies(usize),
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Flying {
    sent: Instant,
    deadline: Instant,
    answer: Option<Answer>,
}

struct World {
    start: Instant,
    cores: Vec<Option<Core>>,
    flying: Vec<Option<Flying>>,
    numbers: Vec<u64>,
    /// Requests on their way to the server; whoever sent one may have given it up, or be dead.
    on_the_way: BTreeMap<(usize, u64), Request>,
    server: Server,
    moments: BinaryHeap<Reverse<(u64, Moment)>>,
    dice: Dice,
    /// Share of requests that are lost on the way or back, in percent.
    loss: u64,
    slowest: u64,
}

impl World {
    fn new(candidates: usize, seed: u64) -> Self {
        let start = Instant::now();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let cores =
            (0..candidates).map(|index| Some(Core::new(terms(), index.to_string(), dice.below(u64::MAX), start))).collect();
        let loss = dice.below(4) * 10;
        let slowest = [20, 500, 4000, 12_000][usize::try_from(dice.below(4)).unwrap()];
        let mut moments = BinaryHeap::new();
        for index in 0..candidates {
            moments.push(Reverse((dice.below(50), Moment::Wakes(index))));
        }
        let flying = (0..candidates).map(|_| None).collect();
        Self {
            start,
            cores,
            flying,
            numbers: vec![0; candidates],
            on_the_way: BTreeMap::new(),
            server: Server::default(),
            moments,
            dice,
            loss,
            slowest,
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn push(&mut self, at: u64, moment: Moment) {
        self.moments.push(Reverse((at, moment)));
    }

    fn wake(&mut self, index: usize, now: u64) {
        let at = self.at(now);
        let Some(core) = &mut self.cores[index] else { return };
        if self.flying[index].is_some() {
            return;
        }
        // Each replica's wall clock is an hour off, in its own direction.
        let wall = format!("{}", 3_600_000 * (i64::try_from(index).unwrap() - 1) + i64::try_from(now).unwrap());
        let request = match core.act(at) {
            Action::Wait(until) => {
                let wait = u64::try_from((until - at).as_millis()).unwrap() + 1;
                return self.push(now + wait, Moment::Wakes(index));
            }
            Action::Read => Request::Read,
            Action::Create => Request::Create(record::new("n", "l", &index.to_string(), &terms(), &wall)),
            Action::Renew => Request::Replace(core.record().unwrap().renewed(&terms(), &wall)),
            Action::Take => Request::Replace(core.record().unwrap().taken(&index.to_string(), &terms(), &wall)),
        };
        let deadline = core.deadline(at);
        self.flying[index] = Some(Flying { sent: at, deadline, answer: None });
        self.numbers[index] += 1;
        let number = self.numbers[index];
        self.on_the_way.insert((index, number), request);
        let there = self.dice.below(self.slowest);
        let lost = self.dice.below(100) < self.loss;
        if !lost {
            self.push(now + there, Moment::Arrives(index, number));
        }
        let timed_out = u64::try_from((deadline - at).as_millis()).unwrap();
        self.push(now + timed_out, Moment::Answered(index, number));
    }

    fn step(&mut self) -> Option<u64> {
        let Reverse((now, moment)) = self.moments.pop()?;
        match moment {
            Moment::Wakes(index) => self.wake(index, now),
            Moment::Arrives(index, number) => {
                // Whoever sent it may have given up: the server does its part all the same.
                let Some(request) = self.on_the_way.remove(&(index, number)) else { return Some(now) };
                let answer = self.server.serve(&request);
                let current = self.numbers[index] == number;
                if self.dice.below(100) >= self.loss
                    && let Some(flying) = self.flying[index].as_mut().filter(|_| current)
                {
                    flying.answer = Some(answer);
                    let back = self.dice.below(self.slowest);
                    self.push(now + back, Moment::Answered(index, number));
                }
            }
            Moment::Answered(index, number) => self.answered(index, number, now),
            Moment::Dies(index) => {
                self.cores[index] = None;
                self.flying[index] = None;
            }
        }
        Some(now)
    }

    fn answered(&mut self, index: usize, number: u64, now: u64) {
        if self.numbers[index] != number || self.flying[index].is_none() {
            return;
        }
        let Some(flying) = self.flying[index].take() else { return };
        let at = self.at(now);
        let failed = Answer::Failed { wait: None };
        let answer = if at < flying.deadline { flying.answer.unwrap_or(failed) } else { failed };
        if let Some(core) = &mut self.cores[index] {
            core.take(answer, flying.sent, at);
        }
        self.push(now, Moment::Wakes(index));
    }

    /// Who works: whoever has a term that is not over, whether its candidate has noticed the end or not.
    fn at_work(&self, now: u64) -> Vec<usize> {
        let at = self.at(now);
        let works = |core: &Option<Core>| core.as_ref().and_then(Core::term).is_some_and(|term| term.until > at);
        self.cores.iter().enumerate().filter(|(_, core)| works(core)).map(|(index, _)| index).collect()
    }
}

#[tokio::test]
async fn never_two_hold_it_at_once_whatever_is_slow_or_lost() {
    let (mut held, mut steps) = (0, 0);
    for seed in 0..600 {
        let mut world = World::new(2 + usize::try_from(seed % 2).unwrap(), seed);
        while let Some(now) = world.step() {
            let at_work = world.at_work(now);
            assert!(at_work.len() <= 1, "seed {seed}: {at_work:?} at {now} ms");
            held += at_work.len();
            steps += 1;
            if now > 300_000 {
                break;
            }
        }
    }
    println!("{steps} steps, in {held} of them somebody held the lease");
    assert!(held * 2 > steps, "{held} of {steps}");
}

#[tokio::test]
async fn when_the_holder_dies_another_begins_within_duration_and_retry_period() {
    for seed in 0..300 {
        let mut world = World::new(3, seed);
        (world.loss, world.slowest) = (0, 20);
        let mut died = None;
        let kill_at = 20_000 + world.dice.below(10_000);
        while let Some(now) = world.step() {
            assert!(world.at_work(now).len() <= 1, "seed {seed} at {now} ms");
            if died.is_none() && now > kill_at {
                let holder = world.at_work(now)[0];
                world.push(now, Moment::Dies(holder));
                died = Some((holder, now));
            } else if let Some((holder, at)) = died {
                let works = world.at_work(now);
                if works.first().is_some_and(|index| *index != holder) {
                    assert!(now - at <= 15_000 + 2_000 + 200, "seed {seed}: {} ms after the death", now - at);
                    break;
                }
                assert!(now - at < 20_000, "seed {seed}: nobody has taken over");
            }
        }
    }
}
