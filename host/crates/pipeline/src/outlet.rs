//! One sink at work: takes what the lanes made, writes it, and tries again until it is written or refused for good.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Backoff, Class, DeadLetter, Entry, Fault, Held, ModuleIdentity, Outcome, Receipt, Sink, UnixNanos};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tracing::{error, info, warn};

use crate::letters::Letterbox;
use crate::queue::{Item, Receiver, Worth};

/// How an outlet works.
#[derive(Clone, Copy, Debug)]
pub struct OutletSettings {
    /// How long one write may take before it counts as failed.
    pub write_timeout: Duration,
    /// The first wait after a failure; it doubles up to `longest_wait`.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for OutletSettings {
    fn default() -> Self {
        Self {
            write_timeout: Duration::from_secs(30),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// Which lane made an entry, for whoever looks for the culprit.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) lane: Arc<str>,
    pub(crate) module: ModuleIdentity,
    /// It was a dead letter before, or was made from one: its age says nothing of how quick the pipeline is.
    pub(crate) again: bool,
    /// Who wants to know whether the entry is written, or else why it is refused: it is replayed, and was a dead letter before.
    pub(crate) replay: Option<mpsc::Sender<Option<String>>>,
}

/// What a lane hands to an outlet.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// What one call of the module made. The receipt is done once all of it is written or kept.
    Entries { origin: Arc<Origin>, entries: Vec<Entry>, observed_at: UnixNanos, receipt: Option<Receipt> },
    /// The lane of this name has shaped everything that was there when its sources began.
    Settled(Arc<str>),
    /// A lane that was added while the program runs: it has everything to shape yet.
    Joined(Arc<str>),
}

impl Parcel {
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Entries { entries, .. } => entries.iter().map(Entry::weight).sum(),
            Self::Settled(_) | Self::Joined(_) => 16,
        }
    }
}

/// Entries are never dropped: a full queue makes its lanes wait.
impl Item for Parcel {
    fn worth(&self) -> Worth {
        Worth::Kept
    }
}

/// A sink with everything that it needs to work.
pub(crate) struct Outlet<K> {
    pub(crate) name: Arc<str>,
    pub(crate) sink: K,
    pub(crate) queue: Receiver<Parcel>,
    pub(crate) letterbox: Option<Letterbox>,
    pub(crate) settings: OutletSettings,
    pub(crate) meter: Arc<OutletMeter>,
    /// Lanes that have not settled. One that ends without stays here until another of its name has: what it might have written again
    /// is not stale.
    pub(crate) unsettled: BTreeSet<Arc<str>>,
    pub(crate) backoff: Backoff,
    /// Failures since the last write that succeeded.
    pub(crate) failures: u64,
    /// Whether anything was ever written: a fatal fault before that is a wrong configuration.
    pub(crate) worked: bool,
    pub(crate) upkeep: Upkeep,
    /// Entries refused for good so far; not each of them is worth a line in the log.
    pub(crate) complaints: u64,
}

/// The sink's own work between writes. It fails by itself: entries do not wait for it.
pub(crate) struct Upkeep {
    pub(crate) backoff: Backoff,
    pub(crate) not_before: Option<tokio::time::Instant>,
}

/// What several parcels hold, in one list, as a sink takes it.
#[derive(Default)]
struct Gathered {
    entries: Vec<Entry>,
    /// Up to which entry which lane made them, from an event of when.
    origins: Vec<(usize, Arc<Origin>, UnixNanos)>,
    /// Of the events that they come from.
    receipts: Vec<Receipt>,
    /// Lanes that have settled or joined, in order.
    lanes: Vec<(Arc<str>, Progress)>,
}

/// How far a lane is with what was there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Joined,
    Settled,
}

impl Gathered {
    fn new(parcels: Vec<Parcel>) -> Self {
        let mut gathered = Self::default();
        for parcel in parcels {
            match parcel {
                Parcel::Entries { origin, entries, observed_at, receipt } => {
                    gathered.entries.extend(entries);
                    gathered.receipts.extend(receipt);
                    gathered.origins.push((gathered.entries.len(), origin, observed_at));
                }
                Parcel::Settled(lane) => gathered.lanes.push((lane, Progress::Settled)),
                Parcel::Joined(lane) => gathered.lanes.push((lane, Progress::Joined)),
            }
        }
        gathered
    }

    fn origin(&self, index: usize) -> Option<(&Origin, UnixNanos)> {
        let place = self.origins.partition_point(|(end, ..)| *end <= index);
        self.origins.get(place).map(|(_, origin, observed_at)| (origin.as_ref(), *observed_at))
    }
}

impl<K: Sink> Outlet<K> {
    /// Works until the queue is closed and empty; ends early only when the sink cannot work as configured.
    pub(crate) async fn run(mut self) -> Result<(), Fault> {
        while let Some(parcels) = self.next().await? {
            let gathered = Gathered::new(parcels);
            self.write(&gathered).await?;
            gathered.receipts.into_iter().for_each(Receipt::done);
            let now = UnixNanos::now();
            for (_, origin, time) in &gathered.origins {
                if !origin.again {
                    self.meter.delay.observe(time.elapsed_until(now));
                }
                if let Some(replay) = &origin.replay {
                    // The first answer counts, and that an entry was refused has been said before.
                    let _answered = replay.try_send(None);
                }
            }
            self.settle(gathered.lanes).await?;
        }
        Ok(())
    }

    /// Waits for parcels; meanwhile the sink does its own work.
    async fn next(&mut self) -> Result<Option<Vec<Parcel>>, Fault> {
        let most = self.sink.most_calls().max(1);
        loop {
            let fault = tokio::select! {
                biased;
                parcels = self.queue.take(most) => return Ok(parcels),
                result = self.upkeep.work(&mut self.sink) => match result {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
            };
            if fault.class == Class::Fatal && !self.worked {
                error!(sink = %self.name, %fault, "sink cannot work as configured");
                return Err(fault);
            }
            if self.upkeep.fail() {
                warn!(sink = %self.name, %fault, "sink cannot do its own work, such as forgetting what is due; it is tried again");
            }
        }
    }

    async fn write(&mut self, gathered: &Gathered) -> Result<(), Fault> {
        let mut done = 0;
        while let Some(rest) = gathered.entries.get(done..).filter(|rest| !rest.is_empty()) {
            // The time-out of a write is one for so much, and not for whatever was waiting.
            let slice = rest.get(..self.sink.most_entries().max(1)).unwrap_or(rest);
            let begin = Instant::now();
            let outcome = match timeout(self.settings.write_timeout, self.sink.write(slice)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::stopped_at(
                    0,
                    Fault::retry("cannot write", format!("no answer within {:?}", self.settings.write_timeout)),
                ),
            };
            self.meter.writes.observe(begin.elapsed());
            let written = outcome.stopped.as_ref().map_or(slice.len(), |(index, _)| (*index).min(slice.len()));
            self.count(gathered, done, written, &outcome).await;
            done += written;
            match outcome.stopped {
                None => self.succeed(),
                Some((_, fault)) => {
                    let wait = self.fail(&fault)?;
                    self.wait(wait).await;
                }
            }
        }
        Ok(())
    }

    /// Counts what became of the entries from `first` on, of which so many were dealt with, and keeps those that were refused.
    async fn count(&mut self, gathered: &Gathered, first: usize, written: usize, outcome: &Outcome) {
        let mut count = 0;
        for refusal in outcome.refused.iter().filter(|refusal| refusal.index < written) {
            count += 1;
            let index = first + refusal.index;
            if let (Some(entry), Some((origin, observed_at))) = (gathered.entries.get(index), gathered.origin(index)) {
                self.bury(entry, origin, observed_at, &refusal.reason).await;
            }
        }
        self.meter.refused.add(count);
        self.meter.written.add((written as u64).saturating_sub(count));
    }

    async fn bury(&mut self, entry: &Entry, origin: &Origin, observed_at: UnixNanos, reason: &str) {
        if let Some(replay) = &origin.replay {
            // Whoever replays it keeps it; when he has given up, it is still where it was.
            let _given_up = replay.try_send(Some(reason.to_owned()));
            return;
        }
        let (lane, module) = (&origin.lane, &origin.module);
        self.complaints += 1;
        if is_worth_a_line(self.complaints) {
            let (so_far, what) = (self.complaints, describe(entry));
            warn!(sink = %self.name, %lane, %module, entry = %what, %reason, so_far, "sink refused an entry for good");
        }
        if let Some(letterbox) = &self.letterbox {
            let held = Held::Entry { sink: self.name.to_string(), observed_at, entry: entry.clone() };
            let (lane, module, reason) = (lane.to_string(), module.clone(), reason.to_owned());
            letterbox.post(DeadLetter { at: UnixNanos::now(), lane, module, reason, replays: 0, held }).await;
        }
    }

    async fn settle(&mut self, lanes: Vec<(Arc<str>, Progress)>) -> Result<(), Fault> {
        let mut settled = false;
        for (lane, progress) in lanes {
            if progress == Progress::Settled {
                settled |= self.unsettled.remove(&lane);
            } else {
                self.unsettled.insert(lane);
            }
        }
        while settled && self.unsettled.is_empty() {
            let Err(fault) = self.sink.settled().await else {
                return Ok(());
            };
            let wait = self.fail(&fault)?;
            self.wait(wait).await;
        }
        Ok(())
    }

    /// Waits before the next try; meanwhile the sink does its own work, which may be what makes room.
    async fn wait(&mut self, wait: Duration) {
        let upkeep = async {
            while self.upkeep.work(&mut self.sink).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let _elapsed = timeout(wait, upkeep).await;
    }

    fn succeed(&mut self) {
        if self.failures > 0 {
            info!(sink = %self.name, failures = self.failures, "sink works again");
        }
        self.failures = 0;
        self.worked = true;
        self.backoff.reset();
        self.meter.ready.set(1);
    }

    /// Says how long to wait; gives the fault back if it is fatal. One warning for each outage, not one for each try.
    fn fail(&mut self, fault: &Fault) -> Result<Duration, Fault> {
        if fault.class == Class::Fatal && !self.worked {
            error!(sink = %self.name, %fault, "sink cannot work as configured");
            return Err(fault.clone());
        }
        self.meter.ready.set(0);
        self.meter.retries.increment();
        self.failures += 1;
        let wait = self.backoff.wait();
        if self.failures == 1 {
            warn!(sink = %self.name, %fault, "sink does not take entries; they wait and are tried again");
        }
        Ok(wait)
    }
}

impl Upkeep {
    pub(crate) fn new(settings: &OutletSettings) -> Self {
        Self { backoff: Backoff::new(settings.first_wait, settings.longest_wait), not_before: None }
    }

    async fn work(&mut self, sink: &mut impl Sink) -> Result<(), Fault> {
        if let Some(time) = self.not_before {
            sleep_until(time).await;
        }
        sink.upkeep().await?;
        self.not_before = None;
        self.backoff.reset();
        Ok(())
    }

    /// Waits before it tries again; says whether this is the first failure in a row.
    fn fail(&mut self) -> bool {
        let first = self.not_before.is_none();
        self.not_before = Some(tokio::time::Instant::now() + self.backoff.wait());
        first
    }
}

/// Whether something that has happened so often is said once more: the first twenty times, then ever more rarely.
pub(crate) fn is_worth_a_line(count: u64) -> bool {
    count <= 20 || count.is_power_of_two()
}

/// An entry in a log line: what it is and for whom, not its content.
fn describe(entry: &Entry) -> String {
    const LONGEST: usize = 100;
    let cut = |name: &str| name.chars().take(LONGEST).flat_map(char::escape_default).collect::<String>();
    match entry {
        Entry::Message(message) => format!("message to {}", cut(message.channel.as_deref().unwrap_or("the default channel"))),
        Entry::Document(document) => format!("document {}", cut(&document.name)),
        Entry::Forget(forget) => format!("forget {}", cut(&forget.name)),
    }
}
