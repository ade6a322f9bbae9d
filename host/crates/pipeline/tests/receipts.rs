//! What was announced is known to be: once everything that was made of an event is written or kept, and not before.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Announced, Announcement, Ledger, Notice, ObjectKind};
use sluicebox_pipeline::{Bounds, LaneSettings, LaneTerms, OutletTerms, Patience, Pipeline, StoreSettings, StoreTerms, WhenFull};
use support::drawer::{Drawer, Full};
use support::stage::{PATIENCE, Shelf, Stage, tap, until};
use support::{Recorder, Scripted, event, event_about, fact, lane_terms, numbers, outlet_terms, subject};

/// An event about the object of this number, which is announced with it.
fn tracked(ledger: &Arc<Ledger>, number: u32) -> Notice {
    let name: Arc<str> = number.to_string().into();
    let (uid, namespace, version) = (Arc::clone(&name), "".into(), "1".into());
    let kind = ObjectKind::Node;
    let announcement = Announcement { kind, uid, namespace, name, version, attributes: Vec::new(), typed: None, json: None };
    Notice::Tracked(fact(event_about(number, number as usize)), ledger.receipt(Announced::There(Box::new(announcement))))
}

/// What counts as announced so far, in order.
#[derive(Default)]
struct Book {
    ledger: Arc<Ledger>,
    announced: Mutex<Vec<usize>>,
}

impl Book {
    fn announced(&self) -> Vec<usize> {
        let mut announced = self.announced.lock().unwrap();
        announced.extend(
            self.ledger
                .take()
                .iter()
                .filter(|announced| !matches!(announced, Announced::Told(_)))
                .map(Announced::uid)
                .map(|uid| uid.parse::<usize>().unwrap()),
        );
        announced.sort_unstable();
        announced.clone()
    }

    async fn has(&self, numbers: &[usize]) {
        until("announced", || self.announced() == numbers).await;
    }
}

fn patient() -> LaneSettings {
    LaneSettings { patience: Patience { events: 1000, time: Duration::from_hours(1) }, ..lane_terms(&[]).settings }
}

/// Has one lane shape and write these events about subjects that exist; gives what is announced once all were taken.
async fn announced(shaper: Scripted, sink: Recorder, shelf: Option<Shelf>, events: u32) -> Vec<usize> {
    let book = Book::default();
    let Stage { pipeline, tell, meter, .. } = Stage::with(shaper, sink, patient(), shelf);
    let script = async {
        for number in 0..events {
            tell.send(subject(number)).await.unwrap();
        }
        for number in 0..events {
            tell.send(tracked(&book.ledger, number)).await.unwrap();
        }
        until("all events", || meter.events.get() == u64::from(events)).await;
    };
    pipeline.run_until(script, Duration::from_millis(500)).await;
    book.announced()
}

#[tokio::test]
async fn what_is_written_is_announced_and_what_waits_for_the_sink_is_not() {
    let sink = Recorder { bad_writes: Arc::new(Mutex::new(usize::MAX)), ..Recorder::default() };
    let bad_writes = Arc::clone(&sink.bad_writes);
    let book = Book::default();
    let Stage { pipeline, tell, outlet_meter, .. } = Stage::with(Scripted::default(), sink, patient(), None);
    let script = async {
        for number in 0..3 {
            tell.send(tracked(&book.ledger, number)).await.unwrap();
        }
        until("retries", || outlet_meter.retries.get() > 3).await;
        assert_eq!(book.announced(), [0_usize; 0]);
        *bad_writes.lock().unwrap() = 0;
        book.has(&[0, 1, 2]).await;
    };
    assert!(pipeline.run_until(script, PATIENCE).await.is_clean());
}

#[tokio::test]
async fn an_event_that_two_lanes_tell_two_sinks_is_announced_when_all_have_written() {
    let book = Book::default();
    let mut pipeline = Pipeline::default();
    let held = Arc::new(AtomicBool::new(true));
    let slow = Recorder { bad_writes: Arc::new(Mutex::new(usize::MAX)), ..Recorder::default() };
    let bad_writes = Arc::clone(&slow.bad_writes);
    let quick = Recorder::default();
    let outlets = [
        pipeline.outlet("quick", quick.clone(), outlet_terms(&["one", "other"])),
        pipeline.outlet("slow", slow, outlet_terms(&["other"])),
    ];
    let one =
        pipeline.lane("one", Scripted { held: Arc::clone(&held), ..Scripted::default() }, lane_terms(&outlets[..1])).unwrap();
    let other = pipeline.lane("other", Scripted::default(), lane_terms(&outlets)).unwrap();
    let (tell, tap) = tap();
    pipeline.source("tap", tap, &[one.handle(), other.handle()]);
    let script = async {
        tell.send(tracked(&book.ledger, 7)).await.unwrap();
        until("one line", || quick.log.lock().unwrap().len() == 1).await;
        assert_eq!(book.announced(), [0_usize; 0], "one lane and one sink have not come to it");
        held.store(false, Ordering::Relaxed);
        until("two lines", || quick.log.lock().unwrap().len() == 2).await;
        assert_eq!(book.announced(), [0_usize; 0], "one sink has not come to it");
        *bad_writes.lock().unwrap() = 0;
        book.has(&[7]).await;
    };
    assert!(pipeline.run_until(script, PATIENCE).await.is_clean());
}

#[tokio::test]
async fn what_a_full_queue_drops_is_not_announced() {
    let book = Book::default();
    let mut pipeline = Pipeline::default();
    let outlet = pipeline.outlet("out", Recorder::default(), outlet_terms(&["lane"]));
    let held = Arc::new(AtomicBool::new(true));
    let bounds = Bounds { items: 4, bytes: 1 << 20, when_full: WhenFull::DropOldest };
    let terms = LaneTerms { bounds, ..lane_terms(&[outlet]) };
    let meter = Arc::clone(&terms.meter);
    let shaper = Scripted { held: Arc::clone(&held), untold: true, ..Scripted::default() };
    let lane = pipeline.lane("lane", shaper, terms).unwrap();
    let (tell, tap) = tap();
    pipeline.source("tap", tap, &[lane.handle()]);
    let script = async {
        tell.send(tracked(&book.ledger, 0)).await.unwrap();
        until("the first is in hand", || meter.events.get() == 1).await;
        for number in 1..=10 {
            tell.send(tracked(&book.ledger, number)).await.unwrap();
        }
        until("six are dropped", || meter.queue.dropped.get() == 6).await;
        // What is said later of an object of which something was dropped is no news to whoever missed that.
        held.store(false, Ordering::Relaxed);
        book.has(&[0, 7, 8, 9, 10]).await;
        tell.send(tracked(&book.ledger, 3)).await.unwrap();
        tell.send(tracked(&book.ledger, 11)).await.unwrap();
        book.has(&[0, 7, 8, 9, 10, 11]).await;
    };
    assert!(pipeline.run_until(script, PATIENCE).await.is_clean());
}

#[tokio::test]
async fn a_dead_letter_is_announced_where_letters_are_kept_and_its_neighbours_always() {
    let deadly = || Scripted { deadly: [2].into(), ..Scripted::default() };
    assert_eq!(announced(deadly(), Recorder::default(), Some(Shelf::default()), 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(announced(deadly(), Recorder::default(), None, 5).await, [0, 1, 3, 4]);
    let shunning = || Scripted { deadly_subjects: [2].into(), ..Scripted::default() };
    assert_eq!(announced(shunning(), Recorder::default(), Some(Shelf::default()), 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(announced(shunning(), Recorder::default(), None, 5).await, [0, 1, 3, 4]);
}

#[tokio::test]
async fn what_the_module_or_the_sink_refuses_is_dealt_with() {
    let shaper = Scripted { refused: [1].into(), ..Scripted::default() };
    let sink = Recorder { refuses: ["3".to_owned()].into(), ..Recorder::default() };
    assert_eq!(announced(shaper, sink, None, 5).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn what_is_in_hand_at_the_end_is_not_announced() {
    let sink = Recorder { stalls: true, ..Recorder::default() };
    assert_eq!(announced(Scripted::default(), sink, None, 5).await, [0_usize; 0]);
}

#[tokio::test]
async fn after_a_lane_was_removed_nothing_counts_as_told_to_all() {
    let book = Book::default();
    let mut pipeline = Pipeline::default();
    let sink = Recorder::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&["one", "other"]));
    let lanes = ["one", "other"].map(|name| pipeline.lane(name, Scripted::default(), lane_terms(&[outlet])).unwrap().handle());
    let changes = pipeline.changes();
    let (tell, tap) = tap();
    pipeline.source("tap", tap, &lanes);
    let script = async {
        tell.send(tracked(&book.ledger, 1)).await.unwrap();
        book.has(&[1]).await;
        let [one, _] = lanes;
        changes.insist(move |pipeline| pipeline.remove_lane(one)).await.unwrap();
        for number in 2..5 {
            tell.send(tracked(&book.ledger, number)).await.unwrap();
        }
        tell.send(event(5)).await.unwrap();
        until("written", || sink.log.lock().unwrap().contains(&numbers(5..6)[0])).await;
        assert_eq!(book.announced(), [1]);
    };
    assert!(pipeline.run_until(script, PATIENCE).await.is_clean());
}

/// Has a sink that takes nothing put away these events one by one; gives what is announced in the end, and how many were dropped.
async fn put_away(drawer: &Drawer, events: u32, is_so: impl Fn(&Book, &OutletMeter) -> bool) -> (Vec<usize>, u64) {
    let book = Book::default();
    let sink = Recorder { bad_writes: Arc::new(Mutex::new(usize::MAX)), ..Recorder::default() };
    let settings = StoreSettings { always: false, entries_per_second: 1_000_000, when_refused: WhenFull::Wait };
    let store = Some(StoreTerms { backlog: Box::new(drawer.clone()), settings });
    let mut pipeline = Pipeline::default();
    let terms = OutletTerms { store, ..outlet_terms(&["lane"]) };
    let meter = Arc::clone(&terms.meter);
    let outlet = pipeline.outlet("out", sink, terms);
    let settings = LaneSettings { batch: 1, ..patient() };
    let lane = pipeline.lane("lane", Scripted::default(), LaneTerms { settings, ..lane_terms(&[outlet]) }).unwrap();
    let (tell, tap) = tap();
    pipeline.source("tap", tap, &[lane.handle()]);
    let script = async {
        tell.send(tracked(&book.ledger, 0)).await.unwrap();
        // It alone is in hand from then on.
        let failures = || meter.store.get().map_or(0, |store| store.failures.get());
        until("the first one is put away, or refused", || drawer.entries() > 0 || failures() > 0).await;
        for number in 1..events {
            tell.send(tracked(&book.ledger, number)).await.unwrap();
        }
        until("put away", || is_so(&book, &meter)).await;
    };
    pipeline.run_until(script, Duration::from_millis(500)).await;
    (book.announced(), dropped(&meter))
}

fn dropped(meter: &OutletMeter) -> u64 {
    meter.store.get().map_or(0, |store| store.dropped.get())
}

#[tokio::test]
async fn what_is_put_away_is_announced_and_what_there_is_no_room_for_is_not() {
    let drawer = Drawer::default();
    let all: Vec<usize> = (0..20).collect();
    assert_eq!(put_away(&drawer, 20, |book, _| book.announced() == all).await.0, all);

    let drawer = Drawer::default();
    {
        let mut contents = drawer.0.lock().unwrap();
        (contents.most, contents.full) = (Some(5), Full::DropNewest);
    }
    let all_have_their_fate = |book: &Book, meter: &OutletMeter| book.announced().len() as u64 + dropped(meter) >= 20;
    let (announced, dropped) = put_away(&drawer, 20, all_have_their_fate).await;
    assert_eq!((announced, drawer.entries(), dropped), (vec![0, 1, 2, 3, 4], 5, 15));
}

#[tokio::test]
async fn what_the_disk_refuses_is_not_announced() {
    let drawer = Drawer::default();
    drawer.0.lock().unwrap().refuses = true;
    let tried = std::time::Instant::now();
    assert_eq!(put_away(&drawer, 5, |_, _| tried.elapsed() > Duration::from_secs(1)).await.0, [0_usize; 0]);
}
