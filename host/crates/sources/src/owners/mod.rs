//! Who controls a pod: its own controller and whoever controls that, up to the top, such as a `ReplicaSet` and its `Deployment`.
//!
//! Nothing is watched for it, however large the cluster is: each step up is one question for the metadata of one object, when somebody
//! wants to know, and the answer is remembered for a while. `ask.rs` asks, `parse.rs` has what is pure, `recent.rs` remembers.

mod ask;
#[cfg(test)]
mod fuzz;
mod parse;
mod recent;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicebox_contract::pod::Owner;
use sluicebox_contract::{Pod, Workload};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::kubernetes::Api;
use ask::{Answer, Asker, GOOD_FOR};
use recent::Recent;

/// So many steps up. Real ones have two or three.
const MOST_STEPS: usize = 8;
/// How many owners are remembered. Those of one node's pods are fewer.
const MOST_OWNERS: usize = 1024;

/// Finds out who controls pods. Cheap to clone; clones remember together.
#[derive(Clone)]
pub(crate) struct Owners(Arc<Shared>);

struct Shared {
    asker: Asker,
    /// What stands above an owner, by its uid.
    above: Mutex<Recent<Arc<Slot>>>,
}

/// The place of an answer. Whoever comes first asks, the others wait for the same answer.
#[derive(Default)]
struct Slot {
    answer: OnceCell<Answer>,
    /// The answer before, which has become old.
    before: Option<Owner>,
}

/// What is known without asking.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// From the pod's own controller up, as far as is known.
    pub(crate) owners: Vec<Workload>,
    /// Whether asking would not tell more.
    pub(crate) is_complete: bool,
    /// Whether the API server refuses to tell more.
    pub(crate) is_refused: bool,
}

/// Who controls the pod itself, which the pod says: at most one.
pub(crate) fn own(pod: &Pod) -> Vec<Workload> {
    let mut climb = Climb::new(pod);
    climb.step();
    climb.owners
}

impl Owners {
    /// Asks this API server.
    pub(crate) fn new(api: Api) -> Self {
        Self::remembering(api, GOOD_FOR)
    }

    fn remembering(api: Api, good_for: Duration) -> Self {
        Self(Arc::new(Shared { asker: Asker::new(api, good_for), above: Mutex::new(Recent::new(MOST_OWNERS)) }))
    }

    /// Who controls the pod, as far as is known now.
    pub(crate) fn known(&self, pod: &Pod) -> Known {
        let (mut climb, mut is_complete, mut is_refused) = (Climb::new(pod), true, false);
        while let Some(owner) = climb.step() {
            let above = self.known_above(&owner.uid);
            is_complete &= above.is_fresh;
            is_refused |= above.is_refused;
            climb.next = above.owner;
        }
        Known { owners: climb.owners, is_complete, is_refused }
    }

    /// Who controls the pod, from its own controller up to the top. Asks for what is not known, again and again while the API server does
    /// not answer: give it a time. Where the API server refuses to tell, the answer ends there.
    pub(crate) async fn resolve(&self, pod: &Pod) -> Vec<Workload> {
        let mut climb = Climb::new(pod);
        while let Some(owner) = climb.step() {
            let slot = self.slot(&owner.uid);
            let answer = slot.answer.get_or_init(|| self.0.asker.until_answered(&pod.namespace, &owner)).await;
            climb.next.clone_from(&answer.above);
        }
        climb.owners
    }

    fn known_above(&self, uid: &str) -> Above {
        let mut above = self.lock();
        let Some(slot) = above.get(uid) else { return Above::default() };
        match slot.answer.get() {
            Some(answer) => {
                Above { owner: answer.above.clone(), is_fresh: Instant::now() < answer.good_until, is_refused: answer.is_refused }
            }
            None => Above { owner: slot.before.clone(), ..Above::default() },
        }
    }

    fn slot(&self, uid: &str) -> Arc<Slot> {
        let mut above = self.lock();
        let before = match above.get(uid) {
            None => None,
            Some(slot) => match slot.answer.get() {
                Some(answer) if answer.good_until <= Instant::now() => answer.above.clone(),
                _ => return Arc::clone(slot),
            },
        };
        let slot = Arc::new(Slot { before, ..Slot::default() });
        above.put(uid, Arc::clone(&slot));
        slot
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Arc<Slot>>> {
        // Nothing panics while the lock is held.
        self.0.above.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is above an owner, as far as is known.
#[derive(Default)]
struct Above {
    owner: Option<Owner>,
    /// It need not be asked again.
    is_fresh: bool,
    is_refused: bool,
}

/// The way up from a pod.
struct Climb {
    owners: Vec<Workload>,
    next: Option<Owner>,
}

impl Climb {
    fn new(pod: &Pod) -> Self {
        Self { owners: Vec::new(), next: pod.owners.iter().find(|owner| owner.controller).cloned() }
    }

    /// Goes one step up and says whose owner is to be found next; none at the top.
    fn step(&mut self) -> Option<Owner> {
        let owner = self.next.take()?;
        // Whoever writes owners can write a ring.
        let is_known = self.owners.iter().any(|known| known.uid == owner.uid);
        if is_known || self.owners.len() >= MOST_STEPS {
            return None;
        }
        self.owners.push(Workload {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        });
        // Nobody controls a node, which stands for itself as the controller of static pods.
        let is_node = owner.api_version == "v1" && owner.kind == "Node";
        (!is_node && !owner.uid.is_empty()).then_some(owner)
    }
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
