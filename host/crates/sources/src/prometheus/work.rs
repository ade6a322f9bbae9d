//! What is done when: at its turn a cycle begins, so many of its queries are under way at once, and each answer is told as it comes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Event, Fault, Feed, Notice, SeriesQuery, SeriesReport, UnixNanos};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{self, Answer, Limits};
use super::ask::{Metadata, Server};
use super::course::{Courses, Reach};
use super::cycle::{Cycle, Group, Job};
use super::outage::Outage;
use super::plan::Asked;
use crate::end::{End, out_of_ids};
use crate::http::{Client, Ready, Trouble};
use crate::series::{Found, Registry, parts};
use crate::turns::at;

/// Between two parts, so that the lanes keep up and none of them has to make room for the next.
const BREATH: Duration = Duration::from_millis(5);
/// A longer answer is read beside the executor's thread.
const LONG: usize = 64 << 10;
/// What a metric is seldom changes.
const METADATA_IS_FRESH: Duration = Duration::from_mins(10);
const METADATA_AGAIN: Duration = Duration::from_mins(1);
/// What nobody knows yet may be scraped soon.
const METADATA_SOON: Duration = Duration::from_secs(15);
/// Metadata hold no query up for longer.
const METADATA_WITHIN: Duration = Duration::from_secs(2);

/// The source at work.
pub(super) struct Work {
    pub(super) client: Arc<Client>,
    pub(super) server: Arc<Server>,
    pub(super) asked: Vec<Asked>,
    /// What is said of each query: its type and unit may come later.
    pub(super) queries: Vec<Arc<SeriesQuery>>,
    /// How each has fared.
    pub(super) courses: Courses,
    pub(super) groups: Vec<Group>,
    pub(super) waiting: VecDeque<(Job, Ready)>,
    pub(super) running: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(super) under_way: usize,
    /// Those among them that were late before.
    pub(super) late_under_way: usize,
    pub(super) parallel: usize,
    pub(super) reach: Reach,
    pub(super) limits: Limits,
    pub(super) registry: Registry,
    pub(super) metadata: HashMap<String, (Metadata, Instant)>,
    pub(super) outages: BTreeMap<usize, Outage>,
    pub(super) is_listed: bool,
    pub(super) has_warned_of_limit: bool,
    pub(super) meter: Arc<SourceMeter>,
}

/// What has ended.
pub(super) enum Done {
    /// The files of a cycle's client have been read.
    Ready(usize, Result<Ready, Trouble>),
    Answer(Job, Result<Vec<u8>, Trouble>, Option<Result<Metadata, Trouble>>),
}

impl Work {
    /// Goes on until nobody listens any more.
    pub(super) async fn run(mut self, mut feed: impl Feed) -> Result<(), Fault> {
        // A server that is away keeps nobody from being ready.
        self.meter.listed.set(1);
        loop {
            if let Err(end) = self.step(&mut feed).await {
                return end.result();
            }
        }
    }

    async fn step(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        let due = self.groups.iter().map(|group| group.turns.due()).min();
        let Self { running, .. } = self;
        tokio::select! {
            biased;
            Some(done) = running.next(), if !running.is_empty() => match done {
                Done::Ready(group, Ok(ready)) => self.enqueue(group, &ready),
                Done::Ready(group, Err(trouble)) => self.give_up(group, &trouble, feed).await?,
                Done::Answer(job, body, metadata) => {
                    self.under_way = self.under_way.saturating_sub(1);
                    self.late_under_way = self.late_under_way.saturating_sub(usize::from(job.is_late));
                    self.learn(&job, metadata);
                    self.answer(&job, body, feed).await?;
                }
            },
            () = at(due) => self.turn(),
        }
        self.start_waiting();
        Ok(())
    }

    /// Begins the cycles that are due.
    fn turn(&mut self) {
        let (now, wall) = (Instant::now(), UnixNanos::now());
        for (index, group) in self.groups.iter_mut().enumerate().filter(|(_, group)| group.turns.due() <= now) {
            let was_on = group.cycle.is_some();
            let name = group.queries.first().and_then(|query| self.queries.get(*query)).map_or("", |query| query.cycle.as_str());
            self.meter.late_ticks.add(group.begin(name, now, wall));
            let Some(cycle) = group.cycle.as_ref().filter(|_| !was_on) else { continue };
            let (client, deadline) = (Arc::clone(&self.client), cycle.deadline);
            let within = deadline.saturating_duration_since(now);
            self.running.push(Box::pin(async move {
                let ready = timeout(within, client.ready()).await.unwrap_or(Err(Trouble::Late(within)));
                Done::Ready(index, ready)
            }));
        }
    }

    fn enqueue(&mut self, group: usize, ready: &Ready) {
        let Some(Group { queries, cycle: Some(cycle), .. }) = self.groups.get(group) else { return };
        for query in queries.iter().copied() {
            let Some(asked) = self.asked.get(query) else { continue };
            let (moments, is_late) =
                self.courses.with(query, |course| (course.moments(asked, cycle.turn_millis(), self.reach), course.is_late));
            let job = Job { group, query, moments, deadline: cycle.deadline, is_late };
            self.waiting.push_back((job, ready.clone()));
        }
    }

    /// The next one that may be asked: those that were late before let the others go first, and leave a place for them.
    fn next_waiting(&mut self) -> Option<(Job, Ready)> {
        let next = self.waiting.iter().position(|(job, _)| !job.is_late).or_else(|| {
            let has_place = self.late_under_way < self.parallel.saturating_sub(1).max(1);
            (has_place && !self.waiting.is_empty()).then_some(0)
        })?;
        self.waiting.remove(next)
    }

    /// As many as may be under way.
    fn start_waiting(&mut self) {
        while self.under_way < self.parallel {
            let Some((job, ready)) = self.next_waiting() else { return };
            let Some(asked) = self.asked.get(job.query).cloned() else { continue };
            let within = asked.timeout.min(job.deadline.saturating_duration_since(Instant::now()));
            let server = Arc::clone(&self.server);
            let wants_metadata = self.wants_metadata(&asked);
            self.under_way += 1;
            self.late_under_way += usize::from(job.is_late);
            self.running.push(Box::pin(async move {
                if within.is_zero() {
                    return Done::Answer(job, Err(Trouble::NoTime), None);
                }
                let query = server.query(&ready, &asked, job.moments, within);
                let metadata = async {
                    if !wants_metadata {
                        return None;
                    }
                    Some(server.metadata(&ready, &asked.query.metric, within.min(METADATA_WITHIN)).await)
                };
                let (body, metadata) = tokio::join!(query, metadata);
                Done::Answer(job, body, metadata)
            }));
        }
    }

    fn wants_metadata(&self, asked: &Asked) -> bool {
        let is_fresh = |(_, until): &(Metadata, Instant)| Instant::now() < *until;
        asked.wants_metadata != (false, false) && !self.metadata.get(&asked.query.metric).is_some_and(is_fresh)
    }

    /// What the server says of the metric goes into what is said of the query.
    fn learn(&mut self, job: &Job, told: Option<Result<Metadata, Trouble>>) {
        let Some(asked) = self.asked.get(job.query) else { return };
        let metric = &asked.query.metric;
        match told {
            None => {}
            Some(Ok(metadata)) => {
                let fresh = if metadata.metric_type.is_empty() { METADATA_SOON } else { METADATA_IS_FRESH };
                self.metadata.insert(metric.clone(), (metadata, Instant::now() + fresh));
            }
            Some(Err(trouble)) => {
                tracing::debug!(source = "prometheus", metric, %trouble, "nothing is told of the type and unit of a metric");
                let known = self.metadata.remove(metric).map(|(known, _)| known).unwrap_or_default();
                self.metadata.insert(metric.clone(), (known, Instant::now() + METADATA_AGAIN));
            }
        }
        let (Some((metadata, _)), Some(query)) = (self.metadata.get(metric), self.queries.get_mut(job.query)) else { return };
        let (wants_type, wants_unit) = asked.wants_metadata;
        if wants_type && query.metric_type != metadata.metric_type {
            Arc::make_mut(query).metric_type.clone_from(&metadata.metric_type);
        }
        if wants_unit && query.unit != metadata.unit {
            Arc::make_mut(query).unit.clone_from(&metadata.unit);
        }
    }

    /// Nobody could be asked.
    async fn give_up(&mut self, group: usize, trouble: &Trouble, feed: &mut impl Feed) -> Result<(), End> {
        let Some(Group { queries, cycle: Some(cycle), .. }) = self.groups.get(group) else { return Ok(()) };
        let (turn, deadline) = (cycle.turn_millis(), cycle.deadline);
        for query in queries.clone() {
            let Some(asked) = self.asked.get(query) else { continue };
            let moments = self.courses.with(query, |course| course.moments(asked, turn, self.reach));
            let job = Job { group, query, moments, deadline, is_late: false };
            self.answer(&job, Err(trouble.clone()), feed).await?;
        }
        Ok(())
    }

    /// Reads an answer, tells it, and ends the cycle with its last one.
    async fn answer(&mut self, job: &Job, body: Result<Vec<u8>, Trouble>, feed: &mut impl Feed) -> Result<(), End> {
        let answer = match body {
            Ok(body) => self.read(job.query, body).await?.map_err(Trouble::Unusable),
            Err(trouble) => Err(trouble),
        };
        let (answer, trouble) = match answer {
            Ok(mut answer) => {
                // One that found nothing is asked again.
                let found_nothing = answer.found == Found::default();
                let kind = if found_nothing { Trouble::Unusable } else { Trouble::Partial };
                let error = answer.error.take().map(kind);
                (answer, error)
            }
            Err(trouble) => (Answer::default(), Some(trouble)),
        };
        self.count(&answer, trouble.is_some());
        let Some(head) = self.head(job, &answer, trouble.as_ref()) else { return Ok(()) };
        self.tell(head, answer, feed).await?;
        // Not before: whoever is stopped halfway has not told it.
        self.courses.with(job.query, |course| course.take(job.moments, trouble.as_ref()));
        self.settle(job, trouble, feed).await
    }

    /// Reads beside the executor's thread what takes long.
    async fn read(&mut self, query: usize, body: Vec<u8>) -> Result<Result<Answer, String>, End> {
        let (limits, now, is_long) = (self.limits, Instant::now(), body.len() > LONG);
        let read = move |registry: &mut Registry| {
            registry.begin(query);
            let read = |registry: &mut Registry| {
                answer::read(&body, limits, |json| registry.subject(json, now, || answer::labels(json)))
            };
            let answer = read(registry);
            if answer.as_ref().is_ok_and(|answer| answer.error.is_none()) {
                // All that is there still has been seen: what has gone makes room.
                return if registry.let_go() { read(registry) } else { answer };
            }
            registry.take_back();
            answer
        };
        if !is_long {
            return Ok(read(&mut self.registry));
        }
        let mut registry = self.registry.take();
        let done = spawn_blocking(move || {
            let answer = read(&mut registry);
            (registry, answer)
        });
        let (registry, answer) =
            done.await.map_err(|error| Fault::fatal("cannot read an answer of Prometheus", error).hint("restart sluicebox"))?;
        self.registry = registry;
        Ok(answer)
    }

    fn count(&mut self, answer: &Answer, failed: bool) {
        self.meter.connected.set(i64::from(!failed));
        self.meter.retries.add(u64::from(failed));
        self.meter.unreadable.add(answer.unreadable);
        self.meter.beyond_limit.add(answer.beyond_limit);
        self.meter.subjects.set(i64::try_from(self.registry.len()).unwrap_or(i64::MAX));
        if answer.beyond_limit > 0 && !self.has_warned_of_limit {
            self.has_warned_of_limit = true;
            tracing::warn!(
                source = "prometheus",
                left_out = answer.beyond_limit,
                hint = "ask for less, or raise `max-series` or `max-series-bytes`; series whose labels change at every turn are soon left out, and labels of more than 16 KiB are never told",
                "an answer has more series than are told: the rest is left out and counted"
            );
        }
    }

    /// The report without its samples.
    fn head(&self, job: &Job, answer: &Answer, trouble: Option<&Trouble>) -> Option<SeriesReport> {
        let cycle = self.groups.get(job.group)?.cycle.as_ref()?;
        let mut warnings = answer.warnings.clone();
        if answer.beyond_limit > 0 {
            warnings.push(format!("{} series were left out: there is no room for more", answer.beyond_limit));
        }
        if answer.unreadable > 0 {
            warnings.push(format!("{} series were left out: they could not be read", answer.unreadable));
        }
        Some(SeriesReport {
            observed_at: cycle.at,
            query: Arc::clone(self.queries.get(job.query)?),
            start_millis: job.moments.start,
            end_millis: job.moments.end,
            step_millis: u64::try_from(job.moments.step).unwrap_or(0),
            warnings,
            failure: trouble.map(ToString::to_string),
            samples: Vec::new(),
            histograms: Vec::new(),
            more: cycle.left > 1,
        })
    }

    async fn tell(&mut self, head: SeriesReport, answer: Answer, feed: &mut impl Feed) -> Result<(), End> {
        self.hand_on(feed).await?;
        let mut is_first = true;
        for report in parts(head, answer.found) {
            if !std::mem::take(&mut is_first) {
                sleep(BREATH).await;
            }
            feed.send(Notice::Event(Event::Series(Arc::new(report)))).await?;
            self.meter.events.increment();
        }
        Ok(())
    }

    /// Tells lanes of subjects.
    async fn hand_on(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        for notice in self.registry.take_notices() {
            feed.send(notice).await?;
        }
        if self.registry.is_out_of_ids() { Err(out_of_ids("subject").into()) } else { Ok(()) }
    }

    /// An answer has been told: the cycle is over with the last one.
    async fn settle(&mut self, job: &Job, trouble: Option<Trouble>, feed: &mut impl Feed) -> Result<(), End> {
        let name = self.queries.get(job.query).map(|query| query.name.clone()).unwrap_or_default();
        let Some(group) = self.groups.get_mut(job.group) else { return Ok(()) };
        let Some(cycle) = &mut group.cycle else { return Ok(()) };
        cycle.failed.extend(trouble.map(|trouble| (name, trouble)));
        cycle.left = cycle.left.saturating_sub(1);
        if cycle.left > 0 {
            return Ok(());
        }
        let of = group.queries.len();
        let Some(Cycle { name, begun, mut failed, .. }) = group.cycle.take() else { return Ok(()) };
        // They come in any order; what is told of them does not depend on it.
        failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.meter.ticks.observe(begun.elapsed());
        self.outages.entry(job.group).or_default().over(&name, of, &failed);
        self.registry.expire(Instant::now());
        self.hand_on(feed).await?;
        if !std::mem::replace(&mut self.is_listed, true) {
            feed.send(Notice::Listed).await?;
        }
        Ok(())
    }
}
