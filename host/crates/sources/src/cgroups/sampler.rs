//! Finds cgroups, opens their files and reads them. Each call blocks for as long as the kernel takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use sluicebox_contract::{Fault, SubjectId, SubjectIds, Tick, UnixNanos};

use super::cgroup::{Buffer, Cgroup, Complaints, Gone, Groups, NetworkRoot, OpenFiles};
use super::config::{Config, Level, Of};
use super::cpus::Cpus;
use super::hierarchy::{Hierarchies, Missing};
use super::names::Orders;
use super::place::Place;
use super::refused::Refused;
use super::tree::{Changes, Found, Tree, TreeLimits, Wanted};
use crate::end::out_of_ids;

/// Where a process may open any number of files: as many as the kernel allows where nobody has set another number.
const MANY_FILES: u64 = 1 << 20;

/// Reads what cgroups use.
pub struct Sampler {
    tree: Tree,
    /// So many cgroups the tree has left out.
    left_out: u64,
    levels: Vec<Level>,
    means: Means,
    cpus: Cpus,
    ids: Arc<SubjectIds>,
    cgroups: BTreeMap<SubjectId, Measured>,
    by_path: HashMap<String, SubjectId>,
    /// Those that are neither pods nor containers: they make room for these.
    others: BTreeSet<SubjectId>,
    most: usize,
    /// Those for which there is no room. The tree bounds them.
    refused: Refused,
    has_refused: bool,
    buffer: Buffer,
    /// So many samples there were in the last reading of all.
    samples: usize,
}

/// What it takes to open a cgroup.
struct Means {
    hierarchies: Hierarchies,
    groups: Groups,
    network: NetworkRoot,
    open_files: OpenFiles,
    complaints: Complaints,
}

/// A cgroup that is there.
struct Measured {
    path: String,
    place: Option<Place>,
    /// None while nobody wants to know.
    cgroup: Option<Cgroup>,
}

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// All cgroups.
    All,
    /// Those that have come, and these.
    New(Vec<SubjectId>),
}

/// What was found and read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) tick: Tick,
    /// They are in the tick.
    pub(super) come: Vec<Come>,
    /// They are not read any more.
    pub(super) gone: Vec<SubjectId>,
    pub(super) took: Duration,
    /// Values that could not be read.
    pub(super) unreadable: u64,
    /// Times that everything was looked through.
    pub(super) rescans: u64,
    /// Cgroups for which there was no room.
    pub(super) beyond_limit: u64,
    /// Files that are held open.
    pub(super) open_files: usize,
}

/// A cgroup that was found.
#[derive(Debug)]
pub(super) struct Come {
    pub(super) subject: SubjectId,
    pub(super) path: String,
    pub(super) place: Option<Place>,
}

impl Sampler {
    /// Finds where cgroups are.
    pub fn new(config: &Config, ids: Arc<SubjectIds>) -> Result<Self, Fault> {
        let missing = |missing: Missing| Fault::fatal("cannot measure cgroups", &missing).hint(missing.hint());
        let hierarchies = Hierarchies::find(&config.root).map_err(missing)?;
        let wanted = match config.of() {
            Of::Kubernetes => Wanted::Kubernetes,
            Of::All => Wanted::All,
        };
        let limits = TreeLimits::default();
        // Half of them may be others than pods and containers, which only lead there.
        let limits = TreeLimits { directories: limits.directories.max(config.max_cgroups.saturating_mul(2)), ..limits };
        let tree = Tree::open(&hierarchies, wanted, limits).map_err(missing)?;
        Ok(Self {
            tree,
            left_out: 0,
            levels: config.levels.clone(),
            means: Means {
                hierarchies,
                groups: config.metrics,
                network: NetworkRoot::new(&config.root),
                open_files: OpenFiles::new(config.max_open_files.unwrap_or_else(half_of_what_may_be_open)),
                complaints: Complaints::default(),
            },
            cpus: Cpus::new(&config.root),
            ids,
            cgroups: BTreeMap::new(),
            by_path: HashMap::new(),
            others: BTreeSet::new(),
            most: config.max_cgroups,
            buffer: Buffer::new(),
            samples: 0,
            refused: Refused::default(),
            has_refused: false,
        })
    }

    /// Finds what has come and gone, and reads all.
    pub fn sample(&mut self) -> Result<Tick, Fault> {
        self.read(&What::All, Orders::default()).map(|taken| taken.tick)
    }

    /// How many files are held open.
    pub fn open_files(&self) -> usize {
        self.means.open_files.open()
    }

    /// How many may be.
    pub(super) fn most_open_files(&self) -> usize {
        self.means.open_files.most()
    }

    /// Ready when cgroups have come or gone.
    pub(super) async fn changed(&self) {
        self.tree.changed().await;
    }

    /// Does what was ordered, finds what has come and gone, and reads.
    pub(super) fn read(&mut self, what: &What, orders: Orders) -> Result<Taken, Fault> {
        let began = Instant::now();
        self.follow(orders);
        let Changes { mut come, gone, rescanned } = self.tree.changes();
        // They would have to make room again.
        come.sort_by_key(|found| found.place.is_none());
        let mut taken = Taken {
            tick: Tick {
                observed_at: UnixNanos::now(),
                online_cpus: self.cpus.online(),
                samples: Vec::with_capacity(self.samples),
            },
            come: Vec::new(),
            gone: gone.iter().filter_map(|path| self.remove(path)).collect(),
            took: Duration::ZERO,
            unreadable: 0,
            rescans: u64::from(rescanned),
            beyond_limit: 0,
            open_files: 0,
        };
        let left_out = self.tree.left_out();
        taken.beyond_limit = left_out.saturating_sub(std::mem::replace(&mut self.left_out, left_out));
        let known = self.cgroups.last_key_value().map(|(subject, _)| *subject);
        for found in come {
            self.take_in(found, &mut taken)?;
        }
        self.take_in_refused(&mut taken)?;
        match what {
            What::All => {
                self.measure(|_| true, &mut taken);
                self.samples = taken.tick.samples.len();
            }
            What::New(besides) => self.measure(|subject| Some(subject) > known || besides.contains(&subject), &mut taken),
        }
        if self.means.open_files.were_used_up() {
            self.means.complaints.used_up(self.means.open_files.most());
        }
        taken.open_files = self.means.open_files.open();
        taken.unreadable = self.means.complaints.take_count();
        taken.took = began.elapsed();
        Ok(taken)
    }

    fn follow(&mut self, orders: Orders) {
        for subject in orders.rest {
            if let Some(measured) = self.cgroups.get_mut(&subject) {
                measured.cgroup = None;
            }
        }
        for subject in orders.wake {
            if let Some(measured) = self.cgroups.get_mut(&subject).filter(|measured| measured.cgroup.is_none()) {
                measured.cgroup = Some(self.means.open(&measured.path, measured.place.as_ref()));
            }
        }
        for (old, new) in orders.renumber {
            if self.others.remove(&old) {
                self.others.insert(new);
            }
            if let Some(measured) = self.cgroups.remove(&old) {
                self.by_path.insert(measured.path.clone(), new);
                self.cgroups.insert(new, measured);
            }
        }
    }

    /// A new cgroup, if it is wanted and there is room.
    fn take_in(&mut self, found: Found, taken: &mut Taken) -> Result<(), Fault> {
        let Found { path, place } = found;
        let level = place.as_ref().map(|place| match place {
            Place::Pod { .. } => Level::Pod,
            Place::Container { .. } => Level::Container,
        });
        if level.is_some_and(|level| !self.levels.contains(&level)) {
            return Ok(());
        }
        // One that is not known to have gone, such as one that could not be looked at for a while.
        taken.gone.extend(self.remove(&path));
        if self.cgroups.len() >= self.most && place.is_some() {
            self.make_room(taken);
        }
        if self.cgroups.len() >= self.most {
            taken.beyond_limit += 1;
            if !std::mem::replace(&mut self.has_refused, true) {
                tracing::warn!(
                    source = "cgroups",
                    hint = "raise `max-cgroups`",
                    "there are more than {} cgroups: the others are left out and counted",
                    self.most
                );
            }
            self.refused.insert(Found { path, place });
            return Ok(());
        }
        let subject = self.ids.next().ok_or_else(|| out_of_ids("cgroup"))?;
        let cgroup = Some(self.means.open(&path, place.as_ref()));
        if place.is_none() {
            self.others.insert(subject);
        }
        self.by_path.insert(path.clone(), subject);
        taken.come.push(Come { subject, path: path.clone(), place: place.clone() });
        self.cgroups.insert(subject, Measured { path, place, cgroup });
        Ok(())
    }

    /// What is neither a pod nor a container gives way to one that is; the youngest does.
    fn make_room(&mut self, taken: &mut Taken) {
        let Some(Measured { path, .. }) = self.others.last().and_then(|subject| self.cgroups.get(subject)) else { return };
        let path = path.clone();
        taken.beyond_limit += 1;
        taken.gone.extend(self.remove(&path));
        self.refused.insert(Found { path, place: None });
    }

    /// What had no room may have some now.
    fn take_in_refused(&mut self, taken: &mut Taken) -> Result<(), Fault> {
        while self.cgroups.len() < self.most
            && let Some(found) = self.refused.next()
        {
            self.take_in(found, taken)?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Option<SubjectId> {
        self.refused.remove(path);
        let subject = self.by_path.remove(path)?;
        self.cgroups.remove(&subject);
        self.others.remove(&subject);
        Some(subject)
    }

    fn measure(&mut self, is_wanted: impl Fn(SubjectId) -> bool, taken: &mut Taken) {
        let mut vanished = Vec::new();
        for (subject, Measured { path, cgroup, .. }) in &mut self.cgroups {
            let Some(cgroup) = cgroup.as_mut().filter(|_| is_wanted(*subject)) else { continue };
            let samples = &mut taken.tick.samples;
            // Removed while it is read: an expected end.
            if let Err(Gone) = cgroup.read(*subject, Instant::now(), &mut self.buffer, samples, &mut self.means.complaints) {
                vanished.push(path.clone());
            }
        }
        taken.gone.extend(vanished.iter().filter_map(|path| self.remove(path)));
    }
}

impl Means {
    /// Only pods have a network of their own.
    fn open(&mut self, path: &str, place: Option<&Place>) -> Cgroup {
        let network = matches!(place, Some(Place::Pod { .. })).then_some(&self.network);
        Cgroup::open(&self.hierarchies, path, self.groups, network, &self.open_files, &mut self.complaints)
    }
}

fn half_of_what_may_be_open() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MANY_FILES);
    usize::try_from(limit / 2).unwrap_or(usize::MAX)
}
