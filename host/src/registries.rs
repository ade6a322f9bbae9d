//! Modules of registries: pulled, kept as copies, and looked after. A copy that is what its digest says is as good as the registry: it is what a
//! lane runs while the registry is away.

mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluicebox_contract::UnixNanos;
use sluicebox_contract::meter::{Counter, Gauge};
use sluicebox_registry::{Kind, PullError, Pulled, Puller, Reference, Wish, layout};
use sluicebox_store::{Copies, Copy, StoreError};
use tracing::{error, info, warn};

use crate::plan::{Component, LanePlan, Plan};
use crate::{directories, foundry};
use turns::Turns;

/// With a copy at hand a start waits so long for a registry.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Without one it waits so long; lanes wait for each other a little longer.
const FIRST_PATIENCE: Duration = Duration::from_secs(15);

/// The registries that modules come from.
pub struct Registries {
    /// None where nothing may be asked.
    puller: Option<Puller>,
    copies: Option<Copies>,
    /// Held while descriptions of copies change.
    copying: Mutex<()>,
    /// What could not be kept on the disk.
    unkept: Mutex<BTreeMap<String, Unkept>>,
    turns: Mutex<BTreeMap<Reference, Turns>>,
    /// One pull of a module at a time.
    under_way: Mutex<BTreeMap<Reference, Arc<Mutex<()>>>>,
}

/// A copy in memory.
type Unkept = (Copy, Arc<[u8]>);

/// What pulls of a module count.
#[derive(Debug, Default)]
pub struct PullMeter {
    /// New versions that were pulled.
    pub taken: Counter,
    /// Looks that found what is here already.
    pub unchanged: Counter,
    /// Pulls for which the registry did not answer.
    pub away: Counter,
    /// Pulls that were refused: what is there is not what it should be, or we may not have it.
    pub refused: Counter,
    /// 1 while the registry answers.
    pub connected: Gauge,
}

/// What a look at a registry has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether another version is here now than before.
    pub is_new: bool,
    /// Whether the look before has failed.
    pub is_mended: bool,
}

impl Registries {
    /// Opens the copies. Blocks.
    pub fn open(plan: &Plan) -> Self {
        let names_one = |lane: &LanePlan| matches!(lane.component, Component::Registry(_));
        let directory = directories::state(plan.state_directory.as_deref());
        if directory.is_none() && plan.lanes.iter().any(names_one) {
            warn!("no state directory is configured: pulled modules are not kept, and a start needs their registry");
        }
        let open = |directory: &Path| {
            Copies::open(directory, plan.pull.copies.0).map_err(|error| warn!(%error, "pulled modules are not kept")).ok()
        };
        let copies = directory.as_deref().and_then(open);
        let registries = Self::with(Some(Puller::this_program(plan.registries.clone(), plan.pull)), copies);
        registries.follow(plan.lanes.iter());
        registries
    }

    /// Only what is kept already; no registry is asked, and nothing is written. Blocks.
    pub fn at_hand(plan: &Plan) -> Self {
        let directory = directories::state(plan.state_directory.as_deref());
        let copies = directory.and_then(|directory| Copies::existing(&directory, plan.pull.copies.0));
        Self::with(None, copies)
    }

    fn with(puller: Option<Puller>, copies: Option<Copies>) -> Self {
        let (copying, unkept, turns, under_way) = Default::default();
        Self { puller, copies, copying, unkept, turns, under_way }
    }

    /// From now on these lanes are looked after, and no others.
    pub fn follow<'a>(&self, lanes: impl Iterator<Item = &'a LanePlan>) {
        let references = lanes.filter_map(|lane| match &lane.component {
            Component::Registry(reference) => Some(reference.clone()),
            _ => None,
        });
        let mut turns = lock(&self.turns);
        let mut before = std::mem::take(&mut *turns);
        *turns = references
            .map(|reference| {
                let known = before.remove(&reference);
                (reference, known.unwrap_or_default())
            })
            .collect();
        lock(&self.under_way).retain(|reference, _| turns.contains_key(reference));
        lock(&self.unkept).retain(|name, _| turns.keys().any(|reference| reference.to_string() == *name));
    }

    /// The modules whose turn it is to be looked after; they are, from here on.
    pub fn due(&self, now: Instant) -> Vec<Reference> {
        let mut turns = lock(&self.turns);
        turns.iter_mut().filter_map(|(reference, turns)| turns.begin(now).then(|| reference.clone())).collect()
    }

    /// It is everybody's turn.
    pub fn hurry(&self) {
        lock(&self.turns).values_mut().for_each(Turns::hurry);
    }

    /// What is counted of each module.
    pub fn meters(&self) -> Vec<(String, Arc<PullMeter>)> {
        lock(&self.turns).iter().map(|(reference, turns)| (reference.to_string(), turns.meter())).collect()
    }

    /// At the start, a registry that answers is asked before its module is read; one that does not is not waited for long when there is a
    /// copy. Blocks.
    pub fn at_start(&self, lane: &LanePlan) {
        let Component::Registry(reference) = &lane.component else { return };
        let most = foundry::most_bytes(lane);
        let Some((copy, _)) = self.known(reference, most) else { return };
        if reference.tag().is_none() {
            return;
        }
        let age = UnixNanos::now().0.saturating_sub(copy.pulled_at.0);
        let (lane, pulled_ago) = (&lane.name, Duration::from_secs(Duration::from_nanos(age).as_secs()));
        match self.look(reference, most, START_PATIENCE) {
            Ok(_) => {}
            Err(reason) if reason.is_away() => {
                warn!(%lane, module = %reference, %reason, ?pulled_ago, "registry is away: the copy on the disk serves");
            }
            Err(reason) => {
                error!(%lane, module = %reference, %reason, hint = reason.hint(), ?pulled_ago, "what the registry has is refused: the copy on the disk serves");
            }
        }
    }

    /// The manifest and the component of a module: from its copy if there is one, else pulled. Blocks.
    pub fn component(&self, reference: &Reference, most: usize) -> Result<(String, Vec<u8>), PullError> {
        if let Some((copy, component)) = self.known(reference, most) {
            return Ok((copy.manifest, component));
        }
        self.look(reference, most, FIRST_PATIENCE)?;
        let known = self.known(reference, most);
        known
            .map(|(copy, component)| (copy.manifest, component))
            .ok_or_else(|| PullError { kind: Kind::Away, reason: "what was pulled has gone already".to_owned() })
    }

    /// The manifest and the component of the version that was accepted before what is here now; none when that is it. Blocks.
    pub fn before(&self, reference: &Reference, most: usize) -> Option<(String, Vec<u8>)> {
        let (newest, _) = self.known(reference, most)?;
        let accepted = self.copies.as_ref()?.accepted(&reference.to_string());
        let (copy, component) = self.copy(reference, accepted, most)?;
        (copy.manifest != newest.manifest).then_some((copy.manifest, component))
    }

    /// What was pulled with the manifest of this digest is run by somebody: until another one is, its copy stays. Blocks.
    pub fn accept(&self, reference: &Reference, manifest: &str) {
        let Some(copies) = &self.copies else { return };
        let _copying = lock(&self.copying);
        if let Err(error) = copies.accept(&reference.to_string(), |copy| layout::digest(copy.manifest.as_bytes()) == manifest) {
            warn!(module = %reference, %error, "the copy is not known to be accepted: the next version that is pulled takes its place");
        }
    }

    /// Whether there is a copy. Blocks.
    pub fn has(&self, reference: &Reference, most: usize) -> bool {
        self.known(reference, most).is_some()
    }

    /// Asks the registry, and pulls what is new. Blocks.
    pub fn look(&self, reference: &Reference, most: usize, patience: Duration) -> Result<Found, PullError> {
        let begun = Instant::now();
        let turn = Arc::clone(lock(&self.under_way).entry(reference.clone()).or_default());
        let _turn = lock(&turn);
        // Whoever was before us has found what there is.
        let fresh = lock(&self.turns).get(reference).is_some_and(|turns| turns.succeeded_since(begun));
        let result = if fresh { Ok(false) } else { self.pull(reference, most, patience) };
        let is_here = result.is_ok() || self.known(reference, most).is_some();
        let every = self.puller.as_ref().map_or(Duration::MAX, |puller| puller.settings().every.0);
        let mut turns = lock(&self.turns);
        let Some(turns) = turns.get_mut(reference) else {
            return result.map(|is_new| Found { is_new, is_mended: false });
        };
        let is_mended = turns.end(&result, every, reference.tag().is_some(), is_here);
        result.map(|is_new| Found { is_new, is_mended })
    }

    fn pull(&self, reference: &Reference, most: usize, patience: Duration) -> Result<bool, PullError> {
        let known = self.known(reference, most).map(|(copy, _)| layout::digest(copy.manifest.as_bytes()));
        if known.is_some() && reference.tag().is_none() {
            return Ok(false);
        }
        let Some(puller) = &self.puller else {
            return Err(PullError {
                kind: Kind::Away,
                reason: "there is no copy of it here, and no registry is asked".to_owned(),
            });
        };
        let wish = Wish { reference, known: known.as_deref(), most_bytes: most, patience };
        let Pulled::Taken { manifest, component } = puller.pull(wish)? else {
            return Ok(false);
        };
        let digest = layout::digest(&manifest);
        info!(module = %reference, %digest, bytes = component.len(), "module pulled");
        let is_new = known.as_ref() != Some(&digest);
        self.keep(reference, manifest, component);
        Ok(is_new)
    }

    fn keep(&self, reference: &Reference, manifest: Vec<u8>, component: Vec<u8>) {
        let copy = Copy {
            reference: reference.to_string(),
            manifest: String::from_utf8(manifest).unwrap_or_default(),
            component: sluicebox_wasm::digest(&component),
            pulled_at: UnixNanos::now(),
        };
        let used: BTreeSet<String> = lock(&self.turns).keys().map(ToString::to_string).collect();
        let copying = lock(&self.copying);
        let kept = self.copies.as_ref().map(|copies| copies.keep(&copy, &component, &used));
        drop(copying);
        match kept {
            Some(Ok(())) => {
                lock(&self.unkept).remove(&copy.reference);
                return;
            }
            Some(Err(error)) => warn!(module = %reference, %error, "the copy is not kept: the next start needs the registry"),
            None => {}
        }
        lock(&self.unkept).insert(copy.reference.clone(), (copy, component.into()));
    }

    /// What is here, if it is what its digests say.
    fn known(&self, reference: &Reference, most: usize) -> Option<(Copy, Vec<u8>)> {
        let name = reference.to_string();
        if let Some((copy, component)) = lock(&self.unkept).get(&name).filter(|(_, component)| component.len() <= most) {
            return Some((copy.clone(), component.to_vec()));
        }
        let copies = self.copies.as_ref()?;
        // One that is damaged is not in the way of the one before.
        self.copy(reference, copies.find(&name), most).or_else(|| self.copy(reference, copies.accepted(&name), most))
    }

    /// A copy that was found, if it is what its digests say.
    fn copy(&self, reference: &Reference, found: Result<Option<Copy>, StoreError>, most: usize) -> Option<(Copy, Vec<u8>)> {
        let damaged = |error| warn!(module = %reference, %error, "the copy is of no use: it is pulled again");
        let copy = found.map_err(damaged).ok()??;
        if let Some(wanted) = reference.digest() {
            layout::is("the manifest of the copy", copy.manifest.as_bytes(), wanted).ok()?;
        }
        let layer = layout::layer(copy.manifest.as_bytes()).ok()?;
        let component = self.copies.as_ref()?.component(&copy.component, most as u64).map_err(damaged).ok()??;
        layout::is_layer(&layer, &component).ok()?;
        Some((copy, component))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while a lock is held that leaves half of anything.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
