//! The directories that are known, and what has come and gone among them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use crate::cgroups::place::Place;

/// What may lie in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Pods, sooner or later, or not.
    Outside,
    /// Containers.
    Pod,
    /// What belongs to the container.
    Container,
}

/// A directory as it was seen.
pub(super) struct Seen {
    /// Another one under the same name is another cgroup.
    pub(super) inode: u64,
    pub(super) role: Role,
    /// Whether it is told when it comes and goes; the others only lead there.
    pub(super) told: bool,
    pub(super) place: Option<Place>,
}

struct Node {
    inode: u64,
    role: Role,
    told: bool,
    is_placed: bool,
    watch: Option<i32>,
    round: u64,
}

/// All directories by their paths.
#[derive(Default)]
pub(super) struct Known {
    nodes: BTreeMap<String, Node>,
    /// How many are neither pods nor containers.
    others: usize,
    /// Counts the scans.
    round: u64,
    come: BTreeMap<String, Option<Place>>,
    gone: BTreeSet<String>,
}

impl Known {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many are neither pods nor containers.
    pub(super) fn others(&self) -> usize {
        self.others
    }

    pub(super) fn inode(&self, path: &str) -> Option<u64> {
        self.nodes.get(path).map(|node| node.inode)
    }

    pub(super) fn role(&self, path: &str) -> Option<Role> {
        self.nodes.get(path).map(|node| node.role)
    }

    /// A scan begins: whatever it does not see has gone.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Which directories the scan has not seen.
    pub(super) fn unseen(&self) -> Vec<String> {
        self.nodes.iter().filter(|(_, node)| node.round != self.round).map(|(path, _)| path.clone()).collect()
    }

    /// It is still there.
    pub(super) fn remains(&mut self, path: &str) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.round = self.round;
        }
    }

    /// It has come. What was there under this name must have been forgotten before.
    pub(super) fn insert(&mut self, path: &str, seen: Seen) {
        let Seen { inode, role, told, place } = seen;
        let is_placed = place.is_some();
        self.others += usize::from(!is_placed);
        if told {
            self.come.insert(path.to_owned(), place);
        }
        self.nodes.insert(path.to_owned(), Node { inode, role, told, is_placed, watch: None, round: self.round });
    }

    /// Changes come by this watch from now on, or by none.
    pub(super) fn set_watch(&mut self, path: &str, watch: Option<i32>) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.watch = watch;
        }
    }

    /// It has gone, with all that lies in it. Gives the watches that are no longer of use.
    pub(super) fn forget(&mut self, path: &str) -> Vec<(String, i32)> {
        let mut paths: Vec<String> = self.nodes.contains_key(path).then(|| path.to_owned()).into_iter().collect();
        // `0` is the letter after `/`.
        let (first, last) = if path == "/" { ("/".to_owned(), "0".to_owned()) } else { (format!("{path}/"), format!("{path}0")) };
        paths.extend(self.nodes.range(first..last).map(|(inside, _)| inside.clone()).filter(|inside| inside != path));
        let mut watches = Vec::new();
        for path in paths {
            let Some(node) = self.nodes.remove(&path) else { continue };
            self.others = self.others.saturating_sub(usize::from(!node.is_placed));
            if node.told && self.come.remove(&path).is_none() {
                // Otherwise nobody has heard of it.
                self.gone.insert(path.clone());
            }
            watches.extend(node.watch.map(|watch| (path, watch)));
        }
        watches
    }

    /// What has come and gone since the last question, in the order of the paths: a pod stands before its containers. What stands in both
    /// has gone and come again.
    pub(super) fn take(&mut self) -> (Vec<Found>, Vec<String>) {
        let come = std::mem::take(&mut self.come).into_iter().map(|(path, place)| Found { path, place }).collect();
        (come, std::mem::take(&mut self.gone).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(known: &mut Known, path: &str, inode: u64) {
        known.insert(path, Seen { inode, role: Role::Outside, told: path != "/between", place: None });
    }

    fn taken(known: &mut Known) -> (Vec<String>, Vec<String>) {
        let (come, gone) = known.take();
        (come.into_iter().map(|found| found.path).collect(), gone)
    }

    #[test]
    fn what_goes_takes_along_what_lies_in_it_and_nothing_beside_it() {
        let mut known = Known::default();
        for path in ["/", "/a", "/a/b", "/a/b/c", "/a.b", "/a0", "/ab", "/between"] {
            insert(&mut known, path, 1);
        }
        known.set_watch("/a/b", Some(7));
        assert_eq!(taken(&mut known).0, ["/", "/a", "/a.b", "/a/b", "/a/b/c", "/a0", "/ab"]);
        assert_eq!(known.forget("/a"), [("/a/b".to_owned(), 7)]);
        assert_eq!(taken(&mut known), (vec![], vec!["/a".to_owned(), "/a/b".to_owned(), "/a/b/c".to_owned()]));
        assert_eq!(known.forget("/"), []);
        assert_eq!((known.len(), known.others()), (0, 0));
        assert_eq!(taken(&mut known).1, ["/", "/a.b", "/a0", "/ab"]);
    }

    #[test]
    fn what_nobody_has_heard_of_goes_in_silence() {
        let mut known = Known::default();
        insert(&mut known, "/short", 1);
        known.forget("/short");
        assert_eq!(taken(&mut known), (vec![], vec![]));
    }

    #[test]
    fn what_is_made_again_has_gone_and_come() {
        let mut known = Known::default();
        insert(&mut known, "/again", 1);
        known.take();
        known.forget("/again");
        insert(&mut known, "/again", 2);
        assert_eq!(taken(&mut known), (vec!["/again".to_owned()], vec!["/again".to_owned()]));
        // And once more, before anybody asks.
        known.forget("/again");
        insert(&mut known, "/again", 3);
        known.forget("/again");
        assert_eq!(taken(&mut known), (vec![], vec!["/again".to_owned()]));
    }

    #[test]
    fn a_scan_leaves_what_it_has_not_seen() {
        let mut known = Known::default();
        for path in ["/old", "/same"] {
            insert(&mut known, path, 1);
        }
        known.begin_round();
        known.remains("/same");
        insert(&mut known, "/new", 2);
        assert_eq!(known.unseen(), ["/old"]);
    }
}
