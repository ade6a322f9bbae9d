//! What a list of dead letters shows of each.

use sluicebox_contract::{Change, DeadLetter, Entry, Event, Held, ModuleIdentity, ObjectKind, SubjectKind, UnixNanos};

use crate::{Id, StoreError};

/// A file where dead letters are kept.
#[derive(Debug)]
pub struct Listed {
    /// Its name; none when it has not come from the collector.
    pub id: Option<Id>,
    /// The file's name.
    pub file: String,
    /// The file's size in bytes.
    pub bytes: u64,
    /// Whether it waits for being tried again.
    pub asked_for: bool,
    /// The letter in short, or why it cannot be read.
    pub letter: Result<Summary, StoreError>,
}

/// A dead letter without what it holds. Its texts come from outside: they may hold control characters.
#[derive(Clone, Debug)]
pub struct Summary {
    /// When it was left out.
    pub at: UnixNanos,
    /// In which lane.
    pub lane: String,
    /// Which module was to shape it, or has made it.
    pub module: ModuleIdentity,
    /// Why.
    pub reason: String,
    /// How often it was replayed before, in vain.
    pub replays: u32,
    /// What it holds.
    pub about: About,
}

/// What a dead letter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// An event.
    Event {
        /// The kind of object.
        kind: ObjectKind,
        /// The object's namespace; empty for what lives in none.
        namespace: String,
        /// The object's name.
        name: String,
        /// What happened to it.
        change: Change,
    },
    /// What was told of many subjects, of one of them.
    Many {
        /// What they are: `samples`, `connections`, `pods` of an inventory, or `values` of time series.
        what: &'static str,
        /// The kind of subject that they are about; none where that is not known.
        kind: Option<SubjectKind>,
        /// The subject's namespace; empty for what lives in none.
        namespace: String,
        /// The subject's name; empty where it is not known.
        name: String,
        /// How many they are.
        count: usize,
    },
    /// An entry.
    Entry {
        /// The sink that refused it.
        sink: String,
        /// `message`, `document` or `forget`.
        kind: &'static str,
        /// The channel of a message, the name of a document; empty when the sink's configuration chose it.
        name: String,
    },
}

impl From<DeadLetter> for Summary {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { at, lane, module, reason, replays, held } = letter;
        Self { at, lane, module, reason, replays, about: held.into() }
    }
}

impl From<Held> for About {
    fn from(held: Held) -> Self {
        match held {
            Held::Event { event: Event::Pod(event), .. } => Self::Event {
                kind: ObjectKind::Pod,
                namespace: event.pod.namespace.clone(),
                name: event.pod.name.clone(),
                change: event.change,
            },
            Held::Event { event: Event::Object(event), .. } => Self::Event {
                kind: event.kind,
                namespace: event.namespace.as_ref().to_owned(),
                name: event.name.as_ref().to_owned(),
                change: event.change,
            },
            Held::Event { event: Event::Service(event), .. } => Self::Event {
                kind: ObjectKind::Service,
                namespace: event.service.namespace.clone(),
                name: event.service.name.clone(),
                change: event.change,
            },
            Held::Event { event: Event::Node(event), .. } => Self::Event {
                kind: ObjectKind::Node,
                namespace: String::new(),
                name: event.node.name.clone(),
                change: event.change,
            },
            Held::Event {
                subject,
                event: event @ (Event::Tick(_) | Event::Connections(_) | Event::Inventory(_) | Event::Series(_)),
            } => {
                let what = match event {
                    Event::Connections(_) => "connections",
                    Event::Inventory(_) => "pods",
                    Event::Series(_) => "values",
                    _ => "samples",
                };
                let kind = subject.as_ref().map(|subject| subject.kind);
                let (namespace, name) = subject.map(|subject| (subject.namespace, subject.name)).unwrap_or_default();
                Self::Many { what, kind, namespace, name, count: event.items() }
            }
            Held::Entry { sink, entry, .. } => {
                let (kind, name) = match entry {
                    Entry::Message(message) => ("message", message.channel.unwrap_or_default()),
                    Entry::Document(document) => ("document", document.name),
                    Entry::Forget(forget) => ("forget", forget.name),
                };
                Self::Entry { sink, kind, name }
            }
        }
    }
}
