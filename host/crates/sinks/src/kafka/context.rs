//! What the client calls on its own thread. Nothing here waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::meter::KafkaMeter;
use tracing::{debug, info, warn};

use super::reports::{Reports, Trouble};
use super::statistics;
use crate::shown::shown;

/// Characters of what the client says that are repeated.
const LONGEST: usize = 400;

/// Lines of the client that are repeated in a minute.
const LINES: u32 = 20;
const MINUTE: Duration = Duration::from_mins(1);

/// What one client is given.
#[derive(Debug)]
pub(super) struct Context {
    sink: Arc<str>,
    reports: Arc<Reports>,
    meter: Arc<KafkaMeter>,
    lines: Mutex<Lines>,
}

/// How many lines were repeated since when.
#[derive(Debug)]
struct Lines {
    since: Instant,
    said: u32,
    left_out: u32,
}

impl Context {
    pub(super) fn new(sink: Arc<str>, reports: Arc<Reports>, meter: Arc<KafkaMeter>) -> Self {
        Self { sink, reports, meter, lines: Mutex::new(Lines::new(Instant::now())) }
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
            self.reports.set_failure(shown(without_thread(message), LONGEST));
        }
        let Some(left_out) = self.lines.lock().unwrap_or_else(PoisonError::into_inner).may_say(Instant::now()) else {
            return;
        };
        let sink = &self.sink;
        if left_out > 0 {
            info!(%sink, left_out, "lines of the kafka client were left out, since there were too many");
        }
        let message = shown(message, LONGEST);
        match level {
            // Of brokers that are away the outlet warns, once; and what can be done about it stands there.
            _ if matches!(facility, "FAIL" | "ERROR") => debug!(%sink, facility, "{message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                warn!(%sink, facility, "{message}");
            }
            RDKafkaLogLevel::Warning => info!(%sink, facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                debug!(%sink, facility, "{message}");
            }
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        if statistics::show(json, &self.meter) > 0 {
            self.reports.clear_trouble();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.reports.set_trouble(Trouble { code, reason: shown(reason, LONGEST) });
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

/// The client begins its lines with the name of a thread: `[thrd:kafka:9092/bootstrap]: `.
fn without_thread(message: &str) -> &str {
    message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")).map_or(message, |(_, words)| words)
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self { since: now, said: 0, left_out: 0 }
    }

    /// Whether one more may be said, and how many were not before it.
    fn may_say(&mut self, now: Instant) -> Option<u32> {
        if now.saturating_duration_since(self.since) >= MINUTE {
            let left_out = self.left_out;
            *self = Self { said: 1, ..Self::new(now) };
            return Some(left_out);
        }
        if self.said < LINES {
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
        let mut lines = Lines::new(begin);
        let said = (0..1_000).filter(|_| lines.may_say(begin).is_some()).count();
        assert_eq!(said, 20);
        assert_eq!(lines.may_say(begin + Duration::from_secs(59)), None);
        assert_eq!(lines.may_say(begin + MINUTE), Some(981));
        assert_eq!(lines.may_say(begin + MINUTE), Some(0));
    }
}
