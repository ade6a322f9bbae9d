//! Stopping: what was accepted is written, in order, and who is late is named.

mod support;

use std::sync::Arc;
use std::time::Duration;

use sluicebox_pipeline::Pipeline;
use support::stage::Shelf;
use support::{Recorder, Script, Scripted, event, lane_terms, lines, numbers, outlet_terms, reaches};

#[tokio::test]
async fn everything_accepted_is_written_in_order_before_the_end() {
    let (sink, shaper) = (Recorder::default(), Scripted { takes: Duration::from_millis(1), ..Scripted::default() });
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["lane"]));
    let lane = pipeline.lane("lane", shaper, lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script((0..1000).map(event).collect()), &[lane]);
    let report = pipeline.run_until(reaches(&sink.log, 1), Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    let written = lines(&sink.log);
    assert_eq!(written, numbers(0..written.len()), "a gap or another order");
    assert!(written.len() >= 128, "what the queue held was not written: {}", written.len());
}

#[tokio::test]
async fn one_source_feeds_two_lanes_and_two_lanes_feed_one_sink() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["one", "other"]));
    let one = pipeline.lane("one", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    let other = pipeline.lane("other", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script((0..100).map(event).collect()), &[one, other]);
    let report = pipeline.run_until(reaches(&sink.log, 200), Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    let mut written = lines(&sink.log);
    written.sort();
    let mut expected = [numbers(0..100), numbers(0..100)].concat();
    expected.sort();
    assert_eq!(written, expected);
}

#[tokio::test]
async fn a_sink_that_never_answers_is_named_at_the_deadline() {
    let sink = Recorder { stalls: true, ..Recorder::default() };
    let (mut pipeline, shelf) = (Pipeline::default(), Shelf::default());
    // Whoever keeps its dead letters ends with it, and is no culprit.
    pipeline.dead_letters(shelf.clone(), Arc::clone(&shelf.meter)).unwrap();
    let outlet = pipeline.outlet("stuck", sink, outlet_terms(&["lane"]));
    let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script(vec![event(1)]), &[lane]);
    let begin = std::time::Instant::now();
    let report = pipeline.run_until(tokio::time::sleep(Duration::from_millis(50)), Duration::from_millis(300)).await;
    assert_eq!(report.late, ["sink stuck"]);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_sink_that_has_written_all_it_was_given_is_not_named() {
    let (stuck, fine) = (Recorder { stalls: true, ..Recorder::default() }, Recorder::default());
    let mut pipeline = Pipeline::default();
    let mut terms = outlet_terms(&["lane"]);
    terms.bounds.items = 1;
    let outlets = [pipeline.outlet("stuck", stuck, terms), pipeline.outlet("fine", fine.clone(), outlet_terms(&["lane"]))];
    let mut lane = lane_terms(&outlets);
    lane.settings.batch = 1;
    let lane = pipeline.lane("lane", Scripted::default(), lane).unwrap().handle();
    pipeline.source("source", Script((0..20).map(event).collect()), &[lane]);
    let report = pipeline.run_until(reaches(&fine.log, 1), Duration::from_millis(500)).await;
    assert_eq!(report.late, ["module lane", "sink stuck"]);
}
