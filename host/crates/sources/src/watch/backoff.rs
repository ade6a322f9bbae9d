//! How long to wait before the next try: ever longer, never the same for two hosts.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Doubling waits with jitter.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: RandomState,
    tries: u64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST, random: RandomState::new(), tries: 0 }
    }

    /// The next wait: between half of the step and the whole of it.
    pub(super) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        self.tries = self.tries.wrapping_add(1);
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.tries);
        let thousandths = u32::try_from(hasher.finish() % 1000).unwrap_or(0);
        step / 2 + step / 2 * thousandths / 1000
    }

    /// Something worked: begin anew.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let mut step = FIRST;
        for _ in 0..12 {
            let wait = backoff.next();
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
            step = (step * 2).min(LONGEST);
        }
        assert_eq!(step, LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }

    #[test]
    fn two_hosts_do_not_wait_alike() {
        let waits = |mut backoff: Backoff| (0..8).map(move |_| backoff.next()).collect::<Vec<_>>();
        assert_ne!(waits(Backoff::new()), waits(Backoff::new()));
    }
}
