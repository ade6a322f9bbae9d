//! Pages of metrics, read where they are served: what a Prometheus would scrape, told without one.
//!
//! `fetch.rs` reads a page: `text/` while it comes, `filter.rs` says what of it is wanted, `rows.rs` holds that. `growth.rs` knows what has
//! grown since the page before, `shape.rs` makes the series that are told, `tell.rs` tells them. `work.rs` decides what is done when, `outage.rs` what an
//! operator reads of it when a target fails.

mod config;
mod fetch;
mod filter;
#[cfg(test)]
mod fuzz;
mod growth;
mod outage;
mod rows;
mod shape;
mod tell;
mod text;
mod work;

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Source, SubjectIds};

use work::Work;

pub use config::{Config, Counters, Target};
pub use filter::Wanted;

/// The source.
pub struct Scrape {
    work: Work,
}

impl Scrape {
    /// Reads the targets of `config`. Must be called within a runtime.
    pub fn new(config: &Config, ids: Arc<SubjectIds>, meter: Arc<SourceMeter>) -> Result<Self, Fault> {
        meter.reads.set(1);
        Ok(Self { work: Work::new(config, ids, meter)? })
    }
}

impl Source for Scrape {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = self.work.run(feed) => ended,
        }
    }
}
