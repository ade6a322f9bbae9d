//! The running program on a node, whose lanes come and go with its configuration.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::components::large;
use sluicebox_testkit::program::Program;

use super::{PATIENCE, Place, SLOW, module, pending, status, status_of, until, until_within, version_of};

/// Sink `out` writes JSON to the output, with the channel that tells the lanes apart.
pub struct Node {
    pub place: Place,
    pub api: ApiServer,
    pub program: Program,
    pods: usize,
}

/// A section of lanes, and what else each configuration says.
pub fn with_lanes(lanes: &[&str]) -> String {
    let lanes: Vec<String> = lanes.iter().map(|lane| format!("  {lane}\n")).collect();
    format!(
        "sources: {{pods: {{}}}}\nreload: {{poll: 500ms, debounce: 50ms}}\ncompiler: {{deadline: 10m}}\nmodules:\n{}\
         sinks: {{out: {{stdout: {{format: json}}}}, again: {{stdout: {{format: json}}}}}}\n",
        lanes.concat()
    )
}

/// A component that no run before has compiled, and that takes a while to be.
pub fn slow_to_compile(folder: &Place) -> PathBuf {
    let path = folder.path("slow.wasm");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string();
    let component = std::fs::read(module("json-lines")).unwrap();
    std::fs::write(&path, version_of(&large(&component, 512 << 10), &now)).unwrap();
    path
}

/// A lane that says what happened to each pod; `more` begins with a comma.
pub fn lines(name: &str, settings: &str, more: &str) -> String {
    format!("{name}: {{use: json-lines, settings: {{channel: {name}, {settings}}}, to: [out]{more}}}")
}

impl Node {
    pub async fn start(rest: &str) -> Self {
        Self::start_unready(rest, true).await
    }

    /// As [`Node::start`], where something is not ready from the beginning.
    pub async fn start_unready(rest: &str, ready: bool) -> Self {
        let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
        let config = place.configure(&api.url(), rest);
        let mut program = place.run(&config);
        if ready {
            program.until_ready(PATIENCE).await.unwrap();
        } else {
            program.until_alive(PATIENCE).await.unwrap();
        }
        Self { place, api, program, pods: 0 }
    }

    pub fn reconfigure(&self, rest: &str) {
        self.place.reconfigure(&self.api.url(), rest);
    }

    /// Writes a configuration and waits until it has been read.
    pub async fn takes(&self, rest: &str) {
        let before = self.reads().await;
        self.reconfigure(rest);
        until(&self.program, "the configuration is read again", async || self.reads().await > before).await;
    }

    async fn reads(&self) -> f64 {
        self.program.metric("sluicebox_config_reloads_total", "").await.unwrap()
    }

    /// So many pods come.
    pub fn pods(&mut self, count: usize) {
        for _ in 0..count {
            self.api.create_pod(pending(&format!("pod-{}", self.pods))).unwrap();
            self.pods += 1;
        }
    }

    /// The names of all pods.
    pub fn names(&self) -> Vec<String> {
        (0..self.pods).map(|number| format!("pod-{number}")).collect()
    }

    /// What was said on this channel.
    pub fn said(&self, channel: &str) -> Vec<Value> {
        let entries = self.program.lines().iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        let on_channel =
            entries.into_iter().map(|entry| entry["message"].clone()).filter(|message| message["channel"] == channel);
        on_channel.map(|message| serde_json::from_str(message["body"].as_str().unwrap()).unwrap()).collect()
    }

    /// The pods that were named on this channel.
    pub fn named(&self, channel: &str) -> Vec<String> {
        self.said(channel).iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect()
    }

    /// These pods are named on this channel, in this order, and no other.
    pub async fn hears(&self, channel: &str, names: &[String]) {
        until(&self.program, "all pods are named", async || self.named(channel).len() >= names.len()).await;
        assert_eq!(self.named(channel), names, "{channel}");
    }

    /// A pod comes and is the next, and the last, on these channels, before which these were named there.
    pub async fn goes_on(&mut self, channels: &[(&str, &[String])]) {
        self.pods(1);
        for (channel, before) in channels {
            let last = [format!("pod-{}", self.pods - 1)];
            self.hears(channel, &[before, last.as_slice()].concat()).await;
        }
    }

    pub async fn lane(&self, lane: &str) -> Value {
        status_of(&self.program, lane).await
    }

    /// The lane is at work, with a module that is [`slow_to_compile`].
    pub async fn is_compiled(&self, lane: &str) {
        let patience = SLOW;
        until_within(&self.program, patience, &format!("{lane} is at work"), async || {
            self.lane(lane).await["state"] == "at-work"
        })
        .await;
    }

    /// The state of lane `lane` is this one.
    pub async fn is(&self, lane: &str, state: &str) {
        until(&self.program, &format!("{lane} is {state}"), async || self.lane(lane).await["state"] == state).await;
    }

    pub async fn swapped(&self, lane: &str, times: u64) {
        until(&self.program, &format!("{lane} is swapped"), async || self.lane(lane).await["swapped"] == times).await;
    }

    pub async fn configuration(&self) -> Value {
        status(&self.program).await["configuration"].clone()
    }

    pub async fn close(mut self) {
        let status = self.program.stop(PATIENCE).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.program.log().unwrap());
    }
}
