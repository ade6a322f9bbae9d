//! What each total has grown by since the report before. Pure; remembers the connections of one report, no more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sluicebox_contract::{Protocol, Traffic};

use super::row::Reported;

/// What makes a connection the same in two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    pid: u32,
    network_namespace: u32,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    sent: u64,
    received: u64,
    retransmits: u64,
    report: u32,
}

/// The totals of one tracer's last report.
#[derive(Debug, Default)]
pub(super) struct Totals {
    last: HashMap<Key, Last>,
    /// Counts the reports.
    report: u32,
    /// When the report before came.
    at: Option<Instant>,
    /// This report, and the one before, had more than was told.
    is_cut: bool,
    was_cut: bool,
}

/// What has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    pub(super) retransmits: Traffic,
}

impl Totals {
    /// A report begins. Gives the time since the one before; none where there was none.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Duration> {
        self.report = self.report.wrapping_add(1);
        self.was_cut = std::mem::take(&mut self.is_cut);
        let before = self.at.replace(now)?;
        Some(now.saturating_duration_since(before))
    }

    /// The report that has begun has more than will be told of it.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether a report has been told.
    pub(super) fn has_begun(&self) -> bool {
        self.at.is_some()
    }

    /// A connection of the report; `is_first` if there was no report before.
    pub(super) fn growth(&mut self, row: &Reported, is_first: bool) -> Growth {
        let key = Key {
            source: row.source,
            destination: row.destination,
            ports: (row.source_port, row.destination_port),
            pid: row.pid,
            network_namespace: row.network_namespace,
            protocol: row.protocol,
        };
        let now = Last { sent: row.sent, received: row.received, retransmits: row.retransmits, report: self.report };
        let before = self.last.insert(key, now);
        // What was not there before has all come since; unless nobody has looked before, or not at all.
        let is_new = !is_first && !self.was_cut;
        let traffic = |total: u64, before: Option<u64>| Traffic {
            total,
            increase: match before {
                Some(before) if !is_first => total.saturating_sub(before),
                None if is_new => total,
                Some(_) | None => 0,
            },
        };
        Growth {
            sent: traffic(row.sent, before.map(|before| before.sent)),
            received: traffic(row.received, before.map(|before| before.received)),
            retransmits: traffic(row.retransmits, before.map(|before| before.retransmits)),
        }
    }

    /// The report has ended: what was not in it is forgotten.
    pub(super) fn end(&mut self) {
        let report = self.report;
        self.last.retain(|_, last| last.report == report);
        // A report of unusual size must not be paid for ever after.
        if self.last.capacity() > 4 * self.last.len() + 1024 {
            self.last.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{DirectionCodes, read};
    use super::*;

    fn row(port: u16, sent: u64) -> Reported {
        let row = format!(r#"{{"source":"10.0.0.1","dest":"10.0.0.2","sport":{port},"dport":80,"monotonic_sent_bytes":{sent}}}"#);
        read(row.as_bytes(), DirectionCodes::Datadog).unwrap()
    }

    fn report(totals: &mut Totals, rows: &[(u16, u64)]) -> Vec<u64> {
        let is_first = totals.begin(Instant::now()).is_none();
        let grown = rows.iter().map(|(port, sent)| totals.growth(&row(*port, *sent), is_first).sent.increase).collect();
        totals.end();
        grown
    }

    #[test]
    fn a_total_grows_from_report_to_report_and_what_is_new_has_all_come_since() {
        let mut totals = Totals::default();
        assert_eq!(report(&mut totals, &[(1, 100)]), [0]);
        assert_eq!(report(&mut totals, &[(1, 150), (2, 7)]), [50, 7]);
        assert_eq!(report(&mut totals, &[(1, 150), (2, 8)]), [0, 1]);
    }

    #[test]
    fn what_may_have_been_left_out_before_has_not_all_come_since() {
        let mut totals = Totals::default();
        assert_eq!(report(&mut totals, &[(1, 100)]), [0]);
        totals.begin(Instant::now());
        totals.cut();
        assert_eq!(totals.growth(&row(1, 150), false).sent.increase, 50);
        totals.end();
        assert_eq!(report(&mut totals, &[(1, 160), (2, 1_000)]), [10, 0]);
        assert_eq!(report(&mut totals, &[(2, 1_001), (3, 5)]), [1, 5]);
    }

    #[test]
    fn a_total_that_falls_has_not_grown() {
        let mut totals = Totals::default();
        report(&mut totals, &[(1, 100)]);
        assert_eq!(report(&mut totals, &[(1, 3)]), [0]);
        assert_eq!(report(&mut totals, &[(1, 5)]), [2]);
    }

    #[test]
    fn only_one_report_is_remembered() {
        let mut totals = Totals::default();
        let many: Vec<(u16, u64)> = (0..60_000).map(|port| (port, 1)).collect();
        report(&mut totals, &many);
        report(&mut totals, &[(1, 1)]);
        assert_eq!(totals.last.len(), 1);
        assert!(totals.last.capacity() < 4096);
        assert_eq!(report(&mut totals, &[(2, 5)]), [5], "it was forgotten meanwhile");
    }
}
