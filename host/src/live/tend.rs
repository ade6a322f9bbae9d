//! What is done again and again: refused versions are tried once more, good ones are kept, bad ones taken back, dead letters replayed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::UnixNanos;
use sluicebox_store::Good;
use tracing::{error, info, warn};

use super::candidate::{Placed, Refused, Running, Step, Tried, Wish, accept, place};
use super::first::last_good;
use super::lane::Lane;
use super::replays::Lanes;
use super::{Done, Live};
use crate::foundry::{self, Material};
use crate::plan::Component;
use crate::wire::Parts;

/// How often that is.
pub(super) const EVERY: Duration = Duration::from_secs(1);

impl Live {
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        if self.config_retry_at.is_some_and(|time| now >= time) {
            self.read_config();
        }
        self.bury_the_dead();
        let due: Vec<String> = self.lanes.values().filter(|lane| lane.is_due(now)).map(|lane| lane.plan.name.clone()).collect();
        for name in due {
            self.try_lane(&name, false);
        }
        self.pull();
        self.share_out();
        self.keep_the_good();
        self.take_back_the_bad();
        self.replay();
        self.record();
    }

    /// A lane whose thread has ended though nobody has removed it begins anew.
    fn bury_the_dead(&mut self) {
        if self.changes.is_closed() {
            return;
        }
        let has_died = |lane: &&Lane| !lane.is_busy() && lane.running.as_ref().is_some_and(Running::has_ended);
        let dead: Vec<String> = self.lanes.values().filter(has_died).map(|lane| lane.plan.name.clone()).collect();
        for name in dead {
            error!(lane = %name, "the lane's thread has ended; the lane begins anew");
            self.try_lane(&name, true);
        }
    }

    fn keep_the_good(&mut self) {
        let after = self.parts.plan.reload.good_after.0;
        let good: Vec<Running> = self.lanes.values_mut().filter_map(|lane| lane.is_good(after)).collect();
        for running in good {
            let parts = Arc::clone(&self.parts);
            let (lane, digest) = (running.row.name.clone(), running.tried.digest.clone());
            let keeping = tokio::task::spawn_blocking(move || keep(&parts, &running));
            self.work.push(Box::pin(async move { Done::Kept { lane, digest, done: keeping.await.unwrap_or(false) } }));
        }
    }

    /// Holds the component of a version on trial: its file may be another one when it has proved good. The copy of one that was pulled stays.
    pub(super) fn hold(&mut self, name: &str) {
        let Some(running) = self.lanes.get(name).and_then(|lane| lane.running.clone()) else { return };
        if matches!(running.tried.lane.component, Component::Preset(_)) {
            return;
        }
        let parts = Arc::clone(&self.parts);
        let hold = move || {
            accept(&parts, &running.tried);
            let Some(on_trial) = &parts.on_trial else { return };
            if is_kept(&parts, &running) {
                return;
            }
            let held = component(&parts, &running).and_then(|good| {
                let good = good.ok_or_else(|| "its file is another one already".to_owned())?;
                on_trial.keep(&running.row.name, &good).map_err(|error| error.to_string())
            });
            if let Err(reason) = held {
                let (lane, module) = (&running.row.name, &running.row.module);
                warn!(%lane, %module, %reason, "module on trial not held: it can be kept as the last good one only while its file stays");
            }
        };
        self.aside(async move { drop(tokio::task::spawn_blocking(hold).await) });
    }

    fn take_back_the_bad(&mut self) {
        let bad: Vec<Running> = self.lanes.values_mut().filter_map(Lane::take_back).collect();
        for running in bad {
            let (parts, changes, reading) = (Arc::clone(&self.parts), self.changes.clone(), self.reading.clone());
            let (name, began) = (running.row.name.clone(), Instant::now());
            let Some(lane) = self.lanes.get(&name).map(|lane| lane.plan.clone()) else { continue };
            let attempt = async move {
                let loading = {
                    let parts = Arc::clone(&parts);
                    tokio::task::spawn_blocking(move || last_good(&parts, &lane)).await
                };
                let Ok(Some((lane, good))) = loading else { return Ok(Placed::Unchanged { runs: false }) };
                let running = Some(running);
                place(parts, changes, Wish { lane, good: Some(good), running, before: Vec::new(), refused: None, reading }).await
            };
            self.work.push(Box::pin(async move {
                Done::Placed { lane: name, began, rollback: true, result: Box::new(attempt.await) }
            }));
        }
    }

    fn replay(&mut self) {
        let Some(letters) = self.parts.letters.clone() else { return };
        // It is taken while letters are tried.
        let Some(mut replays) = self.replays.take() else { return };
        let running = self.lanes.values().filter_map(|lane| lane.running.as_ref());
        let lanes: Lanes =
            running.map(|running| (running.row.name.clone(), running.control.clone(), running.row.module.clone())).collect();
        let (parts, changes) = (Arc::clone(&self.parts), self.changes.clone());
        self.work.push(Box::pin(async move {
            replays.replay_all(&parts, &changes, &letters, &lanes).await;
            Done::Replayed(replays)
        }));
    }

    /// The rest of what is under way when the program stops is nobody's fault.
    pub(super) fn is_news(&self, refused: &Refused) -> bool {
        !self.changes.is_closed() || matches!(refused.step, Step::Read | Step::Load)
    }
}

/// Whether what runs is kept as the last good module already. Blocks.
fn is_kept(parts: &Parts, running: &Running) -> bool {
    let lane = &running.tried.lane;
    let most = u64::try_from(foundry::most_bytes(lane)).unwrap_or(u64::MAX);
    let kept = parts.last_good.as_ref().and_then(|last_good| last_good.load(&lane.name, most).ok().flatten());
    kept.is_some_and(|good| good.module.digest == running.tried.digest && good.settings == lane.settings)
}

/// Keeps what runs as the last good module; says whether that was done. Blocks.
fn keep(parts: &Parts, running: &Running) -> bool {
    let Some(last_good) = &parts.last_good else { return true };
    let (lane, module) = (&running.row.name, &running.row.module);
    let kept = held(parts, running).and_then(|good| last_good.keep(lane, &good).map_err(|error| error.to_string()));
    match kept {
        Ok(()) => {
            info!(%lane, %module, "module kept as the last good one");
            if let Some(Err(error)) = parts.on_trial.as_ref().map(|on_trial| on_trial.forget(lane)) {
                warn!(%lane, %error, "a module that is on trial no more stays on disk");
            }
            true
        }
        Err(reason) => {
            warn!(%lane, %module, %reason, "module not kept as the last good one; it is tried again");
            false
        }
    }
}

/// What runs: as it was held, or from its file if that is still the same.
fn held(parts: &Parts, running: &Running) -> Result<Good, String> {
    let Tried { lane, digest, .. } = &running.tried;
    let most = u64::try_from(foundry::most_bytes(lane)).unwrap_or(u64::MAX);
    let held = parts.on_trial.as_ref().and_then(|on_trial| on_trial.load(&lane.name, most).ok().flatten());
    match held.filter(|good| good.module.digest == *digest && good.settings == lane.settings) {
        Some(good) => Ok(Good { kept_at: UnixNanos::now(), ..good }),
        None => component(parts, running)?.ok_or_else(|| "its file is another one by now".to_owned()),
    }
}

/// What runs, from where it came; none when that is another one by now.
fn component(parts: &Parts, running: &Running) -> Result<Option<Good>, String> {
    let Tried { lane, digest, signature, .. } = &running.tried;
    let now = foundry::read(lane, &parts.registries).map_err(|error| error.to_string())?;
    let is_it = |material: &Material| material.digest == *digest;
    let found = Some(now).filter(is_it).or_else(|| foundry::before(lane, &parts.registries).filter(is_it));
    let Some(Material { component, .. }) = found else { return Ok(None) };
    let (module, settings, signature) = (running.row.module.clone(), lane.settings.clone(), signature.clone());
    Ok(Some(Good { module, settings, component, signature, kept_at: UnixNanos::now() }))
}
