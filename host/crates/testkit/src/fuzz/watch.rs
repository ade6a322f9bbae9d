//! Says which input it was when a test fails, takes too long or never comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A call that has not come back for so long never will.
const NEVER: Duration = Duration::from_mins(2);
/// So much of an input is shown, in bytes.
const SHOWN: usize = 2 << 10;

/// The input that is being tried.
pub(super) struct Watch {
    name: String,
    seed: Arc<AtomicU64>,
    input: Vec<u8>,
    is_trying: bool,
    /// Its end tells the one who waits for calls that do not come back.
    _end: SyncSender<()>,
}

impl Watch {
    /// Watches the test of this thread.
    pub(super) fn begin() -> Self {
        let name = std::thread::current().name().unwrap_or("fuzz").to_owned();
        let seed = Arc::new(AtomicU64::new(0));
        let (end, ended) = sync_channel::<()>(1);
        let (watched, name_there) = (Arc::clone(&seed), name.clone());
        std::thread::spawn(move || {
            let mut before = u64::MAX;
            while ended.recv_timeout(NEVER) == Err(RecvTimeoutError::Timeout) {
                let now = watched.load(Ordering::Relaxed);
                if now == before {
                    say(&format!("fuzz: {name_there}: the call with SLUICEBOX_FUZZ_SEED={now} does not come back"));
                    std::process::abort();
                }
                before = now;
            }
        });
        Self { name, seed, input: Vec::new(), is_trying: false, _end: end }
    }

    /// Does it with this input; says how much of the processor that took.
    pub(super) fn call(&mut self, seed: u64, input: &[u8], call: impl FnOnce()) -> Duration {
        self.seed.store(seed, Ordering::Relaxed);
        self.is_trying = true;
        self.input.clear();
        self.input.extend_from_slice(input);
        let begun = processor();
        call();
        processor().saturating_sub(begun)
    }

    /// It was as it should be.
    pub(super) fn done(&mut self) {
        self.is_trying = false;
    }

    /// All were.
    pub(super) fn end(self, inputs: u64, span: Duration) {
        say(&format!("fuzz: {}: {inputs} inputs in {:.1} s", self.name, span.as_secs_f64()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_trying && std::thread::panicking() {
            let shown = self.input.get(..SHOWN).unwrap_or(&self.input).escape_ascii();
            let (seed, length) = (self.seed.load(Ordering::Relaxed), self.input.len());
            say(&format!("fuzz: {}: SLUICEBOX_FUZZ_SEED={seed} does it again; {length} bytes: {shown}", self.name));
        }
    }
}

/// What this thread has had of the processor: other tests do not make it late.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[expect(clippy::print_stderr, reason = "what a test says is shown by those who run it")]
fn say(words: &str) {
    eprintln!("{words}");
}
