//! Bursts, looks that hang, callers that give up, and what it all costs.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_in_pieces_is_reported_once_it_is_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "").unwrap();
    let mut watch = polling(Duration::from_secs(2), Duration::from_millis(200));
    watch.follow(known(&[&path]));
    let write = async {
        for _ in 0..100 {
            append(&path);
            sleep(Duration::from_millis(10)).await;
        }
        Instant::now()
    };
    let read = async {
        let report = watch.changed().await;
        (report, fs::read(&path).unwrap().len(), Instant::now())
    };
    let (quiet, (report, bytes, reported)) = tokio::join!(write, read);
    assert_eq!((report.len(), bytes), (1, 100), "the whole file is there when it is reported");
    assert!(reported >= quiet, "not before it is quiet");
    let more = timeout(NEVER, watch.changed()).await;
    assert_eq!(more.ok(), None, "one report");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_never_rests_is_reported_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "").unwrap();
    let mut watch = polling(Duration::from_secs(2), Duration::from_millis(200));
    watch.follow(known(&[&path]));
    let write = async {
        // One second of a thousand changes, ten times over.
        for _ in 0..10_000 {
            append(&path);
            sleep(Duration::from_millis(1)).await;
        }
    };
    let mut reports = 0;
    let read = async {
        while watch.changed().await.len() == 1 {
            reports += 1;
        }
    };
    let _ended = tokio::join!(write, timeout(Duration::from_secs(20), read));
    assert!((2..=6).contains(&reports), "{reports} reports");
    assert_eq!(watch.paths[&path].reported, fingerprint(&path), "the last state is reported");
}

fn append(path: &Path) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap();
}

#[tokio::test]
async fn a_thousand_changes_are_few_reports_and_the_last_counts() {
    let mut scene = Scene::new();
    let path = scene.path("a");
    fs::write(&path, "").unwrap();
    scene.follow("a").await;
    for watch in &mut scene.watches {
        let began = Instant::now();
        let write = async {
            for number in 0..1000 {
                if number % 2 == 0 {
                    fs::write(&path, number.to_string()).unwrap();
                } else {
                    replace(&path, &number.to_string());
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let mut reports = 0_u32;
        let mut read = String::new();
        let follow = async {
            while read != "999" {
                assert_eq!(watch.changed().await.len(), 1);
                read = fs::read_to_string(&path).unwrap();
                reports += 1;
            }
        };
        let (written, followed) = tokio::join!(write, timeout(PATIENCE, follow));
        let ((), ()) = (written, followed.expect("the last content is reported"));
        // A slow machine takes more than a second, and pauses in the middle.
        let bound = 1 + began.elapsed().as_millis() / 50;
        assert!(u128::from(reports) <= bound, "{reports} reports");
    }
}

#[tokio::test]
async fn files_that_are_only_read_and_neighbours_that_change_wake_nobody() {
    let mut scene = Scene::new();
    let (path, neighbour) = (scene.path("a"), scene.path("neighbour"));
    fs::write(&path, "1").unwrap();
    scene.follow("a").await;
    let watch = &mut scene.watches[0];
    let rounds = watch.round;
    let read = async {
        for _ in 0..300 {
            assert_eq!(fs::read_to_string(&path).unwrap(), "1");
            replace(&neighbour, "2");
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        report = watch.changed() => panic!("nothing has changed: {report:?}"),
        () = read => {}
    }
    assert_eq!(watch.round, rounds, "no event has led to a look");
}

#[tokio::test]
async fn a_future_that_is_dropped_again_and_again_loses_nothing() {
    let mut scene = Scene::new();
    let path = scene.path("a");
    fs::write(&path, "1").unwrap();
    scene.follow("a").await;
    replace(&path, "2");
    for watch in &mut scene.watches {
        let reported = async {
            loop {
                if let Ok(report) = timeout(Duration::from_millis(1), watch.changed()).await {
                    return report;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, reported).await.unwrap(), BTreeSet::from([path.clone()]));
    }
}

/// Looks as usual, but at the path `hangs` only when the gate lets it.
fn gated(hangs: &Path, gate: Receiver<()>, looks: &Arc<AtomicUsize>) -> Looker {
    let (hangs, looks, gate) = (hangs.to_path_buf(), Arc::clone(looks), Mutex::new(gate));
    Arc::new(move |path| {
        if path == hangs {
            looks.fetch_add(1, Ordering::SeqCst);
            let _closed = gate.lock().unwrap().recv();
        }
        look::look(path)
    })
}

#[tokio::test]
async fn a_path_that_hangs_stops_no_other_and_holds_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    let [hangs, lives] = ["hangs", "lives"].map(|name| folder.path().join(name));
    let (open, gate) = sync_channel(1);
    let looks = Arc::new(AtomicUsize::new(0));
    let settings = WatchSettings { poll: Duration::from_millis(20), debounce: Duration::from_millis(20) };
    let mut watch = Watch::with(settings, Hints::new(), gated(&hangs, gate, &looks));
    watch.follow(known(&[&hangs, &lives]));
    for text in ["1", "22", "333"] {
        fs::write(&lives, text).unwrap();
        expect_report(&mut watch, &lives).await;
        // To be given up and taken up again starts no second look.
        watch.follow(known(&[&lives]));
        watch.follow(known(&[&hangs, &lives]));
    }
    assert_eq!(looks.load(Ordering::SeqCst), 1);
    fs::write(&hangs, "1").unwrap();
    drop(open);
    expect_report(&mut watch, &hangs).await;
}

#[tokio::test]
async fn a_look_that_was_overtaken_by_the_reader_reports_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "1").unwrap();
    let (open, gate) = sync_channel(1);
    let slow: Looker = {
        let gate = Mutex::new(gate);
        Arc::new(move |path| {
            let look = look::look(path);
            let _closed = gate.lock().unwrap().recv();
            look
        })
    };
    let settings = WatchSettings { poll: Duration::from_millis(20), debounce: Duration::from_millis(20) };
    let mut watch = Watch::with(settings, Hints::none(), slow);
    watch.follow(known(&[&path]));
    timeout(Duration::from_millis(100), watch.changed()).await.unwrap_err();
    replace(&path, "22");
    watch.follow(known(&[&path]));
    open.send(()).unwrap();
    drop(open);
    settle(&mut watch).await;
}

#[tokio::test]
async fn a_look_that_panics_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let looks = AtomicUsize::new(0);
    let fails_first: Looker = Arc::new(move |path| {
        assert!(looks.fetch_add(1, Ordering::SeqCst) > 0, "on purpose");
        look::look(path)
    });
    let settings = WatchSettings { poll: Duration::from_millis(20), debounce: Duration::from_millis(20) };
    let mut watch = Watch::with(settings, Hints::new(), fails_first);
    watch.follow(known(&[&path]));
    fs::write(&path, "1").unwrap();
    expect_report(&mut watch, &path).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_watch_that_is_dropped() {
    let mut scene = Scene::new();
    scene.follow("a").await;
    let [watch, _] = scene.watches;
    let (listener, folder) = (Arc::downgrade(&watch.hints.listener), scene.folder);
    assert!(is_watched(folder.path()));
    drop(watch);
    let ended = async {
        // notify's thread holds the one, and the kernel the other.
        while listener.upgrade().is_some() || is_watched(folder.path()) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the thread ends");
}

#[tokio::test]
#[ignore = "measures for half a minute, alone: cargo test -p sluicebox --lib what_watching_costs -- --ignored --nocapture"]
async fn what_watching_costs() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["..1", "..2"] {
        publish(folder.path(), version, "0", version);
    }
    let paths: Vec<PathBuf> = ["0", "1", "2", "3", "4"].iter().map(|name| folder.path().join(name)).collect();
    for path in &paths[1..] {
        fs::write(path, "1").unwrap();
    }
    let before = processor_time();
    write_beside(folder.path()).await;
    println!("5000 writes of a neighbour, not watched: {:?}", processor_time().saturating_sub(before));
    let mut watch = Watch::new(WatchSettings::default());
    watch.follow(paths.iter().map(|path| (path.clone(), fingerprint(path))).collect());
    settle(&mut watch).await;
    let before = processor_time();
    timeout(Duration::from_secs(5), watch.changed()).await.unwrap_err();
    println!("idle for 5 s: {:?}", processor_time().saturating_sub(before));
    let before = processor_time();
    write_beside(folder.path()).await;
    println!("5000 writes of a neighbour, not looked at: {:?}", processor_time().saturating_sub(before));
    let before = processor_time();
    tokio::select! {
        report = watch.changed() => panic!("nothing has changed: {report:?}"),
        () = write_beside(folder.path()) => {}
    }
    println!("5000 writes of a neighbour, looked at: {:?}", processor_time().saturating_sub(before));
    let before = processor_time();
    tokio::select! {
        report = watch.changed() => panic!("nothing has changed: {report:?}"),
        () = read_beside(folder.path()) => {}
    }
    println!("5000 openings of a neighbour, looked at: {:?}", processor_time().saturating_sub(before));
}

async fn read_beside(folder: &Path) {
    for _ in 0..5000 {
        fs::read(folder.join("neighbour")).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
}

async fn write_beside(folder: &Path) {
    for _ in 0..5000 {
        fs::write(folder.join("neighbour"), "").unwrap();
        sleep(Duration::from_millis(1)).await;
    }
}

/// Of all threads that live.
fn processor_time() -> Duration {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(nanoseconds.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap()).sum())
}
