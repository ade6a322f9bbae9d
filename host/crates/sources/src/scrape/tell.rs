//! Tells what a page tells: a report for each metric, the last one whether the target could be read.

use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Event, Feed, Notice, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, SubjectId, UnixNanos};
use tokio::time::{Instant, sleep};

use super::fetch::Answer;
use super::rows::Rows;
use super::shape::{Moment, Told, labels};
use super::work::{Cycle, Target};
use crate::end::{End, out_of_ids};
use crate::series::{Found, Registry, parts};

/// After so many samples there is a pause, so that the lanes keep up and none of them has to make room for the next report.
const MOUTHFUL: usize = 4096;
const BREATH: Duration = Duration::from_millis(5);
/// What a report weighs besides its samples.
const REPORT: usize = 64;

/// Knows the series that lanes have been told of.
pub(super) struct Teller {
    registry: Registry,
    /// Samples since the last pause.
    said: usize,
    meter: Arc<SourceMeter>,
}

/// A series of a page whose subject is known, or that will have one if there is room: then its key stands here.
struct Series {
    subject: Result<SubjectId, String>,
    value: f64,
    millis: i64,
}

/// What all reports of a cycle have in common.
#[derive(Clone, Copy)]
struct Common<'text> {
    cycle: &'text str,
    observed_at: UnixNanos,
    moment: Moment,
}

/// What a report says besides its samples.
#[derive(Default)]
struct Head<'text> {
    name: &'text str,
    metric: &'text str,
    metric_type: &'text str,
    unit: &'text str,
    warnings: Vec<String>,
    failure: Option<String>,
    is_last: bool,
}

impl Teller {
    pub(super) fn new(registry: Registry, meter: Arc<SourceMeter>) -> Self {
        Self { registry, said: 0, meter }
    }

    /// Whether a target is up has room, whatever its page tells.
    pub(super) fn expect(&mut self, target: &Target) {
        let up = target.shape.up(false, Moment { read: Instant::now(), millis: 0 });
        self.registry.pin(&up.key, Instant::now(), labels(&up.key));
    }

    /// Tells a cycle of a target.
    pub(super) async fn tell(&mut self, target: &mut Target, cycle: Cycle, feed: &mut impl Feed) -> Result<(), End> {
        let begun = std::time::Instant::now();
        let Cycle { target: party, observed_at, moment, answer } = cycle;
        let name = target.name.clone();
        let common = Common { cycle: &name, observed_at, moment };
        let up = target.shape.up(answer.is_ok(), moment);
        let warnings = match answer {
            Ok(answer) => {
                target.outage.succeeded(&name);
                self.registry.begin(party);
                self.page(target, &answer, common, feed).await?
            }
            Err(trouble) => {
                self.meter.retries.increment();
                target.outage.failed(&name, &trouble);
                let head = Head { name: &name, failure: Some(trouble.to_string()), ..Head::default() };
                self.report(head, common, Vec::new(), feed).await?;
                Vec::new()
            }
        };
        let head = Head { name: "up", metric: "up", metric_type: "gauge", warnings, is_last: true, ..Head::default() };
        let up = self.find(up, Instant::now());
        self.report(head, common, up.into_iter().collect(), feed).await?;
        self.registry.expire(Instant::now());
        self.hand_on(feed).await?;
        self.meter.ticks.observe(begun.elapsed());
        Ok(())
    }

    /// Tells the metrics of a page. What is to be said of it as a whole comes back.
    async fn page(
        &mut self,
        target: &mut Target,
        answer: &Answer,
        common: Common<'_>,
        feed: &mut impl Feed,
    ) -> Result<Vec<String>, End> {
        let Answer { rows, skipped, first_skipped } = answer;
        let mut left_out = rows.beyond_limit();
        let found = self.see(target, rows, common.moment).await;
        for (metric, found) in rows.metrics().iter().zip(found) {
            let head = Head {
                name: &metric.name,
                metric: &metric.name,
                metric_type: metric.kind.name(),
                unit: &metric.unit,
                ..Head::default()
            };
            left_out += self.report(head, common, found, feed).await?;
        }
        target.growth.turn();
        target.outage.skipped(common.cycle, *skipped, first_skipped.as_deref());
        target.outage.left_out(common.cycle, left_out);
        self.meter.unreadable.add(*skipped);
        self.meter.skipped.add(rows.repeated());
        self.meter.beyond_limit.add(left_out);
        Ok(warnings(*skipped, first_skipped.as_deref(), left_out, rows.repeated()))
    }

    /// The series of a page, metric by metric. All that is known of it is seen before anything new has a subject, so that what is new takes no
    /// room of what stands further down.
    async fn see(&mut self, target: &mut Target, rows: &Rows, moment: Moment) -> Vec<Vec<Series>> {
        let (mut found, mut seen) = (Vec::with_capacity(rows.metrics().len()), 0);
        for metric in rows.metrics() {
            let now = Instant::now();
            let told = target.shape.tell(rows, metric, &mut target.growth, moment);
            seen += metric.rows.len();
            found.push(told.into_iter().filter_map(|told| self.find(told, now)).collect());
            if seen >= MOUTHFUL {
                seen = 0;
                tokio::task::yield_now().await;
            }
        }
        self.registry.let_go();
        found
    }

    /// Sees a series; none where there is nothing to tell of it.
    fn find(&mut self, told: Told, now: Instant) -> Option<Series> {
        let subject = self.registry.find(&told.key, now);
        let (value, millis) = told.sample?;
        Some(Series { subject: subject.ok_or(told.key), value, millis })
    }

    /// Tells the series of one metric. How many of them have no room comes back.
    async fn report(&mut self, head: Head<'_>, common: Common<'_>, found: Vec<Series>, feed: &mut impl Feed) -> Result<u64, End> {
        let now = Instant::now();
        let (count, mut samples) = (found.len(), Vec::with_capacity(found.len()));
        for Series { subject, value, millis } in found {
            let subject = subject.or_else(|key| self.registry.subject(&key, now, || Some(labels(&key))).ok_or(()));
            samples.extend(subject.map(|subject| SeriesSample { subject, millis, value }));
        }
        let left_out = count.saturating_sub(samples.len());
        self.hand_on(feed).await?;
        for report in parts(head.report(common), Found { samples, histograms: Vec::new() }) {
            self.breathe(report.samples.len()).await;
            feed.send(Notice::Event(Event::Series(Arc::new(report)))).await?;
            self.meter.events.increment();
        }
        Ok(u64::try_from(left_out).unwrap_or(u64::MAX))
    }

    async fn breathe(&mut self, samples: usize) {
        self.said += REPORT + samples;
        if self.said >= MOUTHFUL {
            self.said = 0;
            sleep(BREATH).await;
        }
    }

    /// Tells lanes of subjects.
    async fn hand_on(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        for notice in self.registry.take_notices() {
            feed.send(notice).await?;
        }
        self.meter.subjects.set(i64::try_from(self.registry.len()).unwrap_or(i64::MAX));
        if self.registry.is_out_of_ids() { Err(out_of_ids("series").into()) } else { Ok(()) }
    }
}

impl Head<'_> {
    fn report(self, common: Common<'_>) -> SeriesReport {
        let query = SeriesQuery {
            cycle: common.cycle.to_owned(),
            name: self.name.to_owned(),
            metric: self.metric.to_owned(),
            metric_type: self.metric_type.to_owned(),
            unit: self.unit.to_owned(),
            origin: SeriesOrigin::Scrape,
        };
        SeriesReport {
            observed_at: common.observed_at,
            query: Arc::new(query),
            start_millis: common.moment.millis,
            end_millis: common.moment.millis,
            step_millis: 0,
            warnings: self.warnings,
            failure: self.failure,
            samples: Vec::new(),
            histograms: Vec::new(),
            more: !self.is_last,
        }
    }
}

/// For people.
fn warnings(skipped: u64, first: Option<&str>, left_out: u64, repeated: u64) -> Vec<String> {
    let skipped = (skipped > 0)
        .then(|| format!("{skipped} lines cannot be read; the first of them begins with `{}`", first.unwrap_or_default()));
    let left_out = (left_out > 0).then(|| format!("{left_out} series are left out because there are more than `max-series`"));
    let repeated =
        (repeated > 0).then(|| format!("{repeated} samples are left out because their series stand on the page before"));
    skipped.into_iter().chain(left_out).chain(repeated).collect()
}
