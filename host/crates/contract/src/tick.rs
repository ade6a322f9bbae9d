//! What is used, as numbers: the samples of one tick.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Metric, SubjectId, UnixNanos};

/// Everything that was read at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tick {
    /// When.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// How many processors are online.
    pub online_cpus: u32,
    /// All samples of a subject stand together, in the order of the metrics. Empty when nothing was there to be measured.
    pub samples: Vec<Sample>,
}

/// One metric of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sample {
    /// What it is about.
    pub subject: SubjectId,
    /// What was measured.
    pub metric: Metric,
    /// What was read.
    pub reading: Reading,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reading {
    /// Of a counter.
    Counter {
        /// The total, as the system tells it.
        total: u64,
        /// How much it has grown; none for the first reading, where the counter began anew, and too soon after another reading.
        increase: Option<Increase>,
    },
    /// Of a gauge, and of a limit that is set.
    Value(u64),
    /// Of a limit that is not set.
    Unlimited,
}

/// How much a counter has grown since the reading before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Increase {
    /// By how much.
    pub amount: u64,
    /// Over which time, by a clock that nobody sets.
    #[serde(rename = "over-nanoseconds")]
    pub over_nanos: u64,
}

impl Increase {
    /// So much over this time; none where no time has passed.
    pub fn over(amount: u64, time: Duration) -> Option<Self> {
        let over_nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        (over_nanos > 0).then_some(Self { amount, over_nanos })
    }

    /// How fast that is. Zero where the time is, as a letter that was edited by hand may say.
    #[allow(clippy::cast_precision_loss, reason = "a rate is as good as a float is")]
    pub fn per_second(&self) -> f64 {
        if self.over_nanos == 0 { 0.0 } else { self.amount as f64 / self.over_nanos as f64 * 1e9 }
    }
}

impl Tick {
    /// The subject of the first sample.
    pub fn first_subject(&self) -> Option<SubjectId> {
        self.samples.first().map(|sample| sample.subject)
    }

    /// The samples of each subject.
    pub fn by_subject(&self) -> impl Iterator<Item = &[Sample]> {
        self.samples.chunk_by(|one, other| one.subject == other.subject)
    }

    /// The same tick with the samples of these subjects only.
    #[must_use]
    pub fn only(&self, keep: impl Fn(SubjectId) -> bool) -> Self {
        Self {
            observed_at: self.observed_at,
            online_cpus: self.online_cpus,
            samples: self.samples.iter().filter(|sample| keep(sample.subject)).copied().collect(),
        }
    }

    /// Two ticks with the samples of half of the subjects each; none when there are fewer than two.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let subjects = self.by_subject().count();
        if subjects < 2 {
            return None;
        }
        let middle = self.by_subject().take(subjects / 2).map(<[Sample]>::len).sum();
        let (left, right) = self.samples.split_at_checked(middle)?;
        let part =
            |samples: &[Sample]| Self { observed_at: self.observed_at, online_cpus: self.online_cpus, samples: samples.to_vec() };
        Some((part(left), part(right)))
    }

    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.samples.len() * size_of::<Sample>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(subjects: &[u32]) -> Tick {
        let sample =
            |subject: &u32| Sample { subject: SubjectId(*subject), metric: Metric::MemoryUsage, reading: Reading::Value(1) };
        Tick { observed_at: UnixNanos(1), online_cpus: 2, samples: subjects.iter().map(sample).collect() }
    }

    #[test]
    fn a_subject_is_never_cut_in_two() {
        let (left, right) = tick(&[1, 1, 1, 2]).halves().unwrap();
        assert_eq!((left, right), (tick(&[1, 1, 1]), tick(&[2])));
        let (left, right) = tick(&[1, 2, 2, 3]).halves().unwrap();
        assert_eq!((left, right), (tick(&[1]), tick(&[2, 2, 3])));
    }

    #[test]
    fn one_subject_is_not_divided() {
        assert_eq!(tick(&[1, 1]).halves(), None);
        assert_eq!(tick(&[]).halves(), None);
    }

    #[test]
    fn a_rate_needs_time() {
        assert_eq!(Increase::over(5, Duration::ZERO), None);
        let increase = Increase::over(500_000_000, Duration::from_secs(2)).unwrap();
        assert!((increase.per_second() - 250_000_000.0).abs() < 1e-6);
    }
}
