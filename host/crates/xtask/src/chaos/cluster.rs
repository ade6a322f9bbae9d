//! A cluster whose pods come, change and go all the time, each change with a number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::sleep;

use super::api::Api;
use super::clock::now_milliseconds;
use super::events::Change;
use super::random::Random;

/// What the cluster was made to be.
#[derive(Default)]
pub(super) struct Truth {
    /// The number of the last change of each pod that is there.
    pub(super) there: BTreeMap<String, u64>,
    /// The address of each pod that ever was, with its name.
    pub(super) addresses: BTreeMap<String, String>,
    /// Changes so far.
    pub(super) changes: u64,
    /// Those that have put a pod, by number.
    pub(super) put: BTreeMap<u64, Change>,
    /// Pods that have gone.
    pub(super) gone: Vec<Gone>,
    /// When each pod that is there came, and its address.
    came: BTreeMap<String, (i64, String)>,
    /// What has happened, for whoever looks for a cause.
    pub(super) log: Vec<String>,
    /// Changes that the API server did not take: mistakes of ours.
    pub(super) refused: Vec<String>,
    /// Pods so far.
    pods: u64,
}

/// A pod that has gone, and when.
pub(super) struct Gone {
    pub(super) address: String,
    pub(super) came: i64,
    pub(super) went: i64,
}

/// Changes pods until it is told that it is over.
pub(super) struct Cluster {
    pub(super) api: Arc<Api>,
    truth: Mutex<Truth>,
    most: usize,
    pace: u64,
    pub(super) over: AtomicBool,
    /// Nothing is being changed any more.
    quiet: AtomicBool,
}

/// What is done to a pod.
enum Deed {
    Create(String),
    Change,
    Delete,
}

impl Cluster {
    pub(super) fn new(api: Arc<Api>, most: usize, pace: u64) -> Arc<Self> {
        Arc::new(Self { api, truth: Mutex::default(), most, pace, over: false.into(), quiet: false.into() })
    }

    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn live(self: Arc<Self>, seed: u64) {
        // Another way through the numbers than the plan's.
        let mut random = Random::new(!seed);
        while !self.over.load(Ordering::Relaxed) {
            if let Err(error) = self.change(&mut random).await {
                self.truth().refused.push(format!("the cluster could not be changed: {error:#}"));
            }
            sleep(Duration::from_millis(random.between(1, self.pace))).await;
        }
        self.quiet.store(true, Ordering::Relaxed);
    }

    /// Whether the last change has been made.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    async fn change(&self, random: &mut Random) -> Result<()> {
        let name = format!("web-{}", random.index(self.most));
        let (number, deed) = self.truth().next(&name, random);
        match &deed {
            Deed::Create(address) => self.api.create_pod(&name, address, number).await?,
            Deed::Change => self.api.change_pod(&name, number).await?,
            Deed::Delete => self.api.delete_pod(&name).await?,
        }
        if let Deed::Create(address) = deed {
            self.truth().came.insert(name, (now_milliseconds(), address));
        }
        Ok(())
    }

    /// The pods that are there, as the API server has them, by name.
    pub(super) async fn pods(&self) -> Result<BTreeMap<String, Value>> {
        let names: Vec<String> = self.truth().there.keys().cloned().collect();
        self.api.pods(&names).await
    }
}

impl Truth {
    /// The next change of the pod of this name, which is about to be made.
    fn next(&mut self, name: &str, random: &mut Random) -> (u64, Deed) {
        self.changes += 1;
        let number = self.changes;
        let change = Change { name: name.to_owned(), at: now_milliseconds() };
        let deed = if !self.there.contains_key(name) {
            self.pods += 1;
            let address = format!("10.{}.{}.{}", self.pods >> 16 & 255, self.pods >> 8 & 255, self.pods & 255);
            self.log.push(format!("{} {number} {name} comes at {address}", change.at));
            self.addresses.insert(address.clone(), name.to_owned());
            Deed::Create(address)
        } else if random.percent(15) {
            self.log.push(format!("{} {number} {name} goes", change.at));
            self.there.remove(name);
            if let Some((came, address)) = self.came.remove(name) {
                self.gone.push(Gone { address, came, went: change.at });
            }
            return (number, Deed::Delete);
        } else {
            self.log.push(format!("{} {number} {name} changes", change.at));
            Deed::Change
        };
        self.there.insert(name.to_owned(), number);
        self.put.insert(number, change);
        (number, deed)
    }
}
