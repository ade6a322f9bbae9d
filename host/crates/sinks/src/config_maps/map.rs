//! One `ConfigMap`: which documents of ours it is to hold, and what is known of it. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::load::Load;
use super::observed::{Key, Neighbour, Observed, Value};

/// So much of the budget, one of so many parts, has to be free for a write without a version. What is known may be as old as `resync`, or as our
/// last write, and what others have added since has room in there.
const CALM_PARTS: usize = 2;
/// A write without a version adds at most one of so many parts of the budget: sixteen writers who do so at once, and know nothing of each
/// other, have room in the other half. Should there be more of them, the first answer that tells of too much ends it.
const GROWTH_PARTS: usize = 32;

/// What is known of the `ConfigMap` at the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// It has to be read first.
    #[default]
    Nothing,
    /// It is not there.
    Missing,
    /// It had this version when we last looked or wrote, and what is remembered of others belongs to it.
    Version(String),
}

/// A `ConfigMap`.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) known: Known,
    /// When it was last read.
    pub(super) read_at: Option<Instant>,
    /// It may not be written to before.
    pub(super) not_before: Instant,
    /// Until when the API has asked to be left alone.
    pub(super) asked_until: Instant,
    /// Nobody can write to it.
    pub(super) immutable: bool,
    /// How many of ours had to make room so far.
    pub(super) displaced: u64,
    /// How often somebody else had written under our name.
    pub(super) twins: u64,
    /// The server's time of our last write, as long as it is sure which one that was.
    pub(super) signed: Option<String>,
    /// Somebody was faster or has a key of ours: the next write is for one version.
    pub(super) contested: bool,
    /// Our keys that are to be there.
    documents: HashMap<Arc<str>, Document>,
    /// The same by when they were last put.
    order: BTreeMap<u64, Arc<str>>,
    puts: u64,
    own: Load,
    /// The same as it is at the API server.
    there: Load,
    /// Keys that are not ours alone, and the lengths of their values.
    others: HashMap<Box<str>, usize>,
    of_others: Load,
    largest: Option<(String, usize)>,
    /// Others of our like, the server's time of their last change, and since when we know no later one.
    neighbours: HashMap<String, (String, Instant)>,
    /// When we last changed anything.
    touched_at: Option<Instant>,
    /// What is there differs from what is to be there.
    changed: bool,
}

#[derive(Debug)]
struct Document {
    value: Arc<str>,
    load: Load,
    put: Instant,
    /// Its place in the order.
    number: u64,
    /// The API server has it like this.
    written: bool,
    /// It was there when we came, and has not been put since.
    adopted: bool,
}

/// A document that is not to be there any more for want of room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Displaced {
    pub(super) key: Arc<str>,
    pub(super) reason: String,
}

impl Map {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            known: Known::Nothing,
            read_at: None,
            not_before: now,
            asked_until: now,
            immutable: false,
            displaced: 0,
            twins: 0,
            signed: None,
            contested: false,
            documents: HashMap::new(),
            order: BTreeMap::new(),
            puts: 0,
            own: Load::default(),
            there: Load::default(),
            others: HashMap::new(),
            of_others: Load::default(),
            largest: None,
            neighbours: HashMap::new(),
            touched_at: None,
            changed: false,
        }
    }

    /// Whether there is something to write.
    pub(super) fn is_changed(&self) -> bool {
        self.changed && (self.is_wanted() || self.known != Known::Missing)
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_changed() && !self.is_wanted()
    }

    /// Whether it is to be made where it is missing.
    pub(super) fn is_wanted(&self) -> bool {
        !self.documents.is_empty()
    }

    /// A key has this value from now on.
    pub(super) fn put(&mut self, key: &str, value: &str, now: Instant) {
        let same = self.documents.get(key).is_some_and(|document| &*document.value == value);
        let (key, value, written) = match self.take(key) {
            Some((key, document)) if same => (key, document.value, document.written),
            Some((key, _)) => (key, value.into(), false),
            None => (key.into(), value.into(), false),
        };
        self.changed |= !written;
        self.keep(key, value, now, written, false);
    }

    /// A key is not to be there any more; says whether it was.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let was_there = self.take(key).is_some();
        self.changed |= was_there;
        was_there
    }

    /// Removes what has not been put for so long.
    pub(super) fn expire(&mut self, after: Duration, now: Instant) {
        while let Some(key) =
            self.oldest().filter(|(_, put)| now.saturating_duration_since(*put) >= after).map(|(key, _)| Arc::clone(key))
        {
            self.remove(&key);
        }
    }

    /// The key that has not been put for longest, and when it was.
    pub(super) fn oldest(&self) -> Option<(&Arc<str>, Instant)> {
        let (_, key) = self.order.first_key_value()?;
        Some((key, self.documents.get(key)?.put))
    }

    /// What was put so far had waited from an earlier run.
    pub(super) fn adopt_all(&mut self) {
        self.documents.values_mut().for_each(|document| document.adopted = true);
    }

    /// Removes what an earlier run has left and nobody has put since, but for what is excepted.
    pub(super) fn remove_adopted(&mut self, except: impl Fn(&str) -> bool) {
        let left = self.documents.iter().filter(|(key, document)| document.adopted && !except(key));
        let left: Vec<_> = left.map(|(key, _)| Arc::clone(key)).collect();
        for key in left {
            self.remove(&key);
        }
    }

    /// Takes up what the API server tells. The first time, and if `adopts`, what is ours there is to stay.
    pub(super) fn observe(&mut self, observed: Option<Observed>, adopts: bool, now: Instant) {
        let first = self.read_at.is_none();
        self.read_at = Some(now);
        let is_missing = observed.is_none();
        let observed = observed.unwrap_or_default();
        self.twins += u64::from(self.is_twins_work(&observed));
        let keys = self.learn(observed, now);
        if is_missing {
            self.known = Known::Missing;
            self.nothing_is_written();
            return;
        }
        let mut there = 0;
        for key in keys {
            match (self.documents.get_mut(key.name.as_str()), key.value) {
                (Some(document), value) if document.written => {
                    if key.mine && matches!(&value, Value::Text(text) if **text == *document.value) {
                        there += 1;
                    } else if !key.mine && key.others {
                        // Whoever puts the same key later has it.
                        self.take(&key.name);
                    } else {
                        document.written = false;
                        self.changed = true;
                    }
                }
                (None, Value::Text(text)) if key.mine && first && adopts => {
                    self.keep(key.name.into(), text.into(), now, true, true);
                    there += 1;
                }
                (Some(_), _) => {}
                (None, _) => self.changed |= key.mine,
            }
        }
        if there != self.documents.values().filter(|document| document.written).count() {
            // Which of them somebody has removed does not matter: all of ours are written together.
            self.nothing_is_written();
        }
    }

    /// Takes up whose all of it is, and how large; gives back the keys.
    fn learn(&mut self, observed: Observed, now: Instant) -> Vec<Key> {
        self.known = Known::Version(observed.version);
        self.signed = Some(observed.time);
        self.immutable = observed.immutable;
        self.largest = observed.largest;
        self.meet(observed.neighbours, now);
        self.others.clear();
        (self.of_others, self.there) = Default::default();
        for key in &observed.keys {
            let load = Load::of_others(&key.name, key.value.len());
            if key.mine {
                self.there += load;
            }
            if !key.mine || key.others {
                self.of_others += load;
                self.others.insert(key.name.as_str().into(), key.value.len());
            }
        }
        observed.keys
    }

    /// Whether another program has written under our name since we have: at a later time, or keys that we have not.
    fn is_twins_work(&self, observed: &Observed) -> bool {
        let Some(signed) = &self.signed else { return false };
        let is_strange = |key: &Key| key.mine && !self.documents.contains_key(key.name.as_str());
        observed.time > *signed || (!self.changed && observed.keys.iter().any(is_strange))
    }

    /// No clocks are compared: what counts is for how long we have seen no change.
    fn meet(&mut self, neighbours: Vec<Neighbour>, now: Instant) {
        let mut before = std::mem::take(&mut self.neighbours);
        for Neighbour { manager, time } in neighbours {
            let since = before.remove(&manager).filter(|(known, _)| *known == time).map_or(now, |(_, since)| since);
            self.neighbours.insert(manager, (time, since));
        }
    }

    /// Others of our like who have not changed anything for so long.
    pub(super) fn abandoned(&self, after: Duration, now: Instant) -> Vec<String> {
        let is_gone = |since: &Instant| now.saturating_duration_since(*since) >= after;
        self.neighbours.iter().filter(|(_, (_, since))| is_gone(since)).map(|(manager, _)| manager.clone()).collect()
    }

    /// Has something written, if nothing of ours was for so long.
    pub(super) fn touch(&mut self, after: Duration, now: Instant) {
        self.changed |= self.is_wanted() && self.touch_due(after).is_none_or(|at| at <= now);
    }

    /// When something of ours has to be written.
    pub(super) fn touch_due(&self, after: Duration) -> Option<Instant> {
        self.touched_at?.checked_add(after)
    }

    fn nothing_is_written(&mut self) {
        for document in self.documents.values_mut() {
            document.written = false;
        }
        self.changed = !self.documents.is_empty();
    }

    /// Whether there is room for all of ours, as far as is known.
    pub(super) fn fits(&self, budget: usize) -> bool {
        self.total().fits(budget)
    }

    /// Whether it can be written to without asking for its version, as the budget is not at stake: a write for one version is in vain
    /// whenever another one of the many was faster, and would have lost nothing of theirs. Where nothing of ours is to be there, it would be made
    /// anew for nothing if somebody has deleted it.
    pub(super) fn is_calm(&self, budget: usize) -> bool {
        let growth = self.own - self.there;
        !self.contested
            && self.is_wanted()
            && self.total().fits_part(budget, CALM_PARTS)
            && growth.fits_part(budget, GROWTH_PARTS)
    }

    fn total(&self) -> Load {
        self.documents.keys().fold(self.own + self.of_others, |total, key| total - self.others_of(key))
    }

    /// Makes room: first goes what would not even fit alone beside what others have put, then what has not been put for longest.
    pub(super) fn make_room(&mut self, budget: usize) -> Vec<Displaced> {
        let mut displaced = Vec::new();
        let mut total = self.total();
        if total.fits(budget) {
            return displaced;
        }
        let alone = |key: &str, document: &Document| self.of_others - self.others_of(key) + document.load;
        let hopeless = self.documents.iter().filter(|(key, document)| !alone(key, document).fits(budget));
        let mut next: Vec<Arc<str>> = hopeless.map(|(key, _)| Arc::clone(key)).collect();
        next.extend(self.order.values().cloned());
        let reason = self.full(budget);
        for key in next {
            if total.fits(budget) {
                break;
            }
            let Some((key, document)) = self.take(&key) else { continue };
            total = total - document.load + self.others_of(&key);
            self.changed = true;
            displaced.push(Displaced { key, reason: reason.clone() });
        }
        displaced
    }

    /// The room that somebody else's value of a key takes, which ours would take the place of.
    fn others_of(&self, key: &str) -> Load {
        self.others.get(key).map_or_else(Load::default, |length| Load::of_others(key, *length))
    }

    fn full(&self, budget: usize) -> String {
        let largest = match &self.largest {
            Some((manager, bytes)) => format!(", {bytes} of them by `{manager}`"),
            None => String::new(),
        };
        format!(
            "there is no room for it: of {budget} bytes (`budget`) {} are taken by others{largest}, and the rest by documents of this \
             sink that were put later or are smaller",
            self.of_others.bytes
        )
    }

    /// Removes all of ours, as nothing can ever be written.
    pub(super) fn displace_all(&mut self, reason: &str) -> Vec<Displaced> {
        self.order.clear();
        self.own = Load::default();
        self.changed = false;
        self.signed = None;
        self.documents.drain().map(|(key, _)| Displaced { key, reason: reason.to_owned() }).collect()
    }

    /// Our keys and their values.
    pub(super) fn data(&self) -> Vec<(&str, &str)> {
        self.documents.iter().map(|(key, document)| (&**key, &*document.value)).collect()
    }

    /// All of ours is there, as of this version.
    pub(super) fn written(&mut self, version: String, now: Instant) {
        self.touched_at = Some(now);
        self.known = Known::Version(version);
        self.changed = false;
        self.contested = false;
        self.there = self.own;
        for document in self.documents.values_mut() {
            document.written = true;
        }
        // What others have of the same keys is remembered: it stays when we remove ours.
    }

    /// The same where the answer tells of everything.
    pub(super) fn written_and_seen(&mut self, observed: Observed, now: Instant) {
        self.written(observed.version.clone(), now);
        self.learn(observed, now);
        self.there = self.own;
    }

    fn keep(&mut self, key: Arc<str>, value: Arc<str>, put: Instant, written: bool, adopted: bool) {
        self.puts += 1;
        let load = Load::of(&key, &value);
        self.own += load;
        self.order.insert(self.puts, Arc::clone(&key));
        self.documents.insert(key, Document { value, load, put, number: self.puts, written, adopted });
    }

    fn take(&mut self, key: &str) -> Option<(Arc<str>, Document)> {
        let (key, document) = self.documents.remove_entry(key)?;
        self.order.remove(&document.number);
        self.own -= document.load;
        Some((key, document))
    }
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
