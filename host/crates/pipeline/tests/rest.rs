//! A module that never works holds up nobody else.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::LaneMeter;
use sluicebox_pipeline::{LaneTerms, Pipeline};
use support::{Recorder, Script, Scripted, event, lane_terms, lines, numbers, outlet_terms, reaches};

async fn beside(bad: Scripted) -> Arc<LaneMeter> {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(2));
    let meter = Arc::<LaneMeter>::default();
    let bad = pipeline.lane("bad", bad, LaneTerms { meter: Arc::clone(&meter), ..lane_terms(&[outlet]) }).unwrap();
    let good = pipeline.lane("good", Scripted::default(), lane_terms(&[outlet])).unwrap();
    pipeline.source("source", Script((0..2000).map(event).collect()), &[bad, good]);
    let report = pipeline.run_until(reaches(&sink.log, 2000), Duration::from_secs(5)).await;
    assert!(report.late.is_empty(), "{report:?}");
    assert_eq!(lines(&sink.log), numbers(0..2000));
    meter
}

#[tokio::test]
async fn a_lane_that_never_starts_lets_the_other_run_and_counts_what_it_missed() {
    let meter = beside(Scripted { bad_starts: Arc::new(Mutex::new(usize::MAX)), ..Scripted::default() }).await;
    assert_eq!((meter.events.get(), meter.instances.get(), meter.ready.get()), (0, 0, 0));
    assert_eq!(meter.missed.get(), 2000);
}

#[tokio::test]
async fn a_lane_that_traps_at_every_event_lets_the_other_run_and_counts_each_event_once() {
    let meter = beside(Scripted { deadly: (0..2000).collect(), ..Scripted::default() }).await;
    assert_eq!(meter.entries.get(), 0);
    assert!(meter.deadly.get() > 0);
    assert_eq!(meter.deadly.get() + meter.missed.get(), 2000);
}
