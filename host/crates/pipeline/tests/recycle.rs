//! An instance is replaced as planned, after so many calls or above so much memory, and its state goes on in the next.

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Class, Shaper};
use sluicebox_pipeline::{LaneSettings, StateMove, Successor};
use support::shaper::Failing;
use support::stage::{PATIENCE, Stage, soon, successor, until};
use support::{Recorder, Scripted, event, known, lane_terms, lines, numbers, reaches, subject};

fn settings(calls: Option<u64>, bytes: Option<usize>) -> LaneSettings {
    LaneSettings { batch: 1, recycle_after_calls: calls, recycle_above_bytes: bytes, ..lane_terms(&[]).settings }
}

fn counting() -> Scripted {
    Scripted { counts: true, strict: true, ..Scripted::default() }
}

/// Shapes a number of events, all of which must be written; gives the log of the module.
async fn shape(shaper: Scripted, settings: LaneSettings, events: usize) -> (Vec<String>, Arc<LaneMeter>) {
    let log = Arc::clone(&shaper.log);
    let Stage { pipeline, meter, sink, tell, .. } = Stage::with(shaper, Recorder::default(), settings, None);
    let script = async {
        tell.send(subject(1)).await.unwrap();
        for number in 0..events {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, events).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), numbers(0..events));
    (lines(&log), meter)
}

#[tokio::test]
async fn an_instance_is_replaced_after_so_many_calls_and_its_state_goes_on() {
    let (log, meter) = shape(Scripted { tells_calls: true, ..counting() }, settings(Some(3), None), 7).await;
    let first = ["start", "define node-1", "shape 0", "shape 1", "shape 2", "save 3"];
    let second = ["start", "define node-1", "restore 3", "shape 3", "shape 4", "shape 5", "save 6"];
    let third = ["start", "define node-1", "restore 6", "shape 6"];
    assert_eq!(log, [&first[..], &second, &third].concat());
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.traps.get()), (2, 3, 0));
}

#[tokio::test]
async fn a_module_without_state_is_replaced_too() {
    let (log, meter) = shape(Scripted { counts: false, ..counting() }, settings(Some(2), None), 5).await;
    assert_eq!(log, ["start", "define node-1", "start", "define node-1", "start", "define node-1"]);
    assert_eq!(meter.recycles.get(), 2);
}

#[tokio::test]
async fn an_instance_that_holds_too_much_is_replaced_but_not_again_at_once() {
    let memory = Arc::new(AtomicUsize::new(1000));
    let (log, meter) = shape(Scripted { memory, ..counting() }, settings(None, Some(999)), 50).await;
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.memory_bytes.get()), (1, 2, 1000));
    assert_eq!(log.iter().filter(|line| *line == "start").count(), 2);
}

#[tokio::test]
async fn an_instance_within_its_bounds_is_left_alone() {
    let memory = Arc::new(AtomicUsize::new(1000));
    let (_, meter) = shape(Scripted { memory, ..counting() }, settings(Some(51), Some(1000)), 50).await;
    assert_eq!((meter.recycles.get(), meter.instances.get()), (0, 1));
}

#[tokio::test]
async fn an_instance_that_refuses_to_save_is_kept_and_asked_again_later() {
    let (log, meter) = shape(counting().failing("save", Class::Skip), settings(Some(2), None), 7).await;
    assert_eq!(log, ["start", "define node-1", "save 2", "save 4", "save 6"]);
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.traps.get()), (0, 1, 0));
}

#[tokio::test]
async fn an_instance_that_dies_when_it_is_to_save_is_replaced_as_any_that_dies() {
    let shaper = counting();
    shaper.fail("save", Failing { after: 0, times: 1, class: Class::Replace });
    let (log, meter) = shape(shaper, settings(Some(3), None), 5).await;
    assert_eq!(log, ["start", "define node-1", "save 3", "start", "define node-1"]);
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.traps.get()), (0, 2, 1));
}

#[tokio::test]
async fn a_start_that_fails_is_tried_again_and_the_state_still_goes_on() {
    let shaper = counting();
    shaper.fail("start", Failing { after: 1, times: 2, class: Class::Replace });
    let (log, meter) = shape(shaper, settings(Some(3), None), 5).await;
    assert_eq!(log, ["start", "define node-1", "save 3", "start", "define node-1", "restore 3"]);
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.traps.get()), (1, 2, 2));
}

#[tokio::test]
async fn an_instance_that_refuses_the_state_goes_on_without() {
    let (log, meter) = shape(counting().failing("restore", Class::Skip), settings(Some(3), None), 5).await;
    assert_eq!(log, ["start", "define node-1", "save 3", "start", "define node-1", "restore 3"]);
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.traps.get()), (1, 2, 0));
}

#[tokio::test]
async fn an_instance_that_dies_of_the_state_is_followed_by_one_without() {
    let (log, meter) = shape(counting().failing("restore", Class::Replace), settings(Some(3), None), 5).await;
    assert_eq!(log, ["start", "define node-1", "save 3", "start", "define node-1", "restore 3", "start", "define node-1"]);
    assert_eq!((meter.recycles.get(), meter.instances.get(), meter.traps.get()), (1, 2, 1));
}

/// Recycles an instance after two events, whose next start fails, puts a successor in place in the rest that follows, and gives what
/// came of the state.
async fn succeed(new: Scripted) -> (StateMove, Vec<String>) {
    let shaper = counting();
    shaper.fail("start", Failing { after: 1, times: usize::MAX, class: Class::Replace });
    let hour = Duration::from_hours(1);
    let settings = LaneSettings { first_rest: hour, longest_rest: hour, ..settings(Some(2), None) };
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::with(shaper, Recorder::default(), settings, None);
    let (mut new, log) = (new.clone(), Arc::clone(&new.log));
    let mut state = StateMove::None;
    let script = async {
        tell.send(subject(1)).await.unwrap();
        for number in 0..3 {
            tell.send(event(number)).await.unwrap();
        }
        until("the rest", || meter.resting.get() == 1).await;
        assert_eq!(meter.ready.get(), 0, "no instance is at work");
        new.renew().unwrap();
        state = soon(control.swap(successor(new, vec![], &meter), PATIENCE)).await.unwrap().unwrap().state;
        reaches(&sink.log, 3).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    (state, lines(&log))
}

#[tokio::test]
async fn the_state_of_a_recycled_instance_goes_to_a_successor_when_no_other_starts() {
    let (state, log) = succeed(counting()).await;
    assert_eq!(state, StateMove::Moved);
    assert_eq!(log, ["start", "define node-1", "restore 2"]);
}

#[tokio::test]
async fn a_successor_that_refuses_that_state_takes_over_without() {
    let (state, _) = succeed(counting().failing("restore", Class::Skip)).await;
    assert_eq!(state, StateMove::Lost);
}

#[tokio::test]
async fn a_successor_that_takes_no_state_takes_over_without() {
    let (state, log) = succeed(Scripted::default()).await;
    assert_eq!((state, log), (StateMove::Dropped, vec!["start".to_owned(), "define node-1".to_owned()]));
}

#[tokio::test]
async fn a_successor_that_holds_too_much_is_replaced_although_its_predecessor_was_lately() {
    let memory = || Arc::new(AtomicUsize::new(1000));
    let settings = settings(None, Some(999));
    let shaper = Scripted { memory: memory(), ..counting() };
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::with(shaper, Recorder::default(), settings, None);
    let mut new = Scripted { memory: memory(), ..counting() };
    new.renew().unwrap();
    new.define(&[known(1)]).unwrap();
    let script = async {
        tell.send(subject(1)).await.unwrap();
        tell.send(event(0)).await.unwrap();
        until("the first replacement", || meter.recycles.get() == 1).await;
        let next = Successor { settings, ..successor(new, vec![known(1)], &meter) };
        let meter = Arc::clone(&next.meter);
        soon(control.swap(next, PATIENCE)).await.unwrap().unwrap();
        tell.send(event(1)).await.unwrap();
        reaches(&sink.log, 2).await;
        until("the next replacement", || meter.recycles.get() == 1).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}
