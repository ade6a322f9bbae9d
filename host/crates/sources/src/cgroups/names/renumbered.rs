//! Which cgroups have a new id that the reading does not know of yet. Pure.

use std::collections::HashMap;

use sluicebox_contract::{SubjectId, Tick};

/// New ids since the last reading was begun.
#[derive(Debug, Default)]
pub(super) struct Renumbered {
    latest: HashMap<SubjectId, SubjectId>,
    /// The other way round.
    first: HashMap<SubjectId, SubjectId>,
}

impl Renumbered {
    /// What has this id has a new one from now on.
    pub(super) fn add(&mut self, id: SubjectId, new: SubjectId) {
        let first = self.first.remove(&id).unwrap_or(id);
        self.latest.insert(first, new);
        self.first.insert(new, first);
    }

    /// The id that this one has become.
    pub(super) fn latest(&self, id: SubjectId) -> SubjectId {
        self.latest.get(&id).copied().unwrap_or(id)
    }

    /// Changes the ids of what was read under the old ones.
    pub(super) fn apply(&self, tick: &mut Tick) {
        if self.latest.is_empty() {
            return;
        }
        for sample in &mut tick.samples {
            sample.subject = self.latest(sample.subject);
        }
        // Stable: the samples of a subject keep their order.
        tick.samples.sort_by_key(|sample| sample.subject);
    }

    /// From old ids to new ones, for a reading that begins.
    pub(super) fn take(&mut self) -> HashMap<SubjectId, SubjectId> {
        self.first.clear();
        std::mem::take(&mut self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_two_new_ids_one_after_the_other_has_the_last() {
        let mut renumbered = Renumbered::default();
        let [one, two, three, four] = [1, 2, 3, 4].map(SubjectId);
        renumbered.add(one, two);
        renumbered.add(two, three);
        assert_eq!((renumbered.latest(one), renumbered.latest(four)), (three, four));
        assert_eq!(renumbered.take(), HashMap::from([(one, three)]));
        renumbered.add(three, four);
        assert_eq!(renumbered.take(), HashMap::from([(three, four)]));
    }
}
