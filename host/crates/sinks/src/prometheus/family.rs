//! A metric and its series: which types there are, which names belong to one, and in which order series stand. Pure.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// What a metric's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

impl Kind {
    pub(super) fn parse(word: &str) -> Option<Self> {
        let all = [Self::Counter, Self::Gauge, Self::Histogram, Self::Summary, Self::Untyped];
        all.into_iter().find(|kind| kind.word() == word)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }

    /// What the names of its samples have behind that of the metric, besides nothing.
    pub(super) fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::Summary => &["_count", "_sum"],
            Self::Counter | Self::Gauge | Self::Untyped => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// The metrics, by the names of which a name may be a part: `a` of `a_sum`.
pub(super) fn owners(name: &str) -> impl Iterator<Item = (&str, &'static str)> {
    Kind::Histogram.suffixes().iter().filter_map(move |suffix| Some((name.strip_suffix(suffix)?, *suffix)))
}

/// Which series of a metric: its labels, and which part of a histogram or summary. The order is that of the page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// As they stand between the braces, without `le` and `quantile` of a part.
    pub(super) labels: Box<str>,
    pub(super) part: Part,
}

/// What a sample is within its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Whole,
    Quantile(Bound),
    Bucket(Bound),
    Sum,
    Count,
}

impl Part {
    /// What stands behind the name of the metric.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Whole | Self::Quantile(_) => "",
            Self::Bucket(_) => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }

    /// The label that says which of its kind.
    pub(super) fn label(self) -> Option<&'static str> {
        match self {
            Self::Quantile(_) => Some("quantile"),
            Self::Bucket(_) => Some("le"),
            Self::Whole | Self::Sum | Self::Count => None,
        }
    }
}

/// The upper end of a bucket, or a quantile: a number that is one, in order. `1` and `1.0` are the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound(f64);

impl Bound {
    pub(super) fn new(number: f64) -> Option<Self> {
        // Zero has two forms.
        (!number.is_nan()).then_some(Self(number + 0.0))
    }

    pub(super) fn is_infinite(self) -> bool {
        self.0 == f64::INFINITY
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

/// What a series says now.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// As the module wrote it, since the text is what tells series apart elsewhere.
    pub(super) bound: Option<Box<str>>,
    pub(super) value: f64,
    pub(super) timestamp: Option<i64>,
}

/// The series of one metric that one group has.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) metric: Arc<str>,
    pub(super) kind: Option<Kind>,
    pub(super) help: Option<Arc<str>>,
    /// In order.
    pub(super) series: Vec<(Arc<Key>, Reading)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_the_order_of_the_format() {
        let bucket = |number| Part::Bucket(Bound::new(number).expect("a number"));
        let ordered = [bucket(-1.0), bucket(0.0), bucket(2.0), bucket(10.0), bucket(f64::INFINITY), Part::Sum, Part::Count];
        assert!(ordered.is_sorted() && bucket(0.0) == bucket(-0.0));
        assert!(Bound::new(f64::NAN).is_none());
    }

    #[test]
    fn a_part_names_whose_it_may_be() {
        assert_eq!(owners("a_sum").collect::<Vec<_>>(), [("a", "_sum")]);
        assert_eq!(owners("a_total").count(), 0);
    }
}
