//! What was announced in an earlier run, until the first list has shown what has become of it; and whoever is to know what is announced in
//! this one. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use sluicebox_contract::{Announced, Announcement, Known, Ledger, Receipt, Remembered};

use super::cut::Identity;
use super::memory::key;

/// What is known of earlier runs.
#[derive(Debug, Default)]
pub(super) struct Recall {
    /// By namespace and name. Several objects had the same name, one after the other, where it was not written that the first has gone.
    known: HashMap<String, Vec<Recalled>>,
    ledger: Option<Arc<Ledger>>,
    found: Found,
}

#[derive(Debug)]
struct Recalled {
    known: Known,
    /// The list has it, though it could not be read.
    is_there: bool,
}

/// How many objects were found to be how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) unchanged: u64,
    pub(super) changed: u64,
    pub(super) gone: u64,
}

impl Recall {
    pub(super) fn new(remembered: Option<Remembered>) -> Self {
        let Some(Remembered { objects, ledger }) = remembered else { return Self::default() };
        let mut known = HashMap::<String, Vec<Recalled>>::new();
        for object in objects {
            let key = key(&object.announcement.namespace, &object.announcement.name);
            known.entry(key).or_default().push(Recalled { known: object, is_there: false });
        }
        Self { known, ledger: Some(ledger), found: Found::default() }
    }

    /// The newest version of what was announced. What is older may be without objects that are there.
    pub(super) fn newest(&self) -> Option<String> {
        let known = self.known.values().flatten().map(|recalled| &recalled.known);
        let versions = known.flat_map(|known| std::iter::once(&known.announcement).chain(&known.told)).map(|one| &one.version);
        // Those of Kubernetes are numbers; where they are not, nobody can say which is newer.
        versions.filter_map(|version| version.parse::<u64>().ok()).max().map(|newest| newest.to_string())
    }

    /// The object of this key and uid as it was announced, and those of the same name that have gone for it.
    pub(super) fn take(&mut self, key: &str, uid: &str) -> (Option<Known>, Vec<Known>) {
        let (mut same, mut gone) = (None, Vec::new());
        for Recalled { known, .. } in self.known.remove(key).unwrap_or_default() {
            if *known.announcement.uid == *uid {
                same = Some(known);
            } else {
                gone.push(known);
            }
        }
        gone.sort_by_cached_key(age);
        self.found.gone += gone.len() as u64;
        (same, gone)
    }

    /// An object stands in the list, of which nothing could be read but who it is.
    pub(super) fn remains(&mut self, identity: &Identity) {
        for recalled in self.known.get_mut(&key(&identity.namespace, &identity.name)).into_iter().flatten() {
            // The uid may be missing; another one is that of another object.
            recalled.is_there |= identity.uid.is_empty() || *recalled.known.announcement.uid == *identity.uid;
        }
    }

    /// What has gone, as a list says that has come to its end.
    pub(super) fn take_gone(&mut self) -> Vec<Known> {
        let mut gone = Vec::new();
        self.known.retain(|_, same_name| {
            let is_gone = |recalled: &mut Recalled| !std::mem::take(&mut recalled.is_there);
            gone.extend(same_name.extract_if(.., is_gone).map(|recalled| recalled.known));
            !same_name.is_empty()
        });
        // So that a run can be repeated.
        gone.sort_by_cached_key(|known| {
            let Announcement { namespace, name, .. } = &known.announcement;
            (Arc::clone(namespace), Arc::clone(name), age(known))
        });
        self.found.gone += gone.len() as u64;
        gone
    }

    /// The object is there; says whether it is as all have heard already.
    pub(super) fn compare(&mut self, before: &Known, now: &Announcement) -> bool {
        let is_same = before.announcement.version == now.version;
        *if is_same { &mut self.found.unchanged } else { &mut self.found.changed } += 1;
        before.to_all && before.announcement == *now
    }

    /// How many were found to be how since the last question.
    pub(super) fn take_found(&mut self) -> Found {
        std::mem::take(&mut self.found)
    }

    /// Whether anybody is to know what is announced.
    pub(super) fn is_kept(&self) -> bool {
        self.ledger.is_some()
    }

    /// For an event that announces this.
    pub(super) fn receipt(&self, announced: Announced) -> Option<Receipt> {
        self.ledger.as_ref().map(|ledger| ledger.receipt(announced))
    }
}

/// Puts objects of the same name in the order in which they were: nobody is to hear of an older one behind a newer one.
fn age(known: &Known) -> (Option<u64>, Arc<str>) {
    let last = known.told.as_ref().unwrap_or(&known.announcement);
    (last.version.parse().ok(), Arc::clone(&last.uid))
}
