//! Which period it is, by the wall clock: when one is over, and what happens when the clock is set back.

/// A period, aligned to multiples of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// Seconds since 1970.
    pub(crate) begin: u64,
    pub(crate) seconds: u64,
}

/// Follows the periods.
#[derive(Default)]
pub(crate) struct Clock {
    pub(crate) current: Option<Period>,
    /// How many reports have come one after the other that are older than the period.
    behind: u32,
    last: u64,
}

/// An old report that is replayed comes alone. So many mean that the clock was set back.
const SET_BACK: u32 = 3;

impl Clock {
    /// A report of this time has come; the period that is over with it.
    pub(crate) fn turn(&mut self, observed_at_unix_nanos: u64, seconds: u64) -> Option<Period> {
        let is_another = std::mem::replace(&mut self.last, observed_at_unix_nanos) != observed_at_unix_nanos;
        let now = observed_at_unix_nanos / 1_000_000_000;
        let period = Period { begin: now - now % seconds, seconds };
        let Some(current) = self.current else {
            self.current = Some(period);
            return None;
        };
        if period == current {
            self.behind = 0;
            return None;
        }
        if period.begin < current.begin && period.seconds == current.seconds {
            self.behind += u32::from(is_another);
            if self.behind < SET_BACK {
                return None;
            }
        }
        self.behind = 0;
        self.current.replace(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times: &[u64], over: &[Option<u64>]) {
        let mut clock = Clock::default();
        let ended: Vec<_> = times.iter().map(|time| clock.turn(time * 1_000_000_000, 60).map(|period| period.begin)).collect();
        assert_eq!(ended, over);
    }

    #[test]
    fn a_period_is_over_with_the_first_report_behind_it() {
        check(&[61, 119, 120, 121, 400], &[None, None, Some(60), None, Some(120)]);
    }

    #[test]
    fn an_old_report_belongs_to_what_goes_on() {
        check(&[600, 60, 605, 61, 610, 62, 660], &[None, None, None, None, None, None, Some(600)]);
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed() {
        check(&[600, 60, 65, 65, 70, 120], &[None, None, None, None, Some(600), Some(60)]);
    }
}
