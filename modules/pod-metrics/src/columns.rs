//! From the samples of a subject to points: which metrics are told, in which order, and what of a reading is. Pure.

use sluicebox_sdk::{ByMetric, Counter, Increase, Metric, Reading, Sample, log};

use crate::catalogue::{CATALOGUE, Row, Take};
use crate::number::Number;
use crate::settings::{CpuPercent, Form, Settings};

/// The metrics that are told, in their order.
#[derive(Default)]
pub(crate) struct Columns {
    told: Vec<Column>,
    /// Where the sample of a metric is put while the points are made.
    places: ByMetric<usize>,
    cpu_percent: CpuPercent,
}

struct Column {
    /// Which of the rows it is.
    row: usize,
    place: usize,
    take: Take,
}

/// One for each column at the most, and that is one for each row.
const PLACES: usize = CATALOGUE.len();

impl Columns {
    /// Those of `rows` that this host measures.
    pub(crate) fn new(rows: &[&'static Row], settings: &Settings, metrics: &[Metric]) -> Self {
        let mut names: Vec<&str> = rows.iter().map(|row| row.of).collect();
        names.sort_unstable();
        names.dedup();
        let missing = names.iter().filter(|name| !metrics.iter().any(|metric| metric.name == **name));
        for name in missing {
            log::warn(format!("this host does not measure `{name}`: what is made of it is left out"));
        }
        let place = |name: &str| names.iter().position(|known| *known == name);
        let told = rows.iter().enumerate().filter_map(|(index, row)| {
            let take = match (&row.series, settings.form) {
                (Some(series), Form::Prometheus) => series.take,
                _ => row.take,
            };
            Some(Column { row: index, place: place(row.of)?, take })
        });
        Self {
            told: told.collect(),
            places: ByMetric::new(metrics, |metric| place(&metric.name)),
            cpu_percent: settings.cpu_percent,
        }
    }

    /// The points of a subject, each with the number of its row.
    pub(crate) fn points<'samples>(
        &'samples self,
        samples: &'samples [Sample],
        online_cpus: u32,
    ) -> impl Iterator<Item = (usize, Number)> + 'samples {
        let mut readings: [Option<&Reading>; PLACES] = [None; PLACES];
        for sample in samples {
            if let Some(place) = self.places.get(sample.metric)
                && let Some(reading) = readings.get_mut(*place)
            {
                *reading = Some(&sample.reading);
            }
        }
        let cpus = match self.cpu_percent {
            CpuPercent::Core => 1,
            CpuPercent::Machine => online_cpus.max(1),
        };
        self.told.iter().filter_map(move |column| {
            let reading = (*readings.get(column.place)?)?;
            Some((column.row, take(column.take, reading, cpus)?))
        })
    }
}

/// None for a counter that has not grown yet, or began anew, where it is about growth.
fn take(take: Take, reading: &Reading, cpus: u32) -> Option<Number> {
    match (take, reading) {
        (Take::Increase, Reading::Counter(Counter { increase: Some(by), .. })) => Some(Number::Whole(by.amount)),
        (Take::Micros, Reading::Counter(Counter { increase: Some(by), .. })) => Some(Number::Whole(by.amount / 1_000)),
        (Take::Percent, Reading::Counter(Counter { increase: Some(by), .. })) => percent(by, cpus).map(Number::Real),
        (Take::Total, Reading::Counter(counter)) => Some(Number::Whole(counter.total)),
        (Take::Seconds, Reading::Counter(counter)) => Some(Number::Real(float(counter.total) / 1e9)),
        (Take::Gauge, Reading::Value(value)) => Some(Number::Whole(*value)),
        (Take::Limit | Take::Bound, Reading::Value(value)) => Some(Number::Real(float(*value))),
        (Take::Limit, Reading::Unlimited) => Some(Number::Real(-1.0)),
        (Take::Bound, Reading::Unlimited) => Some(Number::Real(f64::INFINITY)),
        _ => None,
    }
}

fn percent(by: &Increase, cpus: u32) -> Option<f64> {
    // Divided once, so that it is rounded once.
    (by.over_nanoseconds > 0).then(|| float(by.amount) * 100.0 / (float(by.over_nanoseconds) * f64::from(cpus)))
}

#[allow(clippy::cast_precision_loss, reason = "these are told as floats")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(increase: Option<(u64, u64)>) -> Reading {
        let increase = increase.map(|(amount, over_nanoseconds)| Increase { amount, over_nanoseconds, per_second: f64::NAN });
        Reading::Counter(Counter { total: 7_000_000_500, increase })
    }

    #[track_caller]
    fn check(what: Take, reading: &Reading, expected: Option<Number>) {
        assert_eq!(take(what, reading, 4), expected, "{what:?} of {reading:?}");
    }

    #[test]
    fn growth_needs_two_readings() {
        for what in [Take::Increase, Take::Micros, Take::Percent] {
            check(what, &counter(None), None);
        }
        check(Take::Increase, &counter(Some((1_999, 10))), Some(Number::Whole(1_999)));
        check(Take::Micros, &counter(Some((1_999, 10))), Some(Number::Whole(1)));
        check(Take::Percent, &counter(Some((5, 10))), Some(Number::Real(12.5)));
    }

    #[test]
    fn no_time_is_no_percentage() {
        check(Take::Percent, &counter(Some((5, 0))), None);
    }

    #[test]
    fn a_total_is_there_from_the_first_reading_on() {
        check(Take::Total, &counter(None), Some(Number::Whole(7_000_000_500)));
        check(Take::Seconds, &counter(None), Some(Number::Real(7.000_000_5)));
    }

    #[test]
    fn a_limit_that_is_not_set_is_minus_one_or_infinite() {
        check(Take::Limit, &Reading::Unlimited, Some(Number::Real(-1.0)));
        check(Take::Bound, &Reading::Unlimited, Some(Number::Real(f64::INFINITY)));
        check(Take::Limit, &Reading::Value(u64::MAX), Some(Number::Real(18_446_744_073_709_551_615.0)));
    }

    #[test]
    fn a_reading_of_another_kind_is_no_point() {
        check(Take::Gauge, &Reading::Unlimited, None);
        check(Take::Gauge, &counter(None), None);
        check(Take::Total, &Reading::Value(1), None);
        check(Take::Limit, &counter(Some((1, 1))), None);
    }
}
