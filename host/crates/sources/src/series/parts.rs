//! What was found, cut into reports that a module can take at once. Pure.

use sluicebox_contract::{NativeHistogram, SeriesReport, SeriesSample};

/// Samples that are told at once; a series that has more of them comes alone.
const PART: usize = 16_384;

/// What one query found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// All samples of a series stand together.
    pub(crate) samples: Vec<SeriesSample>,
    /// Likewise.
    pub(crate) histograms: Vec<NativeHistogram>,
}

/// The reports that tell it, each like `head`, which is without samples; there is one at least, and only the last is without `more` where the
/// head is. Warnings and the failure stand in the first.
pub(crate) fn parts(head: SeriesReport, found: Found) -> Vec<SeriesReport> {
    let Found { samples, histograms } = found;
    let mut reports = Vec::new();
    let mut part = Vec::new();
    for series in samples.chunk_by(|one, other| one.subject == other.subject) {
        if !part.is_empty() && part.len() + series.len() > PART {
            reports.push(Found { samples: std::mem::take(&mut part), histograms: Vec::new() });
        }
        part.extend_from_slice(series);
    }
    let (mut rest, mut weight) = (Vec::new(), 0);
    for histogram in histograms {
        // Each bucket weighs as much as a sample does.
        let more = 1 + histogram.buckets.len();
        if weight + more > PART && !rest.is_empty() {
            reports.push(Found { samples: std::mem::take(&mut part), histograms: std::mem::take(&mut rest) });
            weight = 0;
        }
        weight += more;
        rest.push(histogram);
    }
    reports.push(Found { samples: part, histograms: rest });
    let count = reports.len();
    let more = head.more;
    let mut first = Some(head);
    let mut plain = None;
    let report = |(index, Found { samples, histograms }): (usize, Found)| {
        let head = first.take().or_else(|| plain.clone())?;
        if plain.is_none() {
            plain = Some(SeriesReport { warnings: Vec::new(), failure: None, ..head.clone() });
        }
        Some(SeriesReport { samples, histograms, more: more || index + 1 < count, ..head })
    };
    reports.into_iter().enumerate().filter_map(report).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluicebox_contract::{SeriesOrigin, SeriesQuery, SubjectId, UnixNanos};

    use super::*;

    fn head(more: bool) -> SeriesReport {
        let (cycle, name, metric, metric_type, unit) = Default::default();
        SeriesReport {
            observed_at: UnixNanos(1),
            query: Arc::new(SeriesQuery { cycle, name, metric, metric_type, unit, origin: SeriesOrigin::InstantQuery }),
            start_millis: 0,
            end_millis: 0,
            step_millis: 0,
            warnings: vec!["careful".to_owned()],
            failure: None,
            samples: Vec::new(),
            histograms: Vec::new(),
            more,
        }
    }

    fn series(subject: u32, count: usize) -> Vec<SeriesSample> {
        vec![SeriesSample { subject: SubjectId(subject), millis: 1, value: 0.0 }; count]
    }

    #[track_caller]
    fn check(counts: &[usize], expected: &[usize]) {
        let samples: Vec<_> = (1..).zip(counts).flat_map(|(subject, count)| series(subject, *count)).collect();
        for more in [false, true] {
            let samples = Vec::clone(&samples);
            let reports = parts(head(more), Found { samples, histograms: Vec::new() });
            assert_eq!(reports.iter().map(|report| report.samples.len()).collect::<Vec<_>>(), expected);
            assert!(reports.iter().rev().skip(1).all(|report| report.more));
            assert_eq!(reports.last().map(|report| report.more), Some(more));
            assert_eq!(reports.iter().filter(|report| !report.warnings.is_empty()).count(), 1);
        }
    }

    #[test]
    fn nothing_is_one_report() {
        check(&[], &[0]);
    }

    #[test]
    fn a_series_is_never_cut_in_two() {
        check(&[1, 2], &[3]);
        check(&[PART, 1], &[PART, 1]);
        check(&[10, PART - 5, 5], &[10, PART]);
        check(&[3, 2 * PART, 4], &[3, 2 * PART, 4]);
    }

    #[test]
    fn histograms_go_with_the_last_samples() {
        let histogram =
            |subject| NativeHistogram { subject: SubjectId(subject), millis: 1, count: 0.0, sum: 0.0, buckets: Vec::new() };
        let histograms = (0..=u32::try_from(PART).unwrap()).map(histogram).collect();
        let reports = parts(head(true), Found { samples: series(1, 1), histograms });
        let counts: Vec<_> = reports.iter().map(|report| (report.samples.len(), report.histograms.len())).collect();
        assert_eq!(counts, [(1, PART), (0, 1)]);
        assert!(reports.iter().all(|report| report.more));
    }
}
