//! Totals of the reading before, and by how much they have grown. Pure.
//!
//! Only a clock that nobody sets is asked. Each total has its own time: one that could not be read for a while grows over a longer time,
//! not faster.

use std::time::Instant;

use sluicebox_contract::{Increase, Metric, Reading};

/// Those of one subject.
#[derive(Debug)]
pub(crate) struct Counters {
    before: [Option<Before>; Metric::COUNT],
}

#[derive(Clone, Copy, Debug)]
struct Before {
    total: u64,
    at: Instant,
}

impl Default for Counters {
    fn default() -> Self {
        Self { before: [None; Metric::COUNT] }
    }
}

impl Counters {
    /// The reading of a counter. A total that is lower than before has begun anew: what it has grown by is not known, and is from then on
    /// counted from there.
    pub(crate) fn count(&mut self, metric: Metric, total: u64, at: Instant) -> Reading {
        let before = self.before.get_mut(metric.index()).and_then(|before| before.replace(Before { total, at }));
        let increase =
            before.and_then(|before| Increase::over(total.checked_sub(before.total)?, at.checked_duration_since(before.at)?));
        Reading::Counter { total, increase }
    }

    /// What is counted is another thing from now on.
    pub(crate) fn forget(&mut self, metric: Metric) {
        if let Some(before) = self.before.get_mut(metric.index()) {
            *before = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The increases of totals that are read at these seconds.
    fn increases(readings: impl IntoIterator<Item = (u64, u64)>) -> Vec<Option<(u64, u64)>> {
        let (mut counters, start) = (Counters::default(), Instant::now());
        let increase = |(second, total)| match counters.count(Metric::CpuUsage, total, start + Duration::from_secs(second)) {
            Reading::Counter { total: told, increase } => {
                assert_eq!(told, total);
                increase.map(|increase| (increase.amount, increase.over_nanos / 1_000_000_000))
            }
            reading => panic!("{reading:?}"),
        };
        readings.into_iter().map(increase).collect()
    }

    #[test]
    fn a_total_that_goes_down_has_begun_anew() {
        let totals = [10, 15, 45, 255, 0, 10, 3, 2, 2];
        let amounts: Vec<_> =
            increases((0..).zip(totals)).into_iter().map(|increase| increase.map(|(amount, _)| amount)).collect();
        assert_eq!(amounts, [None, Some(5), Some(30), Some(210), None, Some(10), None, None, Some(0)]);
    }

    #[test]
    fn a_tick_that_was_missed_makes_the_time_longer() {
        assert_eq!(increases([(0, 0), (5, 50), (15, 150)]), [None, Some((50, 5)), Some((100, 10))]);
    }

    #[test]
    fn without_time_there_is_no_increase() {
        assert_eq!(increases([(5, 0), (5, 50), (4, 60), (5, 61)]), [None, None, None, Some((1, 1))]);
    }

    #[test]
    fn processor_time_is_told_in_nanoseconds() {
        assert_eq!(increases([(0, 1_000_000_000), (1, 1_500_000_000)]), [None, Some((500_000_000, 1))]);
        assert_eq!(increases([(0, u64::MAX - 1), (1, u64::MAX)]), [None, Some((1, 1))]);
    }

    #[test]
    fn what_was_made_anew_is_counted_anew() {
        let (mut counters, start) = (Counters::default(), Instant::now());
        counters.count(Metric::IoReads, 5, start);
        counters.count(Metric::IoWrites, 5, start);
        counters.forget(Metric::IoReads);
        let later = start + Duration::from_secs(1);
        assert!(matches!(counters.count(Metric::IoReads, 9, later), Reading::Counter { increase: None, .. }));
        assert!(matches!(counters.count(Metric::IoWrites, 9, later), Reading::Counter { increase: Some(_), .. }));
    }
}
