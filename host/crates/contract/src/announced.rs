//! What was announced of the objects of one source: what is to be remembered of it, and from when on.
//!
//! An object counts as announced as it was in the last event of which everything was dealt with. After an event of which something was lost, no
//! later one about that object counts: whoever missed something is told the difference to what he knows at the next start.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{ObjectKind, Receipt, Typed};

/// So many objects wait to be remembered at most, and of so many is known that something of them was lost. What is beyond is told once more
/// at the next start.
const MOST: usize = 65_536;

/// An object as it was announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Announcement {
    /// What kind of object it is.
    pub kind: ObjectKind,
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// `metadata.namespace`; empty for what lives in no namespace.
    #[serde(default)]
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.resourceVersion`
    pub version: Box<str>,
    /// What was told with its subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// The object with its fields typed, where somebody takes it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typed: Option<Typed>,
    /// The object as JSON, where it is remembered so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Arc<str>>,
}

/// What an event has announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Announced {
    /// That the object is so.
    There(Box<Announcement>),
    /// That the object is so was told, and perhaps not to everybody: when it has gone before anything else is known, that is to be told, too.
    Told(Box<Announcement>),
    /// That the object of this uid has gone.
    Gone(Arc<str>),
}

impl Announced {
    /// The object's uid.
    pub fn uid(&self) -> &Arc<str> {
        match self {
            Self::There(announcement) | Self::Told(announcement) => &announcement.uid,
            Self::Gone(uid) => uid,
        }
    }
}

/// What a source begins with.
#[derive(Debug, Default)]
pub struct Remembered {
    /// What was announced before this run.
    pub objects: Vec<Known>,
    /// Learns what is announced in this one.
    pub ledger: Arc<Ledger>,
}

/// An object that was announced before this run.
#[derive(Clone, Debug)]
pub struct Known {
    /// As it was announced last.
    pub announcement: Announcement,
    /// As it was told after that, perhaps not to everybody. Where it is there, it is compared with what was announced; where it has gone, it has
    /// gone as this.
    pub told: Option<Announcement>,
    /// Whether all those who are told today have heard of it: else what is there is told as if nobody knew it.
    pub to_all: bool,
}

/// Learns what was announced, until it is taken to be remembered. Nobody waits for it.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts the receipts.
    number: u64,
    /// What is to be remembered, by uid, and the number of its receipt.
    waiting: BTreeMap<Arc<str>, (u64, Announced)>,
    /// What was told last of an object and is not dealt with, by uid.
    told: BTreeMap<Arc<str>, Pending>,
    /// The uids of objects of which something was lost.
    lost: HashSet<Arc<str>>,
    /// There are more of them than can be known: that something is there counts no more.
    lost_track: bool,
}

#[derive(Debug)]
struct Pending {
    /// That of its receipt.
    number: u64,
    announcement: Box<Announcement>,
    /// It was not taken yet.
    is_news: bool,
}

impl Ledger {
    /// A receipt for an event that announces this. Until all of it is dealt with, it does not count.
    pub fn receipt(self: &Arc<Self>, announced: Announced) -> Receipt {
        let number = {
            let mut state = self.lock();
            state.number += 1;
            if let Announced::There(announcement) = &announced
                && (state.told.len() < MOST || state.told.contains_key(&announcement.uid))
            {
                let pending = Pending { number: state.number, announcement: announcement.clone(), is_news: true };
                state.told.insert(Arc::clone(&announcement.uid), pending);
            }
            state.number
        };
        Receipt::new(Arc::clone(self), number, announced)
    }

    /// Whether there is something to be remembered.
    pub fn has_news(&self) -> bool {
        let state = self.lock();
        !state.waiting.is_empty() || state.told.values().any(|pending| pending.is_news)
    }

    /// What is to be remembered, by uid; then what was told later of those and of others. It does not come again, but for what was told of an
    /// object of which something older becomes known, since that is remembered in place of all before it.
    pub fn take(&self) -> Vec<Announced> {
        let mut state = self.lock();
        let State { waiting, told, lost, lost_track, .. } = &mut *state;
        let waiting = std::mem::take(waiting);
        let mut announced = Vec::new();
        told.retain(|uid, pending| {
            if std::mem::take(&mut pending.is_news) || waiting.contains_key(uid) {
                announced.push(Announced::Told(pending.announcement.clone()));
            }
            // Of what was lost nothing more becomes known.
            !*lost_track && !lost.contains(uid)
        });
        waiting.into_values().map(|(_, announced)| announced).chain(announced).collect()
    }

    /// What was taken and could not be remembered waits again, but for that of which there is news.
    pub fn give_back(&self, taken: Vec<Announced>) {
        let mut state = self.lock();
        for announced in taken {
            if let (Announced::Told(_), Some(pending)) = (&announced, state.told.get_mut(announced.uid())) {
                pending.is_news = true;
            } else if state.waiting.len() < MOST {
                state.waiting.entry(Arc::clone(announced.uid())).or_insert((0, announced));
            }
        }
    }

    /// All of an event was dealt with.
    pub(crate) fn acknowledge(&self, number: u64, announced: Announced) {
        let mut state = self.lock();
        let uid = Arc::clone(announced.uid());
        match &announced {
            Announced::There(_) | Announced::Told(_) if state.lost_track || state.lost.contains(&uid) => return,
            Announced::There(_) | Announced::Told(_) => {}
            Announced::Gone(_) => drop(state.lost.remove(&uid)),
        }
        if state.told.get(&uid).is_some_and(|pending| pending.number <= number) {
            state.told.remove(&uid);
        }
        let is_older = state.waiting.get(&uid).map(|(known, _)| number < *known);
        // What is left out here is told once more, which harms nobody.
        if is_older == Some(true) || is_older.is_none() && state.waiting.len() >= MOST {
            return;
        }
        state.waiting.insert(uid, (number, announced));
    }

    /// Something of an event was lost. That an object has gone is told again as long as it is remembered, so that needs no note.
    pub(crate) fn lose(&self, announced: &Announced) {
        if let Announced::There(announcement) = announced {
            let mut state = self.lock();
            if state.lost.len() < MOST {
                state.lost.insert(Arc::clone(&announcement.uid));
            } else {
                state.lost_track = true;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, version: &str) -> Announcement {
        Announcement {
            kind: ObjectKind::Pod,
            uid: uid.into(),
            namespace: "n".into(),
            name: "p".into(),
            version: version.into(),
            attributes: Vec::new(),
            typed: None,
            json: None,
        }
    }

    fn there(object: Announcement) -> Announced {
        Announced::There(Box::new(object))
    }

    fn gone(uid: &str) -> Announced {
        Announced::Gone(uid.into())
    }

    fn known(ledger: &Ledger) -> Vec<String> {
        let words = |announced: &Announced| match announced {
            Announced::There(object) => format!("{}-{}", object.uid, object.version),
            Announced::Told(object) => format!("{}-{}?", object.uid, object.version),
            Announced::Gone(uid) => format!("no {uid}"),
        };
        ledger.take().iter().map(words).collect()
    }

    #[test]
    fn the_last_that_was_dealt_with_counts() {
        let ledger = Arc::<Ledger>::default();
        let (first, second) = (ledger.receipt(there(object("a", "1"))), ledger.receipt(there(object("a", "2"))));
        ledger.receipt(there(object("b", "7"))).done();
        second.done();
        // Told later that it is done, but it is the older one.
        first.done();
        assert_eq!(known(&ledger), ["a-2", "b-7"]);
        assert_eq!(known(&ledger), [""; 0], "what was taken is not kept");
    }

    #[test]
    fn what_comes_after_a_loss_does_not_count() {
        let ledger = Arc::<Ledger>::default();
        ledger.receipt(there(object("a", "1"))).done();
        drop(ledger.receipt(there(object("a", "2"))));
        ledger.receipt(there(object("a", "3"))).done();
        ledger.receipt(there(object("b", "1"))).done();
        assert_eq!(known(&ledger), ["a-1", "b-1", "a-3?"], "somebody may have heard of it");
        ledger.receipt(there(object("a", "4"))).done();
        assert_eq!(known(&ledger), ["a-4?"], "somebody may have heard of it");
        ledger.receipt(gone("a")).done();
        assert_eq!(known(&ledger), ["no a"]);
    }

    #[test]
    fn what_was_told_and_is_not_dealt_with_is_noted_once() {
        let ledger = Arc::<Ledger>::default();
        let (stuck, quick) = (ledger.receipt(there(object("a", "1"))), ledger.receipt(there(object("b", "1"))));
        quick.done();
        assert!(ledger.has_news());
        assert_eq!(known(&ledger), ["b-1", "a-1?"]);
        assert!(!ledger.has_news());
        stuck.done();
        assert_eq!(known(&ledger), ["a-1"]);
    }

    #[test]
    fn what_was_told_last_stands_behind_what_is_known() {
        let ledger = Arc::<Ledger>::default();
        let (first, second) = (ledger.receipt(there(object("a", "1"))), ledger.receipt(there(object("a", "2"))));
        assert_eq!(known(&ledger), ["a-2?"]);
        first.done();
        assert_eq!(known(&ledger), ["a-1", "a-2?"]);
        assert!(!ledger.has_news());
        second.done();
        assert_eq!(known(&ledger), ["a-2"]);
        let stuck = ledger.receipt(there(object("a", "3")));
        let taken = ledger.take();
        ledger.give_back(taken);
        assert_eq!(known(&ledger), ["a-3?"], "it could not be written");
        drop(stuck);
        assert!(!ledger.has_news());
        assert_eq!(known(&ledger), [""; 0]);
        ledger.receipt(gone("a")).done();
        assert_eq!(known(&ledger), ["no a"]);
    }

    #[test]
    fn that_something_has_gone_is_no_loss_when_it_was_not_said() {
        let ledger = Arc::<Ledger>::default();
        ledger.receipt(there(object("a", "1"))).done();
        drop(ledger.receipt(gone("a")));
        assert_eq!(known(&ledger), ["a-1"], "it is remembered, and told as gone at the next start");
    }

    #[test]
    fn what_could_not_be_remembered_waits_again_unless_there_is_news() {
        let ledger = Arc::<Ledger>::default();
        for uid in ["a", "b"] {
            ledger.receipt(there(object(uid, "1"))).done();
        }
        let taken = ledger.take();
        ledger.receipt(there(object("b", "2"))).done();
        ledger.give_back(taken);
        assert_eq!(known(&ledger), ["a-1", "b-2"]);
    }

    #[test]
    fn what_waits_and_what_was_lost_is_bounded() {
        let ledger = Arc::<Ledger>::default();
        for number in 0..MOST + 10 {
            ledger.receipt(there(object(&number.to_string(), "1"))).done();
        }
        ledger.receipt(gone("0")).done();
        let taken = ledger.take();
        assert_eq!(taken.len(), MOST);
        assert!(taken.contains(&Announced::Gone("0".into())), "news of what waits takes no room");
        for number in 0..=MOST {
            drop(ledger.receipt(there(object(&number.to_string(), "1"))));
        }
        ledger.receipt(there(object("new", "1"))).done();
        ledger.receipt(gone("7")).done();
        let mut certain = known(&ledger);
        certain.retain(|words| !words.ends_with('?'));
        assert_eq!(certain, ["no 7"], "what is there is told once more at the next start");
    }

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        let pod = crate::Pod { name: "p".to_owned(), ..crate::Pod::default() };
        let whole = Announcement {
            attributes: vec![("zone".to_owned(), "a".to_owned())],
            typed: Some(pod.into()),
            json: Some("{}".into()),
            ..object("a", "1")
        };
        for announced in
            [Announced::There(Box::new(object("b", "2"))), Announced::There(Box::new(whole)), Announced::Gone("c".into())]
        {
            let text = serde_json::to_string(&announced).expect("JSON");
            assert_eq!(serde_json::from_str::<Announced>(&text).expect("the same"), announced, "{text}");
        }
    }
}
