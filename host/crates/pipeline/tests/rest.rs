//! A module that never works holds up nobody else.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Event, Notice, ObjectEvent};
use sluicebox_pipeline::{Bounds, LaneSettings, LaneTerms, Patience, Pipeline, Report, WhenFull};
use support::stage::{PATIENCE, tap, until};
use support::{Recorder, Script, Scripted, event, lane_terms, lines, numbers, outlet_terms, reaches};

async fn beside(bad: Scripted) -> Arc<LaneMeter> {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["bad", "good"]));
    let meter = Arc::<LaneMeter>::default();
    let bad = pipeline.lane("bad", bad, LaneTerms { meter: Arc::clone(&meter), ..lane_terms(&[outlet]) }).unwrap().handle();
    let good = pipeline.lane("good", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
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

/// Runs one lane with more events than its queue holds until its thread has ended.
async fn alone(shaper: Scripted, notices: Vec<Notice>) -> (Vec<String>, Report, Arc<LaneMeter>) {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["lane"]));
    let meter = Arc::<LaneMeter>::default();
    let terms = LaneTerms { meter: Arc::clone(&meter), ..lane_terms(&[outlet]) };
    let lane = pipeline.lane("lane", shaper, terms).unwrap().handle();
    let count = notices.len();
    pipeline.source("source", Script(notices), &[lane]);
    let told = Arc::clone(&meter);
    // Until the source has told everything.
    let stop = async move {
        for _ in 0..2_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let held = u64::try_from(told.queue.length.get()).unwrap();
            if told.events.get() + told.missed.get() + held + 2 >= count as u64 {
                break;
            }
        }
    };
    let report = pipeline.run_until(stop, Duration::from_secs(5)).await;
    (lines(&sink.log), report, meter)
}

#[tokio::test]
async fn a_resting_module_is_brought_back_at_the_stop_and_loses_nothing() {
    let (written, report, meter) =
        alone(Scripted { bad_starts: Arc::new(Mutex::new(2)), ..Scripted::default() }, (0..100).map(event).collect()).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(written, numbers(0..100));
    assert_eq!(meter.missed.get(), 0);
}

#[tokio::test]
async fn a_module_that_cannot_be_brought_back_at_the_stop_makes_the_end_unclean() {
    let bad = Scripted { bad_starts: Arc::new(Mutex::new(usize::MAX)), ..Scripted::default() };
    let (written, report, meter) = alone(bad, (0..100).map(event).collect()).await;
    assert_eq!(report.faults, ["module `lane`: cannot shape what was accepted: 100 events were left when the host stopped"]);
    assert_eq!((written.len(), meter.missed.get()), (0, 100));
}

#[tokio::test]
async fn an_event_that_fills_its_queue_holds_up_nobody_while_the_lane_rests_with_it_in_hand() {
    let mut pipeline = Pipeline::default();
    let terms = lane_terms(&[]);
    let patience = Patience { events: 1, ..terms.settings.patience };
    let rest = Duration::from_mins(10);
    let settings = LaneSettings { batch: 1, patience, first_rest: rest, longest_rest: rest, ..terms.settings };
    let bounds = Bounds { bytes: 1000, ..terms.bounds };
    let (meter, other) = (Arc::clone(&terms.meter), lane_terms(&[]));
    let beside = Arc::clone(&other.meter);
    let bad = Scripted { deadly: [0].into(), ..Scripted::default() };
    let bad = pipeline.lane("bad", bad, LaneTerms { settings, bounds, ..terms }).unwrap().handle();
    let other = pipeline.lane("other", Scripted::default(), other).unwrap().handle();
    let (tell, tap) = tap();
    pipeline.source("tap", tap, &[bad, other]);
    let stop = async {
        let Notice::Event(Event::Object(heavy)) = event(0) else { panic!("an object") };
        let heavy = ObjectEvent { json: Some("x".repeat(700).into()), ..heavy };
        tell.send(Notice::Event(Event::Object(heavy))).await.unwrap();
        until("the lane rests", || meter.resting.get() == 1).await;
        for number in 1..=100 {
            tell.send(event(number)).await.unwrap();
        }
        until("the other lane has all", || beside.events.get() == 101).await;
        assert_eq!(meter.resting.get(), 1);
    };
    let report = pipeline.run_until(stop, PATIENCE).await;
    assert!(report.late.is_empty(), "{report:?}");
}

#[tokio::test]
async fn nothing_is_taken_for_stale_when_something_of_the_first_list_was_left_out() {
    for shaper in [
        Scripted { deadly: [3].into(), ..Scripted::default() },
        Scripted { refused: [3].into(), ..Scripted::default() },
        Scripted { bad_starts: Arc::new(Mutex::new(4)), ..Scripted::default() },
    ] {
        // More than the queue holds, so that the resting lane has to make room.
        let mut notices: Vec<Notice> = (0..400).map(event).collect();
        notices.push(Notice::Listed);
        let (written, _, meter) = alone(shaper, notices).await;
        let left_out = meter.deadly.get() + meter.refused.get() + meter.missed.get();
        assert!(left_out > 0);
        assert!(!written.contains(&"settled".to_owned()), "{left_out} events were left out");
    }
}

#[tokio::test]
async fn a_slow_module_whose_queue_drops_its_oldest_holds_up_nobody() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["quick"]));
    let meter = Arc::<LaneMeter>::default();
    let terms = lane_terms(&[]);
    let bounds = Bounds { when_full: WhenFull::DropOldest, ..terms.bounds };
    let slow = Scripted { takes: Duration::from_millis(100), ..Scripted::default() };
    let slow = pipeline.lane("slow", slow, LaneTerms { meter: Arc::clone(&meter), bounds, ..terms }).unwrap().handle();
    let quick = pipeline.lane("quick", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script((0..5000).map(event).collect()), &[slow, quick]);
    let report = pipeline.run_until(reaches(&sink.log, 5000), Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), numbers(0..5000));
    assert_eq!(meter.events.get() + meter.queue.dropped.get(), 5000);
    assert!(meter.queue.dropped.get() > 4000, "{}", meter.queue.dropped.get());
}

#[tokio::test]
async fn a_lane_that_runs_into_its_deadline_now_and_then_lets_the_other_run() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["good"]));
    let meter = Arc::<LaneMeter>::default();
    let bad = Scripted { deadly: (0..2000).step_by(40).collect(), trap_takes: Duration::from_millis(100), ..Scripted::default() };
    let bad = pipeline.lane("bad", bad, LaneTerms { meter: Arc::clone(&meter), ..lane_terms(&[]) }).unwrap().handle();
    let good = pipeline.lane("good", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script((0..2000).map(event).collect()), &[bad, good]);
    let begin = std::time::Instant::now();
    let told = Arc::clone(&sink.log);
    pipeline.run_until(reaches(&told, 2000), Duration::from_secs(20)).await;
    assert!(lines(&sink.log) == numbers(0..2000), "something is missing, or in another order");
    // Each of the 50 bad events would cost seven such calls: 35 s.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(meter.entries.get() + meter.deadly.get() + meter.missed.get(), 2000);
}
