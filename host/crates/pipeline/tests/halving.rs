//! A module that dies: a fresh instance knows all subjects again, and only the guilty event is left out.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::Notice;
use sluicebox_contract::meter::LaneMeter;
use sluicebox_pipeline::{LaneTerms, Pipeline};
use support::{Recorder, Script, Scripted, event, event_about, lane_terms, lines, numbers, outlet_terms, reaches, subject};

async fn shape(shaper: Scripted, notices: Vec<Notice>, expected: usize) -> (Vec<String>, Arc<LaneMeter>) {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["lane"]));
    let meter = Arc::<LaneMeter>::default();
    let lane = pipeline.lane("lane", shaper, LaneTerms { meter: Arc::clone(&meter), ..lane_terms(&[outlet]) }).unwrap().handle();
    pipeline.source("source", Script(notices), &[lane]);
    let report = pipeline.run_until(reaches(&sink.log, expected), Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    (lines(&sink.log), meter)
}

#[tokio::test]
async fn one_deadly_event_in_a_thousand_is_left_out_alone() {
    let shaper = Scripted { deadly: [500].into(), ..Scripted::default() };
    let (written, meter) = shape(shaper, (0..1000).map(event).collect(), 999).await;
    assert_eq!(written, [numbers(0..500), numbers(501..1000)].concat());
    assert_eq!((meter.deadly.get(), meter.missed.get()), (1, 0));
    assert!(meter.traps.get() <= 7, "more than one trap for each halving of 64: {}", meter.traps.get());
}

#[tokio::test]
async fn refused_events_are_left_out_one_by_one_without_a_fresh_instance() {
    let shaper = Scripted { refused: [3, 4, 60].into(), ..Scripted::default() };
    let (written, meter) = shape(shaper, (0..100).map(event).collect(), 97).await;
    assert_eq!(written, [numbers(0..3), numbers(5..60), numbers(61..100)].concat());
    assert_eq!((meter.refused.get(), meter.instances.get(), meter.traps.get()), (3, 1, 0));
}

#[tokio::test]
async fn a_fresh_instance_is_told_all_subjects_that_still_exist() {
    let shaper = Scripted { deadly: [7].into(), ..Scripted::default() };
    let log = Arc::clone(&shaper.log);
    let forgotten = Notice::Forgotten(sluicebox_contract::SubjectId(2));
    // What is forgotten is told at the end of its batch.
    let mut notices = vec![subject(1), subject(2), subject(3), forgotten];
    notices.extend((100..200).map(event));
    notices.extend([event(7), event(8)]);
    shape(shaper, notices, 101).await;
    let log = lines(&log);
    assert_eq!(log.first().map(String::as_str), Some("start"));
    let trap = log.iter().position(|line| line.starts_with("trap")).unwrap();
    assert_eq!(log.get(trap + 1..trap + 3), Some(&["start".to_owned(), "define node-1 node-3".to_owned()][..]), "{log:?}");
}

#[tokio::test]
async fn a_module_that_does_not_start_is_tried_again_and_loses_nothing_meanwhile() {
    let shaper = Scripted { bad_starts: Arc::new(Mutex::new(3)), ..Scripted::default() };
    let (written, meter) = shape(shaper, (0..50).map(event).collect(), 50).await;
    assert_eq!(written, numbers(0..50));
    assert_eq!((meter.traps.get(), meter.instances.get()), (3, 1));
}

#[tokio::test]
async fn a_subject_that_stops_the_module_is_left_out_with_its_events_and_the_others_go_on() {
    let shaper = Scripted { deadly_subjects: [3].into(), deadly: [90].into(), ..Scripted::default() };
    let log = Arc::clone(&shaper.log);
    let mut notices: Vec<Notice> = (1..=5).map(subject).collect();
    notices.extend((1..=5).map(|id| event_about(id, id as usize)));
    notices.extend([event_about(1, 90), event_about(3, 6), event_about(4, 7)]);
    let (written, meter) = shape(shaper, notices, 5).await;
    assert_eq!(written, ["1", "2", "4", "5", "7"]);
    assert_eq!(meter.deadly.get(), 3, "two events about the bad subject, and the deadly one");
    assert_eq!(lines(&log).last().map(String::as_str), Some("define node-1 node-2 node-4 node-5"));
}
