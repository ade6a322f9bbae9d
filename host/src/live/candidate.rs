//! A new version on its way into a lane: read, compiled, rehearsed, put in place. Every step has a deadline, and whichever fails, what
//! runs goes on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{FutureExt as _, join_all};
use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Closed, Handlers, Subject};
use sluicebox_pipeline::{Changes, LaneControl, Snapshot, StateMove, Successor, rehearse};
use sluicebox_store::Good;
use sluicebox_wasm::{LoadError, Module, Refusal, WasmShaper};
use tokio::time::{sleep, timeout};

use super::difference::{begins_anew, is_same};
use super::quiet::quietly;
use super::reading::Reading;
use crate::foundry::{self, Material, identity, lane_settings, useful};
use crate::metrics::LaneRow;
use crate::plan::{Component, LanePlan};
use crate::trust::Distrust;
use crate::trust::signature::Signature;
use crate::wire::{Cast, Parts};

/// Time for a rehearsal, besides the call that runs when it is over.
const REHEARSAL: Duration = Duration::from_secs(30);
/// Time until a lane has come to the end of a batch, besides the time of a call.
const LANE: Duration = Duration::from_secs(30);
/// Time for a change of the pipeline.
const CHANGE: Duration = Duration::from_secs(10);

/// A component and its signature are two files, and so are an old one and a new one of another name: the second change has so long before
/// what is there is refused.
const SECOND_FILE: Duration = Duration::from_secs(1);

/// What shall run in a lane, and what does.
pub(super) struct Wish {
    pub(super) lane: LanePlan,
    /// The component, where it is not the one that the configuration names.
    pub(super) good: Option<Good>,
    pub(super) running: Option<Running>,
    /// Lanes of this name that were configured before, and may still shape what they have.
    pub(super) before: Vec<LaneControl<WasmShaper>>,
    /// What was refused before: it is not tried again unless it shall be.
    pub(super) refused: Option<Tried>,
    pub(super) reading: Reading,
}

/// What runs in a lane.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) tried: Tried,
    pub(super) control: LaneControl<WasmShaper>,
    pub(super) row: LaneRow,
    pub(super) handlers: Handlers,
}

/// A component with everything that the configuration says of it.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) lane: LanePlan,
    pub(super) digest: String,
    /// Its signature as text, where it had to have one.
    pub(super) signature: Option<String>,
    /// The digest of the manifest that it was pulled with, if it was.
    pub(super) manifest: Option<String>,
}

impl Running {
    /// Whether the lane's thread has ended, though nobody has removed it.
    pub(super) fn has_ended(&self) -> bool {
        self.control.ended().now_or_never().is_some()
    }
}

impl Tried {
    pub(super) fn new(lane: &LanePlan, material: &Material) -> Self {
        let signature = material.signature.as_ref().and_then(Signature::text);
        Self { lane: lane.clone(), digest: material.digest.clone(), signature, manifest: material.manifest.clone() }
    }

    /// What is demanded of it may have become another while it runs.
    fn runs_as(&self, wanted: &Self) -> bool {
        self.digest == wanted.digest && is_same(&self.lane, &wanted.lane)
    }

    /// With other demands it may be taken.
    fn is_refused_as(&self, wanted: &Self) -> bool {
        self.runs_as(wanted) && self.lane.demands == wanted.lane.demands
    }
}

/// What became of a wish.
pub(super) enum Placed {
    /// It runs already, or was refused before.
    Unchanged { runs: bool },
    /// It was put in place between two batches.
    Swapped { running: Running, pause: Duration, state: StateMove, old: Box<WasmShaper> },
    /// Its lane has begun.
    Begun(Running),
}

/// Why a wish was not granted.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) step: Step,
    pub(super) reason: String,
    pub(super) tried: Option<Tried>,
    /// Whether it may go better at another time, though nothing has changed.
    pub(super) again: bool,
}

impl Refused {
    /// The digest of what was refused, if it could be read.
    pub(super) fn digest(&self) -> Option<&str> {
        self.tried.as_ref().map(|tried| tried.digest.as_str())
    }
}

/// The steps on the way, and what comes after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Pull,
    Read,
    Verify,
    Load,
    Start,
    Look,
    Rehearse,
    Swap,
    End,
    Begin,
    Work,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pull => "pulling the component",
            Self::Read => "reading the component",
            Self::Verify => "verifying the component",
            Self::Load => "loading the component",
            Self::Start => "starting it",
            Self::Look => "waiting for the end of a batch",
            Self::Rehearse => "the rehearsal",
            Self::Swap => "the swap",
            Self::End => "waiting for the end of the lane as it was",
            Self::Begin => "beginning the lane",
            Self::Work => "its work",
        })
    }
}

/// Grants a wish, or says why not.
pub(super) async fn place(parts: Arc<Parts>, changes: Changes, wish: Wish) -> Result<Placed, Refused> {
    let Wish { lane, good, running, before, refused, reading } = wish;
    let missing = parts.missing(&lane);
    if !missing.is_empty() {
        let reason = format!("{} cannot be had before a restart", missing.join(", "));
        return Err(Refused { step: Step::Begin, reason, tried: None, again: false });
    }
    let (material, examined) = match good {
        Some(good) => kept(good, &lane).await?,
        None => read(&parts, &reading, &lane).await?,
    };
    let tried = Tried::new(&lane, &material);
    examined.map_err(|distrust| distrusted(&distrust, tried.clone()))?;
    let runs = running.as_ref().is_some_and(|running| running.tried.runs_as(&tried) && !running.has_ended());
    if runs {
        let tried = tried.clone();
        quietly(move || accept(&parts, &tried)).await.map_err(unread)?;
        return Ok(Placed::Unchanged { runs });
    }
    if refused.as_ref().is_some_and(|refused| refused.is_refused_as(&tried)) {
        return Ok(Placed::Unchanged { runs });
    }
    let at = |step, reason: String, again| Refused { step, reason, tried: Some(tried.clone()), again };
    let component = material.component;
    let module = load(&parts, &lane, component).await.map_err(|(reason, again)| at(Step::Load, reason, again))?;
    let from = useful(&lane, module.handlers());
    if from.is_empty() {
        return Err(at(Step::Load, format!("it handles no events of {}", lane.from.join(", ")), false));
    }
    let handlers = module.handlers();
    let takes_over =
        |running: &Running| running.handlers == handlers && !begins_anew(&running.tried.lane, &lane) && !running.has_ended();
    let swaps = running.as_ref().is_some_and(takes_over);
    let row = row(&lane, &module, running.as_ref(), swaps);
    let shaper = parts.foundry.shaper(module, &lane);
    let candidate = Candidate { parts, changes, lane, tried: tried.clone(), row, handlers, from };
    let placed = match running {
        Some(running) if swaps => candidate.swap(running, shaper).await,
        running => candidate.begin(running, before, shaper).await,
    };
    placed.map_err(|(step, reason)| at(step, reason, true))
}

/// A version that was pulled has been accepted. Blocks.
pub(super) fn accept(parts: &Parts, tried: &Tried) {
    if let (Component::Registry(reference), Some(manifest)) = (&tried.lane.component, &tried.manifest) {
        parts.registries.accept(reference, manifest);
    }
}

/// A component, and whether it may run.
type Examined = (Material, Result<(), Distrust>);

/// The component that the configuration names. Another look is taken when it seems to be on its way: its signature does not fit, or its
/// directory has both the old one and the new one, or neither.
async fn read(parts: &Arc<Parts>, reading: &Reading, lane: &LanePlan) -> Result<Examined, Refused> {
    let first = read_once(parts, reading, lane).await?;
    let is_on_its_way = match &first {
        Ok((_, examined)) => examined.as_ref().err().is_some_and(Distrust::is_about_signature),
        Err(error) => matches!(error.refusal, Refusal::NotSingle { .. }),
    };
    let read = if is_on_its_way {
        sleep(SECOND_FILE).await;
        read_once(parts, reading, lane).await?
    } else {
        first
    };
    read.map_err(|error| unread(told(&error)))
}

async fn read_once(parts: &Arc<Parts>, reading: &Reading, lane: &LanePlan) -> Result<Result<Examined, LoadError>, Refused> {
    let (parts, wanted) = (Arc::clone(parts), lane.clone());
    let work = move || foundry::read(&wanted, &parts.registries).map(|material| examined(material, &wanted));
    let read = match &lane.component {
        Component::File(path) => reading.with(&lane.name, path, work).await,
        // A pull has a deadline of its own.
        Component::Preset(_) | Component::Registry(_) => quietly(work).await,
    };
    read.map_err(unread)
}

/// The component that was kept.
async fn kept(good: Good, lane: &LanePlan) -> Result<Examined, Refused> {
    let lane = lane.clone();
    quietly(move || examined(Material::kept(good), &lane)).await.map_err(unread)
}

fn examined(material: Material, lane: &LanePlan) -> Examined {
    let examined = material.examine(lane);
    (material, examined)
}

/// What is imported is a matter of loading. Files that change are looked at then, and the configuration likewise.
pub(super) fn distrusted(distrust: &Distrust, tried: Tried) -> Refused {
    let step = if matches!(distrust, Distrust::NotGranted(_)) { Step::Load } else { Step::Verify };
    let reason = format!("{distrust} (hint: {})", distrust.hint());
    Refused { step, reason, tried: Some(tried), again: matches!(distrust, Distrust::Unreadable { .. }) }
}

fn unread(reason: String) -> Refused {
    Refused { step: Step::Read, reason, tried: None, again: true }
}

/// The deadline of this step is the compiler's.
async fn load(parts: &Arc<Parts>, lane: &LanePlan, component: std::borrow::Cow<'static, [u8]>) -> Result<Module, (String, bool)> {
    let (parts, lane) = (Arc::clone(parts), lane.clone());
    match quietly(move || parts.foundry.load(&lane, &component)).await {
        Ok(Ok(module)) => Ok(module),
        Ok(Err(error)) => Err((told(&error), may_go_better(&error.refusal))),
        Err(error) => Err((error, true)),
    }
}

/// The content of a component does not change by waiting.
pub(super) fn may_go_better(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Unreadable { .. } | Refusal::NotPulled { .. } | Refusal::NotCompiled(_))
}

pub(super) fn told(error: &LoadError) -> String {
    format!("{} (hint: {})", error.refusal, error.refusal.hint())
}

/// The queue, and what becomes of events, stay when the module takes the lane over.
pub(super) fn row(lane: &LanePlan, module: &Module, running: Option<&Running>, swaps: bool) -> LaneRow {
    let before = running.filter(|_| swaps).map(|running| &running.row.meter);
    let queue = before.map(|meter| Arc::clone(&meter.queue)).unwrap_or_default();
    let fates = before.map(|meter| Arc::clone(&meter.fates)).unwrap_or_default();
    LaneRow {
        name: lane.name.clone(),
        module: identity(lane, module),
        meter: Arc::new(LaneMeter { queue, fates, ..LaneMeter::default() }),
        swaps: running.map(|running| Arc::clone(&running.row.swaps)).unwrap_or_default(),
        failure: None,
    }
}

/// A module that was loaded, for a lane.
struct Candidate {
    parts: Arc<Parts>,
    changes: Changes,
    lane: LanePlan,
    tried: Tried,
    row: LaneRow,
    handlers: Handlers,
    from: Vec<String>,
}

type Failed = (Step, String);

impl Candidate {
    /// In place of the running one, between two batches.
    async fn swap(self, running: Running, shaper: WasmShaper) -> Result<Placed, Failed> {
        let patience = LANE + 4 * self.lane.limits.deadline.0.max(running.tried.lane.limits.deadline.0);
        let snapshot = within(patience, Step::Look, running.control.look()).await?;
        let (shaper, told) = rehearsed(shaper, snapshot, Step::Rehearse).await?;
        let successor = Successor {
            shaper,
            told,
            module: self.row.module.clone(),
            settings: lane_settings(&self.lane),
            meter: Arc::clone(&self.row.meter),
        };
        let swapped = running.control.swap(successor, patience).await.map_err(|late| (Step::Swap, late.to_string()))?;
        let swapped = swapped.map_err(|fault| (Step::Swap, fault.to_string()))?;
        let (pause, state, old) = (swapped.pause, swapped.state, Box::new(swapped.old));
        let control = running.control;
        Ok(Placed::Swapped {
            running: Running { tried: self.tried, control, row: self.row, handlers: self.handlers },
            pause,
            state,
            old,
        })
    }

    /// As a lane that is told everything that exists, after the one that runs has come to its end.
    async fn begin(
        self,
        running: Option<Running>,
        mut before: Vec<LaneControl<WasmShaper>>,
        shaper: WasmShaper,
    ) -> Result<Placed, Failed> {
        let (shaper, _) = rehearsed(shaper, Snapshot::default(), Step::Start).await?;
        if let Some(running) = running {
            let lane = running.control.handle();
            within(CHANGE, Step::Begin, self.changes.insist(move |pipeline| pipeline.remove_lane(lane))).await?;
            self.parts.meters.remove_lane(&self.lane.name);
            let failure = Some("it begins anew when what it had is shaped".to_owned());
            self.parts.meters.set_lane(LaneRow { failure, ..running.row.clone() });
            before.push(running.control);
        }
        let ended = async {
            join_all(before.iter().map(LaneControl::ended)).await;
            Ok(())
        };
        within(LANE, Step::End, ended).await?;
        let Self { parts, changes, lane, tried, row, handlers, from } = self;
        let cast = Cast { shaper, row: row.clone(), from };
        let name = lane.name.clone();
        let start = move |pipeline: &mut sluicebox_pipeline::Pipeline| {
            let (control, fed) = parts.start(pipeline, &lane, cast, true)?;
            let lane = fed.lane;
            if let Err(fault) = parts.feed(pipeline, &[fed], Some(&name)) {
                pipeline.remove_lane(lane);
                return Err(std::io::Error::other(fault));
            }
            Ok(control)
        };
        let control = within(CHANGE, Step::Begin, changes.make(start)).await?;
        let control = control.map_err(|error| (Step::Begin, error.to_string()))?;
        Ok(Placed::Begun(Running { tried, control, row, handlers }))
    }
}

/// Calls of the module end by their own deadlines.
async fn rehearsed(mut shaper: WasmShaper, snapshot: Snapshot, step: Step) -> Result<(WasmShaper, Vec<Arc<Subject>>), Failed> {
    let run = move || rehearse(&mut shaper, &snapshot, REHEARSAL).map(|told| (shaper, told));
    match quietly(run).await {
        Ok(rehearsed) => rehearsed.map_err(|fault| (step, fault.to_string())),
        Err(error) => Err((step, error)),
    }
}

async fn within<T>(patience: Duration, step: Step, answer: impl Future<Output = Result<T, Closed>>) -> Result<T, Failed> {
    match timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Closed)) => Err((step, "the lane has ended".to_owned())),
        Err(_) => Err((step, format!("nothing happened within {patience:?}: does the lane wait for its sink?"))),
    }
}
