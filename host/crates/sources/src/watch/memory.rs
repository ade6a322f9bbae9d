//! Compares what is heard with what was known, and says what has happened. Pure; holds no more than what that needs.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use sluicebox_contract::{
    Change, Event, Fault, Notice, ObjectEvent, ObjectKind, Pod, PodEvent, Subject, SubjectId, SubjectIds, SubjectKind, UnixNanos,
};

use super::cut::Identity;
use super::read::{Object, Verb};

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) objects: usize,
    pub(crate) bytes: usize,
}

/// Makes a typed pod out of its JSON.
pub(crate) type ReadPod = fn(&str) -> Result<Pod, String>;

/// In which forms changes are told, and what is remembered for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forms {
    /// None if nobody wants typed pods.
    pub(crate) typed: Option<ReadPod>,
    /// Whether the JSON is told.
    pub(crate) json: bool,
    /// Whether the JSON is remembered, so that it can be repeated and told of what has vanished.
    pub(crate) keep_json: bool,
}

/// What is known of the objects of one kind.
pub(super) struct Memory {
    kind: ObjectKind,
    bounds: Bounds,
    forms: Forms,
    ids: Arc<SubjectIds>,
    entries: HashMap<String, Entry>,
    bytes: usize,
    /// Counts the lists that were begun.
    list: u64,
    /// Whether a list has come to its end yet.
    complete: bool,
    uncached: u64,
    refused: Vec<String>,
}

struct Entry {
    subject: SubjectId,
    uid: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
    version: Box<str>,
    pod: Option<Arc<Pod>>,
    json: Option<Arc<str>>,
    weight: usize,
    seen_in_list: u64,
}

impl Memory {
    pub(super) fn new(kind: ObjectKind, bounds: Bounds, forms: Forms, ids: Arc<SubjectIds>) -> Self {
        Self {
            kind,
            bounds,
            forms,
            ids,
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
        let entry = self.entries.get_mut(&key(&identity.namespace, &identity.name));
        // The uid may be missing; another one is that of another object.
        if let Some(entry) = entry.filter(|entry| identity.uid.is_empty() || *entry.uid == *identity.uid) {
            entry.seen_in_list = self.list;
        }
    }

    /// The list has come to its end.
    pub(super) fn end_list(&mut self, now: UnixNanos, notices: &mut Vec<Notice>) {
        let list = self.list;
        let mut gone: Vec<Entry> =
            self.entries.extract_if(|_, entry| entry.seen_in_list != list).map(|(_, entry)| entry).collect();
        // In the order in which they were first seen, so that a run can be repeated.
        gone.sort_by_key(|entry| entry.subject);
        for entry in gone {
            self.bytes -= entry.weight;
            self.tell_vanished(&entry, now, notices);
        }
        if !self.complete {
            self.complete = true;
            notices.push(Notice::Listed);
        }
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
            self.entries.values().filter(|entry| entry.json.is_some() || entry.pod.is_some()).collect();
        entries.sort_by_key(|entry| entry.subject);
        for entry in entries {
            let pods = entry.pod.clone().map(|pod| (pod, entry.pod.clone()));
            self.tell(entry, Change::Modified, pods, entry.json.clone(), now, notices);
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
        let change = if known.is_some() { Change::Modified } else { new };
        self.bytes -= known.as_ref().map_or(0, |known| known.weight);
        let (subject, previous) = match known {
            Some(known) => (known.subject, known.pod),
            None => (self.define(&object, notices)?, None),
        };
        let entry = self.entry(subject, &object);
        let pods = entry.pod.clone().map(|pod| (pod, previous));
        self.tell(&entry, change, pods, Some(object.json), now, notices);
        self.remember(key, entry, notices);
        Ok(())
    }

    fn absent(&mut self, object: &Object, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        let key = key(&object.namespace, &object.name);
        let known = match self.entries.entry(key) {
            hash_map::Entry::Occupied(entry) if entry.get().uid == object.uid => Some(entry.remove()),
            _ => None,
        };
        self.bytes -= known.as_ref().map_or(0, |known| known.weight);
        let (subject, previous) = match known {
            Some(known) => (known.subject, known.pod),
            None => (self.define(object, notices)?, None),
        };
        let entry = self.entry(subject, object);
        let pod = entry.pod.clone().or_else(|| previous.clone());
        self.tell(&entry, Change::Deleted, pod.map(|pod| (pod, previous)), Some(Arc::clone(&object.json)), now, notices);
        notices.push(Notice::Forgotten(subject));
        Ok(())
    }

    fn define(&mut self, object: &Object, notices: &mut Vec<Notice>) -> Result<SubjectId, Fault> {
        let id = self.ids.next().ok_or_else(|| {
            Fault::fatal("cannot number another object", "all 4294967295 numbers of this run have been used")
                .hint("restart sluicebox")
        })?;
        notices.push(Notice::Defined(Arc::new(Subject {
            id,
            kind: match self.kind {
                ObjectKind::Pod => SubjectKind::Pod,
                ObjectKind::Namespace => SubjectKind::Namespace,
                ObjectKind::Node => SubjectKind::Node,
                ObjectKind::Service => SubjectKind::Service,
            },
            uid: object.uid.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            attributes: Vec::new(),
        })));
        Ok(id)
    }

    fn entry(&mut self, subject: SubjectId, object: &Object) -> Entry {
        let pod = self.forms.typed.and_then(|parse| {
            parse(&object.json)
                .map_err(|cause| {
                    self.refused.push(format!("pod {}/{}: {cause}", object.namespace, object.name));
                })
                .ok()
                .map(Arc::new)
        });
        let json = self.forms.keep_json.then(|| Arc::clone(&object.json));
        let names = object.uid.len() + object.version.len() + 2 * (object.namespace.len() + object.name.len());
        let weight = size_of::<Entry>()
            + size_of::<String>()
            + names
            + pod.as_ref().map_or(0, |pod| pod.weight())
            + json.as_ref().map_or(0, |json| json.len());
        Entry {
            subject,
            uid: Arc::clone(&object.uid),
            namespace: Arc::clone(&object.namespace),
            name: Arc::clone(&object.name),
            version: object.version.clone(),
            pod,
            json,
            weight,
            seen_in_list: self.list,
        }
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

    /// It has gone while nobody watched: its last known state is told.
    fn tell_vanished(&self, entry: &Entry, now: UnixNanos, notices: &mut Vec<Notice>) {
        let pods = entry.pod.clone().map(|pod| (Arc::clone(&pod), Some(pod)));
        self.tell(entry, Change::Deleted, pods, entry.json.clone(), now, notices);
        notices.push(Notice::Forgotten(entry.subject));
    }

    fn tell(
        &self,
        entry: &Entry,
        change: Change,
        pods: Option<(Arc<Pod>, Option<Arc<Pod>>)>,
        json: Option<Arc<str>>,
        now: UnixNanos,
        notices: &mut Vec<Notice>,
    ) {
        let subject = entry.subject;
        if let Some((pod, previous)) = pods {
            notices.push(Notice::Event(Event::Pod(PodEvent { subject, change, observed_at: now, pod, previous })));
        }
        if self.forms.json {
            notices.push(Notice::Event(Event::Object(ObjectEvent {
                subject,
                kind: self.kind,
                change,
                observed_at: now,
                uid: Arc::clone(&entry.uid),
                namespace: Arc::clone(&entry.namespace),
                name: Arc::clone(&entry.name),
                json,
            })));
        }
    }
}

/// Neither part can hold a slash.
fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
