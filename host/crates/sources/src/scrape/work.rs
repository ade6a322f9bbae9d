//! What is done when: targets are read at their turns, side by side, and what their pages tell is told.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Notice, SubjectIds, UnixNanos};
use tokio::time::Instant;

use super::config::{self, Config, Counters};
use super::fetch::{Answer, Fetch};
use super::filter::Filter;
use super::growth::Growth;
use super::outage::Outage;
use super::shape::{Moment, Shape};
use super::tell::Teller;
use crate::end::End;
use crate::http::{Client, Trouble, check_url};
use crate::series::{Bounds, Registry};
use crate::turns::{Turns, at, multiple};

/// A series that was not told of for so long is forgotten, if that is not within three periods.
const SHORTEST_MEMORY: Duration = Duration::from_mins(2);

/// The source at work.
pub(super) struct Work {
    targets: Vec<Target>,
    /// Those whose turn has come, and that wait for others to be done.
    waiting: VecDeque<(usize, UnixNanos)>,
    asked: FuturesUnordered<BoxFuture<'static, Cycle>>,
    /// Those that have come while another was told.
    come: VecDeque<Cycle>,
    parallel: usize,
    teller: Teller,
    is_listed: bool,
    meter: Arc<SourceMeter>,
}

/// A target, and what is known of it.
pub(super) struct Target {
    pub(super) name: String,
    fetch: Arc<Fetch>,
    pub(super) shape: Shape,
    period: Duration,
    turns: Turns,
    pub(super) growth: Growth,
    pub(super) outage: Outage,
    /// It waits, or is being read, or told.
    is_busy: bool,
    is_listed: bool,
}

/// A page of a target, or why there is none.
pub(super) struct Cycle {
    pub(super) target: usize,
    /// When it was due.
    pub(super) observed_at: UnixNanos,
    pub(super) moment: Moment,
    pub(super) answer: Result<Answer, Trouble>,
}

impl Target {
    fn new(name: &str, config: &config::Target, of: &Config) -> Result<Self, Fault> {
        let url = check_url("url", &config.url).map_err(|problem| Fault::fatal(problem.cause, "it cannot be asked"))?;
        let are_rates = config.counters == Counters::Rate;
        Ok(Self {
            name: name.to_owned(),
            shape: Shape::new(config.own_labels(name, &url), config.honor_labels, config.honor_timestamps, are_rates),
            fetch: Arc::new(Fetch {
                client: Client::new(&config.http, &url),
                url,
                timeout: config.patience(),
                filter: Arc::new(Filter::new(&config.metrics)),
                most_bytes: usize::try_from(of.max_answer_bytes.0).unwrap_or(usize::MAX),
                most_series: of.max_series,
            }),
            period: config.period.0,
            turns: Turns::new(config.period.0, Instant::now(), UnixNanos::now()),
            growth: Growth::default(),
            outage: Outage::default(),
            is_busy: false,
            is_listed: false,
        })
    }
}

impl Work {
    pub(super) fn new(config: &Config, ids: Arc<SubjectIds>, meter: Arc<SourceMeter>) -> Result<Self, Fault> {
        let targets = config.targets.iter().map(|(name, target)| Target::new(name, target, config)).collect::<Result<_, _>>()?;
        let longest = config.targets.values().map(|target| target.period.0).max().unwrap_or_default();
        let bytes = usize::try_from(config.max_series_bytes.0).unwrap_or(usize::MAX);
        let unseen = SHORTEST_MEMORY.max(longest * 3);
        let bounds = Bounds { series: config.max_series, bytes, unseen, shares: config.targets.len() };
        Ok(Self {
            targets,
            waiting: VecDeque::new(),
            asked: FuturesUnordered::new(),
            come: VecDeque::new(),
            parallel: config.parallel.max(1),
            teller: Teller::new(Registry::new(bounds, ids), Arc::clone(&meter)),
            is_listed: false,
            meter,
        })
    }

    /// Goes on until nobody listens any more.
    pub(super) async fn run(mut self, mut feed: impl Feed) -> Result<(), Fault> {
        for target in &mut self.targets {
            target.turns.restart(Instant::now(), UnixNanos::now());
            self.teller.expect(target);
        }
        loop {
            let cycle = self.next().await;
            if let Some(cycle) = cycle
                && let Err(end) = self.round(cycle, &mut feed).await
            {
                return end.result();
            }
            self.take_turns();
            self.ask();
        }
    }

    /// A cycle to be told; none when the turn of a target has come.
    async fn next(&mut self) -> Option<Cycle> {
        if let Some(cycle) = self.come.pop_front() {
            return Some(cycle);
        }
        let due = self.targets.iter().map(|target| target.turns.due()).min();
        tokio::select! {
            biased;
            Some(cycle) = self.asked.next() => Some(cycle),
            () = at(due) => None,
        }
    }

    /// Whose turn has come waits to be read, unless it still is.
    fn take_turns(&mut self) {
        let (now, wall) = (Instant::now(), UnixNanos::now());
        for (index, target) in self.targets.iter_mut().enumerate() {
            if target.turns.due() > now {
                continue;
            }
            let missed = target.turns.take(now, wall);
            self.meter.late_ticks.add(missed);
            if std::mem::replace(&mut target.is_busy, true) {
                self.meter.late_ticks.increment();
                continue;
            }
            self.waiting.push_back((index, multiple(target.period, wall)));
        }
    }

    fn ask(&mut self) {
        while self.asked.len() + self.come.len() < self.parallel
            && let Some((index, observed_at)) = self.waiting.pop_front()
        {
            let Some(target) = self.targets.get(index) else { continue };
            let fetch = Arc::clone(&target.fetch);
            self.asked.push(Box::pin(async move {
                let (moment, answer) = fetch.fetch().await;
                Cycle { target: index, observed_at, moment, answer }
            }));
        }
    }

    async fn round(&mut self, cycle: Cycle, feed: &mut impl Feed) -> Result<(), End> {
        self.tell(cycle, feed).await?;
        self.settle(feed).await
    }

    /// Tells what a target's page tells. Others are read meanwhile.
    async fn tell(&mut self, cycle: Cycle, feed: &mut impl Feed) -> Result<(), End> {
        let Self { targets, teller, asked, come, .. } = self;
        let Some(target) = targets.get_mut(cycle.target) else { return Ok(()) };
        target.is_busy = false;
        target.is_listed |= cycle.answer.is_ok();
        let mut telling = pin!(teller.tell(target, cycle, feed));
        loop {
            tokio::select! {
                biased;
                told = &mut telling => return told,
                Some(cycle) = asked.next() => come.push_back(cycle),
            }
        }
    }

    /// What is to be said of the source after a cycle.
    async fn settle(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        let is_connected = self.targets.iter().all(|target| !target.outage.is_on());
        self.meter.connected.set(i64::from(is_connected));
        // A target that is away keeps nobody from being ready.
        self.meter.listed.set(1);
        if !self.is_listed && self.targets.iter().all(|target| target.is_listed) {
            self.is_listed = true;
            feed.send(Notice::Listed).await?;
        }
        Ok(())
    }
}
