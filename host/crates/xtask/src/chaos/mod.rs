//! Runs the program with everything that goes wrong around it, again and again, and compares what went in with what came out.
//!
//! A seed says everything: how the program is configured, how the cluster changes, and which troubles come when (`plan.rs`). The servers are
//! real, but for the API server and the pages that are scraped, since the checks count for themselves what those have handed out.
//! `scene.rs` plays one seed, `stream.rs` and `documents.rs` know what must have come of it.

mod api;
mod clock;
mod cluster;
mod collector;
mod compiled;
mod config;
mod disk;
mod documents;
mod events;
mod image;
mod metrics;
mod pages;
mod plan;
mod random;
mod reader;
mod scene;
mod servers;
mod spill;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::command::{must, say};
use crate::{lab, modules, workspace};
use plan::{ApiServers, Means, Plan, REAL_EACH};
use scene::{Outcome, Post};
use servers::Servers;

/// Kill, stop, cut, slow, fill and break what the program stands on, and count what comes out
///
/// Each seed is a few seconds in the life of the program, between real servers and under load. What was accepted and did not come out, came
/// out of order or half written, and a program that does not start, is a failure, and its seed is printed with the command that plays
/// it again.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, and say what happens
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Nothing but so many kills at random moments, in seeds of 25
    #[arg(long, value_name = "KILLS", conflicts_with = "seeds")]
    kills: Option<u64>,
    /// Begin no seed later than so many seconds after the first
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    time_limit: u64,
    /// Fail where fewer seeds than these were played within the time
    #[arg(long, value_name = "SEEDS", default_value_t = 1)]
    least: u64,
    /// How many seeds are played side by side, each worker with servers of its own
    #[arg(long, default_value_t = 5)]
    workers: u64,
    /// Which API server the program watches
    #[arg(long, value_enum, default_value_t)]
    api_server: ApiServers,
    /// Take the program as it is in target/debug
    #[arg(long)]
    as_built: bool,
    /// Another program than target/debug/sluicebox
    #[arg(long, value_name = "PATH", requires = "as_built")]
    program: Option<PathBuf>,
    /// What it runs in has been prepared already
    #[arg(long, hide = true)]
    inside: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.inside {
        if !arguments.as_built {
            modules::compile(false, modules::Compiler::default())?;
            must(workspace::cargo().args(["build", "--package", "sluicebox"]))?;
            lab::provide(false)?;
        }
        return enter(std::env::args_os().skip(1).collect());
    }
    let seeds = arguments.kills.map_or(arguments.seeds, |kills| kills.div_ceil(KILLS_OF_A_SEED));
    let (from, seeds) = arguments.seed.map_or((arguments.from, seeds), |seed| (seed, 1));
    let folder = workspace::target().join("chaos");
    let _alone = alone(&folder)?;
    let binary = arguments.program.clone().unwrap_or_else(|| workspace::target().join("debug/sluicebox"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compiled::provide(&binary, &folder.join(COMPILED)))?;
    let campaign = Campaign::new(from, seeds, arguments, (folder, binary));
    if arguments.seed.is_some() {
        say(format!("seed {from}: {}", campaign.plan(from)));
    }
    let workers = arguments.workers.clamp(1, seeds.max(1));
    std::thread::scope(|scope| {
        let campaign = &campaign;
        let workers: Vec<_> = (0..workers).map(|worker| scope.spawn(move || campaign.work(worker))).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow!("a worker has panicked"))??;
        }
        anyhow::Ok(())
    })?;
    campaign.tell(arguments.seed.is_some(), usize::try_from(arguments.least).unwrap_or(usize::MAX))
}

/// Nobody else plays in this folder for as long as the answer lives.
fn alone(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).with_context(|| format!("cannot write in {}", folder.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("another run plays in {}; cure: wait for its end", folder.display()),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the folder"),
    }
}

/// What belongs to every run of the tests, with the program as they have built it, and with a real API server where there is one. A slow machine
/// plays fewer seeds, and says how many.
pub(crate) fn as_test(has_real: bool) -> Result<()> {
    let with = if has_real { "both" } else { "played" };
    let words = |words: String| words.split(' ').map(OsString::from).collect();
    enter(words(format!("chaos --as-built --api-server {with} --seeds 200 --time-limit 300 --least 100")))?;
    enter(words(format!("chaos --as-built --api-server {with} --kills 50 --time-limit 60")))
}

/// Goes on in a mount namespace of its own, where that is possible: what is mounted there ends with it.
fn enter(arguments: Vec<OsString>) -> Result<()> {
    let this = std::env::current_exe().context("cannot tell who this is")?;
    let apart = Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success());
    let mut command = if apart { Command::new("unshare") } else { Command::new(&this) };
    if apart {
        command.args(["--mount", "--propagation", "private"]).arg(&this).env(DISKS, "true");
    }
    must(command.args(arguments).arg("--inside"))
}

/// More would make a seed long, and what is left of it hard to read.
const KILLS_OF_A_SEED: u64 = 25;
/// Where the program keeps compiled modules.
const COMPILED: &str = "compiled";
/// Whether disks can be mounted.
const DISKS: &str = "SLUICEBOX_CHAOS_DISKS";

struct Campaign {
    /// Those that are not begun, without and with a real API server.
    played: Mutex<VecDeque<u64>>,
    real: Mutex<VecDeque<u64>>,
    from: u64,
    end: u64,
    until: Instant,
    begin: Instant,
    means: Means,
    /// Why no disk breaks down, where disks can be mounted.
    unbroken: Option<anyhow::Error>,
    folder: PathBuf,
    binary: PathBuf,
    /// Nothing but kills.
    kills: Option<u64>,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Campaign {
    fn new(from: u64, seeds: u64, arguments: &Arguments, (folder, binary): (PathBuf, PathBuf)) -> Self {
        let begin = Instant::now();
        let end = from.saturating_add(seeds);
        let api_servers = arguments.api_server;
        let disks = std::env::var_os(DISKS).is_some();
        let unbroken = if disks { image::probe(&folder).err() } else { None };
        let (real, played): (Vec<u64>, Vec<u64>) = (from..end).partition(|seed| api_servers.is_real(*seed));
        Self {
            played: Mutex::new(played.into()),
            real: Mutex::new(real.into()),
            from,
            end,
            until: begin + Duration::from_secs(arguments.time_limit),
            begin,
            means: Means { disks, api_servers, broken_disks: disks && unbroken.is_none() },
            unbroken,
            folder,
            binary,
            kills: arguments.kills,
            outcomes: Mutex::default(),
        }
    }

    fn plan(&self, seed: u64) -> Plan {
        let Some(kills) = self.kills else { return Plan::new(seed, self.means) };
        Plan::kills(seed, kills.min(KILLS_OF_A_SEED), self.means)
    }

    /// The next seed for this worker. Few of them have a real API server, since each takes much memory.
    fn next(&self, worker: u64) -> Option<u64> {
        let next = |seeds: &Mutex<VecDeque<u64>>| seeds.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let has_real = self.means.api_servers == ApiServers::Real || worker.is_multiple_of(REAL_EACH);
        has_real.then(|| next(&self.real)).flatten().or_else(|| next(&self.played))
    }

    fn work(&self, worker: u64) -> Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut servers = Servers::start().await.context("cannot start the servers")?;
            let cache = self.folder.join(COMPILED);
            while Instant::now() < self.until {
                let Some(seed) = self.next(worker) else { break };
                let folder = self.folder.join(format!("worker-{worker}"));
                let post = Post { binary: &self.binary, folder, cache: &cache, disks: self.means.disks };
                let outcome = scene::play(self.plan(seed), &post, &mut servers).await;
                self.note(outcome, &post.folder)?;
            }
            Ok(())
        })
    }

    fn note(&self, outcome: Outcome, folder: &Path) -> Result<()> {
        if !outcome.faults.is_empty() {
            let kept = self.folder.join(format!("seed-{}", outcome.seed));
            let _none = std::fs::remove_dir_all(&kept);
            std::fs::rename(folder, &kept).context("cannot keep what a seed has left")?;
            say(format!("FAILED: seed {}; its files are in {}", outcome.seed, kept.display()));
            for line in outcome.faults.iter().take(20) {
                say(format!("  {line}"));
            }
            for note in &outcome.notes {
                say(format!("  note: {note}"));
            }
            say(format!("  {}", self.plan(outcome.seed).to_string().replace('\n', "\n  ")));
            let kills = self.kills.map(|kills| format!(" --kills {}", kills.min(KILLS_OF_A_SEED))).unwrap_or_default();
            let with = match self.means.api_servers {
                ApiServers::Real => " --api-server real",
                ApiServers::Played => " --api-server played",
                ApiServers::Both => "",
            };
            say(format!("  again: cargo xtask chaos --seed {}{kills}{with}", outcome.seed));
        }
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        Ok(())
    }

    /// Says what was done. Fails where anything has failed, or nothing was done.
    fn tell(&self, in_full: bool, least: usize) -> Result<()> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut troubles: BTreeMap<&str, usize> = BTreeMap::new();
        for name in outcomes.iter().flat_map(|outcome| &outcome.done) {
            *troubles.entry(name).or_default() += 1;
        }
        let failed: Vec<u64> = outcomes.iter().filter(|outcome| !outcome.faults.is_empty()).map(|outcome| outcome.seed).collect();
        let longest = |time: fn(&Outcome) -> Duration| outcomes.iter().map(time).max().unwrap_or_default();
        let troubles: Vec<String> = troubles.iter().map(|(name, times)| format!("{name} {times}")).collect();
        say(format!(
            "chaos: {} seeds from {} on in {:.0} s: {} starts of the program, {} changes of pods, {} entries read on the other side",
            outcomes.len(),
            self.from,
            self.begin.elapsed().as_secs_f64(),
            outcomes.iter().map(|outcome| outcome.runs).sum::<usize>(),
            outcomes.iter().map(|outcome| outcome.changes).sum::<u64>(),
            outcomes.iter().map(|outcome| outcome.told).sum::<usize>(),
        ));
        say(format!("chaos: {}", troubles.join(", ")));
        say(format!(
            "chaos: the slowest start took {:?}; after the troubles everything was there within {:?}",
            longest(|outcome| outcome.slowest_start),
            longest(|outcome| outcome.recovery)
        ));
        say(format!(
            "chaos: {} seeds with a real API server, {} in which documents expire, {} documents in ConfigMaps; {} entries dropped where that may be",
            outcomes.iter().filter(|outcome| self.means.api_servers.is_real(outcome.seed)).count(),
            outcomes.iter().filter(|outcome| self.plan(outcome.seed).expires.is_some()).count(),
            outcomes.iter().map(|outcome| outcome.in_maps).sum::<usize>(),
            outcomes.iter().map(|outcome| outcome.dropped).sum::<u64>(),
        ));
        let outages = outcomes.iter().filter(|outcome| outcome.slowest_beside > 0);
        say(format!(
            "chaos: {} times one server was away for long: what was for others took at most {} ms",
            outages.clone().count(),
            outages.map(|outcome| outcome.slowest_beside).max().unwrap_or(0)
        ));
        let asked = usize::try_from(self.end - self.from).unwrap_or(usize::MAX);
        if outcomes.len() < asked {
            say(format!("chaos: NOT DONE: {} seeds, for want of time", asked - outcomes.len()));
        }
        if !self.means.disks {
            say("chaos: NOT DONE: full disks, since none can be mounted here");
        }
        if let Some(cause) = &self.unbroken {
            say(format!("chaos: NOT DONE: disks that break down: {cause:#}"));
        }
        if in_full {
            for note in outcomes.iter().flat_map(|outcome| &outcome.notes) {
                say(note);
            }
        }
        for outcome in outcomes.iter() {
            scene::must_have_done_something(outcome)?;
        }
        if !failed.is_empty() {
            bail!("{} of {} seeds failed: {failed:?}", failed.len(), outcomes.len());
        }
        ensure!(outcomes.len() >= least, "{} seeds were played, and {least} were to be at least", outcomes.len());
        Ok(())
    }
}
