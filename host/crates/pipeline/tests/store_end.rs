//! A run with a store ends, as it is asked to or by a kill: what is in the store then is written by the next one, and before anything of its own.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::OutletMeter;
use sluicebox_pipeline::{Report, StoreSettings};
use support::door::{Door, Run, Way, balances, overflow};
use support::drawer::Drawer;
use support::shaper::wait;
use support::stage::{soon, until};
use support::{event, lines, numbers};

#[tokio::test]
async fn at_the_end_everything_is_in_the_store_and_the_next_run_writes_it_first() {
    for way in [Way::Down, Way::Hangs] {
        let (door, drawer) = (Door::is(way), Drawer::default());
        let run = Run::new(&door, &drawer, overflow());
        run.say(0..50).await;
        let meter = Arc::clone(&run.meter);
        let counted = Arc::clone(&meter);
        let begin = Instant::now();
        let report = run.until("all is handed over", move || counted.accepted.get() == 50).await;
        assert!(report.is_clean() && begin.elapsed() < Duration::from_secs(5), "{way:?}: {report:?}");
        assert_eq!((meter.written.get(), drawer.entries()), (0, 50), "{way:?}");
        balances(&meter);

        door.set(Way::Up);
        let run = Run::new(&door, &drawer.reopened(), overflow());
        run.say(50..60).await;
        let (meter, log) = (Arc::clone(&run.meter), Arc::clone(&door.log));
        run.until("all is written", move || log.lock().unwrap().len() == 61).await;
        // The sink knows which of it was left by the earlier run.
        let expected = [numbers(0..50), vec!["begins".to_owned()], numbers(50..60)].concat();
        assert_eq!(lines(&door.log), expected, "{way:?}");
        assert_eq!(meter.store.get().unwrap().recovered.get(), 50);
        balances(&meter);
    }
}

#[tokio::test]
async fn what_was_refused_in_part_is_not_written_twice_by_the_next_run() {
    let (door, drawer) = (Door { refuses: ["3".to_owned()].into(), ..Door::default() }, Drawer::default());
    let run = Run::new(&door, &drawer, StoreSettings { always: true, ..overflow() });
    run.say(0..10).await;
    let meter = Arc::clone(&run.meter);
    let counted = Arc::clone(&meter);
    run.until("all is dealt with", move || counted.written.get() + counted.refused.get() == 10).await;
    assert_eq!((meter.written.get(), meter.refused.get()), (9, 1));
    balances(&meter);
    let run = Run::new(&door, &drawer.reopened(), overflow());
    let meter = Arc::clone(&run.meter);
    run.until("a moment later", || {
        wait(Duration::from_millis(50));
        true
    })
    .await;
    assert_eq!((meter.store.get().unwrap().recovered.get(), meter.written.get()), (0, 0));
}

#[tokio::test]
async fn a_run_that_is_killed_loses_nothing_that_was_put_away() {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, StoreSettings { always: true, ..overflow() });
    run.say(0..100).await;
    let counted = Arc::clone(&run.meter);
    let Run { pipeline, tell: _tell, .. } = run;
    // Dropped in the middle.
    let all = until("all is put away", move || counted.store.get().unwrap().stored.get() == 100);
    tokio::select! {
        () = all => {}
        _ = pipeline.run_until(std::future::pending(), Duration::from_secs(1)) => panic!("it runs"),
    }
    door.set(Way::Up);
    let run = Run::new(&door, &drawer.reopened(), overflow());
    let log = Arc::clone(&door.log);
    run.until("all is written", move || log.lock().unwrap().len() == 101).await;
    assert_eq!(lines(&door.log), [numbers(0..100), vec!["begins".to_owned()]].concat());
}

#[tokio::test]
async fn a_sink_is_told_that_an_earlier_run_is_over_before_anything_of_this_one() {
    let (door, drawer) = (Door::is(Way::Up), Drawer::default());
    for (run, always) in [(0, true), (10, true), (20, false)] {
        let tried = Run::new(&door, &drawer.reopened(), StoreSettings { always, ..overflow() });
        tried.say(run..run + 10).await;
        let log = Arc::clone(&door.log);
        let written =
            tried.until("all is written", move || log.lock().unwrap().iter().any(|line| *line == (run + 9).to_string())).await;
        assert!(written.is_clean(), "{written:?}");
    }
    let log: Vec<String> = lines(&door.log).into_iter().filter(|line| line != "settled").collect();
    let begins = || vec!["begins".to_owned()];
    assert_eq!(log, [numbers(0..10), begins(), numbers(10..20), begins(), numbers(20..30)].concat());
}

/// What becomes of the world when the program is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    TheDiskKeeps,
    TheSinkTakes,
}

/// Thirty entries are on the disk, and one more waits for it when the program is asked to stop.
async fn stopped_with_one_that_the_disk_has_not_taken(then: Then) -> (Report, Arc<OutletMeter>, Drawer) {
    let (door, drawer) = (Door::is(Way::Down), Drawer::default());
    let run = Run::new(&door, &drawer, overflow());
    run.say(0..30).await;
    let (tell, counted, shelf, mut phase) = (run.tell.clone(), Arc::clone(&run.meter), drawer.clone(), 0);
    let refused = until("the disk has not taken it", move || {
        let store = counted.store.get().unwrap();
        let mut contents = shelf.0.lock().unwrap();
        if phase == 0 && store.stored.get() == 30 {
            contents.forgets = true;
            tell.try_send(event(30)).unwrap();
            phase = 1;
        }
        phase == 1 && contents.next == 31 && store.failures.get() > 0
    });
    let asked = drawer.clone();
    let stop = async move {
        refused.await;
        match then {
            Then::Nothing => {}
            Then::TheDiskKeeps => asked.0.lock().unwrap().forgets = false,
            Then::TheSinkTakes => door.set(Way::Up),
        }
    };
    let Run { pipeline, tell, meter } = run;
    let grace = Duration::from_secs(if then == Then::Nothing { 1 } else { 10 });
    let report = soon(pipeline.run_until(stop, grace)).await;
    drop(tell);
    balances(&meter);
    (report, meter, drawer)
}

#[tokio::test]
async fn what_the_disk_has_not_taken_at_the_end_is_lost_and_no_part_of_what_stays() {
    let (report, meter, drawer) = stopped_with_one_that_the_disk_has_not_taken(Then::Nothing).await;
    assert_eq!(report.late, ["sink out"]);
    assert_eq!((meter.held(), meter.stored()), (31, 30));
    assert_eq!(drawer.reopened().entries(), 30);
}

#[tokio::test]
async fn what_the_disk_takes_in_the_end_or_the_sink_is_not_lost() {
    let (report, meter, drawer) = stopped_with_one_that_the_disk_has_not_taken(Then::TheDiskKeeps).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((meter.held(), meter.stored(), drawer.reopened().entries()), (31, 31, 31));
    let (report, meter, _) = stopped_with_one_that_the_disk_has_not_taken(Then::TheSinkTakes).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((meter.held(), meter.written.get()), (0, 31));
}
