//! A lane's share of the processor: one that uses more is slowed down, and nobody else is.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{CpuShare, Shaper};
use sluicebox_pipeline::{LaneSettings, LaneTerms, Pipeline};
use support::stage::{PATIENCE, Stage, soon, successor, tap, until};
use support::{
    Recorder, Script, Scripted, event, event_about, forgotten, lane_terms, lines, numbers, outlet_terms, reaches, subject,
};

fn settings(millicores: u32) -> LaneSettings {
    LaneSettings { batch: 1, share: CpuShare { millicores }, ..lane_terms(&[]).settings }
}

fn burning(millis: u64) -> Scripted {
    Scripted { burns: Duration::from_millis(millis), ..Scripted::default() }
}

fn nanos(count: u64) -> Duration {
    Duration::from_nanos(count)
}

#[tokio::test]
async fn a_lane_that_uses_more_than_its_share_is_slowed_down_to_it_and_another_is_not() {
    let start = Instant::now();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", Recorder::default(), outlet_terms(&["slowed", "free"]));
    let mut meters = Vec::new();
    let mut taps = Vec::new();
    for (name, millicores) in [("slowed", 50), ("free", 1000)] {
        let meter = Arc::<LaneMeter>::default();
        let terms = LaneTerms { meter: Arc::clone(&meter), settings: settings(millicores), ..lane_terms(&[outlet]) };
        let lane = pipeline.lane(name, burning(5), terms).unwrap().handle();
        let (tell, tap) = tap();
        pipeline.source(name, tap, &[lane]);
        for number in 0..4000 {
            tell.try_send(event(number)).unwrap();
        }
        meters.push(meter);
        taps.push(tell);
    }
    let (slowed, free) = (Arc::clone(&meters[0]), Arc::clone(&meters[1]));
    let script = async {
        until("what may be used at once is used", || slowed.throttled_nanos.get() > 0).await;
        let (cpu, events) = (slowed.cpu_nanos.get(), slowed.events.get());
        let begin = Instant::now();
        until("it works on", || slowed.events.get() >= events + 20).await;
        let (used, took) = (nanos(slowed.cpu_nanos.get() - cpu), begin.elapsed());
        // A twentieth; a call and its wait may lie across either end of the time.
        assert!(used < took / 20 + Duration::from_millis(30), "{used:?} used in {took:?}");
        // The other has more than it would with such a share, however busy the machine is beside.
        let slow = || Duration::from_millis(1200) + start.elapsed() / 20;
        until("the other goes on", || nanos(free.cpu_nanos.get()) > slow()).await;
        assert_eq!(free.throttled_nanos.get(), 0);
    };
    // What the source still holds is not waited for.
    pipeline.run_until(script, Duration::from_millis(1)).await;
}

/// A lane whose module has used what it may at once, and waits for minutes until it may go on.
async fn until_throttled(meter: &LaneMeter) {
    until("what may be used at once is used", || nanos(meter.cpu_nanos.get()) > Duration::from_millis(1050)).await;
}

#[tokio::test]
async fn orders_are_obeyed_at_once_while_a_lane_waits_for_its_share() {
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::with(burning(100), Recorder::default(), settings(1), None);
    let script = async {
        for number in 0..15 {
            tell.send(event(number)).await.unwrap();
        }
        until_throttled(&meter).await;
        let waiting = meter.events.get();
        let begin = Instant::now();
        soon(control.look()).await.unwrap();
        let mut new = Scripted::of("new ");
        new.renew().unwrap();
        soon(control.swap(successor(new, vec![], &meter), PATIENCE)).await.unwrap().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
        assert!(waiting < 15 && meter.events.get() <= waiting + 1, "the lane did not wait");
        reaches(&sink.log, 15).await;
        assert_eq!(lines(&sink.log).last().map(String::as_str), Some("new 14"));
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_stop_ends_the_wait_at_once_and_what_was_accepted_is_shaped() {
    let Stage { pipeline, meter, sink, tell, .. } = Stage::with(burning(100), Recorder::default(), settings(1), None);
    let script = async {
        for number in 0..15 {
            tell.send(event(number)).await.unwrap();
        }
        until_throttled(&meter).await;
        assert!(lines(&sink.log).len() < 15, "the lane did not wait");
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), numbers(0..15));
}

#[tokio::test]
async fn a_lane_that_waits_for_its_share_does_not_hold_up_another_one_of_its_source() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["quick"]));
    let meter = Arc::<LaneMeter>::default();
    // It would take an event each 400 ms: a quarter of an hour for all.
    let greedy = Scripted { strict: true, ..burning(20) };
    let log = Arc::clone(&greedy.log);
    let terms = LaneTerms { meter: Arc::clone(&meter), settings: settings(50), ..lane_terms(&[]) };
    let greedy = pipeline.lane("greedy", greedy, terms).unwrap().handle();
    let quick = pipeline.lane("quick", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    // Each subject with three events; all but the last one are forgotten again.
    let mut notices = Vec::new();
    for number in 0..2000 {
        let id = u32::try_from(number / 3).unwrap() + 1;
        if number % 3 == 0 {
            notices.extend((id > 1).then(|| forgotten(id - 1)));
            notices.push(subject(id));
        }
        notices.push(event_about(id, number));
    }
    pipeline.source("source", Script(notices), &[greedy, quick]);
    let report = pipeline.run_until(reaches(&sink.log, 2000), PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), numbers(0..2000));
    assert!(meter.throttled_nanos.get() > 0 && meter.missed.get() > 1000, "{} missed", meter.missed.get());
    assert_eq!((meter.events.get() + meter.missed.get(), meter.entries.get()), (2000, meter.events.get()));
    assert_eq!(meter.instances.get(), 1);
    assert!(log.lock().unwrap().iter().any(|line| line.ends_with("node-667")), "what exists is told, whatever is left out");
}
