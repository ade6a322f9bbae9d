//! Who talks to whom: asks a network tracer at every period, or listens to tracers that push, and tells the ends of their connections apart.
//!
//! `fetch.rs` asks (no more than may come, says `bounded.rs`) and `listen.rs` listens; `document.rs` cuts what comes into connections, `row.rs` reads one, `report.rs` holds those of a
//! report. `totals.rs` knows what has grown since the one before, `ends/` whose the ends are, `watches.rs` asks the API server for that.
//! `work.rs` decides what is done when, `outage.rs` what an operator reads of it when the tracer fails.

mod bounded;
mod config;
mod document;
mod ends;
mod fetch;
#[cfg(test)]
mod fuzz;
mod listen;
mod outage;
mod report;
mod row;
mod totals;
mod trouble;
mod watches;
mod work;

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Source, SubjectIds};

use crate::kubernetes::Api;
use watches::Watches;
use work::Work;

pub use config::{Config, Of};
pub use row::DirectionCodes;

/// The source.
pub struct Tracer {
    watches: Option<Watches>,
    work: Work,
}

impl Tracer {
    /// Asks and listens as `config` says; `api` is needed to tell the ends apart, `node` is the host's own, for when the configuration
    /// names none. Fails where it cannot listen. Must be called within a runtime.
    pub fn new(
        config: &Config,
        api: Option<Api>,
        node: &str,
        ids: Arc<SubjectIds>,
        meter: Arc<SourceMeter>,
    ) -> Result<Self, Fault> {
        meter.reads.set(1);
        let node = config.node.as_deref().unwrap_or(node);
        if !config.kubernetes {
            return Ok(Self { watches: None, work: Work::new(config, None, node, ids, meter)? });
        }
        let Some(api) = api else {
            return Err(Fault::fatal("cannot tell the ends of connections apart", "no way to the API server is configured")
                .hint("configure `kubernetes`, or write `kubernetes: false` in `sources.tracer`"));
        };
        let (watches, known) = Watches::new(config, &api, node, &meter);
        Ok(Self { watches: Some(watches), work: Work::new(config, Some(known), node, ids, meter)? })
    }
}

impl Source for Tracer {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        let Self { watches, work } = self;
        let watching = async {
            match watches {
                Some(watches) => watches.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = watching => ended,
            ended = work.run(feed) => ended,
        }
    }
}
