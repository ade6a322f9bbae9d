//! What the client calls on its own thread. Nothing here waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::meter::KafkaMeter;
use tracing::{Level, debug, enabled, info, warn};

use super::reports::{Reports, Trouble};
use super::statistics::{self, Totals};
use crate::shown::{WORDS, shown};

/// Lines of the client that are repeated in a minute, and such for whoever looks for a fault: with `debug` in `extra` those are many.
const LINES: u32 = 20;
const DEBUG_LINES: u32 = 10_000;
const MINUTE: Duration = Duration::from_mins(1);

/// What one client is given.
#[derive(Debug)]
pub(super) struct Context {
    sink: Arc<str>,
    reports: Arc<Reports>,
    meter: Arc<KafkaMeter>,
    lines: Mutex<Lines>,
    debug_lines: Mutex<Lines>,
    totals: Mutex<Totals>,
}

/// How many lines were repeated since when.
#[derive(Debug)]
struct Lines {
    most: u32,
    since: Instant,
    said: u32,
    left_out: u32,
}

impl Context {
    pub(super) fn new(sink: Arc<str>, reports: Arc<Reports>, meter: Arc<KafkaMeter>) -> Self {
        let lines = |most| Mutex::new(Lines::new(most, Instant::now()));
        let (lines, debug_lines) = (lines(LINES), lines(DEBUG_LINES));
        Self { sink, reports, meter, lines, debug_lines, totals: Mutex::default() }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        statistics::end(&self.meter);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            self.reports.set_failure(shown(without_thread(message), WORDS));
        }
        let level = worth(level, facility);
        if level == Level::DEBUG && !enabled!(Level::DEBUG) {
            return;
        }
        let lines = if level == Level::DEBUG { &self.debug_lines } else { &self.lines };
        let Some(left_out) = lines.lock().unwrap_or_else(PoisonError::into_inner).may_say(Instant::now()) else {
            return;
        };
        let sink = &self.sink;
        if left_out > 0 {
            info!(%sink, left_out, "lines of the kafka client were left out, since there were too many");
        }
        let message = shown(message, WORDS);
        match level {
            Level::WARN => warn!(%sink, facility, "{message}"),
            Level::INFO => info!(%sink, facility, "{message}"),
            _ => debug!(%sink, facility, "{message}"),
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if statistics::show(json, &mut totals, &self.meter) > 0 {
            self.reports.clear_trouble();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.reports.set_trouble(Trouble { code, reason: shown(reason, WORDS) });
    }
}

impl ProducerContext for Context {
    /// The ticket that the sink has given to the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let report = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        self.reports.add((ticket, report));
    }
}

/// What a line of the client is worth to an operator.
fn worth(level: RDKafkaLogLevel, facility: &str) -> Level {
    match level {
        // Of brokers that are away the outlet warns, once; and what can be done about it stands there.
        _ if matches!(facility, "FAIL" | "ERROR") => Level::DEBUG,
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => Level::WARN,
        RDKafkaLogLevel::Warning => Level::INFO,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => Level::DEBUG,
    }
}

/// The client begins its lines with the name of a thread: `[thrd:kafka:9092/bootstrap]: `.
fn without_thread(message: &str) -> &str {
    message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")).map_or(message, |(_, words)| words)
}

impl Lines {
    fn new(most: u32, now: Instant) -> Self {
        Self { most, since: now, said: 0, left_out: 0 }
    }

    /// Whether one more may be said, and how many were not before it.
    fn may_say(&mut self, now: Instant) -> Option<u32> {
        if now.saturating_duration_since(self.since) >= MINUTE {
            let left_out = self.left_out;
            *self = Self { said: 1, ..Self::new(self.most, now) };
            return Some(left_out);
        }
        if self.said < self.most {
            self.said += 1;
            return Some(0);
        }
        self.left_out = self.left_out.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_thread_is_left_out() {
        assert_eq!(without_thread("[thrd:k:1/bootstrap]: k:1/bootstrap: refused"), "k:1/bootstrap: refused");
        assert_eq!(without_thread("k:1: refused"), "k:1: refused");
    }

    #[test]
    fn a_client_that_talks_too_much_is_cut_short() {
        let begin = Instant::now();
        let mut lines = Lines::new(LINES, begin);
        let said = (0..1_000).filter(|_| lines.may_say(begin).is_some()).count();
        assert_eq!(said, 20);
        assert_eq!(lines.may_say(begin + Duration::from_secs(59)), None);
        assert_eq!(lines.may_say(begin + MINUTE), Some(981));
        assert_eq!(lines.may_say(begin + MINUTE), Some(0));
    }

    #[test]
    fn what_nobody_is_shown_costs_no_line_of_what_matters() {
        let context = Context::new("k".into(), Arc::default(), Arc::default());
        let said = |lines: &Mutex<Lines>| lines.lock().expect("nobody panicked").said;
        // Nobody listens here: lines for debugging are not even counted.
        for facility in ["FAIL", "BROKER"] {
            for _ in 0..100 {
                context.log(RDKafkaLogLevel::Info, facility, "words");
            }
        }
        assert_eq!((said(&context.lines), said(&context.debug_lines)), (0, 0));
        context.log(RDKafkaLogLevel::Error, "BROKER", "words");
        context.log(RDKafkaLogLevel::Warning, "BROKER", "words");
        assert_eq!((said(&context.lines), said(&context.debug_lines)), (2, 0));
    }

    #[test]
    fn lines_for_debugging_have_a_bound_of_their_own() {
        tracing::subscriber::with_default(Everything, || {
            let context = Context::new("k".into(), Arc::default(), Arc::default());
            for _ in 0..DEBUG_LINES + 5 {
                context.log(RDKafkaLogLevel::Debug, "BROKER", "words");
            }
            context.log(RDKafkaLogLevel::Error, "BROKER", "words");
            let (lines, debug_lines) = (context.lines.lock().expect("whole"), context.debug_lines.lock().expect("whole"));
            assert_eq!((lines.said, debug_lines.said, debug_lines.left_out), (1, DEBUG_LINES, 5));
        });
    }

    /// Hears every line, and does nothing with it.
    struct Everything;

    impl tracing::Subscriber for Everything {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {}

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }
}
