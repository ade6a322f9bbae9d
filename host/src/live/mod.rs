//! Changes while the program runs: new versions of modules, a new configuration, modules that must be taken back, letters that are tried
//! again. Decides; the work is done in [`candidate`], and the pipeline carries it out.

mod candidate;
mod difference;
mod first;
mod lane;
mod memory;
mod outcome;
mod pulls;
mod quiet;
mod reading;
mod reconfigure;
mod recordings;
mod replays;
pub mod report;
mod status;
mod tend;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use sluicebox_pipeline::{Changes, LaneControl, Pipeline};
use sluicebox_registry::{PullError, Reference};
use sluicebox_wasm::WasmShaper;
use tokio::signal::unix::Signal;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::config::Problem;
use crate::config::load::Checked;
use crate::config::yaml::Document;
use crate::plan::{Component, LanePlan};
use crate::registries::Found;
use crate::trust::signature;
use crate::wire::Parts;
use candidate::{Placed, Refused, Running, Step, Wish, place};
use first::{First, Instead, first_of_all};
use lane::Lane;
use outcome::not_running;
use reading::Reading;
use replays::Replays;
use report::Reporter;
pub use status::Status;
use watch::{Fingerprint, Watch, WatchSettings};

/// Modules that are tried at a time: a rehearsal holds an instance more.
const AT_ONCE: usize = 4;

/// Everything that changes, and who decides about it.
pub struct Live {
    parts: Arc<Parts>,
    changes: Changes,
    /// The file of the configuration; none when it came from standard input.
    config: Option<PathBuf>,
    /// The configuration as it was at the start.
    started: Document,
    lanes: BTreeMap<String, Lane>,
    /// Lanes that are configured no more and still shape what they have.
    leaving: Vec<(String, LaneControl<WasmShaper>)>,
    watch: Watch,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// What is known of letters that are tried again; none while that is done.
    replays: Option<Replays>,
    /// Whether recordings are looked for, or made.
    recording: bool,
    reading: Reading,
    /// How many modules are tried at a time.
    places: Arc<Semaphore>,
    config_reading: ConfigReading,
    /// When a configuration that could not be read is read again.
    config_retry_at: Option<Instant>,
    status: Arc<Status>,
    reporter: Reporter,
}

/// What has been done beside the loop.
enum Done {
    Placed { lane: String, began: Instant, rollback: bool, result: Box<Result<Placed, Refused>> },
    Kept { lane: String, digest: String, done: bool },
    Config(Box<Result<Checked, Problem>>),
    Replayed(Replays),
    Pulled { reference: Reference, result: Result<Found, PullError> },
    Recorded,
    Aside,
}

/// Reading the configuration; once at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConfigReading {
    None,
    UnderWay,
    /// It has changed since that began.
    Again,
}

impl Live {
    /// Starts every lane with the sources that feed them, and follows the files that they come from.
    pub async fn begin(
        parts: Arc<Parts>,
        changes: Changes,
        pipeline: &mut Pipeline,
        config: (&Path, Fingerprint),
        started: Document,
    ) -> anyhow::Result<Self> {
        let (config, as_read) = config;
        let config = Some(config).filter(|path| *path != Path::new("-")).map(Path::to_owned);
        let reload = parts.plan.reload;
        let settings = WatchSettings { poll: reload.poll.0, debounce: reload.debounce.0 };
        let mut live = Self {
            reporter: Reporter::new(&parts),
            changes,
            config,
            started,
            lanes: BTreeMap::new(),
            leaving: Vec::new(),
            watch: Watch::new(settings),
            work: FuturesUnordered::new(),
            replays: Some(Replays::default()),
            recording: false,
            reading: Reading::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            config_reading: ConfigReading::None,
            config_retry_at: None,
            status: Arc::default(),
            parts,
        };
        let mut fed = Vec::new();
        for first in first_of_all(&live.parts).await {
            live.start(first, pipeline, &mut fed)?;
        }
        live.share_out();
        live.parts.feed(pipeline, &fed, None)?;
        // It was read already; modules are reported at the first look at them, and found to be those that run.
        live.watch.follow(live.config.iter().map(|path| (path.clone(), as_read.clone())).collect());
        live.follow();
        live.forget_strangers();
        live.status.config(&live.config_name(), Vec::new(), Vec::new());
        Ok(live)
    }

    /// What `/status` shows.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Works until dropped. At each hangup all files are read again, whether they seem to have changed or not.
    pub async fn run(mut self, mut hangups: Signal) -> Infallible {
        let mut tick = tokio::time::interval(tend::EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.watch.changed() => self.look(&changed),
                Some(done) = self.work.next(), if !self.work.is_empty() => self.take(done),
                _ = tick.tick() => self.tend(),
                Some(()) = hangups.recv() => self.read_all(),
            }
        }
    }

    fn config_name(&self) -> String {
        self.config.as_ref().map_or_else(|| "standard input".to_owned(), |path| path.display().to_string())
    }

    fn start(&mut self, first: First, pipeline: &mut Pipeline, fed: &mut Vec<crate::wire::Fed>) -> anyhow::Result<()> {
        let First { lane, cast, instead, refused } = first;
        let last_good = instead == Instead::LastGood;
        let configured =
            self.parts.plan.lanes.iter().find(|plan| plan.name == lane.name).cloned().unwrap_or_else(|| lane.clone());
        let name = lane.name.clone();
        let mut state = Lane::new(configured);
        if let Some((cast, tried, handlers)) = cast {
            let row = cast.row.clone();
            info!(lane = %name, module = %row.module.name, version = %row.module.version, "module loaded");
            let started = self.parts.start(pipeline, &lane, cast, false);
            let (control, sources) = started.with_context(|| format!("cannot start a thread for module `{name}`"))?;
            fed.push(sources);
            state.runs(Running { tried, control, row, handlers }, last_good);
            self.status.at_work(&name, last_good);
        } else {
            let failure = refused.as_ref().map(|refused| refused.reason.clone()).unwrap_or_default();
            error!(lane = %name, module = %lane.component, error = %failure, "module not loaded: its lane does not run");
            self.parts.meters.set_lane(not_running(&lane, failure));
        }
        if let Some(refused) = refused {
            if last_good {
                warn!(lane = %name, step = %refused.step, reason = %refused.reason, "module is bad: the last good one takes its place");
                self.report("LastGoodModuleUsed", &name, &refused.step.to_string(), &refused.reason);
            }
            if instead == Instead::Before {
                warn!(lane = %name, step = %refused.step, reason = %refused.reason, "what the registry has is bad: the version before takes its place");
                self.report("ModuleReloadRefused", &name, &refused.step.to_string(), &refused.reason);
            }
            self.status.refused(&name, &refused);
            state.refuse(refused);
        }
        let on_trial = state.running.is_some() && !last_good;
        self.lanes.insert(name.clone(), state);
        if on_trial {
            self.hold(&name);
        }
        Ok(())
    }

    /// Files have changed.
    fn look(&mut self, changed: &BTreeSet<PathBuf>) {
        if self.config.as_ref().is_some_and(|config| changed.contains(config)) {
            self.read_config();
        }
        let touched = |lane: &&Lane| files(&lane.plan).iter().any(|path| changed.contains(path));
        let names: Vec<String> = self.lanes.values().filter(touched).map(|lane| lane.plan.name.clone()).collect();
        for name in names {
            self.try_lane(&name, true);
        }
    }

    fn read_all(&mut self) {
        info!("asked to read all files again");
        self.read_config();
        self.parts.registries.hurry();
        self.try_all();
    }

    fn try_all(&mut self) {
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        for name in names {
            self.try_lane(&name, true);
        }
    }

    /// Brings what the configuration asks for into a lane, if it is not there; `changed` when there is a new reason to try.
    fn try_lane(&mut self, name: &str, changed: bool) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if lane.begin_attempt() {
            // Whether a component may run is found out each time.
            let known = |refused: &&Refused| (changed || !refused.again) && refused.step != Step::Verify;
            let refused = lane.refused.as_ref().filter(known).and_then(|refused| refused.tried.clone());
            self.leaving.retain(|(_, control)| control.ended().now_or_never().is_none());
            let before = self.leaving.iter().filter(|(leaving, _)| leaving == name).map(|(_, control)| control.clone()).collect();
            let reading = self.reading.clone();
            let wish = Wish { lane: lane.plan.clone(), good: None, running: lane.running.clone(), before, refused, reading };
            self.attempt(wish, false);
        }
    }

    fn attempt(&mut self, wish: Wish, rollback: bool) {
        let (lane, began) = (wish.lane.name.clone(), Instant::now());
        let (parts, changes, places) = (Arc::clone(&self.parts), self.changes.clone(), Arc::clone(&self.places));
        self.work.push(Box::pin(async move {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            Done::Placed { lane, began, rollback, result: Box::new(place(parts, changes, wish).await) }
        }));
    }

    fn report(&mut self, event: &'static str, lane: &str, step: &str, reason: &str) {
        let message = format!("lane `{lane}`: refused in {step}: {reason}");
        if let Some(posting) = self.reporter.post(event, message) {
            self.aside(posting);
        }
    }

    /// Has something done beside the loop of which nobody waits for the end.
    fn aside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.work.push(Box::pin(async move {
            work.await;
            Done::Aside
        }));
    }

    /// Follows the files that there are now.
    fn follow(&mut self) {
        let files = self.lanes.values().flat_map(|lane| files(&lane.plan));
        let paths = files.chain(self.config.clone()).collect();
        self.watch.follow_only(paths);
        self.parts.registries.follow(self.lanes.values().map(|lane| &lane.plan));
    }

    /// What is kept of lanes that are configured no more would only be in the way.
    fn forget_strangers(&mut self) {
        let parts = Arc::clone(&self.parts);
        let known: BTreeSet<String> = self.lanes.keys().cloned().collect();
        let forget = move || {
            for kept in [&parts.last_good, &parts.on_trial].into_iter().flatten() {
                for lane in kept.lanes().unwrap_or_default().into_iter().filter(|lane| !known.contains(lane)) {
                    if let Err(error) = kept.forget(&lane) {
                        warn!(%lane, %error, "the last good module of a lane that is no more stays");
                    }
                }
            }
        };
        self.aside(async move { drop(tokio::task::spawn_blocking(forget).await) });
    }
}

/// The files that a lane's module comes from: its component, and the signature if there must be one.
fn files(lane: &LanePlan) -> Vec<PathBuf> {
    match &lane.component {
        Component::File(path) if lane.demands.want_signature() => vec![path.clone(), signature::path(path)],
        Component::File(path) => vec![path.clone()],
        Component::Preset(_) | Component::Registry(_) => Vec::new(),
    }
}
