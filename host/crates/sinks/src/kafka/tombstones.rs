//! Documents that are to be forgotten later, and the records that say so.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::record::Name;
use crate::retention::Retention;

/// Tombstones that are with the client at once, or wait to be sent alone.
const MOST: usize = 1_000;

/// What is to be forgotten when, and what is being forgotten.
#[derive(Debug)]
pub(super) struct Tombstones {
    retention: Retention<Name>,
    sent: HashMap<usize, Sent>,
    /// They came back, perhaps for the sake of others that they were sent with: each is sent once more by itself.
    alone: VecDeque<Name>,
    number: usize,
}

#[derive(Debug)]
struct Sent {
    name: Name,
    /// The document was put again meanwhile, or is to be forgotten at another time.
    overtaken: bool,
    /// Nothing else was sent with it.
    alone: bool,
}

impl Tombstones {
    pub(super) fn new() -> Self {
        Self { retention: Retention::new(Name::weight), sent: HashMap::new(), alone: VecDeque::new(), number: 0 }
    }

    /// This document is to be forgotten then.
    pub(super) fn forget_at(&mut self, name: Name, at: Instant) {
        self.overtake(&name);
        self.retention.forget_at(name, at);
    }

    /// This document is to stay, or has been forgotten by an entry.
    pub(super) fn keep(&mut self, name: &Name) {
        self.overtake(name);
        self.retention.keep(name);
    }

    /// What is to be sent now, as far as there is room for it.
    pub(super) fn due(&self, now: Instant) -> Vec<Name> {
        let room = MOST.saturating_sub(self.sent.len()).saturating_sub(self.alone.len());
        self.retention.due(now).take(room).cloned().collect()
    }

    /// What is to be sent when nothing else is with the client.
    pub(super) fn first_alone(&self) -> Option<Name> {
        self.alone.front().cloned()
    }

    /// Whether one is with the client that nothing else is to be sent with.
    pub(super) fn one_is_alone(&self) -> bool {
        self.sent.len() == 1 && self.sent.values().any(|sent| sent.alone)
    }

    /// The number that the next one to be sent has.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The tombstone is with the client, under the number that was the next.
    pub(super) fn send(&mut self, name: Name, alone: bool) {
        self.retention.keep(&name);
        self.alone.retain(|other| *other != name);
        self.sent.insert(self.number, Sent { name, overtaken: false, alone });
        self.number = self.number.wrapping_add(1);
    }

    /// The client has done with it; says which document it was for.
    pub(super) fn settle(&mut self, number: usize) -> Option<Name> {
        self.sent.remove(&number).map(|sent| sent.name)
    }

    /// The client did not write it: it is due again.
    pub(super) fn put_back(&mut self, number: usize) {
        if let Some(sent) = self.sent.remove(&number) {
            self.restore(sent);
        }
    }

    /// The client did not write it, perhaps for the sake of another: it is due again, by itself.
    pub(super) fn put_back_alone(&mut self, number: usize) {
        if let Some(Sent { name, overtaken: false, .. }) = self.sent.remove(&number) {
            self.alone.push_back(name);
        }
    }

    /// The client has ended and taken with it what it had.
    pub(super) fn lose(&mut self) {
        for (_, sent) in std::mem::take(&mut self.sent) {
            self.restore(sent);
        }
    }

    /// The document, and whether nothing else was sent with its tombstone.
    pub(super) fn document(&self, number: usize) -> Option<(&Name, bool)> {
        self.sent.get(&number).map(|sent| (&sent.name, sent.alone))
    }

    /// How many are with the client.
    pub(super) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// When there is something to do.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        if self.sent.is_empty() && self.alone.is_empty() { self.retention.next(now) } else { Some(now) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.retention.is_full()
    }

    fn overtake(&mut self, name: &Name) {
        self.alone.retain(|other| other != name);
        for sent in self.sent.values_mut().filter(|sent| sent.name == *name) {
            sent.overtaken = true;
        }
    }

    fn restore(&mut self, sent: Sent) {
        if !sent.overtaken {
            self.retention.forget_at(sent.name, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(key: &str) -> Name {
        Name { topic: "t".to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_tombstone_that_was_not_written_is_due_again() {
        let now = Instant::now();
        let mut tombstones = Tombstones::new();
        tombstones.forget_at(name("a"), now);
        assert_eq!(tombstones.due(now), [name("a")]);
        let number = tombstones.number();
        tombstones.send(name("a"), false);
        assert_eq!((tombstones.due(now), tombstones.sent(), tombstones.document(number)), (vec![], 1, Some((&name("a"), false))));
        tombstones.put_back(number);
        assert_eq!((tombstones.due(Instant::now()), tombstones.sent()), (vec![name("a")], 0));
        tombstones.send(name("a"), false);
        tombstones.lose();
        assert_eq!(tombstones.due(Instant::now()), [name("a")]);
    }

    #[test]
    fn a_document_that_was_put_again_is_not_forgotten_by_what_was_not_written_before() {
        let now = Instant::now();
        let mut tombstones = Tombstones::new();
        for key in ["put", "later"] {
            tombstones.forget_at(name(key), now);
            tombstones.send(name(key), false);
        }
        tombstones.keep(&name("put"));
        tombstones.forget_at(name("later"), now + Duration::from_hours(1));
        tombstones.lose();
        assert_eq!(tombstones.due(Instant::now()), []);
        assert_eq!(tombstones.next(now), Some(now + Duration::from_hours(1)));
    }

    #[test]
    fn only_so_many_are_with_the_client_at_once() {
        let now = Instant::now();
        let mut tombstones = Tombstones::new();
        for key in 0..=MOST {
            tombstones.forget_at(name(&key.to_string()), now);
        }
        for due in tombstones.due(now) {
            tombstones.send(due, false);
        }
        assert_eq!((tombstones.sent(), tombstones.due(now).len()), (MOST, 0));
        assert_eq!(tombstones.settle(0).map(|name| name.topic), Some("t".to_owned()));
        assert_eq!(tombstones.due(now).len(), 1);
    }

    #[test]
    fn what_came_back_for_the_sake_of_others_is_sent_alone_unless_it_was_put_again() {
        let now = Instant::now();
        let mut tombstones = Tombstones::new();
        for key in ["a", "put", "overtaken"] {
            tombstones.forget_at(name(key), now);
            tombstones.send(name(key), false);
        }
        tombstones.keep(&name("overtaken"));
        for number in 0..3 {
            tombstones.put_back_alone(number);
        }
        tombstones.keep(&name("put"));
        assert_eq!((tombstones.due(now), tombstones.first_alone(), tombstones.next(now)), (vec![], Some(name("a")), Some(now)));
        let number = tombstones.number();
        tombstones.send(name("a"), true);
        assert_eq!((tombstones.document(number), tombstones.one_is_alone()), (Some((&name("a"), true)), true));
        assert_eq!(tombstones.first_alone(), None);
        tombstones.settle(number);
        assert_eq!((tombstones.one_is_alone(), tombstones.next(now)), (false, None));
    }
}
