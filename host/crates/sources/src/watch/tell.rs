//! How what is known of an object is told: its subject, its forms, and a receipt where somebody is to know that all have heard of it. Pure.

use std::sync::Arc;

use sluicebox_contract::{
    Announced, Announcement, Change, Event, Fault, Known, Notice, ObjectEvent, ObjectKind, Subject, SubjectKind, UnixNanos,
};

use super::memory::{Entry, Memory};
use super::typed::Typed;

/// What is told of an object.
pub(super) struct Told {
    pub(super) change: Change,
    /// As it is and as it was.
    pub(super) typed: Option<(Typed, Option<Typed>)>,
    pub(super) json: Option<Arc<str>>,
    /// What is announced by that, where it is news and somebody is to know it.
    pub(super) announced: Option<Announced>,
}

impl Memory {
    pub(super) fn subject_kind(&self) -> SubjectKind {
        match self.kind {
            ObjectKind::Pod => SubjectKind::Pod,
            ObjectKind::Namespace => SubjectKind::Namespace,
            ObjectKind::Node => SubjectKind::Node,
            ObjectKind::Service => SubjectKind::Service,
        }
    }

    /// It has gone while nobody watched: its last known state is told.
    pub(super) fn tell_vanished(&self, entry: &Entry, now: UnixNanos, notices: &mut Vec<Notice>) {
        self.tell_last(entry, entry.typed.clone(), now, notices);
    }

    /// It has gone: its last known state is told, and what it was before that.
    fn tell_last(&self, entry: &Entry, before: Option<Typed>, now: UnixNanos, notices: &mut Vec<Notice>) {
        let typed = entry.typed.clone().map(|typed| (typed, before));
        let announced = Some(Announced::Gone(Arc::clone(&entry.uid)));
        self.tell(entry, Told { change: Change::Deleted, typed, json: entry.json.clone(), announced }, now, notices);
        notices.push(Notice::Forgotten(entry.subject));
    }

    /// It was announced before this run and has gone since. Nobody knows yet who that is. Where more was told than was announced, it has gone
    /// as it was told last: whoever has heard of that has perhaps something under an address that it had not when it was announced.
    pub(super) fn tell_gone(&self, known: Known, now: UnixNanos, notices: &mut Vec<Notice>) -> Result<(), Fault> {
        let subject = self.number()?;
        let before = known.announcement.typed.clone();
        let last = known.told.unwrap_or(known.announcement);
        let Announcement { kind: _, uid, namespace, name, version, attributes, typed, json } = last;
        notices.push(Notice::Defined(Arc::new(Subject {
            id: subject,
            kind: self.subject_kind(),
            uid: uid.to_string(),
            namespace: namespace.to_string(),
            name: name.to_string(),
            attributes: attributes.clone(),
        })));
        let typed = typed.filter(|_| self.forms.typed.is_some());
        let entry = Entry { subject, uid, namespace, name, version, attributes, typed, json, weight: 0, seen_in_list: 0 };
        self.tell_last(&entry, before.or_else(|| entry.typed.clone()), now, notices);
        Ok(())
    }

    pub(super) fn announcement(&self, entry: &Entry) -> Announcement {
        Announcement {
            kind: self.kind,
            uid: Arc::clone(&entry.uid),
            namespace: Arc::clone(&entry.namespace),
            name: Arc::clone(&entry.name),
            version: entry.version.clone(),
            attributes: entry.attributes.clone(),
            typed: entry.typed.clone(),
            json: entry.json.clone(),
        }
    }

    pub(super) fn tell(&self, entry: &Entry, told: Told, now: UnixNanos, notices: &mut Vec<Notice>) {
        let (subject, Told { change, typed, json, announced }) = (entry.subject, told);
        let typed = typed.map(|(typed, previous)| typed.event(previous, subject, change, now));
        let object = self.forms.json.then(|| {
            Event::Object(ObjectEvent {
                subject,
                kind: self.kind,
                change,
                observed_at: now,
                uid: Arc::clone(&entry.uid),
                namespace: Arc::clone(&entry.namespace),
                name: Arc::clone(&entry.name),
                json,
            })
        });
        // What nobody is told is not announced; that something has gone is, or it would be remembered for ever.
        let is_told = typed.is_some() || object.is_some() || matches!(announced, Some(Announced::Gone(_)));
        let receipt = announced.filter(|_| is_told).and_then(|announced| self.recall.receipt(announced));
        notices.extend(typed.into_iter().chain(object).map(|event| match &receipt {
            Some(receipt) => Notice::Tracked(event, receipt.clone()),
            None => Notice::Event(event),
        }));
        if let Some(receipt) = receipt {
            receipt.done();
        }
    }
}
