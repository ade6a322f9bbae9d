//! The cgroups for which there is no room, and which of them is next when there is: pods and containers before others. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::place::Place;
use super::tree::Found;

/// Each by its path.
#[derive(Debug, Default)]
pub(super) struct Refused {
    placed: BTreeMap<String, Place>,
    others: BTreeSet<String>,
}

impl Refused {
    pub(super) fn insert(&mut self, found: Found) {
        match found.place {
            Some(place) => drop(self.placed.insert(found.path, place)),
            None => drop(self.others.insert(found.path)),
        }
    }

    /// It has gone.
    pub(super) fn remove(&mut self, path: &str) {
        self.placed.remove(path);
        self.others.remove(path);
    }

    /// The one that is to have the next room.
    pub(super) fn next(&mut self) -> Option<Found> {
        match self.placed.pop_first() {
            Some((path, place)) => Some(Found { path, place: Some(place) }),
            None => self.others.pop_first().map(|path| Found { path, place: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::place::{PodKey, Qos};

    #[test]
    fn pods_and_containers_are_next() {
        let mut refused = Refused::default();
        let place = Some(Place::Pod { key: PodKey::Uid("u".to_owned()), qos: Qos::Burstable });
        let pod = Found { path: "/z".to_owned(), place };
        let [one, other] = ["/a", "/b"].map(|path| Found { path: path.to_owned(), place: None });
        for found in [&other, &pod, &one] {
            refused.insert(found.clone());
        }
        refused.remove("/b");
        assert_eq!([refused.next(), refused.next(), refused.next()], [Some(pod), Some(one), None]);
    }
}
