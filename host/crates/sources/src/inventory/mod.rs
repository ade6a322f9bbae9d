//! What runs on this node, all at once: the node, its pods with those who control them, their containers with their processes.
//!
//! `watches.rs` follows the node and its pods, `book.rs` remembers them and makes inventories, `controllers.rs` finds out who controls
//! the pods, `rounds.rs` decides when; the processes are those of [`crate::processes`].

mod book;
mod config;
mod controllers;
mod rounds;
mod watches;

use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Feed, Source, SubjectIds};

use crate::kubernetes::Api;
use crate::owners::Owners;
use controllers::Controllers;
use rounds::Rounds;
use watches::Watches;

pub use config::{Config, Of};

/// The source.
pub struct Inventory {
    watches: Watches,
    rounds: Rounds,
}

impl Inventory {
    /// Tells of a node as `config` says; `node` is the host's own, for when the configuration names none.
    pub fn new(config: &Config, api: Api, node: &str, ids: &Arc<SubjectIds>, meter: Arc<SourceMeter>) -> Self {
        meter.reads.set(1);
        let node = config.node.as_deref().unwrap_or(node);
        let (watches, heard, mirror) = Watches::new(config, &api, node, ids, Arc::clone(&meter));
        let controllers = Controllers::new(config.owners.then(|| Owners::new(api)));
        Self { watches, rounds: Rounds::new(config, node, controllers, heard, mirror, meter) }
    }
}

impl Source for Inventory {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        let Self { watches, rounds } = self;
        // Looking at processes that hangs is left to its thread: nobody waits for it when the source is to stop.
        tokio::select! {
            biased;
            () = stop => Ok(()),
            ended = watches.run() => ended,
            ended = rounds.run(feed) => ended,
        }
    }
}
