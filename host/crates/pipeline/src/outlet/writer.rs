//! Writes to one sink, says what became of it, and how long to wait before the next try.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Backoff, Class, Fault, Outcome, Sink};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::{error, info, warn};

use super::OutletSettings;
use super::gathered::{Gathered, Parcel, Progress};
use super::refusals::Refusals;
use crate::queue::Receiver;

/// After so many tries in a row that failed, single entries are tried until one is written: a sink that is down or overloaded is not sent
/// whole batches each time.
const CIRCUIT_OPENS_AFTER: u64 = 5;

/// A sink, and how it fares.
pub(super) struct Writer<K> {
    name: Arc<str>,
    sink: K,
    pub(super) refusals: Refusals,
    settings: OutletSettings,
    meter: Arc<OutletMeter>,
    /// Lanes that have not settled. One that ends without stays here until another of its name has: what it might have written again
    /// is not stale.
    unsettled: BTreeSet<Arc<str>>,
    backoff: Backoff,
    /// Failures since the last write that succeeded.
    failures: u64,
    /// Whether anything was ever written: a fatal fault before that is a wrong configuration.
    worked: bool,
    /// Whether the last failure was one that trying again does not cure.
    hopeless: bool,
    /// Whether the pipeline was asked to stop: what is hopeless is given up then. None where a store keeps what is not written.
    stopping: Option<watch::Receiver<bool>>,
    upkeep: Upkeep,
    /// Entries that were lost before this run, which tells everything anew.
    lost_before: u64,
}

/// The sink's own work between writes. It fails by itself: entries do not wait for it.
struct Upkeep {
    backoff: Backoff,
    not_before: Option<tokio::time::Instant>,
}

/// What became of one write.
pub(super) struct Written {
    /// So many entries are dealt with.
    pub(super) entries: usize,
    /// It was stopped; how long to wait before the next try.
    pub(super) wait: Option<Duration>,
}

impl<K: Sink> Writer<K> {
    pub(super) fn new(
        name: Arc<str>,
        sink: K,
        refusals: Refusals,
        settings: OutletSettings,
        meter: Arc<OutletMeter>,
        lanes: Vec<String>,
        stopping: Option<watch::Receiver<bool>>,
    ) -> Self {
        let backoff = Backoff::new(settings.first_wait, settings.longest_wait);
        let upkeep = Upkeep { backoff: backoff.clone(), not_before: None };
        let unsettled = lanes.into_iter().map(Arc::from).collect();
        let (failures, worked, lost_before) = (0, false, lost(&meter));
        let hopeless = false;
        Self {
            name,
            sink,
            refusals,
            settings,
            meter,
            unsettled,
            backoff,
            failures,
            worked,
            hopeless,
            stopping,
            upkeep,
            lost_before,
        }
    }

    /// The entries of how many calls of modules are gathered for one write at most.
    pub(super) fn most_calls(&self) -> usize {
        self.sink.most_calls().max(1)
    }

    /// Waits for parcels; meanwhile the sink does its own work. None when the queue is closed and empty. Can be dropped and asked again.
    pub(super) async fn next(&mut self, queue: &mut Receiver<Parcel>) -> Result<Option<Vec<Parcel>>, Fault> {
        let most = self.most_calls();
        loop {
            let fault = tokio::select! {
                biased;
                parcels = queue.take(most) => return Ok(parcels),
                result = self.upkeep.work(&mut self.sink) => match result {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
            };
            if fault.class == Class::Fatal && !self.worked {
                error!(sink = %self.name, %fault, "sink cannot work as configured");
                return Err(fault);
            }
            if self.upkeep.fail() {
                warn!(sink = %self.name, %fault, "sink cannot do its own work, such as forgetting what is due; it is tried again");
            }
        }
    }

    /// Writes once, from this entry on: as many as the sink takes in one write.
    pub(super) async fn write(&mut self, gathered: &Gathered, from: usize) -> Result<Written, Fault> {
        // The time-out of a write is one for so much, and not for whatever was waiting.
        let most = if self.failures >= CIRCUIT_OPENS_AFTER { 1 } else { self.sink.most_entries().max(1) };
        let rest = gathered.entries.get(from..).unwrap_or_default();
        let slice = rest.get(..most).unwrap_or(rest);
        let begin = Instant::now();
        let outcome = match timeout(self.settings.write_timeout, self.sink.write(slice)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::stopped_at(
                0,
                Fault::retry("cannot write", format!("no answer within {:?}", self.settings.write_timeout)),
            ),
        };
        self.meter.writes.observe(begin.elapsed());
        let entries = outcome.stopped.as_ref().map_or(slice.len(), |(index, _)| (*index).min(slice.len()));
        self.count(gathered, from, entries, &outcome).await;
        let wait = match outcome.stopped {
            None => {
                self.succeed();
                None
            }
            Some((_, fault)) => Some(self.fail(&fault)?),
        };
        Ok(Written { entries, wait })
    }

    /// Counts what became of the entries from `first` on, of which so many were dealt with, and keeps those that were refused.
    async fn count(&mut self, gathered: &Gathered, first: usize, written: usize, outcome: &Outcome) {
        let mut count = 0;
        for refusal in outcome.refused.iter().filter(|refusal| refusal.index < written) {
            count += 1;
            self.refusals.bury(gathered, first + refusal.index, &refusal.reason).await;
        }
        self.meter.refused.add(count);
        self.meter.written.add((written as u64).saturating_sub(count));
    }

    /// Tells the sink that what an earlier run has left is written.
    pub(super) async fn begins(&mut self) {
        self.sink.begins().await;
    }

    /// Takes note of how far the lanes are, and tells the sink when all of them have settled.
    pub(super) async fn settle(&mut self, lanes: &[(Arc<str>, Progress)]) -> Result<(), Fault> {
        let mut settled = false;
        for (lane, progress) in lanes {
            if *progress == Progress::Settled {
                settled |= self.unsettled.remove(lane);
            } else {
                self.unsettled.insert(Arc::clone(lane));
            }
        }
        if lost(&self.meter) > self.lost_before {
            if settled {
                warn!(sink = %self.name, "of what was there at the start something was dropped: nothing that the sink keeps is taken for stale");
            }
            return Ok(());
        }
        while settled && self.unsettled.is_empty() {
            let Err(fault) = self.sink.settled().await else {
                return Ok(());
            };
            let wait = self.fail(&fault)?;
            self.wait(wait).await;
        }
        Ok(())
    }

    /// Waits before the next try; meanwhile the sink does its own work, which may be what makes room.
    pub(super) async fn wait(&mut self, wait: Duration) {
        let upkeep = async {
            while self.upkeep.work(&mut self.sink).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _elapsed = timeout(wait, upkeep) => {}
            () = stopped(self.stopping.as_mut().filter(|_| self.hopeless)) => {}
        }
    }

    fn succeed(&mut self) {
        if self.failures > 0 {
            info!(sink = %self.name, failures = self.failures, "sink works again");
        }
        self.failures = 0;
        self.hopeless = false;
        self.worked = true;
        self.backoff.reset();
        self.meter.ready.set(1);
        self.meter.circuit_open.set(0);
    }

    /// Says how long to wait; gives the fault back if it is fatal. One warning for each outage, not one for each try.
    fn fail(&mut self, fault: &Fault) -> Result<Duration, Fault> {
        self.hopeless = fault.class == Class::Fatal;
        if self.hopeless && !self.worked {
            error!(sink = %self.name, %fault, "sink cannot work as configured");
            return Err(fault.clone());
        }
        if self.hopeless && self.stopping.as_ref().is_some_and(|stopping| *stopping.borrow()) {
            error!(sink = %self.name, %fault, "sink will not take what waits for it, which is given up");
            return Err(fault.clone());
        }
        self.meter.ready.set(0);
        self.meter.retries.increment();
        self.failures += 1;
        self.meter.circuit_open.set(i64::from(self.failures >= CIRCUIT_OPENS_AFTER));
        let wait = self.backoff.wait();
        if self.failures == 1 {
            warn!(sink = %self.name, %fault, "sink does not take entries; they wait and are tried again");
        }
        Ok(wait)
    }
}

/// Ready when the pipeline was asked to stop; never without a way to know.
async fn stopped(stopping: Option<&mut watch::Receiver<bool>>) {
    match stopping {
        // An error means that the pipeline is gone.
        Some(stopping) => drop(stopping.wait_for(|stop| *stop).await),
        None => std::future::pending().await,
    }
}

impl Upkeep {
    async fn work(&mut self, sink: &mut impl Sink) -> Result<(), Fault> {
        if let Some(time) = self.not_before {
            sleep_until(time).await;
        }
        sink.upkeep().await?;
        self.not_before = None;
        self.backoff.reset();
        Ok(())
    }

    /// Waits before it tries again; says whether this is the first failure in a row.
    fn fail(&mut self) -> bool {
        let first = self.not_before.is_none();
        self.not_before = Some(tokio::time::Instant::now() + self.backoff.wait());
        first
    }
}

/// Entries that were dropped or cannot be read any more.
fn lost(meter: &OutletMeter) -> u64 {
    let store = meter.store.get().map_or(0, |store| store.dropped.get() + store.too_large.get() + store.damaged.get());
    meter.queue.dropped.get() + store
}
