//! A successor takes a lane over between two batches: nothing is lost, nothing is shaped twice, and a bad one changes nothing.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Class, Closed, Fault, Feed, Shaper, Source, Subject};
use sluicebox_pipeline::{EventAgain, LaneControl, LaneSettings, NotBegun, Patience, Pipeline, StateMove, Swapped, rehearse};
use support::stage::{PATIENCE, Stage, soon, successor, until};
use support::{
    Recorder, Scripted, event, event_about, fact, forgotten, known, lane_terms, lines, outlet_terms, reaches, subject,
};

/// Puts a shaper in place that was started and told these subjects, without a rehearsal.
async fn put(
    control: &LaneControl<Scripted>,
    mut shaper: Scripted,
    told: Vec<Arc<Subject>>,
    meter: &Arc<LaneMeter>,
) -> Result<Swapped<Scripted>, Fault> {
    shaper.renew().unwrap();
    if !told.is_empty() {
        shaper.define(&told).unwrap();
    }
    soon(control.swap(successor(shaper, told, meter), PATIENCE)).await.unwrap()
}

/// The same after a rehearsal of what the lane has.
async fn rehearse_and_put(control: &LaneControl<Scripted>, mut shaper: Scripted, meter: &Arc<LaneMeter>) -> Swapped<Scripted> {
    let snapshot = soon(control.look()).await.unwrap();
    let told = rehearse(&mut shaper, &snapshot, PATIENCE).unwrap();
    soon(control.swap(successor(shaper, told, meter), PATIENCE)).await.unwrap().unwrap()
}

/// Tells events about five subjects, in the order of their names, until it is stopped.
struct Endless(Arc<AtomicUsize>);

impl Source for Endless {
    async fn run(self, mut feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        for id in 1..=5 {
            feed.send(subject(id)).await.unwrap();
        }
        tokio::pin!(stop);
        for number in 0.. {
            let next = event_about(u32::try_from(number % 5).unwrap() + 1, number);
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                sent = feed.send(next) => sent.unwrap(),
            }
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_hundred_swaps_under_load_lose_nothing_and_keep_the_order_of_each_subject() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["lane"]));
    let terms = lane_terms(&[outlet]);
    let meter = Arc::clone(&terms.meter);
    let version = |version| Scripted { strict: true, counts: true, ..Scripted::of(version) };
    let control = pipeline.lane("lane", version("a "), terms).unwrap();
    let sent = Arc::<AtomicUsize>::default();
    pipeline.source("endless", Endless(Arc::clone(&sent)), &[control.handle()]);
    let swaps = async {
        for round in 0..100 {
            let goal = lines(&sink.log).len() + 10;
            until("a few entries of each version", || sink.log.lock().unwrap().len() >= goal).await;
            let next = version(if round % 2 == 0 { "b " } else { "a " });
            let swapped = rehearse_and_put(&control, next, &meter).await;
            assert_eq!(swapped.state, StateMove::Moved);
        }
    };
    let report = pipeline.run_until(swaps, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    let written = lines(&sink.log);
    let mut versions = BTreeMap::<&str, usize>::new();
    for (number, line) in written.iter().enumerate() {
        let (version, name) = line.split_once(' ').unwrap();
        assert_eq!(name, number.to_string(), "something is lost, twice, or in another order");
        *versions.entry(version).or_default() += 1;
    }
    assert_eq!(written.len(), sent.load(Ordering::Relaxed), "not all that was told was written");
    assert!(versions.values().all(|count| *count >= 10) && versions.len() == 2, "{versions:?}");
}

#[tokio::test]
async fn a_lane_without_events_swaps_at_once() {
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(Scripted::of("a "));
    let script = async {
        until("the first instance", || meter.ready.get() == 1).await;
        let begin = Instant::now();
        let swapped = put(&control, Scripted::of("b "), vec![], &meter).await.unwrap();
        assert_eq!((swapped.old.version, swapped.state), ("a ", StateMove::None));
        assert!(begin.elapsed() < Duration::from_secs(10) && swapped.pause < Duration::from_secs(10));
        tell.send(event(1)).await.unwrap();
        reaches(&sink.log, 1).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["b 1"]);
}

/// A lane that rests for an hour.
fn resting_long() -> LaneSettings {
    let hour = Duration::from_hours(1);
    let patience = Patience { events: 1, ..Patience::default() };
    LaneSettings { batch: 4, first_rest: hour, longest_rest: hour, patience, ..lane_terms(&[]).settings }
}

#[tokio::test]
async fn a_swap_ends_the_rest_of_a_lane_and_what_waited_goes_to_the_new_module() {
    let bad = Scripted { bad_starts: Arc::new(Mutex::new(usize::MAX)), ..Scripted::of("a ") };
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::with(bad, Recorder::default(), resting_long(), None);
    let script = async {
        until("the rest", || meter.resting.get() == 1).await;
        for number in 0..3 {
            tell.send(event(number)).await.unwrap();
        }
        until("events that wait", || meter.queue.length.get() == 3).await;
        assert!(soon(control.look()).await.unwrap().batch.is_empty());
        assert_eq!(put(&control, Scripted::of("b "), vec![], &meter).await.unwrap().state, StateMove::None);
        assert_eq!((meter.resting.get(), meter.ready.get()), (0, 0));
        reaches(&sink.log, 3).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["b 0", "b 1", "b 2"]);
}

#[tokio::test]
async fn the_event_that_made_the_lane_rest_is_given_to_the_new_module() {
    let bad = Scripted { deadly: [5].into(), ..Scripted::of("a ") };
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::with(bad, Recorder::default(), resting_long(), None);
    let script = async {
        for number in 0..10 {
            tell.send(event(number)).await.unwrap();
        }
        until("the rest", || meter.resting.get() == 1).await;
        put(&control, Scripted::of("b "), vec![], &meter).await.unwrap();
        reaches(&sink.log, 10).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    let names: Vec<String> = lines(&sink.log).iter().map(|line| line[2..].to_owned()).collect();
    assert_eq!(names, support::numbers(0..10));
    assert_eq!(lines(&sink.log)[5], "b 5");
    assert_eq!((meter.deadly.get(), meter.missed.get()), (0, 0));
}

/// Swaps a counting module for this one after three events and tells it two more; gives what came of the swap and what was written.
async fn attempt(old: Scripted, new: Scripted) -> (Result<StateMove, Fault>, Vec<String>, Arc<LaneMeter>) {
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(old);
    let mut outcome = None;
    let script = async {
        for number in 0..3 {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, 3).await;
        outcome = Some(put(&control, new, vec![], &meter).await.map(|swapped| swapped.state));
        for number in 3..5 {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, 5).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    (outcome.unwrap(), lines(&sink.log), meter)
}

fn counting(version: &'static str) -> Scripted {
    Scripted { counts: true, ..Scripted::of(version) }
}

#[tokio::test]
async fn a_successor_that_does_not_take_the_state_leaves_the_old_module_at_work() {
    for class in [Class::Skip, Class::Replace] {
        let old = counting("a ");
        let log = Arc::clone(&old.log);
        let (outcome, written, meter) = attempt(old, counting("b ").failing("restore", class)).await;
        assert_eq!(outcome.unwrap_err().class, class);
        assert_eq!(written, ["a 0", "a 1", "a 2", "a 3", "a 4"]);
        assert_eq!(lines(&log), ["start", "save 3"], "the old instance lives on");
        assert_eq!((meter.instances.get(), meter.traps.get(), meter.ready.get()), (1, 0, 0));
    }
}

#[tokio::test]
async fn a_module_that_refuses_to_save_keeps_its_place() {
    let old = counting("a ").failing("save", Class::Skip);
    let log = Arc::clone(&old.log);
    let (outcome, written, meter) = attempt(old, counting("b ")).await;
    let fault = outcome.unwrap_err().to_string();
    assert!(fault.contains("the version that runs does not save its state: as scripted"), "{fault}");
    assert_eq!(written, ["a 0", "a 1", "a 2", "a 3", "a 4"]);
    assert_eq!((lines(&log), meter.instances.get()), (vec!["start".to_owned(), "save 3".to_owned()], 1));
}

#[tokio::test]
async fn a_module_that_dies_when_it_is_to_save_is_succeeded_without_its_state() {
    let new = counting("b ");
    let log = Arc::clone(&new.log);
    let (outcome, written, meter) = attempt(counting("a ").failing("save", Class::Replace), new).await;
    assert_eq!(outcome.unwrap(), StateMove::Lost);
    assert_eq!(written, ["a 0", "a 1", "a 2", "b 3", "b 4"]);
    assert_eq!((lines(&log), meter.traps.get()), (vec!["start".to_owned()], 1));
}

#[tokio::test]
async fn a_state_that_the_successor_does_not_take_is_dropped() {
    let new = Scripted::of("b ");
    let log = Arc::clone(&new.log);
    let (outcome, written, _) = attempt(counting("a "), new).await;
    assert_eq!(outcome.unwrap(), StateMove::Dropped);
    assert_eq!(
        (written, lines(&log)),
        (["a 0", "a 1", "a 2", "b 3", "b 4"].map(str::to_owned).to_vec(), vec!["start".to_owned()])
    );
}

#[tokio::test]
async fn the_state_goes_from_each_module_to_the_next() {
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(counting("a "));
    let (second, third) = (counting("b "), counting("c "));
    let logs = [Arc::clone(&second.log), Arc::clone(&third.log)];
    let script = async {
        let mut told = 0;
        for (next, count) in [(second, 3), (third, 2)] {
            for _ in 0..count {
                tell.send(event(told)).await.unwrap();
                told += 1;
            }
            reaches(&sink.log, told).await;
            assert_eq!(put(&control, next, vec![], &meter).await.unwrap().state, StateMove::Moved);
        }
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&logs[0]), ["start", "restore 3", "save 5"]);
    assert_eq!(lines(&logs[1]), ["start", "restore 5"]);
}

#[tokio::test]
async fn a_successor_is_told_exactly_what_has_changed_since_its_rehearsal() {
    let old = Scripted::of("a ");
    let old_log = Arc::clone(&old.log);
    let Stage { pipeline, control, meter, tell, .. } = Stage::new(old);
    let mut new = Scripted::of("b ");
    let log = Arc::clone(&new.log);
    let script = async {
        for id in 1..=3 {
            tell.send(subject(id)).await.unwrap();
        }
        until("three subjects", || old_log.lock().unwrap().iter().any(|line| line.ends_with("node-3"))).await;
        let snapshot = soon(control.look()).await.unwrap();
        let told = rehearse(&mut new, &snapshot, PATIENCE).unwrap();
        assert_eq!(told, [known(1), known(2), known(3)]);
        for notice in [subject(4), subject(5), forgotten(2)] {
            tell.send(notice).await.unwrap();
        }
        until("the change", || old_log.lock().unwrap().contains(&"forget 2".to_owned())).await;
        new.log.lock().unwrap().clear();
        soon(control.swap(successor(new, told, &meter), PATIENCE)).await.unwrap().unwrap();
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&log), ["define node-4 node-5", "forget 2"]);
}

#[tokio::test]
async fn a_successor_is_told_many_changes_in_parts() {
    let old = Scripted::of("a ");
    let log = Arc::clone(&old.log);
    let Stage { pipeline, control, meter, tell, .. } = Stage::new(old);
    let (mut new, told) = (Scripted::of("b "), (1..=1500).map(known).collect::<Vec<_>>());
    let new_log = Arc::clone(&new.log);
    new.renew().unwrap();
    new.define(&told).unwrap();
    new_log.lock().unwrap().clear();
    let script = async {
        for id in 2001..=4500 {
            soon(tell.send(subject(id))).await.unwrap();
        }
        until("all subjects", || log.lock().unwrap().iter().any(|line| line.ends_with("node-4500"))).await;
        soon(control.swap(successor(new, told, &meter), PATIENCE)).await.unwrap().unwrap();
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    let parts: Vec<(String, usize)> = lines(&new_log)
        .iter()
        .map(|line| line.split_once(' ').map(|(step, names)| (step.to_owned(), names.split(' ').count())).unwrap())
        .collect();
    let expected = [("define", 1024), ("define", 1024), ("define", 452), ("forget", 1024), ("forget", 476)];
    assert_eq!(parts, expected.map(|(step, count)| (step.to_owned(), count)));
}

#[tokio::test]
async fn a_subject_that_the_old_module_does_not_stand_is_told_to_a_successor_that_does() {
    for (stands, written, deadly) in [(true, vec!["b 3", "b 4"], 0), (false, vec!["b 4"], 1)] {
        let old = Scripted { deadly_subjects: [3].into(), strict: true, ..Scripted::of("a ") };
        let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(old);
        let deadly_subjects = if stands { [].into() } else { [3].into() };
        let mut new = Scripted { deadly_subjects, strict: true, ..Scripted::of("b ") };
        let script = async {
            for id in 1..=4 {
                tell.send(subject(id)).await.unwrap();
            }
            tell.send(event_about(4, 0)).await.unwrap();
            reaches(&sink.log, 1).await;
            let snapshot = soon(control.look()).await.unwrap();
            assert_eq!((snapshot.subjects.len(), &snapshot.shunned), (3, &vec![known(3)]));
            let told = rehearse(&mut new, &snapshot, PATIENCE).unwrap();
            let successor = successor(new, told, &meter);
            let meter = Arc::clone(&successor.meter);
            soon(control.swap(successor, PATIENCE)).await.unwrap().unwrap();
            tell.send(event_about(3, 3)).await.unwrap();
            tell.send(event_about(4, 4)).await.unwrap();
            until("the last event", || lines(&sink.log).last().is_some_and(|line| line == "b 4")).await;
            assert_eq!(meter.deadly.get(), deadly);
        };
        let report = pipeline.run_until(script, PATIENCE).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(lines(&sink.log)[1..], written);
    }
}

#[tokio::test]
async fn who_gives_up_before_the_swap_has_changed_nothing() {
    let old = Scripted { tells_calls: true, ..Scripted::of("a ") };
    let (log, held) = (Arc::clone(&old.log), Arc::clone(&old.held));
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(old);
    let mut new = Scripted::of("b ");
    new.renew().unwrap();
    let script = async {
        held.store(true, Ordering::Relaxed);
        tell.send(event(0)).await.unwrap();
        until("a call", || log.lock().unwrap().contains(&"shape 0".to_owned())).await;
        let swap = control.swap(successor(new, vec![], &meter), PATIENCE);
        assert!(tokio::time::timeout(Duration::from_millis(20), swap).await.is_err(), "the lane is in a call");
        held.store(false, Ordering::Relaxed);
        // An order behind the other.
        soon(control.look()).await.unwrap();
        tell.send(event(1)).await.unwrap();
        reaches(&sink.log, 2).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["a 0", "a 1"]);
}

#[tokio::test]
async fn a_swap_that_the_lane_does_not_begin_in_time_is_taken_back() {
    let old = Scripted { tells_calls: true, ..Scripted::of("a ") };
    let (log, held) = (Arc::clone(&old.log), Arc::clone(&old.held));
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(old);
    let mut new = Scripted::of("b ");
    new.renew().unwrap();
    let script = async {
        held.store(true, Ordering::Relaxed);
        tell.send(event(0)).await.unwrap();
        until("a call", || log.lock().unwrap().contains(&"shape 0".to_owned())).await;
        let patience = Duration::from_millis(20);
        let late = soon(control.swap(successor(new, vec![], &meter), patience)).await.err();
        assert_eq!(late, Some(NotBegun::Late(patience)));
        held.store(false, Ordering::Relaxed);
        // An order behind the other.
        soon(control.look()).await.unwrap();
        tell.send(event(1)).await.unwrap();
        reaches(&sink.log, 2).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["a 0", "a 1"]);
}

#[tokio::test]
async fn a_swap_that_has_begun_is_waited_for_however_long_it_takes() {
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(counting("a "));
    let mut new = counting("b ");
    new.held_restore.store(true, Ordering::Relaxed);
    let (log, held) = (Arc::clone(&new.log), Arc::clone(&new.held_restore));
    new.renew().unwrap();
    let hour = Duration::from_hours(1);
    let script = async {
        tell.send(event(0)).await.unwrap();
        reaches(&sink.log, 1).await;
        let swapping = control.swap(successor(new, vec![], &meter), hour);
        let waiting = async {
            until("the swap has begun", || log.lock().unwrap().contains(&"restore 1".to_owned())).await;
            tokio::time::pause();
            tokio::time::advance(2 * hour).await;
            tokio::time::resume();
            held.store(false, Ordering::Relaxed);
        };
        let (swapped, ()) = tokio::join!(swapping, waiting);
        assert_eq!(swapped.unwrap().unwrap().state, StateMove::Moved);
        tell.send(event(1)).await.unwrap();
        reaches(&sink.log, 2).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["a 0", "b 1"]);
}

#[tokio::test]
async fn a_lane_that_has_ended_takes_no_orders() {
    let Stage { pipeline, control, meter, .. } = Stage::new(Scripted::of("a "));
    let report = pipeline.run_until(async {}, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    soon(control.ended()).await;
    assert_eq!(soon(control.look()).await.err(), Some(Closed));
    let swapped = soon(control.swap(successor(Scripted::of("b "), vec![], &meter), PATIENCE)).await;
    assert_eq!(swapped.err(), Some(NotBegun::Ended));
    let again = EventAgain { event: fact(event(1)), subject: None, spare: known(9).id };
    assert!(soon(control.replay(again)).await.is_err());
}

#[tokio::test]
async fn a_successor_counts_from_zero_and_the_old_count_is_left_as_it_was() {
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(Scripted::of("a "));
    let mut new = Scripted { memory: Arc::new(AtomicUsize::new(4096)), ..Scripted::of("b ") };
    new.renew().unwrap();
    let successor = successor(new, vec![], &meter);
    let new_meter = Arc::clone(&successor.meter);
    let script = async {
        for number in 0..3 {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, 3).await;
        soon(control.swap(successor, PATIENCE)).await.unwrap().unwrap();
        assert_eq!((new_meter.ready.get(), new_meter.memory_bytes.get(), meter.ready.get()), (1, 4096, 0));
        for number in 3..8 {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, 8).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((meter.events.get(), meter.entries.get(), meter.instances.get()), (3, 3, 1));
    assert_eq!((new_meter.events.get(), new_meter.entries.get(), new_meter.instances.get()), (5, 5, 1));
}

#[tokio::test]
async fn the_settings_of_a_lane_change_with_its_module() {
    let version = |version| Scripted { tells_calls: true, held: Arc::new(true.into()), ..Scripted::of(version) };
    let (old, mut new) = (version("a "), version("b "));
    let (logs, held) = ([Arc::clone(&old.log), Arc::clone(&new.log)], [Arc::clone(&old.held), Arc::clone(&new.held)]);
    let Stage { pipeline, control, meter, sink, tell, .. } = Stage::new(old);
    new.renew().unwrap();
    let mut next = Some(successor(new, vec![], &meter));
    next.as_mut().unwrap().settings.batch = 2;
    let script = async {
        for (part, (log, held)) in logs.iter().zip(&held).enumerate() {
            // One event is in the module's hands, and six wait behind it.
            tell.send(event(part * 7)).await.unwrap();
            until("a call", || log.lock().unwrap().iter().any(|line| line.starts_with("shape"))).await;
            for number in 1..7 {
                tell.send(event(part * 7 + number)).await.unwrap();
            }
            until("events that wait", || meter.queue.length.get() == 6).await;
            held.store(false, Ordering::Relaxed);
            reaches(&sink.log, part * 7 + 7).await;
            if let Some(next) = next.take() {
                soon(control.swap(next, PATIENCE)).await.unwrap().unwrap();
            }
        }
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&logs[0]), ["start", "shape 0", "shape 1 2 3 4", "shape 5 6"]);
    assert_eq!(lines(&logs[1]), ["start", "shape 7", "shape 8 9", "shape 10 11", "shape 12 13"]);
}
