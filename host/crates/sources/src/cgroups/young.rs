//! When what is new is read again, so that what lives shorter than the period is seen. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use sluicebox_contract::SubjectId;
use tokio::time::Instant;

/// At this age a cgroup is read again, then at twice of it, and so on until the turn of all.
const FIRST: Duration = Duration::from_millis(250);
/// What is due so soon is read together with what is due now.
const TOGETHER: Duration = Duration::from_millis(50);
/// So many are read again at most. The others are read when they are found and at the turn of all.
const MOST: usize = 50;

/// The cgroups that have not seen a turn yet.
#[derive(Debug, Default)]
pub(super) struct Young(BTreeMap<SubjectId, Age>);

#[derive(Debug)]
struct Age {
    found: Instant,
    next: Instant,
}

impl Young {
    /// It was found and read.
    pub(super) fn found(&mut self, subject: SubjectId, now: Instant) {
        if self.0.len() < MOST {
            self.0.insert(subject, Age { found: now, next: now + FIRST });
        }
    }

    /// It is not there any more.
    pub(super) fn gone(&mut self, subject: SubjectId) {
        self.0.remove(&subject);
    }

    /// All are read now.
    pub(super) fn grow_up(&mut self) {
        self.0.clear();
    }

    /// When some are to be read again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|age| age.next).min()
    }

    /// Those that are to be read again now.
    pub(super) fn take(&mut self, now: Instant) -> Vec<SubjectId> {
        let due = self.0.iter_mut().filter(|(_, age)| age.next <= now + TOGETHER);
        due.map(|(subject, age)| {
            let old = now.saturating_duration_since(age.found).max(FIRST);
            age.next = age.found + 2 * old;
            *subject
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_the_rarer() {
        let begun = Instant::now();
        let mut young = Young::default();
        young.found(SubjectId(1), begun);
        let mut ages = Vec::new();
        while let Some(due) = young.due().filter(|_| ages.len() < 5) {
            ages.push((due - begun).as_millis());
            assert_eq!(young.take(due), [SubjectId(1)]);
        }
        assert_eq!(ages, [250, 500, 1_000, 2_000, 4_000]);
        young.grow_up();
        assert_eq!(young.due(), None);
    }

    #[test]
    fn those_that_are_due_soon_go_together() {
        let begun = Instant::now();
        let mut young = Young::default();
        young.found(SubjectId(1), begun);
        young.found(SubjectId(2), begun + Duration::from_millis(40));
        young.found(SubjectId(3), begun + Duration::from_millis(200));
        assert_eq!(young.take(begun + FIRST), [SubjectId(1), SubjectId(2)]);
        young.gone(SubjectId(3));
        assert!(young.due().is_some_and(|due| due >= begun + FIRST + FIRST - TOGETHER));
    }

    #[test]
    fn they_are_bounded() {
        let mut young = Young::default();
        for number in 0..1_000 {
            young.found(SubjectId(number), Instant::now());
        }
        assert_eq!(young.take(Instant::now() + FIRST).len(), MOST);
    }
}
