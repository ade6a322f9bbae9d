//! A source that works while the lease is held: what the lanes are told at the beginning and at the end of a term, and in between.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod elections;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cluster::bench::{Bench, NODE};
use cluster::{Recorder, TYPED};
use elections::{DURATION, RENEW_DEADLINE, RETRY_PERIOD, config};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Closed, Fault, Feed, Notice, Source, SubjectIds};
use sluicebox_sources::kubernetes::Api;
use sluicebox_sources::kubernetes::lease::{Election, Leadership};
use sluicebox_sources::{Elected, Pods, pods};
use sluicebox_testkit::api_server::{Kind, RequestFault, RequestFaultKind};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A server with two pods, an election on it, and a source of pods under it.
struct Stage {
    bench: Bench,
    leadership: Leadership,
    recorder: Recorder,
    tasks: JoinSet<()>,
    stop: Option<oneshot::Sender<()>>,
    made: Arc<AtomicU32>,
}

impl Stage {
    async fn new() -> Self {
        Self::that_looks_on(false).await
    }

    async fn that_looks_on(looks_on: bool) -> Self {
        Self::at(Bench::with(&["a", "b"]).await, looks_on).await
    }

    async fn at(bench: Bench, looks_on: bool) -> Self {
        let api = Api::connect(&bench.kubernetes()).await.expect("a way");
        let mut election = Election::new(api.clone(), &config("n"), "me".to_owned(), Duration::ZERO).await;
        let leadership = election.leadership();
        let (recorder, meter, made) = (Recorder::default(), Arc::clone(&bench.meter), Arc::<AtomicU32>::default());
        let (count, ids) = (Arc::clone(&made), Arc::<SubjectIds>::default());
        let pods = move |meter| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Pods::new(&pods::Config::default(), api.clone(), NODE, TYPED, Arc::clone(&ids), meter))
        };
        let leads = leadership.clone();
        let source = if looks_on { Elected::looking_on(leads, meter, pods) } else { Elected::new(leads, meter, pods) };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { match election.run().await {} });
        let (stop, stopped) = oneshot::channel::<()>();
        let feed = recorder.clone();
        tasks.spawn(async move {
            source.run(feed, async { drop(stopped.await) }).await.expect("it ends as asked");
        });
        Self { bench, leadership, recorder, tasks, stop: Some(stop), made }
    }

    /// Somebody else holds the lease.
    fn taken(&self) {
        let spec = serde_json::json!({"holderIdentity": "somebody", "leaseDurationSeconds": DURATION.as_secs()});
        let object = serde_json::json!({"metadata": {"name": "replicas", "namespace": "n"}, "spec": spec});
        if self.bench.server.update(Kind::Leases, object.clone()).is_err() {
            self.bench.server.create(Kind::Leases, object).expect("it is created");
        }
    }

    async fn until_lines(&self, lines: usize) -> Vec<String> {
        let until = timeout(Duration::from_secs(30), async {
            while self.recorder.lines().len() < lines {
                sleep(Duration::from_millis(10)).await;
            }
        });
        until.await.unwrap_or_else(|_| panic!("only {:#?}", self.recorder.lines()));
        self.recorder.lines()
    }

    fn ready(&self) -> bool {
        let meter: &SourceMeter = &self.bench.meter;
        meter.listed.get() == 1 && meter.connected.get() == 1
    }
}

#[tokio::test]
async fn whoever_stands_by_is_ready_and_tells_nothing_and_asks_for_no_pods() {
    let stage = Stage::new().await;
    stage.taken();
    for _ in 0..5 {
        stage.taken();
        sleep(DURATION / 5).await;
        assert!(stage.ready() && stage.recorder.lines().is_empty());
    }
    assert_eq!((stage.made.load(Ordering::Relaxed), stage.leadership.term()), (0, None));
    assert!(stage.bench.server.requests().iter().all(|request| request.path.contains("/leases")));
}

#[tokio::test]
async fn whoever_cannot_see_who_holds_the_lease_is_not_ready_until_it_can() {
    for kind in [RequestFaultKind::Status(403, None), RequestFaultKind::Hang] {
        let bench = Bench::with(&["a", "b"]).await;
        bench.server.fail_at("GET", "/leases", RequestFault { watches: None, times: 3, kind });
        let stage = Stage::at(bench, true).await;
        let failures = || stage.leadership.meter().failures.get();
        let fails = async {
            while failures() < 3 {
                assert!(!stage.ready(), "nobody knows who works");
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_mins(1), fails).await.expect("requests fail");
        let listed = stage.until_lines(3).await;
        assert!(stage.ready() && failures() == 3, "{listed:?}");
    }
}

#[tokio::test]
async fn who_is_told_to_stop_counts_among_those_that_may_be_silent() {
    let bench = Bench::with(&[]).await;
    let api = Api::connect(&bench.kubernetes()).await.expect("a way");
    let grace = Duration::from_secs(7);
    let leadership = Election::new(api, &config("n"), "me".to_owned(), grace).await.leadership();
    assert_eq!(leadership.longest_silence(), DURATION + 2 * RETRY_PERIOD + grace);
}

#[tokio::test]
async fn each_term_begins_anew_ends_with_everything_forgotten_and_is_listed_once() {
    let mut stage = Stage::new().await;
    let first = stage.until_lines(5).await;
    assert_eq!(first, ["define a", "listed a Pending", "define b", "listed b Pending", "complete"]);
    assert!(stage.ready());
    stage.taken();
    let lost = stage.until_lines(7).await;
    assert_eq!(lost[5..], ["forget a", "forget b"]);
    // What happens meanwhile is somebody else's to tell.
    stage.bench.delete("a");
    stage.bench.create("c");
    assert!(stage.ready());
    let second = stage.until_lines(11).await;
    assert_eq!(second[7..], ["define b", "listed b Pending", "define c", "listed c Pending"]);
    sleep(RETRY_PERIOD).await;
    assert_eq!((stage.recorder.lines().len(), stage.made.load(Ordering::Relaxed)), (11, 2), "{:#?}", stage.recorder.lines());
    stage.bench.create("d");
    assert_eq!(stage.until_lines(13).await[11..], ["define d", "added d Pending"]);
    stage.stop.take().expect("it runs").send(()).expect("it listens");
    stage.tasks.join_next().await.expect("a task").expect("no panic");
}

#[tokio::test]
async fn whoever_looks_on_tells_first_what_went_while_nobody_worked() {
    let stage = Stage::that_looks_on(true).await;
    stage.until_lines(5).await;
    stage.taken();
    stage.until_lines(7).await;
    // The other one is gone from here on; until that is certain, this happens.
    sleep(DURATION * 13 / 20).await;
    stage.taken();
    stage.bench.create("lived between");
    stage.bench.create("c");
    stage.bench.server.patch_status("s", "b", &serde_json::json!({"phase": "Running"})).expect("it runs");
    stage.bench.delete("a");
    stage.bench.delete("lived between");
    let second = stage.until_lines(22).await;
    let expected = [
        "define lived between",
        "added lived between Pending",
        "define b",
        "modified b Running, was Pending",
        "define a",
        "modified a Pending, was Pending",
        "deleted a Pending, was Pending",
        "modified lived between Pending, was Pending",
        "deleted lived between Pending, was Pending",
    ];
    assert_eq!(second[7..16], expected, "{second:#?}");
    let forgotten: std::collections::BTreeSet<&str> = second[16..19].iter().map(String::as_str).collect();
    assert_eq!(forgotten.into_iter().collect::<Vec<_>>(), ["forget a", "forget b", "forget lived between"]);
    assert_eq!(second[19..23.min(second.len())][..3], ["define b", "listed b Running", "define c"]);
}

#[tokio::test]
async fn nothing_is_told_after_the_deadline_however_slow_the_lanes_are() {
    let bench = Bench::new().await;
    let api = Api::connect(&bench.kubernetes()).await.expect("a way");
    let mut election = Election::new(api, &config("n"), "me".to_owned(), Duration::ZERO).await;
    let leadership = election.leadership();
    // A lane that is full after three notices, before a source that has more to tell than fits.
    let recorder = Recorder::with_room(3);
    let source = Elected::new(leadership.clone(), Arc::default(), |_| Ok(Chatter));
    let story = async {
        while leadership.term().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        bench.server.fail_at("", "/leases", RequestFault { watches: None, times: u32::MAX, kind: RequestFaultKind::Hang });
        sleep(RENEW_DEADLINE + RETRY_PERIOD).await;
        assert_eq!((leadership.term(), recorder.notices().len()), (None, 3));
        recorder.make_room(1000);
        sleep(RETRY_PERIOD).await;
        // The one that was on its way, and no other.
        assert_eq!(recorder.notices().len(), 4);
    };
    tokio::select! {
        never = election.run() => match never {},
        ended = source.run(recorder.clone(), std::future::pending()) => panic!("it has ended: {ended:?}"),
        () = story => {}
    }
}

#[tokio::test]
async fn a_source_that_cannot_go_on_ends_the_run_and_lanes_that_end_do_too() {
    let bench = Bench::new().await;
    let api = Api::connect(&bench.kubernetes()).await.expect("a way");
    let mut election = Election::new(api, &config("n"), "me".to_owned(), Duration::ZERO).await;
    let leadership = election.leadership();
    let stories = async {
        let broken =
            Elected::new(leadership.clone(), Arc::default(), |_| Ok(Broken)).run(Recorder::default(), std::future::pending());
        assert_eq!(broken.await.expect_err("a fault").cause, "for good");
        let unmade =
            Elected::new(leadership.clone(), Arc::default(), |_| -> Result<Chatter, Fault> { Err(Fault::fatal("a", "b")) });
        assert_eq!(unmade.run(Recorder::default(), std::future::pending()).await.expect_err("a fault").cause, "b");
        let deaf = Recorder::default();
        deaf.close();
        Elected::new(leadership.clone(), Arc::default(), |_| Ok(Chatter))
            .run(deaf, std::future::pending())
            .await
            .expect("it ends");
    };
    tokio::select! {
        never = election.run() => match never {},
        () = stories => {}
    }
}

/// Always has something to say.
struct Chatter;

impl Source for Chatter {
    async fn run(self, mut feed: impl Feed, _stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        while feed.send(Notice::Forgotten(sluicebox_contract::SubjectId(7))).await != Err(Closed) {}
        Ok(())
    }
}

struct Broken;

impl Source for Broken {
    async fn run(self, _feed: impl Feed, _stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        Err(Fault::fatal("cannot work", "for good"))
    }
}
