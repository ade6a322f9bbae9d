//! Scripted parts: a source that says a list, a shaper that does as it is told, a sink that records.

#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod door;
pub mod drawer;
pub mod shaper;
pub mod stage;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_contract::{
    Change, Entry, Event, Fault, Feed, Forget, Metric, ModuleIdentity, Notice, ObjectEvent, ObjectKind, Outcome, Reading,
    Refusal, Sample, Sink, Source, Subject, SubjectId, SubjectKind, Tick, UnixNanos,
};
use sluicebox_pipeline::{Bounds, LaneSettings, LaneTerms, OutletHandle, OutletSettings, OutletTerms, WhenFull};

pub use shaper::Scripted;

pub type Log = Arc<Mutex<Vec<String>>>;

pub fn event(number: usize) -> Notice {
    Notice::Event(Event::Object(ObjectEvent {
        subject: SubjectId(1),
        kind: ObjectKind::Node,
        change: Change::Added,
        observed_at: UnixNanos::now(),
        uid: "uid".into(),
        namespace: "".into(),
        name: number.to_string().into(),
        json: None,
    }))
}

/// An event about a subject.
pub fn event_about(id: u32, number: usize) -> Notice {
    let Notice::Event(Event::Object(event)) = event(number) else { panic!("an object") };
    Notice::Event(Event::Object(ObjectEvent { subject: SubjectId(id), ..event }))
}

/// One sample for each of these subjects.
pub fn tick(ids: impl IntoIterator<Item = u32>) -> Notice {
    let reading = Reading::Value(1);
    let sample = |id| Sample { subject: SubjectId(id), metric: Metric::MemoryUsage, reading };
    let samples = ids.into_iter().map(sample).collect();
    Notice::Event(Event::Tick(Arc::new(Tick { observed_at: UnixNanos::now(), online_cpus: 2, samples })))
}

pub fn known(id: u32) -> Arc<Subject> {
    Arc::new(Subject {
        id: SubjectId(id),
        kind: SubjectKind::Node,
        uid: format!("uid-{id}"),
        namespace: String::new(),
        name: format!("node-{id}"),
        attributes: Vec::new(),
    })
}

pub fn subject(id: u32) -> Notice {
    Notice::Defined(known(id))
}

pub fn forgotten(id: u32) -> Notice {
    Notice::Forgotten(SubjectId(id))
}

/// The event of a notice that is one.
pub fn fact(notice: Notice) -> Event {
    let Notice::Event(event) = notice else { panic!("an event") };
    event
}

/// Says its notices, then waits for the stop.
pub struct Script(pub Vec<Notice>);

impl Source for Script {
    async fn run(self, mut feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        for notice in self.0 {
            if feed.send(notice).await.is_err() {
                return Ok(());
            }
        }
        stop.await;
        Ok(())
    }
}

/// Records what it is given.
#[derive(Clone, Default)]
pub struct Recorder {
    pub log: Log,
    /// How many writes fail after having written one entry.
    pub bad_writes: Arc<Mutex<usize>>,
    /// Bodies that are refused for good.
    pub refuses: BTreeSet<String>,
    /// The class of the failures is fatal.
    pub fatal: bool,
    /// Never answers.
    pub stalls: bool,
    /// Its own work fails each time.
    pub bad_upkeep: bool,
}

impl Sink for Recorder {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        if self.stalls {
            std::future::pending::<()>().await;
        }
        let mut outcome = Outcome::written();
        for (index, entry) in batch.iter().enumerate() {
            if index == 1 || batch.len() == 1 {
                let mut bad = self.bad_writes.lock().unwrap();
                if *bad > 0 {
                    *bad -= 1;
                    let fault = if self.fatal {
                        Fault::fatal("write", "wrong address")
                    } else {
                        Fault::retry("write", "connection refused")
                    };
                    outcome.stopped = Some((index, fault));
                    return outcome;
                }
            }
            let body = match entry {
                Entry::Message(message) => String::from_utf8(message.body.clone()).unwrap(),
                Entry::Document(document) => document.name.clone(),
                Entry::Forget(Forget { name, .. }) => name.clone(),
            };
            if self.refuses.contains(&body) {
                outcome.refused.push(Refusal { index, reason: "no such name".into() });
            } else {
                self.log.lock().unwrap().push(body);
            }
        }
        outcome
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        if self.bad_upkeep {
            return Err(Fault::retry("forget", "permission denied"));
        }
        std::future::pending().await
    }

    async fn settled(&mut self) -> Result<(), Fault> {
        self.log.lock().unwrap().push("settled".into());
        Ok(())
    }
}

pub fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().clone()
}

pub fn outlet_terms(lanes: &[&str]) -> OutletTerms {
    let settings = OutletSettings {
        first_wait: Duration::from_millis(2),
        write_timeout: Duration::from_millis(200),
        ..OutletSettings::default()
    };
    OutletTerms {
        settings,
        bounds: Bounds { items: 64, bytes: 1 << 20, when_full: WhenFull::Wait },
        meter: Arc::default(),
        lanes: lanes.iter().map(ToString::to_string).collect(),
        store: None,
    }
}

pub fn lane_terms(outlets: &[OutletHandle]) -> LaneTerms {
    let settings =
        LaneSettings { first_rest: Duration::from_millis(2), longest_rest: Duration::from_millis(20), ..LaneSettings::default() };
    LaneTerms {
        module: ModuleIdentity { name: "scripted".into(), version: "1".into(), digest: "00".into() },
        settings,
        bounds: Bounds { items: 128, bytes: 1 << 20, when_full: WhenFull::Wait },
        meter: Arc::default(),
        outlets: outlets.to_vec(),
        sources: 1,
        joins: false,
    }
}

/// Ready when the log has so many lines.
pub async fn reaches(log: &Log, count: usize) {
    let end = Instant::now() + stage::PATIENCE;
    while log.lock().unwrap().len() < count {
        assert!(Instant::now() < end, "only {:?}", lines(log));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
