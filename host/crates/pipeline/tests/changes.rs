//! Lanes come and go while the pipeline runs, and those that stay do not notice.

mod support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, join_all, select};
use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Closed, Fault, Feed, Notice, Source};
use sluicebox_pipeline::{Bounds, Changes, LaneControl, LaneSettings, LaneTerms, OutletHandle, OutletTerms, Pipeline, WhenFull};
use support::stage::{PATIENCE, soon, tap, until};
use support::{Recorder, Script, Scripted, event, lane_terms, lines, outlet_terms, reaches};
use tokio::sync::mpsc;

/// A lane with a source of its own.
struct Own {
    control: LaneControl<Scripted>,
    meter: Arc<LaneMeter>,
    tell: mpsc::Sender<Notice>,
}

fn add(pipeline: &mut Pipeline, name: &str, shaper: Scripted, terms: LaneTerms) -> Own {
    let meter = Arc::clone(&terms.meter);
    let control = pipeline.lane(name, shaper, terms).unwrap();
    let (tell, tap) = tap();
    pipeline.source(name, tap, &[control.handle()]);
    Own { control, meter, tell }
}

fn joining(outlet: OutletHandle) -> LaneTerms {
    LaneTerms { joins: true, ..lane_terms(&[outlet]) }
}

async fn add_later(changes: &Changes, name: &'static str, shaper: Scripted, terms: LaneTerms) -> Own {
    soon(changes.make(move |pipeline: &mut Pipeline| add(pipeline, name, shaper, terms))).await.unwrap()
}

async fn remove(changes: &Changes, lane: &Own) {
    let handle = lane.control.handle();
    soon(changes.make(move |pipeline: &mut Pipeline| pipeline.remove_lane(handle))).await.unwrap();
}

async fn tell(lane: &Own, notices: impl IntoIterator<Item = Notice>) {
    for notice in notices {
        soon(lane.tell.send(notice)).await.unwrap();
    }
}

fn settled(sink: &Recorder) -> usize {
    lines(&sink.log).iter().filter(|line| *line == "settled").count()
}

async fn written(sink: &Recorder, line: &str) {
    until(line, || lines(&sink.log).iter().any(|written| written == line)).await;
}

#[tokio::test]
async fn a_lane_that_is_added_shapes_what_its_source_tells_and_the_sink_waits_for_it_before_it_settles_again() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["first"]));
    let first = add(&mut pipeline, "first", Scripted::of("first "), lane_terms(&[outlet]));
    let script = async {
        tell(&first, [event(0), Notice::Listed]).await;
        written(&sink, "settled").await;
        // Two more lanes, of which the second has told everything before the first has.
        let slow = add_later(&changes, "slow", Scripted::of("slow "), joining(outlet)).await;
        until("the slow lane at work", || slow.meter.ready.get() == 1).await;
        let quick = add_later(&changes, "quick", Scripted::of("quick "), joining(outlet)).await;
        tell(&quick, [event(1), Notice::Listed, event(2)]).await;
        written(&sink, "quick 2").await;
        tell(&first, [event(3)]).await;
        written(&sink, "first 3").await;
        assert_eq!(settled(&sink), 1, "one lane has everything to shape yet: {:?}", lines(&sink.log));
        tell(&slow, [event(4), Notice::Listed]).await;
        until("settled again", || settled(&sink) == 2).await;
        let written = lines(&sink.log);
        assert_eq!(written[written.len() - 2..], ["slow 4", "settled"]);
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_lane_that_is_removed_shapes_what_it_has_and_ends_with_its_source_while_others_go_on() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["leaves", "stays"]));
    let busy = Scripted::of("leaves ");
    let hold = Arc::clone(&busy.held);
    hold.store(true, Ordering::Relaxed);
    let leaves = add(&mut pipeline, "leaves", busy, lane_terms(&[outlet]));
    let stays = add(&mut pipeline, "stays", Scripted::of("stays "), lane_terms(&[outlet]));
    let script = async {
        tell(&leaves, (0..100).map(event)).await;
        until("all in the lane", || leaves.meter.events.get() + u64::try_from(leaves.meter.queue.length.get()).unwrap() == 100)
            .await;
        remove(&changes, &leaves).await;
        remove(&changes, &leaves).await;
        soon(leaves.tell.closed()).await;
        tell(&stays, [event(0)]).await;
        written(&sink, "stays 0").await;
        hold.store(false, Ordering::Relaxed);
        soon(leaves.control.ended()).await;
        written(&sink, "leaves 99").await;
        tell(&stays, [event(1)]).await;
        written(&sink, "stays 1").await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    let of_it: Vec<String> = lines(&sink.log).into_iter().filter(|line| line.starts_with("leaves ")).collect();
    assert_eq!(of_it, (0..100).map(|number| format!("leaves {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_source_of_two_lanes_goes_on_for_the_one_that_stays_even_if_it_waited_for_the_other() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["stays"]));
    let stuck = Scripted { held: Arc::new(true.into()), ..Scripted::default() };
    let hold = Arc::clone(&stuck.held);
    let (meter, terms) = { (Arc::<LaneMeter>::default(), lane_terms(&[])) };
    let leaves = pipeline.lane("leaves", stuck, LaneTerms { meter: Arc::clone(&meter), ..terms }).unwrap();
    let stays = pipeline.lane("stays", Scripted::default(), lane_terms(&[outlet])).unwrap();
    pipeline.source("both", Script((0..1000).map(event).collect()), &[leaves.handle(), stays.handle()]);
    let script = async {
        until("a full queue", || meter.queue.length.get() == 128).await;
        let handle = leaves.handle();
        soon(changes.make(move |pipeline: &mut Pipeline| pipeline.remove_lane(handle))).await.unwrap();
        reaches(&sink.log, 1000).await;
        hold.store(false, Ordering::Relaxed);
        soon(leaves.ended()).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), support::numbers(0..1000));
}

#[tokio::test]
async fn a_lane_whose_module_does_not_work_can_be_removed_and_is_no_fault_of_the_run() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["bad", "good"]));
    let bad = Scripted { bad_starts: Arc::new(Mutex::new(usize::MAX)), ..Scripted::default() };
    let hour = Duration::from_hours(1);
    let settings = LaneSettings { first_rest: hour, longest_rest: hour, ..LaneSettings::default() };
    let bad = add(&mut pipeline, "bad", bad, LaneTerms { settings, ..lane_terms(&[outlet]) });
    let good = add(&mut pipeline, "good", Scripted::default(), lane_terms(&[outlet]));
    let script = async {
        tell(&bad, (0..10).map(event)).await;
        until("events that wait", || bad.meter.queue.length.get() == 10 && bad.meter.resting.get() == 1).await;
        remove(&changes, &bad).await;
        soon(bad.control.ended()).await;
        assert_eq!(bad.meter.missed.get(), 10);
        // The one of the same name that takes its place is another lane.
        let next = add_later(&changes, "bad", Scripted::of("next "), joining(outlet)).await;
        tell(&next, [event(1)]).await;
        tell(&good, [event(2)]).await;
        reaches(&sink.log, 2).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_lane_whose_sink_is_stuck_is_removed_at_once_and_holds_up_nobody() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let bounds = Bounds { items: 1, bytes: 1 << 20, when_full: WhenFull::Wait };
    let stuck = pipeline.outlet(
        "stuck",
        Recorder { stalls: true, ..Recorder::default() },
        OutletTerms { bounds, ..outlet_terms(&["leaves"]) },
    );
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["stays"]));
    let settings = LaneSettings { batch: 1, ..lane_terms(&[]).settings };
    let leaves = add(&mut pipeline, "leaves", Scripted::default(), LaneTerms { settings, ..lane_terms(&[stuck]) });
    let stays = add(&mut pipeline, "stays", Scripted::default(), lane_terms(&[outlet]));
    let script = async {
        tell(&leaves, (0..1000).map(event)).await;
        until("a full queue", || leaves.meter.queue.length.get() == 128).await;
        remove(&changes, &leaves).await;
        soon(leaves.tell.closed()).await;
        tell(&stays, (0..100).map(event)).await;
        reaches(&sink.log, 100).await;
    };
    let report = pipeline.run_until(script, Duration::from_millis(300)).await;
    assert_eq!((report.faults, report.late), (vec![], vec!["module leaves".to_owned(), "sink stuck".to_owned()]));
    assert_eq!(lines(&sink.log), support::numbers(0..100));
}

#[tokio::test]
async fn a_stop_in_the_middle_of_changes_is_clean_and_each_is_made_or_refused() {
    for polls in 0..12 {
        let sink = Recorder::default();
        let mut pipeline = Pipeline::default();
        let changes = pipeline.changes();
        let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["first"]));
        let first = add(&mut pipeline, "first", Scripted::default(), lane_terms(&[outlet]));
        let mut all = Box::pin(join_all((0..20).map(|number| {
            let (changes, handle) = (changes.clone(), first.control.handle());
            async move {
                if number == 7 {
                    return changes.make(move |pipeline: &mut Pipeline| pipeline.remove_lane(handle)).await;
                }
                let change = move |pipeline: &mut Pipeline| add(pipeline, "added", Scripted::of("added "), joining(outlet));
                // Its source may have ended by then.
                let _stopped = changes.make(change).await?.tell.send(event(number)).await;
                Ok(())
            }
        })));
        let mut answers = None;
        let script = async {
            for _ in 0..polls {
                if let Either::Left((done, _)) = select(&mut all, Box::pin(tokio::task::yield_now())).await {
                    answers = Some(done);
                    return;
                }
            }
        };
        let report = pipeline.run_until(script, PATIENCE).await;
        assert!(report.is_clean(), "{report:?}");
        if answers.is_none() {
            answers = Some(soon(all).await);
        }
        assert!(answers.unwrap().iter().all(|answer| matches!(answer, Ok(()) | Err(Closed))));
        assert_eq!(soon(changes.make(|_: &mut Pipeline| ())).await, Err(Closed));
    }
}

#[tokio::test]
async fn changes_that_wait_at_the_stop_are_refused() {
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let waiting: Vec<_> = (0..30).map(|_| Box::pin(changes.make(|_: &mut Pipeline| ()))).collect();
    let report = pipeline.run_until(async {}, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    for answer in soon(join_all(waiting)).await {
        assert_eq!(answer, Err(Closed));
    }
}

#[tokio::test]
async fn an_order_in_the_moment_in_which_the_lane_ends_is_obeyed_or_refused() {
    for _ in 0..100 {
        let mut pipeline = Pipeline::default();
        let control = pipeline.lane("lane", Scripted::default(), lane_terms(&[])).unwrap();
        let orders = async { while control.look().await.is_ok() {} };
        let (report, ()) = soon(async { tokio::join!(pipeline.run_until(async {}, PATIENCE), orders) }).await;
        assert!(report.is_clean(), "{report:?}");
    }
}

/// Tells one event and ends.
struct Brief;

impl Source for Brief {
    async fn run(self, mut feed: impl Feed, _: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        feed.send(event(1)).await.map_err(|_| Fault::fatal("tell", "nobody listens"))
    }
}

#[tokio::test]
async fn a_pipeline_that_can_be_changed_ends_at_the_stop_and_not_with_its_sources() {
    for changed in [false, true] {
        let sink = Recorder::default();
        let mut pipeline = Pipeline::default();
        let changes = changed.then(|| pipeline.changes());
        let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["lane"]));
        let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&[outlet])).unwrap();
        pipeline.source("brief", Brief, &[lane.handle()]);
        let script = async {
            reaches(&sink.log, 1).await;
            let Some(changes) = changes else { return std::future::pending().await };
            // Long enough for a run that ends by itself to have done so.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let handle = lane.handle();
            soon(changes.make(move |pipeline: &mut Pipeline| pipeline.source("another", Brief, &[handle]))).await.unwrap();
            reaches(&sink.log, 2).await;
            soon(changes.make(move |pipeline: &mut Pipeline| pipeline.remove_lane(handle))).await.unwrap();
            soon(lane.ended()).await;
            let last = add_later(&changes, "last", Scripted::of("last "), joining(outlet)).await;
            tell(&last, [event(1)]).await;
            reaches(&sink.log, 3).await;
        };
        let report = soon(pipeline.run_until(script, PATIENCE)).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(lines(&sink.log), if changed { vec!["1", "1", "last 1"] } else { vec!["1"] });
    }
}

#[tokio::test]
async fn a_pipeline_of_nothing_that_can_be_changed_waits_for_what_comes() {
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let script = async {
        for _ in 0..3 {
            assert_eq!(soon(changes.make(|_: &mut Pipeline| 7)).await, Ok(7));
        }
    };
    let report = soon(pipeline.run_until(script, PATIENCE)).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_source_that_is_added_to_a_lane_later_does_not_settle_for_a_lane_that_has_not() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["one", "other"]));
    let one = add(&mut pipeline, "one", Scripted::of("one "), lane_terms(&[outlet]));
    let other = add(&mut pipeline, "other", Scripted::of("other "), lane_terms(&[outlet]));
    let script = async {
        tell(&one, [Notice::Listed]).await;
        let handle = one.control.handle();
        let later = Script(vec![Notice::Listed, event(1)]);
        soon(changes.make(move |pipeline: &mut Pipeline| pipeline.source("later", later, &[handle]))).await.unwrap();
        written(&sink, "one 1").await;
        assert_eq!(settled(&sink), 0, "the other lane has not told everything");
        tell(&other, [event(2), Notice::Listed]).await;
        written(&sink, "settled").await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn wider_bounds_let_a_source_go_on_that_waits() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["lane"]));
    let shaper = Scripted { held: Arc::new(true.into()), ..Scripted::default() };
    let hold = Arc::clone(&shaper.held);
    let lane = add(&mut pipeline, "lane", shaper, lane_terms(&[outlet]));
    let script = async {
        tell(&lane, (0..1000).map(event)).await;
        until("a full queue", || lane.meter.queue.length.get() == 128).await;
        lane.control.set_bounds(Bounds { items: 2000, bytes: 1 << 20, when_full: WhenFull::Wait });
        let reached = || lane.meter.events.get() + u64::try_from(lane.meter.queue.length.get()).unwrap();
        until("all in the lane", || reached() == 1000).await;
        hold.store(false, Ordering::Relaxed);
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&sink.log), support::numbers(0..1000));
}

#[tokio::test]
async fn a_lane_that_begins_late_is_counted_once() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["first", "late"]));
    let first = add(&mut pipeline, "first", Scripted::of("first "), lane_terms(&[outlet]));
    let script = async {
        tell(&first, [Notice::Listed, event(0)]).await;
        written(&sink, "first 0").await;
        assert_eq!(settled(&sink), 0, "one lane was not there at the start");
        let late = add_later(&changes, "late", Scripted::of("late "), joining(outlet)).await;
        tell(&late, [event(1), Notice::Listed]).await;
        until("settled", || settled(&sink) == 1).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn after_a_lane_that_left_before_it_was_listed_nothing_is_stale_until_one_of_its_name_is() {
    let sink = Recorder::default();
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["leaves", "stays"]));
    let leaves = add(&mut pipeline, "leaves", Scripted::of("leaves "), lane_terms(&[outlet]));
    let stays = add(&mut pipeline, "stays", Scripted::of("stays "), lane_terms(&[outlet]));
    let script = async {
        remove(&changes, &leaves).await;
        soon(leaves.control.ended()).await;
        tell(&stays, [Notice::Listed, event(0)]).await;
        written(&sink, "stays 0").await;
        // A lane that has come and gone twice is still one.
        let again = add_later(&changes, "leaves", Scripted::of("again "), joining(outlet)).await;
        tell(&again, [event(1)]).await;
        written(&sink, "again 1").await;
        remove(&changes, &again).await;
        soon(again.control.ended()).await;
        let last = add_later(&changes, "leaves", Scripted::of("last "), joining(outlet)).await;
        tell(&last, [event(2)]).await;
        written(&sink, "last 2").await;
        assert_eq!(settled(&sink), 0, "it has not told everything");
        tell(&last, [Notice::Listed]).await;
        until("settled", || settled(&sink) == 1).await;
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_is_made_only_if_somebody_insisted() {
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let lane = add(&mut pipeline, "lane", Scripted::default(), lane_terms(&[]));
    let handle = lane.control.handle();
    let mut adding =
        Box::pin(changes.make(|pipeline: &mut Pipeline| add(pipeline, "orphan", Scripted::default(), lane_terms(&[]))));
    let mut removing = Box::pin(changes.insist(move |pipeline: &mut Pipeline| pipeline.remove_lane(handle)));
    assert!(futures::poll!(&mut adding).is_pending() && futures::poll!(&mut removing).is_pending());
    drop((adding, removing));
    let script = async {
        soon(lane.control.ended()).await;
        let orphan = soon(changes.make(|pipeline: &mut Pipeline| pipeline.lane_named("orphan"))).await;
        assert_eq!(orphan, Ok(None));
    };
    let report = pipeline.run_until(script, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
}

/// Panics at once.
struct Panicking;

impl Source for Panicking {
    async fn run(self, _: impl Feed, _: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        panic!("as scripted");
    }
}

#[tokio::test]
async fn the_end_of_a_source_is_told_once_whatever_it_comes_from() {
    let ends = Arc::<Mutex<Vec<&str>>>::default();
    let told = |name: &'static str| {
        let ends = Arc::clone(&ends);
        move || ends.lock().unwrap().push(name)
    };
    let mut pipeline = Pipeline::default();
    let changes = pipeline.changes();
    let leaves = pipeline.lane("leaves", Scripted::default(), lane_terms(&[])).unwrap();
    let stays = pipeline.lane("stays", Scripted::default(), lane_terms(&[])).unwrap();
    let (_first, left) = tap();
    let (_second, stayed) = tap();
    pipeline.source_and_then("left", left, &[leaves.handle()], told("left"));
    pipeline.source_and_then("stopped", stayed, &[stays.handle()], told("stopped"));
    let script = async {
        let handle = leaves.handle();
        soon(changes.make(move |pipeline: &mut Pipeline| pipeline.remove_lane(handle))).await.unwrap();
        until("the end of its source", || !ends.lock().unwrap().is_empty()).await;
        let (handle, told) = (stays.handle(), told("panicked"));
        let add = move |pipeline: &mut Pipeline| pipeline.source_and_then("panics", Panicking, &[handle], told);
        soon(changes.make(add)).await.unwrap();
        // It ends the run.
        std::future::pending::<()>().await;
    };
    let report = soon(pipeline.run_until(script, PATIENCE)).await;
    assert_eq!(report.faults.len(), 1, "{report:?}");
    assert_eq!(*ends.lock().unwrap(), ["left", "panicked", "stopped"]);
}
