//! A lane's share of the processor: what its thread has used, and how long it must wait when that was too much.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sluicebox_contract::CpuShare;

/// So much may be used at once after a rest.
const BURST: Duration = Duration::from_secs(1);

/// The account of one thread; must stay on it.
#[derive(Debug)]
pub(crate) struct Account {
    share: CpuShare,
    /// What may still be used, nanoseconds; below zero after more than that.
    left: i64,
    earned: Instant,
    used: Duration,
}

impl Account {
    pub(crate) fn new(share: CpuShare) -> Self {
        Self { share, left: nanos(BURST), earned: Instant::now(), used: thread_time() }
    }

    /// From now on another module uses the thread, with this share. What the one before owes is not its debt; but a swap gives nothing
    /// to use at once, or swaps one after the other would be a way around the share.
    pub(crate) fn succeed(&mut self, share: CpuShare) {
        self.share = share;
        self.left = self.left.max(0);
    }

    /// Books what the thread has used since the last time; gives that, and how long the lane must wait now.
    pub(crate) fn settle(&mut self) -> (Duration, Duration) {
        let used = thread_time();
        let spent = used.saturating_sub(self.used);
        self.used = used;
        (spent, self.book(spent, Instant::now()))
    }

    fn book(&mut self, spent: Duration, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.earned);
        self.earned = now;
        let earned = nanos(passed).saturating_mul(i64::from(self.share.millicores)) / 1000;
        self.left = self.left.saturating_add(earned).min(nanos(BURST)).saturating_sub(nanos(spent));
        if self.left >= 0 || self.share.millicores == 0 {
            return Duration::ZERO;
        }
        let wait = self.left.unsigned_abs().saturating_mul(1000) / u64::from(self.share.millicores);
        Duration::from_nanos(wait)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Processor time that this thread has used.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_thread_that_uses_more_than_its_share_waits_for_the_rest() {
        let start = Instant::now();
        let mut account = Account { share: CpuShare { millicores: 250 }, left: 0, earned: start, used: Duration::ZERO };
        // 100 ms used in 100 ms: 25 ms were earned, so 75 ms must be earned yet, which takes four times as long.
        assert_eq!(account.book(100 * MS, start + 100 * MS), 300 * MS);
        assert_eq!(account.book(Duration::ZERO, start + 400 * MS), Duration::ZERO);
    }

    #[test]
    fn a_burst_after_a_rest_is_free() {
        let start = Instant::now();
        let mut account = Account { share: CpuShare { millicores: 500 }, left: 0, earned: start, used: Duration::ZERO };
        assert_eq!(account.book(Duration::ZERO, start + Duration::from_hours(1)), Duration::ZERO);
        assert_eq!(account.book(BURST, start + Duration::from_hours(1)), Duration::ZERO);
        assert_eq!(account.book(MS, start + Duration::from_hours(1)), 2 * MS);
    }

    #[test]
    fn a_successor_has_no_debt_and_what_was_saved() {
        let start = Instant::now();
        for spent in [1500 * MS, 200 * MS] {
            let mut account =
                Account { share: CpuShare { millicores: 10 }, left: nanos(BURST), earned: start, used: Duration::ZERO };
            account.book(spent, start);
            account.succeed(CpuShare { millicores: 500 });
            assert_eq!(account.book(Duration::ZERO, start), Duration::ZERO);
            let left = BURST.saturating_sub(spent);
            assert_eq!(account.book(left + MS, start), 2 * MS);
        }
    }

    #[test]
    fn the_time_of_the_thread_is_what_it_has_computed() {
        let mut account = Account::new(CpuShare { millicores: 1000 });
        let begin = Instant::now();
        while begin.elapsed() < 20 * MS {
            std::thread::park_timeout(20 * MS);
        }
        assert!(account.settle().0 < 15 * MS, "sleeping costs nothing");
        let begin = Instant::now();
        while begin.elapsed() < 20 * MS {
            std::hint::black_box(());
        }
        assert!(account.settle().0 > Duration::ZERO);
    }
}
