//! One seed, from the first start of the program to the last look at the other side.

mod troubles;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluicebox_testkit::servers::KubeClient;
use sluicebox_testkit::wire::{Wire, WireState};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::api::{Api, Way};
use super::cluster::Cluster;
use super::collector::Collector;
use super::config::{self, Places, own};
use super::disk::Disk;
use super::documents;
use super::events::Listener;
use super::pages::Pages;
use super::plan::{Plan, Server, Step, Trouble};
use super::random::Random;
use super::servers::Servers;
use super::stream::{Item, Line};

/// How long everything may take to arrive once all troubles are over: a sink that was away for long is tried again every 30 s.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long all goes on after the troubles.
const AFTER: Duration = Duration::from_millis(300);
const STATE_MEBIBYTES: u32 = 16;
const OUTPUT_MEBIBYTES: u32 = 24;
const SPILL_MEBIBYTES: u32 = 24;

/// What came of a seed.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) faults: Vec<String>,
    /// What was done, in order.
    pub(super) done: Vec<&'static str>,
    pub(super) told: usize,
    /// Entries that were dropped where that may be.
    pub(super) dropped: u64,
    /// Documents in `ConfigMaps` in the end.
    pub(super) in_maps: usize,
    pub(super) changes: u64,
    pub(super) runs: usize,
    pub(super) slowest_start: Duration,
    /// From the end of the troubles until everything had arrived.
    pub(super) recovery: Duration,
    /// The longest that anything took, in milliseconds, while a server was away that it was not for.
    pub(super) slowest_beside: i64,
    pub(super) notes: Vec<String>,
}

pub(super) struct Scene<'a> {
    plan: Plan,
    servers: &'a mut Servers,
    api: Arc<Api>,
    api_wire: Wire,
    /// While the real API server is away for longer, nothing is changed.
    api_held: Option<OwnedMutexGuard<KubeClient>>,
    cluster: Arc<Cluster>,
    pages: Arc<Pages>,
    collector: Collector,
    state: Disk,
    output: Disk,
    /// That of the sink that may drop, and when it was full.
    spill: Disk,
    spill_full: Vec<(i64, i64)>,
    random: Random,
    killed: Vec<Server>,
    excused: BTreeSet<Line>,
    /// Whether a store was damaged on purpose.
    is_damaged: bool,
    arrived: Vec<Line>,
    /// When each value was read from the topic for the first time, in milliseconds since 1970.
    first_seen: BTreeMap<Item, i64>,
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
        let disk = |name: &str, mebibytes: u32, breaks: bool| {
            let path = post.folder.join(name);
            if breaks { Disk::fragile(path, mebibytes) } else { Disk::new(path, mebibytes, post.disks) }
        };
        let breaks = plan.has(|trouble| matches!(trouble, Trouble::ReadOnlyState(_)));
        let state = disk("state", STATE_MEBIBYTES, breaks)?;
        let output = disk("output", OUTPUT_MEBIBYTES, plan.has(|trouble| trouble == Trouble::ReadOnlyOutput))?;
        let spill = Disk::new(post.folder.join("spill"), SPILL_MEBIBYTES, post.disks && plan.spill.is_some())?;
        let (api, api_wire, kubernetes) = api_server(&plan, servers).await?;
        let pages = Pages::new(plan.series, plan.padding);
        let page_address = pages.serve(&mut tasks).await?;
        let text = config::text(
            &plan,
            &Places {
                kubernetes,
                node: &api.node,
                namespace: &api.namespace,
                pages: page_address,
                broker: servers.broker_wire.address(),
                redis: servers.redis_wire.address(),
                state: &state.path,
                output: &output.path,
                spill: &spill.path,
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
            api_held: None,
            cluster,
            pages,
            collector,
            state,
            output,
            spill,
            spill_full: Vec::new(),
            random,
            killed,
            excused,
            is_damaged: false,
            arrived,
            first_seen: BTreeMap::new(),
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

    /// All troubles are over, and nothing new comes.
    async fn heal(&mut self) -> Result<()> {
        self.heal_servers().await?;
        self.api_wire.set(WireState::Whole);
        if let Some(api) = self.api.as_played() {
            api.heal();
        }
        self.state.empty();
        self.output.empty();
        self.empty_spill();
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
        while !self.cluster.is_quiet() && begin.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
        }
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

    /// Tidies up, whatever has happened.
    async fn end(mut self) -> Outcome {
        if let Err(error) = self.collector.kill().and(self.heal_servers().await) {
            self.outcome.faults.push(format!("cannot tidy up: {error:#}"));
        }
        self.tasks.abort_all();
        self.outcome.runs = self.collector.runs.len();
        self.outcome.slowest_start = self.collector.slowest;
        if !self.outcome.faults.is_empty() {
            let heard = self.listener.so_far();
            let _written = fs::write(self.state.path.with_file_name("heard.jsonl"), heard.join("\n"));
            let truth = self.cluster.truth();
            let _written = fs::write(self.state.path.with_file_name("cluster.txt"), truth.log.join("\n"));
            for folder in ["state", "output", "spill"] {
                let kept = self.state.path.with_file_name(format!("{folder}-kept"));
                let _copied =
                    std::process::Command::new("cp").arg("-r").arg(self.state.path.with_file_name(folder)).arg(&kept).status();
            }
        }
        self.outcome
    }
}

/// The API server of a seed, behind a wire, and how the program is told of it.
async fn api_server(plan: &Plan, servers: &mut Servers) -> Result<(Arc<Api>, Wire, String)> {
    let wire = Wire::start().await?;
    if plan.is_real {
        let server = servers.kubernetes().await?;
        wire.lead_to(&format!("127.0.0.1:{}", server.port()))?;
        let file = server.kube_config_by(wire.port(), server.admin_token())?;
        let way = format!("access: kubeconfig, kubeconfig: \"{}\"", file.display());
        return Ok((Arc::new(Api::real(server, plan.seed).await?), wire, way));
    }
    let api = Api::played().await?;
    if let Way::Played(server) = &api.way {
        wire.lead_to(server.url().trim_start_matches("http://"))?;
    }
    let way = format!("access: url, url: \"http://{}\", token-retrieval: none", wire.address());
    Ok((Arc::new(api), wire, way))
}

/// What a seed must be for it to mean something.
pub(super) fn must_have_done_something(outcome: &Outcome) -> Result<()> {
    if outcome.faults.is_empty() && (outcome.told == 0 || outcome.changes == 0) {
        bail!("seed {}: nothing was told, or nothing has changed", outcome.seed);
    }
    Ok(())
}
