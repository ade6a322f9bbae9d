//! What the client's thread leaves for the sink to find: what became of records, and what troubles the client.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;

/// What became of a record: its ticket, and the error if it was not written.
pub(super) type Report = (usize, Result<(), RDKafkaErrorCode>);

/// What the client says of its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

/// The place between the client's thread and the sink. There are never more reports than records in the client, which is bounded.
#[derive(Debug, Default)]
pub(super) struct Reports {
    found: Mutex<Found>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Found {
    reports: Vec<Report>,
    trouble: Option<Trouble>,
    /// How the last connection ended, in the client's words.
    failure: Option<String>,
}

impl Reports {
    pub(super) fn add(&self, report: Report) {
        let mut found = self.found();
        if report.1.is_ok() {
            // Whatever it was, it is over.
            found.trouble = None;
            found.failure = None;
        }
        found.reports.push(report);
        drop(found);
        self.changed.notify_one();
    }

    /// What is worse stays: that all brokers are away says less than why.
    pub(super) fn set_trouble(&self, trouble: Trouble) {
        let mut found = self.found();
        if found.trouble.as_ref().is_none_or(|known| rank(known.code) <= rank(trouble.code)) {
            found.trouble = Some(trouble);
        }
        drop(found);
        self.changed.notify_one();
    }

    /// Brokers answer: what troubled the client is over, unless it cannot go on.
    pub(super) fn clear_trouble(&self) {
        let mut found = self.found();
        found.trouble = found.trouble.take().filter(|trouble| trouble.code == RDKafkaErrorCode::Fatal);
        found.failure = None;
    }

    /// A connection has ended. That is no trouble as long as there are others.
    pub(super) fn set_failure(&self, failure: String) {
        self.found().failure = Some(failure);
    }

    pub(super) fn take(&self) -> Vec<Report> {
        std::mem::take(&mut self.found().reports)
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        let found = self.found();
        let trouble = found.trouble.clone()?;
        match &found.failure {
            Some(reason) if trouble.code == RDKafkaErrorCode::AllBrokersDown => {
                Some(Trouble { code: RDKafkaErrorCode::BrokerTransportFailure, reason: reason.clone() })
            }
            _ => Some(trouble),
        }
    }

    /// Until something was added, be it before the call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much a trouble says.
fn rank(code: RDKafkaErrorCode) -> u8 {
    match code {
        RDKafkaErrorCode::Fatal => 3,
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::SaslAuthenticationFailed => 2,
        RDKafkaErrorCode::AllBrokersDown => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(code: RDKafkaErrorCode) -> Trouble {
        Trouble { code, reason: String::new() }
    }

    #[test]
    fn the_trouble_that_says_more_stays_until_a_record_is_written() {
        let reports = Reports::default();
        for (said, kept) in [
            (RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::AllBrokersDown),
            (RDKafkaErrorCode::Resolve, RDKafkaErrorCode::Resolve),
            (RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::BrokerTransportFailure),
            (RDKafkaErrorCode::Authentication, RDKafkaErrorCode::Authentication),
            (RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::Authentication),
        ] {
            reports.set_trouble(trouble(said));
            assert_eq!(reports.trouble(), Some(trouble(kept)));
        }
        reports.add((1, Err(RDKafkaErrorCode::PurgeQueue)));
        assert!(reports.trouble().is_some());
        reports.add((2, Ok(())));
        assert_eq!(reports.trouble(), None);
        assert_eq!(reports.take(), [(1, Err(RDKafkaErrorCode::PurgeQueue)), (2, Ok(()))]);
    }

    #[test]
    fn that_all_brokers_are_away_is_told_with_how_the_last_one_went() {
        let reports = Reports::default();
        reports.set_failure("refused".to_owned());
        assert_eq!(reports.trouble(), None);
        reports.set_trouble(trouble(RDKafkaErrorCode::AllBrokersDown));
        assert_eq!(reports.trouble().map(|trouble| trouble.reason), Some("refused".to_owned()));
    }

    #[test]
    fn a_trouble_is_over_when_brokers_answer_unless_the_client_cannot_go_on() {
        let reports = Reports::default();
        reports.set_failure("refused".to_owned());
        reports.set_trouble(trouble(RDKafkaErrorCode::AllBrokersDown));
        reports.clear_trouble();
        assert_eq!(reports.trouble(), None);
        reports.set_trouble(trouble(RDKafkaErrorCode::Fatal));
        reports.clear_trouble();
        assert_eq!(reports.trouble(), Some(trouble(RDKafkaErrorCode::Fatal)));
    }

    #[tokio::test]
    async fn what_was_added_before_somebody_waited_is_noticed() {
        let reports = Reports::default();
        reports.add((1, Ok(())));
        reports.changed().await;
    }
}
