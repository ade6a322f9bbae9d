//! When a module is looked after: a tag every so often, and more often at first while its registry is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::backoff::Backoff;
use sluicebox_registry::PullError;
use tracing::{info, warn};

use super::PullMeter;

/// The first wait after a look that has failed; the waits double, up to the time between two looks.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The turns of one module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    meter: Arc<PullMeter>,
    next: Option<Instant>,
    is_asked: bool,
    succeeded: Option<Instant>,
    /// While looks fail.
    backoff: Option<Backoff>,
    /// Whether the last look found nobody: that was told.
    is_away: bool,
    /// Whether there will be no other turn: what is here stays what it is.
    is_over: bool,
}

impl Turns {
    pub(super) fn meter(&self) -> Arc<PullMeter> {
        Arc::clone(&self.meter)
    }

    /// Whether it is its turn; then it begins.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let is_due = !self.is_asked && !self.is_over && self.next.is_none_or(|next| now >= next);
        self.is_asked |= is_due;
        is_due
    }

    pub(super) fn hurry(&mut self) {
        self.next = None;
    }

    pub(super) fn succeeded_since(&self, moment: Instant) -> bool {
        self.succeeded.is_some_and(|time| time >= moment)
    }

    /// A look has ended; `is_here` when there is a copy to go on with. Says whether it went well and the one before had not.
    pub(super) fn end(&mut self, result: &Result<bool, PullError>, every: Duration, moves: bool, is_here: bool) -> bool {
        let now = Instant::now();
        self.is_asked = false;
        match result {
            Ok(is_new) => {
                let counter = if *is_new { &self.meter.taken } else { &self.meter.unchanged };
                counter.increment();
                self.meter.connected.set(1);
                self.succeeded = Some(now);
                self.is_away = false;
                self.is_over = !moves;
                self.next = now.checked_add(jittered(every));
                let was_failing = self.backoff.take().is_some();
                if was_failing {
                    info!("the registry answers again");
                }
                was_failing
            }
            Err(error) => {
                if error.is_away() {
                    self.meter.away.increment();
                    self.meter.connected.set(0);
                } else {
                    self.meter.refused.increment();
                    self.meter.connected.set(1);
                }
                // One that has refused what is wanted of it may go away, too.
                let was_away = std::mem::replace(&mut self.is_away, error.is_away());
                if error.is_away() && !was_away {
                    let goes_on = if is_here { "what runs goes on" } else { "there is no copy, and what needs it waits" };
                    warn!(reason = %error, hint = error.hint(), "a registry does not answer: {goes_on}");
                }
                let first = FIRST_WAIT.min(every);
                let backoff = self.backoff.get_or_insert_with(|| Backoff::new(first, LONGEST_WAIT.min(every).max(first)));
                self.next = now.checked_add(backoff.wait());
                false
            }
        }
    }
}

/// A tenth more or less, so that collectors that started together do not ask together.
fn jittered(every: Duration) -> Duration {
    // A backoff that does not grow waits between the half and the whole of its step.
    let fifth = Backoff::new(every / 5 * 2, every / 5 * 2).wait().saturating_sub(every / 5);
    every / 10 * 9 + fifth
}

#[cfg(test)]
mod tests {
    use sluicebox_registry::Kind;

    use super::*;

    const EVERY: Duration = Duration::from_mins(5);

    fn away() -> Result<bool, PullError> {
        Err(PullError { kind: Kind::Away, reason: "connection refused".to_owned() })
    }

    #[test]
    fn a_tag_has_its_turn_every_so_often_and_a_digest_once() {
        let mut turns = Turns::default();
        let now = Instant::now();
        assert!(turns.begin(now) && !turns.begin(now));
        assert!(!turns.end(&Ok(true), EVERY, true, true));
        assert!(!turns.begin(now + EVERY / 10 * 8) && turns.begin(now + EVERY / 10 * 12));
        assert!(!turns.end(&Ok(false), EVERY, false, true));
        assert!(!turns.begin(now + 100 * EVERY));
        turns.hurry();
        assert!(!turns.begin(now));
    }

    #[test]
    fn a_registry_that_is_away_is_asked_more_often_at_first_and_ever_more_rarely() {
        let mut turns = Turns::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            turns.end(&away(), EVERY, true, true);
            waits.push(turns.next.unwrap().duration_since(Instant::now()));
        }
        assert!(waits[0] <= FIRST_WAIT && waits[3] > waits[0], "{waits:?}");
        assert!(waits[11] <= EVERY && waits[11] > EVERY / 3, "{waits:?}");
        assert!(turns.end(&Ok(false), EVERY, true, true), "it is mended");
        assert_eq!((turns.meter.away.get(), turns.meter.unchanged.get(), turns.meter.connected.get()), (12, 1, 1));
    }

    #[test]
    fn turns_are_a_tenth_more_or_less_apart() {
        for _ in 0..1000 {
            let wait = jittered(EVERY);
            assert!(wait >= EVERY / 10 * 9 && wait <= EVERY / 10 * 11, "{wait:?}");
        }
    }
}
