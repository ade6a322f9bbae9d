//! A kernel that hangs, refuses and forgets, and notify's thread that ends: hints are late or lost, looks are neither.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind};
use tokio::time::sleep;

use super::super::hints::kernel::{AnyWatcher, Handler, Open};
use super::*;

type Answer = Arc<dyn Fn() -> notify::Result<()> + Send + Sync>;

/// Tells of nothing, and answers as it is told.
struct Deaf {
    /// Lives as long as notify's thread would.
    _handler: Option<Handler>,
    answer: Answer,
    ends_badly: bool,
}

impl Watcher for Deaf {
    fn new<F: notify::EventHandler>(_: F, _: Config) -> notify::Result<Self> {
        Err(notify::Error::generic("not needed"))
    }

    fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
        (self.answer)()
    }

    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        Ok(())
    }

    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        // Not `panic!`, which would only fill the output.
        if self.ends_badly {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

fn deaf(answer: Answer) -> Open {
    Arc::new(move |handler| {
        Ok(Box::new(Deaf { _handler: Some(handler), answer: Arc::clone(&answer), ends_badly: false }) as AnyWatcher)
    })
}

fn with(open: Open, poll: Duration) -> Watch {
    let settings = WatchSettings { poll, debounce: Duration::from_millis(20) };
    Watch::with(settings, Hints::with(open), Arc::new(look::look))
}

/// Changes a file some times, and waits each time until it is reported.
async fn expect_reports(watch: &mut Watch, path: &Path) {
    for text in ["1", "22", "333"] {
        replace(path, text);
        expect_report(watch, path).await;
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_watched_for_long_delays_no_look() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    let (open, gate) = sync_channel::<()>(1);
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Mutex::new(gate));
    let answer: Answer = {
        let calls = Arc::clone(&calls);
        Arc::new(move || {
            calls.fetch_add(1, Ordering::SeqCst);
            let _closed = gate.lock().unwrap().recv();
            Ok(())
        })
    };
    let mut watch = with(deaf(answer), Duration::from_millis(20));
    watch.follow(known(&[&a, &b]));
    expect_reports(&mut watch, &a).await;
    fs::create_dir(folder.path().join("c")).unwrap();
    let c = folder.path().join("c/a");
    watch.follow(known(&[&b, &c]));
    expect_reports(&mut watch, &b).await;
    expect_reports(&mut watch, &c).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one call is out, and no other waits for it");
    drop(open);
    settle_while_polling(&mut watch).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2, "what was wanted meanwhile was asked for");
    assert!(!watch.hints.has_complained);
}

/// Lets it look until the kernel was asked for everything.
async fn settle_while_polling(watch: &mut Watch) {
    let settled = async {
        while !watch.hints.is_settled() {
            let _news = timeout(Duration::from_millis(20), watch.changed()).await;
        }
    };
    timeout(PATIENCE, settled).await.expect("the kernel was asked");
}

#[tokio::test]
async fn a_limit_of_the_kernel_is_told_once_and_tried_again() {
    for kind in [|| ErrorKind::MaxFilesWatch, || ErrorKind::Io(std::io::Error::from_raw_os_error(24))] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let calls = Arc::new(AtomicUsize::new(0));
        let answer: Answer = {
            let calls = Arc::clone(&calls);
            Arc::new(move || match calls.fetch_add(1, Ordering::SeqCst) {
                0..3 => Err(notify::Error::new(kind())),
                _ => Ok(()),
            })
        };
        let mut watch = with(deaf(answer), Duration::from_millis(20));
        watch.follow(known(&[&path]));
        expect_reports(&mut watch, &path).await;
        let watched = async {
            while calls.load(Ordering::SeqCst) < 4 {
                let _news = timeout(Duration::from_millis(20), watch.changed()).await;
            }
        };
        timeout(PATIENCE, watched).await.expect("it is tried again");
        assert!(watch.hints.has_complained);
        settle_while_polling(&mut watch).await;
        expect_reports(&mut watch, &path).await;
        assert_eq!(calls.load(Ordering::SeqCst), 4, "and not any more once it is watched");
    }
}

#[tokio::test]
async fn when_inotify_cannot_be_opened_it_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let calls = AtomicUsize::new(0);
    let open: Open = Arc::new(move |handler| match calls.fetch_add(1, Ordering::SeqCst) {
        0..3 => Err(notify::Error::io(std::io::Error::from_raw_os_error(24))),
        _ => super::super::hints::kernel::inotify(handler),
    });
    let mut watch = with(open, Duration::from_millis(20));
    watch.follow(known(&[&path]));
    expect_reports(&mut watch, &path).await;
    watch_until_watched(&mut watch, folder.path()).await;
    assert!(watch.hints.has_complained);
}

async fn watch_until_watched(watch: &mut Watch, directory: &Path) {
    let watched = async {
        while !is_watched(directory) {
            let _news = timeout(Duration::from_millis(20), watch.changed()).await;
        }
    };
    timeout(PATIENCE, watched).await.expect("the directory is watched");
}

#[tokio::test]
async fn when_the_thread_that_reads_has_ended_looks_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let open: Open = Arc::new(|mut handler| {
        let ends = move |event| {
            handler(event);
            resume_unwind(Box::new("on purpose"));
        };
        Ok(Box::new(RecommendedWatcher::new(ends, Config::default())?))
    });
    let mut watch = with(open, Duration::from_millis(20));
    watch.follow(known(&[&path]));
    watch_until_watched(&mut watch, folder.path()).await;
    expect_reports(&mut watch, &path).await;
    let told = async {
        while !watch.hints.has_complained {
            let _news = timeout(Duration::from_millis(20), watch.changed()).await;
        }
    };
    timeout(PATIENCE, told).await.expect("it is told");
    expect_reports(&mut watch, &path).await;
}

#[tokio::test]
async fn a_watcher_that_panics_stops_nothing_not_even_when_it_is_dropped() {
    for is_started in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let answer: Answer = Arc::new(|| resume_unwind(Box::new("on purpose")));
        // When notify's thread cannot be started, the handler is gone from the beginning.
        let open: Open = Arc::new(move |handler| {
            let handler = Some(handler).filter(|_| is_started);
            Ok(Box::new(Deaf { _handler: handler, answer: Arc::clone(&answer), ends_badly: true }))
        });
        let mut watch = with(open, Duration::from_millis(20));
        watch.follow(known(&[&path]));
        expect_reports(&mut watch, &path).await;
        assert!(watch.hints.has_complained);
    }
    let open: Open =
        Arc::new(|handler| Ok(Box::new(Deaf { _handler: Some(handler), answer: Arc::new(|| Ok(())), ends_badly: true })));
    let mut watch = with(open, Duration::from_millis(20));
    watch.follow(known(&[Path::new("/")]));
    settle(&mut watch).await;
    drop(watch);
}

#[tokio::test]
async fn a_directory_that_goes_and_comes_back_is_watched_again() {
    let folder = tempfile::tempdir().unwrap();
    let [x, y] = ["x", "x/y"].map(|name| folder.path().join(name));
    let path = y.join("a");
    let mut watch = with(Arc::new(super::super::hints::kernel::inotify), Duration::from_millis(200));
    for remove in [true, false, true] {
        fs::create_dir_all(&y).unwrap();
        fs::write(&path, "1").unwrap();
        watch.follow(known(&[&path]));
        watch_until_watched(&mut watch, &y).await;
        settle(&mut watch).await;
        // Often with the same number: nothing but the event tells then.
        if remove {
            fs::remove_dir_all(&y).unwrap();
        } else {
            fs::rename(&y, x.join("z")).unwrap();
        }
        fs::create_dir(&y).unwrap();
        fs::write(&path, "22").unwrap();
        expect_report(&mut watch, &path).await;
        watch_until_watched(&mut watch, &y).await;
    }
    assert!(!is_watched(&x.join("z")), "what was moved away is not watched any more");
}

#[tokio::test]
async fn a_flood_of_openings_beside_wakes_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let [path, neighbour] = ["a", "neighbour"].map(|name| folder.path().join(name));
    fs::write(&neighbour, "").unwrap();
    let mut watch = with(Arc::new(super::super::hints::kernel::inotify), NEVER);
    watch.follow(known(&[&path]));
    settle(&mut watch).await;
    let rounds = watch.round;
    let read = async {
        for _ in 0..100 {
            // Below what the kernel keeps, so that none is lost.
            (0..20).for_each(|_| assert!(fs::read(&neighbour).unwrap().is_empty()));
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        report = watch.changed() => panic!("nothing has changed: {report:?}"),
        () = read => {}
    }
    assert_eq!(watch.round, rounds);
    fs::write(&path, "1").unwrap();
    expect_report(&mut watch, &path).await;
}
