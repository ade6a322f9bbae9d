//! What becomes of entries that cannot be written: each is kept as a dead letter.

use std::sync::Arc;

use sluicebox_contract::{DeadLetter, Entry, Held, UnixNanos};
use tracing::warn;

use super::gathered::Gathered;
use super::is_worth_a_line;
use crate::letters::Letterbox;

/// Where entries of a sink go that cannot be written.
#[derive(Clone)]
pub(super) struct Refusals {
    sink: Arc<str>,
    letterbox: Option<Letterbox>,
    /// Entries refused so far; not each of them is worth a line in the log.
    complaints: u64,
}

impl Refusals {
    pub(super) fn new(sink: &Arc<str>, letterbox: Option<Letterbox>) -> Self {
        Self { sink: Arc::clone(sink), letterbox, complaints: 0 }
    }

    /// Keeps the entry of this index as a dead letter.
    pub(super) async fn bury(&mut self, gathered: &Gathered, index: usize, reason: &str) {
        let (Some(entry), Some((origin, observed_at))) = (gathered.entries.get(index), gathered.origin(index)) else { return };
        if let Some(replay) = &origin.replay {
            // Whoever replays it keeps it; when he has given up, it is still where it was.
            let _given_up = replay.try_send(Some(reason.to_owned()));
            return;
        }
        let (lane, module) = (&origin.lane, &origin.module);
        self.complaints += 1;
        if is_worth_a_line(self.complaints) {
            let (so_far, what) = (self.complaints, describe(entry));
            warn!(sink = %self.sink, %lane, %module, entry = %what, %reason, so_far, "sink refused an entry for good");
        }
        if let Some(letterbox) = &self.letterbox {
            let held = Held::Entry { sink: self.sink.to_string(), observed_at, entry: entry.clone() };
            let (lane, module, reason) = (lane.to_string(), module.clone(), reason.to_owned());
            letterbox.post(DeadLetter { at: UnixNanos::now(), lane, module, reason, replays: 0, held }).await;
        }
    }
}

/// An entry in a log line: what it is and for whom, not its content.
fn describe(entry: &Entry) -> String {
    const LONGEST: usize = 100;
    let cut = |name: &str| name.chars().take(LONGEST).flat_map(char::escape_default).collect::<String>();
    match entry {
        Entry::Message(message) => format!("message to {}", cut(message.channel.as_deref().unwrap_or("the default channel"))),
        Entry::Document(document) => format!("document {}", cut(&document.name)),
        Entry::Forget(forget) => format!("forget {}", cut(&forget.name)),
    }
}
