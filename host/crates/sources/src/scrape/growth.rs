//! Totals of the page before, and how fast they have grown; and whether a sample that has a time of its own has moved. Pure.
//!
//! A page that says when its samples were taken is believed, as far as the times of one series go: they were measured then, however late
//! they are read. Else only a clock that nobody sets is asked.

use std::collections::HashMap;

use tokio::time::Instant;

/// A total and when it was that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total {
    pub(super) value: f64,
    /// When the page was read.
    pub(super) read: Instant,
    /// When it was measured, where the page says so.
    pub(super) millis: Option<i64>,
}

/// How fast a total grows, each second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rate {
    /// So fast since the page before.
    Grown(f64),
    /// Its time has not moved since: it was not measured anew. So fast before that, where that is known.
    Still(Option<f64>),
    /// It was not on the page before.
    New,
    /// It has begun anew, or is no number: how much it has grown cannot be known.
    Lost,
}

/// A total with how fast it grew.
#[derive(Clone, Copy, Debug)]
struct Known {
    total: Total,
    rate: Option<f64>,
}

/// The totals of a target. There are never more than its pages have.
#[derive(Debug, Default)]
pub(super) struct Growth {
    before: HashMap<Box<str>, Known>,
    now: HashMap<Box<str>, Known>,
}

impl Growth {
    /// How fast a total has grown since the page before.
    pub(super) fn rate(&mut self, key: &str, total: Total) -> Rate {
        let Some((key, before)) = self.before.remove_entry(key) else {
            self.now.entry(key.into()).or_insert(Known { total, rate: None });
            return Rate::New;
        };
        let (rate, known) = before.grow(total);
        self.now.insert(key, known);
        rate
    }

    /// All of a page has been told: what was not on it is forgotten.
    pub(super) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.now.len()
    }
}

impl Known {
    /// The rate, and what is remembered.
    fn grow(self, now: Total) -> (Rate, Self) {
        let before = self.total;
        let seconds = match (before.millis, now.millis) {
            // The page still tells what was measured before: the next rate spans both.
            (Some(before), Some(millis)) if before == millis => return (Rate::Still(self.rate), self),
            #[allow(clippy::cast_precision_loss, reason = "exact up to 285 000 years")]
            (Some(before), Some(millis)) => millis.saturating_sub(before) as f64 / 1_000.0,
            _ => now.read.saturating_duration_since(before.read).as_secs_f64(),
        };
        let rate = (now.value - before.value) / seconds;
        // Neither what is no number nor what has no end has grown by so much, and what has fallen has begun anew.
        let is_growth = seconds > 0.0 && now.value >= before.value && rate.is_finite();
        let known = Self { total: now, rate: is_growth.then_some(rate) };
        (known.rate.map_or(Rate::Lost, Rate::Grown), known)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(rate: Rate) -> Option<f64> {
        match rate {
            Rate::Grown(rate) => Some(rate),
            Rate::Still(_) | Rate::New | Rate::Lost => None,
        }
    }

    /// The rates of one series that is read at these seconds.
    fn rates(readings: &[(u64, f64, Option<i64>)]) -> Vec<Option<f64>> {
        let (mut growth, start) = (Growth::default(), Instant::now());
        let rate = |(second, value, millis): &(u64, f64, Option<i64>)| {
            let total = Total { value: *value, read: start + Duration::from_secs(*second), millis: *millis };
            let rate = growth.rate("a", total);
            growth.turn();
            told(rate)
        };
        readings.iter().map(rate).collect()
    }

    #[test]
    fn a_total_grows_by_the_clock_that_nobody_sets() {
        let readings = [(0, 10.0, None), (5, 15.0, None), (15, 15.0, None), (20, 20.0, None)];
        assert_eq!(rates(&readings), [None, Some(1.0), Some(0.0), Some(1.0)]);
    }

    #[test]
    fn a_total_that_has_fallen_has_begun_anew() {
        let readings = [(0, 10.0, None), (5, 3.0, None), (10, 8.0, None)];
        assert_eq!(rates(&readings), [None, None, Some(1.0)]);
    }

    #[test]
    fn the_times_of_the_page_count_where_it_has_them_and_nothing_is_told_while_they_stand_still() {
        let readings =
            [(0, 10.0, Some(0)), (5, 10.0, Some(0)), (10, 30.0, Some(8_000)), (15, 30.0, Some(8_000)), (20, 31.0, Some(10_000))];
        assert_eq!(rates(&readings), [None, None, Some(2.5), None, Some(0.5)]);
        // A clock that was set back, and one that the page has lost.
        assert_eq!(rates(&[(0, 1.0, Some(9_000)), (5, 2.0, Some(4_000)), (10, 3.0, Some(5_000))]), [None, None, Some(1.0)]);
        assert_eq!(rates(&[(0, 1.0, Some(9_000)), (5, 6.0, None), (10, 16.0, Some(1))]), [None, Some(1.0), Some(2.0)]);
        assert_eq!(rates(&[(0, 1.0, Some(i64::MIN)), (5, 2.0, Some(i64::MAX))])[0], None);
    }

    #[test]
    fn what_is_no_number_or_has_no_end_has_no_growth() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let readings =
            [(0, 1.0, None), (1, nan, None), (2, 2.0, None), (3, 4.0, None), (4, inf, None), (5, inf, None), (6, 5.0, None)];
        assert_eq!(rates(&readings), [None, None, None, Some(2.0), None, None, None]);
        assert_eq!(rates(&[(0, f64::MIN, None), (1, f64::MAX, None)]), [None, None]);
        assert_eq!(rates(&[(5, 1.0, None), (5, 2.0, None)]), [None, None]);
    }

    #[test]
    fn what_is_not_on_a_page_is_forgotten() {
        let (mut growth, start) = (Growth::default(), Instant::now());
        let total = |second| Total { value: 1.0, read: start + Duration::from_secs(second), millis: None };
        for key in ["a", "b"] {
            growth.rate(key, total(0));
        }
        growth.turn();
        growth.rate("a", total(1));
        growth.turn();
        assert_eq!(growth.len(), 1);
        assert_eq!(growth.rate("b", total(2)), Rate::New);
        assert_eq!(growth.rate("a", total(2)), Rate::Grown(0.0));
    }
}
