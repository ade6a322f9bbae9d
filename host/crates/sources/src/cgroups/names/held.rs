//! What was read of cgroups that wait for their names: bounded in bytes, the oldest makes room. Pure.

use std::collections::VecDeque;

use sluicebox_contract::{SubjectId, Tick};

/// Ticks with nothing in them but the samples of cgroups that wait, in the order in which they were read.
#[derive(Debug)]
pub(super) struct Held {
    ticks: VecDeque<Tick>,
    bytes: usize,
    most: usize,
}

impl Held {
    /// Holds so many bytes at most.
    pub(super) fn new(most: usize) -> Self {
        Self { ticks: VecDeque::new(), bytes: 0, most }
    }

    /// Keeps a tick; says how many readings of a cgroup were dropped to make room for it.
    pub(super) fn hold(&mut self, mut tick: Tick) -> u64 {
        tick.samples.shrink_to_fit();
        self.bytes += tick.weight();
        self.ticks.push_back(tick);
        let mut dropped = 0;
        while self.bytes > self.most {
            let Some(oldest) = self.ticks.pop_front() else { break };
            self.bytes -= oldest.weight();
            dropped += oldest.by_subject().count();
        }
        u64::try_from(dropped).unwrap_or(u64::MAX)
    }

    /// Takes out what belongs to these cgroups, in the order in which it was read. They are sorted.
    pub(super) fn release(&mut self, subjects: &[SubjectId]) -> Vec<Tick> {
        if subjects.is_empty() || self.ticks.is_empty() {
            return Vec::new();
        }
        let theirs = |subject: SubjectId| subjects.binary_search(&subject).is_ok();
        let mut released = Vec::new();
        for tick in &mut self.ticks {
            let part = tick.only(theirs);
            if !part.samples.is_empty() {
                tick.samples.retain(|sample| !theirs(sample.subject));
                tick.samples.shrink_to_fit();
                released.push(part);
            }
        }
        self.ticks.retain(|tick| !tick.samples.is_empty());
        self.bytes = self.ticks.iter().map(Tick::weight).sum();
        released
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{Metric, Reading, Sample, UnixNanos};

    use super::*;

    fn tick(at: u64, subjects: &[u32]) -> Tick {
        let sample =
            |subject: &u32| Sample { subject: SubjectId(*subject), metric: Metric::MemoryUsage, reading: Reading::Value(at) };
        Tick { observed_at: UnixNanos(at), online_cpus: 2, samples: subjects.iter().map(sample).collect() }
    }

    fn all() -> [SubjectId; 3] {
        [SubjectId(1), SubjectId(2), SubjectId(3)]
    }

    #[test]
    fn each_takes_its_own_in_order() {
        let mut held = Held::new(1 << 20);
        held.hold(tick(1, &[1, 2, 3]));
        held.hold(tick(2, &[1, 3]));
        held.hold(tick(3, &[2]));
        assert_eq!(held.release(&[SubjectId(1), SubjectId(2)]), [tick(1, &[1, 2]), tick(2, &[1]), tick(3, &[2])]);
        assert_eq!(held.release(&all()), [tick(1, &[3]), tick(2, &[3])]);
        assert_eq!((held.release(&all()), held.bytes), (vec![], 0));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut held = Held::new(2 * tick(0, &[1, 2]).weight());
        assert_eq!(held.hold(tick(1, &[1, 2])), 0);
        assert_eq!(held.hold(tick(2, &[1, 2])), 0);
        assert_eq!(held.hold(tick(3, &[1, 2])), 2);
        assert_eq!(held.release(&all()), [tick(2, &[1, 2]), tick(3, &[1, 2])]);
    }

    #[test]
    fn what_is_larger_than_the_room_is_dropped() {
        let mut held = Held::new(100);
        assert_eq!(held.hold(tick(1, &[1, 2, 3])), 3);
        assert_eq!((held.release(&all()), held.bytes), (vec![], 0));
    }
}
