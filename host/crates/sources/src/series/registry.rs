//! Which subject a set of labels is. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Notice, Subject, SubjectId, SubjectIds, SubjectKind};
use tokio::time::Instant;

/// Names and values, each name once.
pub(crate) type Labels = Vec<(String, String)>;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Series, at most.
    pub(crate) series: usize,
    /// Bytes of all of them together, roughly.
    pub(crate) bytes: usize,
    /// One that was not told of for so long is forgotten.
    pub(crate) unseen: Duration,
}

/// All series that are there.
pub(crate) struct Registry {
    bounds: Bounds,
    ids: Arc<SubjectIds>,
    /// By a text that stands for the labels.
    known: HashMap<Box<str>, Known>,
    bytes: usize,
    notices: Vec<Notice>,
    out_of_ids: bool,
}

struct Known {
    subject: SubjectId,
    weight: usize,
    seen: Instant,
}

impl Registry {
    pub(crate) fn new(bounds: Bounds, ids: Arc<SubjectIds>) -> Self {
        Self { bounds, ids, known: HashMap::new(), bytes: 0, notices: Vec::new(), out_of_ids: false }
    }

    /// The subject of the labels for which `key` stands; a new one is defined with what `labels` gives. None where there is no room, or
    /// where the labels are none.
    pub(crate) fn subject(&mut self, key: &str, now: Instant, labels: impl FnOnce() -> Option<Labels>) -> Option<SubjectId> {
        if let Some(known) = self.known.get_mut(key) {
            known.seen = now;
            return Some(known.subject);
        }
        // The key stands here; the labels in the subject, which the pipeline holds for lanes that join.
        let weight = |labels: &Labels| {
            let texts: usize = labels.iter().map(|(name, value)| 48 + name.len() + value.len()).sum();
            size_of::<Known>() + key.len() + size_of::<Subject>() + texts
        };
        let room = self.bounds.bytes.saturating_sub(self.bytes);
        if self.known.len() >= self.bounds.series || key.len() > room {
            return None;
        }
        let labels = labels()?;
        let weight = weight(&labels);
        if weight > room {
            return None;
        }
        let Some(id) = self.ids.next() else {
            self.out_of_ids = true;
            return None;
        };
        self.notices.push(Notice::Defined(Arc::new(subject(id, labels))));
        self.known.insert(key.into(), Known { subject: id, weight, seen: now });
        self.bytes += weight;
        Some(id)
    }

    /// Forgets those that were not told of for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let Self { known, notices, bounds, bytes, .. } = self;
        known.retain(|_, known| {
            let stays = now.saturating_duration_since(known.seen) < bounds.unseen;
            if !stays {
                notices.push(Notice::Forgotten(known.subject));
                *bytes = bytes.saturating_sub(known.weight);
            }
            stays
        });
    }

    /// What the lanes must be told before the next event.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// All of it, leaving nothing: for work that is done elsewhere and brings it back.
    pub(crate) fn take(&mut self) -> Self {
        let nothing = Self::new(self.bounds, Arc::clone(&self.ids));
        std::mem::replace(self, nothing)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no number was left for another one.
    pub(crate) fn is_out_of_ids(&self) -> bool {
        self.out_of_ids
    }
}

fn subject(id: SubjectId, labels: Labels) -> Subject {
    let mut name = String::new();
    let mut attributes = Labels::with_capacity(labels.len());
    for (label, value) in labels {
        if label == "__name__" {
            name = value;
        } else {
            attributes.push((label, value));
        }
    }
    Subject { id, kind: SubjectKind::Series, uid: String::new(), namespace: String::new(), name, attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(series: usize) -> Registry {
        Registry::new(Bounds { series, bytes: 4096, unseen: Duration::from_mins(1) }, Arc::default())
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_same_labels_are_the_same_subject_and_are_read_once() {
        let (mut registry, now) = (registry(2), Instant::now());
        let first = registry.subject("a", now, || Some(labels(&[("__name__", "up"), ("job", "x")])));
        assert_eq!(registry.subject("a", now, || panic!("read again")), first);
        let notices = registry.take_notices();
        let [Notice::Defined(subject)] = notices.as_slice() else { panic!("{notices:?}") };
        assert_eq!((subject.name.as_str(), subject.attributes.as_slice()), ("up", &[("job".to_owned(), "x".to_owned())][..]));
    }

    #[test]
    fn bytes_are_bounded_and_come_free_again() {
        let (mut registry, now) = (registry(1000), Instant::now());
        let large = |key: &str, registry: &mut Registry, now| {
            registry.subject(key, now, || Some(labels(&[("x", &"y".repeat(1500))]))).is_some()
        };
        assert_eq!(
            [large("a", &mut registry, now), large("b", &mut registry, now), large("c", &mut registry, now)],
            [true, true, false]
        );
        assert!(!large(&"k".repeat(5000), &mut registry, now));
        let later = now + Duration::from_mins(1);
        registry.expire(later);
        assert_eq!((registry.bytes, registry.len()), (0, 0));
        assert!(large("c", &mut registry, later));
    }

    #[test]
    fn what_has_no_room_has_no_subject_until_others_have_gone() {
        let (mut registry, now) = (registry(1), Instant::now());
        assert!(registry.subject("a", now, || Some(labels(&[]))).is_some());
        assert_eq!(registry.subject("b", now, || Some(labels(&[]))), None);
        registry.expire(now + Duration::from_secs(59));
        assert_eq!(registry.len(), 1);
        registry.expire(now + Duration::from_mins(1));
        assert!(matches!(registry.take_notices().as_slice(), [Notice::Defined(_), Notice::Forgotten(_)]));
        assert!(registry.subject("b", now, || Some(labels(&[]))).is_some());
    }
}
