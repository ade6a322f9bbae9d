//! The types of version 0.1 that have another structure today, and the ways over.

use wasmtime::component::{ComponentType, Lift, Lower};

use crate::bindings::exports::sluicebox::module::{object_handler, subjects};
use crate::bindings::sluicebox::module::types;

/// `lifecycle.context` as it was: without the version of the host.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Context<'a> {
    pub(super) lane: &'a str,
    #[component(name = "node-name")]
    pub(super) node_name: &'a str,
    pub(super) sources: &'a [&'a str],
}

/// `subjects.subject-kind` as it was.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum SubjectKind {
    #[component(name = "pod")]
    Pod,
    #[component(name = "namespace")]
    Namespace,
    #[component(name = "node")]
    Node,
}

/// `subjects.subject` as it was: without attributes.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Subject<'a> {
    id: u32,
    kind: SubjectKind,
    uid: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Subject<'a> {
    /// None for kinds that there were not: no event that such a module is given is about one.
    pub(super) fn of(subject: &subjects::Subject<'a>) -> Option<Self> {
        let kind = match subject.kind {
            subjects::SubjectKind::Pod => SubjectKind::Pod,
            subjects::SubjectKind::Namespace => SubjectKind::Namespace,
            subjects::SubjectKind::Node => SubjectKind::Node,
            subjects::SubjectKind::Container
            | subjects::SubjectKind::Cgroup
            | subjects::SubjectKind::Service
            | subjects::SubjectKind::Outside
            | subjects::SubjectKind::Series => return None,
        };
        Some(Self { id: subject.id, kind, uid: subject.uid, namespace: subject.namespace, name: subject.name })
    }
}

/// `object-handler.object-kind` as it was.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum ObjectKind {
    #[component(name = "pod")]
    Pod,
    #[component(name = "namespace")]
    Namespace,
    #[component(name = "node")]
    Node,
}

/// `object-handler.object-event` as it was: of fewer kinds.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct ObjectEvent<'a> {
    subject: u32,
    kind: ObjectKind,
    change: types::Change,
    #[component(name = "observed-at-unix-nanos")]
    observed_at_unix_nanos: u64,
    uid: &'a str,
    namespace: &'a str,
    name: &'a str,
    json: Option<&'a str>,
}

impl<'a> ObjectEvent<'a> {
    /// None for kinds that there were not.
    pub(super) fn of(event: &object_handler::ObjectEvent<'a>) -> Option<Self> {
        let kind = match event.kind {
            object_handler::ObjectKind::Pod => ObjectKind::Pod,
            object_handler::ObjectKind::Namespace => ObjectKind::Namespace,
            object_handler::ObjectKind::Node => ObjectKind::Node,
            object_handler::ObjectKind::Service => return None,
        };
        Some(Self {
            subject: event.subject,
            kind,
            change: event.change,
            observed_at_unix_nanos: event.observed_at_unix_nanos,
            uid: event.uid,
            namespace: event.namespace,
            name: event.name,
            json: event.json,
        })
    }
}

/// `types.entries` as it was.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Entries {
    #[component(name = "plain")]
    Plain(Vec<types::Entry>),
    #[component(name = "packed")]
    Packed(PackedMessages),
}

/// `types.packed-messages` as it was: without headers.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct PackedMessages {
    channel: Option<String>,
    text: String,
    ends: Vec<PackedEnd>,
}

/// `types.packed-end` as it was: no message had a channel of its own.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(record)]
pub(super) struct PackedEnd {
    #[component(name = "key-end")]
    key_end: u32,
    #[component(name = "body-end")]
    body_end: u32,
}

impl From<Entries> for types::Entries {
    fn from(entries: Entries) -> Self {
        match entries {
            Entries::Plain(entries) => Self::Plain(entries),
            Entries::Packed(packed) => Self::Packed(packed.into()),
        }
    }
}

impl From<PackedMessages> for types::PackedMessages {
    fn from(packed: PackedMessages) -> Self {
        // The channel of a message is empty: it ends where it begins, which is where the body before it ended.
        let mut channel_end = 0;
        let end = |end: PackedEnd| {
            let today = types::PackedEnd { channel_end, key_end: end.key_end, body_end: end.body_end };
            channel_end = end.body_end;
            today
        };
        let ends = packed.ends.into_iter().map(end).collect();
        Self { channel: packed.channel, headers: Vec::new(), text: packed.text, ends }
    }
}
