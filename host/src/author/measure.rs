//! Times of rounds, and what is told of them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What one pass over the steps of a case took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// Time of the processor within handlers.
    pub(super) time: Duration,
    /// Events handed over.
    pub(super) events: usize,
    /// Entries that came.
    pub(super) entries: usize,
}

/// All passes, in their order.
#[derive(Debug, Default)]
pub(super) struct Rounds(Vec<Round>);

impl Rounds {
    pub(super) fn push(&mut self, round: Round) {
        self.0.push(round);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Events of one round.
    pub(super) fn events(&self) -> usize {
        self.0.last().map_or(0, |round| round.events)
    }

    /// Entries of the last round.
    pub(super) fn entries(&self) -> usize {
        self.0.last().map_or(0, |round| round.entries)
    }

    /// Nanoseconds for each event, in the middle of all rounds.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// Nanoseconds for each event in the slowest round, the first ones left out: they find nothing in place.
    pub(super) fn slowest(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(0.0)
    }

    fn sorted(&self) -> Vec<f64> {
        let warm = self.0.get(self.0.len() / 10..).unwrap_or_default();
        let mut each: Vec<f64> = warm.iter().filter(|round| round.events > 0).map(nanos_for_each).collect();
        each.sort_by(f64::total_cmp);
        each
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of events is far below 2^52")]
fn nanos_for_each(round: &Round) -> f64 {
    round.time.as_secs_f64() * 1e9 / round.events as f64
}

/// What this thread has had of the processor so far: a busy machine does not make a module slower.
pub(super) fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rounds_do_not_count_and_the_middle_one_is_told() {
        let mut rounds = Rounds::default();
        for micros in [900, 1, 2, 3, 4, 5, 6, 7, 8, 9] {
            rounds.push(Round { time: Duration::from_micros(micros), events: 10, entries: 3 });
        }
        assert_eq!((rounds.median(), rounds.slowest()), (500.0, 900.0));
        assert_eq!((rounds.events(), rounds.entries()), (10, 3));
        assert!(Rounds::default().median() == 0.0);
    }
}
