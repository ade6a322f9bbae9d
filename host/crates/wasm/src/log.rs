//! What modules say: cut, slowed down, and given to the host's log with the names of lane and module beside it.

use std::time::{Duration, Instant};

use crate::bindings::sluicebox::module::log::Level;
use crate::limits::Limits;
use crate::text::readable;

const SECOND: Duration = Duration::from_secs(1);

/// The log of one lane's module. Outlives the instances: one that fails again and again has no more lines than one that lives.
#[derive(Debug)]
pub(crate) struct Log {
    lane: String,
    module: String,
    version: String,
    line_bytes: usize,
    rate: Rate,
    /// The last error that was said in the present call: what a module says when it panics.
    last_error: Option<String>,
}

impl Log {
    pub(crate) fn new(lane: &str, module: &str, version: &str, limits: &Limits) -> Self {
        Self {
            lane: lane.to_owned(),
            module: module.to_owned(),
            version: version.to_owned(),
            line_bytes: limits.log_line_bytes,
            rate: Rate::new(limits.log_lines_per_second, Instant::now()),
            last_error: None,
        }
    }

    /// A new call begins.
    pub(crate) fn forgive(&mut self) {
        self.last_error = None;
    }

    /// The last error that was said in the present call.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Writes a line, or counts it as dropped.
    pub(crate) fn line(&mut self, level: Level, text: &str) {
        let allowed = self.rate.allow(Instant::now());
        // A flood costs no more than this: a line that is not shown is not even made readable.
        if allowed || level == Level::Error {
            let text = readable(text, self.line_bytes);
            if allowed {
                self.write(level, &text);
            }
            if level == Level::Error {
                self.last_error = Some(text);
            }
        }
        self.report();
    }

    /// Says how many lines were dropped, once in a second.
    pub(crate) fn report(&mut self) {
        if let Some(dropped) = self.rate.dropped(Instant::now()) {
            let Self { lane, module, version, rate, .. } = self;
            let limit = rate.per_second;
            tracing::warn!(target: "module", %lane, %module, %version, dropped, limit, "the module logs more lines in a second than it may");
        }
    }

    fn write(&self, level: Level, text: &str) {
        let Self { lane, module, version, .. } = self;
        match level {
            Level::Debug => tracing::debug!(target: "module", %lane, %module, %version, "{text}"),
            Level::Info => tracing::info!(target: "module", %lane, %module, %version, "{text}"),
            Level::Warn => tracing::warn!(target: "module", %lane, %module, %version, "{text}"),
            Level::Error => tracing::error!(target: "module", %lane, %module, %version, "{text}"),
        }
    }
}

/// So many in a second, and as many at once after a silence.
#[derive(Debug)]
struct Rate {
    per_second: u32,
    left: f64,
    filled: Instant,
    dropped: u64,
    reported: Instant,
}

impl Rate {
    fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: f64::from(per_second), filled: now, dropped: 0, reported: now }
    }

    fn allow(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(self.per_second);
        self.left = (self.left + earned).min(f64::from(self.per_second));
        self.filled = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return true;
        }
        self.dropped += 1;
        false
    }

    /// How many were dropped since this was last said, when that is a second ago.
    fn dropped(&mut self, now: Instant) -> Option<u64> {
        if self.dropped == 0 || now.saturating_duration_since(self.reported) < SECOND {
            return None;
        }
        self.reported = now;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        let allowed = (0..1000).filter(|_| rate.allow(start)).count();
        assert_eq!(allowed, 10);
        assert_eq!(rate.dropped(start), None);
        assert_eq!(rate.dropped(start + SECOND), Some(990));
        assert_eq!(rate.dropped(start + 2 * SECOND), None);
    }

    #[test]
    fn silence_earns_lines_but_not_more_than_a_second_of_them() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        while rate.allow(start) {}
        assert!(!rate.allow(start + SECOND / 20));
        assert!(rate.allow(start + SECOND / 5));
        let later = start + 60 * SECOND;
        assert_eq!((0..1000).filter(|_| rate.allow(later)).count(), 10);
    }

    #[test]
    fn a_limit_of_zero_is_silence() {
        let start = Instant::now();
        let mut rate = Rate::new(0, start);
        assert!(!rate.allow(start + 100 * SECOND));
    }
}
