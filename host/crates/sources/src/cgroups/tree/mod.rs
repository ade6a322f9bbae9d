//! Which cgroups there are: keeps the set of directories by the kernel's notices, and by looking where these do not serve.
//!
//! A notice only says where to look. What is found there is compared with what is known, by name and inode, so that it does not matter
//! how many notices there were, in which order, or for what: after a lost one everything is looked at in the same way.

mod known;
mod signal;
mod watches;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::known::{Known, Role, Seen};
use self::signal::Signal;
use self::watches::{Unwatched, Watches};
use super::hierarchy::{Hierarchies, Missing};
use super::place::{Place, place};

/// No path of the kernel is longer.
const MOST_PATH_BYTES: usize = 4096;
/// A cgroup has about a hundred files of its own beside the directories in it.
const FILES: usize = 4096;
/// Looking at everything takes at most this part of the time, however often notices are lost.
const REST: u32 = 10;
/// Units of systemd in which nothing can be that we look for.
const LEAVES: [&str; 6] = [".mount", ".automount", ".socket", ".swap", ".timer", "/init.scope"];

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Pods and containers.
    Kubernetes,
    /// Every cgroup, the root among them, down to the depth of the limits.
    All,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreeLimits {
    /// How many directories are known at most.
    pub(crate) directories: usize,
    /// How deep they lie at most; those in the root lie 1 deep.
    pub(crate) depth: usize,
    /// How often to look where notices do not serve.
    pub(crate) poll: Duration,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { directories: 20_000, depth: 32, poll: Duration::from_secs(10) }
    }
}

/// A cgroup that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Within the hierarchy, with a leading slash.
    pub(crate) path: String,
    /// None for what is neither a pod nor a container, which only [`Wanted::All`] tells.
    pub(crate) place: Option<Place>,
}

/// What has happened since the last question. A path in both lists is another cgroup under the same name: it has gone first.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) come: Vec<Found>,
    pub(crate) gone: Vec<String>,
    /// Whether everything was looked at once more.
    pub(crate) rescanned: bool,
}

/// The set of cgroups.
pub(crate) struct Tree {
    root: PathBuf,
    wanted: Wanted,
    limits: TreeLimits,
    known: Known,
    watches: Watches,
    signal: Signal,
    /// Notices were lost: everything is to be looked at.
    stale: bool,
    /// Whether a notice will come for every change; else we have to look from time to time.
    complete: bool,
    /// When everything was looked at, and how long that took.
    scanned: Option<(Instant, Duration)>,
    left_out: u64,
    said: BTreeSet<&'static str>,
}

impl Tree {
    /// Looks for cgroups in one of the hierarchies. Nothing is read before the first [`Tree::changes`].
    pub(crate) fn open(hierarchies: &Hierarchies, wanted: Wanted, limits: TreeLimits) -> Result<Self, Missing> {
        let root = hierarchies.watched().ok_or_else(|| Missing::NotMounted { root: PathBuf::from("/") })?.to_owned();
        fs::read_dir(&root).map_err(|cause| Missing::Unreadable { path: root.clone(), cause })?;
        let watches = Watches::open();
        let signal = Signal::new(watches.descriptor(), limits.poll);
        Ok(Self {
            root,
            wanted,
            limits,
            known: Known::default(),
            watches,
            signal,
            stale: true,
            complete: true,
            scanned: None,
            left_out: 0,
            said: BTreeSet::new(),
        })
    }

    /// What has come and gone since the last call; the first one gives all. Works for a bounded time and never waits.
    pub(crate) fn changes(&mut self) -> Changes {
        let first = self.scanned.is_none();
        let hints = self.watches.hints(self.limits.directories);
        if hints.lost && !first {
            tracing::debug!("notices of cgroups were lost: looking at all of them");
        }
        self.stale |= hints.lost;
        // Another one may be there by now, even with the same inode.
        for path in &hints.ended {
            self.forget(path);
        }
        let scan = self.scan_due().is_some_and(|due| due <= Instant::now());
        if scan {
            self.scan();
        } else {
            for path in hints.ended.iter().chain(&hints.paths) {
                self.look_at(path);
            }
        }
        self.signal.set_due(self.scan_due());
        let (come, gone) = self.known.take();
        Changes { come, gone, rescanned: scan && !first }
    }

    /// Ready when there is something for [`Tree::changes`] to tell, or when it is time to look.
    pub(crate) async fn changed(&self) {
        self.signal.changed().await;
    }

    /// How many directories were left out since everything was looked at, because there are too many, they lie too deep or have odd names.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// When everything is to be looked at again; none as long as notices tell all.
    fn scan_due(&self) -> Option<Instant> {
        let Some((at, took)) = self.scanned else { return Some(Instant::now()) };
        if self.stale {
            return Some(at + took * REST);
        }
        (!self.complete).then(|| at + self.limits.poll.max(took * REST))
    }

    /// Looks at everything.
    fn scan(&mut self) {
        let began = Instant::now();
        self.stale = false;
        self.complete = true;
        self.left_out = 0;
        self.known.begin_round();
        self.walk("/".to_owned());
        for path in self.known.unseen() {
            self.forget(&path);
        }
        if self.known.len() == 0 {
            // The root is not there, and nobody will say so when it is.
            self.complete = false;
        }
        self.scanned = Some((Instant::now(), began.elapsed()));
    }

    /// Looks at one directory, where something is said to have happened.
    fn look_at(&mut self, path: &str) {
        // What lies in a directory that is not known is found when that comes.
        let Some(role) = parent(path).and_then(|parent| self.known.role(parent)) else { return };
        if self.wanted == Wanted::Kubernetes && role == Role::Container {
            return;
        }
        match inode(&self.directory(path)) {
            // The notice was of one that is known by now.
            Some(inode) if self.known.inode(path) == Some(inode) => {}
            Some(_) => self.walk(path.to_owned()),
            None => self.forget(path),
        }
    }

    /// Looks at a directory and all that lies in it and is wanted.
    fn walk(&mut self, start: String) {
        let mut waiting = Vec::new();
        self.admit(start, &mut waiting);
        while let Some(path) = waiting.pop() {
            let directory = self.directory(&path);
            // Watched first and listed then, so that nothing can come in between.
            self.watch(&path, &directory);
            self.list(&path, &directory, &mut waiting);
        }
    }

    /// Compares a directory with what is known. Those that may hold others wait for being looked into; they are known, so that there are
    /// never more of these.
    fn admit(&mut self, path: String, waiting: &mut Vec<String>) {
        let Some(inode) = inode(&self.directory(&path)) else { return self.forget(&path) };
        if self.known.inode(&path) == Some(inode) {
            self.known.remains(&path);
        } else {
            self.forget(&path);
            let Some(seen) = self.judge(&path, inode) else { return };
            self.known.insert(&path, seen);
        }
        if self.wanted == Wanted::All || self.known.role(&path) != Some(Role::Container) {
            waiting.push(path);
        }
    }

    /// Whether a directory that was not known is to be kept, and as what.
    fn judge(&mut self, path: &str, inode: u64) -> Option<Seen> {
        if path.len() > MOST_PATH_BYTES || depth(path) > self.limits.depth {
            self.leave_out("a cgroup lies too deep: it is left out", path);
            return None;
        }
        let above = parent(path).and_then(|parent| self.known.role(parent)).unwrap_or(Role::Outside);
        // Whoever may make directories in a container does not make pods.
        let place = if above == Role::Container { None } else { place(path) };
        let role = match &place {
            Some(Place::Pod { .. }) => Role::Pod,
            Some(Place::Container { .. }) => Role::Container,
            None if above == Role::Container => Role::Container,
            None => Role::Outside,
        };
        let told = place.is_some() || self.wanted == Wanted::All;
        if !told && (above == Role::Pod || LEAVES.iter().any(|leaf| path.ends_with(leaf))) {
            return None;
        }
        let room = self.limits.directories;
        // Others must not take the room of pods.
        let leads_to_pods = above == Role::Outside && path.contains("kubepods");
        let crowded = place.is_none() && !leads_to_pods && self.known.others() >= room / 2;
        if path != "/" && (crowded || self.known.len() >= room) {
            self.complete = false;
            self.leave_out("there are too many cgroups: some are left out", path);
            return None;
        }
        Some(Seen { inode, role, told, place })
    }

    fn watch(&mut self, path: &str, directory: &Path) {
        match self.watches.add(directory, path) {
            Ok((watch, before)) => {
                if let Some(before) = before {
                    self.known.set_watch(&before, None);
                }
                self.known.set_watch(path, Some(watch));
            }
            // Its parent's watch tells; the root has none.
            Err(Unwatched::Gone) => self.complete = false,
            Err(Unwatched::Refused(error)) => {
                self.complete = false;
                if self.said.insert("watch") {
                    let seconds = self.limits.poll.as_secs_f64();
                    tracing::warn!(
                        hint = "raise fs.inotify.max_user_watches or fs.inotify.max_user_instances",
                        "cannot watch cgroups: {error}: looking every {seconds} s instead"
                    );
                }
            }
        }
    }

    fn list(&mut self, path: &str, directory: &Path, waiting: &mut Vec<String>) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.unlisted(path, &error),
        };
        let most = self.limits.directories.saturating_add(FILES);
        for (at, entry) in entries.enumerate() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.unlisted(path, &error),
            };
            if at >= most {
                self.complete = false;
                return self.leave_out("a cgroup holds too many others: some are left out", path);
            }
            // Of the entry itself: a link is not followed.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match entry.file_name().to_str() {
                Some(name) => self.admit(inside(path, name), waiting),
                None => self.leave_out("the name of a cgroup is not UTF-8: it is left out", path),
            }
        }
    }

    /// A directory that goes while we look is none of anybody's business.
    fn unlisted(&mut self, path: &str, error: &io::Error) {
        if !is_gone(error) {
            self.complete = false;
            if self.said.insert("list") {
                tracing::warn!(path, "cannot list a cgroup: {error}: trying again from time to time");
            }
        }
    }

    fn leave_out(&mut self, what: &'static str, path: &str) {
        self.left_out += 1;
        if self.said.insert(what) {
            tracing::warn!(path, directories = self.limits.directories, depth = self.limits.depth, "{what}");
        }
    }

    fn forget(&mut self, path: &str) {
        for (path, watch) in self.known.forget(path) {
            self.watches.remove(watch, &path);
        }
    }

    fn directory(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// Of the directory, if there is one.
fn inode(directory: &Path) -> Option<u64> {
    fs::symlink_metadata(directory).ok().filter(fs::Metadata::is_dir).map(|metadata| metadata.ino())
}

/// The kernel says either, or that the process that asks for it is gone.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn inside(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// None of the root.
fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}

#[cfg(test)]
mod tests;
