//! Entries that are too large for the store of their sink: they wait in memory as long as there are few of them, and are dead letters else.

mod support;

use std::sync::Arc;
use std::time::Duration;

use sluicebox_pipeline::{Pipeline, StoreSettings};
use support::door::{Door, Way, balances, overflow, terms};
use support::drawer::Drawer;
use support::stage::{Shelf, soon, tap, until};
use support::{Scripted, event, lane_terms, lines, numbers};

#[tokio::test]
async fn an_entry_that_is_too_large_for_the_store_is_counted_and_those_around_it_are_kept() {
    let (door, drawer) = (Door::is(Way::Hangs), Drawer::default());
    drawer.0.lock().unwrap().largest = Some(300);
    let mut pipeline = Pipeline::default();
    let terms = terms(&drawer, overflow());
    let meter = Arc::clone(&terms.meter);
    let outlet = pipeline.outlet("out", door.clone(), terms);
    // The version stands before each number.
    let long: &'static str = "x".repeat(400).leak();
    let (small, large) = (Scripted::default(), Scripted::of(long));
    let mut handles = Vec::new();
    for (name, shaper) in [("small", small), ("large", large)] {
        handles.push(pipeline.lane(name, shaper, lane_terms(&[outlet])).unwrap().handle());
    }
    let (tell, source) = tap();
    pipeline.source("tap", source, &handles);
    for number in 0..20 {
        tell.send(event(number)).await.unwrap();
    }
    let counted = Arc::clone(&meter);
    let report =
        soon(pipeline.run_until(until("all is handed over", move || counted.accepted.get() == 40), Duration::from_secs(4))).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((meter.store.get().unwrap().too_large.get(), drawer.entries()), (20, 20));
    balances(&meter);
}

#[tokio::test]
async fn what_is_too_large_for_the_store_does_not_pile_up_while_the_sink_is_down() {
    does_not_pile_up_while_the_sink(Way::Down).await;
}

#[tokio::test]
async fn what_is_too_large_for_the_store_does_not_pile_up_while_a_write_hangs() {
    does_not_pile_up_while_the_sink(Way::Hangs).await;
}

async fn does_not_pile_up_while_the_sink(way: Way) {
    let (door, drawer, shelf) = (Door::is(way), Drawer::default(), Shelf::default());
    drawer.0.lock().unwrap().largest = Some(300);
    let mut pipeline = Pipeline::default();
    pipeline.dead_letters(shelf.clone(), Arc::clone(&shelf.meter)).unwrap();
    let terms = terms(&drawer, overflow());
    let meter = Arc::clone(&terms.meter);
    let outlet = pipeline.outlet("out", door.clone(), terms);
    // What may wait in memory at its place is 8 MiB of it.
    let long: &'static str = "x".repeat(1 << 20).leak();
    let mut lane = lane_terms(&[outlet]);
    lane.settings.batch = 1;
    let control = pipeline.lane("lane", Scripted::of(long), lane).unwrap();
    let (tell, source) = tap();
    pipeline.source("tap", source, &[control.handle()]);
    for number in 0..30 {
        tell.send(event(number)).await.unwrap();
    }
    let (letters, counted) = (shelf.clone(), Arc::clone(&meter));
    let kept = until("they are dead letters, though nothing is written", move || {
        let too_large = counted.store.get().map_or(0, |store| store.too_large.get());
        too_large >= 20 && letters.letters().len() as u64 == too_large
    });
    let report = soon(pipeline.run_until(kept, Duration::from_secs(5))).await;
    assert_eq!(meter.written.get(), 0, "{report:?}");
    assert_eq!(shelf.letters().len() as u64, meter.store.get().unwrap().too_large.get());
    balances(&meter);
}

#[tokio::test]
async fn an_entry_that_is_too_large_for_the_store_waits_in_memory_at_its_place() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    drawer.0.lock().unwrap().largest = Some(300);
    let mut pipeline = Pipeline::default();
    let terms = terms(&drawer, StoreSettings { always: true, ..overflow() });
    let meter = Arc::clone(&terms.meter);
    let outlet = pipeline.outlet("out", door.clone(), terms);
    let long: &'static str = "x".repeat(400).leak();
    let mut lane = lane_terms(&[outlet]);
    lane.settings.batch = 1;
    // Every third event is a large one.
    let control = pipeline.lane("lane", Scripted { large: Some((3, long)), ..Scripted::default() }, lane).unwrap();
    let (tell, source) = tap();
    pipeline.source("tap", source, &[control.handle()]);
    for number in 0..30 {
        tell.send(event(number)).await.unwrap();
    }
    let (counted, gate) = (Arc::clone(&meter), door.clone());
    let all = until("all is written", move || {
        if counted.accepted.get() == 30 && counted.queue.length.get() == 0 {
            gate.set(Way::Up);
        }
        counted.written.get() == 30
    });
    let report = soon(pipeline.run_until(all, Duration::from_secs(5))).await;
    assert!(report.is_clean(), "{report:?}");
    let written: Vec<String> = lines(&door.log).iter().map(|line| line.trim_start_matches('x').to_owned()).collect();
    assert_eq!(written, numbers(0..30));
    assert_eq!(meter.store.get().unwrap().too_large.get(), 0);
    balances(&meter);
}
