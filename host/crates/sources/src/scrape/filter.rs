//! Which metrics of a page are told, and how. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Labels;

/// Labels, and for each some of its values.
type Values = BTreeMap<String, Vec<String>>;

/// How a metric is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ScrapeMetric")]
pub struct Wanted {
    /// For each of these labels, the values that it may have: a series that has another one is left out. The empty text stands for a series
    /// without the label.
    pub keep: Values,
    /// For each of these labels, the values for which a series is left out. `{image: [""]}` leaves out what has no `image`.
    pub drop: Values,
    /// The series are summed up, and these labels are left, as with `sum by` in PromQL: after rates were made, without the metric's
    /// name, and what is not a number makes no number of its sum. An empty list makes one sum of all. Of rates, a series whose time on the
    /// page has not moved goes in with its last rate, and a sum is left out at a page on which one of its counters has begun anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum_by: Option<Vec<String>>,
    /// Whether the growth per second since the page before is told in place of the value, without the metric's name, as with `rate` in
    /// PromQL. Nothing is told of a series that is new, that has fallen, or whose time on the page has not moved. Without it, as `counters`
    /// of the target says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<bool>,
}

impl Wanted {
    /// Whether a series with these labels is told.
    pub(super) fn takes(&self, labels: &Labels) -> bool {
        let has = |(label, values): (&String, &Vec<String>)| {
            let value = labels.get(label);
            values.iter().any(|one| one == value)
        };
        self.keep.iter().all(has) && !self.drop.iter().any(has)
    }
}

/// The metrics that are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    exact: BTreeMap<String, Arc<Wanted>>,
    /// Beginnings of names, the longest first.
    prefixes: Vec<(String, Arc<Wanted>)>,
}

impl Filter {
    /// Of names, and of beginnings of names with a `*` behind them. None stand for all.
    pub(super) fn new(metrics: &BTreeMap<String, Wanted>) -> Self {
        let mut filter = Self::default();
        for (name, wanted) in metrics {
            let wanted = Arc::new(wanted.clone());
            match name.strip_suffix('*') {
                Some(prefix) => filter.prefixes.push((prefix.to_owned(), wanted)),
                None => drop(filter.exact.insert(name.clone(), wanted)),
            }
        }
        if metrics.is_empty() {
            filter.prefixes.push((String::new(), Arc::default()));
        }
        filter.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        filter
    }

    /// How a metric is told: as its name says, else as the longest beginning of it does. None for one that is not wanted.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Wanted>> {
        let by_prefix = || self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix.as_str())).map(|(_, wanted)| wanted);
        self.exact.get(name).or_else(by_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Filter {
        Filter::new(&serde_json::from_str(json).expect("the test's metrics parse"))
    }

    #[test]
    fn without_metrics_all_are_wanted() {
        assert_eq!(filter("{}").find("anything").map(|wanted| (**wanted).clone()), Some(Wanted::default()));
    }

    #[test]
    fn the_name_counts_before_the_longest_beginning() {
        let filter = filter(r#"{"a*": {"rate": true}, "abc*": {"rate": false}, "abcd": {"sum-by": []}, "z": {}}"#);
        let find = |name| filter.find(name).map(|wanted| (wanted.rate, wanted.sum_by.is_some()));
        assert_eq!(find("a"), Some((Some(true), false)));
        assert_eq!(find("abx"), Some((Some(true), false)));
        assert_eq!(find("abcde"), Some((Some(false), false)));
        assert_eq!(find("abcd"), Some((None, true)));
        assert_eq!((find("z"), find("zz"), find("b")), (Some((None, false)), None, None));
    }

    #[test]
    fn labels_keep_and_drop_series_and_the_empty_value_is_a_missing_label() {
        let takes = |json: &str, labels: &str| {
            let wanted: Wanted = serde_json::from_str(json).expect("the test's metric parses");
            wanted.takes(&Labels::of(labels))
        };
        let a_or_none = r#"{"keep": {"zone": ["a", ""]}}"#;
        assert!(takes(a_or_none, r#"zone="a",x="1""#));
        assert!(takes(a_or_none, r#"x="1""#));
        assert!(!takes(a_or_none, r#"zone="b""#));
        let with_image = r#"{"drop": {"image": [""], "container": ["POD", "pause"]}}"#;
        assert!(takes(with_image, r#"image="i",container="c""#));
        assert!(takes(with_image, r#"image="i""#));
        assert!(!takes(with_image, r#"container="c""#));
        assert!(!takes(with_image, r#"image="i",container="POD""#));
        let both = r#"{"keep": {"a": ["1"], "b": ["2"]}, "drop": {"c": ["3"]}}"#;
        assert!(takes(both, r#"a="1",b="2""#));
        assert!(!takes(both, r#"a="1""#));
        assert!(!takes(both, r#"a="1",b="2",c="3""#));
        assert!(!takes(r#"{"keep": {"a": []}}"#, ""));
    }
}
