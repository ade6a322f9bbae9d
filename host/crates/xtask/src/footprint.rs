//! Measures what the program as it is shipped holds and uses on a full node: 110 pods of two containers, three preset modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{RedisOptions, RedisServer};
use tokio::time::sleep;

use crate::{command, workspace};

/// A full node, as Kubernetes has it by default.
const PODS: u32 = 110;
/// How long it runs before it is looked at, and how long it is looked at.
const SETTLE: Duration = Duration::from_secs(20);
const WATCH: Duration = Duration::from_mins(1);

/// Runs the measurement with this build of the program and prints its figures.
pub(crate) fn measure(binary: &Path) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(binary))
}

async fn run(binary: &Path) -> Result<()> {
    let folder = fresh("bench-footprint")?;
    let api = ApiServer::start().await?;
    let redis = RedisServer::start(RedisOptions::default())
        .await
        .context("the measurement needs a redis-server: `cargo xtask lab` installs it")?;
    let kubelet = Kubelet::new(&folder.join("host"))?;
    for number in 0..PODS {
        let pod = PodSpec::numbered("n1", number, 2);
        kubelet.run(&pod)?;
        api.create_pod(pod.object())?;
    }
    let config = folder.join("sluicebox.yaml");
    fs::write(&config, configuration(&api, &redis, &kubelet, &folder))?;
    // The first run compiles the modules; those after it do not.
    let mut first = Program::start(binary, &config, &folder.join("log-of-the-first"), |_| {})?;
    first.until_ready(Duration::from_mins(2)).await?;
    stop(first).await?;
    let mut program = Program::start(binary, &config, &folder.join("log"), |_| {})?;
    program.until_ready(Duration::from_mins(2)).await?;
    sleep(SETTLE).await;
    let (begin, before) = (Instant::now(), processor_time(program.id())?);
    let told = program.metric("sluicebox_source_events_total", "cgroups").await?;
    sleep(WATCH).await;
    let (passed, used) = (begin.elapsed(), processor_time(program.id())?.saturating_sub(before));
    let ticks = program.metric("sluicebox_source_events_total", "cgroups").await? - told;
    let entries = program.metrics(&["sluicebox_lane_entries_total"]).await?;
    let memory = resident(program.id())?;
    let own = status(program.id(), "RssAnon:")?;
    // For whoever wants to know where it is.
    fs::copy(format!("/proc/{}/smaps", program.id()), folder.join("smaps"))?;
    stop(program).await?;
    if ticks < 1.0 {
        bail!("nothing was measured: no tick came in {passed:?}");
    }
    command::say(format!(
        "{PODS} pods, {} cgroups ({}), 3 preset modules, a reading each second:",
        PODS * 3,
        if kubelet.is_real() { "real ones" } else { "files in a folder" }
    ));
    command::say(format!(
        "  it holds {:.1} MiB (goal: at most 25), {:.1} of them its own and the rest backed by files",
        mebibytes(memory),
        mebibytes(own)
    ));
    command::say(format!(
        "  it uses {:.2} % of a core, {:.2} ms for each of {ticks} ticks, everything included",
        100.0 * used.as_secs_f64() / passed.as_secs_f64(),
        used.as_secs_f64() * 1e3 / ticks
    ));
    for line in entries {
        command::say(format!("  {line}"));
    }
    Ok(())
}

fn configuration(api: &ApiServer, redis: &RedisServer, kubelet: &Kubelet, folder: &Path) -> String {
    format!(
        "node-name: n1\nkubernetes: {{access: url, url: \"{}\", token-retrieval: none}}\n\
         sources: {{pods: {{}}, cgroups: {{period: 1s, root: {}}}}}\n\
         modules:\n\
         \x20 events: {{use: galileo-events, from: [pods], to: [events]}}\n\
         \x20 meta: {{use: fluent-bit-meta, from: [pods], to: [meta]}}\n\
         \x20 metrics: {{use: pod-metrics, from: [cgroups], to: [events], settings: {{channel: metrics}}}}\n\
         sinks: {{events: {{redis: {{url: \"{}\"}}}}, meta: {{files: {{directory: {}}}}}}}\n\
         admin: {{listen: \"127.0.0.1:0\"}}\nlog: {{format: json}}\ncache-directory: {}\nstate-directory: {}\n",
        api.url(),
        kubelet.root().display(),
        redis.url(),
        folder.join("meta").display(),
        folder.join("compiled").display(),
        folder.join("state").display(),
    )
}

/// An empty folder of this name below `target`.
pub(crate) fn fresh(name: &str) -> Result<PathBuf> {
    let folder = workspace::target().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Ends the program as it is to be ended.
pub(crate) async fn stop(mut program: Program) -> Result<()> {
    let status = program.stop(Duration::from_secs(30)).await?;
    if !status.success() {
        bail!("the program ended with {status}:\n{}", program.log()?);
    }
    Ok(())
}

/// Resident memory of a process in kB, as the kernel tells it.
pub(crate) fn resident(process: u32) -> Result<u64> {
    status(process, "VmRSS:")
}

fn status(process: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in the program's status"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Processor time of a process, as the kernel tells it: in hundredths of a second.
fn processor_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name in the process's stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
