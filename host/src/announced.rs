//! What was announced: found at the start, handed to the source that has announced it, and written down while the program runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Announcement, Known, Ledger, Remembered};
use sluicebox_sources::{AtStart, Scope};
use sluicebox_store::{Announcements, Book, NOBODY, Recalled, StoreError, mark};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::plan::Plan;

/// Time between two looks for what is to be written down. What was announced for less and goes while the collector is away after `kill -9`
/// is not told as gone.
const PERIOD: Duration = Duration::from_millis(100);

/// What was announced by each source, and what is.
#[derive(Debug, Default)]
pub struct Announced {
    /// What was found, by source, until the source begins.
    found: Mutex<BTreeMap<&'static str, (Book, Recalled)>>,
    kept: Mutex<Vec<Arc<Kept>>>,
}

/// What one source announces in this run.
#[derive(Debug)]
struct Kept {
    source: String,
    book: Mutex<Book>,
    ledger: Arc<Ledger>,
    /// Who hears of it.
    mark: u64,
    meter: Arc<SourceMeter>,
    /// What was said already: that the disk refuses, that there is no room.
    said: Mutex<(bool, bool)>,
}

/// A source as far as what it announces is concerned.
struct Watched {
    source: &'static str,
    what: String,
    at_start: AtStart,
    most: u64,
}

impl Announced {
    /// Finds what was announced in earlier runs by the sources of this plan; blocks. Where it cannot be had, everything is announced once more; what a
    /// later version has written is an error.
    pub fn open(plan: &Plan, node: &str, state_directory: Option<&Path>) -> Result<Self, StoreError> {
        let watched = watched(plan, node);
        let Some(directory) = state_directory.filter(|_| !watched.is_empty()) else { return Ok(Self::default()) };
        match open(directory, watched) {
            Ok(found) => Ok(Self { found: Mutex::new(found), kept: Mutex::default() }),
            Err(error @ StoreError::Newer { .. }) => Err(error),
            Err(error) => {
                warn!(%error, "what is announced is not remembered: everything that is there is announced at each start");
                Ok(Self::default())
            }
        }
    }

    /// What a source has announced before, to those whom `heard_by` tells of or to others. From here on it is written down what it announces.
    pub fn take(&self, source: &str, heard_by: &str, meter: &Arc<SourceMeter>) -> Option<Remembered> {
        let (book, recalled) = lock(&self.found).remove(source)?;
        let (mark, ledger) = (mark(heard_by), Arc::<Ledger>::default());
        let mut told = recalled.told;
        let known = |(announcement, of): (Announcement, u64)| {
            let told = told.remove(&announcement.uid);
            Known { announcement, told, to_all: of == mark }
        };
        let strangers = recalled.objects.iter().filter(|(_, of)| ![mark, NOBODY].contains(of)).count();
        let objects: Vec<Known> = recalled.objects.into_iter().map(known).collect();
        if strangers > 0 {
            info!(%source, objects = strangers, "other modules or sinks hear of it than in the run before: what is there is announced once more");
        }
        meter.remembers.set(1);
        meter.announced_objects.set(i64::try_from(book.len()).unwrap_or(i64::MAX));
        lock(&self.kept).push(Arc::new(Kept {
            source: source.to_owned(),
            book: Mutex::new(book),
            ledger: Arc::clone(&ledger),
            mark,
            meter: Arc::clone(meter),
            said: Mutex::default(),
        }));
        Some(Remembered { objects, ledger })
    }

    /// Writes down what is announced, again and again.
    pub async fn keep(self: Arc<Self>) -> Infallible {
        loop {
            sleep(PERIOD).await;
            self.write().await;
        }
    }

    /// Writes down what was announced since the last time.
    pub async fn write(self: &Arc<Self>) {
        let kept = lock(&self.kept).clone();
        if !kept.iter().any(|kept| kept.ledger.has_news()) {
            return;
        }
        let work = move || kept.iter().for_each(|kept| kept.write());
        let _unless_the_runtime_ends = spawn_blocking(work).await;
    }
}

impl Kept {
    fn write(&self) {
        // Before the ledger is asked: what is taken first is written first.
        let mut book = lock(&self.book);
        let announced = self.ledger.take();
        if announced.is_empty() {
            return;
        }
        let (mut said, source) = (lock(&self.said), &self.source);
        let (refuses, left_out) = match book.write(&announced, self.mark) {
            Ok(left_out) => (false, left_out),
            Err(error) => {
                if !said.0 {
                    warn!(%source, %error, "what was announced cannot be written down: it is tried again, and what is not written is announced once more at the next start");
                }
                self.ledger.give_back(announced);
                (true, 0)
            }
        };
        if left_out > 0 && !said.1 {
            warn!(%source, objects = left_out, hint = "raise `max-cached-bytes` of the source", "there is no room to remember that objects were announced: they are announced once more at the next start, and not missed when they go while the collector is away");
        }
        *said = (refuses, said.1 || left_out > 0);
        self.meter.announced_objects.set(i64::try_from(book.len()).unwrap_or(i64::MAX));
    }
}

fn open(directory: &Path, watched: Vec<Watched>) -> Result<BTreeMap<&'static str, (Book, Recalled)>, StoreError> {
    let announcements = Announcements::open(directory)?;
    let mut found = BTreeMap::new();
    for Watched { source, what, at_start, most } in watched {
        if at_start == AtStart::Replay {
            announcements.forget(source)?;
            continue;
        }
        let (book, recalled) = announcements.book(source, &what, most)?;
        if let Some(trouble) = &recalled.trouble {
            warn!(source, %trouble, "not all of what was announced before is known: it is announced once more");
        }
        found.insert(source, (book, recalled));
    }
    Ok(found)
}

/// The sources of a plan that announce objects, and work on this collector in any case.
fn watched(plan: &Plan, node: &str) -> Vec<Watched> {
    let sources = &plan.sources;
    let of_the_cluster = |scope: Scope| scope == Scope::Cluster;
    let is_elected = |scope: Scope| of_the_cluster(scope) && plan.lease.enabled;
    let what = |scope: Scope, named: Option<&String>| {
        if of_the_cluster(scope) {
            "all of the cluster".to_owned()
        } else {
            format!("node {}", named.map_or(node, String::as_str))
        }
    };
    let all = || "all of the cluster".to_owned();
    let mut watched = Vec::new();
    if let Some(pods) = sources.pods.as_ref().filter(|pods| !is_elected(pods.scope)) {
        let (what, at_start, most) = (what(pods.scope, pods.node.as_ref()), pods.at_start, pods.max_cached_bytes.0);
        watched.push(Watched { source: "pods", what, at_start, most });
    }
    if let Some(services) = &sources.services {
        let (at_start, most) = (services.at_start, services.max_cached_bytes.0);
        watched.push(Watched { source: "services", what: all(), at_start, most });
    }
    if let Some(namespaces) = &sources.namespaces {
        let (at_start, most) = (namespaces.at_start, namespaces.max_cached_bytes.0);
        watched.push(Watched { source: "namespaces", what: all(), at_start, most });
    }
    if let Some(nodes) = sources.nodes.as_ref().filter(|nodes| !is_elected(nodes.scope)) {
        let (what, at_start, most) = (what(nodes.scope, nodes.node.as_ref()), nodes.at_start, nodes.max_cached_bytes.0);
        watched.push(Watched { source: "nodes", what, at_start, most });
    }
    watched
}

/// Who hears of what a source announces, through these lanes: one that is set otherwise, or writes elsewhere, has told nobody yet.
pub fn heard_by(plan: &Plan, lanes: &[&str]) -> String {
    let mut all: Vec<String> = plan
        .lanes
        .iter()
        .filter(|lane| lanes.contains(&lane.name.as_str()))
        .map(|lane| {
            let mut sinks: Vec<_> = plan
                .sinks
                .iter()
                .filter(|sink| lane.to.contains(&sink.name))
                .map(|sink| (&sink.name, serde_json::to_value(&sink.config).unwrap_or_default()))
                .collect();
            sinks.sort_by_key(|(name, _)| *name);
            json!([lane.name, lane.component.to_string(), lane.settings, sinks]).to_string()
        })
        .collect();
    all.sort();
    all.join("\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
