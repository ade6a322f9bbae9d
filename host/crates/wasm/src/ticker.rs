//! The clock of the deadlines: a thread that counts up while guests run, and sleeps while none does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The grain of all deadlines. A tick of 10 ms costs 0.16 % of a core, one of 1 ms ten times as much.
const TICK: Duration = Duration::from_millis(10);

/// So many ticks without a running guest, and the thread rests: waking it costs the caller some microseconds, so that it should
/// not happen for each of a row of calls.
const IDLE_TICKS: u32 = 100;

/// Counts the epoch of a wasmtime engine up until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Guests that run just now.
    running: AtomicU32,
    /// Whether the thread sleeps until somebody wakes it.
    resting: AtomicBool,
    stopped: AtomicBool,
}

/// A guest is running as long as this lives.
pub(crate) struct Running<'a>(&'a AtomicU32);

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        let thread = thread::Builder::new().name("deadlines".to_owned()).spawn(move || tick(&engine, &ticking))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How many ticks make at least this duration. The tick that is under way may end at once, so one more is counted.
    pub(crate) fn ticks(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) + 1
    }

    /// Says that a guest is about to run.
    pub(crate) fn running(&self) -> Running<'_> {
        // The order matters: we count ourselves first and look second, the thread says that it rests first and counts second. One
        // of the two sees the other.
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.resting.swap(false, SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.shared.running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread cannot panic; if it did there would be nothing to do about it here.
            let _ = thread.join();
        }
    }
}

fn tick(engine: &wasmtime::Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stopped.load(SeqCst) {
        let due = Instant::now() + TICK;
        // Parking may end early.
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if shared.stopped.load(SeqCst) {
                return;
            }
            thread::park_timeout(left);
        }
        engine.increment_epoch();
        idle = if shared.running.load(SeqCst) == 0 { idle + 1 } else { 0 };
        if idle >= IDLE_TICKS {
            rest(shared);
            idle = 0;
        }
    }
}

/// Sleeps until a guest runs.
fn rest(shared: &Shared) {
    shared.resting.store(true, SeqCst);
    if shared.running.load(SeqCst) > 0 {
        shared.resting.store(false, SeqCst);
    }
    while shared.resting.load(SeqCst) && !shared.stopped.load(SeqCst) {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_shorter_than_asked_for() {
        assert_eq!(Ticker::ticks(Duration::from_millis(1)), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(10)), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(11)), 3);
        assert_eq!(Ticker::ticks(Duration::from_secs(1)), 101);
    }

    #[test]
    fn an_endless_deadline_does_not_overflow() {
        assert_eq!(Ticker::ticks(Duration::MAX), u64::MAX / 2 + 1);
    }

    #[test]
    fn an_idle_clock_rests_and_a_running_guest_wakes_it() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine).unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        while !ticker.shared.resting.load(SeqCst) {
            assert!(Instant::now() < patience, "the clock never rests");
            thread::yield_now();
        }
        let running = ticker.running();
        assert!(!ticker.shared.resting.load(SeqCst));
        drop(running);
    }
}
