//! Tells when files may have changed: modules and the configuration, on a node, where files are links that are swapped, directories
//! come and go, and file systems hang.
//!
//! The truth is a look at each file, again and again ([`look`]); the kernel's events only make the next look come sooner ([`hints`]).

mod hints;
mod look;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use hints::Hints;
pub use look::{Fingerprint, Marks, fingerprint};
use look::{Look, Place};

/// A burst of changes is gathered for this many times `debounce`, at most.
const MOST_DEBOUNCES: u32 = 10;
/// How long the others wait for a look that does not come back.
const ROUND_PATIENCE: Duration = Duration::from_secs(1);
/// A look that is out for longer is worth a line in the log.
const LATE: Duration = Duration::from_secs(10);
/// Neither pause is shorter, whatever is asked for.
const SHORTEST: Duration = Duration::from_millis(1);

/// How often files are looked at.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// Time between two looks at every file.
    pub poll: Duration,
    /// A change is reported when nothing has changed for this long, or after ten times that.
    pub debounce: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { poll: Duration::from_secs(2), debounce: Duration::from_millis(200) }
    }
}

type Looker = Arc<dyn Fn(&Path) -> Look + Send + Sync>;

/// Files, and what is known of them.
///
/// Keep one for as long as the program runs: it remembers which looks hang, and has one on each file at most. Dropping it ends everything
/// but what hangs in the kernel, a look or the beginning of a hint, which ends when the kernel lets go.
pub struct Watch {
    settings: WatchSettings,
    look: Looker,
    hints: Hints,
    paths: BTreeMap<PathBuf, Watched>,
    looks: JoinSet<Done>,
    /// The looks that are not back, of paths that are followed and that were.
    away: BTreeMap<PathBuf, Away>,
    round: u64,
    phase: Phase,
    /// When the first change was seen that is not reported.
    gathering: Option<Instant>,
    /// Whether something has changed, or seems to have, since the last round ended.
    is_stirred: bool,
}

struct Watched {
    reported: Fingerprint,
    seen: Fingerprint,
    places: Vec<Place>,
    /// The kernel has told of something that may have changed the content.
    is_touched: bool,
}

struct Away {
    task: Id,
    since: Instant,
    round: u64,
    is_late: bool,
}

struct Done {
    path: PathBuf,
    look: Look,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Nothing is done until then.
    Resting { until: Instant },
    /// A round of looks is under way; then it ends without those that are not back.
    Looking { began: Instant, until: Instant },
}

impl Watch {
    /// Follows nothing yet.
    pub fn new(settings: WatchSettings) -> Self {
        Self::with(settings, Hints::new(), Arc::new(look::look))
    }

    fn with(settings: WatchSettings, hints: Hints, look: Looker) -> Self {
        let settings = WatchSettings { poll: settings.poll.max(SHORTEST), debounce: settings.debounce.max(SHORTEST) };
        Self {
            settings,
            look,
            hints,
            paths: BTreeMap::new(),
            looks: JoinSet::new(),
            away: BTreeMap::new(),
            round: 0,
            phase: Phase::Resting { until: Instant::now() },
            gathering: None,
            is_stirred: false,
        }
    }

    /// From now on these files and no others are followed. Each counts as known in the state of its fingerprint: what is different from
    /// it is reported, so a [`fingerprint`] that was taken before the file was read misses no change.
    pub fn follow(&mut self, paths: BTreeMap<PathBuf, Fingerprint>) {
        let mut before = std::mem::take(&mut self.paths);
        let watched = |(path, known): (PathBuf, Fingerprint)| {
            let (places, is_touched) =
                before.remove(&path).map_or_else(Default::default, |watched| (watched.places, watched.is_touched));
            (path, Watched { reported: known.clone(), seen: known, places, is_touched })
        };
        self.paths = paths.into_iter().map(watched).collect();
        self.phase = Phase::Resting { until: Instant::now() };
    }

    /// From now on these files and no others are followed. Those that were followed before stay as they are; the others are reported at
    /// the first look at them.
    pub fn follow_only(&mut self, paths: BTreeSet<PathBuf>) {
        let mut before = std::mem::take(&mut self.paths);
        let watched = |path: PathBuf| {
            let unknown = Fingerprint::Unreadable("it was not looked at yet".to_owned());
            let known = before.remove(&path);
            let fresh = || Watched { reported: unknown.clone(), seen: unknown.clone(), places: Vec::new(), is_touched: false };
            (path, known.unwrap_or_else(fresh))
        };
        self.paths = paths.into_iter().map(watched).collect();
        self.phase = Phase::Resting { until: Instant::now() };
    }

    /// Waits until files are in another state than was last reported or given to [`Watch::follow`], and have settled; returns which.
    ///
    /// Dropping the future loses nothing. Files are looked at only while it is waited for.
    pub async fn changed(&mut self) -> BTreeSet<PathBuf> {
        loop {
            let now = Instant::now();
            let is_idle = self.gathering.is_none();
            let (until, rests) = match self.phase {
                Phase::Resting { until } if now >= until || (is_idle && self.is_stirred) => {
                    self.begin_round(now);
                    continue;
                }
                Phase::Looking { began, until } if now >= until || self.is_round_complete() => {
                    let report = self.end_round(now, began);
                    if !report.is_empty() {
                        return report;
                    }
                    continue;
                }
                Phase::Resting { until } => (until, true),
                Phase::Looking { until, .. } => (until, false),
            };
            tokio::select! {
                Some(done) = self.looks.join_next_with_id(), if !self.looks.is_empty() => self.take(done),
                // While changes are gathered, hints are gathered too, until the next round.
                () = self.hints.heard(), if rests && is_idle => self.is_stirred = true,
                () = sleep_until(until) => {}
            }
        }
    }

    fn begin_round(&mut self, now: Instant) {
        self.is_stirred |= self.hints.drain();
        let touched = self.hints.drain_touched();
        for watched in self.paths.values_mut() {
            watched.is_touched |= watched.places.iter().any(|place| touched.contains(&(place.identity, place.name.clone())));
        }
        self.round += 1;
        for path in self.paths.keys() {
            if let Some(away) = self.away.get_mut(path) {
                away.complain(path, now);
                continue;
            }
            let (look, looked_at) = (Arc::clone(&self.look), path.clone());
            let task = self.looks.spawn_blocking(move || {
                let look = look(&looked_at);
                Done { path: looked_at, look }
            });
            self.away.insert(path.clone(), Away { task: task.id(), since: now, round: self.round, is_late: false });
        }
        self.phase = Phase::Looking { began: now, until: now + ROUND_PATIENCE };
    }

    fn is_round_complete(&self) -> bool {
        !self.away.values().any(|away| away.round == self.round)
    }

    fn take(&mut self, done: Result<(Id, Done), JoinError>) {
        let Done { path, look } = match done {
            Ok((_, done)) => done,
            Err(error) => {
                // The look has panicked, or the executor ends. The next round looks again.
                self.away.retain(|_, away| away.task != error.id());
                return;
            }
        };
        if self.away.remove(&path).is_some_and(|away| away.is_late) {
            info!(path = %path.display(), "the file can be looked at again");
        }
        let Some(watched) = self.paths.get_mut(&path) else {
            return;
        };
        // It may be older than what the caller has read: then it is another state, and the next look comes before any report.
        self.is_stirred |= watched.seen != look.fingerprint;
        watched.seen = look.fingerprint;
        watched.places = look.places;
    }

    /// What is to be reported now.
    fn end_round(&mut self, now: Instant, began: Instant) -> BTreeSet<PathBuf> {
        self.hints.keep(self.paths.values().flat_map(|watched| &watched.places));
        let is_stirred = std::mem::take(&mut self.is_stirred);
        let since = *self.gathering.get_or_insert(now);
        let bound = since + self.settings.debounce * MOST_DEBOUNCES;
        if is_stirred && now < bound {
            self.phase = Phase::Resting { until: bound.min(now + self.settings.debounce) };
            return BTreeSet::new();
        }
        self.gathering = None;
        self.phase = Phase::Resting { until: began + self.settings.poll };
        let mut report = BTreeSet::new();
        for (path, watched) in &mut self.paths {
            // A copy may set back the time that tells it from what was there, and have as many bytes.
            let is_back = !self.away.contains_key(path);
            let is_touched =
                is_back && std::mem::take(&mut watched.is_touched) && watched.reported.may_be_older_than(&watched.seen);
            if is_touched || watched.reported != watched.seen {
                watched.reported = watched.seen.clone();
                report.insert(path.clone());
            }
        }
        report
    }
}

impl Away {
    fn complain(&mut self, path: &Path, now: Instant) {
        if !self.is_late && now.duration_since(self.since) >= LATE {
            self.is_late = true;
            warn!(
                path = %path.display(),
                seconds = LATE.as_secs(),
                "a look at the file does not come back: its changes are noticed when its file system answers again"
            );
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Watch")
            .field("settings", &self.settings)
            .field("paths", &self.paths.keys())
            .finish_non_exhaustive()
    }
}
