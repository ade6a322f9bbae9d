//! What the program says of itself, read as anybody would. Pure.

use std::collections::BTreeMap;

/// A page of metrics, by name with labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics(BTreeMap<String, f64>);

/// What has become of the entries of a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Account {
    pub(super) entries: f64,
    pub(super) recovered: f64,
    pub(super) written: f64,
    pub(super) refused: f64,
    pub(super) dropped: f64,
    pub(super) damaged: f64,
    /// What had no room in the queue, and in the store.
    pub(super) overflow: f64,
    pub(super) store_overflow: f64,
    pub(super) held: f64,
    pub(super) stored: f64,
    pub(super) waiting: f64,
}

impl Metrics {
    pub(super) fn parse(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .filter_map(|line| line.rsplit_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?))))
                .collect(),
        )
    }

    /// The sum over all rows of this name whose labels hold all of these.
    pub(super) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |key: &str| {
            let rest = key.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'));
            rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
        };
        // Not `sum`, which begins with minus zero.
        self.0.iter().filter(|(key, _)| fits(key)).fold(0.0, |sum, (_, value)| sum + value)
    }

    pub(super) fn account(&self, sink: &str) -> Account {
        let label = format!("sink=\"{sink}\"");
        let sum = |name: &str| self.sum(name, &[&label]);
        let dropped = |reason: &str| self.sum("sluicebox_sink_dropped_entries_total", &[&label, &format!("reason=\"{reason}\"")]);
        Account {
            entries: sum("sluicebox_sink_entries_total"),
            recovered: sum("sluicebox_sink_store_recovered_entries_total"),
            written: sum("sluicebox_sink_written_total"),
            refused: sum("sluicebox_sink_refused_total"),
            dropped: sum("sluicebox_sink_dropped_entries_total"),
            damaged: dropped("store-damaged"),
            overflow: dropped("overflow"),
            store_overflow: dropped("store-overflow"),
            held: sum("sluicebox_sink_held_entries"),
            stored: sum("sluicebox_sink_store_stored_entries_total"),
            waiting: sum("sluicebox_sink_store_entries"),
        }
    }
}

impl Account {
    /// What came in is what went out or is there still.
    pub(super) fn is_right(&self) -> bool {
        let difference = self.entries + self.recovered - self.written - self.refused - self.dropped - self.held;
        difference.abs() < 0.5
    }

    /// Of what this run was handed, so many entries at least survive that it is killed: what is written or refused, and what is in the store,
    /// where the disk takes what is given to it.
    pub(super) fn safe(&self, disk_is_full: bool) -> f64 {
        let waiting = if disk_is_full { 0.0 } else { self.waiting };
        // What was written of an earlier run is no entry of this one.
        (self.written + self.refused + waiting - self.recovered).max(self.stored).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_a_page() {
        let page = "# HELP x y\nsluicebox_sink_entries_total{sink=\"a\"} 7\nsluicebox_sink_entries_total{sink=\"b\"} 9\n\
            sluicebox_sink_written_total{sink=\"a\"} 4\nsluicebox_sink_held_entries{sink=\"a\"} 2\n\
            sluicebox_sink_dropped_entries_total{sink=\"a\",reason=\"store-damaged\"} 1\n\
            sluicebox_sink_store_stored_entries_total{sink=\"a\"} 5\n";
        let account = Metrics::parse(page).account("a");
        assert!(account.is_right(), "{account:?}");
        assert!((account.damaged - 1.0).abs() < 0.1 && (account.safe(false) - 5.0).abs() < 0.1, "{account:?}");
        assert!(!Account { held: 3.0, ..account }.is_right());
    }
}
