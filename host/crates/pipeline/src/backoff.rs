//! How long to wait before the next try: twice as long each time, with jitter, up to a limit.

use std::time::Duration;

/// Waiting times between tries.
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
        // Jitter needs no secrecy, only that two collectors differ: the process id and the clock's nanoseconds do.
        let clock = sluicebox_contract::UnixNanos::now().0;
        let random = (clock ^ (u64::from(std::process::id()) << 32)) | 1;
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

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for step in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait();
            assert!(wait >= Duration::from_millis(step / 2) && wait <= Duration::from_millis(step), "{wait:?} of {step} ms");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(100));
    }
}
