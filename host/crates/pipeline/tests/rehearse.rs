//! A rehearsal: a new module is started, told all subjects, given the last batch and its own state, and is fresh at the end.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sluicebox_contract::{Class, Fault, Shaper, Subject};
use sluicebox_pipeline::{Snapshot, rehearse};
use support::shaper::{Failing, number};
use support::stage::{PATIENCE, Stage, soon, until};
use support::{Scripted, event_about, fact, forgotten, known, lines, reaches, subject};

/// Two subjects, of which the second is shunned if that is wanted, and an event about the first for each of these names.
fn snapshot(shunned: bool, names: std::ops::Range<usize>) -> Snapshot {
    let (subjects, others) = if shunned { (vec![known(1)], vec![known(2)]) } else { (vec![known(1), known(2)], vec![]) };
    Snapshot { subjects, shunned: others, batch: names.map(|name| fact(event_about(1, name))).collect() }
}

fn scripted() -> Scripted {
    Scripted { counts: true, strict: true, tells_calls: true, ..Scripted::default() }
}

fn run(shaper: &mut Scripted, snapshot: &Snapshot) -> (Result<Vec<Arc<Subject>>, Fault>, Vec<String>) {
    let told = rehearse(shaper, snapshot, PATIENCE);
    (told, lines(&shaper.log))
}

#[test]
fn a_rehearsal_goes_through_each_step_and_ends_with_a_fresh_instance() {
    let mut shaper = scripted();
    let (told, log) = run(&mut shaper, &snapshot(false, 0..3));
    assert_eq!(told.unwrap(), [known(1), known(2)]);
    let told = "define node-1 node-2";
    assert_eq!(log, ["start", told, "shape 0 1 2", "save 3", "start", told, "restore 3", "start", told]);
    assert_eq!(shaper.save().unwrap().unwrap().data, 0_u64.to_le_bytes(), "it remembers the rehearsal");
}

#[test]
fn a_module_without_state_is_started_once_more_after_the_batch() {
    let mut shaper = Scripted { counts: false, ..scripted() };
    let (told, log) = run(&mut shaper, &snapshot(false, 0..1));
    assert_eq!(told.unwrap().len(), 2);
    assert_eq!(log, ["start", "define node-1 node-2", "shape 0", "start", "define node-1 node-2"]);
}

#[test]
fn an_empty_batch_is_not_given_to_the_module() {
    let (told, log) = run(&mut scripted(), &snapshot(false, 0..0));
    assert_eq!(told.unwrap().len(), 2);
    assert!(log.iter().all(|line| !line.starts_with("shape")), "{log:?}");
    let (told, log) = run(&mut scripted(), &Snapshot::default());
    assert!(told.unwrap().is_empty());
    assert_eq!(log, ["start", "save 0", "start", "restore 0", "start"]);
}

#[test]
fn a_trap_in_any_step_is_the_end_of_the_rehearsal() {
    // How often each step is taken in a rehearsal that goes well.
    for (step, calls) in [("start", 3), ("define", 3), ("shape", 1), ("save", 1), ("restore", 1)] {
        for after in 0..calls {
            let mut shaper = scripted();
            shaper.fail(step, Failing { after, times: 1, class: Class::Replace });
            let (told, log) = run(&mut shaper, &snapshot(false, 0..3));
            let fault = told.expect_err(step);
            assert_eq!((fault.class, fault.tried.as_str()), (Class::Replace, step), "{log:?}");
        }
        let shaper = scripted();
        shaper.fail(step, Failing { after: calls, times: 1, class: Class::Replace });
        assert!(run(&mut shaper.clone(), &snapshot(false, 0..3)).0.is_ok(), "{step} is called more than {calls} times");
    }
}

#[test]
fn a_state_that_the_module_does_not_save_or_take_is_the_end_of_the_rehearsal() {
    for step in ["save", "restore"] {
        let (told, _) = run(&mut scripted().failing(step, Class::Skip), &snapshot(false, 0..3));
        assert_eq!(told.unwrap_err().tried, step);
    }
}

#[test]
fn a_module_that_refuses_some_events_is_good_enough() {
    for refused in [vec![0], vec![1, 2], vec![0, 1]] {
        let mut shaper = Scripted { refused: refused.iter().copied().collect(), ..scripted() };
        let (told, log) = run(&mut shaper, &snapshot(false, 0..3));
        assert!(told.is_ok(), "{refused:?}: {log:?}");
    }
}

#[test]
fn a_module_that_refuses_all_events_is_not() {
    let mut shaper = Scripted { refused: (0..3).collect(), ..scripted() };
    let (told, log) = run(&mut shaper, &snapshot(false, 0..3));
    assert_eq!(told.unwrap_err().to_string(), "called: refused");
    assert_eq!(log[2..], ["shape 0 1 2", "shape 0", "shape 1", "shape 2"]);
}

#[test]
fn an_event_that_stops_the_module_among_others_that_it_refuses_is_found() {
    let mut shaper = scripted();
    shaper.refused = (0..3).collect();
    shaper.deadly = [2].into();
    assert_eq!(run(&mut shaper, &snapshot(false, 0..3)).0.unwrap_err().class, Class::Replace);
}

#[test]
fn a_shunned_subject_is_told_to_a_module_that_stands_it() {
    let (told, log) = run(&mut scripted(), &snapshot(true, 0..1));
    assert_eq!(told.unwrap(), [known(1), known(2)]);
    assert_eq!(log[..2], ["start", "define node-1 node-2"]);
}

#[test]
fn a_shunned_subject_is_left_out_for_a_module_that_does_not_stand_it_either() {
    let mut shaper = Scripted { deadly_subjects: [2].into(), ..scripted() };
    let (told, log) = run(&mut shaper, &snapshot(true, 0..1));
    assert_eq!(told.unwrap(), [known(1)]);
    assert_eq!(log[..5], ["start", "define node-1 node-2", "start", "define node-1", "shape 0"]);
    assert_eq!(log.last().unwrap(), "define node-1");
}

#[test]
fn many_subjects_are_told_in_parts() {
    let subjects: Vec<_> = (1..=2500).map(known).collect();
    let (told, log) = run(&mut scripted(), &Snapshot { subjects: subjects.clone(), ..Snapshot::default() });
    assert_eq!(told.unwrap(), subjects);
    let sizes: Vec<usize> = log[1..4].iter().map(|line| line.split(' ').count() - 1).collect();
    assert_eq!(sizes, [1024, 1024, 452]);
}

#[test]
fn a_module_that_is_slow_again_and_again_does_not_outlast_the_patience() {
    let mut shaper = Scripted { refused: (0..10_000).collect(), takes: Duration::from_millis(5), ..scripted() };
    let told = rehearse(&mut shaper, &snapshot(false, 0..10_000), Duration::from_millis(100));
    let fault = told.unwrap_err();
    assert_eq!((fault.class, fault.cause.as_str()), (Class::Retry, "it took longer than 100ms"));
    let calls = lines(&shaper.log).iter().filter(|line| line.starts_with("shape")).count();
    assert!(calls <= 21, "{calls} calls of 5 ms each");
}

#[test]
fn nothing_is_called_after_a_call_with_which_the_patience_is_over() {
    let mut shaper = Scripted { takes: Duration::from_millis(150), ..scripted() };
    let fault = rehearse(&mut shaper, &snapshot(false, 0..3), Duration::from_millis(100)).unwrap_err();
    assert_eq!(fault.class, Class::Retry);
    let steps = ["start", "define node-1 node-2", "shape 0 1 2"];
    assert!(steps.starts_with(&lines(&shaper.log).iter().map(String::as_str).collect::<Vec<_>>()), "{:?}", lines(&shaper.log));
    let mut shaper = scripted();
    assert!(rehearse(&mut shaper, &Snapshot::default(), Duration::ZERO).is_err());
    assert!(lines(&shaper.log).is_empty(), "{:?}", lines(&shaper.log));
}

#[tokio::test]
async fn a_batch_in_which_an_event_stops_the_present_module_is_not_played_to_the_next() {
    let shaper = Scripted { deadly: [2].into(), held: Arc::new(true.into()), ..scripted() };
    let (log, held) = (Arc::clone(&shaper.log), Arc::clone(&shaper.held));
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(shaper);
    let names = async || soon(control.look()).await.unwrap().batch.iter().map(number).collect::<Vec<_>>();
    let script = async {
        tell.send(subject(1)).await.unwrap();
        tell.send(event_about(1, 0)).await.unwrap();
        until("a call", || log.lock().unwrap().contains(&"shape 0".to_owned())).await;
        for number in 1..5 {
            tell.send(event_about(1, number)).await.unwrap();
        }
        until("a whole batch", || meter.queue.length.get() == 4).await;
        held.store(false, Ordering::Relaxed);
        reaches(&sink.log, 4).await;
        assert_eq!(names().await, [0]);
        tell.send(event_about(1, 5)).await.unwrap();
        reaches(&sink.log, 5).await;
        assert_eq!(names().await, [5]);
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(lines(&log).contains(&"shape 1 2 3 4".to_owned()));
}

#[tokio::test]
async fn an_event_about_a_subject_that_is_gone_is_not_played() {
    let shaper = Scripted { held: Arc::new(true.into()), ..scripted() };
    let (log, held) = (Arc::clone(&shaper.log), Arc::clone(&shaper.held));
    let Stage { pipeline, control, meter, tell, .. } = Stage::new(shaper);
    let script = async {
        for notice in [subject(1), subject(2), event_about(1, 0)] {
            tell.send(notice).await.unwrap();
        }
        until("a call", || log.lock().unwrap().contains(&"shape 0".to_owned())).await;
        for notice in [event_about(1, 1), event_about(2, 2), forgotten(2)] {
            tell.send(notice).await.unwrap();
        }
        until("a whole batch", || meter.queue.length.get() == 3).await;
        held.store(false, Ordering::Relaxed);
        until("the end of the subject", || log.lock().unwrap().contains(&"forget 2".to_owned())).await;
        let snapshot = soon(control.look()).await.unwrap();
        assert_eq!(snapshot.batch.iter().map(number).collect::<Vec<_>>(), [1]);
        assert!(rehearse(&mut scripted(), &snapshot, PATIENCE).is_ok());
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(lines(&log).contains(&"shape 1 2".to_owned()));
}
