//! Compares what is heard with what was known, and says what has happened. Pure; holds no more than what that needs.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use sluicebox_contract::{Announced, Change, Fault, Notice, ObjectKind, Subject, SubjectId, SubjectIds, UnixNanos};

use super::cut::Identity;
use super::read::{Object, Verb};
use super::recall::{Found, Recall};
use super::tell::Told;
use super::typed::{ReadTyped, Typed};
use crate::Attributes;
use crate::end::out_of_ids;

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) objects: usize,
    pub(crate) bytes: usize,
}

/// In which forms changes are told, and what is remembered for that.
#[derive(Clone, Debug)]
pub(crate) struct Forms {
    /// None if nobody wants them typed.
    pub(crate) typed: Option<ReadTyped>,
    /// Whether the JSON is told.
    pub(crate) json: bool,
    /// Whether the JSON is remembered, so that it can be repeated and told of what has vanished.
    pub(crate) keep_json: bool,
    /// What is told with their subjects.
    pub(crate) attributes: Attributes,
}

/// What is known of the objects of one kind.
pub(super) struct Memory {
    pub(super) kind: ObjectKind,
    bounds: Bounds,
    pub(super) forms: Forms,
    pub(super) ids: Arc<SubjectIds>,
    pub(super) recall: Recall,
    entries: HashMap<String, Entry>,
    bytes: usize,
    /// Counts the lists that were begun.
    list: u64,
    /// Whether a list has come to its end yet.
    complete: bool,
    uncached: u64,
    refused: Vec<String>,
}

pub(super) struct Entry {
    pub(super) subject: SubjectId,
    pub(super) uid: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) version: Box<str>,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) typed: Option<Typed>,
    pub(super) json: Option<Arc<str>>,
    pub(super) weight: usize,
    pub(super) seen_in_list: u64,
}

impl Memory {
    pub(super) fn new(kind: ObjectKind, bounds: Bounds, forms: Forms, ids: Arc<SubjectIds>, recall: Recall) -> Self {
        Self {
            kind,
            bounds,
            forms,
            ids,
            recall,
            entries: HashMap::new(),
            bytes: 0,
            list: 0,
            complete: false,
            uncached: 0,
            refused: Vec::new(),
        }
    }

    pub(super) fn objects(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many objects did not fit since the last question.
    pub(super) fn take_uncached(&mut self) -> u64 {
        std::mem::take(&mut self.uncached)
    }

    /// What could not be understood since the last question.
    pub(super) fn take_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    /// How what was announced before this run was found since the last question.
    pub(super) fn take_found(&mut self) -> Found {
        self.recall.take_found()
    }

    /// A list begins: whatever is not in it has gone.
    pub(super) fn begin_list(&mut self) {
        self.list += 1;
    }

    /// An object stands in the list.
    pub(super) fn listed(&mut self, object: Object, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        let new = if self.complete { Change::Added } else { Change::Listed };
        self.present(object, new, now, notices)
    }

    /// An object stands in the list, of which nothing could be read but who it is.
    pub(super) fn remains(&mut self, identity: &Identity) {
        self.recall.remains(identity);
        let entry = self.entries.get_mut(&key(&identity.namespace, &identity.name));
        // The uid may be missing; another one is that of another object.
        if let Some(entry) = entry.filter(|entry| identity.uid.is_empty() || *entry.uid == *identity.uid) {
            entry.seen_in_list = self.list;
        }
    }

    /// The list has come to its end.
    pub(super) fn end_list(&mut self, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        let list = self.list;
        let mut gone: Vec<Entry> =
            self.entries.extract_if(|_, entry| entry.seen_in_list != list).map(|(_, entry)| entry).collect();
        // In the order in which they were first seen, so that a run can be repeated.
        gone.sort_by_key(|entry| entry.subject);
        for entry in gone {
            self.bytes -= entry.weight;
            self.tell_vanished(&entry, now, notices);
        }
        for known in self.recall.take_gone() {
            self.tell_gone(known, now, notices)?;
        }
        if !self.complete {
            self.complete = true;
            notices.push(Notice::Listed);
        }
        Ok(())
    }

    /// An object has changed, says a watch.
    pub(super) fn changed(&mut self, verb: Verb, object: Object, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        match verb {
            Verb::Added => self.present(object, Change::Added, now, notices),
            Verb::Modified => self.present(object, Change::Modified, now, notices),
            Verb::Deleted => self.absent(&object, now, notices),
        }
    }

    /// Everything that is remembered, once more.
    pub(super) fn repeat(&self, now: UnixNanos, notices: &mut Vec<Notice>) {
        let mut entries: Vec<&Entry> =
            self.entries.values().filter(|entry| entry.json.is_some() || entry.typed.is_some()).collect();
        entries.sort_by_key(|entry| entry.subject);
        for entry in entries {
            let typed = entry.typed.clone().map(|typed| (typed.clone(), Some(typed)));
            let told = Told { change: Change::Modified, typed, json: entry.json.clone(), announced: None };
            self.tell(entry, told, now, notices);
        }
    }

    /// `new` is what is said of an object that is not known.
    fn present(&mut self, object: Object, new: Change, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        let key = key(&object.namespace, &object.name);
        let list = self.list;
        let known = match self.entries.entry(key.clone()) {
            hash_map::Entry::Occupied(mut entry) if entry.get().uid == object.uid => {
                entry.get_mut().seen_in_list = list;
                if *entry.get().version == *object.version {
                    return Ok(());
                }
                Some(entry.remove())
            }
            // The same name, but another object.
            hash_map::Entry::Occupied(entry) => {
                let old = entry.remove();
                self.bytes -= old.weight;
                self.tell_vanished(&old, now, notices);
                None
            }
            hash_map::Entry::Vacant(_) => None,
        };
        let (recalled, gone) = if known.is_none() { self.recall.take(&key, &object.uid) } else { (None, Vec::new()) };
        for known in gone {
            self.tell_gone(known, now, notices)?;
        }
        let change = if known.is_some() { Change::Modified } else { new };
        let (entry, mut previous) = self.settle(known, &object, notices)?;
        let mut announced = self.recall.is_kept().then(|| self.announcement(&entry));
        if let (Some(before), Some(now)) = (recalled, &announced) {
            let is_known_to_all = before.to_all;
            // What all have heard so already is no news to be remembered.
            if self.recall.compare(&before, now) {
                announced = None;
            }
            // Of what is the same version, what was read of it then may have had another form.
            let is_same = before.announcement.version == entry.version;
            let before = if is_same { entry.typed.clone() } else { before.announcement.typed };
            previous = before.filter(|_| is_known_to_all);
        }
        let typed = entry.typed.clone().map(|typed| (typed, previous));
        let announced = announced.map(|announcement| Announced::There(Box::new(announcement)));
        self.tell(&entry, Told { change, typed, json: Some(object.json), announced }, now, notices);
        self.remember(key, entry, notices);
        Ok(())
    }

    fn absent(&mut self, object: &Object, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        let key = key(&object.namespace, &object.name);
        // Whatever was announced of it before is settled by this.
        let (_, gone) = self.recall.take(&key, &object.uid);
        for known in gone {
            self.tell_gone(known, now, notices)?;
        }
        let known = match self.entries.entry(key) {
            hash_map::Entry::Occupied(entry) if entry.get().uid == object.uid => Some(entry.remove()),
            _ => None,
        };
        let (entry, previous) = self.settle(known, object, notices)?;
        let typed = entry.typed.clone().or_else(|| previous.clone()).map(|typed| (typed, previous));
        let announced = Some(Announced::Gone(Arc::clone(&entry.uid)));
        let told = Told { change: Change::Deleted, typed, json: Some(Arc::clone(&object.json)), announced };
        self.tell(&entry, told, now, notices);
        notices.push(Notice::Forgotten(entry.subject));
        Ok(())
    }

    /// What is to be remembered of the object as it is now, and what it was. Its subject is defined if it is new or is told otherwise.
    fn settle(
        &mut self,
        known: Option<Entry>,
        object: &Object,
        notices: &mut Vec<Notice>,
    ) -> Result<(Entry, Option<Typed>), Fault> {
        self.bytes -= known.as_ref().map_or(0, |known| known.weight);
        let mut refused = Vec::new();
        let attributes = self.forms.attributes.read(&object.json, &mut refused);
        for cause in &refused {
            self.refuse(object, cause);
        }
        let is_told = known.as_ref().is_some_and(|known| known.attributes == attributes);
        let (subject, previous) = match known {
            Some(known) => (known.subject, known.typed),
            None => (self.number()?, None),
        };
        if !is_told {
            notices.push(Notice::Defined(Arc::new(self.subject(subject, object, attributes.clone()))));
        }
        Ok((self.entry(subject, attributes, object), previous))
    }

    pub(super) fn number(&self) -> Result<SubjectId, Fault> {
        self.ids.next().ok_or_else(|| out_of_ids("object"))
    }

    fn subject(&self, id: SubjectId, object: &Object, attributes: Vec<(String, String)>) -> Subject {
        Subject {
            id,
            kind: self.subject_kind(),
            uid: object.uid.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            attributes,
        }
    }

    fn entry(&mut self, subject: SubjectId, attributes: Vec<(String, String)>, object: &Object) -> Entry {
        let typed = self.forms.typed.map(|read| read(&object.json));
        let typed = typed.and_then(|read| read.map_err(|cause| self.refuse(object, &cause)).ok());
        let json = self.forms.keep_json.then(|| Arc::clone(&object.json));
        let names = object.uid.len() + object.version.len() + 2 * (object.namespace.len() + object.name.len());
        let weight = size_of::<Entry>()
            + size_of::<String>()
            + names
            + attributes.iter().map(|(name, value)| 48 + name.len() + value.len()).sum::<usize>()
            + typed.as_ref().map_or(0, Typed::weight)
            + json.as_ref().map_or(0, |json| json.len());
        Entry {
            subject,
            uid: Arc::clone(&object.uid),
            namespace: Arc::clone(&object.namespace),
            name: Arc::clone(&object.name),
            version: object.version.clone(),
            attributes,
            typed,
            json,
            weight,
            seen_in_list: self.list,
        }
    }

    fn refuse(&mut self, object: &Object, cause: &str) {
        let kind = match self.kind {
            ObjectKind::Pod => "pod",
            ObjectKind::Namespace => "namespace",
            ObjectKind::Node => "node",
            ObjectKind::Service => "service",
        };
        let between = if object.namespace.is_empty() { "" } else { "/" };
        self.refused.push(format!("{kind} {}{between}{}: {cause}", object.namespace, object.name));
    }

    /// What does not fit is not remembered: its subject ends with the event, so that nobody else has to remember it either.
    fn remember(&mut self, key: String, entry: Entry, notices: &mut Vec<Notice>) {
        if self.entries.len() < self.bounds.objects && self.bytes + entry.weight <= self.bounds.bytes {
            self.bytes += entry.weight;
            self.entries.insert(key, entry);
        } else {
            self.uncached += 1;
            notices.push(Notice::Forgotten(entry.subject));
        }
    }
}

/// Neither part can hold a slash.
pub(super) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "recall_tests.rs"]
mod recall_tests;
