//! A report of time series is about many subjects: a series that stops the module is left out, the others are shaped. What a query has
//! found waits where there is no room; what was scraped makes room.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use sluicebox_contract::{Event, Held, Notice, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, SubjectId, UnixNanos};
use sluicebox_pipeline::LaneSettings;
use support::stage::{Shelf, Stage, until};
use support::{Recorder, Scripted, lane_terms, lines, subject};

fn report(origin: SeriesOrigin, series: impl IntoIterator<Item = u32>) -> Notice {
    let sample = |id: u32| SeriesSample { subject: SubjectId(id), millis: 1, value: f64::NAN };
    let query = SeriesQuery {
        cycle: "1s".to_owned(),
        name: "up".to_owned(),
        metric: "up".to_owned(),
        metric_type: "gauge".to_owned(),
        unit: String::new(),
        origin,
    };
    Notice::Event(Event::Series(Arc::new(SeriesReport {
        observed_at: UnixNanos::now(),
        query: Arc::new(query),
        start_millis: 1,
        end_millis: 1,
        step_millis: 0,
        warnings: Vec::new(),
        failure: None,
        samples: series.into_iter().map(sample).collect(),
        histograms: Vec::new(),
        more: false,
    })))
}

fn stage(shaper: Scripted, shelf: &Shelf) -> Stage {
    let settings = LaneSettings { batch: 64, ..lane_terms(&[]).settings };
    Stage::with(shaper, Recorder::default(), settings, Some(shelf.clone()))
}

#[tokio::test]
async fn a_series_that_stops_the_module_is_left_out_alone_and_kept() {
    let shelf = Shelf::default();
    let stage = stage(Scripted { deadly: [77].into(), ..Scripted::default() }, &shelf);
    for id in 1..=100 {
        stage.tell.send(subject(id)).await.unwrap();
    }
    stage.tell.send(report(SeriesOrigin::RangeQuery, 1..=100)).await.unwrap();
    until("all is shaped", || stage.meter.entries.get() + stage.meter.deadly.get() >= 100).await;
    until("all is written", || stage.outlet_meter.written.get() == stage.meter.entries.get()).await;
    let written: BTreeSet<String> = lines(&stage.sink.log).into_iter().filter(|line| line != "settled").collect();
    let expected: BTreeSet<String> = (1..=100).filter(|id| *id != 77).map(|id| id.to_string()).collect();
    assert_eq!(written, expected);
    until("the letter", || !shelf.letters().is_empty()).await;
    let letters = shelf.letters();
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    let Held::Event { event: event @ Event::Series(report), .. } = &letter.held else { panic!("series: {letter:?}") };
    assert_eq!(report.subjects().collect::<Vec<_>>(), [SubjectId(77)]);
    // A letter is JSON, which has no NaN.
    let read: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
    let Event::Series(read) = read else { panic!("series: {read:?}") };
    assert!(read.samples[0].value.is_nan());
}
