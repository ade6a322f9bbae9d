//! When to read: at multiples of the period of the wall clock, so that all nodes read at the same moment. Pure.
//!
//! How long is slept is decided by a clock that nobody sets. A wall clock that is set makes one interval longer or shorter by at most
//! half of a period; it makes neither a burst nor a pause.

use std::time::Duration;

use sluicebox_contract::UnixNanos;
use tokio::time::{Instant, sleep_until};

/// The turns at which all is read.
#[derive(Debug)]
pub(crate) struct Turns {
    period: Duration,
    due: Instant,
}

impl Turns {
    /// The first turn is the next multiple of the period.
    pub(crate) fn new(period: Duration, now: Instant, wall: UnixNanos) -> Self {
        let period = period.max(Duration::from_millis(1));
        Self { period, due: now + until_multiple(period, wall) }
    }

    /// Begins anew: what has passed before was nobody's turn.
    pub(crate) fn restart(&mut self, now: Instant, wall: UnixNanos) {
        *self = Self::new(self.period, now, wall);
    }

    /// When the next turn is.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Takes the turn that is due, and says how many have passed unused since.
    pub(crate) fn take(&mut self, now: Instant, wall: UnixNanos) -> u64 {
        let late = now.saturating_duration_since(self.due).as_nanos();
        let period = self.period.as_nanos();
        let passed = late.checked_div(period).unwrap_or(0);
        // Without a step of the wall clock, these two differ by what the clocks have drifted apart.
        let steady = self.period.saturating_sub(nanos(late.checked_rem(period).unwrap_or(0)));
        let aligned = until_multiple(self.period, wall);
        self.due = now + nearest(steady, aligned, self.period);
        u64::try_from(passed).unwrap_or(u64::MAX)
    }
}

/// Ready when it is due; never where nothing is.
pub(crate) async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The multiple of the period that a turn stands for which is taken at this time: the last one, or the next one where it is so near that a timer
/// was early by what the clocks have drifted apart.
pub(crate) fn multiple(period: Duration, wall: UnixNanos) -> UnixNanos {
    let period = nanos_of(period.max(Duration::from_millis(1)));
    let early = period / 20;
    let nearest = wall.0.saturating_add(early);
    UnixNanos(nearest - nearest.checked_rem(period).unwrap_or(0))
}

fn nanos_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// From one multiple, the whole period.
fn until_multiple(period: Duration, wall: UnixNanos) -> Duration {
    let since = u128::from(wall.0).checked_rem(period.as_nanos()).unwrap_or(0);
    period.saturating_sub(nanos(since))
}

/// The wait until that multiple of the wall clock which is nearest to the steady turn and not past.
fn nearest(steady: Duration, aligned: Duration, period: Duration) -> Duration {
    if aligned + period / 2 < steady { aligned + period } else { aligned }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    /// Both clocks, in milliseconds. The wall clock began at a multiple of the period.
    struct Clocks {
        begun: Instant,
        steady: u64,
        wall: u64,
    }

    impl Clocks {
        fn begin(wall: u64) -> (Self, Turns) {
            let clocks = Self { begun: Instant::now(), steady: 0, wall: 1_000_000_000 + wall };
            let turns = Turns::new(PERIOD, clocks.begun, clocks.wall());
            (clocks, turns)
        }

        fn now(&self) -> Instant {
            self.begun + Duration::from_millis(self.steady)
        }

        fn wall(&self) -> UnixNanos {
            UnixNanos(self.wall * 1_000_000)
        }

        fn pass(&mut self, millis: u64) {
            self.steady += millis;
            self.wall += millis;
        }

        /// Sleeps until the turn, is woken so much too late, takes it; how long that was by the steady clock, and how many passed.
        fn turn(&mut self, turns: &mut Turns, too_late: u64) -> (u64, u64) {
            let wait = turns.due().saturating_duration_since(self.now());
            let millis = u64::try_from(wait.as_millis()).expect("a short wait") + too_late;
            self.pass(millis);
            (millis, turns.take(self.now(), self.wall()))
        }
    }

    #[test]
    fn turns_are_multiples_of_the_period_of_the_wall_clock() {
        for (wall, first) in [(0, 5_000), (1, 4_999), (4_999, 1), (2_500, 2_500)] {
            let (mut clocks, mut turns) = Clocks::begin(wall);
            assert_eq!(clocks.turn(&mut turns, 0), (first, 0));
            for _ in 0..10 {
                assert_eq!(clocks.turn(&mut turns, 0), (5_000, 0));
                assert_eq!(clocks.wall % 5_000, 0);
            }
        }
    }

    #[test]
    fn a_turn_stands_for_its_multiple_however_late_it_is_taken() {
        for (millis, expected) in [(5_000, 5_000), (5_003, 5_000), (9_700, 5_000), (4_999, 5_000), (4_751, 5_000), (4_700, 0)] {
            assert_eq!(multiple(PERIOD, UnixNanos(millis * 1_000_000)), UnixNanos(expected * 1_000_000), "{millis}");
        }
    }

    #[test]
    fn what_is_woken_late_does_not_drift() {
        let (mut clocks, mut turns) = Clocks::begin(0);
        assert_eq!(clocks.turn(&mut turns, 3), (5_003, 0));
        assert_eq!(clocks.turn(&mut turns, 900), (5_897, 0));
        assert_eq!(clocks.turn(&mut turns, 0), (4_100, 0));
        assert_eq!(clocks.wall % 5_000, 0);
    }

    #[test]
    fn turns_that_have_passed_are_counted_and_not_made_up_for() {
        let (mut clocks, mut turns) = Clocks::begin(0);
        assert_eq!(clocks.turn(&mut turns, 12_000), (17_000, 2));
        assert_eq!(clocks.turn(&mut turns, 0), (3_000, 0));
        assert_eq!(clocks.turn(&mut turns, 4_999), (9_999, 0));
        assert_eq!(clocks.turn(&mut turns, 0), (1, 0));
        assert_eq!(clocks.turn(&mut turns, 5_000), (10_000, 1));
        assert_eq!(clocks.turn(&mut turns, 0), (5_000, 0));
    }

    /// Whichever way it is set and however far, one interval is odd, by at most half of a period.
    #[test]
    fn a_wall_clock_that_is_set_makes_one_odd_interval() {
        for step in [
            1,
            -1,
            700,
            -700,
            2_400,
            -2_400,
            2_600,
            -2_600,
            4_999,
            -4_999,
            5_000,
            3_600_000,
            -3_600_000,
            86_399_000,
            -1_000_000_001,
        ] {
            for before_sleeping in [true, false] {
                let (mut clocks, mut turns) = Clocks::begin(0);
                clocks.turn(&mut turns, 0);
                let mut intervals = Vec::new();
                for round in 0..6 {
                    if round == 2 && before_sleeping {
                        clocks.wall = clocks.wall.saturating_add_signed(step);
                    }
                    let (interval, late) = clocks.turn(&mut turns, 0);
                    assert_eq!(late, 0);
                    intervals.push(interval);
                    if round == 2 && !before_sleeping {
                        clocks.wall = clocks.wall.saturating_add_signed(step);
                    }
                }
                let odd: Vec<&u64> = intervals.iter().filter(|interval| **interval != 5_000).collect();
                assert!(odd.len() <= 1, "{step}: {intervals:?}");
                assert!(odd.iter().all(|interval| (2_500..=7_500).contains(*interval)), "{step}: {intervals:?}");
                assert_eq!(clocks.wall % 5_000, 0, "aligned again after a step of {step}");
            }
        }
    }

    /// While the machine sleeps, the steady clock stands still.
    #[test]
    fn after_a_suspension_there_is_no_burst() {
        let (mut clocks, mut turns) = Clocks::begin(0);
        clocks.turn(&mut turns, 0);
        clocks.pass(2_000);
        clocks.wall += 8 * 3_600_000 + 1_234;
        assert_eq!(clocks.turn(&mut turns, 0), (3_000, 0));
        let (interval, late) = clocks.turn(&mut turns, 0);
        assert_eq!((interval, late), (3_766, 0));
        assert_eq!(clocks.turn(&mut turns, 0), (5_000, 0));
    }

    #[test]
    fn a_clock_before_1970_is_bearable() {
        let now = Instant::now();
        let mut turns = Turns::new(PERIOD, now, UnixNanos(0));
        assert_eq!(turns.due(), now + PERIOD);
        assert_eq!(turns.take(turns.due(), UnixNanos(u64::MAX)), 0);
        assert!(turns.due() > now + PERIOD);
    }
}
