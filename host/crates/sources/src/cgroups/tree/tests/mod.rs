//! A reader of the tree who believes what he is told, and compares it with the truth.

mod bounds;
mod bursts;
mod changes;

use std::fmt::Write as _;
use std::os::fd::AsRawFd;

use tokio::time::timeout;

use super::*;

/// A busy machine may take its time; nothing here takes as long by itself.
const DEADLINE: Duration = Duration::from_mins(1);
/// No test lives so long: where it is set, only notices serve.
const NEVER: TreeLimits = TreeLimits { directories: 20_000, depth: 32, poll: Duration::from_hours(1) };
const SOON: TreeLimits = TreeLimits { poll: Duration::from_millis(50), ..NEVER };

/// A tree, and a reader of it who believes what he is told.
struct Reader {
    root: PathBuf,
    tree: Tree,
    wanted: Wanted,
    believed: BTreeSet<String>,
    rescans: u64,
}

impl Reader {
    fn open(root: &Path, wanted: Wanted, limits: TreeLimits) -> Self {
        let hierarchies = Hierarchies { unified: Some(root.to_owned()), ..Hierarchies::default() };
        let tree = Tree::open(&hierarchies, wanted, limits).unwrap();
        Self { root: root.to_owned(), tree, wanted, believed: BTreeSet::new(), rescans: 0 }
    }

    /// What is told fits what was told before.
    fn ask(&mut self) -> Changes {
        let changes = self.tree.changes();
        for gone in &changes.gone {
            assert!(self.believed.remove(gone), "{gone} has gone, of which nothing was heard");
        }
        for come in &changes.come {
            assert!(self.believed.insert(come.path.clone()), "{} has come twice", come.path);
        }
        self.rescans += u64::from(changes.rescanned);
        changes
    }

    /// What a look at all directories shows, without what lies in a container.
    fn truth(&self) -> BTreeSet<String> {
        let mut truth = BTreeSet::new();
        let mut waiting = vec!["/".to_owned()];
        while let Some(path) = waiting.pop() {
            let place = place(&path);
            if place.is_some() || self.wanted == Wanted::All {
                truth.insert(path.clone());
            }
            let is_container = matches!(place, Some(Place::Container { .. }));
            if is_container && self.wanted == Wanted::Kubernetes {
                continue;
            }
            let Ok(entries) = fs::read_dir(self.root.join(&path[1..])) else { continue };
            for entry in entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_dir()) {
                waiting.push(inside(&path, entry.file_name().to_str().unwrap()));
            }
        }
        truth
    }

    /// Waits until what is believed is true.
    async fn settle(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.ask();
            let truth = self.truth();
            if truth == self.believed {
                return;
            }
            if timeout(deadline.saturating_duration_since(Instant::now()), self.tree.changed()).await.is_err() {
                let missing: Vec<_> = truth.difference(&self.believed).take(5).collect();
                let stale: Vec<_> = self.believed.difference(&truth).take(5).collect();
                panic!("not told: {missing:?}; not there any more: {stale:?}");
            }
        }
    }

    fn make(&self, path: &str) {
        fs::create_dir_all(self.root.join(&path[1..])).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_dir(self.root.join(&path[1..])).unwrap();
    }

    /// How many watches the kernel holds for the tree.
    fn kernel_watches(&self) -> usize {
        let descriptor = self.tree.watches.descriptor().unwrap().as_raw_fd();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap();
        text.lines().filter(|line| line.starts_with("inotify wd:")).count()
    }
}

/// In memory where that can be had: thousands of directories are made, and no disk is to be tested.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn pod(number: usize) -> String {
    format!("/kubepods/burstable/pod{number:08x}-bc17-4709-ab2c-4d98b5ad4fb2")
}

fn container(number: usize) -> String {
    format!("{}/{}", pod(number), "7".repeat(64))
}

fn strings(changes: &Changes) -> String {
    let mut text = String::new();
    for gone in &changes.gone {
        write!(text, "-{gone} ").unwrap();
    }
    for come in &changes.come {
        write!(text, "+{} ", come.path).unwrap();
    }
    text.trim_end().to_owned()
}
