//! The cgroups that there are, and what lanes are told of them: at once, when their names are known, or not at all. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Event, Fault, Notice, Subject, SubjectId, SubjectIds, Tick};
use tokio::time::Instant;

use super::cgroup::{Cgroup, State};
use super::claims::Claims;
use super::held::Held;
use super::index::{Full, Index};
use super::pods::Heard;
use super::renumbered::Renumbered;
use super::subject::{named, unnamed};
use crate::cgroups::config::WhenUnknown;
use crate::cgroups::place::Place;
use crate::end::out_of_ids;

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
    pub(in crate::cgroups) renumber: HashMap<SubjectId, SubjectId>,
}

/// All cgroups that are measured.
#[derive(Debug)]
pub(in crate::cgroups) struct Roster {
    rules: Rules,
    ids: Arc<SubjectIds>,
    index: Index,
    cgroups: BTreeMap<SubjectId, Cgroup>,
    held: Held,
    claims: Claims,
    /// A name has become free that several have claimed, perhaps.
    has_freed: bool,
    /// Uids, hashes and ids of containers of pods of which something was heard.
    heard: HashSet<Arc<str>>,
    notices: Vec<Notice>,
    orders: Orders,
    renumbered: Renumbered,
    /// Readings for which there was no room.
    dropped: u64,
    /// Pods for which there was none.
    unheard: u64,
    /// The API has told all pods that there are.
    listed: bool,
    /// Cgroups of pods that it has not told of all the same.
    strangers: u64,
    /// A cgroup that was left out because another one has its name.
    double: Option<String>,
}

impl Roster {
    pub(in crate::cgroups) fn new(rules: Rules, ids: Arc<SubjectIds>) -> Self {
        Self {
            rules,
            ids,
            index: Index::default(),
            cgroups: BTreeMap::new(),
            held: Held::new(MOST_HELD),
            claims: Claims::default(),
            has_freed: false,
            heard: HashSet::new(),
            notices: Vec::new(),
            orders: Orders::default(),
            renumbered: Renumbered::default(),
            dropped: 0,
            unheard: 0,
            listed: false,
            strangers: 0,
            double: None,
        }
    }

    /// A cgroup was found.
    pub(in crate::cgroups) fn come(&mut self, id: SubjectId, path: String, place: Option<Place>, now: Instant) {
        let subject = match &place {
            Some(place) if self.rules.kubernetes => {
                self.heard.extend(self.index.learn(place));
                named(id, &path, place, &self.index)
            }
            place => Some(unnamed(id, &path, place.as_ref())),
        };
        let is_double = subject.as_ref().is_some_and(|subject| self.claims.is_anothers(subject));
        let state = match subject {
            Some(subject) if !is_double => self.define(subject),
            _ => State::Waits { until: now + self.rules.wait, is_gone: false },
        };
        self.cgroups.insert(id, Cgroup { path, place, state, is_double });
    }

    /// Tells what was read, and keeps what was read of those that wait. An empty tick is told, too, if it is `regular`.
    pub(in crate::cgroups) fn read(&mut self, mut tick: Tick, regular: bool) {
        self.renumbered.apply(&mut tick);
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
            let waits = |id: SubjectId| self.cgroups.get(&id).is_some_and(Cgroup::is_kept);
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
        let id = self.renumbered.latest(id);
        let Some(cgroup) = self.cgroups.get_mut(&id) else { return };
        let is_double = cgroup.is_double;
        if let State::Waits { is_gone, .. } = &mut cgroup.state
            && !is_double
        {
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
        let mut gone: Vec<SubjectId> = self.cgroups.iter().filter(|(_, cgroup)| cgroup.is_gone()).map(|(id, _)| *id).collect();
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
                Err(Full) => self.unheard += 1,
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
        let has_freed = std::mem::take(&mut self.has_freed);
        if self.heard.is_empty() && !has_freed {
            return Ok(());
        }
        let mut told = Vec::new();
        for id in self.concerned(has_freed) {
            let Some(cgroup) = self.cgroups.get_mut(&id) else { continue };
            let Some(subject) = cgroup.place.as_ref().and_then(|place| named(id, &cgroup.path, place, &self.index)) else {
                continue;
            };
            cgroup.is_double = self.claims.is_anothers(&subject);
            if cgroup.is_double {
                self.held.release(&[id]);
                if cgroup.is_gone() {
                    self.forget(id);
                }
                continue;
            }
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

    /// The cgroups whose names may be others than before.
    fn concerned(&mut self, has_freed: bool) -> Vec<SubjectId> {
        let Self { cgroups, heard, index, .. } = self;
        // Of the containers that are known by now, some say whose pod's cgroup it is that they are in.
        let places = cgroups.values().filter(|cgroup| cgroup.is_among(heard)).filter_map(|cgroup| cgroup.place.as_ref());
        let learnt: Vec<Arc<str>> = places.filter_map(|place| index.learn(place)).collect();
        let mut heard = std::mem::take(heard);
        heard.extend(learnt);
        let is_concerned = |cgroup: &Cgroup| cgroup.is_among(&heard) || (has_freed && cgroup.is_double);
        cgroups.iter().filter(|(_, cgroup)| is_concerned(cgroup)).map(|(id, _)| *id).collect()
    }

    /// Decides about those that have waited long enough.
    pub(in crate::cgroups) fn expire(&mut self, now: Instant) {
        let is_over = |cgroup: &Cgroup| matches!(cgroup.state, State::Waits { until, .. } if until <= now);
        let over: Vec<SubjectId> = self.cgroups.iter().filter(|(_, cgroup)| is_over(cgroup)).map(|(id, _)| *id).collect();
        let mut told = Vec::new();
        let mut left_out = Vec::new();
        for id in over {
            let Some(cgroup) = self.cgroups.get_mut(&id) else { continue };
            if cgroup.is_double {
                self.double = Some(cgroup.path.clone());
            }
            match self.rules.when_unknown {
                WhenUnknown::Path => {
                    let subject = unnamed(id, &cgroup.path, cgroup.place.as_ref());
                    self.tell(id, subject, &mut told);
                }
                WhenUnknown::Drop => {
                    left_out.push(id);
                    if cgroup.is_gone() {
                        self.forget(id);
                        continue;
                    }
                    self.orders.rest.push(id);
                    cgroup.state = State::LeftOut;
                    // The sandbox of a pod is a container that the API never tells of; a pod that it does not tell of is odd.
                    self.strangers += u64::from(self.listed && cgroup.is_pod() && !cgroup.is_double);
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
        Orders { renumber: self.renumbered.take(), ..std::mem::take(&mut self.orders) }
    }

    /// Pods for which there was no room since the last question.
    pub(in crate::cgroups) fn take_unheard(&mut self) -> u64 {
        std::mem::take(&mut self.unheard)
    }

    /// The path of a cgroup that was left out because another one has its name, if there was one since the last question.
    pub(in crate::cgroups) fn take_double(&mut self) -> Option<String> {
        self.double.take()
    }

    /// Readings for which there was no room since the last question.
    pub(in crate::cgroups) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Pods that the API does not tell of though it has told all, since the last question.
    pub(in crate::cgroups) fn take_strangers(&mut self) -> u64 {
        std::mem::take(&mut self.strangers)
    }

    /// How many are told, and how many lack a name that they ought to have.
    pub(in crate::cgroups) fn counts(&self) -> (usize, usize) {
        let told = self.cgroups.values().filter(|cgroup| matches!(cgroup.state, State::Told(_))).count();
        (told, self.cgroups.values().filter(|cgroup| cgroup.is_nameless()).count())
    }

    fn define(&mut self, subject: Subject) -> State {
        self.claims.take(&subject);
        let subject = Arc::new(subject);
        self.notices.push(Notice::Defined(Arc::clone(&subject)));
        State::Told(subject)
    }

    fn tell(&mut self, id: SubjectId, subject: Subject, told: &mut Vec<(SubjectId, bool)>) {
        let state = self.define(subject);
        if let Some(cgroup) = self.cgroups.get_mut(&id) {
            let is_gone = cgroup.is_gone();
            cgroup.state = state;
            if let State::Told(subject) = &cgroup.state
                && is_gone
            {
                // It may have come again meanwhile.
                self.claims.free(subject);
            }
            told.push((id, is_gone));
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
        let new = self.ids.next().ok_or_else(|| out_of_ids("cgroup"))?;
        self.notices.push(Notice::Forgotten(id));
        let cgroup = self.cgroups.remove(&id);
        if let Some(State::Told(before)) = cgroup.as_ref().map(|cgroup| &cgroup.state) {
            self.has_freed |= self.claims.free(before);
        }
        let state = self.define(Subject { id: new, ..subject });
        self.cgroups.extend(cgroup.map(|cgroup| (new, Cgroup { state, ..cgroup })));
        self.renumbered.add(id, new);
        Ok(())
    }

    fn forget(&mut self, id: SubjectId) {
        let Some(cgroup) = self.cgroups.remove(&id) else { return };
        if let State::Told(subject) = &cgroup.state {
            self.has_freed |= self.claims.free(subject);
        }
        if let Some(Place::Pod { key, .. }) = &cgroup.place
            && !cgroup.is_double
        {
            self.index.released(key);
        }
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
