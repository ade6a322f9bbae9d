//! Of what a package is made on one platform, as `cargo tree` tells it: what is not in the product is not in the tree.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::command;
use crate::workspace;

/// A package by name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

/// Who depends on whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// What it is all for.
    pub(super) root: Package,
    /// Every package with those that it depends on.
    pub(super) needs: BTreeMap<Package, BTreeSet<Package>>,
    /// Those that run in the compiler: they make code, and are no part of it.
    macros: BTreeSet<Package>,
}

impl Tree {
    /// The tree of one of our packages.
    pub(super) fn of(package: &str, target: &str) -> Result<Self> {
        let mut cargo = workspace::cargo();
        cargo.args(["tree", "--locked", "--edges", "normal", "--prefix", "depth", "--package", package, "--target", target]);
        read(&command::capture(&mut cargo)?)
    }

    /// What is in the product; the rest only helps to compile it.
    pub(super) fn linked(&self) -> BTreeSet<&Package> {
        let mut linked = BTreeSet::new();
        let mut waiting = vec![&self.root];
        while let Some(package) = waiting.pop() {
            if !self.macros.contains(package) && linked.insert(package) {
                waiting.extend(self.needs.get(package).into_iter().flatten());
            }
        }
        linked
    }
}

/// Each line is the depth and a package: `2heck v0.5.0`, `3syn v3.0.9 (*)`. What stands below of a package is written out once.
fn read(tree: &str) -> Result<Tree> {
    let (mut needs, mut macros) = (BTreeMap::<Package, BTreeSet<Package>>::new(), BTreeSet::new());
    let mut above: Vec<Package> = Vec::new();
    for line in tree.lines() {
        let (depth, package, is_macro) = entry(line).with_context(|| format!("`cargo tree` says `{line}`"))?;
        needs.entry(package.clone()).or_default();
        above.truncate(depth);
        if let Some(parent) = above.last() {
            needs.entry(parent.clone()).or_default().insert(package.clone());
        }
        if is_macro {
            macros.insert(package.clone());
        }
        above.push(package);
    }
    let root = above.into_iter().next().context("`cargo tree` says nothing")?;
    Ok(Tree { root, needs, macros })
}

fn entry(line: &str) -> Option<(usize, Package, bool)> {
    let (depth, rest) = line.split_at(line.find(|letter: char| !letter.is_ascii_digit())?);
    let mut words = rest.split(' ');
    let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
    Some((depth.parse().ok()?, Package { name, version }, rest.contains(" (proc-macro)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0top v1.0.0 (/src/top)\n1serde v1.0.1\n2serde_derive v1.0.1 (proc-macro)\n3syn v2.0.0\n1http v1.2.0\n2bytes v1.1.0\n1serde v1.0.1 (*)\n";

    #[test]
    fn who_needs_whom_follows_from_the_depth() {
        let tree = read(TREE).unwrap();
        let names = |package: &str| {
            let (_, needs) = tree.needs.iter().find(|(key, _)| key.name == package).unwrap();
            needs.iter().map(|package| package.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!((tree.root.name.as_str(), tree.needs.len()), ("top", 6));
        assert_eq!(names("top"), ["http", "serde"]);
        assert_eq!(names("serde"), ["serde_derive"]);
        assert_eq!(names("bytes"), [""; 0]);
    }

    #[test]
    fn what_runs_in_the_compiler_is_not_linked() {
        let tree = read(TREE).unwrap();
        let linked: Vec<_> = tree.linked().into_iter().map(|package| package.name.as_str()).collect();
        assert_eq!(linked, ["bytes", "http", "serde", "top"]);
    }
}
