//! A sink that can be taken away, and an outlet with a store for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Entry, Fault, Outcome, Refusal, Sink};
use sluicebox_pipeline::{Bounds, OutletTerms, StoreSettings, StoreTerms, WhenFull};

use super::drawer::Drawer;
use super::{Log, outlet_terms};

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
