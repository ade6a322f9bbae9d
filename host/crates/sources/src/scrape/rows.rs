//! What a page tells of the metrics that are wanted, until all of it has come. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::filter::{Filter, Wanted};
use super::text::{Kind, Reader, Sample};

/// The metrics of a page, in the order in which they came.
#[derive(Debug)]
pub(super) struct Rows {
    filter: Arc<Filter>,
    most: usize,
    metrics: Vec<Metric>,
    by_name: HashMap<Box<str>, usize>,
    last: Last,
    /// The labels of all rows: each name and each value with a zero byte behind it.
    text: String,
    hasher: RandomState,
    /// By a hash of metric and labels, which row it is.
    seen: HashMap<u64, (usize, usize)>,
    count: usize,
    beyond_limit: u64,
    repeated: u64,
}

/// The samples of one name.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) unit: Box<str>,
    pub(super) is_cumulative: bool,
    pub(super) wanted: Arc<Wanted>,
    pub(super) rows: Vec<Row>,
}

/// A sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    begin: usize,
    end: usize,
    pub(super) value: f64,
    pub(super) millis: Option<i64>,
}

/// Pages tell one name after the other.
#[derive(Debug, Default)]
struct Last {
    name: String,
    wanted: Option<Arc<Wanted>>,
    metric: Option<usize>,
}

impl Rows {
    /// None yet, and never more than `most`.
    pub(super) fn new(filter: Arc<Filter>, most: usize) -> Self {
        Self {
            filter,
            most,
            metrics: Vec::new(),
            by_name: HashMap::new(),
            last: Last::default(),
            text: String::new(),
            hasher: RandomState::new(),
            seen: HashMap::new(),
            count: 0,
            beyond_limit: 0,
            repeated: 0,
        }
    }

    pub(super) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The labels of a row by rising names: each name and each value with a zero byte behind it.
    pub(super) fn key(&self, row: Row) -> &str {
        self.text.get(row.begin..row.end).unwrap_or_default()
    }

    /// Series that were left out because there are more than may be.
    pub(super) fn beyond_limit(&self) -> u64 {
        self.beyond_limit
    }

    /// Series that stand on the page more than once: the first counts.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    fn metric(&mut self, sample: &Sample<'_>, wanted: Arc<Wanted>) -> usize {
        if let Some(metric) = self.by_name.get(sample.name) {
            return *metric;
        }
        let Sample { kind, is_cumulative, .. } = *sample;
        let (name, unit) = (sample.name.into(), sample.unit.into());
        self.metrics.push(Metric { name, kind, unit, is_cumulative, wanted, rows: Vec::new() });
        let metric = self.metrics.len() - 1;
        self.by_name.insert(sample.name.into(), metric);
        metric
    }

    /// Puts the labels behind those of the other rows.
    fn write(&mut self, sample: &Sample<'_>) -> Row {
        let begin = self.text.len();
        for (name, value) in sample.labels.iter() {
            for part in [name, value] {
                self.text.push_str(part);
                self.text.push('\0');
            }
        }
        Row { begin, end: self.text.len(), value: sample.value, millis: sample.millis }
    }

    fn is_seen(&self, hash: u64, metric: usize, row: Row) -> bool {
        let Some((of, index)) = self.seen.get(&hash) else { return false };
        let same = self.metrics.get(*of).and_then(|metric| metric.rows.get(*index));
        *of == metric && same.is_some_and(|same| self.key(*same) == self.key(row))
    }
}

impl Reader for Rows {
    fn wants(&mut self, name: &str) -> bool {
        if self.last.name != name {
            name.clone_into(&mut self.last.name);
            self.last.wanted = self.filter.find(name).cloned();
            self.last.metric = None;
        }
        self.last.wanted.is_some()
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        let Some(wanted) = self.last.wanted.clone().filter(|wanted| wanted.takes(sample.labels)) else { return };
        if self.count >= self.most {
            self.beyond_limit += 1;
            return;
        }
        let metric = if let Some(metric) = self.last.metric { metric } else { self.metric(sample, wanted) };
        self.last.metric = Some(metric);
        let row = self.write(sample);
        let hash = self.hasher.hash_one((metric, self.key(row)));
        if self.is_seen(hash, metric, row) {
            self.text.truncate(row.begin);
            self.repeated += 1;
            return;
        }
        let Some(into) = self.metrics.get_mut(metric) else { return };
        self.seen.insert(hash, (metric, into.rows.len()));
        into.rows.push(row);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::{Format, Page};
    use super::*;

    const PAGE: &str = "# TYPE h histogram\n# UNIT h seconds\nh_bucket{le=\"1\",z=\"1\"} 1\nh_sum{z=\"1\"} 5\nh_bucket{z=\"2\",le=\"1\"} 2\n\
        h_bucket{z=\"1\",le=\"1\"} 9\nup 1\nother 3\n";

    fn rows(metrics: &str, most: usize) -> Rows {
        let filter = Filter::new(&serde_json::from_str(metrics).expect("the test's metrics parse"));
        let mut rows = Rows::new(Arc::new(filter), most);
        let mut page = Page::new(Format::Text, crate::scrape::text::LIMITS);
        page.take(PAGE.as_bytes(), &mut rows).expect("the test's page is one");
        page.end(true, &mut rows).expect("the test's page is one");
        rows
    }

    fn told(rows: &Rows) -> Vec<String> {
        let metric = |metric: &Metric| {
            let rows: Vec<String> =
                metric.rows.iter().map(|row| format!("{}={}", rows.key(*row).replace('\0', " "), row.value)).collect();
            format!("{} {} {}: {}", metric.name, metric.kind.name(), metric.unit, rows.join("; "))
        };
        rows.metrics().iter().map(metric).collect()
    }

    #[test]
    fn samples_of_a_name_come_together_and_each_series_once() {
        let rows = rows("{}", 100);
        let expected = [
            "h_bucket histogram seconds: le 1 z 1 =1; le 1 z 2 =2",
            "h_sum histogram seconds: z 1 =5",
            "up  : =1",
            "other  : =3",
        ];
        assert_eq!(told(&rows), expected);
        assert_eq!((rows.repeated(), rows.beyond_limit()), (1, 0));
    }

    #[test]
    fn what_is_not_wanted_or_beyond_the_limit_is_left_out() {
        let some = rows(r#"{"h_*": {"keep": {"z": ["2"]}}, "up": {}}"#, 100);
        assert_eq!(told(&some), ["h_bucket histogram seconds: le 1 z 2 =2", "up  : =1"]);
        let few = rows("{}", 2);
        assert_eq!(told(&few), ["h_bucket histogram seconds: le 1 z 1 =1", "h_sum histogram seconds: z 1 =5"]);
        assert_eq!(few.beyond_limit(), 4);
    }
}
