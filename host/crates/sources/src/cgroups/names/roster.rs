//! The cgroups that there are, and what lanes are told of them: at once, when their names are known, or not at all. Pure.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Event, Fault, Notice, Subject, SubjectId, SubjectIds, Tick};
use tokio::time::Instant;

use super::held::Held;
use super::index::{Full, Index};
use super::pods::Heard;
use super::subject::{key, named, text, unnamed};
use crate::cgroups::config::WhenUnknown;
use crate::cgroups::place::Place;

/// What was read of cgroups that wait takes so many bytes at most.
const MOST_HELD: usize = 4 << 20;
/// So many cgroups that are gone still wait for their names: those of short runs, of which the API tells when they have ended.
const MOST_GONE: usize = 1_000;

/// How cgroups are named.
#[derive(Clone, Copy, Debug)]
pub(in crate::cgroups) struct Rules {
    /// By the pods of the API server; else by their paths.
    pub(in crate::cgroups) kubernetes: bool,
    pub(in crate::cgroups) when_unknown: WhenUnknown,
    pub(in crate::cgroups) wait: Duration,
}

/// What the readings are to be changed by.
#[derive(Debug, Default)]
pub(in crate::cgroups) struct Orders {
    /// These are not to be read any more.
    pub(in crate::cgroups) rest: Vec<SubjectId>,
    /// These are to be read again.
    pub(in crate::cgroups) wake: Vec<SubjectId>,
    /// These have a new id.
    pub(in crate::cgroups) renumber: Vec<(SubjectId, SubjectId)>,
}

/// All cgroups that are measured.
#[derive(Debug)]
pub(in crate::cgroups) struct Roster {
    rules: Rules,
    ids: Arc<SubjectIds>,
    index: Index,
    cgroups: BTreeMap<SubjectId, Cgroup>,
    held: Held,
    /// Uids and hashes of pods of which something was heard.
    heard: HashSet<Arc<str>>,
    notices: Vec<Notice>,
    orders: Orders,
    /// Readings and names for which there was no room.
    dropped: u64,
    /// The API has told all pods that there are.
    listed: bool,
    /// Cgroups of pods that it has not told of all the same.
    strangers: u64,
}

#[derive(Debug)]
struct Cgroup {
    path: String,
    place: Option<Place>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// For its name, until then. One that is gone is told in retrospect.
    Waits {
        until: Instant,
        is_gone: bool,
    },
    Told(Arc<Subject>),
    LeftOut,
}

impl Roster {
    pub(in crate::cgroups) fn new(rules: Rules, ids: Arc<SubjectIds>) -> Self {
        Self {
            rules,
            ids,
            index: Index::default(),
            cgroups: BTreeMap::new(),
            held: Held::new(MOST_HELD),
            heard: HashSet::new(),
            notices: Vec::new(),
            orders: Orders::default(),
            dropped: 0,
            listed: false,
            strangers: 0,
        }
    }

    /// A cgroup was found.
    pub(in crate::cgroups) fn come(&mut self, id: SubjectId, path: String, place: Option<Place>, now: Instant) {
        let subject = match &place {
            Some(place) if self.rules.kubernetes => named(id, &path, place, &self.index),
            place => Some(unnamed(id, &path, place.as_ref())),
        };
        let state = match subject {
            Some(subject) => self.define(subject),
            None => State::Waits { until: now + self.rules.wait, is_gone: false },
        };
        self.cgroups.insert(id, Cgroup { path, place, state });
    }

    /// Tells what was read, and keeps what was read of those that wait. An empty tick is told, too, if it is `regular`.
    pub(in crate::cgroups) fn read(&mut self, mut tick: Tick, regular: bool) {
        self.renumber(&mut tick);
        let is_told = |id: SubjectId| self.cgroups.get(&id).is_some_and(|cgroup| matches!(cgroup.state, State::Told(_)));
        let is_told: Vec<bool> = tick.by_subject().filter_map(<[_]>::first).map(|sample| is_told(sample.subject)).collect();
        if is_told.contains(&false) {
            let untold: Vec<SubjectId> = tick
                .by_subject()
                .filter_map(<[_]>::first)
                .zip(is_told)
                .filter_map(|(sample, is_told)| (!is_told).then_some(sample.subject))
                .collect();
            let is_untold = |id: SubjectId| untold.binary_search(&id).is_ok();
            let waits = |id: SubjectId| self.cgroups.get(&id).is_some_and(|cgroup| matches!(cgroup.state, State::Waits { .. }));
            let kept = tick.only(|id| is_untold(id) && waits(id));
            if !kept.samples.is_empty() {
                self.dropped += self.held.hold(kept);
            }
            tick.samples.retain(|sample| !is_untold(sample.subject));
        }
        if regular || !tick.samples.is_empty() {
            self.notices.push(Notice::Event(Event::Tick(Arc::new(tick))));
        }
    }

    /// A cgroup has gone. What was read of it before goes out first.
    pub(in crate::cgroups) fn gone(&mut self, id: SubjectId) {
        let id = self.orders.renumber.iter().find(|(old, _)| *old == id).map_or(id, |(_, new)| *new);
        let Some(cgroup) = self.cgroups.get_mut(&id) else { return };
        if let State::Waits { is_gone, .. } = &mut cgroup.state {
            *is_gone = true;
            return;
        }
        if matches!(cgroup.state, State::Told(_)) {
            self.notices.push(Notice::Forgotten(id));
        }
        self.forget(id);
    }

    /// Keeps those that are gone within their bound; the oldest make room.
    pub(in crate::cgroups) fn trim(&mut self) {
        let is_gone = |cgroup: &Cgroup| matches!(cgroup.state, State::Waits { is_gone: true, .. });
        let mut gone: Vec<SubjectId> = self.cgroups.iter().filter(|(_, cgroup)| is_gone(cgroup)).map(|(id, _)| *id).collect();
        gone.truncate(gone.len().saturating_sub(MOST_GONE));
        for id in &gone {
            self.forget(*id);
        }
        self.held.release(&gone);
        self.dropped += u64::try_from(gone.len()).unwrap_or(u64::MAX);
    }

    /// Something was heard of a pod. What follows from it is said by [`Self::settle`].
    pub(in crate::cgroups) fn heard(&mut self, heard: &Heard) {
        match heard {
            Heard::Present(pod) => match self.index.present(pod) {
                Ok(keys) => self.heard.extend(keys),
                Err(Full) => self.dropped += 1,
            },
            Heard::Deleted(pod) => {
                // A short run may stand in the last words about its pod only.
                if let Ok(keys) = self.index.present(pod) {
                    self.heard.extend(keys);
                }
                self.index.deleted(&pod.uid);
            }
            Heard::Listed => self.listed = true,
        }
    }

    /// Names those cgroups that can be named by what was heard.
    pub(in crate::cgroups) fn settle(&mut self) -> Result<(), Fault> {
        if self.heard.is_empty() {
            return Ok(());
        }
        let heard = std::mem::take(&mut self.heard);
        let concerned = |cgroup: &Cgroup| cgroup.place.as_ref().is_some_and(|place| heard.contains(text(key(place))));
        let concerned: Vec<SubjectId> = self.cgroups.iter().filter(|(_, cgroup)| concerned(cgroup)).map(|(id, _)| *id).collect();
        let mut told = Vec::new();
        for id in concerned {
            let Some(cgroup) = self.cgroups.get(&id) else { continue };
            let Some(subject) = cgroup.place.as_ref().and_then(|place| named(id, &cgroup.path, place, &self.index)) else {
                continue;
            };
            match &cgroup.state {
                State::Told(before) if **before == subject => {}
                State::Told(_) => self.redefine(id, subject)?,
                State::LeftOut => {
                    self.orders.wake.push(id);
                    self.tell(id, subject, &mut told);
                }
                State::Waits { .. } => self.tell(id, subject, &mut told),
            }
        }
        self.release(&told);
        Ok(())
    }

    /// Decides about those that have waited long enough.
    pub(in crate::cgroups) fn expire(&mut self, now: Instant) {
        let is_over = |cgroup: &Cgroup| matches!(cgroup.state, State::Waits { until, .. } if until <= now);
        let over: Vec<SubjectId> = self.cgroups.iter().filter(|(_, cgroup)| is_over(cgroup)).map(|(id, _)| *id).collect();
        let mut told = Vec::new();
        let mut left_out = Vec::new();
        for id in over {
            let Some(cgroup) = self.cgroups.get_mut(&id) else { continue };
            match self.rules.when_unknown {
                WhenUnknown::Path => {
                    let subject = unnamed(id, &cgroup.path, cgroup.place.as_ref());
                    self.tell(id, subject, &mut told);
                }
                WhenUnknown::Drop => {
                    left_out.push(id);
                    if matches!(cgroup.state, State::Waits { is_gone: true, .. }) {
                        self.forget(id);
                        continue;
                    }
                    self.orders.rest.push(id);
                    cgroup.state = State::LeftOut;
                    // The sandbox of a pod is a container that the API never tells of; a pod that it does not tell of is odd.
                    self.strangers += u64::from(self.listed && matches!(cgroup.place, Some(Place::Pod { .. })));
                }
            }
        }
        self.held.release(&left_out);
        self.release(&told);
    }

    /// When the next one has waited long enough.
    pub(in crate::cgroups) fn deadline(&self) -> Option<Instant> {
        let until = |cgroup: &Cgroup| match cgroup.state {
            State::Waits { until, .. } => Some(until),
            State::Told(_) | State::LeftOut => None,
        };
        self.cgroups.values().filter_map(until).min()
    }

    /// What lanes are to be told, in order.
    pub(in crate::cgroups) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What the next reading is to be changed by.
    pub(in crate::cgroups) fn take_orders(&mut self) -> Orders {
        std::mem::take(&mut self.orders)
    }

    /// Readings and names for which there was no room since the last question.
    pub(in crate::cgroups) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Pods that the API does not tell of though it has told all, since the last question.
    pub(in crate::cgroups) fn take_strangers(&mut self) -> u64 {
        std::mem::take(&mut self.strangers)
    }

    /// How many are told, and how many lack a name that they ought to have: a container that was left out is a sandbox.
    pub(in crate::cgroups) fn counts(&self) -> (usize, usize) {
        let told = self.cgroups.values().filter(|cgroup| matches!(cgroup.state, State::Told(_))).count();
        let lacks = |cgroup: &&Cgroup| match cgroup.state {
            State::Waits { .. } => true,
            State::LeftOut => matches!(cgroup.place, Some(Place::Pod { .. })),
            State::Told(_) => false,
        };
        (told, self.cgroups.values().filter(lacks).count())
    }

    fn define(&mut self, subject: Subject) -> State {
        let subject = Arc::new(subject);
        self.notices.push(Notice::Defined(Arc::clone(&subject)));
        State::Told(subject)
    }

    fn tell(&mut self, id: SubjectId, subject: Subject, told: &mut Vec<(SubjectId, bool)>) {
        let state = self.define(subject);
        if let Some(cgroup) = self.cgroups.get_mut(&id) {
            let before = std::mem::replace(&mut cgroup.state, state);
            told.push((id, matches!(before, State::Waits { is_gone: true, .. })));
        }
    }

    /// What was read while they waited goes out; those that are gone meanwhile are forgotten after it.
    fn release(&mut self, told: &[(SubjectId, bool)]) {
        let ids: Vec<SubjectId> = told.iter().map(|(id, _)| *id).collect();
        let ticks = self.held.release(&ids).into_iter();
        self.notices.extend(ticks.map(|tick| Notice::Event(Event::Tick(Arc::new(tick)))));
        for (id, is_gone) in told {
            if *is_gone {
                self.notices.push(Notice::Forgotten(*id));
                self.forget(*id);
            }
        }
    }

    /// It is somebody else than was told. A subject's names never change, so it is another subject.
    fn redefine(&mut self, id: SubjectId, subject: Subject) -> Result<(), Fault> {
        let new = self.ids.next().ok_or_else(crate::cgroups::out_of_ids)?;
        self.notices.push(Notice::Forgotten(id));
        let state = self.define(Subject { id: new, ..subject });
        if let Some(cgroup) = self.cgroups.remove(&id) {
            self.cgroups.insert(new, Cgroup { state, ..cgroup });
        }
        match self.orders.renumber.iter_mut().find(|(_, latest)| *latest == id) {
            Some((_, latest)) => *latest = new,
            None => self.orders.renumber.push((id, new)),
        }
        Ok(())
    }

    /// What was read before the reader knew of new ids.
    fn renumber(&self, tick: &mut Tick) {
        if self.orders.renumber.is_empty() {
            return;
        }
        for sample in &mut tick.samples {
            if let Some((_, new)) = self.orders.renumber.iter().find(|(old, _)| *old == sample.subject) {
                sample.subject = *new;
            }
        }
        // Stable: the samples of a subject keep their order.
        tick.samples.sort_by_key(|sample| sample.subject);
    }

    fn forget(&mut self, id: SubjectId) {
        if let Some(Cgroup { place: Some(Place::Pod { key, .. }), .. }) = self.cgroups.remove(&id) {
            self.index.released(&key);
        }
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
