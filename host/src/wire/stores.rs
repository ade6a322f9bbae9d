//! The stores of sinks: one directory for each, below the state directory.

use std::path::Path;

use anyhow::{Context as _, bail};
use sluicebox_pipeline::{StoreSettings, StoreTerms};
use sluicebox_store::{Queue, QueueSettings, WhenFull};
use tracing::{info, warn};

use crate::config::store::{SinkWhenFull, Store, Sync, Takes};
use crate::directories;
use crate::plan::{Plan, SinkPlan};

/// Opens the store of a sink. What an earlier run has left in it is written first.
pub(super) fn open(sink: &SinkPlan, store: &Store, state: Option<&Path>) -> anyhow::Result<StoreTerms> {
    let name = &sink.name;
    let Some(state) = state else {
        bail!(
            "sink `{name}` is to have a store, and there is no directory for it\n\
             hint: set `state-directory` to one that survives a restart, in a pod one of a volume of the node"
        );
    };
    let (when_full, when_refused) = match sink.when_full {
        SinkWhenFull::Block => (WhenFull::Block, sluicebox_pipeline::WhenFull::Wait),
        SinkWhenFull::DropOldest => (WhenFull::DropOldest, sluicebox_pipeline::WhenFull::DropOldest),
        SinkWhenFull::DropNewest => (WhenFull::DropNewest, sluicebox_pipeline::WhenFull::DropNewest),
    };
    let sync = match store.sync {
        Sync::Always => sluicebox_store::Sync::Always,
        Sync::Every(span) => sluicebox_store::Sync::Every(span),
        Sync::Never => sluicebox_store::Sync::Never,
    };
    let path = directories::store(state, name);
    let settings = QueueSettings { bytes: store.bytes.0, when_full, sync };
    let (queue, found) = Queue::open(&path, settings).with_context(|| {
        format!("sink `{name}`: cannot use its store (hint: the collector must be able to write `state-directory`; `sluicebox store verify {name}` looks at it)")
    })?;
    if found.cut > 0 || found.missing > 0 {
        warn!(sink = %name, bytes_cut = found.cut, entries_missing = found.missing, path = %path.display(), "the store was damaged: what can be read is written, the rest is lost");
    }
    let (always, entries_per_second) = (store.takes == Takes::Always, store.entries_per_second);
    let settings = StoreSettings { always, entries_per_second, when_refused };
    Ok(StoreTerms { backlog: Box::new(queue), settings })
}

/// Says which stores have entries of sinks that are not there any more.
pub(super) fn orphans(plan: &Plan, state: &Path) {
    let Ok(entries) = std::fs::read_dir(state.join(directories::STORES)) else { return };
    for name in entries.flatten().map(|entry| entry.file_name()) {
        let Some(name) = name.to_str() else { continue };
        if plan.sinks.iter().any(|sink| sink.name == name && sink.store.is_some()) {
            continue;
        }
        match Queue::look(&directories::store(state, name)) {
            Ok(found) if found.entries > 0 => {
                warn!(sink = %name, entries = found.entries, hint = "configure the sink with its `store` again, or `sluicebox store drain` takes them out", "entries wait in a store, and no sink of that name with a `store` is configured");
            }
            Ok(_) => {}
            Err(error) => info!(sink = %name, %error, "the store of a sink that is not configured cannot be read"),
        }
    }
}
