//! A sink with a store: what it does not take is put away and comes out in order; nothing is lost, and everything is counted.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::Notice;
use sluicebox_pipeline::{Pipeline, StoreSettings, WhenFull};
use support::door::{Door, Run, Way, balances, overflow, terms};
use support::drawer::{Drawer, Full};
use support::stage::{soon, tap, until};
use support::{Scripted, event, lane_terms, lines, numbers, outlet_terms};

#[tokio::test]
async fn what_a_sink_does_not_take_waits_in_the_store_and_the_lane_does_not_wait() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    run.say(0..500).await;
    let (meter, log) = (Arc::clone(&run.meter), Arc::clone(&door.log));
    let (counted, stored) = (Arc::clone(&meter), drawer.clone());
    let report = run
        .until("all is written", move || {
            if counted.accepted.get() == 500 && stored.entries() == 500 {
                door.set(Way::Up);
            }
            log.lock().unwrap().len() == 500
        })
        .await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((meter.written.get(), meter.held(), drawer.entries()), (500, 0, 0));
    balances(&meter);
}

#[tokio::test]
async fn what_comes_out_of_the_store_is_in_order_and_new_entries_stand_behind_it() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    let (meter, tell) = (Arc::clone(&run.meter), run.tell.clone());
    run.say(0..100).await;
    let (log, counted, gate) = (Arc::clone(&door.log), Arc::clone(&meter), door.clone());
    let mut told = 100;
    let report = run
        .until("all is written", move || {
            if counted.accepted.get() >= 100 {
                gate.set(Way::Up);
                if told < 300 && tell.try_send(event(told)).is_ok() {
                    told += 1;
                }
            }
            log.lock().unwrap().len() == 300
        })
        .await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(lines(&door.log), numbers(0..300));
    balances(&meter);
}

#[tokio::test]
async fn with_always_every_entry_is_put_away_before_it_is_written() {
    let (door, drawer) = (Door::default(), Drawer::default());
    let run = Run::new(&door, &drawer, StoreSettings { always: true, ..overflow() });
    run.say(0..40).await;
    let (meter, log) = (Arc::clone(&run.meter), Arc::clone(&door.log));
    run.until("all is written", move || log.lock().unwrap().len() == 40).await;
    assert_eq!(lines(&door.log), numbers(0..40));
    assert_eq!((meter.store.get().unwrap().stored.get(), drawer.entries()), (40, 0));
    balances(&meter);
}

#[tokio::test]
async fn what_is_being_written_is_put_away_in_time_though_there_is_little_of_it() {
    let (door, drawer) = (Door::is(Way::Hangs), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    run.say(0..3).await;
    let meter = Arc::clone(&run.meter);
    let counted = Arc::clone(&meter);
    let handed_over = until("all is handed over", move || counted.accepted.get() == 3);
    // Twice what it has for writing on what is in the store.
    let report = soon(run.pipeline.run_until(handed_over, Duration::from_millis(400))).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(drawer.entries(), 3);
    balances(&meter);
}

#[tokio::test]
async fn a_disk_that_refuses_holds_up_no_sink_and_loses_nothing() {
    for always in [false, true] {
        let (door, drawer) = (Door::is(Way::Down), Drawer::default());
        drawer.0.lock().unwrap().refuses = true;
        let run = Run::new(&door, &drawer, StoreSettings { always, ..overflow() });
        run.say(0..30).await;
        let (meter, log) = (Arc::clone(&run.meter), Arc::clone(&door.log));
        let (counted, gate) = (Arc::clone(&meter), door.clone());
        let report = run
            .until("all is written", move || {
                if counted.store.get().unwrap().failures.get() > 0 {
                    gate.set(Way::Up);
                }
                log.lock().unwrap().len() == 30
            })
            .await;
        // It cannot be closed well, and that is all.
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(lines(&door.log), numbers(0..30));
        balances(&meter);
    }
}

#[tokio::test]
async fn a_sink_that_may_drop_does_so_while_its_disk_refuses_and_only_then() {
    for when_refused in [WhenFull::DropOldest, WhenFull::DropNewest] {
        let (door, drawer) = (Door::is(Way::Down), Drawer::default());
        drawer.0.lock().unwrap().refuses = true;
        let run = Run::new(&door, &drawer, StoreSettings { when_refused, ..overflow() });
        run.say(0..400).await;
        let (meter, disk) = (Arc::clone(&run.meter), drawer.clone());
        let (counted, gate, tell) = (Arc::clone(&meter), door.clone(), run.tell.clone());
        let mut told = 400;
        let report = run
            .until("no lane waits, and nothing more is dropped with the disk there again", move || {
                let is_handed_over = counted.accepted.get() == 400;
                if told == 400 && is_handed_over {
                    disk.0.lock().unwrap().refuses = false;
                }
                let works = !disk.0.lock().unwrap().refuses && counted.queue.length.get() == 0 && disk.entries() > 0;
                if works && told < 600 {
                    told += usize::from(tell.try_send(event(told)).is_ok());
                }
                if counted.accepted.get() == 600 {
                    gate.set(Way::Up);
                }
                counted.accepted.get() == 600 && counted.held() == 0
            })
            .await;
        assert!(report.is_clean(), "{report:?}");
        let written: Vec<usize> = lines(&door.log).iter().map(|line| line.parse().unwrap()).collect();
        assert!(written.is_sorted(), "{written:?}");
        assert!(written.len() < 600 && written.ends_with(&(400..600).collect::<Vec<_>>()), "{when_refused:?}: {written:?}");
        assert_eq!(written.len() as u64 + meter.queue.dropped.get(), 600);
        balances(&meter);
    }
}

#[tokio::test]
async fn a_full_store_does_as_it_was_told_and_everything_is_counted() {
    for full in [Full::Block, Full::DropOldest, Full::DropNewest] {
        let (door, drawer) = (Door::is(Way::Down), Drawer::default());
        {
            let mut contents = drawer.0.lock().unwrap();
            (contents.most, contents.full) = (Some(10), full);
        }
        let run = Run::new(&door, &drawer, overflow());
        run.say(0..400).await;
        let (meter, log) = (Arc::clone(&run.meter), Arc::clone(&door.log));
        let (counted, gate) = (Arc::clone(&meter), door.clone());
        let blocked_for = Instant::now();
        let report = run
            .until("all is handed over", move || {
                let waits = full == Full::Block && blocked_for.elapsed() > Duration::from_millis(500);
                if waits && *gate.way.lock().unwrap() == Way::Down {
                    assert!(counted.accepted.get() < 400, "lanes wait: {counted:?}");
                }
                if waits || counted.accepted.get() == 400 && counted.queue.length.get() == 0 {
                    gate.set(Way::Up);
                }
                counted.accepted.get() == 400 && counted.held() == 0 && !log.lock().unwrap().is_empty()
            })
            .await;
        assert!(report.is_clean(), "{report:?}");
        let (written, dropped) = (lines(&door.log), meter.store.get().unwrap().dropped.get());
        assert_eq!(written.len() as u64 + dropped, 400, "{full:?}");
        let mut sorted: Vec<usize> = written.iter().map(|line| line.parse().unwrap()).collect();
        assert!(sorted.is_sorted(), "{full:?}: {sorted:?}");
        match full {
            Full::Block => assert_eq!(dropped, 0),
            Full::DropOldest => assert!(dropped > 0 && sorted.pop() == Some(399)),
            Full::DropNewest => assert!(dropped > 0 && sorted.first() == Some(&0) && sorted.pop() < Some(399)),
        }
        balances(&meter);
    }
}

#[tokio::test]
async fn a_sink_settles_when_what_was_put_away_before_is_written_and_not_when_some_was_dropped() {
    for most in [None, Some(3)] {
        let (door, drawer) = (Door::is(Way::Down), Drawer::default());
        {
            let mut contents = drawer.0.lock().unwrap();
            (contents.most, contents.full) = (most, Full::DropOldest);
        }
        let run = Run::new(&door, &drawer, overflow());
        run.say(0..50).await;
        run.tell.send(Notice::Listed).await.unwrap();
        run.say(50..60).await;
        let (meter, counted, gate) = (Arc::clone(&run.meter), Arc::clone(&run.meter), door.clone());
        run.until("all is written", move || {
            if counted.accepted.get() == 60 && counted.queue.length.get() == 0 {
                gate.set(Way::Up);
            }
            counted.accepted.get() == 60 && counted.held() == 0
        })
        .await;
        let written = lines(&door.log);
        let settled = written.iter().position(|line| line == "settled");
        if most.is_none() {
            assert!(settled.is_some_and(|settled| settled >= 50), "{written:?}");
        } else {
            assert!(settled.is_none() && meter.store.get().unwrap().dropped.get() > 0, "{written:?}");
        }
        balances(&meter);
    }
}

#[tokio::test]
async fn a_dead_sink_with_a_store_does_not_slow_the_other_one_of_the_lane() {
    for way in [Way::Down, Way::Hangs] {
        let (dead, living, drawer) = (Door::is(way), Door::default(), Drawer::default());
        let mut pipeline = Pipeline::default();
        let mut dead_terms = terms(&drawer, overflow());
        dead_terms.settings.write_timeout = Duration::from_mins(1);
        let meter = Arc::clone(&dead_terms.meter);
        let outlets = [
            pipeline.outlet("dead", dead.clone(), dead_terms),
            pipeline.outlet("living", living.clone(), outlet_terms(&["lane"])),
        ];
        let lane = pipeline.lane("lane", Scripted::default(), lane_terms(&outlets)).unwrap().handle();
        let (tell, source) = tap();
        pipeline.source("tap", source, &[lane]);
        for number in 0..2000 {
            tell.send(event(number)).await.unwrap();
        }
        let log = Arc::clone(&living.log);
        let begin = Instant::now();
        let written = until("the living one has all", move || log.lock().unwrap().len() == 2000);
        let report = soon(pipeline.run_until(written, Duration::from_secs(10))).await;
        assert!(report.is_clean() && begin.elapsed() < Duration::from_secs(8), "{way:?}: {report:?} {:?}", begin.elapsed());
        assert_eq!((drawer.entries(), dead.log.lock().unwrap().len()), (2000, 0));
        balances(&meter);
    }
}

#[tokio::test]
async fn after_many_failures_single_entries_are_tried_until_one_is_written() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    run.say(0..100).await;
    let (meter, counted, gate, sizes) = (Arc::clone(&run.meter), Arc::clone(&run.meter), door.clone(), Arc::clone(&door.sizes));
    let mut opened = false;
    run.until("all is written", move || {
        if counted.retries.get() >= 8 && counted.accepted.get() == 100 {
            opened |= counted.circuit_open.get() == 1;
            gate.set(Way::Up);
        }
        assert!(counted.written.get() < 100 || opened, "the circuit was open");
        counted.written.get() == 100
    })
    .await;
    assert_eq!(meter.circuit_open.get(), 0);
    let sizes = sizes.lock().unwrap().clone();
    assert!(sizes[5..8].iter().all(|size| *size == 1) && sizes[9..].iter().any(|size| *size > 1), "{sizes:?}");
    assert_eq!(lines(&door.log), numbers(0..100));
}

#[tokio::test]
async fn what_is_in_the_store_comes_out_no_faster_than_it_may() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    run.say(0..600).await;
    let counted = Arc::clone(&run.meter);
    run.until("all is handed over", move || counted.accepted.get() == 600).await;
    door.set(Way::Up);
    let run = Run::new(&door, &drawer.reopened(), StoreSettings { entries_per_second: 200, ..overflow() });
    let log = Arc::clone(&door.log);
    let begin = Instant::now();
    run.until("all is written", move || log.lock().unwrap().len() == 601).await;
    // What one second gives may come at once, and what is read at a time.
    assert!(begin.elapsed() > Duration::from_millis(1200), "{:?}", begin.elapsed());
    assert_eq!(lines(&door.log), [numbers(0..600), vec!["begins".to_owned()]].concat());
}

#[tokio::test]
async fn what_is_not_flushed_does_not_count_as_stored() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    run.say(0..30).await;
    let (meter, log) = (Arc::clone(&run.meter), Arc::clone(&door.log));
    let (counted, stored) = (Arc::clone(&meter), drawer.clone());
    let (tell, mut step) = (run.tell.clone(), 0);
    let report = run
        .until("all is written", move || {
            let store = counted.store.get().unwrap();
            // Nothing is counted and flushed meanwhile.
            let mut contents = stored.0.lock().unwrap();
            let (next, flushed) = (contents.next, contents.flushed);
            assert!(store.stored.get() <= flushed, "{} of {flushed}", store.stored.get());
            if step == 0 && store.stored.get() == 30 {
                contents.forgets = true;
                tell.try_send(event(30)).unwrap();
                step = 1;
            } else if step == 1 && next == 31 && store.failures.get() > 0 {
                assert_eq!(store.stored.get(), 30);
                contents.forgets = false;
                step = 2;
            } else if step == 2 && store.stored.get() == 31 {
                door.set(Way::Up);
            }
            log.lock().unwrap().len() == 31
        })
        .await;
    assert!(report.is_clean(), "{report:?}");
    balances(&meter);
}
