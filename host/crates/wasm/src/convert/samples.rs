//! Ticks and their metrics on their way into the guest.

use bumpalo::Bump;
use sluicebox_contract::{Increase, Metric, MetricKind, Reading, Sample, Tick};

use crate::bindings::exports::sluicebox::module::sample_handler as guest;

/// All metrics that there are, in their order.
pub(crate) fn metrics() -> Vec<guest::Metric<'static>> {
    (0..).zip(Metric::all()).map(|(id, metric)| self::metric(id, metric)).collect()
}

/// One list of numbers, whatever the number of subjects.
pub(crate) fn tick<'a>(arena: &'a Bump, tick: &Tick) -> guest::Tick<'a> {
    guest::Tick {
        observed_at_unix_nanos: tick.observed_at.0,
        online_cpus: tick.online_cpus,
        samples: arena.alloc_slice_fill_iter(tick.samples.iter().map(sample)),
    }
}

fn metric(id: u16, metric: Metric) -> guest::Metric<'static> {
    guest::Metric {
        id,
        name: metric.name(),
        kind: match metric.kind() {
            MetricKind::Counter => guest::MetricKind::Counter,
            MetricKind::Gauge => guest::MetricKind::Gauge,
            MetricKind::Limit => guest::MetricKind::Limit,
        },
        unit: metric.unit().name(),
    }
}

fn sample(sample: &Sample) -> guest::Sample {
    guest::Sample { subject: sample.subject.0, metric: id(sample.metric), reading: reading(&sample.reading) }
}

/// A metric is named by its place in the order.
#[allow(clippy::cast_possible_truncation, reason = "there are some dozens of metrics; a test counts them")]
fn id(metric: Metric) -> u16 {
    metric.index() as u16
}

fn reading(reading: &Reading) -> guest::Reading {
    match reading {
        Reading::Counter { total, increase } => {
            guest::Reading::Counter(guest::Counter { total: *total, increase: increase.as_ref().map(self::increase) })
        }
        Reading::Value(value) => guest::Reading::Value(*value),
        Reading::Unlimited => guest::Reading::Unlimited,
    }
}

fn increase(increase: &Increase) -> guest::Increase {
    guest::Increase { amount: increase.amount, over_nanoseconds: increase.over_nanos, per_second: increase.per_second() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_names_its_metric_by_the_number_that_was_told() {
        assert!(u16::try_from(Metric::COUNT).is_ok());
        for (metric, told) in Metric::all().zip(metrics()) {
            assert_eq!((id(metric), metric.name()), (told.id, told.name));
        }
    }
}
