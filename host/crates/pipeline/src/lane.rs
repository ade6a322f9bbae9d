//! One module at work: takes batches from its queue, asks its shaper, hands the entries on, and puts a fresh instance in place of a
//! dead one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::{Counter, FateMeter, LaneMeter};
use sluicebox_contract::{Backoff, CpuShare, Entry, Event, Notice, Saved, Shaper, Subject, SubjectId, UnixNanos};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::batch::{Batch, Run, events_in};
use crate::letters::Letterbox;
use crate::order::Order;
use crate::outlet::{Inlet, Origin, Parcel};
use crate::queue::Receiver;
use crate::receipts::InHand;
use crate::revive::SUBJECTS;
use crate::share::Account;
use crate::tap::TapOfLane;
use crate::trouble::{Patience, Trouble};

/// How a lane works.
#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// Events for one call, at most.
    pub batch: usize,
    /// What may come before the lane rests.
    pub patience: Patience,
    /// The first rest of a lane whose module fails again and again; it doubles up to `longest_rest`.
    pub first_rest: Duration,
    /// The longest rest.
    pub longest_rest: Duration,
    /// The lane's share of the processor over time.
    pub share: CpuShare,
    /// A fresh instance takes the place of one that has made so many calls.
    pub recycle_after_calls: Option<u64>,
    /// A fresh instance takes the place of one that holds more memory, bytes.
    pub recycle_above_bytes: Option<usize>,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            batch: 64,
            patience: Patience::default(),
            first_rest: Duration::from_secs(1),
            longest_rest: Duration::from_mins(1),
            share: CpuShare { millicores: 1000 },
            recycle_after_calls: None,
            recycle_above_bytes: None,
        }
    }
}

/// What one call has made is handed on in parts of so many bytes: no queue has to take it all at once.
const PARCEL: usize = 128 << 10;

/// The host is stopping and the module cannot be brought to work.
pub(crate) struct GivenUp;

/// A module with everything that it needs to work; runs on a thread of its own.
pub(crate) struct Lane<S> {
    pub(crate) origin: Arc<Origin>,
    pub(crate) shaper: S,
    pub(crate) queue: Receiver<Notice>,
    pub(crate) orders: mpsc::Receiver<Order<S>>,
    pub(crate) letterbox: Option<Letterbox>,
    pub(crate) outlets: Vec<Inlet>,
    pub(crate) settings: LaneSettings,
    pub(crate) meter: Arc<LaneMeter>,
    /// Those of the lane, whatever module is at work.
    pub(crate) fates: Arc<FateMeter>,
    /// Sources that have not told everything that was there at the start.
    pub(crate) unlisted: usize,
    /// Of what was there at the start, something was left out.
    pub(crate) incomplete: bool,
    /// What the instance has been told, or will be told when it starts.
    pub(crate) subjects: BTreeMap<SubjectId, Arc<Subject>>,
    /// Subjects that stop the module when they are defined: neither they nor their events are given to it.
    pub(crate) shunned: BTreeMap<SubjectId, Arc<Subject>>,
    /// How often in a row the samples of a subject have stopped the module.
    pub(crate) suspects: BTreeMap<SubjectId, u32>,
    /// Subjects whose samples stop the module each time: they are not given to it.
    pub(crate) unbearable: BTreeSet<SubjectId>,
    /// Subjects that were defined while the lane waited with an instance; it is told before the next batch.
    pub(crate) untold: BTreeMap<SubjectId, Arc<Subject>>,
    /// Subjects that were forgotten while the lane waited; the module is told after the batch in hand, which may still name them.
    pub(crate) forgotten: Vec<SubjectId>,
    pub(crate) trouble: Trouble,
    pub(crate) backoff: Backoff,
    /// Events taken from the queue of which it is not yet known what becomes.
    pub(crate) open: u64,
    /// Events left out so far; not each of them is worth a line in the log.
    pub(crate) complaints: u64,
    /// Waits for the share of the processor in which events were left out; not each of them is worth a line either.
    pub(crate) crowded: u64,
    /// Whether there is an instance that can be called.
    pub(crate) alive: bool,
    /// A part of the last batch that was shaped, for the rehearsal of a successor.
    pub(crate) last: Vec<Event>,
    /// Somebody hears what the module is given.
    pub(crate) tap: Option<TapOfLane>,
    /// The receipts of what is being shaped.
    pub(crate) in_hand: InHand,
    /// What the instance before has saved for the next one.
    pub(crate) carried: Option<Saved>,
    pub(crate) account: Account,
    /// Times that the module did not save its state when it was to be replaced as planned.
    pub(crate) unsaved: u64,
    pub(crate) age: Age,
}

/// How long an instance has been at work.
#[derive(Debug, Default)]
pub(crate) struct Age {
    pub(crate) calls: u64,
    /// When an instance was last replaced as planned, or could not be.
    pub(crate) recycled: Option<Instant>,
}

/// What comes next for a lane.
enum Next<S> {
    Notices(Vec<Notice>),
    Order(Order<S>),
    End,
}

impl<S: Shaper> Lane<S> {
    /// Works until the queue is closed and empty. Gives the number of events that were left unshaped at the end.
    pub(crate) fn run(mut self) -> u64 {
        // The account is that of this thread.
        self.account = Account::new(self.settings.share);
        let mut result = self.revive();
        while result.is_ok() {
            let done = match self.next() {
                Next::Notices(notices) => {
                    let done = self.work(notices);
                    self.queue.release();
                    done.and_then(|()| self.recycle_if_due())
                }
                Next::Order(order) => self.obey(order),
                Next::End => return 0,
            };
            result = done.and_then(|()| self.throttle());
        }
        let (left, _) = self.queue.take_now(usize::MAX);
        let events = self.open + events_in(&left);
        self.meter.missed.add(events);
        self.fates.unshaped.add(events_in(&left));
        if events > 0 {
            error!(lane = %self.origin.lane, events, "the host stops and the module does not work: events left unshaped");
        }
        events
    }

    /// As [`Lane::run`], for a lane that was added while the program runs.
    pub(crate) fn join_and_run(self) -> u64 {
        self.hand_on(Parcel::Joined(Arc::clone(&self.origin.lane)));
        self.run()
    }

    /// Orders come before notices: they wait for a moment between two batches, and this is one.
    fn next(&mut self) -> Next<S> {
        let Self { queue, orders, settings, .. } = self;
        futures::executor::block_on(async {
            tokio::select! {
                biased;
                Some(order) = orders.recv() => Next::Order(order),
                notices = queue.take(settings.batch) => notices.map_or(Next::End, Next::Notices),
            }
        })
    }

    /// Tells a batch, events of one kind in one call.
    fn work(&mut self, notices: Vec<Notice>) -> Result<(), GivenUp> {
        self.take_in(events_in(&notices));
        let Batch { defined, runs, forgotten } = Batch::new(notices);
        // Told when all is done, together with what was forgotten during a rest.
        self.forgotten.extend(forgotten);
        if !defined.is_empty() {
            self.define(&defined)?;
        }
        for run in runs {
            match run {
                Run::Events(events, receipts) => {
                    self.in_hand = InHand::new(receipts);
                    self.shape_all(events)?;
                    std::mem::take(&mut self.in_hand).done();
                }
                Run::Listed => self.listed(),
            }
        }
        self.forget_all()
    }

    /// Tells the module what was forgotten.
    pub(crate) fn forget_all(&mut self) -> Result<(), GivenUp> {
        let forgotten = std::mem::take(&mut self.forgotten);
        if forgotten.is_empty() { Ok(()) } else { self.forget(&forgotten) }
    }

    /// When everything that was there has been shaped, what the sinks keep besides is stale. When something of it was left out, that
    /// is not known.
    pub(crate) fn listed(&mut self) {
        let before = self.unlisted;
        self.unlisted = before.saturating_sub(1);
        // Once only: a source that is added later has nothing to do with the start.
        if before != 1 {
            return;
        }
        let dropped = self.meter.queue.dropped.get() > 0;
        if self.incomplete || dropped {
            warn!(lane = %self.origin.lane, "of what was there at the start something was left out: nothing that the sinks keep is taken for stale");
        } else {
            self.hand_on(Parcel::Settled(Arc::clone(&self.origin.lane)));
        }
    }

    pub(crate) fn define(&mut self, subjects: &[Arc<Subject>]) -> Result<(), GivenUp> {
        self.subjects.extend(subjects.iter().map(|subject| (subject.id, Arc::clone(subject))));
        for part in subjects.chunks(SUBJECTS) {
            let begin = Instant::now();
            if let Err(fault) = self.shaper.define(part) {
                // The instance that takes its place is told all of them.
                return self.replace(&fault, "subjects", part.len(), begin.elapsed());
            }
        }
        Ok(())
    }

    fn forget(&mut self, subjects: &[SubjectId]) -> Result<(), GivenUp> {
        let known: Vec<SubjectId> = subjects.iter().copied().filter(|subject| self.subjects.remove(subject).is_some()).collect();
        for subject in subjects {
            self.shunned.remove(subject);
            self.suspects.remove(subject);
            self.unbearable.remove(subject);
        }
        for part in known.chunks(SUBJECTS) {
            let begin = Instant::now();
            if let Err(fault) = self.shaper.forget(part) {
                // The instance that takes its place is told of none of them.
                return self.replace(&fault, "subjects", part.len(), begin.elapsed());
            }
        }
        Ok(())
    }

    pub(crate) fn succeed(&mut self) {
        if self.trouble.succeed() {
            info!(lane = %self.origin.lane, "module works again");
        }
        if self.trouble.is_calm() {
            self.backoff.reset();
        }
    }

    pub(crate) fn emit(&self, origin: &Arc<Origin>, entries: Vec<Entry>, observed_at: UnixNanos) {
        if entries.is_empty() {
            return;
        }
        self.meter.entries.add(entries.len() as u64);
        // Whoever replays one wants one answer of each sink.
        let whole = origin.replay.is_some();
        for entries in if whole { vec![entries] } else { parts(entries) } {
            self.hand_on(Parcel::Entries { origin: Arc::clone(origin), entries, observed_at, receipt: self.in_hand.share() });
        }
    }

    fn hand_on(&self, parcel: Parcel) {
        let Some((last, others)) = self.outlets.split_last() else {
            return;
        };
        for outlet in others {
            self.send(outlet, parcel.clone());
        }
        self.send(last, parcel);
    }

    fn send(&self, outlet: &Inlet, parcel: Parcel) {
        let entries = parcel.entries();
        // An outlet that has ended has said why; the others still want their entries.
        if futures::executor::block_on(outlet.send(parcel)).is_err() {
            self.fates.unwanted_entries.add(entries);
        }
    }
}

impl<S> Lane<S> {
    /// So many events more are in work.
    pub(crate) fn take_in(&mut self, events: u64) {
        self.meter.events.add(events);
        self.open += events;
        self.fates.in_work.set(i64::try_from(self.open).unwrap_or(i64::MAX));
    }

    /// It is known what became of so many events.
    pub(crate) fn settle(&mut self, events: u64, fate: fn(&FateMeter) -> &Counter) {
        self.open = self.open.saturating_sub(events);
        self.fates.in_work.set(i64::try_from(self.open).unwrap_or(i64::MAX));
        fate(&self.fates).add(events);
    }
}

/// A lane is at work no longer than its thread lives, however that ends.
impl<S> Drop for Lane<S> {
    fn drop(&mut self) {
        self.meter.ready.set(0);
        // What is open now nobody shapes any more.
        let open = self.open;
        self.settle(open, |fates| &fates.unshaped);
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Entries in parts of [`PARCEL`] bytes, or of one entry.
fn parts(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    if entries.iter().map(Entry::weight).sum::<usize>() <= PARCEL {
        return vec![entries];
    }
    let mut parts = vec![Vec::new()];
    let mut weight = 0;
    for entry in entries {
        let more = entry.weight();
        if weight > 0 && weight + more > PARCEL {
            parts.push(Vec::new());
            weight = 0;
        }
        weight += more;
        if let Some(part) = parts.last_mut() {
            part.push(entry);
        }
    }
    parts
}
