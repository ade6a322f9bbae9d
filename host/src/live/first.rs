//! What each lane begins with: the module that the configuration names, or the last good one when that is bad.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sluicebox_contract::{Handlers, Shaper as _};
use sluicebox_store::Good;
use sluicebox_wasm::{Module, WasmShaper};
use tokio::time::timeout;

use super::candidate::{Refused, Step, Tried, distrusted, may_go_better, row, told};
use crate::foundry::{self, Material, most_bytes, useful};
use crate::plan::LanePlan;
use crate::wire::{Cast, Parts};

/// Lanes wait for each other for so long at the start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a lane begins.
pub(super) struct First {
    pub(super) lane: LanePlan,
    /// None when there is nothing to run.
    pub(super) cast: Option<(Cast, Tried, Handlers)>,
    /// What it is instead of the one that is configured.
    pub(super) instead: Instead,
    /// What is wrong with the one that is configured.
    pub(super) refused: Option<Refused>,
}

/// What a lane begins with when what is configured is bad.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    /// It is not.
    Nothing,
    /// The last good module.
    LastGood,
    /// The version that was accepted before the one that its registry has now.
    Before,
}

/// Loads and starts the module of a lane. Blocks.
pub(super) fn first(parts: &Parts, lane: &LanePlan) -> First {
    let (made, refused) = try_configured(parts, lane);
    let with = |lane: LanePlan, made: Option<Made>, instead, refused| First {
        cast: made.map(|made| cast(&lane, made)),
        lane,
        instead,
        refused,
    };
    if refused.is_none() {
        return with(lane.clone(), made, Instead::Nothing, None);
    }
    if let Some((lane, made)) = try_last_good(parts, lane, refused.as_ref()) {
        return with(lane, Some(made), Instead::LastGood, refused);
    }
    if let Some(made) =
        foundry::before(lane, &parts.registries).and_then(|before| make(parts, lane, &before, "the version before"))
    {
        return with(lane.clone(), Some(made), Instead::Before, refused);
    }
    // A module that does not start may do so later; its lane tries it again and again.
    with(lane.clone(), made, Instead::Nothing, refused)
}

struct Made {
    module: Module,
    shaper: WasmShaper,
    tried: Tried,
}

fn try_configured(parts: &Parts, lane: &LanePlan) -> (Option<Made>, Option<Refused>) {
    parts.registries.at_start(lane);
    let material = match foundry::read(lane, &parts.registries) {
        Ok(material) => material,
        Err(error) => return (None, Some(Refused { step: Step::Read, reason: told(&error), tried: None, again: true })),
    };
    let tried = Tried::new(lane, &material);
    if let Err(distrust) = material.examine(lane) {
        return (None, Some(distrusted(&distrust, tried)));
    }
    let refused = |step, reason, again| Some(Refused { step, reason, tried: Some(tried.clone()), again });
    let module = match parts.foundry.load(lane, &material.component) {
        Ok(module) => module,
        Err(error) => return (None, refused(Step::Load, told(&error), may_go_better(&error.refusal))),
    };
    drop(material);
    if useful(lane, module.handlers()).is_empty() {
        return (None, refused(Step::Load, format!("it handles no events of {}", lane.from.join(", ")), false));
    }
    let mut shaper = parts.foundry.shaper(module.clone(), lane);
    let fault = shaper.renew().err();
    let refused = fault.and_then(|fault| refused(Step::Start, fault.to_string(), true));
    (Some(Made { module, shaper, tried }), refused)
}

/// The last good module with the settings that it worked with, if that is another one than the bad one.
fn try_last_good(parts: &Parts, lane: &LanePlan, bad: Option<&Refused>) -> Option<(LanePlan, Made)> {
    let (lane, good) = last_good(parts, lane)?;
    let material = Material::kept(good);
    let tried = Tried::new(&lane, &material);
    let bad = bad.and_then(|refused| refused.tried.as_ref());
    if bad.is_some_and(|bad| bad.digest == tried.digest && bad.lane.settings == lane.settings) {
        return None;
    }
    let made = make(parts, &lane, &material, "the last good module")?;
    Some((lane, made))
}

/// What stands in for a bad one, if it is any better.
fn make(parts: &Parts, lane: &LanePlan, material: &Material, which: &str) -> Option<Made> {
    if let Err(distrust) = material.examine(lane) {
        tracing::warn!(lane = %lane.name, reason = %distrust, hint = distrust.hint(), "{which} may not take its place either");
        return None;
    }
    let module = parts.foundry.load(lane, &material.component).ok()?;
    if useful(lane, module.handlers()).is_empty() {
        return None;
    }
    let mut shaper = parts.foundry.shaper(module.clone(), lane);
    shaper.renew().ok()?;
    Some(Made { module, shaper, tried: Tried::new(lane, material) })
}

/// The last good module of a lane, and the lane as it was with it. Blocks.
pub(super) fn last_good(parts: &Parts, lane: &LanePlan) -> Option<(LanePlan, Good)> {
    let most = u64::try_from(most_bytes(lane)).unwrap_or(u64::MAX);
    let loaded = parts.last_good.as_ref()?.load(&lane.name, most);
    let good =
        loaded.map_err(|error| tracing::warn!(lane = %lane.name, %error, "the last good module cannot be used")).ok()??;
    Some((LanePlan { settings: good.settings.clone(), ..lane.clone() }, good))
}

fn cast(lane: &LanePlan, made: Made) -> (Cast, Tried, Handlers) {
    let Made { module, shaper, tried } = made;
    let (row, handlers) = (row(lane, &module, None, false), module.handlers());
    (Cast { shaper, row, from: useful(lane, handlers) }, tried, handlers)
}

/// As [`first`], for every lane, beside the executor. A lane that takes too long begins later, and holds up no other.
pub(super) async fn first_of_all(parts: &Arc<Parts>) -> Vec<First> {
    let load = |lane: &LanePlan| {
        let (parts, lane) = (Arc::clone(parts), lane.clone());
        async move {
            let wanted = lane.clone();
            let loading = tokio::task::spawn_blocking(move || first(&parts, &wanted));
            match timeout(PATIENCE, loading).await {
                Ok(Ok(first)) => first,
                Ok(Err(error)) => not_yet(lane, error.to_string()),
                Err(_) => not_yet(lane, format!("it was not loaded within {PATIENCE:?}; its lane begins when it is")),
            }
        }
    };
    join_all(parts.plan.lanes.iter().map(load)).await
}

fn not_yet(lane: LanePlan, reason: String) -> First {
    First {
        lane,
        cast: None,
        instead: Instead::Nothing,
        refused: Some(Refused { step: Step::Load, reason, tried: None, again: true }),
    }
}
