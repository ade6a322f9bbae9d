//! A sink that can be taken away, and an outlet with a store for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Entry, Fault, Notice, Outcome, Refusal, Sink};
use sluicebox_pipeline::{Bounds, OutletTerms, Pipeline, Report, StoreSettings, StoreTerms, WhenFull};
use tokio::sync::mpsc;

use super::drawer::Drawer;
use super::stage::{Tap, soon, tap, until};
use super::{Log, Scripted, event, lane_terms, outlet_terms};

/// How the outside fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    #[default]
    Up,
    /// Every write is refused for now.
    Down,
    /// No write ever ends.
    Hangs,
}

/// A sink that can be taken away.
#[derive(Clone, Default)]
pub struct Door {
    pub log: Log,
    pub way: Arc<Mutex<Way>>,
    pub refuses: BTreeSet<String>,
    /// How many entries each write was given.
    pub sizes: Arc<Mutex<Vec<usize>>>,
}

impl Door {
    pub fn is(way: Way) -> Self {
        let door = Self::default();
        door.set(way);
        door
    }

    pub fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }
}

impl Sink for Door {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        self.sizes.lock().unwrap().push(batch.len());
        let way = *self.way.lock().unwrap();
        match way {
            Way::Hangs => std::future::pending().await,
            Way::Down => Outcome::stopped_at(0, Fault::retry("cannot write", "connection refused")),
            Way::Up => {
                let mut outcome = Outcome::written();
                for (index, entry) in batch.iter().enumerate() {
                    let Entry::Message(message) = entry else { panic!("a message") };
                    let body = String::from_utf8(message.body.clone()).unwrap();
                    if self.refuses.contains(&body) {
                        outcome.refused.push(Refusal { index, reason: "no such name".into() });
                    } else {
                        self.log.lock().unwrap().push(body);
                    }
                }
                outcome
            }
        }
    }

    async fn begins(&mut self) {
        self.log.lock().unwrap().push("begins".into());
    }

    async fn settled(&mut self) -> Result<(), Fault> {
        self.log.lock().unwrap().push("settled".into());
        Ok(())
    }
}

pub fn overflow() -> StoreSettings {
    StoreSettings { always: false, entries_per_second: 1_000_000, when_refused: WhenFull::Wait }
}

pub fn terms(drawer: &Drawer, settings: StoreSettings) -> OutletTerms {
    let mut terms = outlet_terms(&["lane"]);
    terms.bounds = Bounds { items: 4, bytes: 1 << 20, when_full: WhenFull::Wait };
    terms.settings.drain = Duration::from_millis(200);
    terms.store = Some(StoreTerms { backlog: Box::new(drawer.clone()), settings });
    terms
}

/// What went in is written, refused, dropped or held.
pub fn balances(meter: &OutletMeter) {
    let store = meter.store.get().unwrap();
    let gone_in = meter.accepted.get() + store.recovered.get();
    let in_store = store.dropped.get() + store.too_large.get() + store.damaged.get();
    let dropped = meter.queue.dropped.get() + in_store + meter.undelivered.get();
    let held = u64::try_from(meter.held()).unwrap();
    assert_eq!(gone_in, meter.written.get() + meter.refused.get() + dropped + held, "{meter:?}");
}

/// A pipeline with one lane and one sink with a store.
pub struct Run {
    pub pipeline: Pipeline,
    pub tell: mpsc::Sender<Notice>,
    pub meter: Arc<OutletMeter>,
}

impl Run {
    pub fn new(door: &Door, drawer: &Drawer, settings: StoreSettings) -> Self {
        let mut pipeline = Pipeline::default();
        let terms = terms(drawer, settings);
        let meter = Arc::clone(&terms.meter);
        let outlet = pipeline.outlet("out", door.clone(), terms);
        let mut lane = lane_terms(&[outlet]);
        lane.settings.batch = 2;
        let lane = pipeline.lane("lane", Scripted::default(), lane).unwrap().handle();
        let (tell, source): (_, Tap) = tap();
        pipeline.source("tap", source, &[lane]);
        Self { pipeline, tell, meter }
    }

    pub async fn say(&self, events: std::ops::Range<usize>) {
        for number in events {
            self.tell.send(event(number)).await.unwrap();
        }
    }

    /// Runs until that is so, then stops.
    pub async fn until(self, what: &str, is_so: impl FnMut() -> bool) -> Report {
        let Self { pipeline, tell, .. } = self;
        let report = soon(pipeline.run_until(until(what, is_so), Duration::from_secs(10))).await;
        drop(tell);
        report
    }
}
