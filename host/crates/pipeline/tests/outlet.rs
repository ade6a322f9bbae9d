//! A sink in trouble: entries wait, keep their order, and are written exactly where the writing stopped.

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_contract::Notice;
use sluicebox_contract::meter::OutletMeter;
use sluicebox_pipeline::{Bounds, OutletTerms, Pipeline, Report, WhenFull};
use support::{Recorder, Script, Scripted, event, lane_terms, lines, numbers, outlet_terms, reaches, stage};

async fn write(sink: Recorder, notices: Vec<Notice>, expected: usize) -> (Arc<OutletMeter>, Report) {
    let mut pipeline = Pipeline::default();
    let meter = Arc::<OutletMeter>::default();
    let log = Arc::clone(&sink.log);
    let outlet = pipeline.outlet("out", sink, OutletTerms { meter: Arc::clone(&meter), ..outlet_terms(&["lane"]) });
    let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script(notices), &[lane]);
    (meter, pipeline.run_until(reaches(&log, expected), Duration::from_secs(5)).await)
}

#[tokio::test]
async fn what_was_not_written_is_tried_again_from_where_it_stopped() {
    let sink = Recorder { bad_writes: Arc::new(Mutex::new(5)), ..Recorder::default() };
    let log = Arc::clone(&sink.log);
    let (meter, report) = write(sink, (0..200).map(event).collect(), 200).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&log), numbers(0..200));
    assert_eq!((meter.written.get(), meter.retries.get(), meter.refused.get()), (200, 5, 0));
}

#[tokio::test]
async fn a_refused_entry_does_not_stop_those_after_it() {
    let sink = Recorder { refuses: ["7".to_owned()].into(), ..Recorder::default() };
    let log = Arc::clone(&sink.log);
    let (meter, _) = write(sink, (0..20).map(event).collect(), 19).await;
    assert_eq!(lines(&log), [numbers(0..7), numbers(8..20)].concat());
    assert_eq!((meter.written.get(), meter.refused.get()), (19, 1));
}

#[tokio::test]
async fn a_sink_that_never_worked_and_cannot_ends_the_run() {
    let sink = Recorder { bad_writes: Arc::new(Mutex::new(1)), fatal: true, ..Recorder::default() };
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink, outlet_terms(&["lane"]));
    let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    pipeline.source("source", Script(vec![event(1)]), &[lane]);
    let report = pipeline.run_until(std::future::pending(), Duration::from_secs(5)).await;
    assert_eq!(report.faults, ["sink `out`: write: wrong address"]);
}

#[tokio::test]
async fn a_sink_that_has_worked_and_cannot_any_more_is_not_waited_for_at_the_end() {
    let sink = Recorder::default();
    let (log, bad_writes) = (Arc::clone(&sink.log), Arc::clone(&sink.bad_writes));
    let terms = outlet_terms(&["lane"]);
    let meter = Arc::clone(&terms.meter);
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", Recorder { fatal: true, ..sink }, terms);
    let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    let (tell, tap) = stage::tap();
    pipeline.source("source", tap, &[lane]);
    // As many as the queues hold, and more: the lane waits for its sink, too.
    let stop = async {
        tell.send(event(0)).await.unwrap();
        stage::until("the sink has worked", || lines(&log) == ["0"]).await;
        *bad_writes.lock().unwrap() = usize::MAX;
        for number in 1..2000 {
            tell.send(event(number)).await.unwrap();
        }
        stage::until("it has failed often enough to rest", || meter.retries.get() > 7).await;
    };
    let (begun, grace) = (Instant::now(), Duration::from_mins(10));
    let report = pipeline.run_until(stop, grace).await;
    assert!(begun.elapsed() < grace / 2);
    assert_eq!((report.faults.as_slice(), report.late.len()), (["sink `out`: write: wrong address".to_owned()].as_slice(), 0));
}

#[tokio::test]
async fn the_sink_is_told_once_when_all_that_was_there_is_written() {
    let sink = Recorder::default();
    let log = Arc::clone(&sink.log);
    write(sink, vec![event(0), event(1), Notice::Listed, event(2)], 4).await;
    let written = lines(&log);
    assert_eq!(written.iter().filter(|line| *line == "settled").count(), 1);
    let settled = written.iter().position(|line| line == "settled").unwrap();
    assert!(settled >= 2, "{written:?}");
}

#[tokio::test]
async fn a_sink_whose_own_work_fails_still_takes_entries() {
    let sink = Recorder { bad_upkeep: true, ..Recorder::default() };
    let log = Arc::clone(&sink.log);
    let (meter, report) = write(sink, (0..100).map(event).collect(), 100).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&log), numbers(0..100));
    assert_eq!((meter.ready.get(), meter.retries.get()), (1, 0));
}

#[tokio::test]
async fn a_full_queue_of_a_sink_drops_as_it_was_told_and_counts_entries() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
        let sink = Recorder { bad_writes: Arc::new(Mutex::new(usize::MAX)), ..Recorder::default() };
        let (log, bad_writes) = (Arc::clone(&sink.log), Arc::clone(&sink.bad_writes));
        let mut pipeline = Pipeline::default();
        let meter = Arc::<OutletMeter>::default();
        let bounds = Bounds { items: 3, bytes: 1 << 20, when_full };
        let outlet = pipeline.outlet("out", sink, OutletTerms { meter: Arc::clone(&meter), bounds, ..outlet_terms(&["lane"]) });
        let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
        pipeline.source("source", Script((0..2000).map(event).collect()), &[lane]);
        let counted = Arc::clone(&meter);
        let mut since = None;
        let all = stage::until("all is dealt with", move || {
            // An entry is counted a moment before it is offered to the queue, by another thread.
            let handed_over = (counted.accepted.get() == 2000).then(|| *since.get_or_insert_with(Instant::now));
            if handed_over.is_some_and(|since| since.elapsed() > Duration::from_millis(100)) {
                *bad_writes.lock().unwrap() = 0;
            }
            counted.accepted.get() == 2000 && counted.held() == 0
        });
        let report = pipeline.run_until(all, Duration::from_secs(5)).await;
        assert!(report.is_clean(), "{report:?}");
        let (written, dropped) = (lines(&log), meter.queue.dropped.get());
        assert!(dropped > 100, "{when_full:?}: {dropped}");
        assert_eq!((written.len() as u64, meter.accepted.get()), (2000 - dropped, 2000), "{when_full:?}");
        assert_eq!(written.last().map(String::as_str) == Some("1999"), when_full == WhenFull::DropOldest);
    }
}
