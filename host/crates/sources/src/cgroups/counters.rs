//! Totals of the reading before, and by how much they have grown. Pure.
//!
//! Only a clock that nobody sets is asked. Each total has its own time: one that could not be read for a while grows over a longer time,
//! not faster.

use std::time::{Duration, Instant};

use sluicebox_contract::{Increase, Metric, Reading};

/// The kernel adds to many totals at its own ticks only, up to ten milliseconds apart: over less than this, an increase says more about
/// these than about what was used.
const SHORTEST: Duration = Duration::from_millis(50);

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
    /// counted from there. What follows too soon has no increase; the next one spans both.
    pub(crate) fn count(&mut self, metric: Metric, total: u64, at: Instant) -> Reading {
        let Some(slot) = self.before.get_mut(metric.index()) else { return Reading::Counter { total, increase: None } };
        let grown = slot.and_then(|before| Some((total.checked_sub(before.total)?, at.saturating_duration_since(before.at))));
        let increase = match grown {
            Some((_, time)) if time < SHORTEST => return Reading::Counter { total, increase: None },
            Some((amount, time)) => Increase::over(amount, time),
            None => None,
        };
        *slot = Some(Before { total, at });
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
    use super::*;

    /// The increases of totals that are read at these seconds.
    fn increases(readings: impl IntoIterator<Item = (u64, u64)>) -> Vec<Option<(u64, u64)>> {
        let increases = increases_in_millis(readings.into_iter().map(|(second, total)| (second * 1_000, total)));
        increases.into_iter().map(|increase| increase.map(|(amount, millis)| (amount, millis / 1_000))).collect()
    }

    fn increases_in_millis(readings: impl IntoIterator<Item = (u64, u64)>) -> Vec<Option<(u64, u64)>> {
        let (mut counters, start) = (Counters::default(), Instant::now());
        let increase = |(millis, total)| match counters.count(Metric::CpuUsage, total, start + Duration::from_millis(millis)) {
            Reading::Counter { total: told, increase } => {
                assert_eq!(told, total);
                increase.map(|increase| (increase.amount, increase.over_nanos / 1_000_000))
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
        assert_eq!(increases([(5, 0), (5, 50), (4, 60), (5, 61), (6, 62)]), [None, None, None, None, Some((62, 1))]);
    }

    #[test]
    fn what_follows_too_soon_has_no_increase_and_the_next_one_spans_both() {
        let readings = [(0, 100), (49, 140), (99, 150), (100, 151), (149, 160), (155, 20), (160, 22), (205, 30)];
        let expected = [None, None, Some((50, 99)), None, Some((10, 50)), None, None, Some((10, 50))];
        assert_eq!(increases_in_millis(readings), expected);
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
