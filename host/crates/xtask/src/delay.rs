//! Measures the time from a change in the API to its message at a Redis subscriber, through the program as it is shipped.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{RedisOptions, RedisServer, Subscription};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::command;
use crate::footprint::{fresh, resident, stop};

/// How many pods come, how fast.
const PODS: usize = 10_000;
const PER_SECOND: u64 = 1_000;

/// Runs the measurement with this build of the program and prints its figures.
pub(crate) fn measure(binary: &Path) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(binary))
}

async fn run(binary: &Path) -> Result<()> {
    let folder = fresh("bench-delay")?;
    let api = ApiServer::start().await?;
    let redis = RedisServer::start(RedisOptions::default())
        .await
        .context("the measurement needs a redis-server: `cargo xtask lab` installs it")?;
    let config = folder.join("sluicebox.yaml");
    fs::write(
        &config,
        format!(
            "node-name: n1\nkubernetes: {{access: url, url: \"{}\", token-retrieval: none}}\nsources: {{pods: {{}}}}\n\
             modules: {{galileo: {{use: galileo-events, settings: {{schema: pod}}, to: [events]}}}}\n\
             sinks: {{events: {{redis: {{url: \"{}\"}}}}}}\nadmin: {{listen: \"127.0.0.1:0\"}}\nlog: {{format: json}}\n\
             cache-directory: {}\nstate-directory: {}\n",
            api.url(),
            redis.url(),
            folder.join("compiled").display(),
            folder.join("state").display(),
        ),
    )?;
    let (first, program) = start(binary, &config, &folder).await?;
    stop(program).await?;
    let (second, program) = start(binary, &config, &folder).await?;
    let size = fs::metadata(binary)?.len() / 1024;
    command::say(format!(
        "the program of {size} kB holds {first} kB after a start that compiles its module, {second} kB after one that finds it compiled"
    ));
    let heard = redis.subscribe("galileo/events").await?;
    let sent = std::cell::RefCell::new(HashMap::with_capacity(PODS));
    let (sending, delays) = tokio::join!(send(&api, &sent), hear(heard, &sent));
    sending?;
    let (mut delays, lost) = delays?;
    let memory = resident(program.id())?;
    stop(program).await?;
    delays.sort();
    let at =
        |part: usize| delays.get((delays.len() * part / 1000).min(delays.len().saturating_sub(1))).copied().unwrap_or_default();
    command::say(format!("from the change in the API to the Redis subscriber, {PODS} pods at {PER_SECOND} a second:"));
    command::say(format!("  median {:?}, 99 % {:?}, 99.9 % {:?}, slowest {:?}", at(500), at(990), at(999), at(1000)));
    command::say(format!("  lost {lost} of {PODS}; the program held {memory} kB at the end, with {PODS} pods remembered"));
    if lost > 0 {
        bail!("{lost} messages were lost");
    }
    Ok(())
}

/// A program that is ready, and the memory that it holds then.
async fn start(binary: &Path, config: &Path, folder: &Path) -> Result<(u64, Program)> {
    let mut program = Program::start(binary, config, &folder.join("log"), |_| {})?;
    program.until_ready(Duration::from_mins(1)).await?;
    Ok((resident(program.id())?, program))
}

type Sent = std::cell::RefCell<HashMap<String, Instant>>;

async fn send(api: &ApiServer, sent: &Sent) -> Result<()> {
    let mut pace = interval(Duration::from_millis(10));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each = usize::try_from(PER_SECOND / 100)?;
    for burst in 0..PODS / each {
        pace.tick().await;
        for number in 0..each {
            let name = format!("pod-{}", burst * each + number);
            let pod = json!({
                "metadata": {"name": name, "namespace": "bench", "labels": {"app": "web", "tier": "front"}},
                "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}]},
                "status": {"phase": "Pending", "qosClass": "BestEffort"},
            });
            sent.borrow_mut().insert(name, Instant::now());
            api.create_pod(pod)?;
        }
    }
    Ok(())
}

/// The delays, and how many messages never came.
async fn hear(mut heard: Subscription, sent: &Sent) -> Result<(Vec<Duration>, usize)> {
    let mut delays = Vec::with_capacity(PODS);
    while delays.len() < PODS {
        let Ok(message) = timeout(Duration::from_secs(10), heard.next()).await else {
            break;
        };
        let (_, text) = message?;
        let name = text.split("\"name\":\"").filter_map(|part| part.split('"').next()).find(|name| name.starts_with("pod-"));
        let name = name.with_context(|| format!("a message without a pod's name: {text}"))?;
        if let Some(time) = sent.borrow_mut().remove(name) {
            delays.push(time.elapsed());
        }
    }
    Ok((delays, sent.borrow().len()))
}
