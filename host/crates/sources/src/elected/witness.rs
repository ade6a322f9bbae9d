//! What has happened while somebody else held the lease, as long as the somebody may not have told it.
//!
//! A list tells what is there. What has gone, and what has changed twice, it does not; so that much is remembered of the last seconds, within
//! bounds, and told when this collector's term begins. Some of it the holder before has told already.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Change, Event, Notice, Subject, SubjectId};
use tokio::time::Instant;
use tracing::warn;

use super::relay::{Relayed, Said};
use crate::end::End;

/// What a holder has heard it writes within this time, or dies with it.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// No more is remembered.
const MOST_EVENTS: usize = 8192;
const MOST_BYTES: usize = 16 << 20;

/// A source that tells nobody but us.
pub(super) struct Witness {
    source: Relayed,
    seen: Seen,
}

impl Witness {
    /// `silence` is how long the holder may have been dead when another one begins.
    pub(super) fn new(source: Relayed, silence: Duration) -> Self {
        Self { source, seen: Seen { reach: silence + ON_THE_WAY, ..Seen::default() } }
    }

    /// Remembers what happens; ends only when the source does.
    pub(super) async fn look_on(&mut self) -> End {
        loop {
            match self.source.next().await {
                Said::Notice(notice) => self.seen.take(notice, Instant::now()),
                Said::End(end) => return end,
            }
        }
    }

    /// What is to be told before everything that is there is listed.
    pub(super) fn testify(&mut self) -> Vec<Notice> {
        self.seen.forget_old(Instant::now());
        let there: BTreeSet<SubjectId> = self.seen.subjects.keys().copied().collect();
        // That one of these has come is what the list says, too.
        let is_news =
            |event: &Event| change(event) != Some(Change::Added) || event.subject().is_none_or(|id| !there.contains(&id));
        let events = std::mem::take(&mut self.seen.events);
        self.seen.bytes = 0;
        told(events.into_iter().filter(|seen| is_news(&seen.event)))
    }

    /// What has gone since then and is not in the list, whose uids these are.
    pub(super) fn gone_since(&mut self, listed: &BTreeSet<String>) -> Vec<Notice> {
        let events = std::mem::take(&mut self.seen.events);
        let unlisted = |seen: &Happened| !listed.contains(&seen.subject.uid);
        told(events.into_iter().filter(unlisted))
    }
}

#[derive(Default)]
struct Seen {
    reach: Duration,
    /// What is there.
    subjects: BTreeMap<SubjectId, Arc<Subject>>,
    events: VecDeque<Happened>,
    bytes: usize,
    left_out: u64,
}

struct Happened {
    at: Instant,
    subject: Arc<Subject>,
    event: Event,
}

impl Seen {
    fn take(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::Defined(subject) => drop(self.subjects.insert(subject.id, subject)),
            Notice::Forgotten(subject) => drop(self.subjects.remove(&subject)),
            Notice::Listed => {}
            // What was there when we began to look on has not happened since.
            Notice::Event(event) | Notice::Tracked(event, _) if change(&event) == Some(Change::Listed) => {}
            Notice::Event(event) | Notice::Tracked(event, _) => {
                let Some(subject) = event.subject().and_then(|id| self.subjects.get(&id)) else { return };
                self.bytes += event.weight();
                self.events.push_back(Happened { at: now, subject: Arc::clone(subject), event });
            }
        }
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(oldest) = self.events.front() {
            let is_old = now.saturating_duration_since(oldest.at) > self.reach;
            if !is_old && self.events.len() <= MOST_EVENTS && self.bytes <= MOST_BYTES {
                return;
            }
            if !is_old {
                self.left_out += 1;
                if self.left_out.is_power_of_two() {
                    warn!(
                        so_far = self.left_out,
                        "more happens in the cluster than whoever stands by remembers: the oldest is left out"
                    );
                }
            }
            self.bytes = self.bytes.saturating_sub(oldest.event.weight());
            self.events.pop_front();
        }
    }
}

/// The events with their subjects, which are forgotten in the end: what is there is listed under other numbers.
fn told(events: impl Iterator<Item = Happened>) -> Vec<Notice> {
    let mut defined: BTreeMap<SubjectId, Arc<Subject>> = BTreeMap::new();
    let mut notices = Vec::new();
    for Happened { subject, event, .. } in events {
        if !defined.get(&subject.id).is_some_and(|known| Arc::ptr_eq(known, &subject)) {
            defined.insert(subject.id, Arc::clone(&subject));
            notices.push(Notice::Defined(subject));
        }
        notices.push(Notice::Event(event));
    }
    notices.extend(defined.into_keys().map(Notice::Forgotten));
    notices
}

fn change(event: &Event) -> Option<Change> {
    match event {
        Event::Pod(event) => Some(event.change),
        Event::Service(event) => Some(event.change),
        Event::Node(event) => Some(event.change),
        Event::Object(event) => Some(event.change),
        Event::Tick(_) | Event::Connections(_) | Event::Inventory(_) | Event::Series(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{ObjectEvent, ObjectKind, SubjectKind, UnixNanos};

    use super::*;

    fn event(subject: u32, change: Change, bytes: usize) -> Notice {
        Notice::Event(Event::Object(ObjectEvent {
            subject: SubjectId(subject),
            kind: ObjectKind::Pod,
            change,
            observed_at: UnixNanos(1),
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            json: Some("x".repeat(bytes).into()),
        }))
    }

    fn seen() -> Seen {
        let mut seen = Seen { reach: Duration::from_secs(10), ..Seen::default() };
        let (uid, namespace, name) = ("u".to_owned(), "n".to_owned(), "p".to_owned());
        let subject = Subject { id: SubjectId(1), kind: SubjectKind::Pod, uid, namespace, name, attributes: Vec::new() };
        seen.take(Notice::Defined(Arc::new(subject)), Instant::now());
        seen
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_in_number_bytes_and_age() {
        let now = Instant::now();
        let mut many = seen();
        (0..MOST_EVENTS + 5).for_each(|_| many.take(event(1, Change::Modified, 0), now));
        assert_eq!((many.events.len(), many.left_out), (MOST_EVENTS, 5));
        let mut large = seen();
        (0..20).for_each(|_| large.take(event(1, Change::Modified, 1 << 20), now));
        assert!(large.bytes <= MOST_BYTES && large.events.len() == 15, "{}", large.events.len());
        large.forget_old(now + Duration::from_secs(10));
        assert_eq!(large.events.len(), 15);
        large.forget_old(now + Duration::from_secs(11));
        assert_eq!((large.events.len(), large.bytes), (0, 0));
    }

    #[tokio::test]
    async fn what_was_there_at_first_and_what_nobody_has_defined_is_not_remembered() {
        let now = Instant::now();
        let mut seen = seen();
        seen.take(event(1, Change::Listed, 0), now);
        seen.take(event(2, Change::Modified, 0), now);
        assert_eq!(seen.events.len(), 0);
        seen.take(event(1, Change::Deleted, 0), now);
        seen.take(Notice::Forgotten(SubjectId(1)), now);
        let told = told(seen.events.into_iter());
        assert!(matches!(&told[..], [Notice::Defined(_), Notice::Event(_), Notice::Forgotten(SubjectId(1))]), "{told:?}");
    }
}
