//! One module at work: takes batches from its queue, asks its shaper, hands the entries on, and puts a fresh instance in place of a
//! dead one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Backoff, Class, Entry, Event, Fault, Notice, Shaper, Subject, SubjectId, UnixNanos};
use tracing::{error, info, warn};

use crate::outlet::{Origin, Parcel, is_worth_a_line};
use crate::queue::{Receiver, Sender};
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
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            batch: 64,
            patience: Patience::default(),
            first_rest: Duration::from_secs(1),
            longest_rest: Duration::from_mins(1),
        }
    }
}

/// The host is stopping and the module cannot be brought to work.
pub(crate) struct GivenUp;

/// A module with everything that it needs to work; runs on a thread of its own.
pub(crate) struct Lane<S> {
    pub(crate) origin: Arc<Origin>,
    pub(crate) shaper: S,
    pub(crate) queue: Receiver<Notice>,
    pub(crate) outlets: Vec<Sender<Parcel>>,
    pub(crate) settings: LaneSettings,
    pub(crate) meter: Arc<LaneMeter>,
    /// Sources that have not told everything that was there at the start.
    pub(crate) unlisted: usize,
    /// Of what was there at the start, something was left out.
    pub(crate) incomplete: bool,
    /// What the instance has been told, or will be told when it starts.
    pub(crate) subjects: BTreeMap<SubjectId, Arc<Subject>>,
    /// Subjects that stop the module when they are defined: neither they nor their events are given to it.
    pub(crate) shunned: BTreeSet<SubjectId>,
    /// Subjects that were forgotten while the lane rested; the module is told after the batch in hand, which may still name them.
    pub(crate) forgotten: Vec<SubjectId>,
    pub(crate) trouble: Trouble,
    pub(crate) backoff: Backoff,
    /// Events taken from the queue of which it is not yet known what becomes.
    pub(crate) open: u64,
    /// Events left out so far; not each of them is worth a line in the log.
    pub(crate) complaints: u64,
}

impl<S: Shaper> Lane<S> {
    /// Works until the queue is closed and empty. Gives the number of events that were left unshaped at the end.
    pub(crate) fn run(mut self) -> u64 {
        let mut result = self.revive();
        while result.is_ok() {
            let Some(notices) = self.queue.take_blocking(self.settings.batch) else {
                return 0;
            };
            result = self.work(notices);
        }
        let (left, _) = self.queue.take_now(usize::MAX);
        let events = self.open + events_in(&left);
        self.meter.missed.add(events);
        if events > 0 {
            error!(lane = %self.origin.lane, events, "the host stops and the module does not work: events left unshaped");
        }
        events
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
        self.finish(run)?;
        let forgotten = std::mem::take(&mut self.forgotten);
        if forgotten.is_empty() { Ok(()) } else { self.forget(&forgotten) }
    }

    fn finish(&mut self, run: Run) -> Result<(), GivenUp> {
        match run {
            Run::None => Ok(()),
            Run::Defined(subjects) => self.define(&subjects),
            Run::Forgotten(subjects) => self.forget(&subjects),
            Run::Events(events) => self.shape(&events),
            Run::Listed => {
                self.listed();
                Ok(())
            }
        }
    }

    /// When everything that was there has been shaped, what the sinks keep besides is stale. When something of it was left out, that
    /// is not known.
    pub(crate) fn listed(&mut self) {
        self.unlisted = self.unlisted.saturating_sub(1);
        let dropped = self.meter.queue.dropped.get() > 0;
        if self.unlisted > 0 {
            return;
        }
        if self.incomplete || dropped {
            warn!(lane = %self.origin.lane, "of what was there at the start something was left out: nothing that the sinks keep is taken for stale");
        } else {
            self.hand_on(Parcel::Settled);
        }
    }

    fn define(&mut self, subjects: &[Arc<Subject>]) -> Result<(), GivenUp> {
        self.subjects.extend(subjects.iter().map(|subject| (subject.id, Arc::clone(subject))));
        let begin = Instant::now();
        match self.shaper.define(subjects) {
            Ok(()) => Ok(()),
            Err(fault) => self.replace(&fault, "subjects", subjects.len(), begin.elapsed()),
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) -> Result<(), GivenUp> {
        let known: Vec<SubjectId> = subjects.iter().copied().filter(|subject| self.subjects.remove(subject).is_some()).collect();
        for subject in subjects {
            self.shunned.remove(subject);
        }
        if known.is_empty() {
            return Ok(());
        }
        let begin = Instant::now();
        match self.shaper.forget(&known) {
            Ok(()) => Ok(()),
            Err(fault) => self.replace(&fault, "subjects", known.len(), begin.elapsed()),
        }
    }

    /// Shapes events; after a fault each half again, until the guilty event is alone and is left out.
    fn shape(&mut self, events: &[Event]) -> Result<(), GivenUp> {
        let Some(first) = events.first() else { return Ok(()) };
        if !self.shunned.is_empty() && events.iter().any(|event| self.shunned.contains(&event.subject())) {
            return self.shape_around_shunned(events);
        }
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
            self.replace(&fault, kind(first), events.len(), begin.elapsed())?;
        }
        if events.len() == 1 {
            self.leave_out(first, &fault);
            return Ok(());
        }
        let (left, right) = events.split_at(events.len() / 2);
        self.shape(left)?;
        self.shape(right)
    }

    fn shape_around_shunned(&mut self, events: &[Event]) -> Result<(), GivenUp> {
        let (shunned, others): (Vec<Event>, Vec<Event>) =
            events.iter().cloned().partition(|event| self.shunned.contains(&event.subject()));
        self.open = self.open.saturating_sub(shunned.len() as u64);
        self.meter.deadly.add(shunned.len() as u64);
        self.incomplete |= self.unlisted > 0;
        self.shape(&others)
    }

    fn leave_out(&mut self, event: &Event, fault: &Fault) {
        self.open = self.open.saturating_sub(1);
        self.incomplete |= self.unlisted > 0;
        let counter = if fault.class == Class::Skip { &self.meter.refused } else { &self.meter.deadly };
        counter.increment();
        self.complaints += 1;
        if is_worth_a_line(self.complaints) {
            let (lane, module) = (&self.origin.lane, &self.origin.module);
            let (subject, so_far) = (event.subject().0, self.complaints);
            if fault.class == Class::Skip {
                warn!(%lane, %module, subject, event = kind(event), so_far, %fault, "module refused an event");
            } else {
                error!(%lane, %module, subject, event = kind(event), so_far, %fault, "event left out: it stops the module even when it is alone");
            }
        }
    }

    fn succeed(&mut self) {
        if self.trouble.succeed() {
            info!(lane = %self.origin.lane, "module works again");
        }
        if self.trouble.is_calm() {
            self.backoff.reset();
        }
    }

    fn emit(&self, entries: Vec<Entry>, observed_at: UnixNanos) {
        if entries.is_empty() {
            return;
        }
        self.meter.entries.add(entries.len() as u64);
        self.hand_on(Parcel::Entries { origin: Arc::clone(&self.origin), entries, observed_at });
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

pub(crate) fn events_in(notices: &[Notice]) -> u64 {
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
