//! Random schedules of candidates with slow, lost and refused requests on a simulated server: never two at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde_json::Value;

use super::tests::{read, terms};
use super::*;
use crate::lease::record;

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
