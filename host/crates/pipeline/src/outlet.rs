//! One sink at work: takes what the lanes made, writes it, and tries again until it is written or refused for good.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink, UnixNanos};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::queue::Receiver;

/// How an outlet works.
#[derive(Clone, Copy, Debug)]
pub struct OutletSettings {
    /// Parcels taken from the queue for one write, at most; each holds the entries of one call of a module.
    pub parcels: usize,
    /// How long one write may take before it counts as failed.
    pub write_timeout: Duration,
    /// The first wait after a failure; it doubles up to `longest_wait`.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for OutletSettings {
    fn default() -> Self {
        Self {
            parcels: 64,
            write_timeout: Duration::from_secs(30),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// What a lane hands to an outlet.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// What one call of the module made.
    Entries { entries: Vec<Entry>, observed_at: UnixNanos },
    /// The lane has shaped everything that was there when its sources began.
    Settled,
}

impl Parcel {
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Entries { entries, .. } => entries.iter().map(Entry::weight).sum(),
            Self::Settled => 16,
        }
    }
}

/// A sink with everything that it needs to work.
pub(crate) struct Outlet<K> {
    pub(crate) name: Arc<str>,
    pub(crate) sink: K,
    pub(crate) queue: Receiver<Parcel>,
    pub(crate) settings: OutletSettings,
    pub(crate) meter: Arc<OutletMeter>,
    /// Lanes that have not settled.
    pub(crate) unsettled: usize,
    pub(crate) backoff: Backoff,
    /// Failures since the last write that succeeded.
    pub(crate) failures: u64,
    /// Whether anything was ever written: a fatal fault before that is a wrong configuration.
    pub(crate) worked: bool,
}

impl<K: Sink> Outlet<K> {
    /// Works until the queue is closed and empty; ends early only when the sink cannot work as configured.
    pub(crate) async fn run(mut self) -> Result<(), Fault> {
        self.meter.ready.set(1);
        while let Some(parcels) = self.next().await? {
            let mut entries = Vec::new();
            let mut times = Vec::new();
            let mut settled = 0;
            for parcel in parcels {
                match parcel {
                    Parcel::Entries { entries: more, observed_at } => {
                        times.push(observed_at);
                        entries.extend(more);
                    }
                    Parcel::Settled => settled += 1,
                }
            }
            self.write(&entries).await?;
            let now = UnixNanos::now();
            for time in times {
                self.meter.delay.observe(time.elapsed_until(now));
            }
            self.settle(settled).await?;
        }
        Ok(())
    }

    /// Waits for parcels; meanwhile the sink does its own work.
    async fn next(&mut self) -> Result<Option<Vec<Parcel>>, Fault> {
        loop {
            let fault = tokio::select! {
                biased;
                parcels = self.queue.take(self.settings.parcels) => return Ok(parcels),
                result = self.sink.upkeep() => match result {
                    Ok(()) => {
                        self.succeed();
                        continue;
                    }
                    Err(fault) => fault,
                },
            };
            let wait = self.fail(&fault)?;
            sleep(wait).await;
        }
    }

    async fn write(&mut self, entries: &[Entry]) -> Result<(), Fault> {
        let mut rest = entries;
        while !rest.is_empty() {
            let begin = Instant::now();
            let outcome = match timeout(self.settings.write_timeout, self.sink.write(rest)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::stopped_at(
                    0,
                    Fault::retry("cannot write", format!("no answer within {:?}", self.settings.write_timeout)),
                ),
            };
            self.meter.writes.observe(begin.elapsed());
            let done = outcome.stopped.as_ref().map_or(rest.len(), |(index, _)| (*index).min(rest.len()));
            self.count(rest, done, &outcome);
            rest = rest.get(done..).unwrap_or_default();
            match outcome.stopped {
                None => self.succeed(),
                Some((_, fault)) => {
                    let wait = self.fail(&fault)?;
                    self.wait(wait).await;
                }
            }
        }
        Ok(())
    }

    fn count(&self, entries: &[Entry], done: usize, outcome: &Outcome) {
        let refused = outcome.refused.iter().filter(|refusal| refusal.index < done);
        let mut count = 0;
        for refusal in refused {
            count += 1;
            let entry = entries.get(refusal.index).map_or_else(String::new, describe);
            warn!(sink = %self.name, %entry, reason = %refusal.reason, "sink refused an entry for good");
        }
        self.meter.refused.add(count);
        self.meter.written.add((done as u64).saturating_sub(count));
    }

    async fn settle(&mut self, lanes: usize) -> Result<(), Fault> {
        if lanes == 0 {
            return Ok(());
        }
        self.unsettled = self.unsettled.saturating_sub(lanes);
        while self.unsettled == 0 {
            let Err(fault) = self.sink.settled().await else {
                return Ok(());
            };
            let wait = self.fail(&fault)?;
            self.wait(wait).await;
        }
        Ok(())
    }

    /// Waits before the next try; meanwhile the sink does its own work, which may be what makes room.
    async fn wait(&mut self, wait: Duration) {
        let upkeep = async {
            while self.sink.upkeep().await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let _elapsed = timeout(wait, upkeep).await;
    }

    fn succeed(&mut self) {
        if self.failures > 0 {
            info!(sink = %self.name, failures = self.failures, "sink works again");
        }
        self.failures = 0;
        self.worked = true;
        self.backoff.reset();
        self.meter.ready.set(1);
    }

    /// Says how long to wait; gives the fault back if it is fatal. One warning for each outage, not one for each try.
    fn fail(&mut self, fault: &Fault) -> Result<Duration, Fault> {
        if fault.class == Class::Fatal && !self.worked {
            error!(sink = %self.name, %fault, "sink cannot work as configured");
            return Err(fault.clone());
        }
        self.meter.ready.set(0);
        self.meter.retries.increment();
        self.failures += 1;
        let wait = self.backoff.wait();
        if self.failures == 1 {
            warn!(sink = %self.name, %fault, "sink does not take entries; they wait and are tried again");
        }
        Ok(wait)
    }
}

/// An entry in a log line: what it is and for whom, not its content.
fn describe(entry: &Entry) -> String {
    const LONGEST: usize = 100;
    let cut = |name: &str| name.chars().take(LONGEST).flat_map(char::escape_default).collect::<String>();
    match entry {
        Entry::Message(message) => format!("message to {}", cut(message.channel.as_deref().unwrap_or("the default channel"))),
        Entry::Document(document) => format!("document {}", cut(&document.name)),
        Entry::Forget(forget) => format!("forget {}", cut(&forget.name)),
    }
}
