//! What cannot be dealt with is kept, nobody waits for that, and it can be tried again.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sluicebox_contract::{DeadLetter, Entry, Held, Message, ModuleIdentity, Shaper, Subject, UnixNanos};
use sluicebox_pipeline::{EntryAgain, EventAgain, LaneControl, LaneSettings, Patience, Pipeline, Reshaped};
use support::stage::{PATIENCE, Shelf, Stage, soon, successor, until};
use support::{Recorder, Scripted, event, event_about, fact, known, lane_terms, lines, numbers, reaches, subject};

fn settings() -> LaneSettings {
    let patience = Patience { events: 1000, time: Duration::from_hours(1) };
    LaneSettings { batch: 4, patience, ..lane_terms(&[]).settings }
}

/// Shapes and writes events about a subject, of which some do not come through, until all are done; gives the sink.
async fn run(shaper: Scripted, sink: Recorder, shelf: &Shelf, events: usize, written: usize) -> Recorder {
    let Stage { pipeline, sink, tell, meter, .. } = Stage::with(shaper, sink, settings(), Some(shelf.clone()));
    let script = async {
        tell.send(subject(1)).await.unwrap();
        for number in 0..events {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, written).await;
        until("all events", || meter.events.get() == events as u64).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    sink
}

fn names(letters: &[DeadLetter]) -> Vec<String> {
    letters
        .iter()
        .map(|letter| match &letter.held {
            Held::Event { event, .. } => support::shaper::number(event).to_string(),
            Held::Entry { entry, .. } => body(entry),
        })
        .collect()
}

fn body(entry: &Entry) -> String {
    let Entry::Message(message) = entry else { panic!("a message") };
    String::from_utf8(message.body.clone()).unwrap()
}

fn message(text: &str) -> Entry {
    Entry::Message(Message { body: text.as_bytes().to_vec(), ..Message::default() })
}

#[tokio::test]
async fn an_event_that_stops_the_module_is_kept_with_all_that_is_known_of_it() {
    let shelf = Shelf::default();
    let before = UnixNanos::now();
    let shaper = Scripted { deadly: [5].into(), refused: [7].into(), ..Scripted::default() };
    let sink = run(shaper, Recorder::default(), &shelf, 20, 18).await;
    assert_eq!(lines(&sink.log), [numbers(0..5), numbers(6..7), numbers(8..20)].concat());
    let letters = shelf.letters();
    assert_eq!(letters.len(), 1, "the refused event is the module's own affair: {letters:?}");
    let letter = &letters[0];
    assert_eq!((letter.lane.as_str(), &letter.module), ("lane", &lane_terms(&[]).module));
    assert_eq!((letter.reason.as_str(), letter.replays), ("called: trap", 0));
    assert!(letter.at.0 >= before.0 && letter.at.0 <= UnixNanos::now().0);
    let Held::Event { subject, event } = &letter.held else { panic!("{letter:?}") };
    assert_eq!((subject.as_ref(), support::shaper::number(event)), (Some(known(1).as_ref()), 5));
    assert_eq!((shelf.meter.kept.get(), shelf.meter.lost.get()), (1, 0));
}

#[tokio::test]
async fn an_event_about_a_subject_that_stops_the_module_is_kept_with_that_subject() {
    let shelf = Shelf::default();
    let shaper = Scripted { deadly_subjects: [1].into(), ..Scripted::default() };
    run(shaper, Recorder::default(), &shelf, 2, 0).await;
    assert_eq!(names(&shelf.letters()), ["0", "1"]);
    for letter in shelf.letters() {
        assert_eq!(letter.reason, "its subject stops the module when it is defined");
        assert!(matches!(letter.held, Held::Event { subject: Some(subject), .. } if subject == *known(1)));
    }
}

#[tokio::test]
async fn an_entry_that_the_sink_refuses_is_kept_with_the_sink_and_the_time_of_its_event() {
    let shelf = Shelf::default();
    let before = UnixNanos::now();
    let sink = Recorder { refuses: ["3".to_owned(), "8".to_owned()].into(), ..Recorder::default() };
    let sink = run(Scripted::default(), sink, &shelf, 10, 8).await;
    assert_eq!(lines(&sink.log).len(), 8);
    let letters = shelf.letters();
    assert_eq!(names(&letters), ["3", "8"]);
    for letter in letters {
        assert_eq!(
            (letter.lane.as_str(), letter.module.name.as_str(), letter.reason.as_str()),
            ("lane", "scripted", "no such name")
        );
        let Held::Entry { sink, observed_at, .. } = letter.held else { panic!("an entry") };
        assert_eq!(sink, "out");
        assert!(observed_at.0 >= before.0 && observed_at.0 <= letter.at.0);
    }
}

#[tokio::test]
async fn a_letter_names_the_module_that_died_and_not_its_successor() {
    let shelf = Shelf::default();
    let shaper = Scripted { deadly: [0].into(), ..Scripted::of("a ") };
    let stage = Stage::with(shaper, Recorder::default(), settings(), Some(shelf.clone()));
    let Stage { pipeline, control, meter, sink, tell, .. } = stage;
    let script = async {
        tell.send(event(0)).await.unwrap();
        until("a letter", || shelf.letters().len() == 1).await;
        let mut new = Scripted { deadly: [1].into(), ..Scripted::of("b ") };
        new.renew().unwrap();
        soon(control.swap(successor(new, vec![], &meter), PATIENCE)).await.unwrap().unwrap();
        tell.send(event(1)).await.unwrap();
        tell.send(event(2)).await.unwrap();
        reaches(&sink.log, 1).await;
    };
    assert!(pipeline.run_until(script, PATIENCE).await.is_clean());
    let versions: Vec<String> = shelf.letters().into_iter().map(|letter| letter.module.version).collect();
    assert_eq!(versions, ["1", "b "]);
}

#[tokio::test]
async fn a_keeper_that_fails_stops_nobody_and_what_it_loses_is_counted() {
    let shelf = Shelf { broken: true, ..Shelf::default() };
    let sink = Recorder { refuses: ["1".to_owned()].into(), ..Recorder::default() };
    let shaper = Scripted { deadly: [2, 3].into(), ..Scripted::default() };
    let sink = run(shaper, sink, &shelf, 10, 7).await;
    assert_eq!(lines(&sink.log), [numbers(0..1), numbers(4..10)].concat());
    assert_eq!((shelf.meter.kept.get(), shelf.meter.lost.get()), (0, 3));
}

#[tokio::test]
async fn a_keeper_that_panics_is_a_fault_of_the_run_and_not_its_end() {
    let shelf = Shelf { panics: true, ..Shelf::default() };
    let shaper = Scripted { deadly: [0, 2].into(), ..Scripted::default() };
    let Stage { pipeline, sink, tell, .. } = Stage::with(shaper, Recorder::default(), settings(), Some(shelf.clone()));
    let script = async {
        tell.send(event(0)).await.unwrap();
        until("the keeper is gone", || Arc::strong_count(&shelf.letters) == 1).await;
        for number in 1..4 {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, 2).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert_eq!(report.faults, ["dead letters `disk`: cannot keep dead letters any more: the thread has panicked"]);
    assert_eq!((lines(&sink.log), shelf.meter.lost.get()), (vec!["1".to_owned(), "3".to_owned()], 1));
}

/// Shapes and writes these events while the keeper is stuck with its first letters; it goes on at the stop.
async fn run_while_stuck(shaper: Scripted, sink: Recorder, events: usize, written: usize) -> Shelf {
    let shelf = Shelf { held: Arc::new(true.into()), ..Shelf::default() };
    let Stage { pipeline, sink, tell, .. } = Stage::with(shaper, sink, settings(), Some(shelf.clone()));
    let script = async {
        for number in 0..events {
            tell.send(event(number)).await.unwrap();
        }
        reaches(&sink.log, written).await;
        assert_eq!(shelf.letters().len(), 0);
        shelf.held.store(false, Ordering::Relaxed);
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    shelf
}

#[tokio::test]
async fn nobody_waits_for_a_keeper_that_is_stuck_and_all_that_it_was_given_is_kept_at_the_end() {
    let sink = Recorder { refuses: numbers(0..20).into_iter().collect(), ..Recorder::default() };
    let shelf = run_while_stuck(Scripted { deadly: (20..40).collect(), ..Scripted::default() }, sink, 60, 20).await;
    let mut kept: Vec<usize> = names(&shelf.letters()).iter().map(|name| name.parse().unwrap()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..40).collect::<Vec<_>>());
    assert_eq!((shelf.meter.kept.get(), shelf.meter.queue.dropped.get()), (40, 0));
}

#[tokio::test]
async fn the_oldest_letters_that_wait_for_a_keeper_that_is_stuck_are_dropped_and_counted() {
    let sink = Recorder { refuses: numbers(0..3000).into_iter().collect(), ..Recorder::default() };
    let shelf = run_while_stuck(Scripted::default(), sink, 3001, 1).await;
    // A thousand wait, and what the keeper took at once is in its hands.
    let (kept, dropped) = (shelf.meter.kept.get(), shelf.meter.queue.dropped.get());
    assert!((1025..=1024 + 64).contains(&kept), "{kept} kept");
    assert_eq!(kept + dropped, 3000);
    assert_eq!(names(&shelf.letters()).last().map(String::as_str), Some("2999"));
}

/// An event of an earlier run, about a subject whose number was another then.
fn again(number: usize, subject: Option<Subject>, spare: u32) -> EventAgain {
    EventAgain { event: fact(event_about(77, number)), subject, spare: known(spare).id }
}

async fn replay(control: &LaneControl<Scripted>, again: EventAgain) -> Result<(), String> {
    match soon(control.replay(again)).await.unwrap() {
        Reshaped::Shaped(mut writing) => soon(writing.done()).await,
        Reshaped::Refused(reason) => Err(reason),
        Reshaped::NotTried(reason) => Err(format!("not tried: {reason}")),
    }
}

#[tokio::test]
async fn an_event_is_shaped_again_by_a_mended_module_under_the_number_that_its_subject_has_now() {
    let shelf = Shelf::default();
    let shaper = Scripted { deadly: [5].into(), ..Scripted::of("a ") };
    let log = Arc::clone(&shaper.log);
    let stage = Stage::with(shaper, Recorder::default(), settings(), Some(shelf.clone()));
    let Stage { pipeline, control, meter, sink, tell, .. } = stage;
    let script = async {
        tell.send(subject(1)).await.unwrap();
        tell.send(event(5)).await.unwrap();
        until("a letter", || shelf.letters().len() == 1).await;
        let mut new = Scripted { strict: true, tells_calls: true, log: Arc::default(), ..Scripted::of("b ") };
        let new_log = Arc::clone(&new.log);
        new.renew().unwrap();
        new.define(&[known(1)]).unwrap();
        soon(control.swap(successor(new, vec![known(1)], &meter), PATIENCE)).await.unwrap().unwrap();
        let Some(Held::Event { subject, event }) = shelf.letters().pop().map(|letter| letter.held) else { panic!("an event") };
        assert_eq!(replay(&control, EventAgain { event, subject, spare: known(9).id }).await, Ok(()));
        // The event of an earlier run names its subject by another number; what counts is what the subject is.
        assert_eq!(replay(&control, again(6, Some(Subject { id: known(77).id, ..known(1).as_ref().clone() }), 9)).await, Ok(()));
        reaches(&sink.log, 2).await;
        assert_eq!(lines(&new_log), ["start", "define node-1", "shape 5", "shape 6"]);
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["b 5", "b 6"]);
    assert!(lines(&log).contains(&"trap at 1".to_owned()));
    assert_eq!(shelf.letters().len(), 1);
}

#[tokio::test]
async fn a_subject_that_is_there_no_more_is_told_for_the_time_of_the_replay() {
    let shaper = Scripted { strict: true, tells_calls: true, ..Scripted::default() };
    let log = Arc::clone(&shaper.log);
    let Stage { pipeline, control, sink, .. } = Stage::new(shaper);
    let script = async {
        assert_eq!(replay(&control, again(5, Some(known(3).as_ref().clone()), 9)).await, Ok(()));
        reaches(&sink.log, 1).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&log), ["start", "define node-3", "shape 5", "forget 9"]);
}

#[tokio::test]
async fn a_replay_that_stops_the_module_says_so_and_the_lane_lives() {
    let shelf = Shelf::default();
    let shaper = Scripted { deadly: [5].into(), refused: [6].into(), deadly_subjects: [4].into(), ..Scripted::default() };
    let stage = Stage::with(shaper, Recorder::default(), settings(), Some(shelf.clone()));
    let Stage { pipeline, control, meter, sink, tell, .. } = stage;
    let script = async {
        tell.send(subject(1)).await.unwrap();
        tell.send(subject(4)).await.unwrap();
        tell.send(event(0)).await.unwrap();
        reaches(&sink.log, 1).await;
        let about = |id: u32| Some(known(id).as_ref().clone());
        assert_eq!(replay(&control, again(5, about(1), 9)).await, Err("called: trap".to_owned()));
        assert_eq!(replay(&control, again(5, about(8), 9)).await, Err("called: trap".to_owned()));
        assert_eq!(replay(&control, again(6, about(1), 9)).await, Err("called: refused".to_owned()));
        let shunned = "its subject stops the module when it is defined";
        assert_eq!(replay(&control, again(7, about(4), 9)).await, Err(format!("not tried: {shunned}")));
        tell.send(event(1)).await.unwrap();
        reaches(&sink.log, 2).await;
        assert_eq!((meter.ready.get(), meter.deadly.get()), (1, 0));
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["0", "1"]);
    assert!(shelf.letters().is_empty(), "{:?}", shelf.letters());
}

#[tokio::test]
async fn a_replay_is_no_trouble_of_the_module_and_is_not_tried_while_the_lane_rests() {
    let hour = Duration::from_hours(1);
    let patience = Patience { events: 1, ..Patience::default() };
    let settings = LaneSettings { first_rest: hour, longest_rest: hour, patience, ..settings() };
    let shaper = Scripted { deadly: [5].into(), ..Scripted::default() };
    let Stage { pipeline, control, meter, tell, .. } = Stage::with(shaper, Recorder::default(), settings, None);
    let script = async {
        for _ in 0..3 {
            assert_eq!(replay(&control, again(5, None, 9)).await, Err("called: trap".to_owned()));
        }
        until("a fresh instance", || meter.ready.get() == 1).await;
        assert_eq!((meter.traps.get(), meter.rests.get()), (3, 0));
        assert_eq!(meter.last_fault.get().as_deref(), Some("called: trap"));
        tell.send(event(5)).await.unwrap();
        until("the rest", || meter.resting.get() == 1).await;
        assert!(replay(&control, again(6, None, 9)).await.unwrap_err().starts_with("not tried: the lane rests"));
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn an_event_counts_as_replayed_when_its_sink_has_written_and_not_before() {
    let bad_writes = Arc::new(std::sync::Mutex::new(usize::MAX));
    let sink = Recorder { bad_writes: Arc::clone(&bad_writes), refuses: ["6".to_owned()].into(), ..Recorder::default() };
    let Stage { pipeline, control, sink, .. } = Stage::with(Scripted::default(), sink, settings(), None);
    let script = async {
        let Reshaped::Shaped(mut writing) = soon(control.replay(again(5, None, 9))).await.unwrap() else { panic!("shaped") };
        assert!(tokio::time::timeout(Duration::from_millis(50), writing.done()).await.is_err(), "the sink is away");
        *bad_writes.lock().unwrap() = 0;
        assert_eq!(soon(writing.done()).await, Ok(()));
        assert_eq!(replay(&control, again(6, None, 9)).await, Err("no such name".to_owned()));
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["5"]);
}

fn letter(text: &str) -> EntryAgain {
    let module = ModuleIdentity { name: "old".into(), ..ModuleIdentity::default() };
    EntryAgain { lane: "gone".into(), module, entry: message(text), observed_at: UnixNanos::now() }
}

#[tokio::test]
async fn an_entry_is_written_again_and_the_answer_says_what_became_of_it() {
    let shelf = Shelf::default();
    let sink = Recorder { refuses: ["bad".to_owned()].into(), ..Recorder::default() };
    let Stage { mut pipeline, outlet, sink, .. } = Stage::with(Scripted::default(), sink, settings(), Some(shelf.clone()));
    let changes = pipeline.changes();
    let script = async {
        for (text, answer) in [("good", Ok(())), ("bad", Err("no such name".to_owned())), ("better", Ok(()))] {
            let replayed =
                soon(changes.make(move |pipeline: &mut Pipeline| pipeline.replay(outlet, letter(text)))).await.unwrap();
            assert_eq!(soon(replayed.unwrap().done()).await, answer);
        }
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), ["good", "better"]);
    assert!(shelf.letters().is_empty(), "{:?}", shelf.letters());
}

#[tokio::test]
async fn an_entry_that_the_sink_had_no_time_for_does_not_count_as_written() {
    let sink = Recorder { stalls: true, ..Recorder::default() };
    let Stage { mut pipeline, outlet, .. } = Stage::with(Scripted::default(), sink, settings(), None);
    let changes = pipeline.changes();
    let mut replayed = None;
    let script = async {
        replayed = soon(changes.make(move |pipeline: &mut Pipeline| pipeline.replay(outlet, letter("late")))).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(50), replayed.as_mut().unwrap().done()).await;
        assert!(waits.is_err(), "{waits:?}");
    };
    let begin = Instant::now();
    let report = pipeline.run_until(script, Duration::from_millis(300)).await;
    assert_eq!(report.late, ["sink out"]);
    assert_eq!(soon(replayed.unwrap().done()).await, Err("a sink has ended".to_owned()));
    assert!(begin.elapsed() < PATIENCE);
}

#[tokio::test]
async fn the_age_of_what_is_tried_once_more_is_no_delay() {
    let Stage { mut pipeline, control, outlet, outlet_meter, sink, tell, .. } = Stage::new(Scripted::default());
    let changes = pipeline.changes();
    let script = async {
        assert_eq!(replay(&control, again(5, None, 9)).await, Ok(()));
        reaches(&sink.log, 1).await;
        let replayed = soon(changes.make(move |pipeline: &mut Pipeline| pipeline.replay(outlet, letter("6")))).await.unwrap();
        assert_eq!(soon(replayed.unwrap().done()).await, Ok(()));
        tell.send(event(7)).await.unwrap();
        reaches(&sink.log, 3).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((outlet_meter.written.get(), outlet_meter.delay.count()), (3, 1));
}
