//! What becomes of each event is counted once: what came to a lane is what it has shaped, what it has dropped for one reason each, and what
//! it still has, at any quiet moment and at the end.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Fault, Feed, Notice, Shaper as _, Source};
use sluicebox_pipeline::{Bounds, LaneSettings, LaneTerms, OutletSettings, OutletTerms, Pipeline, WhenFull};
use support::stage::{PATIENCE, Shelf, Stage, soon, successor, until};
use support::{Recorder, Scripted, event, event_about, known, lane_terms, outlet_terms, subject, tick};

/// Says its notices, counts the events among them that were taken, then waits for the stop.
struct Counting(Vec<Notice>, Arc<AtomicU64>);

impl Source for Counting {
    async fn run(self, mut feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        let said = async {
            for notice in self.0 {
                let counts = matches!(notice, Notice::Event(_));
                if feed.send(notice).await.is_err() {
                    return;
                }
                self.1.fetch_add(u64::from(counts), Ordering::Relaxed);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = said => {},
            () = stop => {},
        }
        Ok(())
    }
}

/// What has come to the lane and was divided, and what is held or has a fate.
fn sides(meter: &LaneMeter) -> (u64, u64) {
    let (fates, queue) = (&meter.fates, &meter.queue);
    let done = [&fates.shaped, &fates.refused, &fates.dead_letters, &fates.left_out, &fates.missed, &fates.unshaped];
    let dropped = queue.dropped.get() + queue.abandoned.get();
    (queue.offered.get() + fates.divided.get(), done.iter().map(|counter| counter.get()).sum::<u64>() + dropped + held(meter))
}

fn held(meter: &LaneMeter) -> u64 {
    u64::try_from(meter.queue.droppable.get() + meter.fates.in_work.get()).unwrap()
}

fn assert_exact(meter: &LaneMeter, sent: u64) {
    let (came, known) = sides(meter);
    assert_eq!(came, known, "{:?} {:?}", meter.queue, meter.fates);
    assert_eq!(meter.queue.offered.get(), sent, "{:?}", meter.queue);
}

/// A lane with these bounds whose module is held in its first call until the source has said all; gives what was counted.
async fn crowded(when_full: WhenFull, notices: Vec<Notice>) -> Arc<LaneMeter> {
    let shaper = Scripted::default();
    let is_held = Arc::clone(&shaper.held);
    is_held.store(true, Ordering::Relaxed);
    let terms = lane_terms(&[]);
    let bounds = Bounds { items: 20, when_full, ..terms.bounds };
    let settings = LaneSettings { batch: 4, ..terms.settings };
    let meter = Arc::<LaneMeter>::default();
    let mut pipeline = Pipeline::default();
    let lane = pipeline.lane("lane", shaper, LaneTerms { bounds, settings, meter: Arc::clone(&meter), ..terms }).unwrap();
    let sent = Arc::<AtomicU64>::default();
    let all = notices.iter().filter(|notice| matches!(notice, Notice::Event(_))).count() as u64;
    pipeline.source("source", Counting(notices, Arc::clone(&sent)), &[lane.handle()]);
    let stop = async {
        until("all is said", || sent.load(Ordering::Relaxed) == all).await;
        assert_exact(&meter, all);
        assert!(held(&meter) > 0);
        is_held.store(false, Ordering::Relaxed);
        until("nothing is held", || held(&meter) == 0).await;
        assert_exact(&meter, all);
    };
    let report = pipeline.run_until(stop, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_exact(&meter, all);
    meter
}

#[tokio::test]
async fn what_a_full_queue_drops_is_counted_whichever_it_drops() {
    let mixed = || (0..100).map(|number| if number % 10 == 0 { event(number) } else { tick([1, 2]) }).collect::<Vec<_>>();
    let samples = crowded(WhenFull::DropSamples, mixed()).await;
    assert!(samples.fates.shaped.get() >= 10 && samples.queue.dropped.get() >= 76, "{samples:?}");
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
        let meter = crowded(when_full, (0..100).map(event).collect()).await;
        assert_eq!(meter.fates.shaped.get() + meter.queue.dropped.get(), 100);
        assert!((76..=80).contains(&meter.queue.dropped.get()), "{meter:?}");
    }
}

#[tokio::test]
async fn what_stops_a_module_is_refused_a_dead_letter_or_left_out_and_nothing_twice() {
    for shelf in [Some(Shelf::default()), None] {
        let keeps = shelf.is_some();
        let shaper = Scripted {
            deadly: [30, 7, 1007].into(),
            refused: [11, 12].into(),
            deadly_subjects: [3].into(),
            ..Scripted::default()
        };
        let settings = LaneSettings { batch: 64, ..lane_terms(&[]).settings };
        let stage = Stage::with(shaper, Recorder::default(), settings, shelf.clone());
        let meter = Arc::clone(&stage.meter);
        let mut notices: Vec<Notice> = [1, 2, 3, 1007].into_iter().map(subject).collect();
        notices.extend((100..180).map(event));
        notices.extend([event(7), event(11), event(12), event_about(3, 5), event_about(1, 8), event(30)]);
        // Divided until the subject is alone that stops the module; its samples become no letter.
        notices.extend((0..6).map(|_| tick([1, 2, 3, 1007])));
        let all = notices.iter().filter(|notice| matches!(notice, Notice::Event(_))).count() as u64;
        let stop = async {
            for notice in notices {
                stage.tell.send(notice).await.unwrap();
            }
            until("all is offered", || meter.queue.offered.get() == all).await;
            until("nothing is held", || held(&meter) == 0).await;
            assert_exact(&meter, all);
        };
        let report = stage.pipeline.run_until(stop, PATIENCE).await;
        assert!(report.is_clean(), "{report:?}");
        assert_exact(&meter, all);
        let fates = &meter.fates;
        assert_eq!(fates.refused.get(), 2, "{fates:?}");
        assert_eq!(fates.dead_letters.get() + fates.left_out.get(), meter.deadly.get());
        assert_eq!(fates.dead_letters.get() > 0, keeps, "{fates:?}");
        assert!(fates.divided.get() > 0);
        if let Some(shelf) = shelf {
            let letters = &shelf.meter;
            assert_eq!(letters.queue.offered.get(), fates.dead_letters.get());
            assert_eq!(letters.kept.get() + letters.lost.get() + letters.queue.dropped.get(), fates.dead_letters.get());
        }
    }
}

/// A lane whose module starts after so many tries only, with more events than its queue holds.
async fn resting(bad_starts: usize) -> (Arc<LaneMeter>, u64) {
    let shaper = Scripted { bad_starts: Arc::new(Mutex::new(bad_starts)), ..Scripted::default() };
    let terms = lane_terms(&[]);
    let settings =
        LaneSettings { first_rest: Duration::from_millis(100), longest_rest: Duration::from_millis(100), ..terms.settings };
    let meter = Arc::<LaneMeter>::default();
    let mut pipeline = Pipeline::default();
    let lane = pipeline.lane("lane", shaper, LaneTerms { settings, meter: Arc::clone(&meter), ..terms }).unwrap().handle();
    let sent = Arc::<AtomicU64>::default();
    pipeline.source("source", Counting((0..1000).map(event).collect(), Arc::clone(&sent)), &[lane]);
    let stop = until("all is said", || sent.load(Ordering::Relaxed) == 1000);
    pipeline.run_until(stop, PATIENCE).await;
    assert_exact(&meter, 1000);
    assert_eq!(held(&meter), 0);
    (meter, 1000)
}

#[tokio::test]
async fn what_a_resting_lane_misses_and_what_it_leaves_at_the_end_is_counted() {
    let (meter, all) = resting(2).await;
    assert!(meter.fates.missed.get() > 0 && meter.fates.shaped.get() > 0 && meter.fates.unshaped.get() == 0, "{:?}", meter.fates);
    assert_eq!(meter.fates.missed.get() + meter.fates.shaped.get(), all);
    let (meter, all) = resting(usize::MAX).await;
    assert!(meter.fates.unshaped.get() > 0 && meter.fates.shaped.get() == 0, "{:?}", meter.fates);
    assert_eq!(meter.fates.missed.get() + meter.fates.unshaped.get(), all);
}

#[tokio::test]
async fn a_module_in_place_of_another_goes_on_with_the_account() {
    let mut stage = Stage::new(Scripted { deadly: [3].into(), ..Scripted::of("a ") });
    let changes = stage.pipeline.changes();
    let meter = Arc::clone(&stage.meter);
    let stop = async {
        stage.tell.send(subject(1)).await.unwrap();
        for number in 0..50 {
            stage.tell.send(event(number)).await.unwrap();
        }
        until("all is offered", || meter.queue.offered.get() == 50).await;
        until("nothing is held", || held(&meter) == 0).await;
        let mut shaper = Scripted { refused: [60].into(), ..Scripted::of("b ") };
        shaper.renew().unwrap();
        shaper.define(&[known(1)]).unwrap();
        let swapped = soon(stage.control.swap(successor(shaper, vec![known(1)], &meter), PATIENCE)).await.unwrap();
        assert!(swapped.is_ok());
        for number in 50..100 {
            stage.tell.send(event(number)).await.unwrap();
        }
        until("all is offered", || meter.queue.offered.get() == 100).await;
        // Removed with all that it has: it shapes it, and ends.
        let handle = stage.control.handle();
        soon(changes.insist(move |pipeline| pipeline.remove_lane(handle))).await.unwrap();
        soon(stage.control.ended()).await;
        assert_exact(&meter, 100);
    };
    let report = stage.pipeline.run_until(stop, PATIENCE).await;
    assert!(report.is_clean(), "{report:?}");
    let fates = &meter.fates;
    assert_eq!((fates.shaped.get(), fates.refused.get(), fates.left_out.get(), held(&meter)), (98, 1, 1, 0), "{fates:?}");
}

#[tokio::test]
async fn what_is_held_when_the_time_for_the_end_is_over_is_still_accounted_for() {
    let sink = Recorder { stalls: true, ..Recorder::default() };
    let mut pipeline = Pipeline::default();
    let settings = OutletSettings { write_timeout: PATIENCE, ..outlet_terms(&[]).settings };
    let bounds = Bounds { items: 2, ..outlet_terms(&[]).bounds };
    let outlet = pipeline.outlet("stuck", sink, OutletTerms { settings, bounds, ..outlet_terms(&["lane"]) });
    let terms = lane_terms(&[outlet]);
    let settings = LaneSettings { batch: 4, ..terms.settings };
    let meter = Arc::clone(&terms.meter);
    let lane = pipeline.lane("lane", Scripted::default(), LaneTerms { settings, ..terms }).unwrap();
    let sent = Arc::<AtomicU64>::default();
    pipeline.source("source", Counting((0..100).map(event).collect(), Arc::clone(&sent)), &[lane.handle()]);
    let stop = async {
        until("all is said", || sent.load(Ordering::Relaxed) == 100).await;
        until("the sink holds the lane up", || meter.calls.count() >= 4).await;
    };
    let report = pipeline.run_until(stop, Duration::from_millis(100)).await;
    assert_eq!(report.late, ["module lane", "sink stuck"]);
    // The lane's thread finds nobody who takes its entries any more, and comes to its end.
    until("the lane has ended", || held(&meter) == 0 && meter.ready.get() == 0).await;
    assert_exact(&meter, 100);
    assert_eq!(meter.fates.shaped.get(), 100);
    assert!(meter.fates.unwanted_entries.get() >= 80, "{:?}", meter.fates);
}

#[tokio::test]
async fn what_was_in_the_queue_of_a_lane_that_panics_is_abandoned() {
    let shaper = Scripted { strict: true, ..Scripted::default() };
    let is_held = Arc::clone(&shaper.held);
    let terms = lane_terms(&[]);
    let settings = LaneSettings { batch: 4, ..terms.settings };
    let meter = Arc::clone(&terms.meter);
    let mut pipeline = Pipeline::default();
    let lane = pipeline.lane("lane", shaper, LaneTerms { settings, ..terms }).unwrap();
    is_held.store(true, Ordering::Relaxed);
    let sent = Arc::<AtomicU64>::default();
    let mut notices = vec![subject(1)];
    notices.extend((0..20).map(event));
    // Nobody has told of this one.
    notices.push(event_about(2, 20));
    notices.extend((21..60).map(event));
    pipeline.source("source", Counting(notices, Arc::clone(&sent)), &[lane.handle()]);
    let stop = async {
        until("all is said", || sent.load(Ordering::Relaxed) == 60).await;
        is_held.store(false, Ordering::Relaxed);
        until("the lane has ended", || held(&meter) == 0).await;
    };
    pipeline.run_until(stop, PATIENCE).await;
    until("all is known", || sides(&meter).0 == sides(&meter).1).await;
    assert_exact(&meter, 60);
    assert!(meter.queue.abandoned.get() > 0 && meter.fates.unshaped.get() > 0, "{meter:?}");
}
