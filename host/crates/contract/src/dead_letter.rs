//! What could not be dealt with, kept for whoever mends the cause: the event that stopped its module, the entry that a sink refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Entry, Event, Fault, Subject, UnixNanos};

/// Which module, and which build of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModuleIdentity {
    /// The preset or the path, as the configuration names it.
    pub name: String,
    /// What its author calls its version, and the beginning of its digest.
    pub version: String,
    /// SHA-256 of the component, 64 hexadecimal digits.
    pub digest: String,
}

impl fmt::Display for ModuleIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// An event or an entry that was left out, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeadLetter {
    /// When it was left out.
    #[serde(rename = "at-unix-nanos")]
    pub at: UnixNanos,
    /// In which lane.
    pub lane: String,
    /// Which module was to shape it, or has made it.
    pub module: ModuleIdentity,
    /// Why.
    pub reason: String,
    /// How often it was replayed before, in vain.
    #[serde(default)]
    pub replays: u32,
    /// The thing itself.
    pub held: Held,
}

/// What a dead letter holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Held {
    /// An event that stops its module even when it is alone.
    Event {
        /// What it is about, where the lane knows that; ids change from run to run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
        /// The event.
        event: Event,
    },
    /// An entry that a sink has refused for good.
    Entry {
        /// The sink.
        sink: String,
        /// When the event was observed that it was made from.
        #[serde(rename = "observed-at-unix-nanos")]
        observed_at: UnixNanos,
        /// The entry.
        entry: Entry,
    },
}

impl DeadLetter {
    /// Roughly how many bytes it holds in memory; what its queue is bounded by.
    pub fn weight(&self) -> usize {
        let held = match &self.held {
            Held::Event { event, .. } => event.weight(),
            Held::Entry { entry, .. } => entry.weight(),
        };
        512 + self.reason.len() + held
    }
}

/// Where dead letters are kept. Lives on a thread of its own, so its calls may block.
pub trait DeadLetters: Send + 'static {
    /// Keeps a letter; the oldest may have to go for it.
    fn keep(&mut self, letter: &DeadLetter) -> Result<(), Fault>;
}
