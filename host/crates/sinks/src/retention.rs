//! Names that are to be forgotten when their time has come, unless they are put again before.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

/// More than this many names wait for nothing: what is due first is due at once.
const LONGEST: usize = 100_000;

/// The same for names that are longer together, in bytes.
const HEAVIEST: usize = 32 << 20;

/// The names and their times.
#[derive(Debug)]
pub(crate) struct Retention<K> {
    times: HashMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
    longest: usize,
    weigh: fn(&K) -> usize,
    weight: usize,
    heaviest: usize,
}

impl<K: Clone + Eq + Hash + Ord> Retention<K> {
    /// `weigh` says how many bytes a name has.
    pub(crate) fn new(weigh: fn(&K) -> usize) -> Self {
        Self { times: HashMap::new(), order: BTreeSet::new(), longest: LONGEST, weigh, weight: 0, heaviest: HEAVIEST }
    }

    /// Forget this name at this time, whatever was said of it before.
    pub(crate) fn forget_at(&mut self, key: K, at: Instant) {
        self.keep(&key);
        self.weight += (self.weigh)(&key);
        self.times.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// Keep this name; says whether it was to be forgotten.
    pub(crate) fn keep(&mut self, key: &K) -> bool {
        match self.times.remove_entry(key) {
            Some((key, at)) => {
                self.weight -= (self.weigh)(&key);
                self.order.remove(&(at, key))
            }
            None => false,
        }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.times.contains_key(key)
    }

    /// Whether more names wait than there is room for.
    pub(crate) fn is_full(&self) -> bool {
        self.order.len() > self.longest || self.weight > self.heaviest
    }

    /// When the next name is due; now, if too many wait.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let (at, _) = self.order.first()?;
        Some(if self.is_full() { now } else { *at })
    }

    /// What is due, earliest first; it stays until [`Self::keep`] or [`Self::forget_at`] says otherwise.
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = &K> {
        let mut surplus = self.order.len().saturating_sub(self.longest);
        let mut excess = self.weight.saturating_sub(self.heaviest);
        let is_due = move |(at, key): &&(Instant, K)| {
            let is_due = *at <= now || surplus > 0 || excess > 0;
            surplus = surplus.saturating_sub(1);
            excess = excess.saturating_sub((self.weigh)(key));
            is_due
        };
        self.order.iter().take_while(is_due).map(|(_, key)| key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All names and their times, earliest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, Instant)> {
        self.order.iter().map(|(at, key)| (key, *at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn due(retention: &Retention<&'static str>, now: Instant) -> Vec<&'static str> {
        retention.due(now).copied().collect()
    }

    #[test]
    fn the_last_word_about_a_name_holds() {
        let now = Instant::now();
        let mut retention = Retention::new(|name: &&str| name.len());
        retention.forget_at("a", now);
        retention.forget_at("a", now + Duration::from_secs(2));
        retention.forget_at("b", now + Duration::from_secs(1));
        assert_eq!(due(&retention, now), Vec::<&str>::new());
        assert_eq!(retention.next(now), Some(now + Duration::from_secs(1)));
        assert_eq!(due(&retention, now + Duration::from_secs(2)), ["b", "a"]);
        assert!(retention.keep(&"b") && !retention.keep(&"b"));
        assert_eq!(due(&retention, now + Duration::from_secs(2)), ["a"]);
    }

    #[test]
    fn what_is_too_much_is_due_at_once_the_earliest_first() {
        let now = Instant::now();
        let mut retention = Retention::new(|name: &&str| name.len());
        retention.longest = 2;
        for (name, seconds) in [("c", 3), ("a", 1), ("b", 2), ("d", 4)] {
            retention.forget_at(name, now + Duration::from_secs(seconds));
        }
        assert_eq!(retention.next(now), Some(now));
        assert_eq!(due(&retention, now), ["a", "b"]);
    }

    #[test]
    fn what_is_too_long_is_due_at_once_and_only_as_much_as_makes_room() {
        let now = Instant::now();
        let mut retention = Retention::new(|name: &&str| name.len());
        retention.heaviest = 5;
        for (name, seconds) in [("aa", 1), ("bb", 2), ("c", 3)] {
            retention.forget_at(name, now + Duration::from_secs(seconds));
        }
        assert!(!retention.is_full() && due(&retention, now).is_empty());
        retention.forget_at("dd", now + Duration::from_secs(4));
        assert!(retention.is_full());
        assert_eq!((retention.next(now), due(&retention, now)), (Some(now), vec!["aa"]));
        // A new time for a name is no new name.
        retention.forget_at("dd", now + Duration::from_secs(5));
        assert!(retention.keep(&"aa") && !retention.is_full());
    }
}
