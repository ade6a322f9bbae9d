//! Prometheus: documents are pieces of a page of metrics that is there to be scraped.

mod config;
mod document;
mod family;
mod keeper;
mod page;
mod registry;
mod sample;
mod server;
mod shelf;

use std::future::pending;
use std::sync::Arc;

use sluicebox_contract::{Entry, Fault, Outcome, Sink};
use tokio::time::{Instant, sleep_until};

pub use config::Config;

use crate::aside::Aside;
use keeper::Keeper;

/// The sink.
#[derive(Debug)]
pub struct Prometheus {
    keeper: Aside<Keeper>,
}

impl Prometheus {
    /// Touches nothing: the first write or the first upkeep begins to listen.
    pub fn new(name: Arc<str>, config: &Config) -> Self {
        Self { keeper: Aside::new(Keeper::new(name, config.clone())) }
    }
}

/// Nothing is left of an earlier run, so there is nothing to do when all is settled.
impl Sink for Prometheus {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        // A copy: the work goes on beside us when we are dropped.
        let batch = batch.to_vec();
        let now = Instant::now();
        let written = self.keeper.call(move |keeper| keeper.write(batch, now));
        written.await.unwrap_or_else(|fault| Outcome::stopped_at(0, fault))
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        let keeper = self.keeper.worker().await?;
        if keeper.is_listening() {
            match keeper.next_due() {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        }
        let now = Instant::now();
        self.keeper.call(move |keeper| keeper.upkeep(now)).await?
    }
}
