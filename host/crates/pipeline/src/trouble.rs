//! How much trouble a module makes, and when it is too much.

use std::time::{Duration, Instant};

/// What may come before a lane rests.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Events in a row that stop the module even when they are alone.
    pub events: u32,
    /// Time spent in calls that ended badly. A tenth of the time that passes is forgiven, so a module may be bad for that share of
    /// its time for ever.
    pub time: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { events: 8, time: Duration::from_secs(3) }
    }
}

/// The trouble that a module has made lately.
#[derive(Debug)]
pub(crate) struct Trouble {
    patience: Patience,
    events: u32,
    time: Duration,
    since: Instant,
    reported: bool,
}

/// So long without a fault, and what was before is forgotten.
const CALM: Duration = Duration::from_mins(2);

impl Trouble {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, events: 0, time: Duration::ZERO, since: Instant::now(), reported: false }
    }

    /// A call with so many events has ended badly, after so long. Says whether it is too much now.
    pub(crate) fn fault(&mut self, events: usize, took: Duration) -> bool {
        let now = Instant::now();
        self.time = self.time.saturating_sub(now.duration_since(self.since) / 10) + took;
        self.since = now;
        if events <= 1 {
            self.events = self.events.saturating_add(1);
        }
        let too_much = self.events >= self.patience.events || self.time >= self.patience.time;
        self.reported |= too_much;
        too_much
    }

    /// A start has failed: always too much.
    pub(crate) fn bad_start(&mut self) {
        self.reported = true;
    }

    /// A call has ended well. Says whether there was too much trouble before.
    pub(crate) fn succeed(&mut self) -> bool {
        self.events = 0;
        std::mem::take(&mut self.reported)
    }

    /// Whether the last fault is long ago: a module that fails now and then rests longer each time.
    pub(crate) fn is_calm(&self) -> bool {
        self.since.elapsed() >= CALM
    }

    /// The lane has rested: time is forgiven, the events in a row are not.
    pub(crate) fn rested(&mut self) {
        self.time = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble() -> Trouble {
        Trouble::new(Patience { events: 3, time: Duration::from_secs(10) })
    }

    #[test]
    fn halving_a_large_batch_is_no_trouble() {
        let mut trouble = trouble();
        for events in [4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1] {
            assert!(!trouble.fault(events, Duration::from_micros(50)), "{events}");
        }
    }

    #[test]
    fn several_deadly_events_in_a_row_are_too_much() {
        let mut trouble = trouble();
        assert!(!trouble.fault(1, Duration::ZERO));
        assert!(!trouble.fault(1, Duration::ZERO));
        assert!(trouble.fault(1, Duration::ZERO));
        assert!(trouble.succeed());
        assert!(!trouble.fault(1, Duration::ZERO));
        assert!(!trouble.succeed());
    }

    #[test]
    fn calls_that_succeed_between_do_not_hide_time_that_is_lost() {
        let mut trouble = trouble();
        for _ in 0..9 {
            assert!(!trouble.fault(64, Duration::from_secs(1)));
            trouble.succeed();
        }
        assert!(trouble.fault(64, Duration::from_millis(1_100)));
        trouble.rested();
        assert!(!trouble.fault(64, Duration::from_secs(1)));
    }
}
