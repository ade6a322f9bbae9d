//! How long to wait before the next try: ever longer, up to a limit, and never the same for two collectors.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Waiting times between tries: doubling, with jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    /// Waits about `first`, then twice as long each time, at most `limit`.
    pub fn new(first: Duration, limit: Duration) -> Self {
        // Jitter needs no secrecy, only that two of them differ: the keys of a hash table do.
        let random = RandomState::new().build_hasher().finish() | 1;
        Self { first, limit, next: first, random }
    }

    /// The time to wait now: between half and the whole of the present step.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.limit);
        // xorshift64, see Marsaglia, "Xorshift RNGs", 2003.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(self.random % 501).unwrap_or(0);
        step / 2 + step * thousandths / 1000
    }

    /// A try has succeeded: begin anew.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(1))
    }

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = backoff();
        for step in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait();
            assert!(wait >= Duration::from_millis(step / 2) && wait <= Duration::from_millis(step), "{wait:?} of {step} ms");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(100));
    }

    #[test]
    fn two_collectors_do_not_wait_alike() {
        let waits = |mut backoff: Backoff| (0..8).map(move |_| backoff.wait()).collect::<Vec<_>>();
        assert_ne!(waits(backoff()), waits(backoff()));
    }
}
