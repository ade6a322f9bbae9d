//! What an operator reads of troubles with a target.

use std::mem::Discriminant;

use crate::http::Trouble;

/// A target that fails in another way each time does not fill the log.
const OFTEN: u64 = 20;

/// Says when there is trouble of another kind than before, ever more rarely where that goes on, and when the target can be read again.
#[derive(Debug, Default)]
pub(super) struct Outage {
    last: Option<Discriminant<Trouble>>,
    /// Troubles of another kind than the one before.
    changes: u64,
    /// The last trouble was told.
    is_told: bool,
    has_told_of_lines: bool,
    has_told_of_limit: bool,
}

impl Outage {
    pub(super) fn failed(&mut self, target: &str, trouble: &Trouble) {
        let kind = trouble.kind();
        if self.last.replace(kind) == Some(kind) {
            return;
        }
        self.changes += 1;
        self.is_told = self.changes <= OFTEN || self.changes.is_power_of_two();
        if self.is_told {
            tracing::warn!(
                source = "scrape",
                target_name = target,
                %trouble,
                hint = trouble.hint(),
                "the target cannot be read; it is tried again at each turn"
            );
        }
    }

    pub(super) fn succeeded(&mut self, target: &str) {
        if self.last.take().is_some() && self.is_told {
            tracing::info!(source = "scrape", target_name = target, "the target can be read again");
        }
    }

    /// Some of a page could not be read; told until a page could be read in full.
    pub(super) fn skipped(&mut self, target: &str, lines: u64, first: Option<&str>) {
        let had_told = std::mem::replace(&mut self.has_told_of_lines, lines > 0);
        if lines > 0 && !had_told {
            let first = first.unwrap_or_default();
            tracing::warn!(
                source = "scrape",
                target_name = target,
                lines,
                first,
                "lines of a page cannot be read; they are left out"
            );
        }
    }

    /// Some of a page had no room; told once.
    pub(super) fn left_out(&mut self, target: &str, series: u64) {
        if series > 0 && !std::mem::replace(&mut self.has_told_of_limit, true) {
            tracing::warn!(
                source = "scrape",
                target_name = target,
                left_out = series,
                hint = "raise `max-series` or `max-series-bytes`, or name the `metrics` of this target that are of use; labels that change at every reading go with `sum-by`",
                "the target has more series than there is room for: the rest of them is left out and counted"
            );
        }
    }

    /// Whether the last try failed.
    pub(super) fn is_on(&self) -> bool {
        self.last.is_some()
    }
}
