//! Short ways through the samples of a tick.

use std::time::Duration;

use crate::{Increase, Metric, MetricId, Reading, Sample, SubjectId, Tick};

impl Tick {
    /// The samples of each subject, which is never without one.
    pub fn by_subject(&self) -> impl Iterator<Item = (SubjectId, &[Sample])> {
        let parts = self.samples.chunk_by(|one, other| one.subject == other.subject);
        parts.filter_map(|samples| Some((samples.first()?.subject, samples)))
    }
}

impl Sample {
    /// The total of a counter; none for gauges and limits.
    pub fn total(&self) -> Option<u64> {
        match &self.reading {
            Reading::Counter(counter) => Some(counter.total),
            Reading::Value(_) | Reading::Unlimited => None,
        }
    }

    /// How much a counter has grown; none for the first reading, where it began anew, and for gauges and limits.
    pub fn increase(&self) -> Option<&Increase> {
        match &self.reading {
            Reading::Counter(counter) => counter.increase.as_ref(),
            Reading::Value(_) | Reading::Unlimited => None,
        }
    }

    /// How fast a counter grows, in its unit a second; none where there is no increase.
    pub fn per_second(&self) -> Option<f64> {
        self.increase().map(|increase| increase.per_second)
    }

    /// A gauge, or a limit that is set; none for counters and for limits that are not set.
    pub fn value(&self) -> Option<u64> {
        match &self.reading {
            Reading::Value(value) => Some(*value),
            Reading::Counter(_) | Reading::Unlimited => None,
        }
    }

    /// Whether it is a limit that is not set.
    pub fn is_unlimited(&self) -> bool {
        matches!(self.reading, Reading::Unlimited)
    }
}

impl Increase {
    /// So much over this time, for native tests; the host fills in the rate by itself.
    pub fn over(amount: u64, time: Duration) -> Self {
        Self::over_nanoseconds(amount, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate is as good as a float is")]
    pub(crate) fn over_nanoseconds(amount: u64, over_nanoseconds: u64) -> Self {
        let per_second = if over_nanoseconds == 0 { 0.0 } else { amount as f64 / over_nanoseconds as f64 * 1e9 };
        Self { amount, over_nanoseconds, per_second }
    }
}

/// What a module keeps for each metric that it knows: found by the id in a sample, without a look at its name.
///
/// ```
/// use sluicebox_sdk::{ByMetric, Metric, MetricKind};
///
/// let metric = |id, name: &str| Metric { id, name: name.into(), kind: MetricKind::Gauge, unit: "bytes".into() };
/// let columns = ByMetric::new(&[metric(4, "memory-usage"), metric(7, "of-a-newer-host")], |metric| match metric.name.as_str() {
///     "memory-usage" => Some("mem"),
///     _ => None,
/// });
/// assert_eq!((columns.get(4), columns.get(7), columns.get(9)), (Some(&"mem"), None, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByMetric<T>(Vec<Option<T>>);

impl<T> ByMetric<T> {
    /// Keeps what `of` makes of each metric; those of which it makes none are passed over.
    pub fn new(metrics: &[Metric], mut of: impl FnMut(&Metric) -> Option<T>) -> Self {
        let mut kept = Vec::new();
        for metric in metrics {
            let place = usize::from(metric.id);
            if place >= kept.len() {
                kept.resize_with(place + 1, || None);
            }
            if let Some(slot) = kept.get_mut(place) {
                *slot = of(metric);
            }
        }
        Self(kept)
    }

    /// What is kept for this metric.
    pub fn get(&self, metric: MetricId) -> Option<&T> {
        self.0.get(usize::from(metric))?.as_ref()
    }
}

/// Knows no metric: what a module begins with, before it is told them.
impl<T> Default for ByMetric<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;

    fn sample(subject: SubjectId, reading: Reading) -> Sample {
        Sample { subject, metric: 0, reading }
    }

    #[test]
    fn the_samples_of_each_subject_come_together() {
        let samples = vec![sample(1, Reading::Value(1)), sample(1, Reading::Unlimited), sample(2, Reading::Value(3))];
        let tick = Tick { observed_at_unix_nanos: 0, online_cpus: 1, samples };
        let parts: Vec<_> = tick.by_subject().map(|(subject, samples)| (subject, samples.len())).collect();
        assert_eq!(parts, [(1, 2), (2, 1)]);
        assert_eq!(Tick { samples: Vec::new(), ..tick }.by_subject().count(), 0);
    }

    #[test]
    fn a_reading_has_what_its_kind_has_and_nothing_else() {
        let increase = Increase::over(500, Duration::from_secs(2));
        let counter = sample(1, Reading::Counter(Counter { total: 9, increase: Some(increase) }));
        assert_eq!((counter.total(), counter.per_second(), counter.value()), (Some(9), Some(250.0), None));
        let first = sample(1, Reading::Counter(Counter { total: 9, increase: None }));
        assert_eq!((first.total(), first.increase()), (Some(9), None));
        let gauge = sample(1, Reading::Value(5));
        assert_eq!((gauge.total(), gauge.per_second(), gauge.value()), (None, None, Some(5)));
        let limit = sample(1, Reading::Unlimited);
        assert_eq!((limit.value(), limit.is_unlimited(), gauge.is_unlimited()), (None, true, false));
    }

    #[test]
    fn no_time_is_no_rate() {
        assert!(Increase::over(500, Duration::ZERO).per_second.abs() < f64::EPSILON);
    }
}
