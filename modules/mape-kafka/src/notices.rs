//! What the operator is told of reports: each thing once.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use sluicebox_sdk::{SeriesReport, log};

/// What was told since the start.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// Hashes of the texts.
    warnings: HashSet<u64>,
    histograms: bool,
}

/// Texts may differ with each answer, so there is an end to them.
const MOST: usize = 32;

impl Notices {
    pub(crate) fn tell(&mut self, report: &SeriesReport) {
        if !report.histograms.is_empty() && !std::mem::replace(&mut self.histograms, true) {
            log::warn(format!(
                "`{}`: found native histograms, which have no place in a message: ask for a number, as `histogram_quantile` or \
                 `histogram_count` make of them",
                report.query.name
            ));
        }
        for warning in &report.warnings {
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(warning);
            if self.warnings.len() < MOST && self.warnings.insert(hash) {
                log::warn(format!("`{}`: warning: {warning}", report.query.name));
                if self.warnings.len() == MOST {
                    log::warn("there are more warnings, which are not told until the next start");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(warnings: Vec<String>) -> SeriesReport {
        let query = sluicebox_sdk::SeriesQuery {
            cycle: String::new(),
            name: "up".to_owned(),
            metric: "up".to_owned(),
            metric_type: String::new(),
            unit: String::new(),
            origin: sluicebox_sdk::SeriesOrigin::RangeQuery,
        };
        let histogram = sluicebox_sdk::Histogram { subject: 1, unix_milliseconds: 0, count: 0.0, sum: 0.0, buckets: Vec::new() };
        SeriesReport {
            observed_at_unix_nanos: 1,
            query,
            start_unix_milliseconds: 0,
            end_unix_milliseconds: 0,
            step_milliseconds: 0,
            warnings,
            failure: None,
            samples: Vec::new(),
            histograms: vec![histogram],
            more: false,
        }
    }

    #[test]
    fn each_thing_is_told_once_and_there_is_an_end_to_it() {
        let mut notices = Notices::default();
        notices.tell(&report(vec!["slow".to_owned(), "slow".to_owned()]));
        notices.tell(&report(vec!["slow".to_owned()]));
        let taken = log::taken();
        assert_eq!(taken.len(), 2, "{taken:?}");
        assert!(taken[0].1.contains("native histograms"));
        assert_eq!(taken[1].1, "`up`: warning: slow");
        notices.tell(&report((0..100).map(|number| format!("slow {number}")).collect()));
        assert_eq!(log::taken().len(), MOST);
    }
}
