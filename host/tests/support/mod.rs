//! What tests of the whole program share: a folder, a configuration, a pod.

#![allow(unreachable_pub, reason = "shared by several test programs")]
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod announced;
pub mod author;
pub mod clock;
pub mod kafka;
pub mod machine;
pub mod node;
pub mod prometheus;
pub mod pulls;
pub mod replicas;
pub mod shop;
pub mod small;
pub mod stores;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use sluicebox_testkit::program::Program;
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// For what waits for the compiler, whose low priority shows on a busy machine.
pub const SLOW: Duration = Duration::from_mins(5);

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sluicebox"))
}

/// A folder for one run of the program.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration that all tests share, and below it what a test adds (sources, modules, sinks).
    pub fn configure(&self, api: &str, rest: &str) -> PathBuf {
        let path = self.path("sluicebox.yaml");
        std::fs::write(&path, self.configuration(api, rest)).unwrap();
        path
    }

    /// The text of it.
    pub fn configuration(&self, api: &str, rest: &str) -> String {
        format!(
            "node-name: n1\nkubernetes: {{access: url, url: \"{api}\", token-retrieval: none}}\nadmin: {{listen: \"127.0.0.1:0\"}}\n\
             log: {{format: json}}\ncache-directory: {}\nstate-directory: {}\n{rest}",
            cache().display(),
            self.path("state").display(),
        )
    }

    pub fn run(&self, config: &Path) -> Program {
        Program::start(binary(), config, &self.path("log"), |_| {}).unwrap()
    }
}

/// Compiled modules are shared by all tests: each is compiled once.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

pub fn sluicebox(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_remove("RUST_LOG").env_remove("NODE_NAME").output().unwrap()
}

/// A pod on node `n1` that has not started.
pub fn pending(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "nginx:1.27"}]},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    })
}

/// The status of a pod whose container runs under the id of 64 times this digit.
pub fn running(digit: char) -> Value {
    json!({
        "phase": "Running", "qosClass": "BestEffort", "hostIP": "10.0.1.2", "podIP": "10.42.1.95", "podIPs": [{"ip": "10.42.1.95"}],
        "startTime": "2026-01-01T12:00:00Z",
        "containerStatuses": [{
            "name": "main", "state": {"running": {"startedAt": "2026-01-01T12:00:01Z"}}, "lastState": {}, "ready": true, "restartCount": 0,
            "image": "docker.io/library/nginx:1.27", "imageID": "docker.io/library/nginx@sha256:4c0f",
            "containerID": format!("containerd://{}", digit.to_string().repeat(64)),
        }],
    })
}

/// Where the compiled modules are.
pub fn module(name: &str) -> PathBuf {
    let built = std::env::var_os("SLUICEBOX_MODULES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules"), PathBuf::from);
    let path = built.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `cargo xtask modules --all`", path.display());
    path
}

/// The same component, but another version of it: with a section that says something and does nothing.
pub fn version_of(component: &[u8], text: &str) -> Vec<u8> {
    let name = b"note";
    let mut section = vec![u8::try_from(name.len()).unwrap()];
    section.extend_from_slice(name);
    section.extend_from_slice(text.as_bytes());
    let mut bytes = component.to_vec();
    // A custom section: id 0, its length (one byte is enough below 128), its name, its content.
    bytes.extend([0, u8::try_from(section.len()).ok().filter(|length| *length < 128).unwrap()]);
    bytes.extend(section);
    bytes
}

/// Waits until it is so; the log tells why it is not.
pub async fn until(program: &Program, what: &str, is_so: impl AsyncFnMut() -> bool) {
    until_within(program, PATIENCE, what, is_so).await;
}

/// As [`until`], for what takes long.
pub async fn until_within(program: &Program, patience: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < patience, "not within {patience:?}: {what}\n{}", program.log().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts a file in place as a whole.
pub fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// What `/status` shows.
pub async fn status(program: &Program) -> Value {
    let (_, text) = program.get("/status").await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What `/status` shows of a lane.
pub async fn status_of(program: &Program, lane: &str) -> Value {
    status(program).await["lanes"][lane].clone()
}

/// The lines of the log, from this one on.
pub fn log_since(program: &Program, line: usize) -> Vec<Value> {
    program.log().unwrap().lines().skip(line).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How many lines the log has.
pub fn log_lines(program: &Program) -> usize {
    program.log().unwrap().lines().count()
}

/// The digest of what runs in a lane.
pub async fn digest_in(program: &Program, lane: &str) -> String {
    status_of(program, lane).await["module"]["digest"].as_str().unwrap_or_default().to_owned()
}

impl Place {
    /// As [`Place::configure`], for a program that runs: the new file takes the place of the old one as a whole.
    pub fn reconfigure(&self, api: &str, rest: &str) -> PathBuf {
        let path = self.path("sluicebox.yaml");
        let beside = self.path("sluicebox.yaml.new");
        std::fs::write(&beside, self.configuration(api, rest)).unwrap();
        std::fs::rename(&beside, &path).unwrap();
        path
    }
}

/// Starts the program with a reader of its output that does not read until the sender is dropped.
pub fn unread(place: &Place, config: &Path) -> (Program, SyncSender<()>) {
    let (open, gate) = sync_channel(0);
    let gate = Mutex::new(gate);
    let wait = move |_: &str| assert!(gate.lock().unwrap().recv().is_err());
    (Program::start(binary(), config, &place.path("log"), wait).unwrap(), open)
}
