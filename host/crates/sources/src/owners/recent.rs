//! Remembers what was used last, up to a number. Pure.

use std::collections::HashMap;

/// What was used last, by a text.
pub(super) struct Recent<T> {
    most: usize,
    uses: u64,
    values: HashMap<Box<str>, (u64, T)>,
}

impl<T> Recent<T> {
    /// Holds so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, uses: 0, values: HashMap::new() }
    }

    pub(super) fn get(&mut self, key: &str) -> Option<&T> {
        self.uses += 1;
        let (used, value) = self.values.get_mut(key)?;
        *used = self.uses;
        Some(value)
    }

    /// What was used longest ago makes room.
    pub(super) fn put(&mut self, key: &str, value: T) {
        self.uses += 1;
        if self.values.len() >= self.most && !self.values.contains_key(key) {
            let oldest = self.values.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.values.remove(&oldest));
        }
        self.values.insert(key.into(), (self.uses, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let mut recent = Recent::new(2);
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!(recent.get("a"), Some(&1));
        recent.put("c", 3);
        assert_eq!(["a", "b", "c"].map(|key| recent.get(key).copied()), [Some(1), None, Some(3)]);
        recent.put("c", 4);
        assert_eq!(["a", "c"].map(|key| recent.get(key).copied()), [Some(1), Some(4)]);
    }
}
