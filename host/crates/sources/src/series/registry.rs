//! Which subject a set of labels is, and which series go when there is no room for another one. Pure.
//!
//! Each series belongs to the party that told of it last: a target, or a query. Where there is no room, those go that are dead, which their
//! party's latest answer did not have, the one that was unseen longest first. Where nothing is dead, a party that is within its share takes the room
//! of those that are beyond theirs. What the present answer has never goes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Notice, Subject, SubjectId, SubjectIds, SubjectKind};
use tokio::time::Instant;

/// So many series may go for others within a minute, or as many as there is room for, if that is more; each party has its part of it. Numbers of
/// subjects are never used again: of labels that all change at each turn they last for months.
const MOST_GONE: usize = 20_000;
const PACE: Duration = Duration::from_mins(1);

/// Names and values, each name once.
pub(crate) type Labels = Vec<(String, String)>;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Series, at most.
    pub(crate) series: usize,
    /// Bytes of all of them together, roughly.
    pub(crate) bytes: usize,
    /// One that was not told of for so long is forgotten.
    pub(crate) unseen: Duration,
    /// How many parties have the same right to room; 0 where it is whose who comes first.
    pub(crate) shares: usize,
}

/// All series that are there.
pub(crate) struct Registry {
    bounds: Bounds,
    ids: Arc<SubjectIds>,
    /// By a text that stands for the labels.
    known: HashMap<Arc<str>, Known>,
    /// How many of them are not counted and never go.
    pinned: usize,
    bytes: usize,
    parties: Vec<Party>,
    /// Series were seen so many times.
    sights: u64,
    present: Present,
    notices: Vec<Notice>,
    out_of_ids: bool,
}

struct Known {
    subject: SubjectId,
    weight: usize,
    seen: Instant,
    /// Whose it is and where it stands there; none where it never goes.
    place: Option<(usize, Place)>,
}

/// When a series was seen last. They are in order by the first number, which is never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sight: u64,
    turn: u64,
}

#[derive(Default)]
struct Party {
    /// The number of its latest answer.
    turn: u64,
    bytes: usize,
    /// How many have gone for its own, since when.
    gone: (usize, Option<Instant>),
    /// Its series, the one first that was unseen longest.
    order: BTreeMap<Place, Arc<str>>,
}

/// The answer that is read now.
#[derive(Default)]
struct Present {
    party: usize,
    /// Something had no room.
    is_short: bool,
    /// All of the answer that is known has been seen: others may go.
    lets_go: bool,
    /// The parties that have dead series, by when the first of them was seen.
    dead: BinaryHeap<Reverse<(u64, usize)>>,
    /// All parties before this one are within their shares.
    searched: usize,
}

impl Registry {
    pub(crate) fn new(bounds: Bounds, ids: Arc<SubjectIds>) -> Self {
        let (known, parties, present, notices) = Default::default();
        Self { bounds, ids, known, pinned: 0, bytes: 0, parties, sights: 0, present, notices, out_of_ids: false }
    }

    /// An answer of this party is read from here on; parties are numbered from 0.
    pub(crate) fn begin(&mut self, party: usize) {
        self.present = Present { party, ..Present::default() };
        self.party().turn += 1;
    }

    /// The answer was none: whatever it did not have is not dead.
    pub(crate) fn take_back(&mut self) {
        let party = self.party();
        party.turn = party.turn.saturating_sub(1);
    }

    /// All of the answer that is known has been seen: from here on others go where there is no room. Says whether something had none so far
    /// that may have some now.
    pub(crate) fn let_go(&mut self) -> bool {
        let dead = self.parties.iter().enumerate();
        let dead = dead.filter_map(|(index, party)| Some(Reverse((party.dead()?.0.sight, index)))).collect();
        self.present.dead = dead;
        self.present.lets_go = true;
        self.present.is_short && !self.present.dead.is_empty()
    }

    /// The subject of the labels for which `key` stands, if it is known.
    pub(crate) fn find(&mut self, key: &str, now: Instant) -> Option<SubjectId> {
        let Self { known, parties, present, sights, .. } = self;
        let known = known.get_mut(key)?;
        known.seen = now;
        if let Some((whose, place)) = &mut known.place {
            let before = parties.get_mut(*whose)?;
            let key = before.order.remove(place)?;
            before.bytes = before.bytes.saturating_sub(known.weight);
            *whose = present.party;
            let party = party(parties, present.party);
            *sights += 1;
            *place = Place { sight: *sights, turn: party.turn };
            party.bytes += known.weight;
            party.order.insert(*place, key);
        }
        Some(known.subject)
    }

    /// The subject of the labels for which `key` stands; a new one is defined with what `labels` gives. None where there is no room, or
    /// where the labels are none.
    pub(crate) fn subject(&mut self, key: &str, now: Instant, labels: impl FnOnce() -> Option<Labels>) -> Option<SubjectId> {
        if let Some(known) = self.find(key, now) {
            return Some(known);
        }
        if !self.make_room(key.len(), now) {
            return None;
        }
        let labels = labels()?;
        let weight = weight(key, &labels);
        if !self.make_room(weight, now) {
            return None;
        }
        let key: Arc<str> = key.into();
        let subject = self.define(labels)?;
        self.sights += 1;
        let (whose, sight) = (self.present.party, self.sights);
        let party = self.party();
        let place = Place { sight, turn: party.turn };
        party.bytes += weight;
        party.order.insert(place, Arc::clone(&key));
        self.bytes += weight;
        self.known.insert(key, Known { subject, weight, seen: now, place: Some((whose, place)) });
        Some(subject)
    }

    /// Defines what always has room and stays for good.
    pub(crate) fn pin(&mut self, key: &str, now: Instant, labels: Labels) {
        if !self.known.contains_key(key)
            && let Some(subject) = self.define(labels)
        {
            self.known.insert(key.into(), Known { subject, weight: 0, seen: now, place: None });
            self.pinned += 1;
        }
    }

    /// Forgets those that were not told of for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        for index in 0..self.parties.len() {
            while let Some(key) = self.parties.get(index).and_then(|party| party.order.values().next())
                && self.known.get(key).is_some_and(|known| now.saturating_duration_since(known.seen) >= self.bounds.unseen)
            {
                let key = Arc::clone(key);
                self.forget(&key);
            }
        }
    }

    /// What the lanes must be told before the next event.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// All of it, leaving nothing: for work that is done elsewhere and brings it back.
    pub(crate) fn take(&mut self) -> Self {
        let nothing = Self::new(self.bounds, Arc::clone(&self.ids));
        std::mem::replace(self, nothing)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no number was left for another one.
    pub(crate) fn is_out_of_ids(&self) -> bool {
        self.out_of_ids
    }

    fn party(&mut self) -> &mut Party {
        party(&mut self.parties, self.present.party)
    }

    fn define(&mut self, labels: Labels) -> Option<SubjectId> {
        let Some(id) = self.ids.next() else {
            self.out_of_ids = true;
            return None;
        };
        self.notices.push(Notice::Defined(Arc::new(subject(id, labels))));
        Some(id)
    }

    fn forget(&mut self, key: &str) {
        let Some(known) = self.known.remove(key) else { return };
        self.notices.push(Notice::Forgotten(known.subject));
        self.bytes = self.bytes.saturating_sub(known.weight);
        if let Some((whose, place)) = known.place
            && let Some(party) = self.parties.get_mut(whose)
        {
            party.order.remove(&place);
            party.bytes = party.bytes.saturating_sub(known.weight);
        }
    }

    fn has_room(&self, weight: usize) -> bool {
        self.known.len() - self.pinned < self.bounds.series && weight <= self.bounds.bytes.saturating_sub(self.bytes)
    }

    /// Whether there is room for one more of this weight; others go for it.
    fn make_room(&mut self, weight: usize, now: Instant) -> bool {
        if weight > self.bounds.bytes {
            return false;
        }
        while !self.has_room(weight) {
            if !self.present.lets_go {
                self.present.is_short = true;
                return false;
            }
            if !self.may_go(now) {
                return false;
            }
            let Some(key) = self.dead().or_else(|| self.beyond_share(weight)) else { return false };
            self.forget(&key);
            self.party().gone.0 += 1;
        }
        true
    }

    /// Whether another one may go for one of the present party's at this time.
    fn may_go(&mut self, now: Instant) -> bool {
        let most = MOST_GONE.max(self.bounds.series) / self.parties.len().max(1);
        let party = self.party();
        if party.gone.1.is_none_or(|since| now.saturating_duration_since(since) >= PACE) {
            party.gone = (0, Some(now));
        }
        party.gone.0 < most
    }

    /// The dead one that was unseen longest.
    fn dead(&mut self) -> Option<Arc<str>> {
        let Self { parties, present, .. } = self;
        while let Some(Reverse((sight, index))) = present.dead.pop() {
            let Some((place, key)) = parties.get(index).and_then(Party::dead) else { continue };
            // Another one is found here when this one has gone.
            present.dead.push(Reverse((place.sight, index)));
            if place.sight == sight {
                return Some(Arc::clone(key));
            }
        }
        None
    }

    /// One of a party that has more than its share, for one that has not: the one that came last.
    fn beyond_share(&mut self, weight: usize) -> Option<Arc<str>> {
        let Self { parties, present, bounds, .. } = self;
        let (series, bytes) = (bounds.series.checked_div(bounds.shares)?, bounds.bytes.checked_div(bounds.shares)?);
        let own = party(parties, present.party);
        if own.order.len() >= series || own.bytes + weight > bytes {
            return None;
        }
        loop {
            let party = parties.get(present.searched)?;
            if present.searched != present.party && (party.order.len() > series || party.bytes > bytes) {
                return party.order.values().next_back().cloned();
            }
            present.searched += 1;
        }
    }
}

impl Party {
    /// The one that was unseen longest, if the latest answer did not have it.
    fn dead(&self) -> Option<(&Place, &Arc<str>)> {
        self.order.first_key_value().filter(|(place, _)| place.turn < self.turn)
    }
}

fn party(parties: &mut Vec<Party>, index: usize) -> &mut Party {
    if parties.len() <= index {
        parties.resize_with(index + 1, Party::default);
    }
    #[allow(clippy::indexing_slicing, reason = "there are more than so many")]
    &mut parties[index]
}

/// The key stands here; the labels in the subject, which the pipeline holds for lanes that join.
fn weight(key: &str, labels: &Labels) -> usize {
    let texts: usize = labels.iter().map(|(name, value)| 48 + name.len() + value.len()).sum();
    size_of::<Known>() + size_of::<(Place, Arc<str>)>() + key.len() + size_of::<Subject>() + texts
}

fn subject(id: SubjectId, labels: Labels) -> Subject {
    let mut name = String::new();
    let mut attributes = Labels::with_capacity(labels.len());
    for (label, value) in labels {
        if label == "__name__" {
            name = value;
        } else {
            attributes.push((label, value));
        }
    }
    Subject { id, kind: SubjectKind::Series, uid: String::new(), namespace: String::new(), name, attributes }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
