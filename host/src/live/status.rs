//! What an operator is shown of modules and configuration: `/status`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use sluicebox_contract::ModuleIdentity;
use sluicebox_sources::kubernetes::lease;

use super::candidate::Refused;
use crate::metrics::Meters;

/// What is shown. Written by whoever makes changes, read by `/status` and `/readyz`.
#[derive(Debug, Default)]
pub struct Status {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lanes: BTreeMap<String, LaneStatus>,
    config: ConfigStatus,
}

#[derive(Debug)]
struct LaneStatus {
    since: Instant,
    last_good: bool,
    refused: Option<Shown>,
}

#[derive(Debug, Default)]
struct ConfigStatus {
    path: String,
    problems: Vec<String>,
    needs_restart: Vec<String>,
}

#[derive(Clone, Debug)]
struct Shown {
    step: String,
    reason: String,
    digest: Option<String>,
    at: Instant,
}

impl Status {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held, so a poisoned status is still a whole one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A module is at work in a lane.
    pub(super) fn at_work(&self, lane: &str, last_good: bool) {
        let mut inner = self.inner();
        let refused = inner.lanes.get(lane).and_then(|lane| lane.refused.clone()).filter(|_| last_good);
        inner.lanes.insert(lane.to_owned(), LaneStatus { since: Instant::now(), last_good, refused });
    }

    /// A version of a lane's module was refused.
    pub(super) fn refused(&self, lane: &str, refused: &Refused) {
        let mut inner = self.inner();
        let shown = Shown {
            step: refused.step.to_string(),
            reason: refused.reason.clone(),
            digest: refused.tried.as_ref().map(|tried| tried.digest.clone()),
            at: Instant::now(),
        };
        let lane = inner.lanes.entry(lane.to_owned());
        lane.or_insert_with(|| LaneStatus { since: Instant::now(), last_good: false, refused: None }).refused = Some(shown);
    }

    /// What was refused is of no interest any more: what runs is what is wanted.
    pub(super) fn is_wanted(&self, lane: &str) {
        if let Some(lane) = self.inner().lanes.get_mut(lane) {
            lane.refused = None;
            lane.last_good = false;
        }
    }

    /// A lane is no more.
    pub(super) fn removed(&self, lane: &str) {
        self.inner().lanes.remove(lane);
    }

    /// What became of the configuration.
    pub(super) fn config(&self, path: &str, problems: Vec<String>, needs_restart: Vec<String>) {
        self.inner().config = ConfigStatus { path: path.to_owned(), problems, needs_restart };
    }

    /// The changes that wait for a restart, as they were last named.
    pub(super) fn needs_restart(&self) -> Vec<String> {
        self.inner().config.needs_restart.clone()
    }

    /// A word about a lane for `/readyz`, where there is something to say.
    pub fn remark(&self, lane: &str) -> Option<String> {
        let inner = self.inner();
        let lane = inner.lanes.get(lane)?;
        let what = if lane.last_good { "with the last good module; " } else { "" };
        lane.refused.as_ref().map(|shown| format!("{what}a newer version was refused in {}: {}", shown.step, shown.reason))
    }

    /// Everything, as JSON.
    pub fn show(&self, meters: &Meters) -> Value {
        let inner = self.inner();
        let lanes: serde_json::Map<String, Value> = meters
            .lanes()
            .into_iter()
            .map(|row| {
                let status = inner.lanes.get(&row.name);
                let state = match (row.meter.ready.get(), row.meter.resting.get(), &row.failure) {
                    (_, _, Some(_)) => "not-running",
                    _ if row.meter.throttled.get() == 1 => "slowed",
                    (1, ..) => "at-work",
                    (_, 1, _) => "resting",
                    _ => "starting",
                };
                let shown = json!({
                    "state": state,
                    "module": module(&row.module),
                    "from": if status.is_some_and(|status| status.last_good) { "last-good" } else { "configuration" },
                    "seconds": status.map_or(0, |status| status.since.elapsed().as_secs()),
                    "calls": row.meter.calls.count(),
                    "traps": row.meter.traps.get(),
                    "last-fault": row.meter.last_fault.get(),
                    "memory-bytes": row.meter.memory_bytes.get(),
                    "swapped": row.swaps.swapped.get(),
                    "rolled-back": row.swaps.rolled_back.get(),
                    "refused": status.and_then(|status| status.refused.as_ref()).map(refused),
                    "failure": row.failure,
                });
                (row.name, shown)
            })
            .collect();
        let ConfigStatus { path, problems, needs_restart } = &inner.config;
        json!({
            "lanes": lanes,
            "lease": meters.leadership().map(|leadership| lease(leadership.show())),
            "configuration": { "path": path, "refused": problems, "needs-restart": needs_restart },
        })
    }
}

fn module(module: &ModuleIdentity) -> Value {
    json!({ "name": module.name, "version": module.version, "digest": module.digest })
}

/// Who works for the whole cluster, and for how long that is known.
fn lease(shown: lease::Shown) -> Value {
    let lease::Shown { namespace, name, identity, held, holder, lasts } = shown;
    json!({
        "namespace": namespace, "name": name, "identity": identity, "held": held, "holder": holder,
        "seconds": lasts.map(|lasts| lasts.as_secs()),
    })
}

fn refused(shown: &Shown) -> Value {
    let Shown { step, reason, digest, at } = shown;
    json!({ "step": step, "reason": reason, "digest": digest, "seconds-ago": at.elapsed().as_secs() })
}
