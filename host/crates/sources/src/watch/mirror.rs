//! Shows what following counts at the meter of a source that follows for its own use, and whose events and readiness are not those of the
//! following.

use std::sync::Arc;

use sluicebox_contract::meter::{Counter, SourceMeter};

/// What several follow, at one meter.
#[derive(Debug)]
pub(crate) struct Mirror {
    from: Vec<Arc<SourceMeter>>,
    to: Arc<SourceMeter>,
    shown: [u64; 4],
}

impl Mirror {
    pub(crate) fn new(from: Vec<Arc<SourceMeter>>, to: Arc<SourceMeter>) -> Self {
        Self { from, to, shown: [0; 4] }
    }

    /// Brings the meter up to date. It is connected if all are.
    pub(crate) fn show(&mut self) {
        let Self { from, to, shown } = self;
        let sum = |gauge: fn(&SourceMeter) -> i64| from.iter().map(|meter| gauge(meter)).sum();
        to.cached_objects.set(sum(|meter| meter.cached_objects.get()));
        to.cached_bytes.set(sum(|meter| meter.cached_bytes.get()));
        to.connected.set(from.iter().map(|meter| meter.connected.get()).min().unwrap_or(1));
        let counters: [fn(&SourceMeter) -> &Counter; 4] =
            [|meter| &meter.retries, |meter| &meter.lists, |meter| &meter.skipped, |meter| &meter.uncached];
        for (counter, shown) in counters.into_iter().zip(shown) {
            let count: u64 = from.iter().map(|meter| counter(meter).get()).sum();
            counter(to).add(count.saturating_sub(*shown));
            *shown = count;
        }
    }
}
