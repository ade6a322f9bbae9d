//! `ConfigMap`s: each document is a key of one. Many nodes write to the same ones.
//!
//! What is ours is kept in memory, and written whole by server-side apply: the API server knows for each key whose it is, changes and
//! removes nothing that is somebody else's, and keeps what it knows across restarts of ours. (It also knows it for patches, but of at most ten
//! writers.) Each write is for one version of the object, so that no two writers can exceed the budget together; only where that is far away,
//! writes take any version, and one request each however many writers there are.
//!
//! `place.rs` says where an entry belongs, `map.rs` what a `ConfigMap` is to hold, `observed.rs` what the API server tells of it,
//! `flush.rs` brings the two together by the requests of `remote.rs`.

mod config;
mod flush;
#[cfg(test)]
mod fuzz;
mod load;
mod map;
mod observed;
mod place;
mod reaction;
mod remote;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::pending;
use std::sync::Arc;

use futures::future::join_all;
use sluicebox_contract::{Entry, Fault, Outcome, Refusal, Sink};
use sluicebox_kubernetes::Api;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

pub use config::Config;

use crate::obstacle::Obstacle;
use crate::retention::Retention;
use config::MOST_MAPS;
use flush::Terms;
use map::{Displaced, Map};
use place::{Order, Place};
use remote::Remote;

/// So much is written together: what a period brings.
const MOST_ENTRIES: usize = 16_384;

/// The sink.
pub struct ConfigMaps {
    name: Arc<str>,
    config: Config,
    remote: Remote,
    maps: BTreeMap<String, Map>,
    retention: Retention<Place>,
    /// Everything that was there at the start has been written.
    settled: bool,
}

impl fmt::Debug for ConfigMaps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manager = &self.remote.manager;
        formatter.debug_struct("ConfigMaps").field("manager", manager).field("maps", &self.maps.keys()).finish_non_exhaustive()
    }
}

/// Which entries of a batch concern one `ConfigMap`.
#[derive(Default)]
struct Touched {
    first: usize,
    /// Which one has put a key last.
    puts: HashMap<String, usize>,
}

impl ConfigMaps {
    /// Asks nothing yet. `node` owns the keys unless the settings name somebody else.
    pub fn new(name: Arc<str>, config: &Config, node: &str, api: Api) -> Self {
        let manager = place::manager(config.owner.as_deref().unwrap_or(node), &name);
        let remote = Remote { api, namespace: config.namespace.clone(), manager, touches: config.abandoned_after.is_some() };
        let now = Instant::now();
        let maps = config.names().into_iter().map(|name| (name, Map::new(now))).collect();
        Self { name, config: config.clone(), remote, maps, retention: Retention::new(Place::weight), settled: false }
    }

    /// What an entry changes, in memory.
    async fn take(&mut self, index: usize, entry: &Entry, touched: &mut BTreeMap<String, Touched>) -> Result<(), Obstacle> {
        let (place, order) = place::read(entry, &self.config).map_err(Obstacle::Refused)?;
        self.look_first(&place.map).await?;
        let Some(map) = self.maps.get_mut(&place.map) else { return Ok(()) };
        let now = Instant::now();
        let touched = touched.entry(place.map.clone()).or_insert_with(|| Touched { first: index, ..Touched::default() });
        match order {
            Order::Put { value } => {
                map.put(&place.key, value, now);
                self.retention.keep(&place);
                touched.puts.insert(place.key, index);
            }
            Order::Remove => {
                map.remove(&place.key);
                self.retention.keep(&place);
                touched.puts.remove(&place.key);
            }
            Order::RemoveAfter(after) => {
                // Longer than the clock can count is for ever.
                if let Some(at) = now.checked_add(after.0) {
                    self.retention.forget_at(place, at);
                }
            }
        }
        Ok(())
    }

    /// Has a `ConfigMap` among those that are written to, and read.
    async fn look_first(&mut self, name: &str) -> Result<(), Obstacle> {
        if !self.maps.contains_key(name) {
            if self.maps.len() >= MOST_MAPS {
                self.drop_idle();
            }
            if self.maps.len() >= MOST_MAPS {
                return Err(Obstacle::Refused(format!(
                    "it would be one ConfigMap more than the {MOST_MAPS} that one sink writes to"
                )));
            }
            self.maps.insert(name.to_owned(), Map::new(Instant::now()));
        }
        let (terms, maps) = self.terms();
        match maps.get_mut(name) {
            Some(map) => terms.look_first(name, map).await.map_err(Obstacle::Stopped),
            None => Ok(()),
        }
    }

    fn drop_idle(&mut self) {
        let own = self.config.names();
        self.maps.retain(|name, map| own.contains(name) || !map.is_idle());
    }

    fn terms(&mut self) -> (Terms<'_>, &mut BTreeMap<String, Map>) {
        let adopts = self.config.expire_after.is_some() || !self.settled;
        (Terms { sink: &self.name, config: &self.config, remote: &self.remote, adopts }, &mut self.maps)
    }

    /// Removes, in memory, what is to be forgotten now.
    fn forget_due(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self.retention.due(now).cloned().collect();
        for place in due {
            if let Some(map) = self.maps.get_mut(&place.map) {
                map.remove(&place.key);
            }
            self.retention.keep(&place);
        }
        if let Some(after) = self.config.expire_after {
            for map in self.maps.values_mut() {
                map.expire(after.0, now);
            }
        }
    }

    /// Brings all `ConfigMap`s to what they are to be.
    async fn flush(&mut self) -> Vec<(String, Result<Vec<Displaced>, Fault>)> {
        let own = self.config.names();
        let (terms, maps) = self.terms();
        let (terms, own) = (&terms, &own);
        join_all(maps.iter_mut().map(|(name, map)| async move {
            let own = own.contains(name);
            // What nobody writes to is not looked at again and again.
            let result = if own || !map.is_idle() { terms.flush(name, map, own).await } else { Ok(Vec::new()) };
            (name.clone(), result)
        }))
        .await
    }

    async fn flush_or_fault(&mut self) -> Result<(), Fault> {
        let results = self.flush().await;
        results.into_iter().map(|(_, result)| result.map(|_| ())).find(Result::is_err).unwrap_or(Ok(()))
    }

    /// When there is something to do besides writing.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let own = self.config.names();
        let expiry = |map: &Map| map.oldest()?.1.checked_add(self.config.expire_after?.0);
        let times = self.maps.iter().filter(|(name, map)| own.contains(name) || !map.is_idle()).flat_map(|(_, map)| {
            let look = map.read_at.map_or(Some(now), |at| at.checked_add(self.config.resync.0));
            let write = map.is_changed().then_some(map.not_before);
            let touch = self.config.touch_after().filter(|_| map.is_wanted()).and_then(|after| map.touch_due(after));
            [look, write, touch, expiry(map)].map(|at| at.map(|at| at.max(map.asked_until)))
        });
        times.flatten().chain(self.retention.next(now)).min()
    }
}

impl Sink for ConfigMaps {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        let mut refused = BTreeMap::new();
        let mut touched = BTreeMap::new();
        let mut stopped: Option<(usize, Fault)> = None;
        for (index, entry) in batch.iter().enumerate() {
            match self.take(index, entry, &mut touched).await {
                Ok(()) => {}
                Err(Obstacle::Refused(reason)) => {
                    refused.insert(index, reason);
                }
                Err(Obstacle::Stopped(fault)) => {
                    stopped = Some((index, fault));
                    break;
                }
            }
        }
        self.forget_due();
        for (name, result) in self.flush().await {
            match (touched.get(&name), result) {
                (Some(touched), Ok(displaced)) => {
                    let index = |key: &str| touched.puts.get(key).copied();
                    refused.extend(displaced.into_iter().filter_map(|one| Some((index(&one.key)?, one.reason))));
                }
                (Some(touched), Err(fault)) => {
                    if stopped.as_ref().is_none_or(|(at, _)| touched.first < *at) {
                        stopped = Some((touched.first, fault));
                    }
                }
                (None, Ok(_)) => {}
                // The upkeep that follows meets the same and reports it.
                (None, Err(fault)) => {
                    debug!(sink = %self.name, config_map = name, %fault, "a ConfigMap could not be written yet");
                }
            }
        }
        let refused = refused.into_iter().map(|(index, reason)| Refusal { index, reason }).collect();
        Outcome { refused, stopped }
    }

    /// A write waits for its turn: what has come meanwhile goes with it.
    fn most_calls(&self) -> usize {
        MOST_ENTRIES
    }

    fn most_entries(&self) -> usize {
        MOST_ENTRIES
    }

    async fn begins(&mut self) {
        if !self.settled {
            self.maps.values_mut().for_each(Map::adopt_all);
        }
    }

    async fn settled(&mut self) -> Result<(), Fault> {
        // What is there is taken over first, so that what is waiting to be forgotten is not removed before its time.
        self.flush_or_fault().await?;
        self.settled = true;
        if self.config.expire_after.is_none() {
            let Self { maps, retention, .. } = self;
            for (name, map) in maps {
                map.remove_adopted(|key| retention.contains(&Place { map: name.clone(), key: key.to_owned() }));
            }
        }
        self.flush_or_fault().await
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        match self.next() {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
        self.forget_due();
        self.flush_or_fault().await?;
        let (terms, maps) = self.terms();
        for (name, map) in maps {
            terms.sweep(name, map).await?;
        }
        Ok(())
    }
}
