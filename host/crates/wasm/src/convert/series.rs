//! Time series on their way into the guest.

use bumpalo::Bump;
use sluicebox_contract::{Bounds, NativeBucket, NativeHistogram, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample};

use super::cluster::texts;
use crate::bindings::exports::sluicebox::module::series_handler as guest;

/// One list of numbers, whatever the number of series.
pub(crate) fn series<'a>(arena: &'a Bump, report: &'a SeriesReport) -> guest::SeriesReport<'a> {
    guest::SeriesReport {
        observed_at_unix_nanos: report.observed_at.0,
        query: query(&report.query),
        start_unix_milliseconds: report.start_millis,
        end_unix_milliseconds: report.end_millis,
        step_milliseconds: report.step_millis,
        warnings: texts(arena, &report.warnings),
        failure: report.failure.as_deref(),
        samples: arena.alloc_slice_fill_iter(report.samples.iter().map(sample)),
        histograms: arena.alloc_slice_fill_iter(report.histograms.iter().map(|one| histogram(arena, one))),
        more: report.more,
    }
}

fn query(query: &SeriesQuery) -> guest::Query<'_> {
    guest::Query {
        cycle: &query.cycle,
        name: &query.name,
        metric: &query.metric,
        metric_type: &query.metric_type,
        unit: &query.unit,
        origin: match query.origin {
            SeriesOrigin::InstantQuery => guest::Origin::InstantQuery,
            SeriesOrigin::RangeQuery => guest::Origin::RangeQuery,
            SeriesOrigin::Scrape => guest::Origin::Scrape,
        },
    }
}

fn sample(sample: &SeriesSample) -> guest::Sample {
    guest::Sample { subject: sample.subject.0, unix_milliseconds: sample.millis, value: sample.value }
}

fn histogram<'a>(arena: &'a Bump, histogram: &NativeHistogram) -> guest::Histogram<'a> {
    guest::Histogram {
        subject: histogram.subject.0,
        unix_milliseconds: histogram.millis,
        count: histogram.count,
        sum: histogram.sum,
        buckets: arena.alloc_slice_fill_iter(histogram.buckets.iter().map(bucket)),
    }
}

fn bucket(bucket: &NativeBucket) -> guest::Bucket {
    guest::Bucket {
        bounds: match bucket.bounds {
            Bounds::OpenLeft => guest::Bounds::OpenLeft,
            Bounds::OpenRight => guest::Bounds::OpenRight,
            Bounds::OpenBoth => guest::Bounds::OpenBoth,
            Bounds::ClosedBoth => guest::Bounds::ClosedBoth,
        },
        lower: bucket.lower,
        upper: bucket.upper,
        count: bucket.count,
    }
}
