//! Follows one kind of Kubernetes object: what is heard from the API becomes notices for the lanes.
//!
//! `listen.rs` decides what is asked when and yields what the API says, with all its retries; `fetch.rs` does the asking; `read.rs`,
//! `lines.rs` and `cut.rs` turn bytes into objects;
//! `memory.rs` compares them with what was known, `recall.rs` has what was known in an earlier run, `tell.rs` makes notices and `typed.rs` has
//! the forms in which they are told; `outage.rs` decides what an operator reads, `mirror.rs` shows what was counted. The loop of kube's
//! own watcher is not used: it puts no bound on what a server sends, keeps asking for a version that was answered with status 410,
//! reopens a watch that ends at once without a pause, and does not say when the API is back.

mod cut;
mod fetch;
#[cfg(test)]
mod fuzz;
mod lines;
mod listen;
mod memory;
mod mirror;
mod outage;
mod read;
mod recall;
mod tell;
mod typed;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_contract::{Fault, Feed, Notice, ObjectKind, Remembered, SubjectIds, UnixNanos};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::Problem;
use crate::end::End;
use crate::kubernetes::Api;
use listen::Heard;
use memory::Memory;
use outage::Outage;
use recall::Recall;

pub(crate) use fetch::Target;
pub(crate) use memory::{Bounds, Forms};
pub(crate) use mirror::Mirror;
pub(crate) use typed::Typed;

/// Less would leave out ordinary objects.
const LEAST_BYTES: u64 = 64 << 10;

/// One kind of object, followed until the host stops.
pub(crate) struct Follow {
    pub(crate) api: Api,
    pub(crate) target: Target,
    pub(crate) bounds: Bounds,
    pub(crate) forms: Forms,
    /// Everything remembered is told again after each of these.
    pub(crate) refresh: Option<Duration>,
    pub(crate) ids: Arc<SubjectIds>,
    pub(crate) meter: Arc<SourceMeter>,
    /// What was announced before, and whoever is to know what is announced now.
    pub(crate) remembered: Option<Remembered>,
}

impl Follow {
    /// Runs until `stop` is ready, whatever it waits for at that moment.
    pub(crate) async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            end = self.follow(feed) => end.result(),
        }
    }

    async fn follow(self, mut feed: impl Feed) -> End {
        let Self { api, target, bounds, forms, refresh, ids, meter, remembered } = self;
        let mut outage = Outage::new(target.source, api.server(), Arc::clone(&meter));
        let recall = Recall::new(remembered);
        let newest = recall.newest();
        let memory = Memory::new(target.kind, bounds, forms, ids, recall);
        let mut teller = Teller { memory, meter, source: target.source, notices: Vec::new() };
        let mut heard = pin!(listen::listen(api, target, newest));
        let mut refresh = refresh.map(ticks);
        loop {
            let result = tokio::select! {
                heard = heard.next() => match heard {
                    Some(Heard::Trouble(trouble)) => {
                        outage.failed(&trouble);
                        continue;
                    }
                    Some(heard) => {
                        // That a list begins was decided here. With some of its pages, what was missed is not known yet.
                        if !matches!(heard, Heard::ListBegins | Heard::Page(_)) {
                            outage.succeeded();
                        }
                        teller.take(heard, &mut feed).await
                    }
                    None => return End::Closed,
                },
                () = tick(&mut refresh) => teller.repeat(&mut feed).await,
            };
            if let Err(end) = result {
                return end;
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn tick(refresh: &mut Option<Interval>) {
    match refresh {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Turns what is heard into notices and hands them on.
struct Teller {
    memory: Memory,
    meter: Arc<SourceMeter>,
    source: &'static str,
    notices: Vec<Notice>,
}

impl Teller {
    async fn take(&mut self, heard: Heard, feed: &mut impl Feed) -> Result<(), End> {
        let now = UnixNanos::now();
        match heard {
            Heard::ListBegins => {
                self.meter.lists.increment();
                self.memory.begin_list();
            }
            Heard::Page(page) => {
                for refused in &page.refused {
                    self.skipped(refused);
                }
                self.meter.skipped.add(page.refused_unnamed);
                for object in page.objects {
                    self.memory.listed(object, now, &mut self.notices)?;
                    self.hand_on(feed).await?;
                }
            }
            Heard::ListEnds => {
                self.memory.end_list(now, &mut self.notices)?;
                self.meter.listed.set(1);
            }
            Heard::Changed(verb, object) => {
                self.memory.changed(verb, object, now, &mut self.notices)?;
            }
            Heard::Refused(refused) => self.skipped(&refused),
            Heard::Remains(identity) => self.memory.remains(&identity),
            Heard::Reached | Heard::Trouble(_) => {}
        }
        self.hand_on(feed).await
    }

    async fn repeat(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        self.memory.repeat(UnixNanos::now(), &mut self.notices);
        self.hand_on(feed).await
    }

    /// Waits while a lane's queue is full: the API then waits, too.
    async fn hand_on(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        for refused in self.memory.take_refused() {
            self.skipped(&refused);
        }
        self.meter.cached_objects.set(signed(self.memory.objects()));
        self.meter.cached_bytes.set(signed(self.memory.bytes()));
        let uncached = self.memory.take_uncached();
        if uncached > 0 {
            if self.meter.uncached.get() == 0 {
                tracing::warn!(
                    source = self.source,
                    hint = "raise `max-cached-objects` or `max-cached-bytes`, or watch one node only",
                    "the cache is full: an object that does not fit is not compared with what it was, and if it goes while the API \
                     is away, nobody is told"
                );
            }
            self.meter.uncached.add(uncached);
        }
        let found = self.memory.take_found();
        self.meter.found_unchanged.add(found.unchanged);
        self.meter.found_changed.add(found.changed);
        self.meter.found_gone.add(found.gone);
        for notice in self.notices.drain(..) {
            let is_event = notice.event().is_some();
            feed.send(notice).await?;
            if is_event {
                self.meter.events.increment();
            }
        }
        Ok(())
    }

    /// The first ones are named in the log; a server that sends nothing else does not fill it.
    fn skipped(&self, what: &str) {
        self.meter.skipped.increment();
        let count = self.meter.skipped.get();
        if count <= 20 || count.is_power_of_two() {
            tracing::warn!(source = self.source, so_far = count, "left out what cannot be understood: {what}");
        }
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What one kind of object is called where the API and the operator see it.
pub(crate) fn names(kind: ObjectKind) -> (&'static str, &'static str) {
    match kind {
        ObjectKind::Pod => ("pods", "/api/v1/pods"),
        ObjectKind::Namespace => ("namespaces", "/api/v1/namespaces"),
        ObjectKind::Node => ("nodes", "/api/v1/nodes"),
        ObjectKind::Service => ("services", "/api/v1/services"),
    }
}

/// What is wrong with how often everything is told again.
pub(crate) fn check_refresh(refresh: TimeSpan) -> Option<Problem> {
    let is_too_often = !refresh.0.is_zero() && refresh.0 < Duration::from_secs(1);
    is_too_often.then(|| Problem::new("refresh", format!("{refresh} is too often"), "write at least 1s, or 0s for never"))
}

/// What is wrong with the sizes that all these sources have.
pub(crate) fn check_sizes(page_size: u32, page: ByteSize, object: ByteSize, cached: ByteSize) -> Vec<Problem> {
    let mut problems = Vec::new();
    if page_size == 0 {
        problems.push(Problem::new("page-size", "is zero, so no list would ever end", "write a number such as 250"));
    }
    for (field, size) in [("max-page-bytes", page), ("max-object-bytes", object)] {
        if size.0 < LEAST_BYTES {
            problems.push(Problem::new(field, format!("{size} is less than an object may need"), "write at least 64KiB"));
        }
    }
    if page < object && page.0 >= LEAST_BYTES {
        problems.push(Problem::new(
            "max-page-bytes",
            format!("{page} is less than the {object} of `max-object-bytes`, so some objects could be watched but never listed"),
            format!("write at least {object}, or a smaller `max-object-bytes`"),
        ));
    }
    for (field, size) in [("max-page-bytes", page), ("max-object-bytes", object), ("max-cached-bytes", cached)] {
        if usize::try_from(size.0).is_err() {
            problems.push(Problem::new(field, format!("{size} is more than this machine can address"), "write less"));
        }
    }
    problems
}

/// A size that was checked to fit.
pub(crate) fn length(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
