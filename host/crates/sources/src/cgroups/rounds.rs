//! What is read when, and what lanes are told of it.
//!
//! All is read when it is its turn. What has come is read as soon as it is found, and again while it is young. Everything is told in the
//! order in which it was read, but for what waited for its name.

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Notice, UnixNanos};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::names::{Heard, Roster};
use super::reader::{Extent, Reader};
use super::sampler::{Sampler, Taken, What};
use super::young::Young;
use crate::end::End;
use crate::turns::Turns;
use crate::watch::Mirror;

/// So many turns in a row were missed because of one reading before the operator is told.
const HANGS: u32 = 3;

/// The source at work.
pub(super) struct Rounds {
    reader: Reader,
    roster: Box<Roster>,
    young: Young,
    turns: Turns,
    pods: Option<Pods>,
    meter: Arc<SourceMeter>,
    /// The turn has come while a smaller reading was under way.
    is_due: bool,
    /// Turns in a row that were missed.
    missed: u32,
    /// The first reading has been told.
    has_begun: bool,
    is_listed: bool,
    has_warned: Warned,
}

/// What is said once.
#[derive(Default)]
struct Warned {
    dropped: bool,
    strangers: bool,
    doubles: bool,
}

/// What is heard of pods.
struct Pods {
    heard: mpsc::Receiver<Heard>,
    mirror: Mirror,
    are_listed: bool,
}

/// Why the loop wakes.
enum Wake {
    Heard(Heard),
    Back(Result<(Extent, Taken), Fault>),
    Turn,
    Changed,
    Young,
    Expired,
}

impl Rounds {
    pub(super) fn new(
        config: &Config,
        sampler: Sampler,
        roster: Roster,
        pods: Option<(mpsc::Receiver<Heard>, Mirror)>,
        meter: Arc<SourceMeter>,
    ) -> Self {
        let now = Instant::now();
        Self {
            reader: Reader::new(sampler),
            roster: Box::new(roster),
            young: Young::default(),
            turns: Turns::new(config.period.0, now, UnixNanos::now()),
            pods: pods.map(|(heard, mirror)| Pods { heard, mirror, are_listed: false }),
            meter,
            is_due: false,
            missed: 0,
            has_begun: false,
            is_listed: false,
            has_warned: Warned::default(),
        }
    }

    /// Goes on until nobody listens any more.
    pub(super) async fn run(mut self, mut feed: impl Feed) -> Result<(), Fault> {
        // What is there at the start is told at once; how long it takes to the first turn depends on the wall clock.
        self.turns.restart(Instant::now(), UnixNanos::now());
        self.begin(What::All);
        loop {
            let wake = self.wake().await;
            if let Err(end) = self.round(wake, &mut feed).await {
                return end.result();
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let (young, expires) = (self.young.due(), self.roster.deadline());
        if !self.reader.is_here() {
            return tokio::select! {
                biased;
                () = sleep_until(self.turns.due()) => Wake::Turn,
                back = self.reader.back() => Wake::Back(back),
                heard = heard(&mut self.pods) => Wake::Heard(heard),
                () = until(expires) => Wake::Expired,
            };
        }
        tokio::select! {
            biased;
            () = sleep_until(self.turns.due()) => Wake::Turn,
            heard = heard(&mut self.pods) => Wake::Heard(heard),
            () = until(expires) => Wake::Expired,
            () = until(young) => Wake::Young,
            () = self.reader.changed() => Wake::Changed,
        }
    }

    async fn round(&mut self, wake: Wake, feed: &mut impl Feed) -> Result<(), End> {
        match wake {
            Wake::Heard(heard) => self.hear(heard)?,
            Wake::Back(back) => {
                let (extent, taken) = back?;
                self.take(extent, taken)?;
            }
            Wake::Turn => self.turn(),
            Wake::Changed => self.begin(What::New(Vec::new())),
            Wake::Young => {
                let young = self.young.take(Instant::now());
                self.begin(What::New(young));
            }
            Wake::Expired => self.roster.expire(Instant::now()),
        }
        if self.is_due && self.reader.is_here() {
            self.is_due = false;
            self.begin(What::All);
        }
        self.tell(feed).await
    }

    fn begin(&mut self, what: What) {
        if !self.reader.is_here() {
            return;
        }
        if matches!(what, What::All) {
            self.young.grow_up();
        }
        self.reader.begin(what, self.roster.take_orders());
    }

    /// Everything that can be read without waiting is understood together: what it names is told together.
    fn hear(&mut self, first: Heard) -> Result<(), Fault> {
        let Some(pods) = &mut self.pods else { return Ok(()) };
        let mut next = Some(first);
        while let Some(heard) = next {
            pods.are_listed |= matches!(heard, Heard::Listed);
            self.roster.heard(&heard);
            next = pods.heard.try_recv().ok();
        }
        self.roster.settle()
    }

    fn turn(&mut self) {
        let passed = self.turns.take(Instant::now(), UnixNanos::now());
        self.meter.late_ticks.add(passed);
        match self.reader.at_work() {
            None => {
                self.missed = 0;
                self.begin(What::All);
            }
            Some((Extent::Some, _)) if !self.is_due => self.is_due = true,
            Some((_, since)) => {
                self.meter.late_ticks.increment();
                self.missed += 1;
                if self.missed == HANGS {
                    tracing::warn!(
                        source = "cgroups",
                        milliseconds = since.elapsed().as_millis(),
                        hint = "is this node overloaded? a longer `period` or fewer `metrics` need less of it",
                        "reading takes longer than the period: the next reading waits for it"
                    );
                }
            }
        }
    }

    fn take(&mut self, extent: Extent, taken: Taken) -> Result<(), Fault> {
        let now = Instant::now();
        if extent == Extent::All {
            self.missed = 0;
            self.meter.ticks.observe(taken.took);
        }
        self.meter.unreadable.add(taken.unreadable);
        self.meter.rescans.add(taken.rescans);
        self.meter.beyond_limit.add(taken.beyond_limit);
        self.meter.open_files.set(i64::try_from(taken.open_files).unwrap_or(i64::MAX));
        for come in taken.come {
            if self.has_begun {
                self.young.found(come.subject, now);
            }
            self.roster.come(come.subject, come.path, come.place, now);
        }
        self.roster.settle()?;
        self.roster.read(taken.tick, extent == Extent::All);
        for gone in taken.gone {
            self.young.gone(gone);
            self.roster.gone(gone);
        }
        // Who claimed the same name may have it now.
        self.roster.settle()?;
        self.roster.trim();
        self.has_begun = true;
        Ok(())
    }

    /// Waits while a lane's queue is full; what is read meanwhile is read late.
    async fn tell(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        self.count();
        for notice in self.roster.take_notices() {
            let is_event = matches!(notice, Notice::Event(_));
            feed.send(notice).await?;
            if is_event {
                self.meter.events.increment();
            }
        }
        let pods_are_listed = self.pods.as_ref().is_none_or(|pods| pods.are_listed);
        if self.has_begun && pods_are_listed && !self.is_listed {
            self.is_listed = true;
            feed.send(Notice::Listed).await?;
            self.meter.listed.set(1);
        }
        Ok(())
    }

    fn count(&mut self) {
        match &mut self.pods {
            Some(pods) => pods.mirror.show(),
            None => self.meter.connected.set(i64::from(self.has_begun)),
        }
        let (told, nameless) = self.roster.counts();
        self.meter.subjects.set(i64::try_from(told).unwrap_or(i64::MAX));
        self.meter.nameless.set(i64::try_from(nameless).unwrap_or(i64::MAX));
        self.meter.uncached.add(self.roster.take_unheard());
        let dropped = self.roster.take_dropped();
        self.meter.waited_in_vain.add(dropped);
        if dropped > 0 && !std::mem::replace(&mut self.has_warned.dropped, true) {
            tracing::warn!(
                source = "cgroups",
                hint = "is the API server away? a shorter `wait` or a longer `period` needs less room",
                "more is waiting for its name than there is room for: the oldest readings are left out and counted"
            );
        }
        if self.roster.take_strangers() > 0 && !std::mem::replace(&mut self.has_warned.strangers, true) {
            tracing::warn!(
                source = "cgroups",
                hint = "is `node` the name of this node? `when-unknown: path` tells them under their paths",
                "there are cgroups of pods that the API server does not tell of: they are left out"
            );
        }
        if let Some(path) = self.roster.take_double()
            && !std::mem::replace(&mut self.has_warned.doubles, true)
        {
            tracing::warn!(
                source = "cgroups",
                path,
                hint = "does another kubelet, or one with another cgroup driver, run on this node, or has it left this behind?",
                "a cgroup claims to be a pod or container that another cgroup is: it is told under no name"
            );
        }
    }
}

/// Never ready without pods. Following them ends with the source, not before.
async fn heard(pods: &mut Option<Pods>) -> Heard {
    if let Some(pods) = pods
        && let Some(heard) = pods.heard.recv().await
    {
        return heard;
    }
    std::future::pending().await
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
