//! One seed, from the first start of the program to the last look at the other side.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluicebox_testkit::api_server::{ApiServer, RequestFault, RequestFaultKind};
use sluicebox_testkit::wire::{Wire, WireState};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cluster::{Cluster, Gone};
use super::collector::{Collector, Run};
use super::config::{self, Places, SINKS, own};
use super::disk::{self, Disk};
use super::documents;
use super::events::{self, Listener, Span};
use super::metrics::Metrics;
use super::pages::{Pages, TARGETS};
use super::plan::{Plan, Server, Step, Trouble};
use super::random::Random;
use super::servers::Servers;
use super::stream::{self, End, Handed, Line, RunFacts};

/// How long everything may take to arrive once all troubles are over.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long all goes on after the troubles.
const AFTER: Duration = Duration::from_millis(300);
/// For how long, in milliseconds, it may not be known that a pod was told of.
const NOT_KNOWN_YET: i64 = 1500;
const STATE_MEBIBYTES: u32 = 12;
const OUTPUT_MEBIBYTES: u32 = 24;

/// What came of a seed.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) faults: Vec<String>,
    /// What was done, in order.
    pub(super) done: Vec<&'static str>,
    pub(super) told: usize,
    pub(super) changes: u64,
    pub(super) runs: usize,
    pub(super) slowest_start: Duration,
    /// From the end of the troubles until everything had arrived.
    pub(super) recovery: Duration,
    pub(super) notes: Vec<String>,
}

pub(super) struct Scene<'a> {
    plan: Plan,
    servers: &'a mut Servers,
    api: Arc<ApiServer>,
    api_wire: Wire,
    cluster: Arc<Cluster>,
    pages: Arc<Pages>,
    collector: Collector,
    state: Disk,
    output: Disk,
    random: Random,
    killed: Vec<Server>,
    excused: BTreeSet<Line>,
    /// Whether a store was damaged on purpose.
    is_damaged: bool,
    arrived: Vec<Line>,
    broken: Arc<Mutex<BTreeSet<String>>>,
    listener: Listener,
    outcome: Outcome,
    tasks: JoinSet<()>,
}

/// Where a worker is and what it has.
pub(super) struct Post<'a> {
    pub(super) binary: &'a Path,
    pub(super) folder: PathBuf,
    pub(super) cache: &'a Path,
    pub(super) disks: bool,
}

/// Plays a seed. An error is one of ours, or of a program that does not start or end.
pub(super) async fn play(plan: Plan, post: &Post<'_>, servers: &mut Servers) -> Outcome {
    let seed = plan.seed;
    let mut scene = match Scene::new(plan, post, servers).await {
        Ok(scene) => scene,
        Err(error) => return Outcome { seed, faults: vec![format!("cannot begin: {error:#}")], ..Outcome::default() },
    };
    if let Err(error) = scene.run().await {
        scene.outcome.faults.push(format!("{error:#}"));
    }
    scene.end().await
}

impl<'a> Scene<'a> {
    async fn new(plan: Plan, post: &Post<'_>, servers: &'a mut Servers) -> Result<Self> {
        let mut tasks = JoinSet::new();
        if post.folder.exists() {
            fs::remove_dir_all(&post.folder)?;
        }
        let state = Disk::new(post.folder.join("state"), STATE_MEBIBYTES, post.disks)?;
        let output = Disk::new(post.folder.join("output"), OUTPUT_MEBIBYTES, post.disks)?;
        let api = Arc::new(ApiServer::start().await?);
        let api_wire = Wire::start().await?;
        api_wire.lead_to(api.url().trim_start_matches("http://"))?;
        let pages = Pages::new(plan.series);
        let page_address = pages.serve(&mut tasks).await?;
        let text = config::text(
            &plan,
            &Places {
                api: api_wire.address(),
                pages: page_address,
                broker: servers.broker_wire.address(),
                redis: servers.redis_wire.address(),
                state: &state.path,
                output: &output.path,
                cache: post.cache,
            },
        );
        let collector = Collector::new(post.binary, text, &post.folder);
        let cluster = Cluster::new(Arc::clone(&api), plan.pods, plan.pace);
        let broken = Arc::default();
        let listener = Listener::start(&servers.redis, &own("events", plan.seed), &mut tasks).await?;
        tasks.spawn(Arc::clone(&collector.watcher).watch());
        tasks.spawn(Arc::clone(&cluster).live(plan.seed));
        tasks.spawn(documents::watch(output.path.join("meta"), Arc::clone(&broken)));
        let random = Random::new(plan.seed ^ 0x00C0_FFEE);
        let outcome = Outcome { seed: plan.seed, ..Outcome::default() };
        let (killed, excused, arrived) = (Vec::new(), BTreeSet::new(), Vec::new());
        Ok(Self {
            plan,
            servers,
            api,
            api_wire,
            cluster,
            pages,
            collector,
            state,
            output,
            random,
            killed,
            excused,
            is_damaged: false,
            arrived,
            broken,
            listener,
            outcome,
            tasks,
        })
    }

    async fn run(&mut self) -> Result<()> {
        self.start().await?;
        let begin = Instant::now();
        let mut moments: Vec<(u64, bool, Step)> = Vec::new();
        for step in &self.plan.steps {
            moments.push((step.at, true, *step));
            moments.push((step.at + step.lasts, false, *step));
        }
        moments.sort_by_key(|(at, ..)| *at);
        for (at, begins, step) in moments {
            sleep(Duration::from_millis(at).saturating_sub(begin.elapsed())).await;
            if begins {
                self.begin(step).await.with_context(|| format!("{:?}", step.trouble))?;
            } else {
                self.over(step.trouble).await.with_context(|| format!("after {:?}", step.trouble))?;
            }
        }
        sleep(Duration::from_millis(self.plan.span).saturating_sub(begin.elapsed())).await;
        self.heal().await?;
        self.settle().await
    }

    async fn start(&mut self) -> Result<()> {
        if !self.collector.is_there() {
            self.collector.launch()?;
            self.collector.until_alive().await?;
        }
        Ok(())
    }

    async fn begin(&mut self, step: Step) -> Result<()> {
        self.outcome.done.push(step.trouble.name());
        let wire = |server| self.servers.wire(&self.api_wire, server);
        match step.trouble {
            Trouble::Kill => self.collector.kill()?,
            Trouble::KillAndDamage(damage) => {
                self.collector.kill()?;
                if let Some(broken) = disk::damage(&self.state.path, self.plan.seed, damage, &mut self.random)? {
                    self.is_damaged = true;
                    self.excused.extend(broken.lost);
                    self.outcome.notes.push(broken.what);
                }
            }
            Trouble::KillTwice => {
                self.collector.kill()?;
                self.collector.launch()?;
                sleep(Duration::from_millis(step.lasts.min(120))).await;
                self.collector.kill()?;
            }
            Trouble::KillLater(milliseconds) => {
                sleep(Duration::from_millis(milliseconds)).await;
                self.collector.kill()?;
                self.start().await?;
            }
            Trouble::KillStarting(milliseconds) => {
                self.collector.kill()?;
                self.collector.launch()?;
                sleep(Duration::from_millis(milliseconds)).await;
                self.collector.kill()?;
                self.start().await?;
            }
            Trouble::Stop => {
                let (was_there, well) = (self.collector.is_there(), self.collector.stop().await?);
                if was_there && !well {
                    self.outcome.notes.push("it has ended and said that something was lost".to_owned());
                }
                self.start().await?;
            }
            Trouble::Freeze => {
                if let Some(program) = &self.collector.program {
                    program.pause()?;
                }
            }
            Trouble::Pause(Server::Redis) => self.servers.redis.pause(),
            Trouble::Pause(_) => self.servers.broker.pause(),
            Trouble::KillServer(server) => {
                self.killed.push(server);
                match server {
                    Server::Redis => self.servers.redis.kill(),
                    _ => self.servers.broker.kill(),
                }
            }
            Trouble::Cut(server) => wire(server).cut(),
            Trouble::Refuse(server) => wire(server).set(WireState::Refused),
            Trouble::Hold(server) => wire(server).set(WireState::Held),
            Trouble::Slow(server, milliseconds) => wire(server).set(WireState::Slow(Duration::from_millis(milliseconds))),
            Trouble::BreakWatches => self.api.break_watches(),
            Trouble::Compact => {
                self.api.compact();
                self.api.break_watches();
            }
            Trouble::Refusals(code) => {
                self.api.fail(RequestFault { watches: None, times: 3, kind: RequestFaultKind::Status(code, None) });
                self.api.break_watches();
            }
            Trouble::FullState => self.state.fill()?,
            Trouble::FullOutput => self.output.fill()?,
        }
        Ok(())
    }

    async fn over(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Kill | Trouble::KillAndDamage(_) | Trouble::KillTwice => self.start().await?,
            Trouble::Freeze => {
                if let Some(program) = &self.collector.program {
                    program.resume()?;
                }
            }
            Trouble::Pause(Server::Redis) => self.servers.redis.resume(),
            Trouble::Pause(_) => self.servers.broker.resume(),
            Trouble::KillServer(server) => {
                self.killed.retain(|killed| *killed != server);
                self.servers.restart(server).await?;
            }
            Trouble::Refuse(server) | Trouble::Hold(server) | Trouble::Slow(server, _) => {
                self.servers.wire(&self.api_wire, server).set(WireState::Whole);
            }
            Trouble::Refusals(_) => self.api.heal(),
            Trouble::FullState => self.state.empty(),
            Trouble::FullOutput => self.output.empty(),
            Trouble::Cut(_) | Trouble::BreakWatches | Trouble::Compact | Trouble::Stop => {}
            Trouble::KillLater(_) | Trouble::KillStarting(_) => {}
        }
        Ok(())
    }

    /// All troubles are over, and nothing new comes.
    async fn heal(&mut self) -> Result<()> {
        self.servers.heal(&std::mem::take(&mut self.killed)).await?;
        self.api_wire.set(WireState::Whole);
        self.api.heal();
        self.state.empty();
        self.output.empty();
        if let Some(program) = &self.collector.program {
            program.resume()?;
        }
        self.start().await?;
        sleep(AFTER).await;
        self.cluster.over.store(true, Ordering::Relaxed);
        self.pages.over.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until everything has arrived; what has not is a fault.
    async fn settle(&mut self) -> Result<()> {
        // The last pages may be on their way.
        sleep(Duration::from_millis(3 * self.plan.period)).await;
        let begin = Instant::now();
        let taken_in = self.collector.metrics().await?;
        loop {
            let mut faults = self.faults(&taken_in).await?;
            if faults.is_empty() {
                self.outcome.recovery = begin.elapsed();
                if !self.collector.stop().await? {
                    faults.push("it has ended and said that something was lost, with nothing in its way".to_owned());
                }
            } else if begin.elapsed() < PATIENCE {
                sleep(Duration::from_millis(50)).await;
                continue;
            }
            self.outcome.faults.extend(faults);
            return Ok(());
        }
    }

    /// What is not as it should be, given what the program had taken in a while ago.
    async fn faults(&mut self, taken_in: &Metrics) -> Result<Vec<String>> {
        self.arrived.extend(self.servers.reader.take().iter().filter_map(|line| stream::parse(line, self.plan.seed)));
        let given: Vec<Vec<usize>> = (0..TARGETS.len()).map(|target| self.pages.given(target)).collect();
        let written = fs::read_to_string(self.output.path.join("lines/lines.jsonl")).unwrap_or_default();
        let written: Vec<Line> = written.lines().filter_map(|line| stream::parse(line, self.plan.seed)).collect();
        let metrics = self.collector.metrics().await?;
        let mut faults = accounts(&metrics, self.is_damaged);
        for (sink, lines) in [("broker", &self.arrived), ("lines", &written)] {
            let runs = self.facts(sink, taken_in, &metrics);
            let handed = Handed { given: &given, series: self.plan.series, runs: &runs, excused: &self.excused };
            faults.extend(stream::faults(&handed, lines).into_iter().map(|fault| format!("{sink}: {fault}")));
        }
        self.outcome.told = self.arrived.len() + written.len();
        faults.extend(documents::meta_faults(&self.output.path.join("meta"), &self.cluster.pods()?));
        let hash = self.servers.hash(&own("metadata", self.plan.seed)).await?;
        let truth = self.cluster.truth.lock().unwrap_or_else(PoisonError::into_inner);
        // What has gone while nobody looked is not noticed where nothing is remembered.
        let anything = self.collector.runs.len() > 1 && (!self.plan.reconciles || self.is_damaged);
        let leftovers = truth.gone.iter().filter(|gone| self.may_be_left(gone)).map(|gone| &gone.address).collect();
        faults.extend(documents::hash_faults(&hash, &truth, (!anything).then_some(&leftovers)));
        self.outcome.changes = truth.changes;
        if let Some(heard) = self.listener.heard() {
            self.outcome.told += heard.len();
            faults.extend(events::faults(&heard, &truth.put, &truth.there, &self.spans()));
        }
        faults.extend(self.broken.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        Ok(faults)
    }

    /// What is known of the runs, as far as this sink is concerned.
    fn facts(&self, sink: &str, taken_in: &Metrics, now: &Metrics) -> Vec<RunFacts> {
        let count = |number: f64| format!("{number:.0}").parse::<u64>().unwrap_or_default();
        let last = self.collector.runs.len().saturating_sub(1);
        let disk_is_full = self.plan.steps.iter().any(|step| step.trouble == Trouble::FullState);
        let facts = |(number, run): (usize, &Run)| {
            let is_last = number == last;
            let account = run.last.as_ref().map(|metrics| metrics.account(sink)).unwrap_or_default();
            let safe = match (is_last, run.well) {
                (true, _) => taken_in.account(sink).entries,
                (_, true) => account.entries,
                _ => account.safe(disk_is_full),
            };
            let end = match (is_last, run.well) {
                (true, _) => End::None,
                (_, true) => End::Stopped,
                _ => End::Killed,
            };
            let most = is_last.then(|| count(now.account(sink).entries));
            RunFacts { began: run.began, safe: count(safe), most, end }
        };
        self.collector.runs.iter().enumerate().map(facts).collect()
    }

    /// What was announced is written down once a second: of a pod that came shortly before a kill it is not known that it was told of, and
    /// when it has gone before the next start, nobody notices.
    fn may_be_left(&self, gone: &Gone) -> bool {
        let killed = self.collector.runs.iter().filter(|run| !run.well).filter_map(|run| run.ended);
        killed.into_iter().any(|end| (end - NOT_KNOWN_YET..end).contains(&gone.came) && gone.went > end - NOT_KNOWN_YET)
    }

    /// In which times each run must have told everything; none where something was lost on purpose.
    fn spans(&self) -> Vec<Span> {
        if self.is_damaged || self.plan.steps.iter().any(|step| step.trouble == Trouble::Compact) {
            return Vec::new();
        }
        let last = self.collector.runs.len().saturating_sub(1);
        let runs = self.collector.runs.iter().enumerate();
        runs.filter_map(|(number, run)| {
            let from = if number == last { self.collector.watcher.ready(number) } else { run.ready };
            Some(Span { from: from?, to: run.ended.unwrap_or(i64::MAX) })
        })
        .collect()
    }

    /// Tidies up, whatever has happened.
    async fn end(mut self) -> Outcome {
        if let Err(error) = self.collector.kill().and(self.servers.heal(&std::mem::take(&mut self.killed)).await) {
            self.outcome.faults.push(format!("cannot tidy up: {error:#}"));
        }
        self.tasks.abort_all();
        self.outcome.runs = self.collector.runs.len();
        self.outcome.slowest_start = self.collector.slowest;
        if !self.outcome.faults.is_empty() {
            let heard = self.listener.so_far();
            let _written = fs::write(self.state.path.with_file_name("heard.jsonl"), heard.join("\n"));
            let truth = self.cluster.truth.lock().unwrap_or_else(PoisonError::into_inner);
            let _written = fs::write(self.state.path.with_file_name("cluster.txt"), truth.log.join("\n"));
            for folder in ["state", "output"] {
                let kept = self.state.path.with_file_name(format!("{folder}-kept"));
                let _copied =
                    std::process::Command::new("cp").arg("-r").arg(self.state.path.with_file_name(folder)).arg(&kept).status();
            }
        }
        self.outcome
    }
}

/// What is wrong with what the program says of itself, once all is quiet.
fn accounts(metrics: &Metrics, is_damaged: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for sink in SINKS {
        let account = metrics.account(sink);
        if !account.is_right() {
            faults.push(format!("the account of {sink} is not right: {account:?}"));
        }
        if account.damaged > 0.5 && !is_damaged {
            faults.push(format!("entries in the store of {sink} were lost, and nobody has touched it: {account:?}"));
        }
        if account.held > 0.5 || account.refused > 0.5 || account.dropped - account.damaged > 0.5 {
            faults.push(format!("entries of {sink} were held, refused or dropped: {account:?}"));
        }
    }
    let lanes = metrics.sum("sluicebox_lane_dropped_events_total", &[]);
    if lanes > 0.5 {
        faults.push(format!("lanes have dropped {lanes} events"));
    }
    faults
}

/// What a seed must be for it to mean something.
pub(super) fn must_have_done_something(outcome: &Outcome) -> Result<()> {
    if outcome.faults.is_empty() && (outcome.told == 0 || outcome.changes == 0) {
        bail!("seed {}: nothing was told, or nothing has changed", outcome.seed);
    }
    Ok(())
}
