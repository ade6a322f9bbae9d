//! Replicas that work while they hold a lease, and a record of when each did.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluicebox_contract::quantity::TimeSpan;
use sluicebox_sources::kubernetes::lease::{Config, Election, Leadership};
use sluicebox_sources::kubernetes::{self, Api};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

pub(crate) const DURATION: Duration = Duration::from_secs(4);
pub(crate) const RENEW_DEADLINE: Duration = Duration::from_millis(2400);
pub(crate) const RETRY_PERIOD: Duration = Duration::from_millis(600);
/// What a busy machine adds.
pub(crate) const SLACK: Duration = Duration::from_millis(1400);

/// Short times, in this namespace.
pub(crate) fn config(namespace: &str) -> Config {
    Config {
        name: "replicas".to_owned(),
        namespace: Some(namespace.to_owned()),
        duration: TimeSpan(DURATION),
        renew_deadline: TimeSpan(RENEW_DEADLINE),
        retry_period: TimeSpan(RETRY_PERIOD),
        ..Config::default()
    }
}

/// From when to when somebody has worked; no end while it works.
pub(crate) type Spells = Arc<Mutex<Vec<(&'static str, Instant, Option<Instant>)>>>;

/// One replica: its election, and work that it does while it holds the lease.
pub(crate) struct Replica {
    pub(crate) name: &'static str,
    pub(crate) leadership: Leadership,
    tasks: JoinSet<()>,
    election: AbortHandle,
    stop: Option<oneshot::Sender<()>>,
    spells: Spells,
}

impl Replica {
    pub(crate) async fn start(name: &'static str, api: &kubernetes::Config, config: &Config, spells: &Spells) -> Self {
        let api = Api::connect(api).await.expect("a way to the API server");
        let mut election = Election::new(api, config, name.to_owned(), Duration::ZERO).await;
        let leadership = election.leadership();
        let mut tasks = JoinSet::new();
        let (stop, stopped) = oneshot::channel();
        let (work, heard) = (leadership.clone(), Arc::clone(spells));
        let election = tasks.spawn(async move {
            tokio::select! {
                never = election.run() => match never {},
                _asked = stopped => {}
            }
            election.release().await;
        });
        tasks.spawn(async move {
            let candidacy = work.stand();
            loop {
                let term = candidacy.until_held().await;
                let index = {
                    let mut spells = lock(&heard);
                    spells.push((name, Instant::now(), None));
                    spells.len() - 1
                };
                candidacy.until_lost(term).await;
                lock(&heard)[index].2 = Some(Instant::now());
            }
        });
        Self { name, leadership, tasks, election, stop: Some(stop), spells: Arc::clone(spells) }
    }

    /// Everything ends at once, as when the process is killed; what it worked on ends, too.
    pub(crate) fn kill(&mut self) {
        self.tasks.abort_all();
        let now = Instant::now();
        for spell in lock(&self.spells).iter_mut().filter(|spell| spell.0 == self.name) {
            spell.2 = spell.2.or(Some(now));
        }
    }

    /// The election stands still, and the work does not know.
    pub(crate) fn stall(&self) {
        self.election.abort();
    }

    /// Ends as asked: the lease is given back.
    pub(crate) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("the election runs");
        }
        self.tasks.join_next().await;
        self.kill();
    }

    pub(crate) async fn until_held(&self) -> Instant {
        let begin = Instant::now();
        while self.leadership.term().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{} does not hold it: {:?}", self.name, self.leadership.show());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Instant::now()
    }

    pub(crate) async fn until_lost(&self) -> Instant {
        if let Some(term) = self.leadership.term() {
            self.leadership.until_lost(term).await;
        }
        Instant::now()
    }

    /// Nothing changes hands for a while.
    pub(crate) async fn stands_by_for(&self, time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            assert_eq!(self.leadership.term(), None, "{} holds it after {:?}", self.name, begin.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn lock(spells: &Spells) -> std::sync::MutexGuard<'_, Vec<(&'static str, Instant, Option<Instant>)>> {
    spells.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Never two have worked at once.
pub(crate) fn never_two(spells: &Spells) {
    let spells = lock(spells);
    for (index, one) in spells.iter().enumerate() {
        for other in spells.iter().skip(index + 1).filter(|other| other.0 != one.0) {
            let apart = one.2.is_some_and(|end| end <= other.1) || other.2.is_some_and(|end| end <= one.1);
            assert!(apart, "two at work: {one:?} and {other:?}");
        }
    }
}

/// Two replicas that begin at the same moment; the one that works is the first of the answer.
pub(crate) async fn two(api: &kubernetes::Config, config: &Config, spells: &Spells) -> (Replica, Replica) {
    let (a, b) = tokio::join!(Replica::start("a", api, config, spells), Replica::start("b", api, config, spells));
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody holds it");
        match (a.leadership.term(), b.leadership.term()) {
            (Some(_), None) => return (a, b),
            (None, Some(_)) => return (b, a),
            (None, None) => tokio::time::sleep(Duration::from_millis(5)).await,
            both => panic!("both hold it: {both:?}"),
        }
    }
}

/// The stories that hold on any API server.
pub(crate) mod stories {
    use super::*;

    pub(crate) async fn of_two_that_begin_at_once_one_works(api: &kubernetes::Config, config: &Config) {
        let spells = Spells::default();
        let (first, second) = two(api, config, &spells).await;
        second.stands_by_for(2 * DURATION).await;
        assert_eq!(first.leadership.term(), Some(1), "it is renewed");
        let shown = second.leadership.show();
        assert_eq!((shown.held, shown.holder.as_deref()), (false, Some(first.name)));
        never_two(&spells);
    }

    pub(crate) async fn what_is_given_back_is_taken_at_once(api: &kubernetes::Config, config: &Config) {
        let spells = Spells::default();
        let (mut first, second) = two(api, config, &spells).await;
        first.stop().await;
        let given_back = Instant::now();
        let pause = second.until_held().await - given_back;
        assert!(pause <= RETRY_PERIOD + SLACK, "{pause:?}");
        never_two(&spells);
    }

    pub(crate) async fn another_works_when_the_holder_was_killed(api: &kubernetes::Config, config: &Config) {
        let spells = Spells::default();
        let (mut first, second) = two(api, config, &spells).await;
        tokio::time::sleep(RETRY_PERIOD).await;
        first.kill();
        let killed = Instant::now();
        let pause = second.until_held().await - killed;
        println!("killed, and {pause:?} later another one works");
        assert!(pause <= DURATION + RETRY_PERIOD + SLACK, "{pause:?}");
        assert!(pause + RETRY_PERIOD + SLACK >= DURATION, "before the lease was over: {pause:?}");
        never_two(&spells);
    }

    pub(crate) async fn work_ends_in_time_though_the_election_is_stuck(api: &kubernetes::Config, config: &Config) {
        let spells = Spells::default();
        let (first, second) = two(api, config, &spells).await;
        first.stall();
        let stalled = Instant::now();
        let lost = first.until_lost().await - stalled;
        assert!(lost <= RENEW_DEADLINE + SLACK / 4, "{lost:?}");
        second.until_held().await;
        never_two(&spells);
    }
}
