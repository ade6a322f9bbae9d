//! Time series: what a query to a Prometheus found, or what was scraped from an endpoint.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{SubjectId, UnixNanos};

/// What one query found at one time; a large answer comes in several of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SeriesReport {
    /// The time of the cycle, the same for all its queries: when it was due.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// What was asked for.
    pub query: Arc<SeriesQuery>,
    /// The first moment that was asked for, milliseconds since 1970 UTC.
    #[serde(default, rename = "start-unix-milliseconds")]
    pub start_millis: i64,
    /// The last moment that was asked for, milliseconds since 1970 UTC.
    #[serde(default, rename = "end-unix-milliseconds")]
    pub end_millis: i64,
    /// The time from one moment to the next; zero for anything but a range.
    #[serde(default, rename = "step-milliseconds")]
    pub step_millis: u64,
    /// What the server said of its answer.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why there is no answer, or only a part of it.
    #[serde(default)]
    pub failure: Option<String>,
    /// All samples of a series stand together, in the order of their times.
    #[serde(default)]
    pub samples: Vec<SeriesSample>,
    /// Likewise.
    #[serde(default)]
    pub histograms: Vec<NativeHistogram>,
    /// Whether another report of the same cycle follows.
    #[serde(default)]
    pub more: bool,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SeriesQuery {
    /// Which cycle it belongs to.
    #[serde(default)]
    pub cycle: String,
    /// Its name.
    pub name: String,
    /// The metric that it is about.
    #[serde(default)]
    pub metric: String,
    /// As Prometheus writes it, such as `counter`; empty where nobody tells.
    #[serde(default)]
    pub metric_type: String,
    /// Such as `bytes`; empty where nobody tells.
    #[serde(default)]
    pub unit: String,
    /// How its series are come by.
    pub origin: SeriesOrigin,
}

/// How series were come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesOrigin {
    /// One moment was asked for.
    InstantQuery,
    /// Several moments were asked for, at equal distances.
    RangeQuery,
    /// An endpoint was read.
    Scrape,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SeriesSample {
    /// The series.
    pub subject: SubjectId,
    /// When, milliseconds since 1970 UTC.
    #[serde(rename = "unix-milliseconds")]
    pub millis: i64,
    /// NaN and the infinities are among the values.
    #[serde(with = "value")]
    pub value: f64,
}

/// A native histogram at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NativeHistogram {
    /// The series.
    pub subject: SubjectId,
    /// When, milliseconds since 1970 UTC.
    #[serde(rename = "unix-milliseconds")]
    pub millis: i64,
    /// How many observations there were.
    #[serde(with = "value")]
    pub count: f64,
    /// Their sum.
    #[serde(with = "value")]
    pub sum: f64,
    /// By rising bounds; those without observations are left out.
    #[serde(default)]
    pub buckets: Vec<NativeBucket>,
}

/// How many observations fell between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NativeBucket {
    /// Whether the bounds belong to it.
    pub bounds: Bounds,
    /// The lower one.
    #[serde(with = "value")]
    pub lower: f64,
    /// The upper one.
    #[serde(with = "value")]
    pub upper: f64,
    /// How many.
    #[serde(with = "value")]
    pub count: f64,
}

/// Whether the bounds of a bucket belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bounds {
    /// The upper one does.
    OpenLeft,
    /// The lower one does.
    OpenRight,
    /// Neither does.
    OpenBoth,
    /// Both do.
    ClosedBoth,
}

impl SeriesReport {
    /// The series that it tells of: each once, those with samples first.
    pub fn subjects(&self) -> impl Iterator<Item = SubjectId> {
        let samples = self.samples.chunk_by(|one, other| one.subject == other.subject).filter_map(<[_]>::first);
        let histograms = self.histograms.chunk_by(|one, other| one.subject == other.subject).filter_map(<[_]>::first);
        let both = if self.histograms.is_empty() { HashSet::new() } else { samples.clone().map(|one| one.subject).collect() };
        let histograms = histograms.map(|histogram| histogram.subject).filter(move |subject| !both.contains(subject));
        samples.map(|sample| sample.subject).chain(histograms)
    }

    /// The same report with what it tells of these series only.
    #[must_use]
    pub fn only(&self, keep: impl Fn(SubjectId) -> bool) -> Self {
        Self {
            warnings: self.warnings.clone(),
            failure: self.failure.clone(),
            samples: self.samples.iter().filter(|sample| keep(sample.subject)).copied().collect(),
            histograms: self.histograms.iter().filter(|histogram| keep(histogram.subject)).cloned().collect(),
            query: Arc::clone(&self.query),
            ..*self
        }
    }

    /// Two parts of it, each with half of the series; none when there are fewer than two.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let subjects: Vec<SubjectId> = self.subjects().collect();
        let (left, _) = subjects.split_at_checked(subjects.len() / 2).filter(|(left, _)| !left.is_empty())?;
        let is_left: HashSet<SubjectId> = left.iter().copied().collect();
        let left = Self { more: true, ..self.only(|subject| is_left.contains(&subject)) };
        let right = Self { warnings: Vec::new(), ..self.only(|subject| !is_left.contains(&subject)) };
        Some((left, right))
    }

    /// How many values it tells.
    pub fn items(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        let texts = self.warnings.iter().chain(&self.failure).map(|text| size_of::<String>() + text.len()).sum::<usize>();
        let histogram =
            |histogram: &NativeHistogram| size_of::<NativeHistogram>() + histogram.buckets.len() * size_of::<NativeBucket>();
        size_of::<Self>()
            + texts
            + self.samples.len() * size_of::<SeriesSample>()
            + self.histograms.iter().map(histogram).sum::<usize>()
    }
}

/// Numbers as JSON; what JSON has no number for as Prometheus writes it: `NaN`, `+Inf`, `-Inf`.
mod value {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<'text> {
        Number(f64),
        Text(&'text str),
        Owned(String),
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            return value.serialize(serializer);
        }
        let text = if value.is_nan() {
            "NaN"
        } else if *value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = match Written::deserialize(deserializer)? {
            Written::Number(value) => return Ok(value),
            Written::Text(text) => text.to_owned(),
            Written::Owned(text) => text,
        };
        text.parse().map_err(|_| serde::de::Error::custom(format_args!("`{text}` is no number, `NaN`, `+Inf` or `-Inf`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(subject: u32, millis: i64) -> SeriesSample {
        SeriesSample { subject: SubjectId(subject), millis, value: 1.5 }
    }

    fn histogram(subject: u32) -> NativeHistogram {
        NativeHistogram { subject: SubjectId(subject), millis: 1, count: 2.0, sum: 3.0, buckets: Vec::new() }
    }

    fn report(samples: &[SeriesSample], histograms: &[u32]) -> SeriesReport {
        let query = SeriesQuery {
            cycle: String::new(),
            name: "up".to_owned(),
            metric: "up".to_owned(),
            metric_type: String::new(),
            unit: String::new(),
            origin: SeriesOrigin::RangeQuery,
        };
        SeriesReport {
            observed_at: UnixNanos(1),
            query: Arc::new(query),
            start_millis: 0,
            end_millis: 0,
            step_millis: 0,
            warnings: vec!["careful".to_owned()],
            failure: None,
            samples: samples.to_vec(),
            histograms: histograms.iter().copied().map(histogram).collect(),
            more: false,
        }
    }

    #[test]
    fn a_series_is_never_cut_in_two() {
        let whole = report(&[sample(1, 1), sample(1, 2), sample(1, 3), sample(2, 1)], &[1, 3]);
        assert_eq!(whole.subjects().map(|subject| subject.0).collect::<Vec<_>>(), [1, 2, 3]);
        let (left, right) = whole.halves().unwrap();
        assert_eq!((left.samples.len(), left.histograms.len(), left.more), (3, 1, true));
        assert_eq!((right.samples.len(), right.histograms.len(), right.more), (1, 1, false));
        assert_eq!((left.warnings.len(), right.warnings.len()), (1, 0));
        assert_eq!(left.halves(), None);
        assert_eq!(report(&[], &[]).halves(), None);
    }

    #[test]
    fn every_value_survives_being_written_and_read() {
        for (value, text) in [
            (1.5, "1.5"),
            (f64::NAN, r#""NaN""#),
            (f64::INFINITY, r#""+Inf""#),
            (f64::NEG_INFINITY, r#""-Inf""#),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            let written = serde_json::to_string(&SeriesSample { value, ..sample(1, -5) }).unwrap();
            assert_eq!(written, format!(r#"{{"subject":1,"unix-milliseconds":-5,"value":{text}}}"#));
            let read: SeriesSample = serde_json::from_str(&written).unwrap();
            assert_eq!(read.value.to_bits(), value.to_bits());
        }
        assert!(serde_json::from_str::<SeriesSample>(r#"{"subject":1,"unix-milliseconds":1,"value":"x"}"#).is_err());
    }
}
