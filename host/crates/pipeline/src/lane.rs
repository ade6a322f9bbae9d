//! One module at work: takes batches from its queue, asks its shaper, hands the entries on, and puts a fresh instance in place of a
//! dead one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Class, Entry, Event, Fault, Notice, Shaper, Subject, SubjectId, UnixNanos};
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::outlet::Parcel;
use crate::queue::{Receiver, Sender};

/// How a lane works.
#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// Events for one call, at most.
    pub batch: usize,
    /// The first rest of a lane whose module fails again and again; it doubles up to `longest_rest`.
    pub first_rest: Duration,
    /// The longest rest.
    pub longest_rest: Duration,
    /// Faults in a row, with no call that succeeded between them, after which the lane rests before each further try.
    pub patience: u32,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self { batch: 64, first_rest: Duration::from_secs(1), longest_rest: Duration::from_mins(1), patience: 8 }
    }
}

/// The host is stopping and the module cannot be brought to work.
struct GivenUp;

/// A module with everything that it needs to work; runs on a thread of its own.
pub(crate) struct Lane<S> {
    pub(crate) name: Arc<str>,
    pub(crate) shaper: S,
    pub(crate) queue: Receiver<Notice>,
    pub(crate) outlets: Vec<Sender<Parcel>>,
    pub(crate) settings: LaneSettings,
    pub(crate) meter: Arc<LaneMeter>,
    /// Sources that have not told everything that was there at the start.
    pub(crate) unlisted: usize,
    pub(crate) subjects: BTreeMap<SubjectId, Arc<Subject>>,
    pub(crate) backoff: Backoff,
    /// Faults since the last call that succeeded.
    pub(crate) faults: u32,
    /// Events taken from the queue of which it is not yet known what becomes.
    pub(crate) open: u64,
}

impl<S: Shaper> Lane<S> {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut result = self.revive();
        while result.is_ok() {
            let Some(notices) = self.queue.take_blocking(self.settings.batch) else {
                break;
            };
            result = self.work(notices);
        }
        self.meter.ready.set(0);
        if result.is_err() {
            let (left, _) = self.queue.take_now(usize::MAX);
            let events = self.open + events_in(&left);
            self.meter.missed.add(events);
            error!(lane = %self.name, events, "the host stops and the module does not work: events left unshaped");
        }
    }

    /// Goes through notices in their order, events of one kind in one call.
    fn work(&mut self, notices: Vec<Notice>) -> Result<(), GivenUp> {
        let events = events_in(&notices);
        self.meter.events.add(events);
        self.open += events;
        let mut run = Run::None;
        for notice in notices {
            let next = match notice {
                Notice::Defined(subject) => Run::Defined(vec![subject]),
                Notice::Forgotten(subject) => Run::Forgotten(vec![subject]),
                Notice::Event(event) => Run::Events(vec![event]),
                Notice::Listed => Run::Listed,
            };
            if let Some(next) = run.join(next) {
                self.finish(std::mem::replace(&mut run, next))?;
            }
        }
        self.finish(run)
    }

    fn finish(&mut self, run: Run) -> Result<(), GivenUp> {
        match run {
            Run::None => Ok(()),
            Run::Defined(subjects) => self.define(&subjects),
            Run::Forgotten(subjects) => self.forget(&subjects),
            Run::Events(events) => self.shape(&events),
            Run::Listed => {
                self.unlisted = self.unlisted.saturating_sub(1);
                if self.unlisted == 0 {
                    self.hand_on(Parcel::Settled);
                }
                Ok(())
            }
        }
    }

    fn define(&mut self, subjects: &[Arc<Subject>]) -> Result<(), GivenUp> {
        self.subjects.extend(subjects.iter().map(|subject| (subject.id, Arc::clone(subject))));
        match self.shaper.define(subjects) {
            Ok(()) => Ok(()),
            Err(fault) => self.replace(&fault, "subjects"),
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) -> Result<(), GivenUp> {
        for subject in subjects {
            self.subjects.remove(subject);
        }
        match self.shaper.forget(subjects) {
            Ok(()) => Ok(()),
            Err(fault) => self.replace(&fault, "subjects"),
        }
    }

    /// Shapes events; after a fault each half again, until the guilty event is alone and is left out.
    fn shape(&mut self, events: &[Event]) -> Result<(), GivenUp> {
        let Some(first) = events.first() else {
            return Ok(());
        };
        let begin = Instant::now();
        let fault = match self.shaper.shape(events) {
            Ok(entries) => {
                self.meter.calls.observe(begin.elapsed());
                self.succeed();
                self.open = self.open.saturating_sub(events.len() as u64);
                self.emit(entries, first.observed_at());
                return Ok(());
            }
            Err(fault) => fault,
        };
        if fault.class == Class::Skip {
            self.succeed();
        } else {
            self.replace(&fault, kind(first))?;
        }
        if events.len() == 1 {
            self.leave_out(first, &fault);
            return Ok(());
        }
        let (left, right) = events.split_at(events.len() / 2);
        self.shape(left)?;
        self.shape(right)
    }

    fn leave_out(&mut self, event: &Event, fault: &Fault) {
        self.open = self.open.saturating_sub(1);
        let subject = event.subject().0;
        if fault.class == Class::Skip {
            self.meter.refused.increment();
            warn!(lane = %self.name, subject, event = kind(event), %fault, "module refused an event");
        } else {
            self.meter.deadly.increment();
            error!(lane = %self.name, subject, event = kind(event), %fault, "event left out: it stops the module even when it is alone");
        }
    }

    fn succeed(&mut self) {
        if self.faults >= self.settings.patience {
            info!(lane = %self.name, "module works again");
        }
        self.faults = 0;
        self.backoff.reset();
    }

    /// A fresh instance in place of a dead one.
    fn replace(&mut self, fault: &Fault, event: &str) -> Result<(), GivenUp> {
        self.meter.traps.increment();
        self.meter.ready.set(0);
        self.faults = self.faults.saturating_add(1);
        warn!(lane = %self.name, event, %fault, "module stopped; a fresh instance takes its place");
        if self.faults >= self.settings.patience {
            self.rest()?;
        }
        self.revive()
    }

    /// Starts an instance and tells it all subjects; tries until that works or the host stops.
    fn revive(&mut self) -> Result<(), GivenUp> {
        loop {
            let Err(fault) = self.begin() else {
                return Ok(());
            };
            self.meter.traps.increment();
            self.faults = self.faults.saturating_add(1);
            error!(lane = %self.name, %fault, "module does not start; the lane rests and tries again");
            self.rest()?;
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.shaper.renew()?;
        let subjects: Vec<_> = self.subjects.values().cloned().collect();
        for part in subjects.chunks(1024) {
            self.shaper.define(part)?;
        }
        self.meter.instances.increment();
        self.meter.ready.set(1);
        debug!(lane = %self.name, subjects = subjects.len(), "instance started");
        Ok(())
    }

    /// Waits before the next try. Nobody else waits meanwhile: when the queue fills up, its oldest events are left out.
    fn rest(&mut self) -> Result<(), GivenUp> {
        let end = Instant::now() + self.backoff.wait();
        let mut missed = 0_u64;
        let result = loop {
            if self.queue.is_closed() {
                break Err(GivenUp);
            }
            let now = Instant::now();
            if now >= end {
                break Ok(());
            }
            if self.queue.is_nearly_full() {
                missed += self.make_room();
            } else {
                std::thread::park_timeout((end - now).min(Duration::from_millis(20)));
            }
        };
        if missed > 0 {
            error!(lane = %self.name, events = missed, "events left out: the lane rests and its queue was full");
        }
        result
    }

    /// Takes the oldest notices out of the queue without asking the module; says how many events were among them.
    fn make_room(&mut self) -> u64 {
        let notices = self.queue.take_now(self.settings.batch).0;
        let missed = events_in(&notices);
        for notice in notices {
            match notice {
                Notice::Defined(subject) => {
                    self.subjects.insert(subject.id, subject);
                }
                Notice::Forgotten(subject) => {
                    self.subjects.remove(&subject);
                }
                Notice::Event(_) => {}
                Notice::Listed => {
                    self.unlisted = self.unlisted.saturating_sub(1);
                    // Events were left out, so what is kept from earlier runs is not known to be stale: nothing is settled.
                }
            }
        }
        self.meter.missed.add(missed);
        missed
    }

    fn emit(&self, entries: Vec<Entry>, observed_at: UnixNanos) {
        if entries.is_empty() {
            return;
        }
        self.meter.entries.add(entries.len() as u64);
        self.hand_on(Parcel::Entries { entries, observed_at });
    }

    fn hand_on(&self, parcel: Parcel) {
        let Some((last, others)) = self.outlets.split_last() else {
            return;
        };
        for outlet in others {
            send(outlet, parcel.clone());
        }
        send(last, parcel);
    }
}

fn send(outlet: &Sender<Parcel>, parcel: Parcel) {
    let weight = parcel.weight();
    // An outlet that has ended has said why; the others still want their entries.
    let _ended = futures::executor::block_on(outlet.send(parcel, weight));
}

/// Notices that can be given in one call.
enum Run {
    None,
    Defined(Vec<Arc<Subject>>),
    Forgotten(Vec<SubjectId>),
    Events(Vec<Event>),
    Listed,
}

impl Run {
    /// Takes in `next`, a run of one; gives it back if it is of another kind.
    fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Defined(run), Self::Defined(mut next)) => {
                run.append(&mut next);
            }
            (Self::Forgotten(run), Self::Forgotten(mut next)) => {
                run.append(&mut next);
            }
            (Self::Events(run), Self::Events(mut next)) if same_kind(run.first(), next.first()) => {
                run.append(&mut next);
            }
            (_, next) => return Some(next),
        }
        None
    }
}

fn events_in(notices: &[Notice]) -> u64 {
    notices.iter().filter(|notice| matches!(notice, Notice::Event(_))).count() as u64
}

fn same_kind(one: Option<&Event>, other: Option<&Event>) -> bool {
    one.map(std::mem::discriminant) == other.map(std::mem::discriminant)
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Pod(_) => "pod",
        Event::Object(_) => "object",
    }
}
