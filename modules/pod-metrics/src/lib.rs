//! What pods use, under the names, units and attributes of Alumet: as JSON messages, as lines of CSV, or as metrics for Prometheus.
//!
//! What is the same at every tick (names, attributes, units) is rendered once: for a metric at the start, for a subject when it is
//! defined. All that the module remembers besides are the names of documents to be forgotten.

mod catalogue;
mod columns;
mod form;
mod help;
mod identity;
mod lines;
mod number;
mod pod_json;
mod prometheus;
mod settings;

use std::collections::BTreeMap;

use sluicebox_sdk::{Context, Entries, Metric, Module, Rfc3339, Sample, Samples, Subject, SubjectId, Subjects, Tick};

use catalogue::Row;
use columns::Columns;
use form::Writer;
use identity::Identity;
pub use settings::{CpuPercent, Form, Per, Settings, Wanted};

/// The module.
pub struct PodMetrics {
    settings: Settings,
    node: String,
    rows: Vec<&'static Row>,
    columns: Columns,
    writer: Writer,
    /// Nothing is kept of those that are passed over.
    subjects: BTreeMap<SubjectId, Option<Known>>,
}

/// How a subject is written, ready but for what differs from metric to metric.
pub(crate) struct Known {
    /// The key of its messages, or the name of its document.
    key: String,
    /// What stands before the attribute `kind`, or where it would stand.
    before: String,
    /// What stands after it.
    after: String,
}

impl Module for PodMetrics {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        let rows = form::arranged(settings.form, settings.check()?);
        let writer = Writer::new(&settings, &rows);
        let node = context.node_name.clone();
        Ok(Self { settings, node, rows, columns: Columns::default(), writer, subjects: BTreeMap::new() })
    }
}

impl Subjects for PodMetrics {
    fn define(&mut self, subjects: Vec<Subject>) {
        for subject in &subjects {
            let identity = Identity::of(subject, &self.settings, &self.node);
            self.subjects.insert(subject.id, identity.map(|identity| self.writer.known(&identity)));
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            if let Some(Some(known)) = self.subjects.remove(subject) {
                self.writer.forget(known);
            }
        }
    }
}

impl Samples for PodMetrics {
    fn metrics(&mut self, metrics: Vec<Metric>) {
        self.columns = Columns::new(&self.rows, &self.settings, &metrics);
    }

    fn samples(&mut self, tick: Tick) -> Result<Entries, String> {
        if let Some((subject, _)) = tick.by_subject().find(|(subject, _)| !self.subjects.contains_key(subject)) {
            return Err(format!("cannot tell what subject {subject} uses: it was never defined"));
        }
        Ok(self.writer.write(&tick, &self.columns, &self.subjects))
    }
}

sluicebox_sdk::export!(PodMetrics: samples, subjects);

/// The samples of each subject that is not passed over.
pub(crate) fn parts<'tick>(
    tick: &'tick Tick,
    subjects: &'tick BTreeMap<SubjectId, Option<Known>>,
) -> impl Iterator<Item = (&'tick Known, &'tick [Sample])> {
    tick.by_subject().filter_map(|(subject, samples)| Some((subjects.get(&subject)?.as_ref()?, samples)))
}

/// The moment in UTC with as many digits of the second's fraction as it needs.
pub(crate) fn timestamp(unix_nanos: u64) -> String {
    let text = Rfc3339(unix_nanos).to_string();
    let needed = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{needed}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_nanos: u64, expected: &str) {
        assert_eq!(timestamp(unix_nanos), expected);
    }

    #[test]
    fn a_whole_second_has_no_fraction() {
        check(0, "1970-01-01T00:00:00Z");
        check(1_631_201_710_000_000_000, "2021-09-09T15:35:10Z");
    }

    #[test]
    fn a_fraction_ends_with_its_last_digit_that_counts() {
        check(1_631_201_700_087_136_507, "2021-09-09T15:35:00.087136507Z");
        check(1_631_201_700_500_000_000, "2021-09-09T15:35:00.5Z");
        check(1_631_201_700_010_000_000, "2021-09-09T15:35:00.01Z");
    }
}
